//! The ring's counters under names that no shard uses.

use crate::ring::{CloseReason, Connections, Counters};

pub(super) fn lines(connections: &Connections) -> impl Iterator<Item = (String, u64)> + use<> {
    let counters = connections.counters();
    let Counters { accepted, accept_failed, adopted, left, .. } = *counters;
    let Counters { bytes_received, bytes_sent, frames_received, sends, sends_short, .. } = *counters;
    let Counters { starved, stale, pushes_dropped, overflowed, cut_off, turns, sleeps, .. } = *counters;
    let Counters { completions_budget_used_up, ready_budget_used_up, mesh_budget_used_up, .. } = *counters;
    let plain = [
        ("ring.open", connections.len() as u64),
        ("ring.accepted", accepted),
        ("ring.accept_failed", accept_failed),
        ("ring.adopted", adopted),
        ("ring.left", left),
        ("ring.bytes_received", bytes_received),
        ("ring.bytes_sent", bytes_sent),
        ("ring.frames_received", frames_received),
        ("ring.sends", sends),
        ("ring.sends_short", sends_short),
        ("ring.starved", starved),
        ("ring.stale", stale),
        ("ring.pushes_dropped", pushes_dropped),
        ("ring.overflowed", overflowed),
        ("ring.cut_off", cut_off),
        ("ring.turns", turns),
        ("ring.sleeps", sleeps),
        ("ring.completions_budget_used_up", completions_budget_used_up),
        ("ring.ready_budget_used_up", ready_budget_used_up),
        ("ring.mesh_budget_used_up", mesh_budget_used_up),
    ];
    let closed = counters.closed;
    let closed = CloseReason::ALL
        .into_iter()
        .map(move |reason| (format!("ring.closed.{}", reason.name()), closed[reason as usize]))
        .filter(|(_, count)| *count > 0);
    plain.map(|(name, count)| (name.to_owned(), count)).into_iter().chain(closed)
}
