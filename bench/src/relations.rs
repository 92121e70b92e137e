//! Contacts of the clients: who is whose, and making them so.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use wire::ConversationId;

use crate::driver::{Driver, PeerEvent};

/// Contacts of each user where a scenario has any.
pub const CONTACTS: u32 = 100;
/// Relations on their way at a time. Each may make a node read its record and two lists first, which it does for 1,024 at a
/// time.
const IN_FLIGHT_MAX: usize = 256;
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

/// Makes contacts of these pairs of clients, all of whom are logged in: one asks, the other accepts. What the node has no room
/// for is sent again.
///
/// # Errors
/// If the node refuses one, or nothing comes any more.
pub fn seed(driver: &mut Driver, pairs: &[(usize, usize)]) -> Result<()> {
    ensure!(u32::try_from(pairs.len()).is_ok(), "{} pairs", pairs.len());
    let begin = Instant::now();
    let (mut asked, mut done, mut last) = (0, 0, begin);
    // Clients and their pairs, as numbers of commands.
    let mut to_send: Vec<(usize, u32)> = Vec::new();
    while done < pairs.len() {
        while asked < pairs.len() && asked - done < IN_FLIGHT_MAX {
            to_send.push((pairs[asked].0, asked as u32));
            asked += 1;
        }
        for (client, number) in to_send.drain(..) {
            let (asking, accepting) = pairs[number as usize];
            let user = |index: usize| driver.peers[index].account.user;
            let conversation = ConversationId::private(user(asking), user(accepting)).context("two users")?;
            driver.push(client, |encoder| match client == asking {
                true => encoder.contact_request(number, conversation, ""),
                false => encoder.contact_accept(number, conversation),
            });
        }
        driver.turn(Duration::from_millis(100), |client, event| {
            match event {
                PeerEvent::Related { request } => {
                    let (asking, accepting) = *pairs.get(request as usize).context("an answer to nothing")?;
                    match client == asking {
                        true => to_send.push((accepting, request)),
                        false => done += 1,
                    }
                    last = Instant::now();
                }
                PeerEvent::Busy { request } => to_send.push((client, request)),
                _ => {}
            }
            Ok(())
        })?;
        ensure!(
            last.elapsed() < STALL_MAX,
            "{done} of {} relations are made, and nothing happens",
            pairs.len()
        );
    }
    eprintln!("{} relations in {:.0} s", pairs.len(), begin.elapsed().as_secs_f64());
    Ok(())
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
