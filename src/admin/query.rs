//! A request that waits for workers: what they are asked, what they have told so far, and what the
//! request is answered with. It knows no socket and no clock.
//!
//! ```text
//!   Route --begin--> Step::Answer
//!                \-> Step::Ask: a message to each worker --take--> finish --> Step::Answer
//!                       ^                                           |
//!                       +--- a list of clients: the rows of a page -+
//! ```
//!
//! Workers are asked once. A list of clients asks again for the rows of its page, and only workers
//! that have any: there may be thousands of clients, and a row costs a system call.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use super::list::{Page, Rows};
use super::route::{ApiError, Route};
use super::{Context, json};
use crate::http::response::Response;
use crate::limits;
use crate::worker::ids::WorkerId;
use crate::worker::query::{ClientKey, Question, Told};

/// See the module text.
#[derive(Debug)]
pub struct Query {
    route: Route,
    /// What each worker told, by its number; None when it has not.
    told: Vec<Option<Told>>,
    /// Answers that are still to come.
    missing: usize,
    until: Instant,
    /// The clients of the page, once they are known.
    clients: Option<Rows<u64>>,
}

/// What is to be done next for a request.
#[derive(Debug)]
pub enum Step {
    /// It is answered with this.
    Answer(Response),
    /// These workers are to be asked first.
    Ask(Query, Vec<(WorkerId, Arc<Question>)>),
}

impl Query {
    /// Begins to answer a request for `route` with what `workers` workers know. Bans are put in
    /// force and lifted here.
    pub fn begin(route: Route, workers: usize, context: &Context<'_>, now: Instant) -> Step {
        let question = match &route {
            Route::OpenApi => return Step::Answer(json::openapi()),
            Route::Config => return Step::Answer(json::config(context.config)),
            Route::Bans => return Step::Answer(json::bans(context)),
            Route::Lift(target) => {
                let is_lifted = context.bans.lift(target, context.uptime);
                return Step::Answer(match is_lifted {
                    true => json::bans(context),
                    false => ApiError::not_found("ban").response(),
                });
            }
            Route::Ban(ban) => {
                let has_room = context.bans.add(ban, context.uptime);
                if !has_room {
                    return Step::Answer(ApiError::full().response());
                }
                Question::CloseBanned(ban.target.clone())
            }
            Route::Metrics(_) => Question::Metrics,
            Route::Workers => Question::Counters,
            Route::Streams { .. } => Question::Streams,
            Route::Stream(name) => Question::Stream(name.clone()),
            Route::Clients { wanted, .. } => Question::ClientKeys(wanted.clone()),
            Route::Client(id) => Question::Client(*id),
            Route::Kick { id, ban } => Question::Kick(*id, *ban),
        };
        // The second step has the other half.
        let wait = match question {
            Question::ClientKeys(_) => limits::ANSWER_WAIT / 2,
            _ => limits::ANSWER_WAIT,
        };
        let query = Self {
            route,
            told: vec![None; workers],
            missing: workers,
            until: now + wait,
            clients: None,
        };
        let question = Arc::new(question);
        let all = (0..workers).map(|worker| (WorkerId::new(worker), question.clone()));
        Step::Ask(query, all.collect())
    }

    /// Takes the answer of a worker; None when it gives none.
    pub fn take(&mut self, worker: WorkerId, told: Option<Told>) {
        self.missing = self.missing.saturating_sub(1);
        if let Some(place) = self.told.get_mut(worker.index()) {
            *place = told;
        }
    }

    /// When it is answered with what there is.
    pub fn until(&self) -> Instant {
        self.until
    }

    /// Whether there is nothing more to wait for.
    pub fn is_complete(&self, now: Instant) -> bool {
        self.missing == 0 || self.until <= now
    }

    /// Goes on once it is complete.
    pub fn finish(self, context: &Context<'_>, now: Instant) -> Step {
        let Self {
            route,
            told,
            clients,
            ..
        } = self;
        match (&route, clients) {
            (Route::Clients { page, .. }, None) => Self::rows(page.clone(), route, &told, now)
                .unwrap_or_else(|rows| Step::Answer(json::clients(Vec::new(), rows, context))),
            (_, Some(rows)) => Step::Answer(json::clients(told, rows, context)),
            _ => Step::Answer(json::answer(&route, told, context)),
        }
    }

    /// Asks for the clients of a page; gives back its rows when there are none.
    fn rows(
        page: Page,
        route: Route,
        told: &[Option<Told>],
        now: Instant,
    ) -> Result<Step, Rows<u64>> {
        let keys = |told: &Option<Told>| match told {
            Some(Told::ClientKeys(keys)) => keys.clone(),
            _ => Vec::new(),
        };
        let of_workers: Vec<Vec<ClientKey>> = told.iter().map(keys).collect();
        let mut all: Vec<_> = of_workers
            .concat()
            .iter()
            .map(|key| (key.id, key.value))
            .collect();
        all.sort_unstable();
        // One that moves from one worker to another may be at both for a moment.
        all.dedup_by_key(|(id, _)| *id);
        let all = all.into_iter().map(|(id, value)| (value, id)).collect();
        let rows = page.of(all, |key| key.parse().ok());
        let shown: HashSet<u64> = rows.keys.iter().copied().collect();
        let mut asks = Vec::new();
        for (worker, keys) in of_workers.iter().enumerate() {
            let keys = keys.iter().filter(|key| shown.contains(&key.id));
            let conns: Vec<_> = keys.map(|key| key.conn).collect();
            if !conns.is_empty() {
                asks.push((WorkerId::new(worker), Arc::new(Question::Clients(conns))));
            }
        }
        if asks.is_empty() {
            return Err(rows);
        }
        let query = Self {
            route,
            told: vec![None; told.len()],
            missing: asks.len(),
            until: now + limits::ANSWER_WAIT / 2,
            clients: Some(rows),
        };
        Ok(Step::Ask(query, asks))
    }
}
