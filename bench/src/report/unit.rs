//! Units: read from the names of figures, written so that a person can read them.

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quantity {
    /// Shown in the unit that fits; figures of this kind are nanoseconds when they reach [`Unit::show`].
    Time,
    Bytes,
    Count,
}

/// Unit of a figure, such as nanoseconds per message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unit {
    pub quantity: Quantity,
    /// Such as `message` or `s`.
    pub per: Option<String>,
}

/// Whether a higher figure is a better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    Higher,
    Lower,
    /// The name does not tell.
    Unknown,
}

/// What the name of a figure says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// Words without the unit, such as `server CPU`.
    pub words: String,
    /// The part of `WHOLE/PART`.
    pub part: Option<String>,
    pub unit: Unit,
    /// What one of the name's unit is in nanoseconds; 1 for figures that are no times.
    pub scale: u32,
}

/// Reads `words_unit_per_thing` or `words_unit_per_thing/part`.
pub fn parse(name: &str) -> Name {
    let (whole, part) = match name.split_once('/') {
        Some((whole, part)) => (whole, Some(part.to_string())),
        None => (name, None),
    };
    let tokens: Vec<&str> = whole.split('_').collect();
    let at_per =
        tokens.iter().rposition(|token| *token == "per").filter(|at| *at > 0 && at + 1 < tokens.len());
    let (mut words, per) = match at_per {
        Some(at) => (tokens[..at].to_vec(), Some(tokens[at + 1..].join(" "))),
        None => (tokens, None),
    };
    let quantity = match words.last() {
        Some(&"ns") => Some((Quantity::Time, 1)),
        Some(&"us") => Some((Quantity::Time, 1_000)),
        Some(&"ms") => Some((Quantity::Time, 1_000_000)),
        Some(&("s" | "seconds")) => Some((Quantity::Time, 1_000_000_000)),
        Some(&"bytes") => Some((Quantity::Bytes, 1)),
        _ => None,
    };
    if quantity.is_some() && words.len() > 1 {
        words.pop();
    }
    let (quantity, scale) = quantity.unwrap_or((Quantity::Count, 1));
    let words: Vec<&str> = words.into_iter().map(spoken).collect();
    Name { words: words.join(" "), part, unit: Unit { quantity, per }, scale }
}

/// A word of a name as people write it.
fn spoken(word: &str) -> &str {
    match word {
        "cpu" => "CPU",
        "tls" => "TLS",
        "p999" => "p99.9",
        "p9999" => "p99.99",
        word => word,
    }
}

impl Name {
    /// Words, part and what it is per, such as `server CPU per message: committer`.
    pub fn label(&self) -> String {
        let mut label = self.words.clone();
        if self.unit.quantity == Quantity::Bytes && self.words != "bytes" {
            label.push_str(" bytes");
        }
        if let Some(per) = self.unit.per.as_deref().filter(|per| *per != "s") {
            label = format!("{label} per {per}");
        }
        match &self.part {
            Some(part) => format!("{label}: {part}"),
            None => label,
        }
    }
}

impl Unit {
    pub const TIME: Unit = Unit { quantity: Quantity::Time, per: None };

    /// A figure in nanoseconds, bytes or a count, with three digits and its unit. What it is per is left to the label, but for `/s`.
    pub fn show(&self, value: f64) -> String {
        let shown = match self.quantity {
            Quantity::Time => time(value),
            Quantity::Bytes => bytes(value),
            Quantity::Count => plain(value),
        };
        match self.per.as_deref() {
            Some("s") => format!("{shown}/s"),
            _ => shown,
        }
    }

    pub fn better(&self) -> Better {
        match (self.quantity, self.per.as_deref()) {
            (Quantity::Count, Some("s")) => Better::Higher,
            (Quantity::Count, None) | (_, Some("s")) => Better::Unknown,
            _ => Better::Lower,
        }
    }
}

/// Steps of a unit: where it begins, its size and its name.
type Steps = [(f64, &'static str)];
const TIMES: &Steps = &[(1.0, "ns"), (1e3, "µs"), (1e6, "ms"), (1e9, "s")];
const BYTES: &Steps = &[(1.0, "B"), (1024.0, "KiB"), (1_048_576.0, "MiB"), (1_073_741_824.0, "GiB")];
const COUNTS: &Steps = &[(1.0, ""), (1e3, "k"), (1e6, "M"), (1e9, "G")];

/// The largest unit of which a value has at least one; the smallest one for values below it.
pub fn step(quantity: Quantity, value: f64) -> (f64, &'static str) {
    let steps = match quantity {
        Quantity::Time => TIMES,
        Quantity::Bytes => BYTES,
        Quantity::Count => COUNTS,
    };
    // What would be rounded up to 1,000 is shown in the next unit.
    let shown = value.abs() * 1.0005;
    *steps.iter().rev().find(|(size, _)| shown >= *size).unwrap_or(&steps[0])
}

fn time(ns: f64) -> String {
    in_step(Quantity::Time, ns)
}

fn bytes(bytes: f64) -> String {
    in_step(Quantity::Bytes, bytes)
}

fn in_step(quantity: Quantity, value: f64) -> String {
    let (size, name) = step(quantity, value);
    format!("{} {name}", plain(value / size))
}

/// Three digits or all whole ones, with commas: `0.123`, `1.23`, `12.3`, `123`, `1,234,567`.
pub fn plain(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return "-".to_string();
    }
    if size >= 1e15 || (size > 0.0 && size < 0.000_5) {
        return format!("{value:.1e}");
    }
    match size {
        0.0 => "0".to_string(),
        _ if size < 0.9995 => format!("{value:.3}"),
        _ if size < 9.995 => format!("{value:.2}"),
        _ if size < 99.95 => format!("{value:.1}"),
        _ => grouped(value),
    }
}

/// Rounded to a whole number, with commas between thousands.
fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_words_part_and_unit() {
        let name = parse("server_cpu_ns_per_message/shard-0");
        assert_eq!(name.label(), "server CPU per message: shard-0");
        assert_eq!(name.unit, Unit { quantity: Quantity::Time, per: Some("message".into()) });

        let cases = [
            ("delivered_per_s", "delivered", Quantity::Count, Better::Higher),
            ("delivery_p99_ns", "delivery p99", Quantity::Time, Better::Lower),
            ("before_bytes", "before bytes", Quantity::Bytes, Better::Lower),
            ("written_bytes_per_s", "written bytes", Quantity::Bytes, Better::Unknown),
            ("context_switches_per_message", "context switches per message", Quantity::Count, Better::Lower),
            ("sessions", "sessions", Quantity::Count, Better::Unknown),
            ("per_message", "per message", Quantity::Count, Better::Unknown),
            ("ns", "ns", Quantity::Time, Better::Lower),
            ("", "", Quantity::Count, Better::Unknown),
        ];
        for (key, label, quantity, better) in cases {
            let name = parse(key);
            assert_eq!(
                (name.label().as_str(), name.unit.quantity, name.unit.better()),
                (label, quantity, better),
                "{key}"
            );
        }
        assert_eq!(parse("fdatasync_ms").scale, 1_000_000);
    }

    #[test]
    fn figures_have_three_digits_and_the_unit_that_fits() {
        let per_s = Unit { quantity: Quantity::Count, per: Some("s".into()) };
        assert_eq!(per_s.show(1_234_567.4), "1,234,567/s");
        let times = [
            (0.0, "0 ns"),
            (0.25, "0.250 ns"),
            (999.4, "999 ns"),
            (999.6, "1.00 µs"),
            (12_345.0, "12.3 µs"),
            (5.2e7, "52.0 ms"),
            (1e13, "10,000 s"),
        ];
        for (ns, expected) in times {
            assert_eq!(Unit::TIME.show(ns), expected);
        }
        let memory = Unit { quantity: Quantity::Bytes, per: Some("session".into()) };
        assert_eq!(memory.show(512.0), "512 B");
        assert_eq!(memory.show(4_096.0), "4.00 KiB");
        let plains = [
            (f64::NAN, "-"),
            (f64::INFINITY, "-"),
            (1e18, "1.0e18"),
            (1e-9, "1.0e-9"),
            (-1_234.0, "-1,234"),
            (99.97, "100"),
            (9.996, "10.0"),
        ];
        for (value, expected) in plains {
            assert_eq!(plain(value), expected);
        }
    }
}
