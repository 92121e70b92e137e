//! From figures to pixels, and where an axis has its ticks.

use crate::report::unit::{self, Quantity};

/// How an axis is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// From zero, or from below it if there are such figures.
    Linear,
    /// By powers of ten. What is not above zero lies at the low end.
    Log,
    /// Quantiles by how many are slower: from 0.9 to 0.99 is as far as from 0.99 to 0.999.
    Quantile,
}

/// A place on an axis. Ticks without a label are only a line.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    pub value: f64,
    pub label: Option<String>,
}

/// An axis with its bounds.
#[derive(Debug, Clone, PartialEq)]
pub struct Scale {
    kind: Kind,
    low: f64,
    high: f64,
    pub ticks: Vec<Tick>,
}

impl Scale {
    /// Around figures, with about `count` labels.
    pub fn around(kind: Kind, quantity: Quantity, values: impl Iterator<Item = f64>, count: usize) -> Self {
        let count = count.max(2) as f64;
        match kind {
            Kind::Linear => Self::linear(quantity, values, count),
            Kind::Log => Self::log(quantity, values, count),
            Kind::Quantile => Self::quantile(values),
        }
    }

    /// Where a figure lies, from 0 to 1.
    pub fn place(&self, value: f64) -> f64 {
        let place = match self.kind {
            Kind::Linear => (value - self.low) / (self.high - self.low),
            Kind::Log => {
                (value.max(self.low).log10() - self.low.log10()) / (self.high.log10() - self.low.log10())
            }
            Kind::Quantile => rarity(value) / rarity(self.high),
        };
        place.clamp(0.0, 1.0)
    }

    fn linear(quantity: Quantity, values: impl Iterator<Item = f64>, count: f64) -> Self {
        let (low, high) =
            values.fold((0.0_f64, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        let high = if low == 0.0 && high == 0.0 { 1.0 } else { high };
        let (size, _) = unit::step(quantity, high.max(-low));
        let step = nice_above((high - low) / size / count) * size;
        let (first, last) = ((low / step).floor(), (high / step).ceil());
        let (size, name) = unit::step(quantity, step * last.max(-first));
        let ticks = (0..=(last - first) as u32).map(|index| {
            let value = (first + f64::from(index)) * step;
            Tick { value, label: Some(tick_label(value / size, name)) }
        });
        Self { kind: Kind::Linear, low: first * step, high: last * step, ticks: ticks.collect() }
    }

    fn log(quantity: Quantity, values: impl Iterator<Item = f64>, count: f64) -> Self {
        let positive = values.filter(|value| *value > 0.0);
        let bounds = positive.fold(None, |bounds: Option<(f64, f64)>, value| {
            let (low, high) = bounds.unwrap_or((value, value));
            Some((low.min(value), high.max(value)))
        });
        let (low, high) = bounds.unwrap_or((1.0, 10.0));
        let (low, mut high) = (nice_below(low), nice_above(high));
        if high <= low * 1.5 {
            high = low * 10.0;
        }
        let decades = high.log10() - low.log10();
        Self { kind: Kind::Log, low, high, ticks: log_ticks(quantity, low, high, decades, count) }
    }

    fn quantile(values: impl Iterator<Item = f64>) -> Self {
        /// Beyond it 1 and the quantile are one number.
        const QUANTILE_MAX: f64 = 1.0 - 1e-9;
        let high = values.fold(0.9, f64::max).min(QUANTILE_MAX);
        let named = [0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999_999, 0.999_999_9];
        let ticks = named.into_iter().filter(|quantile| *quantile <= high + 1e-12);
        let ticks = ticks.map(|value| Tick { value, label: Some(format!("p{}", trimmed(value * 100.0))) });
        Self { kind: Kind::Quantile, low: 0.0, high, ticks: ticks.collect() }
    }
}

/// Powers of ten of which one in so many has a label; 2 and 5 between them if there is room.
fn log_ticks(quantity: Quantity, low: f64, high: f64, decades: f64, count: f64) -> Vec<Tick> {
    let stride = (decades / count).ceil().max(1.0) as i32;
    let between: &[f64] = match decades {
        _ if decades * 3.0 <= count + 1.0 => &[1.0, 2.0, 5.0],
        _ if decades <= 6.0 => &[1.0, 0.0, 0.0],
        _ => &[1.0],
    };
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let mut ticks = Vec::new();
    for exponent in first..=last {
        let power = 10.0_f64.powi(exponent);
        let labelled = exponent.rem_euclid(stride) == 0;
        if between.len() == 1 && !labelled {
            continue;
        }
        let lines: &[f64] = if between.len() == 1 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        for part in lines {
            let value = power * part;
            let with_label = labelled && between.contains(part);
            let (size, name) = unit::step(quantity, value);
            ticks.push(Tick { value, label: with_label.then(|| tick_label(value / size, name)) });
        }
    }
    // A little more than the bounds, for what does not divide evenly.
    ticks.retain(|tick| tick.value >= low * 0.999 && tick.value <= high * 1.001);
    ticks
}

/// Tenfold for each nine of a quantile: 0 at 0, 1 at 0.9, 2 at 0.99.
fn rarity(quantile: f64) -> f64 {
    -(1.0 - quantile).max(1e-12).log10()
}

/// The smallest of 1, 2 and 5 times a power of ten that is not below a positive figure.
fn nice_above(value: f64) -> f64 {
    let power = 10.0_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    steps.into_iter().map(|step| step * power).find(|nice| *nice >= value * 0.999_999).unwrap_or(power * 10.0)
}

/// The largest of 1, 2 and 5 times a power of ten that is not above a positive figure.
fn nice_below(value: f64) -> f64 {
    let power = 10.0_f64.powf(value.log10().floor());
    [5.0, 2.0, 1.0]
        .into_iter()
        .map(|step| step * power)
        .find(|nice| *nice <= value * 1.000_001)
        .unwrap_or(power)
}

/// Such as `20 ms`, `1.5 k` or `0`.
fn tick_label(value: f64, unit: &str) -> String {
    match (value, unit) {
        (0.0, _) => "0".to_string(),
        (_, "") => trimmed(value),
        _ => format!("{} {unit}", trimmed(value)),
    }
}

/// At most five digits behind the point, without zeros at the end; powers of ten for what is very large or small.
fn trimmed(value: f64) -> String {
    if value.abs() >= 1e6 || (value != 0.0 && value.abs() < 1e-4) {
        return format!("{value:.0e}");
    }
    let text = format!("{value:.5}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: &Scale) -> Vec<&str> {
        scale.ticks.iter().filter_map(|tick| tick.label.as_deref()).collect()
    }

    fn around(kind: Kind, quantity: Quantity, values: &[f64]) -> Scale {
        Scale::around(kind, quantity, values.iter().copied(), 5)
    }

    #[test]
    fn linear_axes_begin_at_zero_and_have_round_steps() {
        let scale = around(Kind::Linear, Quantity::Count, &[187_000.0, 23.0]);
        assert_eq!(labels(&scale), ["0", "50 k", "100 k", "150 k", "200 k"]);
        assert_eq!(
            labels(&around(Kind::Linear, Quantity::Count, &[987_000.0])),
            ["0", "0.2 M", "0.4 M", "0.6 M", "0.8 M", "1 M"]
        );
        assert!((scale.place(100_000.0) - 0.5).abs() < 1e-12);
        assert_eq!(
            labels(&around(Kind::Linear, Quantity::Time, &[4.2e6])),
            ["0", "1 ms", "2 ms", "3 ms", "4 ms", "5 ms"]
        );
        assert_eq!(
            labels(&around(Kind::Linear, Quantity::Bytes, &[4_900.0])),
            ["0", "1 KiB", "2 KiB", "3 KiB", "4 KiB", "5 KiB"]
        );
        assert_eq!(
            labels(&around(Kind::Linear, Quantity::Count, &[])),
            ["0", "0.2", "0.4", "0.6", "0.8", "1"]
        );
        assert_eq!(labels(&around(Kind::Linear, Quantity::Count, &[-3.0, 4.0])), ["-4", "-2", "0", "2", "4"]);
    }

    #[test]
    fn log_axes_have_labels_at_powers_of_ten() {
        assert_eq!(
            labels(&around(Kind::Log, Quantity::Time, &[30_000.0, 9e7])),
            ["100 µs", "1 ms", "10 ms", "100 ms"]
        );
        assert_eq!(
            labels(&around(Kind::Log, Quantity::Time, &[1.3e6, 7e6])),
            ["1 ms", "2 ms", "5 ms", "10 ms"]
        );
        let wide = around(Kind::Log, Quantity::Count, &[1.0, 1e30]);
        assert!((2..=6).contains(&labels(&wide).len()), "{:?}", labels(&wide));
        let scale = around(Kind::Log, Quantity::Time, &[0.0, 1e6]);
        assert_eq!(scale.place(0.0), 0.0, "zero lies at the low end");
        assert_eq!(labels(&around(Kind::Log, Quantity::Time, &[])), ["1 ns", "2 ns", "5 ns", "10 ns"]);
    }

    #[test]
    fn each_nine_of_a_quantile_is_as_far() {
        let scale = around(Kind::Quantile, Quantity::Count, &[0.0, 0.5, 0.9999]);
        assert_eq!(labels(&scale), ["p50", "p90", "p99", "p99.9", "p99.99"]);
        for (quantile, place) in
            [(0.0, 0.0), (0.9, 0.25), (0.99, 0.5), (0.999, 0.75), (0.9999, 1.0), (1.0, 1.0)]
        {
            assert!((scale.place(quantile) - place).abs() < 1e-9, "{quantile} at {}", scale.place(quantile));
        }
    }
}
