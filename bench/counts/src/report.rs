//! What a person sees.

use crate::baseline::{Baseline, percent};
use crate::callgrind::Profile;
use crate::commands::Counted;
use crate::cost::{Counting, Measured};

/// Lines of functions and of allocation sites.
const LINES_MAX: usize = 40;

pub fn print_head(counting: Counting) {
    print!("{:24}", "per command");
    if counting == Counting::All {
        print!(" {:>21} {:>8}", "instructions", "libc");
    }
    println!(" {:>19} {:>18} {:>6}", "allocations", "bytes", "steps");
}

pub fn print_row(measured: &Measured, baseline: Option<&Baseline>) {
    let old = baseline.and_then(|baseline| baseline.commands.get(measured.command.name()));
    let change = |before: Option<f64>, now: f64| match before {
        Some(before) => format!("({:+.1}%)", percent(before, now)),
        None => "(new)".to_owned(),
    };
    let cost = measured.cost;
    print!("{:24}", measured.command.name());
    if let (Some(instructions), Some(libc)) = (cost.instructions, measured.libc) {
        let change = change(old.and_then(|old| old.instructions), instructions);
        print!(" {instructions:>12.0} {change:>8} {libc:>8.0}");
    }
    let difference = match old {
        Some(old) => format!("({:+.2})", cost.allocations - old.allocations),
        None => "(new)".to_owned(),
    };
    let bytes_change = change(old.map(|old| old.bytes), cost.bytes);
    print!(" {:>9.3} {difference:>9}", cost.allocations);
    print!(" {:>9.0} {bytes_change:>8}", cost.bytes);
    println!(" {:>6.2}  {}", measured.steps, measured.command.meaning());
}

/// Functions by their own instructions, and allocations by their callers; both per command.
pub fn print_sites(profile: &Profile, counted: Counted) {
    let each = |sum: f64| sum / counted.commands as f64;
    println!("instructions per command, by function");
    print_lines(profile.by_function.iter().map(|(name, sum)| (name.clone(), each(*sum as f64))).collect());
    for (what, is_new, blocks) in [
        ("new blocks", true, counted.meter.new_blocks),
        ("resized blocks", false, counted.meter.resized_blocks),
    ] {
        println!("{what} per command ({:.3}), by callers", each(blocks as f64));
        let sites = profile.allocators.iter().filter(|(site, _)| site.is_new == is_new);
        let all: u64 = sites.clone().map(|(_, cost)| cost).sum();
        let share = |cost: u64| each(blocks as f64 * cost as f64 / all as f64);
        print_lines(sites.map(|(site, cost)| (site.callers.clone(), share(*cost))).collect());
    }
}

fn print_lines(mut lines: Vec<(String, f64)>) {
    lines.sort_by(|(one, a), (other, b)| b.total_cmp(a).then(one.cmp(other)));
    for (name, sum) in lines.iter().take(LINES_MAX) {
        println!("{sum:>10.2}  {name}");
    }
    if lines.len() > LINES_MAX {
        let rest: f64 = lines[LINES_MAX..].iter().map(|(_, sum)| sum).sum();
        println!("{rest:>10.2}  in {} more", lines.len() - LINES_MAX);
    }
}
