//! An alarm clock for a poll: epoll waits in whole milliseconds, and in an open loop the next message is due sooner.

use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result};
use mio::unix::SourceFd;
use mio::{Interest, Poll, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// Told of the alarm; no client has this number.
pub(super) const ALARM: Token = Token(usize::MAX);
/// Waits from this length on are left to the poll, which rounds them up to the next millisecond.
const WAIT_MAX: Duration = Duration::from_millis(5);

/// How long a wait may last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Precision {
    /// To the next millisecond.
    Coarse,
    /// As long as it is, or it is over already.
    Fine,
}

#[derive(Debug)]
pub(super) struct Alarm(OwnedFd);

impl Alarm {
    /// Wakes this poll.
    pub(super) fn new(poll: &Poll) -> Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).context("a timer")?;
        poll.registry().register(&mut SourceFd(&timer.as_raw_fd()), ALARM, Interest::READABLE)?;
        Ok(Self(timer))
    }

    /// Rings once after `wait`, if the poll itself is too coarse for it. An earlier one is forgotten. Nobody reads what rang:
    /// setting it again does that, and each ring is an edge of its own.
    pub(super) fn set(&self, wait: Duration) -> Result<Precision> {
        if wait >= WAIT_MAX {
            return Ok(Precision::Coarse);
        }
        if wait.is_zero() {
            return Ok(Precision::Fine);
        }
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = Timespec { tv_sec: 0, tv_nsec: wait.subsec_nanos().into() };
        let once = Itimerspec { it_interval: zero, it_value: value };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once).context("setting the timer")?;
        Ok(Precision::Fine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::Events;

    /// Without the alarm each poll would last a minute, and the test as many as it has.
    #[test]
    fn each_ring_ends_a_poll() {
        let mut poll = Poll::new().unwrap();
        let alarm = Alarm::new(&poll).unwrap();
        let mut events = Events::with_capacity(4);
        assert_eq!(alarm.set(WAIT_MAX).unwrap(), Precision::Coarse);
        for _ in 0..3 {
            assert_eq!(alarm.set(Duration::from_micros(50)).unwrap(), Precision::Fine);
            poll.poll(&mut events, Some(Duration::from_secs(60))).unwrap();
            assert!(events.iter().any(|event| event.token() == ALARM));
        }
    }
}
