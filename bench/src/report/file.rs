//! Where a report goes: to the terminal and into files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;

use super::model::{REPORT_FORMAT, Report, Round};
use super::plot::figures::Figure;

/// Forms of a report; every scenario has these.
#[derive(Args, Debug, Clone, Default)]
pub struct Outputs {
    /// Print JSON instead of text.
    #[arg(long)]
    pub json: bool,
    /// Save the report as JSON, for `show` and `compare`.
    #[arg(long, visible_alias = "out", value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Write the report as one HTML file with plots.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write one plot as an SVG file.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Which plot.
    #[arg(long, value_enum, default_value_t, requires = "svg", value_name = "PLOT")]
    pub plot: Figure,
    /// Of which run, for a plot of one run [default: the first that has it]
    #[arg(long, requires = "svg", value_name = "NAME")]
    pub plot_run: Option<String>,
}

impl Outputs {
    /// Writes all that was asked for. Figures that are no numbers are left out, with a warning in the report.
    pub fn write(&self, mut report: Report) -> anyhow::Result<()> {
        self.write_files(&mut report)?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            print!("{}", report.text());
        }
        Ok(())
    }

    /// The same without what is printed.
    pub fn write_files(&self, report: &mut Report) -> anyhow::Result<()> {
        report.prune();
        if let Some(path) = &self.save {
            save(report, path)?;
        }
        if let Some(path) = &self.html {
            write(path, &report.html())?;
        }
        if let Some(path) = &self.svg {
            let Some(svg) = self.plot.standalone(report, self.plot_run.as_deref()) else {
                bail!("the report has nothing for this plot");
            };
            write(path, &svg)?;
        }
        Ok(())
    }
}

fn write(path: &Path, content: &str) -> anyhow::Result<()> {
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}

fn save(report: &Report, path: &Path) -> anyhow::Result<()> {
    write(path, &serde_json::to_string(report)?)
}

/// Reads a saved report.
pub fn load(path: &Path) -> anyhow::Result<Report> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).with_context(|| format!("{} is no report", path.display()))
}

fn parse(text: &str) -> anyhow::Result<Report> {
    let report: Report = serde_json::from_str(text)?;
    if report.format != REPORT_FORMAT {
        bail!("its format is {}, this program reads {REPORT_FORMAT}", report.format);
    }
    Ok(report)
}

impl Report {
    /// Takes out what JSON cannot hold, and says so.
    fn prune(&mut self) {
        for run in &mut self.runs {
            for (index, round) in run.rounds.iter_mut().enumerate() {
                for name in round.prune() {
                    run.warnings.push(format!("{name} of round {} is no number", index + 1));
                }
            }
        }
    }
}

impl Round {
    /// Names of what was taken out.
    fn prune(&mut self) -> Vec<String> {
        let mut pruned = Vec::new();
        self.values.retain(|name, value| value.is_finite() || keep_name(&mut pruned, name));
        for (name, points) in &mut self.series {
            let length = points.len();
            points.retain(|point| point.at_s.is_finite() && point.value.is_finite());
            if points.len() < length {
                keep_name(&mut pruned, name);
            }
        }
        for (name, curve) in &mut self.latencies {
            if !curve.mean_ns.is_finite() {
                curve.mean_ns = 0.0;
                keep_name(&mut pruned, name);
            }
            curve.points.retain(|point| point.quantile.is_finite());
        }
        if !self.seconds.is_finite() {
            self.seconds = 0.0;
            pruned.push("length".to_string());
        }
        pruned
    }
}

/// For `retain`: notes what goes.
fn keep_name(names: &mut Vec<String>, name: &str) -> bool {
    names.push(name.to_string());
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;
    use crate::report::model::Point;

    #[test]
    fn a_report_is_read_as_it_was_saved() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        let report = fixture::full();
        save(&report, &path).unwrap();
        let read = load(&path).unwrap();
        assert_eq!(read.text(), report.text());
        assert_eq!(read.html(), report.html());
    }

    #[test]
    fn what_is_no_number_is_left_out_with_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        let mut report = fixture::small();
        let round = &mut report.runs[0].rounds[0];
        round.values.insert("broken_ns".into(), f64::NAN);
        round.series.insert("acked_per_s".into(), vec![Point { at_s: 0.0, value: f64::INFINITY }]);
        round.latencies.values_mut().for_each(|curve| curve.mean_ns = f64::NAN);
        report.prune();
        save(&report, &path).unwrap();
        let read = load(&path).unwrap();
        assert_eq!(read.runs[0].rounds[0].values.get("broken_ns"), None);
        for name in ["broken_ns", "acked_per_s", "ack"] {
            let warning = format!("{name} of round 1 is no number");
            assert!(read.runs[0].warnings.contains(&warning), "{warning}");
        }
    }

    #[test]
    fn another_format_is_refused() {
        let text = serde_json::to_string(&Report { format: REPORT_FORMAT + 1, ..Report::default() }).unwrap();
        assert!(parse(&text).unwrap_err().to_string().contains("format"));
        assert!(parse("{}").is_err());
    }
}
