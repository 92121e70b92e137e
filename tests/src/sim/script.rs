//! What happens to a world from outside: operations, faults, and the look at whether it has come to rest.

use super::faults::Fault;
use super::network::Side;
use super::queue::Event;
use super::random::Stream;
use super::world::World;

/// Operations of one world, at least.
pub const OPERATIONS_MIN: u64 = 2_000;
/// Operations of a long world: enough for a log that outgrows its checkpoint.
const OPERATIONS_LONG: u64 = 4_000;
/// Crashes of the node in one world, at least.
pub const CRASHES_MIN: u64 = 3;
/// After the faults are over, everything has come to rest within so long, or it is a violation.
const REST_US_MAX: u64 = 90_000_000;
const LOOK_US: u64 = 250_000;
/// By then stalls are over, and everything that hostile clients asked for is answered.
const PROBES_LEAVE_US: u64 = 16_000_000;
/// Lulls in one world.
const LULLS: usize = 4;
/// How long a crash waits for its moment.
const CRASH_PATIENCE_US: u64 = 600_000;

/// The plan of one world.
#[derive(Debug)]
pub struct Script {
    operations: u64,
    /// Of 1,000 messages so many go to the first users; the others to anybody.
    pub focus_permille: u64,
    /// The operations at which the node crashes.
    crashes: Vec<u64>,
    /// The operations behind which there is a lull.
    lulls: Vec<u64>,
    /// The operation at which it is told to stop.
    stop: u64,
    pause_us_max: u64,
    burst: u64,
    rest_by_us: u64,
    /// A crash is due as soon as so many batches of one store shard are unsynced, or at this time.
    crash_due: Option<(usize, u64)>,
}

impl Script {
    pub fn new(seed: u64) -> Self {
        let mut stream = Stream::new(seed, "script");
        let long = stream.chance(80);
        let operations = if long { OPERATIONS_LONG } else { OPERATIONS_MIN };
        let count = stream.between(CRASHES_MIN, CRASHES_MIN + 3);
        let mut crashes: Vec<_> = (0..count).map(|_| stream.between(60, operations - 60)).collect();
        crashes.sort_unstable();
        let mut lulls: Vec<_> = (0..LULLS).map(|_| stream.between(60, operations - 60)).collect();
        lulls.sort_unstable();
        Self {
            operations,
            focus_permille: if long { 950 } else { *stream.pick(&[200, 500, 900]) },
            crashes,
            lulls,
            stop: stream.between(60, operations - 60),
            pause_us_max: *stream.pick(&[4_000, 12_000, 24_000]),
            burst: 0,
            rest_by_us: 0,
            crash_due: None,
        }
    }
}

impl World {
    pub fn on_operation(&mut self) {
        self.plan_crash();
        if self.operations == self.script.operations {
            if self.script.crash_due.is_none() && self.script.crashes.is_empty() {
                return self.heal();
            }
            return self.queue.after(10_000, Event::Operation);
        }
        self.operate();
        if self.script.lulls.first().is_some_and(|at| *at <= self.operations)
            && self.script.crash_due.is_none()
        {
            self.script.lulls.remove(0);
            return self.lull_begins();
        }
        if self.script.burst > 0 {
            self.script.burst -= 1;
        } else if self.workload.chance(10) {
            self.script.burst = self.workload.between(10, 80);
        }
        let pause_us = if self.script.burst > 0 { 200 } else { self.script.pause_us_max };
        let pause_us = self.workload.below(pause_us);
        self.queue.after(pause_us, Event::Operation);
    }

    fn plan_crash(&mut self) {
        let done = self.operations;
        if self.node.is_none() || self.script.crash_due.is_some() {
            return;
        }
        if self.script.crashes.first().is_some_and(|at| *at <= done) {
            self.script.crashes.remove(0);
            let batches = *self.fault_stream.pick(&[0, 1, 2, 2, 3]);
            self.script.crash_due = Some((batches, self.queue.now_us() + CRASH_PATIENCE_US));
        } else if self.script.stop <= done {
            self.script.stop = u64::MAX;
            self.node_stop();
        }
    }

    /// The disk hangs before the power goes.
    pub fn crash_is_due(&self) -> bool {
        self.script.crash_due.is_some()
    }

    /// Crashes are most telling while batches are on their way to the disk.
    pub fn crash_if_due(&mut self) {
        let Some((batches, by_us)) = self.script.crash_due else { return };
        if self.node.is_some() && (self.most_pending() >= batches || self.queue.now_us() >= by_us) {
            self.script.crash_due = None;
            self.node_crash("power cut");
        }
    }

    pub fn on_fault(&mut self) {
        if self.healed || self.lull.is_some() {
            return; // a lull plans the next one
        }
        let delay_us = self.fault_stream.between(5_000, 120_000);
        self.queue.after(delay_us, Event::Fault);
        let overdue =
            self.node.as_ref().is_some_and(|node| node.stopping) && self.queue.now_us() > self.stop_by_us;
        self.violation_if(overdue, || "the node was told to stop and does not".into());
        match self.fault_stream.below(100) {
            0..30 => self.fault_reset(),
            30..55 => self.fault_stall(),
            55..70 => {
                let device = self.fault_stream.index(self.devices.len());
                let for_us = self.fault_stream.between(50_000, 3_000_000);
                self.device_stops_reading(device, for_us);
            }
            70..82 => {
                let writing: Vec<_> = (0..self.devices.len())
                    .filter(|number| !self.devices[*number].unpersisted.is_empty())
                    .collect();
                let any = self.fault_stream.index(self.devices.len());
                let device = if writing.is_empty() { any } else { *self.fault_stream.pick(&writing) };
                self.device_crash(device);
            }
            82..83 => {
                let device = self.fault_stream.index(self.devices.len());
                self.device_wipe(device);
            }
            83..93 => self.fault_clock_step(),
            96..100 => {
                self.operator_acts();
                self.repeat_resets();
            }
            93..96 => {
                self.store.set_full(true);
                let for_us = self.fault_stream.between(10_000, 900_000);
                self.queue.after(for_us, Event::DiskHasSpace);
            }
            _ => {}
        }
    }

    fn fault_reset(&mut self) {
        let links: Vec<_> = self.network.links.keys().copied().collect();
        if !links.is_empty() {
            let link = *self.fault_stream.pick(&links);
            self.reset_link(link);
        }
    }

    fn fault_stall(&mut self) {
        let links: Vec<_> = self.network.links.keys().copied().collect();
        if links.is_empty() {
            return;
        }
        let link = *self.fault_stream.pick(&links);
        let to = *self.fault_stream.pick(&[Side::Node, Side::Actor]);
        let long = self.fault_stream.chance(50);
        let for_us = self.fault_stream.between(1_000, if long { 12_000_000 } else { 400_000 });
        self.network.stall(link, to, self.queue.now_us() + for_us);
        self.tally.add(Fault::ConnectionStall);
    }

    fn fault_clock_step(&mut self) {
        let step_ms = self.fault_stream.between(1, 3_600_000) as i64;
        if self.fault_stream.chance(500) {
            self.machine.wall_offset_ms += step_ms;
            self.tally.add(Fault::ClockForward);
        } else {
            self.machine.wall_offset_ms -= step_ms;
            self.tally.add(Fault::ClockBack);
        }
    }

    /// The operations are done: faults end, and what is broken is mended.
    fn heal(&mut self) {
        self.healed = true;
        self.script.crash_due = None;
        self.trace.note(self.queue.now_us(), &[70], &[], || "faults are over".into());
        self.store.set_full(false);
        self.script.rest_by_us = self.queue.now_us() + REST_US_MAX;
        for number in 0..self.devices.len() {
            if !self.devices[number].reading {
                self.on_reads_again(number);
            }
        }
        for number in 0..self.probes.len() {
            self.probes[number].reading = true;
            if let Some(link) = self.probes[number].link {
                self.take_untaken(link, Side::Actor);
            }
        }
        self.queue.after(PROBES_LEAVE_US, Event::ProbesLeave);
        self.queue.after(PROBES_LEAVE_US + LOOK_US, Event::Look);
    }

    /// Has everything come to rest, and is it as the model says?
    pub fn on_look(&mut self) {
        self.repeat_resets();
        match self.unsettled() {
            None => {
                self.check_settled();
                self.finish();
            }
            Some(what) if self.queue.now_us() > self.script.rest_by_us => {
                self.model.violate(format!("no rest: {what}"));
            }
            Some(_) => self.queue.after(LOOK_US, Event::Look),
        }
    }
}
