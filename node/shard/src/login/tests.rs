//! Accounts and logins, end to end.

use wire::{EventBody, Refusal};

use crate::Config;
use crate::testing::{World, config, refusal_of, resumed};

#[test]
fn one_user_registers_logs_in_and_resumes_wherever_he_connects() {
    for shards in [1, 2, 3] {
        let mut world = World::with(shards, Config { placement_excess_percent: 1_000, ..config() });
        for (number, name) in ["ann", "bob", "cecilia", "dora"].into_iter().enumerate() {
            let login = world.login(number as u16 % shards, name);
            assert_eq!(login.logged_in.name, name);
            assert_eq!(world.shard_of(login.client), world.home_of(login.user));
            world.close(login.client);
            let (_, reply) = world.resume(shards - 1, &login.ticket, 7);
            let resumed = resumed(&reply);
            assert_eq!((resumed.session, resumed.device), (login.logged_in.session, login.device));
            assert_eq!((resumed.afresh, resumed.from), (false, 7));
        }
        world.crash(shards);
        let client = world.connect(0);
        assert_eq!(refusal_of(&world.register(client, "Ann")), Refusal::NameTaken);
        assert!(matches!(world.log_in(client, "ANN", "ann", 1), EventBody::LoggedIn(_)));
    }
}
