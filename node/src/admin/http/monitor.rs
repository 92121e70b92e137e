//! What monitors are told.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use hyper::StatusCode;

use crate::metrics::{self, Families, Kind, Metrics, Unit};

/// How far the node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    Starting,
    Serving,
    Stopping,
}

/// What there is to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    Metrics,
    Health,
    Ready,
}

impl Page {
    pub fn at(path: &str) -> Option<Self> {
        match path {
            "/metrics" => Some(Page::Metrics),
            "/health" => Some(Page::Health),
            "/ready" => Some(Page::Ready),
            _ => None,
        }
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Told {
    pub status: StatusCode,
    pub content_type: &'static str,
    pub body: String,
}

impl Told {
    pub fn text(status: StatusCode, body: impl Into<String>) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: body.into() }
    }

    /// 200, or 503 with the reason.
    fn ok_unless(reason: Option<String>) -> Self {
        match reason {
            None => Self::text(StatusCode::OK, "ok\n"),
            Some(reason) => Self::text(StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
        }
    }
}

/// The node as monitors see it, from before its store is open until its end.
#[derive(Default)]
pub struct Monitor {
    phase: AtomicU8,
    metrics: OnceLock<Arc<Metrics>>,
    /// Connections closed since there were too many.
    refused: AtomicU64,
}

impl Monitor {
    /// The node serves now, and these are its figures.
    ///
    /// # Panics
    /// If it was told before.
    pub fn serving(&self, metrics: Arc<Metrics>) {
        assert!(self.metrics.set(metrics).is_ok(), "a node starts once");
        self.phase.store(Phase::Serving as u8, Ordering::Release);
    }

    /// The node accepts no more connections.
    pub fn stopping(&self) {
        self.phase.store(Phase::Stopping as u8, Ordering::Release);
    }

    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            phase if phase == Phase::Starting as u8 => Phase::Starting,
            phase if phase == Phase::Serving as u8 => Phase::Serving,
            _ => Phase::Stopping,
        }
    }

    pub(super) fn on_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// The process lives and its store takes writes. Asks no shard, so that a busy node is not taken for a dead one.
    pub(super) fn health(&self) -> Told {
        Told::ok_unless(self.metrics.get().and_then(|metrics| metrics.store_poisoned()))
    }

    /// Waits for the shards.
    pub(super) fn tell(&self, page: Page) -> Told {
        match page {
            Page::Health => self.health(),
            Page::Ready => Told::ok_unless(self.not_ready()),
            Page::Metrics => {
                let snapshot = self.metrics.get().map(|metrics| metrics.snapshot());
                let mut families = Families { list: metrics::families(snapshot.as_ref()) };
                let help = "Connections to this listener closed since there were too many.";
                families
                    .begin(Kind::Counter, "admin_http_connections_refused", Unit::None, help)
                    .add(&[], self.refused.load(Ordering::Relaxed));
                let body = metrics::encode(&families.list);
                Told { status: StatusCode::OK, content_type: metrics::CONTENT_TYPE, body }
            }
        }
    }

    fn not_ready(&self) -> Option<String> {
        let metrics = match (self.phase(), self.metrics.get()) {
            (Phase::Serving, Some(metrics)) => metrics,
            (Phase::Stopping, _) => return Some("stopping".into()),
            (Phase::Starting | Phase::Serving, _) => return Some("starting".into()),
        };
        if let Some(reason) = metrics.store_poisoned() {
            return Some(reason);
        }
        let silent = metrics.snapshot().silent();
        let first = silent.first()?;
        Some(format!("shard {first} does not answer ({} of them do not)", silent.len()))
    }
}
