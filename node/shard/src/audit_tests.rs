//! The audit log: what stands in it, in which order it is read, and that it stays bounded.

use std::net::IpAddr;

use record::{AuditAct, AuditClass, Key};
use wire::{Refusal, Scopes, Slot, UserId};

use crate::Security;
use crate::admin::{AdminReply, AdminRequest, AuditLine};
use crate::limits::{AUDIT_KEPT_MAX, AUDIT_SWEEP};
use crate::testing::{World, refusal_of};

/// All that this shard has, some at a time.
fn read(world: &mut World, shard: u16, rows_max: u32) -> Vec<AuditLine> {
    let (mut all, mut after) = (Vec::new(), (0, 0));
    loop {
        match world.admin(shard, AdminRequest::ReadAudit { after, rows_max }) {
            AdminReply::Audit { lines, covered } => {
                assert!(lines.len() <= rows_max as usize);
                all.extend(lines);
                match covered {
                    Some(covered) => after = covered,
                    None => return all,
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

fn acts(lines: &[AuditLine]) -> Vec<(&str, &str)> {
    lines.iter().map(|line| (&line.act[..], &line.name[..])).collect()
}

#[test]
fn acts_are_read_in_order_however_many_at_a_time_and_after_a_crash() {
    let mut world = World::new(1);
    for name in ["Ann", "bob", "carl", "dora"] {
        world.login(0, name);
        world.advance(10);
    }
    let robot = world.token_login(0, "robot", Scopes::ALL).token;
    world.advance(10);
    let revoke = AdminRequest::RevokeToken { name: "robot".into(), number: robot.number };
    world.admin(0, revoke);
    let all = read(&mut world, 0, 256);
    let expected = [
        ("registered", "Ann"),
        ("registered", "bob"),
        ("registered", "carl"),
        ("registered", "dora"),
        ("token created", "robot"),
        ("token revoked", "robot"),
    ];
    assert_eq!(acts(&all), expected);
    assert_eq!((all[4].subject, all[4].by), (robot.user.0, 0));
    for rows_max in 1..7 {
        assert_eq!(read(&mut world, 0, rows_max), all, "by {rows_max}");
    }
    world.crash(2);
    let mut both = [read(&mut world, 0, 2), read(&mut world, 1, 2)].concat();
    both.sort_by_key(|line| (line.time_ms, line.number));
    assert_eq!(both, all);
}

#[test]
fn who_is_slowed_down_stands_in_the_log_once_whether_the_name_exists_or_not() {
    let mut world = World::new(1);
    world.login(0, "ann");
    let attacker = IpAddr::from([10, 0, 0, 9]);
    for name in ["ann", "nobody"] {
        for _ in 0..2 {
            let client = world.open_as(0, attacker, Security::Plain { loopback: true });
            world.greet(client);
            for _ in 0..3 {
                let refusal = refusal_of(&world.log_in(client, name, "guess", 0));
                assert!(matches!(refusal, Refusal::LoginFailed | Refusal::LoginDelayed), "{refusal:?}");
            }
        }
    }
    let slowed: Vec<_> = read(&mut world, 0, 256)
        .into_iter()
        .filter(|line| line.act == AuditAct::LoginSlowed.name())
        .collect();
    assert_eq!(acts(&slowed), [("login slowed down", "ann"), ("login slowed down", "nobody")]);
    assert!(slowed.iter().all(|line| line.detail == "from 10.0.0.9" && line.subject == 0));
}

#[test]
fn a_slot_keeps_the_newest_and_nobody_pushes_out_what_operators_did() {
    let mut world = World::new(1);
    let slot = Slot::of(5);
    let note = |world: &mut World, act: AuditAct, count: usize| {
        for number in 0..count {
            world.within(0, |shard| {
                shard.core.audit(slot, act, UserId::NOBODY, UserId::NOBODY, "name", format!("{number}"));
            });
            world.advance(100);
        }
    };
    note(&mut world, AuditAct::Disabled, 1);
    let many = AUDIT_KEPT_MAX + 2 * AUDIT_SWEEP as usize;
    note(&mut world, AuditAct::LoginSlowed, many);
    let kept = |class| {
        let of = |key: &&bytes::Bytes| matches!(Key::parse(key), Some(Key::Audit(_, place)) if place.class == class);
        world.disk.rows.keys().filter(of).count()
    };
    let left = kept(AuditClass::Open);
    assert!((AUDIT_KEPT_MAX..AUDIT_KEPT_MAX + AUDIT_SWEEP as usize + 1).contains(&left), "{left} are left");
    assert_eq!(kept(AuditClass::Known), 1);
    let lines = read(&mut world, 0, 64);
    assert_eq!((lines[0].act.as_str(), lines.len()), ("disabled", left + 1));
    assert_eq!(lines.last().map(|line| line.detail.clone()), Some(format!("{}", many - 1)));
}
