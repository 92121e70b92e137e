//! `bench stored`: messages at full speed until many are stored, and what one costs at the beginning and at the end. What
//! the store puts off, such as compaction, is waited for and counted.

use anyhow::Result;
use clap::Args;

use super::direct::{CrowdOptions, doubt};
use super::parameters;
use crate::options::NodeOptions;
use crate::pairs::{Crowd, Mode, Pairs, Span, WINDOW_MAX};
use crate::report::model::{Run, Subject};
use crate::server::Server;

const MODE: Mode = Mode::Window(WINDOW_MAX as u16);

#[derive(Args, Debug, Clone)]
pub struct Options {
    /// Messages of the dear end. Cost is counted over two fifths of them that have their middle where so many are stored, and
    /// over a tenth that has its middle where a tenth is stored
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1_000..=1_000_000_000))]
    messages: u64,
    #[command(flatten)]
    crowd: CrowdOptions,
    #[command(flatten)]
    node: NodeOptions,
}

/// Parts that end a fifth beyond `messages`. Cost counts over a tenth of them that has its middle where a tenth is stored, and
/// over two fifths that have their middle where all are: it is the longer one, since compaction comes in lumps there.
fn parts(messages: u64) -> [Part; 4] {
    let twentieth = messages / 20;
    [
        Part { messages: twentieth, counted_as: None },
        Part { messages: 2 * twentieth, counted_as: Some(2 * twentieth) },
        Part { messages: messages - 7 * twentieth, counted_as: None },
        Part { messages: 8 * twentieth, counted_as: Some(messages) },
    ]
}

/// Messages that are sent one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    messages: u64,
    /// How many are stored about then, if its cost counts.
    counted_as: Option<u64>,
}

/// A run for the beginning and one for the end.
pub fn measure(node: &NodeOptions, crowd: Crowd, messages: u64) -> Result<Vec<Run>> {
    let mut pairs = Pairs::new(Server::node(node, &[])?, Subject::Node, node.tls, crowd)?;
    let mut runs = Vec::new();
    for part in parts(messages) {
        eprintln!("stored: {} of {messages} messages, {} more", pairs.acked, part.messages);
        let round = pairs.round(MODE, Span::Messages(part.messages))?;
        let Some(stored) = part.counted_as else { continue };
        runs.push(Run {
            name: format!("direct, {}, {stored} messages stored", node.protection()),
            scenario: "stored".to_owned(),
            subject: Subject::Node,
            parameters: parameters([
                ("stored", stored.to_string()),
                ("window", WINDOW_MAX.to_string()),
                ("pairs", crowd.pairs.to_string()),
                ("bytes", crowd.bytes.to_string()),
                ("tls", node.tls.to_string()),
            ]),
            warnings: doubt(MODE, &round).into_iter().collect(),
            rounds: vec![round],
        });
    }
    Ok(runs)
}

pub fn run(options: &Options) -> Result<Vec<Run>> {
    measure(&options.node, options.crowd.crowd(), options.messages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_parts_have_their_middle_where_they_are_counted_as() {
        for messages in [1_000, 10_000_000, 12_345_678] {
            let mut before = 0;
            for part in parts(messages) {
                if let Some(stored) = part.counted_as {
                    assert!((before + part.messages / 2).abs_diff(stored) <= messages / 20, "{part:?}");
                }
                before += part.messages;
            }
        }
        let counted: Vec<_> = parts(10_000_000).iter().map(|part| (part.messages, part.counted_as)).collect();
        let expected =
            [(500_000, None), (1_000_000, Some(1_000_000)), (6_500_000, None), (4_000_000, Some(10_000_000))];
        assert_eq!(counted, expected);
    }
}
