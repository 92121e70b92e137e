//! Every figure of a run over its rounds, in the order in which reports show them.

use super::model::{Report, Round, Run, Spread, Subject};
use super::unit::{self, Unit};

/// Quantiles that reports show of each latency.
pub const QUANTILES: [(f64, &str); 4] = [(0.5, "p50"), (0.99, "p99"), (0.999, "p99.9"), (1.0, "max")];

/// A figure of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Measure {
    /// Equal for the same figure of another run.
    pub key: String,
    pub label: String,
    pub unit: Unit,
    /// Times in nanoseconds.
    pub spread: Spread,
}

impl Measure {
    /// With the unit that the figures behind it do not show.
    pub fn title(&self) -> String {
        let per = if self.unit.per.as_deref() == Some("s") { " per second" } else { "" };
        format!("{}{per}", capitalized(&self.label))
    }
}

/// With a large first letter.
pub fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| format!("{}{}", first.to_uppercase(), letters.as_str()))
}

impl Run {
    /// Rates first, then latencies, then what it cost; parts after their whole.
    pub fn measures(&self) -> Vec<Measure> {
        let (rates, costs): (Vec<_>, Vec<_>) =
            self.values().into_iter().partition(|measure| measure.unit.per.as_deref() == Some("s"));
        rates.into_iter().chain(self.latencies()).chain(costs).collect()
    }

    /// One figure by its key.
    pub fn measure(&self, key: &str) -> Option<Measure> {
        let name = unit::parse(key);
        let spread = match key.split_once('/') {
            Some((whole, _)) => self.part_spread(whole, key),
            None => self.spread(key),
        };
        let spread = spread?.scaled(f64::from(name.scale));
        Some(Measure { key: key.to_string(), label: name.label(), unit: name.unit, spread })
    }

    /// A part that a round does not have was nothing in it.
    fn part_spread(&self, whole: &str, key: &str) -> Option<Spread> {
        self.spread(key)?;
        let of = |round: &Round| match round.values.get(key) {
            Some(value) => Some(*value),
            None => round.values.contains_key(whole).then_some(0.0),
        };
        Spread::of(self.rounds.iter().filter_map(of))
    }

    fn values(&self) -> Vec<Measure> {
        let mut keys: Vec<&String> = self.rounds.iter().flat_map(|round| round.values.keys()).collect();
        keys.sort();
        keys.dedup();
        keys.into_iter().filter_map(|key| self.measure(key)).collect()
    }

    fn latencies(&self) -> Vec<Measure> {
        let mut measures = Vec::new();
        for name in self.latency_names() {
            let samples = self.samples_min(&name) as f64;
            for (quantile, short) in QUANTILES {
                // Without a sample beyond it, it is the maximum under another name.
                if quantile < 1.0 && samples * (1.0 - quantile) < 1.0 - 1e-9 {
                    continue;
                }
                let Some(spread) = self.latency_spread_ns(&name, quantile) else { continue };
                let label = format!("{} {short}", name.replace('_', " "));
                measures.push(Measure {
                    key: format!("latency {name} {short}"),
                    label,
                    unit: Unit::TIME,
                    spread,
                });
            }
        }
        measures
    }

    /// Of the round that has the fewest samples of a latency, but some.
    pub fn samples_min(&self, latency: &str) -> u64 {
        let curves = self.rounds.iter().filter_map(|round| round.latencies.get(latency));
        curves.map(|curve| curve.count).filter(|count| *count > 0).min().unwrap_or(0)
    }

    /// Sorted.
    pub fn latency_names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.rounds.iter().flat_map(|round| round.latencies.keys().cloned()).collect();
        names.sort();
        names.dedup();
        names
    }
}

impl Spread {
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        Self { median: self.median * factor, low: self.low * factor, high: self.high * factor }
    }

    /// This one divided by another: median by median, and the widest range the rounds allow. `None` if the other is not above 0.
    pub fn ratio(self, other: Self) -> Option<Self> {
        if other.median <= 0.0 {
            return None;
        }
        let high = if other.low > 0.0 { self.high / other.low } else { f64::INFINITY };
        Some(Self { median: self.median / other.median, low: self.low / other.high, high })
    }
}

/// Parameters that both must have or lack: a closed loop is not compared with an open one.
const HOW_DRIVEN: [&str; 2] = ["window", "rate"];

impl Report {
    /// This report with the runs, rows and warnings of another that it does not have itself. What keeps them from being one
    /// is a warning.
    #[must_use]
    pub fn with(mut self, other: Report) -> Report {
        if self.commit != other.commit {
            self.warnings
                .push(format!("put together from runs of commits {} and {}", self.commit, other.commit));
        }
        if self.machine != other.machine {
            let machines = (self.machine.text(), other.machine.text());
            self.warnings
                .push(format!("put together from runs on two machines: {} / {}", machines.0, machines.1));
        }
        for warning in other.warnings {
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
        for run in other.runs {
            if self.run(&run.name).is_none() {
                self.runs.push(run);
            }
        }
        for row in other.table {
            if !self.table.iter().any(|own| own.name == row.name) {
                self.table.push(row);
            }
        }
        self
    }

    pub fn run(&self, name: &str) -> Option<&Run> {
        self.runs.iter().find(|run| run.name == name)
    }

    /// The relay run beside a node run: all parameters that both have are equal, and no other has more of them. The plain relay
    /// is the measure of TLS runs too; one with TLS only if there is no plain one.
    pub fn relay_of(&self, run: &Run) -> Option<&Run> {
        if run.subject != Subject::Node {
            return None;
        }
        let relays = self.runs.iter().filter(|other| other.subject == Subject::Relay);
        let usable = relays.filter(|relay| run.has_tls() || !relay.has_tls());
        let matching =
            usable.filter_map(|relay| Some(((!relay.has_tls(), equal_parameters(run, relay)?), relay)));
        let best = matching.reduce(|best, other| if other.0 > best.0 { other } else { best });
        best.map(|(_, relay)| relay)
    }
}

impl Run {
    fn has_tls(&self) -> bool {
        self.parameters.get("tls").is_some_and(|value| value == "yes" || value == "true")
    }
}

/// How many parameters both have, all equal, TLS aside. `None` if one differs or they share none.
fn equal_parameters(run: &Run, relay: &Run) -> Option<usize> {
    if HOW_DRIVEN.iter().any(|key| run.parameters.get(*key) != relay.parameters.get(*key)) {
        return None;
    }
    let mut equal = 0;
    for (key, value) in relay.parameters.iter().filter(|(key, _)| *key != "tls") {
        match run.parameters.get(key) {
            Some(other) if other == value => equal += 1,
            Some(_) => return None,
            None => {}
        }
    }
    (equal > 0).then_some(equal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;
    use crate::report::model::{LatencyCurve, Quantile};

    fn run(subject: Subject, parameters: &[(&str, &str)]) -> Run {
        let parameters = parameters.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        Run { name: format!("{subject:?} {parameters:?}"), subject, parameters, ..Run::default() }
    }

    #[test]
    fn the_relay_of_a_run_has_its_parameters() {
        let wide = run(Subject::Relay, &[("pairs", "200"), ("window", "16")]);
        let narrow = run(Subject::Relay, &[("pairs", "200"), ("window", "1")]);
        let general = run(Subject::Relay, &[("window", "16")]);
        let plain = run(Subject::Node, &[("pairs", "200"), ("window", "16"), ("tls", "no")]);
        let tls = run(Subject::Node, &[("pairs", "200"), ("window", "16"), ("tls", "yes")]);
        let relay_tls = run(Subject::Relay, &[("pairs", "200"), ("window", "16"), ("tls", "yes")]);
        let rate = run(Subject::Node, &[("pairs", "200"), ("rate", "1000")]);
        let idle = run(Subject::Node, &[("sessions", "200")]);
        let report =
            Report { runs: vec![relay_tls.clone(), narrow, general, wide.clone()], ..Report::default() };
        assert_eq!(report.relay_of(&plain).unwrap().name, wide.name);
        assert_eq!(report.relay_of(&tls).unwrap().name, wide.name);
        let only_tls = Report { runs: vec![relay_tls.clone()], ..Report::default() };
        assert_eq!(only_tls.relay_of(&tls).unwrap().name, relay_tls.name);
        assert!(only_tls.relay_of(&plain).is_none());
        assert!(report.relay_of(&idle).is_none());
        assert!(report.relay_of(&wide).is_none(), "a relay has no relay");
        assert!(report.relay_of(&rate).is_none(), "no relay was driven at a rate");
    }

    #[test]
    fn reports_are_put_together_with_a_warning_if_they_do_not_belong_together() {
        let small = fixture::small();
        assert_eq!(small.clone().with(small.clone()).text(), small.text());
        let mut other = fixture::full();
        other.machine.processors = 64;
        other.commit = "0f00d5".into();
        let both = small.clone().with(other.clone());
        assert_eq!(
            both.run("direct, plain, window 16").unwrap().rounds.len(),
            3,
            "the first report's run stays"
        );
        assert!(both.run("direct, TLS, window 16").is_some());
        assert_eq!(both.table.len(), small.table.len() + other.table.len());
        let warned = |words: &str| both.warnings.iter().any(|warning| warning.contains(words));
        assert!(warned("0f00d5") && warned("two machines") && warned("the sources were changed"));
    }

    #[test]
    fn a_part_that_a_round_lacks_was_nothing_in_it() {
        let values = |values: &[(&str, f64)]| fixture::values(values);
        let round = |values| Round { values, ..Round::default() };
        let rounds = vec![
            round(values(&[("cpu_ns", 10.0), ("cpu_ns/a", 4.0), ("cpu_ns/b", 6.0)])),
            round(values(&[("cpu_ns", 5.0), ("cpu_ns/a", 5.0)])),
            round(values(&[("other", 1.0)])),
        ];
        let run = Run { rounds, ..Run::default() };
        assert_eq!(run.measure("cpu_ns/b").unwrap().spread, Spread { median: 3.0, low: 0.0, high: 6.0 });
        assert_eq!(run.measure("cpu_ns/a").unwrap().spread.median, 4.5);
        assert_eq!(run.measure("cpu_ns/c"), None);
    }

    #[test]
    fn quantiles_without_a_sample_beyond_them_are_not_shown() {
        let labels = |count: u64| -> Vec<String> {
            let point = Quantile { quantile: 1.0, ns: 7 };
            let curve = LatencyCurve { count, points: vec![point], ..LatencyCurve::default() };
            let round = Round { latencies: [("ack".to_string(), curve)].into(), ..Round::default() };
            let run = Run { rounds: vec![round], ..Run::default() };
            run.measures().into_iter().map(|measure| measure.label).collect()
        };
        assert_eq!(labels(1_000), ["ack p50", "ack p99", "ack p99.9", "ack max"]);
        assert_eq!(labels(999), ["ack p50", "ack p99", "ack max"]);
        assert_eq!(labels(1), ["ack max"]);
        assert!(labels(0).is_empty());
    }

    #[test]
    fn ratios_have_the_widest_range() {
        let above = Spread { median: 10.0, low: 8.0, high: 12.0 };
        let below = Spread { median: 5.0, low: 4.0, high: 6.0 };
        let ratio = above.ratio(below).unwrap();
        assert_eq!((ratio.median, ratio.high), (2.0, 3.0));
        assert!((ratio.low - 8.0 / 6.0).abs() < 1e-12);
        let zero = Spread { median: 0.0, low: 0.0, high: 0.0 };
        assert_eq!(above.ratio(zero), None);
    }
}
