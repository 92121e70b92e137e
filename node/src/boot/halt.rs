//! What ends a node: a signal, a fatal failure, or the end of its cores.

use std::io::Write;
use std::process;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::cli::{EXIT_BROKEN, EXIT_STOP_UNFINISHED};
use crate::ring::Counters;

/// Something happened that the main thread waits for.
#[derive(Debug)]
pub(super) enum Wake {
    /// SIGTERM or Ctrl-C.
    Asked,
    /// The node cannot go on.
    Fatal(String),
    /// All cores have ended.
    CoresEnded(Vec<Counters>),
}

/// How any thread tells the node that it cannot go on.
#[derive(Clone, Debug)]
pub struct Halt(pub(super) Sender<Wake>);

impl Halt {
    pub(super) fn new() -> (Self, Receiver<Wake>) {
        let (sender, receiver) = channel();
        (Self(sender), receiver)
    }

    /// The node stops at once with this reason, the first one given, and a non-zero exit code. What was acknowledged is
    /// on disk; what is in flight is not acknowledged any more.
    pub fn fatal(&self, reason: impl Into<String>) {
        // After the main thread has gone, the process is ending anyway.
        let _ = self.0.send(Wake::Fatal(reason.into()));
    }
}

/// From now on SIGTERM and Ctrl-C wake the main thread; a second one ends the process at once.
pub(super) fn watch_signals(halt: &Halt) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let sender = halt.0.clone();
    thread::Builder::new().name("signals".into()).spawn(move || {
        for (count, _) in signals.forever().enumerate() {
            if count > 0 {
                say("told to stop twice: ended at once; nothing acknowledged is lost");
                process::exit(i32::from(EXIT_STOP_UNFINISHED));
            }
            let _ = sender.send(Wake::Asked);
        }
    })?;
    Ok(())
}

/// From now on a panic of any thread ends the process: a broken rule must not go on serving. But where the store reads a
/// damaged database, an assertion of the engine is a failure, which ends the node with its own reason.
pub(super) fn end_on_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        if store::catches_panics() {
            return;
        }
        say(
            "the node broke one of its own rules and stopped; nothing acknowledged is lost: report the lines above, then start it again",
        );
        process::exit(i32::from(EXIT_BROKEN));
    }));
}

/// Whether or not anybody can read it.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "ringtalk: {text}");
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    const IN_CHILD: &str = "RINGTALK_TEST_PANICS";

    /// Not a test by itself: what the process does that the test below starts.
    #[test]
    fn child_that_panics() {
        if std::env::var_os(IN_CHILD).is_some() {
            end_on_panic();
            let _ = thread::spawn(|| panic!("a rule was broken")).join();
            process::exit(0);
        }
    }

    #[test]
    fn a_panic_of_any_thread_ends_the_process_whether_or_not_somebody_reads_why() {
        for is_read in [true, false] {
            let mut child = Command::new(std::env::current_exe().expect("a path"));
            child.args(["--exact", "boot::halt::tests::child_that_panics", "--nocapture"]).env(IN_CHILD, "1");
            let mut child = child.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
            if !is_read {
                drop(child.stderr.take());
            }
            let output = child.wait_with_output().expect("it ends");
            assert_eq!(output.status.code(), Some(i32::from(EXIT_BROKEN)));
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                !is_read || text.contains("a rule was broken") && text.contains("report the lines"),
                "{text}"
            );
        }
    }
}
