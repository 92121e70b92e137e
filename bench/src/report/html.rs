//! A report as one HTML file: nothing is loaded, no script is needed.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::measure::Measure;
use super::model::{Report, Run};
use super::plot::figures::{Card, Figure};
use super::plot::{self, Width};
use super::table::{Reach, TableRow};
use super::text::times;
use super::unit::{Quantity, Unit, plain};

const STYLE: &str = include_str!("page.css");

/// Plots that are read together.
struct Section {
    title: &'static str,
    about: &'static str,
    figures: &'static [Figure],
}

const SECTIONS: [Section; 5] = [
    Section {
        title: "Node beside relay",
        about: "The relay moves the same frames over the same connections and acknowledges them, without any logic or storage: it is \
                what this machine allows. Bars are medians of the rounds, thin lines their range, ratios are to the relay.",
        figures: &[Figure::Beside],
    },
    Section {
        title: "Latency by percentile",
        about: "From p90 to p99 is as far as from p99 to p99.9: each is ten times as rare. Lines are medians of the rounds, bands \
                their range. In an open loop, latency counts from the time at which a message should have been sent.",
        figures: &[Figure::Percentiles],
    },
    Section {
        title: "As load grows",
        about: "Where the node is full, and what must stay flat until then.",
        figures: &[Figure::Sweep, Figure::Cost],
    },
    Section {
        title: "What it costs",
        about: "Processor time of a message and memory of a session.",
        figures: &[Figure::Threads, Figure::Memory],
    },
    Section {
        title: "Over time",
        about: "Within the rounds. Lines are medians of the rounds at each time, bands their range.",
        figures: &[Figure::Time],
    },
];

impl Report {
    /// The whole page.
    pub fn html(&self) -> String {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { "Ringtalk, measured at " (self.commit) }
                    style { (PreEscaped(STYLE)) (PreEscaped(plot::STYLE)) }
                }
                body {
                    (self.header())
                    main {
                        (self.warning_list())
                        (self.table_section())
                        @for part in SECTIONS { (part.draw(self)) }
                        (self.figures_section())
                    }
                }
            }
        };
        page.into_string()
    }

    fn header(&self) -> Markup {
        let memory = Unit { quantity: Quantity::Bytes, per: None }.show(self.machine.memory_bytes as f64);
        let facts = [
            ("Commit", self.commit.clone()),
            ("Begun", self.begun.replace('T', " ").replace('Z', " UTC")),
            ("Processor", format!("{}, {} processors", self.machine.processor, self.machine.processors)),
            ("Memory", memory),
            ("System", self.machine.kernel.clone()),
        ];
        html! {
            header {
                h1 { "Ringtalk, " em { "measured" } }
                dl.facts {
                    @for (name, fact) in facts { div { dt { (name) } dd { (fact) } } }
                }
            }
        }
    }

    fn warning_list(&self) -> Markup {
        let of_runs = self
            .runs
            .iter()
            .flat_map(|run| run.warnings.iter().map(|warning| format!("{}: {warning}", run.name)));
        let warnings: Vec<String> = self.warnings.iter().cloned().chain(of_runs).collect();
        html! {
            @if !warnings.is_empty() {
                aside.warnings {
                    h2 { "Before you believe it" }
                    ul { @for warning in warnings { li { (warning) } } }
                }
            }
        }
    }

    fn table_section(&self) -> Markup {
        let count = |reach: Reach| self.table.iter().filter(|row| row.reach() == reach).count();
        let counts =
            [Reach::Aim, Reach::Floor, Reach::Short, Reach::NotMeasured].map(|reach| (reach, count(reach)));
        html! {
            @if !self.table.is_empty() {
                section {
                    h2 { "Must reach" }
                    p.about { "The floor is what a release needs, the aim is where the work goes. In the scale better is further right." }
                    ul.score {
                        @for (reach, count) in counts.iter().filter(|(_, count)| *count > 0) {
                            li class=(class(*reach)) { b { (count) } " " (score(*reach)) }
                        }
                    }
                    div.card { table.reach {
                        thead { tr { th { "What" } th.figure { "Measured" } th.figure { "Floor" } th.figure { "Aim" } th.scale { "Scale" } th { "" } } }
                        tbody { @for row in &self.table { (table_row(row)) } }
                    } }
                }
            }
        }
    }

    fn figures_section(&self) -> Markup {
        html! {
            @if !self.runs.is_empty() {
                section {
                    h2 { "Every figure" }
                    p.about { "Medians of the rounds, and from the smallest to the largest of them." }
                    @for run in &self.runs { (run_details(run, self.relay_of(run))) }
                }
            }
        }
    }
}

fn class(reach: Reach) -> &'static str {
    match reach {
        Reach::Aim => "mark aim",
        Reach::Floor => "mark floor",
        Reach::Short => "mark short",
        Reach::NotMeasured => "mark unknown",
    }
}

fn score(reach: Reach) -> &'static str {
    match reach {
        Reach::Aim => "at the aim",
        Reach::Floor => "over the floor",
        Reach::Short => "short",
        Reach::NotMeasured => "not measured",
    }
}

/// Sign and word, so that no mark is told by its colour alone.
fn mark(reach: Reach) -> Markup {
    let (sign, word) = match reach {
        Reach::Aim => ("★", "aim"),
        Reach::Floor => ("✓", "pass"),
        Reach::Short => ("✕", "short"),
        Reach::NotMeasured => ("–", "not measured"),
    };
    html! { span class=(class(reach)) { span.sign { (sign) } " " (word) } }
}

fn table_row(row: &TableRow) -> Markup {
    html! {
        tr {
            th scope="row" { (row.name) @if !row.note.is_empty() { small { " " (row.note) } } }
            td.figure.measured data-label="measured" { (row.ratio.map_or("–".to_string(), plain)) }
            td.figure data-label="floor" { (plain(row.floor)) }
            td.figure data-label="aim" { (plain(row.aim)) }
            td.scale { (plot::gauge(row)) }
            td.verdict { (mark(row.reach())) }
        }
    }
}

impl Section {
    /// Nothing if the report has none of its plots.
    fn draw(&self, report: &Report) -> Markup {
        let cards: Vec<Card> = self.figures.iter().flat_map(|figure| figure.cards(report)).collect();
        html! {
            @if !cards.is_empty() {
                section {
                    h2 { (self.title) }
                    p.about { (self.about) }
                    div.cards { @for card in &cards { (card_figure(card)) } }
                }
            }
        }
    }
}

/// Both layouts of the plot; the style shows the one that fits.
fn card_figure(card: &Card) -> Markup {
    html! {
        figure.card {
            figcaption { (card.title) @if !card.note.is_empty() { small { (card.note) } } }
            div.wide { (card.plot.svg(Width::Wide)) }
            div.narrow { (card.plot.svg(Width::Narrow)) }
        }
    }
}

fn run_details(run: &Run, relay: Option<&Run>) -> Markup {
    let of_relay = relay.map(Run::measures).unwrap_or_default();
    html! {
        details.card {
            summary { (run.name) span.circumstances { (run.circumstances()) } }
            div.scroll { table.figures {
                thead { tr {
                    th { "Figure" } th.figure { "Median" } th.figure { "Range" }
                    @if relay.is_some() { th.figure { "Relay" } th.figure { "Ratio" } }
                } }
                tbody { @for measure in run.measures() { (measure_row(&measure, relay.is_some(), &of_relay)) } }
            } }
        }
    }
}

fn measure_row(measure: &Measure, with_relay: bool, of_relay: &[Measure]) -> Markup {
    let relay = of_relay.iter().find(|other| other.key == measure.key);
    let ratio = relay.and_then(|relay| measure.spread.ratio(relay.spread));
    html! {
        tr {
            th scope="row" { (measure.label) }
            td.figure { (measure.unit.show(measure.spread.median)) }
            td.figure.range { (measure.range()) }
            @if with_relay {
                td.figure { (relay.map_or(String::new(), |relay| relay.unit.show(relay.spread.median))) }
                td.figure { (ratio.map_or(String::new(), |ratio| times(ratio.median))) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::report::fixture;
    use crate::report::model::Report;

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        let page = fixture::full().html();
        for forbidden in ["http:", "https:", "<script", "<link", "@import", "url(", "src="] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
    }

    #[test]
    fn names_cannot_write_markup() {
        let mut report = fixture::small();
        let evil = "<b>\"&'</b>";
        report.commit = evil.into();
        report.runs[0].name = evil.into();
        report.table[0].name = evil.into();
        report.runs[0].warnings.push(evil.into());
        let values = &mut report.runs[0].rounds[0].values;
        values.insert(format!("server_cpu_ns_per_message/{evil}"), 1.0);
        let page = report.html();
        assert!(!page.contains("<b>\""));
        assert!(page.contains("&lt;b&gt;"));
    }

    #[test]
    fn an_empty_report_has_a_page() {
        assert!(Report::default().html().contains("</html>"));
    }
}
