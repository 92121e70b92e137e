//! A proof without a challenge, or one that is no proof at all.

use wire::DeviceId;
use wire::message::{DeviceClass, LoginProof};

use crate::sim::faults::Fault;
use crate::sim::world::World;

pub fn run(world: &mut World) {
    let probe = world.some_probe();
    let old = world.probes[probe].last_proof.clone();
    let client_final = if world.workload.chance(500) { old } else { "c=biws,r=none,p=bm9uZQ==".to_owned() };
    world.tally.add(Fault::BadProof);
    world.greeted_probe_sends(probe, |probe| {
        let request = probe.request();
        let proof = LoginProof {
            client_final: &client_final,
            device: DeviceId(1),
            device_name: "probe",
            device_class: DeviceClass::Bot,
        };
        probe.encoder.login_proof(request, &proof)
    });
}
