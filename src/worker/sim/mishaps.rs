//! What goes wrong in a simulated world beside what clients do: letters that are lost, panics
//! half-way inside a worker, a machine that was suspended.
//!
//! Letters are lost on purpose more often than they ever could be: a worker that lives reads
//! every letter. A panic that comes between what the registry is told and the letter about it has
//! the same effect. What is never lost is a connection on its way, and the word to stop.

use std::time::Duration;

use super::post::told;
use super::reactor::KernelCounts;
use super::wire::SimSocket;
use super::world::World;
use crate::worker::fault::{self, StepOf};
use crate::worker::mail::Mail;

/// What has happened that no worker counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    /// Letters that never arrived.
    pub(super) letters: u64,
    /// Letters that nobody was woken for.
    pub(super) wakes: u64,
    /// The clock went on by hours or days.
    pub(super) leaps: u64,
    /// Panics half-way inside a worker.
    pub(super) panics: u64,
    /// Lines between relays that were cut, or let nothing through any more.
    pub(super) cuts: u64,
    /// Relays that died.
    pub(super) deaths: u64,
    /// Names and addresses that led nowhere.
    pub(super) astray: u64,
    /// Starts of players at messages they had before, or had passed by.
    pub(super) restarts: u64,
    /// Messages that targets outside were handed.
    pub(super) handed: u64,
    /// What the kernel did of itself.
    pub(super) kernel: KernelCounts,
}

/// So often does each worker look at what others have of its streams, and it at theirs, until
/// whatever was lost is found.
const AUDITS: u32 = 4;

impl Tally {
    /// This and another together.
    pub(super) fn plus(&self, other: &Self) -> Self {
        Self {
            letters: self.letters + other.letters,
            wakes: self.wakes + other.wakes,
            leaps: self.leaps + other.leaps,
            panics: self.panics + other.panics,
            cuts: self.cuts + other.cuts,
            deaths: self.deaths + other.deaths,
            astray: self.astray + other.astray,
            restarts: self.restarts + other.restarts,
            handed: self.handed + other.handed,
            kernel: self.kernel.plus(&other.kernel),
        }
    }
}

impl World {
    /// The machine was suspended: hours, or more days than 32 bits have milliseconds.
    pub(super) fn leap(&mut self) {
        let hours = self.rng.pick(&[1, 9, 24, 24 * 26, 24 * 51]);
        let seconds = hours * 3_600 + self.rng.below(3_600) as u64;
        self.now += Duration::from_secs(seconds);
        self.tally.leaps += 1;
        self.note(|| format!("{hours} hours pass"));
    }

    /// Some worker will panic.
    pub(super) fn prepare_panic(&mut self) {
        if !self.rng.chance(self.panics) {
            return;
        }
        let of = self.rng.pick(&StepOf::ALL);
        let most = self.rng.pick(&[2, 20, 200]);
        let after = u32::try_from(self.rng.below(most)).unwrap();
        self.note(|| format!("a step for a {of:?} will panic after {after}"));
        fault::arm(of, after);
    }

    /// Something was lost, which workers have to find out.
    pub(super) fn lose(&mut self) {
        for seat in &mut self.workers {
            seat.audits = 0;
        }
    }

    /// Whether whatever was lost has been found.
    pub(super) fn is_healed(&self) -> bool {
        self.workers.iter().all(|seat| seat.audits >= AUDITS)
    }

    /// Takes out the letters that do not arrive.
    pub(super) fn lose_some(&mut self, letters: &mut Vec<Mail<SimSocket>>) {
        if self.calm || self.losses == 0 {
            return;
        }
        let count = letters.len();
        letters.retain(|mail| {
            let is_lost = mail.stream().is_some() && self.rng.chance(self.losses);
            if is_lost {
                self.trace.note(|| format!("    lost: {}", told(mail)));
            }
            !is_lost
        });
        if letters.len() < count {
            self.tally.letters += (count - letters.len()) as u64;
            self.lose();
        }
    }
}
