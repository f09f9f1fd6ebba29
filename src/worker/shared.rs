//! What all workers share, with locks that the data path never takes.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::admission::Admission;
use super::bans::Bans;
use super::collections::List;
use super::fetches::Fetches;
use super::ids::WorkerId;
use super::mail::Mailbox;
use super::missing::Missing;
use super::queries::Queries;
use super::registry::Registry;
use crate::config::Config;
use crate::edge::rule;
use crate::stats::WorkerStats;

/// What all workers share.
#[derive(Debug)]
pub struct Shared<S> {
    /// The settings.
    pub config: Config,
    /// Who has which stream.
    pub registry: Registry,
    /// Where each worker receives.
    pub mailboxes: List<WorkerId, Mailbox<S>>,
    /// Who may come in.
    pub admission: Admission,
    /// Bytes each worker holds for streams and connections, while that is counted.
    pub memory: List<WorkerId, AtomicU64>,
    /// When the first of them began: what knows no clock is told the time since, and
    /// connections take it along from one worker to another.
    pub(super) born: OnceLock<Instant>,
    /// When the relay began, in milliseconds since 1970.
    pub began_ms: u64,
    /// The relay stops.
    pub draining: AtomicBool,
    /// What the operator has banned.
    pub bans: Bans,
    /// What origins do not have.
    pub missing: Missing,
    /// What origins have said of the queries of players.
    pub queries: Queries,
    /// How much players may have origins asked for.
    pub fetches: Arc<Fetches>,
    /// What tells this relay from others in a chain of them.
    pub relay_id: u64,
    /// The id of the next connection.
    pub next_id: AtomicU64,
    /// What each worker has counted.
    pub stats: List<WorkerId, WorkerStats>,
    /// What the target of each push rule is called beside its figures; no two are called the
    /// same, and none holds a key.
    pub target_labels: Vec<String>,
}

impl<S> Shared<S> {
    /// What `workers` workers share.
    pub fn new(config: Config, workers: usize, max_connections: usize) -> Self {
        let target_labels = rule::labels(&config.push);
        let targets = target_labels.len();
        Self {
            began_ms: 0,
            draining: AtomicBool::new(false),
            bans: Bans::default(),
            missing: Missing::default(),
            queries: Queries::default(),
            fetches: Arc::new(Fetches::new(max_connections)),
            relay_id: 0,
            registry: Registry::new(config.max_streams),
            mailboxes: (0..workers).map(|_| Mailbox::default()).collect(),
            admission: Admission::new(max_connections, config.max_per_address)
                .limiting_loopback(config.limit_loopback.is_on()),
            memory: (0..workers).map(|_| AtomicU64::new(0)).collect(),
            config,
            born: OnceLock::new(),
            next_id: AtomicU64::new(1),
            stats: (0..workers).map(|_| WorkerStats::new(targets)).collect(),
            target_labels,
        }
    }

    /// The time since the first worker began; zero before that.
    pub fn uptime(&self, now: Instant) -> Duration {
        let born = self.born.get();
        born.map_or(Duration::ZERO, |born| now.saturating_duration_since(*born))
    }
}
