//! A strict reader of the OpenMetrics text format, version 1.0: what it lets pass, any scraper understands.
//!
//! <https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md#text-format>; beyond it, a family
//! needs `TYPE` and `HELP`, and names keep to this node's prefixes.

use std::collections::{BTreeMap, BTreeSet};

/// Labels of a sample, by name.
pub type Labels = BTreeMap<String, String>;

#[derive(Debug, Default)]
pub struct Family {
    /// `counter`, `gauge` or `histogram`.
    pub kind: String,
    pub help: String,
    pub unit: String,
    /// Name, labels and value of each sample, in their order.
    pub samples: Vec<(String, Labels, f64)>,
}

/// Families by name.
#[derive(Debug)]
pub struct Exposition(pub BTreeMap<String, Family>);

impl Exposition {
    /// # Errors
    /// The first line that breaks the format, with what is wrong about it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let body = text.strip_suffix("# EOF\n").ok_or("no # EOF at the end")?;
        if !(body.is_empty() || body.ends_with('\n')) || body.contains('\r') {
            return Err("lines do not end as they should".into());
        }
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        let mut current = String::new();
        for line in body.lines() {
            let told = match line.strip_prefix("# ") {
                Some(rest) => describe(&mut families, &mut current, rest),
                None => sample(line).and_then(|sample| take(&mut families, &current, sample)),
            };
            told.map_err(|wrong| format!("{wrong}: {line:?}"))?;
        }
        families.iter().try_for_each(|(name, family)| whole(name, family))?;
        Ok(Self(families))
    }

    /// The sum of the samples with this name and, among others, these labels. `None`: there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let fits =
            |has: &Labels| labels.iter().all(|(name, value)| has.get(*name).is_some_and(|v| v == value));
        let samples = self.0.values().flat_map(|family| &family.samples);
        let values = samples.filter(|(own, has, _)| own == name && fits(has)).map(|(.., value)| *value);
        values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
    }

    /// Names of all samples.
    pub fn names(&self) -> BTreeSet<&str> {
        self.0.values().flat_map(|family| &family.samples).map(|(name, ..)| name.as_str()).collect()
    }
}

fn describe(families: &mut BTreeMap<String, Family>, current: &mut String, line: &str) -> Result<(), String> {
    let mut words = line.splitn(3, ' ');
    let (Some(what), Some(name), Some(text)) = (words.next(), words.next(), words.next()) else {
        return Err("half a description".into());
    };
    if !is_name(name) || !(name.starts_with("ringtalk_") || name.starts_with("process_")) {
        return Err("not a name of this node".into());
    }
    if *current != name {
        if families.insert(name.into(), Family::default()).is_some() {
            return Err("the family was there before".into());
        }
        *current = name.into();
    }
    let family = families.get_mut(name).expect("it is the current one");
    if !family.samples.is_empty() {
        return Err("a description behind samples".into());
    }
    let field = match what {
        "TYPE" => &mut family.kind,
        "HELP" => &mut family.help,
        "UNIT" => &mut family.unit,
        _ => return Err("an unknown kind of description".into()),
    };
    if !field.is_empty() || text.is_empty() {
        return Err("told twice, or nothing told".into());
    }
    *field = text.into();
    Ok(())
}

type Sample = (String, Labels, f64);

fn sample(line: &str) -> Result<Sample, String> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, rest) = line.split_at(end);
    let (labels, value) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Labels::new(), rest),
    };
    let value = value.strip_prefix(' ').ok_or("no space in front of the value")?;
    let number = value.parse::<f64>().ok().filter(|number| number.is_finite());
    // Rust reads more than the format has, such as "1.".
    let number = number.filter(|_| value.bytes().all(|byte| b"0123456789.e-".contains(&byte)));
    Ok((name.into(), labels, number.ok_or("not a number")?))
}

/// Labels up to the closing brace, and what is behind it.
fn labels(mut rest: &str) -> Result<(Labels, &str), String> {
    let mut labels = Labels::new();
    loop {
        let (name, behind) = rest.split_once("=\"").ok_or("a label without a value")?;
        let (value, behind) = quoted(behind)?;
        if !is_name(name) || name.starts_with("__") || labels.insert(name.into(), value).is_some() {
            return Err("a label with a wrong name, or twice".into());
        }
        match behind.split_at_checked(1) {
            Some((",", behind)) => rest = behind,
            Some(("}", behind)) => return Ok((labels, behind)),
            _ => return Err("labels do not end".into()),
        }
    }
}

/// Up to the closing quote, without escapes, and what is behind it.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((place, character)) = characters.next() {
        match character {
            '"' => return Ok((value, &text[place + 1..])),
            '\\' => value.push(match characters.next() {
                Some((_, 'n')) => '\n',
                Some((_, escaped @ ('"' | '\\'))) => escaped,
                _ => return Err("an escape that there is not".into()),
            }),
            character => value.push(character),
        }
    }
    Err("a label that does not end".into())
}

fn take(families: &mut BTreeMap<String, Family>, current: &str, sample: Sample) -> Result<(), String> {
    let family = families.get_mut(current).ok_or("a sample in front of all families")?;
    let suffix = sample.0.strip_prefix(current).ok_or("a sample of another family")?;
    let fits = match family.kind.as_str() {
        "counter" => suffix == "_total" && sample.2 >= 0.0,
        "gauge" => suffix.is_empty(),
        "histogram" => ["_bucket", "_sum", "_count"].contains(&suffix) && sample.2 >= 0.0,
        _ => false,
    };
    if !fits || sample.1.contains_key("le") != (suffix == "_bucket") {
        return Err(format!("no sample of a {}", family.kind));
    }
    if family.samples.iter().any(|other| (&other.0, &other.1) == (&sample.0, &sample.1)) {
        return Err("a sample that was there before".into());
    }
    family.samples.push(sample);
    Ok(())
}

/// What can be said of a family when all of it is read.
fn whole(name: &str, family: &Family) -> Result<(), String> {
    if family.kind.is_empty() || family.help.is_empty() {
        return Err(format!("{name} has no TYPE or no HELP"));
    }
    if !family.unit.is_empty() && !name.ends_with(&format!("_{}", family.unit)) {
        return Err(format!("{name} does not end with its unit"));
    }
    if family.kind == "counter" && name.ends_with("_total") {
        return Err(format!("{name} has its suffix twice"));
    }
    if family.kind == "histogram" { buckets(name, family) } else { Ok(()) }
}

/// Buckets rise, are cumulative and end with `+Inf`, which is the count.
fn buckets(name: &str, family: &Family) -> Result<(), String> {
    let mut series: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
    let own = |suffix: &str| {
        let full = format!("{name}{suffix}");
        family.samples.iter().filter(move |(sample, ..)| *sample == full)
    };
    for (_, labels, count) in own("_bucket") {
        let mut labels = labels.clone();
        let bound = labels.remove("le").expect("checked for each bucket");
        let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().map_err(|_| "a bound")? };
        series.entry(labels).or_default().push((bound, *count));
    }
    for suffix in ["_count", "_sum"] {
        if own(suffix).count() != series.len() {
            return Err(format!("{name}: not every series has its {suffix}"));
        }
    }
    for (_, labels, count) in own("_count") {
        let buckets = series.get(labels).ok_or_else(|| format!("{name}: a count without buckets"))?;
        let rises = buckets.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
        if !rises || buckets.last() != Some(&(f64::INFINITY, *count)) {
            return Err(format!("{name}: wrong buckets {buckets:?} for {count}"));
        }
    }
    Ok(())
}

fn is_name(text: &str) -> bool {
    let good = |byte: u8| byte == b'_' || byte.is_ascii_lowercase() || byte.is_ascii_digit();
    !text.is_empty() && text.bytes().all(good) && !text.as_bytes()[0].is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
# HELP ringtalk_a Some.
# TYPE ringtalk_a counter
ringtalk_a_total{shard=\"0\",odd=\"x\\\"y\\\\z\\n}\"} 3
ringtalk_a_total{shard=\"1\"} 4e1
# HELP ringtalk_b_seconds Times.
# TYPE ringtalk_b_seconds histogram
# UNIT ringtalk_b_seconds seconds
ringtalk_b_seconds_sum 1.5
ringtalk_b_seconds_count 2
ringtalk_b_seconds_bucket{le=\"0.001\"} 1
ringtalk_b_seconds_bucket{le=\"+Inf\"} 2
# EOF
";

    #[test]
    fn what_is_right_is_read() {
        let read = Exposition::parse(GOOD).expect("it is right");
        assert_eq!(read.sum("ringtalk_a_total", &[]), Some(43.0));
        assert_eq!(read.sum("ringtalk_a_total", &[("odd", "x\"y\\z\n}")]), Some(3.0));
        assert_eq!(read.sum("ringtalk_a_total", &[("shard", "2")]), None);
        assert_eq!(read.0["ringtalk_b_seconds"].unit, "seconds");
        assert_eq!(read.names().len(), 4);
    }

    #[test]
    fn what_is_wrong_is_not() {
        for (right, wrong) in [
            ("# EOF\n", ""),
            ("# EOF\n", "# EOF\n\n"),
            ("3\n", "3\r\n"),
            ("3\n", "3 \n"),
            ("3\n", "3\n\n"),
            ("3\n", "NaN\n"),
            ("3\n", "-3\n"),
            ("} 3", "}  3"),
            ("\\\"", "\\x"),
            ("shard=\"1\"", "shard=\"1\",shard=\"2\""),
            ("shard=\"1\"", "shard=1"),
            ("{shard=\"1\"}", "{shard=\"0\",odd=\"x\\\"y\\\\z\\n}\"}"),
            ("ringtalk_a_total{shard=\"1\"}", "ringtalk_a{shard=\"1\"}"),
            ("ringtalk_a_total{shard=\"1\"}", "ringtalk_other_total{shard=\"1\"}"),
            ("# TYPE ringtalk_a counter", "# TYPE ringtalk_a gauge"),
            ("# TYPE ringtalk_a counter\n", ""),
            ("# HELP ringtalk_a Some.\n", ""),
            ("# HELP ringtalk_b_seconds", "# HELP ringtalk_a"),
            ("# UNIT ringtalk_b_seconds seconds", "# UNIT ringtalk_b_seconds bytes"),
            ("ringtalk_a", "other_a"),
            ("le=\"+Inf\"} 2", "le=\"+Inf\"} 3"),
            ("le=\"0.001\"} 1", "le=\"0.001\"} 5"),
            ("ringtalk_b_seconds_bucket{le=\"+Inf\"} 2\n", ""),
            ("ringtalk_b_seconds_sum 1.5\n", ""),
        ] {
            let text = GOOD.replace(right, wrong);
            assert_ne!(text, GOOD, "{right:?} is not there");
            assert!(Exposition::parse(&text).is_err(), "{wrong:?} instead of {right:?} was taken");
        }
    }
}
