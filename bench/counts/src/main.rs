//! Instructions and allocations of the pure shard, per command, and a check that they do not rise.

mod baseline;
mod callgrind;
mod commands;
mod cost;
mod fault;
mod meter;
mod node;
mod report;
mod stage;

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use baseline::{Baseline, Finding};
use callgrind::Detail;
use clap::Parser;
use commands::Command;
use cost::{Counting, Measured};
use fault::Fault;

/// Counts what a command costs the pure shard, from its frame to its last effect: allocations, bytes allocated and steps;
/// with Valgrind, instructions too. The same in every run. The change to the baseline stands in brackets.
#[derive(Debug, Parser)]
struct Options {
    /// Counts this command only; may be given several times.
    #[arg(long, value_name = "COMMAND")]
    only: Vec<Command>,
    /// Counts instructions too.
    #[arg(long)]
    instructions: bool,
    /// Counts everything, and fails where a command costs more than the baseline allows.
    #[arg(long, conflicts_with = "only")]
    check: bool,
    /// Counts everything, and writes the baseline anew.
    #[arg(long, conflicts_with_all = ["only", "check"])]
    update: bool,
    /// Shows which functions spend a command's instructions, and who allocates.
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["only", "check", "update"])]
    sites: Option<Command>,
    /// Shows that the check finds planted faults; in a build with the feature `planted-bugs`.
    #[arg(long, conflicts_with_all = ["only", "check", "update", "sites"])]
    prove: bool,
    /// Plants this fault in the shard.
    #[arg(long, hide = true, value_name = "FAULT")]
    planted: Option<Fault>,
}

fn main() -> ExitCode {
    run(&Options::parse()).unwrap_or_else(|error| {
        eprintln!("counts: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(options: &Options) -> Result<ExitCode> {
    let commands = if options.only.is_empty() { Command::ALL } else { &options.only };
    if options.check {
        return check();
    } else if options.update {
        update()?;
    } else if options.prove {
        need_instructions()?;
        fault::prove(&Baseline::read()?)?;
    } else if let Some(command) = options.sites {
        need_instructions()?;
        report::print_sites(
            &callgrind::count(command, Detail::Callers, None)?,
            command.count(options.planted),
        );
    } else {
        let counting = if options.instructions { Counting::All } else { Counting::Allocations };
        if counting == Counting::All {
            need_instructions()?;
        }
        print_costs(commands, counting, options.planted, Baseline::read().ok().as_ref())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print_costs(
    commands: &[Command],
    counting: Counting,
    planted: Option<Fault>,
    baseline: Option<&Baseline>,
) -> Result<Vec<Measured>> {
    report::print_head(counting);
    let mut all = Vec::new();
    for command in commands {
        let measured = Measured::new(*command, counting, planted)?;
        report::print_row(&measured, baseline);
        all.push(measured);
    }
    Ok(all)
}

fn update() -> Result<()> {
    need_instructions()?;
    let measured = print_costs(Command::ALL, Counting::All, None, Baseline::read().ok().as_ref())?;
    let text = Baseline::text(&rustc()?, &target(), &measured);
    std::fs::write(baseline::path(), text).context("the baseline")?;
    println!("The baseline is written: bench/counts/baseline.toml");
    Ok(())
}

fn check() -> Result<ExitCode> {
    let baseline = Baseline::read()?;
    let in_ci = std::env::var_os("CI").is_some();
    let counting = match need_instructions() {
        Ok(()) => Counting::All,
        Err(error) if in_ci => return Err(error),
        Err(error) => {
            println!("Instructions are not counted: {error}");
            Counting::Allocations
        }
    };
    if counting == Counting::All {
        let target = target();
        ensure!(baseline.target == target, "the baseline is for {}, this is {target}", baseline.target);
    }
    let measured = print_costs(Command::ALL, counting, None, Some(&baseline))?;
    let found: Vec<_> = measured.iter().flat_map(|measured| baseline.compare(measured)).collect();
    let (rises, falls): (Vec<_>, Vec<_>) =
        found.iter().partition(|finding| matches!(finding, Finding::Rise(_)));
    if !falls.is_empty() {
        println!("\nCheaper than the baseline. Keep it: cargo counts --update");
        falls.iter().for_each(|finding| println!("  {finding}"));
    }
    if rises.is_empty() {
        println!("\nNothing costs more than the baseline allows.");
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "\nDearer than the baseline allows. Where it goes: cargo counts --sites COMMAND. If it is worth it: cargo counts --update"
    );
    rises.iter().for_each(|finding| println!("  {finding}"));
    let rustc = rustc()?;
    if rustc != baseline.rustc {
        println!(
            "The baseline was made by rustc {}, this is {rustc}: that alone may be the reason.",
            baseline.rustc
        );
    }
    Ok(ExitCode::FAILURE)
}

/// Says why instructions cannot be counted here.
fn need_instructions() -> Result<()> {
    ensure!(!cfg!(debug_assertions), "instructions mean something in a release build only: cargo counts");
    ensure!(callgrind::is_installed(), "Valgrind is not installed (Debian: apt-get install valgrind)");
    Ok(())
}

fn rustc() -> Result<String> {
    let output = std::process::Command::new("rustc").arg("--version").output().context("rustc --version")?;
    let text = String::from_utf8(output.stdout).context("rustc --version")?;
    Ok(text.split(' ').nth(1).unwrap_or_default().to_owned())
}

/// What decides which code runs, beside the source and the compiler: the tickets' cipher asks the processor for AVX2, and
/// nothing else that Valgrind would show.
fn target() -> String {
    #[cfg(target_arch = "x86_64")]
    let vectors = if std::arch::is_x86_feature_detected!("avx2") { " with AVX2" } else { " without AVX2" };
    #[cfg(not(target_arch = "x86_64"))]
    let vectors = "";
    format!("{}{vectors}", std::env::consts::ARCH)
}
