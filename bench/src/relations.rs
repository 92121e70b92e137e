//! Contacts of the clients: who is whose, and making them so.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use wire::ConversationId;
use wire::limits::PAIRS_MAX;

use crate::driver::{Account, Driver, Entrance, Pace, PeerEvent};
use crate::server::Server;

/// Contacts of each user where a scenario has any.
pub const CONTACTS: u32 = 100;
/// Commands on their way at a time, each with [`PAIRS_MAX`] pairs.
const IN_FLIGHT_MAX: usize = 4;
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

/// Makes contacts of these pairs of clients, who have accounts: an operator does it, by a token that the node is asked for.
/// What the node has no room for is sent again.
///
/// # Errors
/// If the node was not started here, refuses a pair, or nothing comes any more.
pub fn seed(server: &Server, driver: &mut Driver, pairs: &[(usize, usize)]) -> Result<()> {
    let begin = Instant::now();
    let name = format!("bench-{:x}", rand::random::<u32>());
    let operator = driver.add(Account::service(name.clone(), &server.token(&name, "relations")?)?);
    driver.bring_in([operator], Pace::default(), |_| Entrance::Token)?;
    let user = |driver: &Driver, index: usize| driver.peers[index].account.user;
    let id = |driver: &Driver, (a, b): &(usize, usize)| {
        ConversationId::private(user(driver, *a), user(driver, *b)).context("a pair of two users")
    };
    let commands: Vec<Vec<ConversationId>> = pairs
        .chunks(PAIRS_MAX)
        .map(|pairs| pairs.iter().map(|pair| id(driver, pair)).collect())
        .collect::<Result<_>>()?;
    let (mut asked, mut answered, mut done, mut last) = (0, 0, 0, begin);
    let mut to_send: Vec<u32> = Vec::new();
    while answered < commands.len() {
        while asked < commands.len() && asked - answered < IN_FLIGHT_MAX {
            to_send.push(asked as u32);
            asked += 1;
        }
        for number in to_send.drain(..) {
            driver.push(operator, |encoder| encoder.relate_pairs(number, &commands[number as usize]));
        }
        driver.turn(Duration::from_millis(100), |_, event| {
            match event {
                PeerEvent::Related { done: of_these, refused, .. } => {
                    ensure!(refused == 0, "{refused} pairs cannot be contacts");
                    (answered, done, last) = (answered + 1, done + of_these as usize, Instant::now());
                }
                PeerEvent::Busy { request } => to_send.push(request),
                _ => {}
            }
            Ok(())
        })?;
        ensure!(
            last.elapsed() < STALL_MAX,
            "{done} of {} pairs are contacts, and nothing happens",
            pairs.len()
        );
    }
    ensure!(done == pairs.len(), "{done} of {} pairs are contacts", pairs.len());
    driver.cut(operator);
    eprintln!("{} relations in {:.1} s", pairs.len(), begin.elapsed().as_secs_f64());
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
