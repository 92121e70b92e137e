//! The comparison.

use std::collections::{HashMap, HashSet};
use std::fmt;

use wire::ConversationId;

use super::ledger::Line;

/// Seqs and bodies of a conversation, in order.
pub type Log = Vec<(u64, Vec<u8>)>;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub kills: u32,
    pub cuts: u32,
    pub acked: u64,
    /// Acknowledged and not stored, or stored and missing on a device.
    pub lost: u64,
    /// Stored or shown more than once.
    pub doubled: u64,
    /// Stored or shown in another order than it was sent or stored in.
    pub reordered: u64,
    pub findings: Vec<String>,
}

impl Verdict {
    pub fn is_clean(&self) -> bool {
        (self.lost, self.doubled, self.reordered) == (0, 0, 0)
    }

    pub fn add(&mut self, part: Verdict) {
        self.acked += part.acked;
        self.lost += part.lost;
        self.doubled += part.doubled;
        self.reordered += part.reordered;
        self.findings.extend(part.findings);
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, cuts, acked, lost, doubled, reordered, .. } = self;
        write!(
            f,
            "durability: kills={kills} cuts={cuts} acked={acked} lost={lost} doubled={doubled} reordered={reordered}"
        )
    }
}

/// The body of a device's n-th message in a conversation.
pub fn text_of(device: usize, n: u64) -> String {
    format!("{device} {n}")
}

fn parse(body: &[u8]) -> Option<(usize, u64)> {
    let (device, n) = std::str::from_utf8(body).ok()?.split_once(' ')?;
    Some((device.parse().ok()?, n.parse().ok()?))
}

/// `logs` is what the node has, `shown` what each device has, `acked` the ledger.
pub fn compare(
    logs: &HashMap<ConversationId, Log>,
    shown: &[(usize, ConversationId, Log)],
    acked: &[Line],
    sent: u64,
) -> Verdict {
    let mut verdict = Verdict { acked: acked.len() as u64, ..Verdict::default() };
    let mut stored: HashMap<(ConversationId, usize, u64), u64> = HashMap::new();
    for (conversation, log) in logs {
        let mut last: HashMap<usize, u64> = HashMap::new();
        for (seq, body) in log {
            let Some((device, n)) = parse(body) else {
                verdict.findings.push(format!("{conversation:?} {seq}: a body nobody sent"));
                verdict.reordered += 1;
                continue;
            };
            if stored.insert((*conversation, device, n), *seq).is_some() {
                verdict
                    .findings
                    .push(format!("{conversation:?} {seq}: message {n} of device {device} again"));
                verdict.doubled += 1;
            } else if last.insert(device, n).is_some_and(|last| n <= last) {
                verdict.findings.push(format!("{conversation:?} {seq}: message {n} of device {device} late"));
                verdict.reordered += 1;
            }
        }
    }
    for line in acked {
        match stored.get(&(line.conversation, line.device, line.n)) {
            Some(seq) if *seq == line.seq => {}
            Some(seq) => {
                verdict.findings.push(format!("{line:?} is stored as {seq}"));
                verdict.reordered += 1;
            }
            None => {
                verdict.findings.push(format!("{line:?} is not stored"));
                verdict.lost += 1;
            }
        }
    }
    if (stored.len() as u64) < sent {
        // All sends were decided: what is not stored was given up.
        verdict.findings.push(format!("{sent} were sent, {} are stored", stored.len()));
        verdict.lost += sent - stored.len() as u64;
    }
    for (device, conversation, list) in shown {
        compare_device(&mut verdict, *device, *conversation, &logs[conversation], list);
    }
    verdict
}

fn compare_device(verdict: &mut Verdict, device: usize, conversation: ConversationId, log: &Log, list: &Log) {
    if log == list {
        return;
    }
    verdict.findings.push(format!(
        "device {device} has {} of the {} messages of {conversation:?}, or other ones",
        list.len(),
        log.len()
    ));
    let seen: HashSet<&[u8]> = list.iter().map(|(_, body)| &body[..]).collect();
    verdict.doubled += (list.len() - seen.len()) as u64;
    let missing = log.iter().filter(|(_, body)| !seen.contains(&body[..])).count() as u64;
    verdict.lost += missing;
    if missing == 0 && list.len() == log.len() {
        verdict.reordered += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::UserId;

    fn log(texts: &[&str]) -> Log {
        texts.iter().enumerate().map(|(at, text)| (at as u64 + 1, text.as_bytes().to_vec())).collect()
    }

    #[test]
    fn each_kind_of_broken_promise_is_counted() {
        let chat = ConversationId::private(UserId(1 << 10), UserId(2 << 10)).expect("two users");
        let line = |device, n, seq| Line { conversation: chat, device, n, seq };
        let judge = |stored: &[&str], device: &[&str], acked: &[Line]| {
            let logs = HashMap::from([(chat, log(stored))]);
            let verdict = compare(&logs, &[(0, chat, log(device))], acked, stored.len() as u64);
            (verdict.lost, verdict.doubled, verdict.reordered)
        };
        let all = ["0 1", "1 1", "0 2"];
        assert_eq!(judge(&all, &all, &[line(0, 1, 1), line(0, 2, 3)]), (0, 0, 0));
        assert_eq!(judge(&all, &all, &[line(0, 3, 4)]), (1, 0, 0), "acknowledged, not stored");
        assert_eq!(judge(&all, &all[..2], &[]), (1, 0, 0), "not on the device");
        assert_eq!(judge(&["0 2", "0 1"], &["0 2", "0 1"], &[]), (0, 0, 1), "out of order");
        let double = ["0 1", "0 1"];
        let (_, doubled, _) = judge(&double, &double, &[]);
        assert_eq!(doubled, 1, "stored twice");
        assert_eq!(judge(&["0 1", "0 2"], &["0 2", "0 1"], &[]), (0, 0, 1), "shown in another order");
        assert_eq!(judge(&all, &all, &[line(0, 2, 1)]).2, 1, "acknowledged under another seq");
    }
}
