//! Figures with their names, before they become text.

use std::borrow::Cow;

use super::Histogram;

/// What a family of figures is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises while the node runs.
    Counter,
    Gauge,
    Histogram,
}

/// The base unit; part of the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    None,
    Seconds,
    Bytes,
}

/// One figure.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Whole(u64),
    Real(f64),
    /// `per_unit`: how many of its values make one of the base unit.
    Histogram {
        histogram: Histogram,
        per_unit: f64,
    },
}

/// One figure with what tells it from the others of its family.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub labels: Vec<(&'static str, Cow<'static, str>)>,
    pub value: Value,
}

/// Figures of one name.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// Without the unit, and without `_total` and the like.
    pub name: Cow<'static, str>,
    pub help: &'static str,
    pub kind: Kind,
    pub unit: Unit,
    pub samples: Vec<Sample>,
}

/// Families in the making.
#[derive(Debug, Default)]
pub struct Families {
    pub list: Vec<Family>,
}

impl Families {
    /// Begins a family; its samples come with [`Family::add`]. The name gets the prefix `ringtalk_`.
    pub fn begin(&mut self, kind: Kind, name: &str, unit: Unit, help: &'static str) -> &mut Family {
        self.begin_foreign(kind, format!("ringtalk_{name}"), unit, help)
    }

    /// A family whose name others have fixed.
    pub fn begin_foreign(
        &mut self,
        kind: Kind,
        name: impl Into<Cow<'static, str>>,
        unit: Unit,
        help: &'static str,
    ) -> &mut Family {
        let name = name.into();
        assert!(self.list.iter().all(|family| family.name != name), "two families are named {name}");
        self.list.push(Family { name, help, kind, unit, samples: Vec::new() });
        self.list.last_mut().expect("it was pushed a moment ago")
    }
}

impl Family {
    pub fn add(&mut self, labels: &[(&'static str, &str)], value: impl Into<Value>) {
        let labels = labels.iter().map(|(name, value)| (*name, Cow::Owned((*value).to_owned()))).collect();
        self.samples.push(Sample { labels, value: value.into() });
    }

    /// Its name as it stands in an exposition's `TYPE` line.
    pub fn full_name(&self) -> String {
        let unit = match self.unit {
            Unit::None => "",
            Unit::Seconds => "_seconds",
            Unit::Bytes => "_bytes",
        };
        format!("{}{unit}", self.name)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Value::Whole(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Value::Real(value)
    }
}
