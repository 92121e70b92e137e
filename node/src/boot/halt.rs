//! What ends a node: a signal, a fatal failure, or the end of its cores.

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
                eprintln!("ringtalk: told to stop twice: ended at once; nothing acknowledged is lost");
                process::exit(i32::from(EXIT_STOP_UNFINISHED));
            }
            let _ = sender.send(Wake::Asked);
        }
    })?;
    Ok(())
}

/// From now on a panic of any thread ends the process: a broken rule must not go on serving.
pub(super) fn end_on_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        eprintln!(
            "ringtalk: the node broke one of its own rules and stopped; nothing acknowledged is lost: report the lines above, then start it again"
        );
        process::exit(i32::from(EXIT_BROKEN));
    }));
}
