//! New passwords, ends of accounts and one-time codes, all by hostile clients: those have accounts of their own, which may end.

use wire::account::ProofTerms;
use wire::scram::{ClientStart, NONCE_LEN, nonce_text};

use crate::sim::faults::Fault;
use crate::sim::scram;
use crate::sim::world::World;

/// A probe asks for a challenge; what it does with it is decided when it comes.
pub fn start_proof(world: &mut World) {
    let probe = world.some_probe();
    if world.probes[probe].user().is_none() {
        return;
    }
    let nonce: [u8; NONCE_LEN] = world.workload.bytes();
    world.greeted_probe_sends(probe, |probe| {
        let start = ClientStart::unbound(&probe.name, nonce_text(&nonce));
        let message = start.message().to_owned();
        probe.proof = Some(start);
        let request = probe.request();
        probe.encoder.proof_start(request, &message)
    });
}

/// Without a challenge, or with a proof of before.
pub fn change_password(world: &mut World) {
    let probe = world.some_probe();
    world.tally.add(Fault::BadProof);
    world.greeted_probe_sends(probe, |probe| {
        let request = probe.request();
        let proof = probe.last_proof.clone();
        probe.encoder.change_password(request, &proof, &[1; 32], &[2; 32])
    });
}

pub fn delete(world: &mut World) {
    let probe = world.some_probe();
    world.tally.add(Fault::BadProof);
    world.greeted_probe_sends(probe, |probe| {
        let request = probe.request();
        let proof = probe.last_proof.clone();
        probe.encoder.delete_account(request, &proof)
    });
}

pub fn start_code(world: &mut World) {
    let probe = world.some_probe();
    let name = world.devices[0].name.clone();
    world.greeted_probe_sends(probe, |probe| {
        let request = probe.request();
        probe.encoder.code_start(request, &name)
    });
}

/// A code that nobody was given, for the account of somebody else or of nobody.
pub fn redeem(world: &mut World) {
    let probe = world.some_probe();
    let honest = world.devices[0].name.clone();
    let name = if world.workload.chance(700) { honest } else { "nobody".into() };
    world.tally.add(Fault::BadProof);
    if world.workload.chance(800) {
        world.greeted_probe_sends(probe, |probe| {
            let request = probe.request();
            probe.encoder.code_start(request, &name)
        });
    }
    world.greeted_probe_sends(probe, |probe| {
        let request = probe.request();
        probe.encoder.redeem_code(request, &name, "abcde", &[1; 32], &[2; 32])
    });
}

impl World {
    /// The challenge that a probe asked for: it changes its password, or ends its account.
    pub fn probe_confirms(&mut self, number: usize, terms: &ProofTerms) {
        let wrong = self.probe_stream.chance(200);
        let ends = self.probe_stream.chance(150);
        let new = format!("changed {}", self.probe_stream.below(1_000));
        let probe = &mut self.probes[number];
        let Some(start) = probe.proof.take() else { return };
        // This may answer an earlier question, or a replayed one.
        let Ok(challenged) = start.handle_server_first(&terms.server_first) else { return };
        let password = if wrong { "guess" } else { probe.password.as_str() };
        let keys = scram::stretch(password, challenged.salt(), challenged.iterations());
        let message = challenged.prove(&keys, &[]).message().to_owned();
        if ends {
            return self.probe_sends(number, |probe| {
                let request = probe.request();
                probe.encoder.delete_account(request, &message)
            });
        }
        let keys = scram::stretch(&new, &terms.salt, terms.iterations).credentials();
        probe.new_password = Some(new);
        self.probe_sends(number, |probe| {
            let request = probe.request();
            probe.encoder.change_password(request, &message, &keys.stored_key, &keys.server_key)
        });
    }

    /// The account of a probe is gone: it makes another one.
    pub fn probe_begins_anew(&mut self, number: usize) {
        let probe = &mut self.probes[number];
        probe.lives += 1;
        probe.name = format!("probe{number}x{}", probe.lives);
        probe.registered = false;
    }
}
