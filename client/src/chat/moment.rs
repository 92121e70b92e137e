//! Times as people read them.

use chrono::{DateTime, Datelike, TimeZone, Timelike, Utc};

/// A time in some zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Equal for two times of one day.
    pub day: i32,
    /// Like `Tuesday, 24 November 2026`.
    pub day_text: String,
    /// Like `14:03`.
    pub clock_text: String,
}

/// In the zone of this machine. `time_ms` is Unix time.
pub fn local(time_ms: u64) -> Moment {
    moment(&chrono::Local, time_ms)
}

#[cfg(test)]
pub fn utc(time_ms: u64) -> Moment {
    moment(&Utc, time_ms)
}

fn moment<Z: TimeZone>(zone: &Z, time_ms: u64) -> Moment {
    let utc =
        i64::try_from(time_ms).ok().and_then(DateTime::<Utc>::from_timestamp_millis).unwrap_or_default();
    let at = utc.with_timezone(zone).naive_local();
    Moment {
        day: at.num_days_from_ce(),
        day_text: at.format("%A, %-d %B %Y").to_string(),
        clock_text: format!("{:02}:{:02}", at.hour(), at.minute()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_clocks() {
        let moment = utc(1_795_532_580_000);
        assert_eq!(
            (moment.day_text.as_str(), moment.clock_text.as_str()),
            ("Tuesday, 24 November 2026", "15:03")
        );
        assert_eq!(utc(1_795_532_580_000 + 86_400_000).day, moment.day + 1);
        assert_eq!(utc(u64::MAX).day_text, "Thursday, 1 January 1970");
    }
}
