//! Contacts of the clients: who is whose, and making them so.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use wire::ConversationId;

use crate::driver::{Driver, PeerEvent};

/// Contacts of each user where a scenario has any.
pub const CONTACTS: u32 = 100;
/// Relations on their way at a time. A node refuses changes over a bound, which is higher.
const IN_FLIGHT_MAX: usize = 1_024;
/// How long nothing may come while relations are made.
const STALL_MAX: Duration = Duration::from_secs(30);

/// So many contacts of each, or as many as so few users can have.
pub fn possible(users: usize, contacts: u32) -> u32 {
    let others = u32::try_from(users.saturating_sub(1)).unwrap_or(u32::MAX);
    contacts.min(others) / 2 * 2
}

/// Every user is a contact of the `contacts / 2` before and behind him, in a circle. Each pair is there once.
///
/// # Panics
/// If there are not more users than contacts of each.
pub fn lattice(users: usize, contacts: u32) -> Vec<(usize, usize)> {
    let each_side = contacts as usize / 2;
    assert!(users > 2 * each_side, "{contacts} contacts of {users} users");
    (0..users).flat_map(|user| (1..=each_side).map(move |step| (user, (user + step) % users))).collect()
}

/// Makes contacts of these pairs of clients, all of whom are logged in: one asks, the other accepts.
///
/// # Errors
/// If the node refuses one, or nothing comes any more.
pub fn seed(driver: &mut Driver, pairs: &[(usize, usize)]) -> Result<()> {
    ensure!(u32::try_from(pairs.len()).is_ok(), "{} pairs", pairs.len());
    let begin = Instant::now();
    let (mut asked, mut done, mut last) = (0, 0, begin);
    while done < pairs.len() {
        while asked < pairs.len() && asked - done < IN_FLIGHT_MAX {
            let conversation = conversation(driver, pairs[asked])?;
            let request = asked as u32;
            driver.push(pairs[asked].0, |encoder| encoder.contact_request(request, conversation, ""));
            asked += 1;
        }
        let (before, mut accepts) = (done, Vec::new());
        driver.turn(Duration::from_millis(100), |index, event| {
            if let PeerEvent::Related { request } = event {
                let Some((asking, accepting)) = pairs.get(request as usize) else {
                    bail!("an answer to {request}, which nobody has asked");
                };
                if index == *asking {
                    accepts.push(request);
                } else if index == *accepting {
                    done += 1;
                }
            }
            Ok(())
        })?;
        if done > before || !accepts.is_empty() {
            last = Instant::now();
        } else if last.elapsed() > STALL_MAX {
            bail!("{done} of {} relations are made and nothing happens", pairs.len());
        }
        for request in accepts {
            let pair = pairs[request as usize];
            let conversation = conversation(driver, pair)?;
            driver.push(pair.1, |encoder| encoder.contact_accept(request, conversation));
        }
    }
    eprintln!("{} relations in {:.0} s", pairs.len(), begin.elapsed().as_secs_f64());
    Ok(())
}

fn conversation(driver: &Driver, pair: (usize, usize)) -> Result<ConversationId> {
    let user = |index: usize| driver.peers[index].account.user;
    ConversationId::private(user(pair.0), user(pair.1))
        .ok_or_else(|| anyhow::anyhow!("a user is no contact of his own"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_users_have_as_many_contacts_as_there_are_others() {
        assert_eq!([possible(10_000, 100), possible(60, 100), possible(1, 100)], [100, 58, 0]);
        assert_eq!(lattice(60, possible(60, 100)).len(), 60 * 29);
    }

    #[test]
    fn everybody_has_as_many_contacts_and_no_pair_is_twice() {
        for (users, contacts) in [(3, 2), (101, 100), (1_000, 10)] {
            let pairs = lattice(users, contacts);
            let mut counts = vec![0; users];
            let mut unordered = std::collections::BTreeSet::new();
            for (a, b) in &pairs {
                assert_ne!(a, b);
                assert!(unordered.insert((*a.min(b), *a.max(b))), "{a} and {b} twice");
                counts[*a] += 1;
                counts[*b] += 1;
            }
            assert!(counts.iter().all(|count| *count == contacts), "{users} users");
        }
    }
}
