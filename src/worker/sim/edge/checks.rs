//! What has to be true of several relays after every step, when everything rests, and in the end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::super::tables;
use super::cable::Far;
use super::relay::Relay;
use super::world::World;
use crate::limits;
use crate::rtmp::message::kind;
use crate::worker::fault;
use crate::worker::line::Task;
use crate::worker::shared::Shared;
use tailwater_testkit::judge::relayed::Relayed;

/// A stream that a relay fetches for nobody, and what would explain that it is gone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Lingering {
    relay: usize,
    life: u64,
    worker: usize,
    name: Arc<str>,
    failures: u64,
    bugs: u64,
}

/// As in intake.rs.
const VIDEO_GONE_MS: u32 = 20_000;

/// What the origin that a stream comes by, and the one that is asked beside it, may have sent
/// ahead of media.
const EARLY_BYTES_MAX: usize = 2 * limits::EARLY_HEADERS_BYTES_MAX;

/// One that is asked to connect anew is redirected before it is.
const REDIRECTS_MAX: usize = limits::REDIRECTS_MAX as usize + 1;

/// How late a pull may be given up.
const LATE: Duration = Duration::from_secs(1);

impl World {
    /// After every step.
    pub(super) fn check(&mut self) {
        for (number, relay) in self.relays.iter().enumerate() {
            let verdict = self.check_workers(relay);
            let verdict = verdict.and_then(|()| check_once(relay));
            let verdict = verdict.and_then(|()| check_totals(relay));
            if let Err(what) = verdict {
                self.fail(&format!("relay {number}: {what}"));
            }
        }
        let bugs: u64 = self.relays.iter().map(|relay| relay.counted().bugs).sum();
        let fired = fault::fired();
        if bugs != fired {
            self.fail(&format!("{bugs} panics are counted, there were {fired}"));
        }
        self.check_judges();
        self.check_publishers();
        self.check_lingering();
        for (at, viewer) in self.viewers.iter().enumerate() {
            let config = &self.relays[viewer.relay].config;
            let origins = config
                .pull
                .iter()
                .map(|rule| rule.servers.len())
                .sum::<usize>();
            let asking = config.pull_timeout * 4 * u32::try_from(origins).unwrap();
            let most = (config.pull_give_up + asking).max(config.play_wait);
            let most = most + Duration::from_secs(25);
            let waits = !viewer.gone && !viewer.is_playing && viewer.heard.is_empty();
            if waits && self.now.duration_since(viewer.came_at) > most + Duration::from_secs(5) {
                self.fail(&format!("viewer {at} is told nothing"));
            }
        }
    }

    fn check_workers(&self, relay: &Relay) -> Result<(), String> {
        for (worker, seat) in relay.seats.iter().enumerate() {
            let core = seat.core();
            let is_idle = !seat.is_over && !seat.has_reason(self.now);
            tables::check_tables(core)
                .and_then(|()| tables::check_memory(core))
                .and_then(|()| tables::check_timers(core))
                .and_then(|()| tables::check_queues(core))
                .and_then(|()| tables::check_registry(core))
                .and_then(|()| tables::check_lines(core, self.now, is_idle))
                .and_then(|()| seat.check_sleep(self.now))
                .and_then(|()| match is_idle {
                    true => tables::check_idle(core, seat.later(self.now)),
                    false => Ok(()),
                })
                .and_then(|()| match is_idle {
                    true => self.check_pulls(relay, worker),
                    false => Ok(()),
                })
                .map_err(|what| format!("worker {worker}: {what}"))?;
        }
        let here: usize = relay.seats.iter().map(|seat| seat.core().conns.len()).sum();
        if relay.is_alive() && relay.is_quiet() {
            let counted = relay.shared.admission.connections();
            if counted != here {
                return Err(format!(
                    "{counted} connections are counted, {here} are there"
                ));
            }
        }
        Ok(())
    }

    /// No pull goes on when it should have ended; the worker will not be woken.
    fn check_pulls(&self, relay: &Relay, worker: usize) -> Result<(), String> {
        let core = relay.seats[worker].core();
        for (_, stream) in core.streams.iter() {
            let Some(pull) = &stream.pull else { continue };
            let is_over = |since: Option<std::time::Instant>, most: Duration| {
                since.is_some_and(|since| since + most + LATE < self.now)
            };
            if is_over(pull.in_vain_since(), relay.config.pull_give_up) {
                return Err(format!("{} is not given up", stream.name));
            }
            if is_over(pull.idle_since(), relay.config.pull_linger) {
                return Err(format!("{} is not let go", stream.name));
            }
            let (_, readers) = relay.shared.registry.look_up(&stream.name);
            let is_wanted = !stream.players.is_empty() || !readers.is_empty();
            let is_sure = self.panics == 0 && self.losses == 0;
            if relay.is_quiet() && is_sure && !is_wanted && pull.idle_since().is_none() {
                return Err(format!("{} is fetched for nobody", stream.name));
            }
        }
        Ok(())
    }

    /// No publisher is closed for what players and targets do, but with `--push-strict`.
    fn check_publishers(&self) {
        for (at, (desk, client)) in self.encoders.iter().enumerate() {
            let relay = &self.relays[desk.relay];
            let has_other_reason = desk.is_lax
                || self.panics > 0
                || (relay.seats.iter()).any(|seat| seat.reactor().faults.counts.ended() > 0)
                || relay.shared.relay_id != desk.life
                || !relay.is_alive()
                || relay.seats.iter().any(|seat| seat.core().is_draining());
            if !client.is_closed || has_other_reason || client.leaving.is_some() {
                continue;
            }
            let code = client.heard.strip_prefix("NetStream.Publish.");
            let is_strict = relay.config.push_strict.is_on();
            let is_refused = relay.counted().push_refusals > 0;
            match code {
                // Somebody else publishes the stream.
                Some("BadName") => {}
                Some("Denied") if is_strict && is_refused => {}
                _ => self.fail(&format!(
                    "encoder {at} is closed; it heard {}",
                    client.heard
                )),
            }
        }
    }

    /// What is fetched for nobody is fetched until the linger is over, the line is lost, or there
    /// has been no media for so long that it is given up.
    fn check_lingering(&mut self) {
        let mut now = HashMap::new();
        for (number, relay) in self.relays.iter().enumerate() {
            let counted = relay.counted();
            for (worker, seat) in relay.seats.iter().enumerate() {
                for (_, stream) in seat.core().streams.iter() {
                    let Some(pull) = &stream.pull else { continue };
                    if let (Some(since), None) = (pull.idle_since(), pull.dark_since()) {
                        let key = Lingering {
                            relay: number,
                            life: relay.shared.relay_id,
                            worker,
                            name: stream.name.clone(),
                            failures: counted.pull_failures,
                            bugs: counted.bugs,
                        };
                        now.insert(key, (since, stream.meter.last_media()));
                    }
                }
            }
        }
        let before = std::mem::replace(&mut self.lingering, now);
        for (its, (since, last_media)) in before {
            let relay = &self.relays[its.relay];
            let counted = relay.counted();
            let is_same = relay.is_alive()
                && relay.shared.relay_id == its.life
                && (counted.pull_failures, counted.bugs) == (its.failures, its.bugs);
            let given_up_at = last_media + relay.config.pull_give_up;
            let over_at = (since + relay.config.pull_linger).min(given_up_at);
            if !is_same {
                continue;
            }
            let seat = &relay.seats[its.worker];
            if over_at <= seat.later(self.now) {
                continue;
            }
            let core = seat.core();
            if !core.is_draining() && core.streams.find(&its.name).is_none() {
                self.fail(&format!("{its:?} is let go within its linger"));
            }
        }
    }

    /// Nobody gets a message twice, or jumps, but when a line is called anew.
    fn check_judges(&mut self) {
        let servers = self.cables.iter().filter_map(|cable| match &cable.far {
            Far::Server(server) => server.judge(),
            _ => None,
        });
        let judges = self
            .viewers
            .iter()
            .map(|viewer| &viewer.judge)
            .chain(servers);
        let (counted, _) = self.counted();
        // A worker that is fed may begin anew with a snapshot.
        let is_alone = self.relays.iter().all(|relay| relay.seats.len() <= 1);
        let is_smooth = counted.skips == 0 && self.panics == 0 && is_alone;
        let mut found = None;
        let mut restarts = 0;
        for judge in judges {
            let &Relayed {
                stream,
                dials,
                again,
                jumps,
                ..
            } = judge;
            restarts += again;
            // What was called just before it came may not have arrived yet, at each relay once.
            let dialled = self.dials[stream] - dials + self.relays.len() as u64;
            if again > dialled || is_smooth && jumps > dialled {
                found = Some(format!(
                    "{again} starts again and {jumps} jumps with {dialled} lines: {judge:?}"
                ));
            }
        }
        self.tally.restarts = self.tally.restarts.max(restarts);
        if let Some(what) = found {
            self.fail(&what);
        }
    }

    /// When nothing has gone wrong for a while: whoever plays has the newest there is.
    pub(super) fn check_rest(&self) {
        let servers = self.cables.iter().filter_map(|cable| match &cable.far {
            Far::Server(server) if !server.is_gone => server.judge(),
            _ => None,
        });
        let viewers = self.viewers.iter();
        let viewers = viewers.filter(|viewer| !viewer.gone && viewer.is_playing);
        for judge in viewers.map(|viewer| &viewer.judge).chain(servers) {
            if !self.is_current(judge) {
                let name = &self.truth.lines[judge.stream].name;
                for (number, relay) in self.relays.iter().enumerate() {
                    for seat in &relay.seats {
                        let index = seat.core().streams.find(name);
                        let stream = index.map(|index| &seat.core().streams[index]);
                        let known = stream.map(|s| (s.source(), s.epoch, s.players.len()));
                        self.note(|| format!("{name} at {number}: {known:?}"));
                    }
                }
                let lost = judge.lost(&self.truth, "it does not have the newest");
                self.fail(&format!("{lost}: {judge:?}"));
            }
        }
    }

    fn is_current(&self, judge: &Relayed) -> bool {
        let clients = self.encoders.iter().map(|(_, client)| client);
        let here = clients.filter(|c| !c.gone && !c.vanished && c.leaving.is_none());
        let mut open = here
            .flat_map(|client| &client.publications)
            .filter(|published| published.is_on() && published.stream == judge.stream);
        open.any(|published| {
            let number = published.publication;
            let entries = &self.truth.publications[number].entries;
            let number = u32::try_from(number).unwrap();
            let newest = entries.len().checked_sub(1).map(|seq| (number, seq));
            // Sound without pictures is nothing to start at, nor to jump to, until it is clear to
            // a relay that has had pictures of the publisher before that none will come.
            let is_radio = entries.iter().all(|entry| entry.kind != kind::VIDEO);
            let mut coded = entries.iter().filter(|entry| entry.coded);
            let first = coded.next().map_or(0, |entry| entry.time);
            let last = coded.next_back().map_or(first, |entry| entry.time);
            let is_unclear = last.wrapping_sub(first) <= VIDEO_GONE_MS;
            // Who was left behind by more than it may be waits for the next place to start at.
            let missed = judge.at.filter(|(of, _)| *of == number);
            let missed = missed.map_or(&[][..], |(_, at)| &entries[at + 1..]);
            let lag: u64 = missed.iter().map(|entry| entry.wire_bytes).sum();
            let is_behind = lag > self.truth.lag_bytes && missed.iter().all(|entry| !entry.sync);
            judge.at == newest || is_radio && is_unclear || is_behind
        })
    }

    /// Everybody has left and every deadline has passed.
    pub(super) fn check_end(&self) {
        for (number, relay) in self.relays.iter().enumerate() {
            for (worker, seat) in relay.seats.iter().enumerate() {
                if let Some((what, count)) = tables::left_over(seat.core()) {
                    self.fail(&format!("worker {worker} of {number} has {count} {what}"));
                }
            }
            let (registry, admission) = (&relay.shared.registry, &relay.shared.admission);
            let left = [
                registry.len(),
                registry.owned(),
                admission.connections(),
                admission.newcomers(),
                admission.per_address().iter().sum(),
                relay.shared.fetches.pending().0,
                admission.dialled().0,
                admission.dialled().1,
                admission.lingering(),
            ];
            if left != [0; 9] {
                self.fail(&format!("relay {number} still counts {left:?}"));
            }
        }
        if !self.cables.is_empty() {
            self.fail(&format!("{} cables are left", self.cables.len()));
        }
    }
}

/// What players make a relay do and remember is bounded, whatever they say.
fn check_totals(relay: &Relay) -> Result<(), String> {
    let Shared {
        registry,
        fetches,
        missing,
        queries,
        ..
    } = &*relay.shared;
    if !relay.is_alive() {
        return Ok(());
    }
    let streams = relay
        .seats
        .iter()
        .flat_map(|seat| seat.core().streams.iter());
    let pulls = streams.filter_map(|(_, stream)| stream.pull.as_ref());
    let pulls: Vec<_> = pulls.collect();
    let lines = pulls.len();
    let names = registry.len();
    let (pending, most) = fetches.pending();
    let (pending_max, addresses, servers) = fetches.kept();
    let of_address_max = pending_max / limits::ADDRESS_SHARE + 1;
    let rules = relay.config.pull.iter().chain(&relay.config.push);
    let servers_max = rules.map(|rule| rule.servers.len()).sum();
    let [accepted, newest] = queries.len();
    let totals = [
        ("connections to origins", pending, lines.min(pending_max)),
        ("connections to origins of an address", most, of_address_max),
        (
            "addresses that fetch",
            addresses,
            2 * limits::ADDRESSES_KEPT,
        ),
        ("servers that were called", servers, servers_max),
        ("relays", registry.relays(), 60 * relay.seats.len() * names),
        ("missing streams", missing.len(), limits::MISSING_MAX),
        ("ended streams", registry.ended(), limits::ENDED_MAX),
        ("queries", accepted, limits::QUERIES_MAX),
        ("streams with queries", newest, limits::QUERIES_MAX),
    ];
    if let Some(what) = tables::beyond(&totals) {
        return Err(what);
    }
    for pull in pulls {
        let redirect = pull.line().redirect();
        let app = redirect.map_or(0, |target| target.place.app.len());
        let totals = [
            ("early bytes", pull.early_bytes(), EARLY_BYTES_MAX),
            ("redirects", pull.line().redirects().into(), REDIRECTS_MAX),
            ("bytes of an app", app, limits::REDIRECT_BYTES_MAX),
        ];
        if let Some(what) = tables::beyond(&totals) {
            return Err(format!("{what}, of {}", pull.name().key()));
        }
    }
    Ok(())
}

/// A relay fetches each stream once at a time.
fn check_once(relay: &Relay) -> Result<(), String> {
    let mut pulls: HashMap<&str, usize> = HashMap::new();
    for seat in &relay.seats {
        for (_, conn) in seat.core().conns.iter() {
            if let Some(errand) = conn.errand().filter(|errand| errand.task() == Task::Pull) {
                *pulls
                    .entry(&seat.core().streams[errand.stream()].name)
                    .or_default() += 1;
            }
        }
    }
    let streams = relay
        .seats
        .iter()
        .flat_map(|seat| seat.core().streams.iter());
    let mut owners: HashMap<&str, usize> = HashMap::new();
    for (_, stream) in streams.filter(|(_, stream)| stream.pull.is_some()) {
        *owners.entry(&stream.name).or_default() += 1;
    }
    // One that has it, and one that is asked beside it.
    let pulls = pulls.into_iter().map(|(name, count)| (name, count, 2));
    let owners = owners.into_iter().map(|(name, count)| (name, count, 1));
    let mut all = pulls.chain(owners);
    match all
        .find(|(_, count, most)| count > most)
        .map(|(name, count, _)| (name, count))
    {
        Some((name, count)) => Err(format!("{name} is fetched {count} times")),
        None => Ok(()),
    }
}
