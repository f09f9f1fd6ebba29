//! Letters on their way between the workers of a simulated world.

use super::wire::SimSocket;
use super::world::World;
use crate::worker::ids::WorkerId;
use crate::worker::mail::Mail;

impl World {
    /// Some letters arrive: those of one sender to one receiver in their order, and those that
    /// were posted together together.
    pub(super) fn deliver(&mut self, permille: usize) -> bool {
        let mut moved = false;
        for from in 0..self.workers.len() {
            for to in 0..self.workers.len() {
                while !self.transit[from][to].is_empty() && self.rng.chance(permille) {
                    let mut letters = self.transit[from][to].pop_front().unwrap_or_default();
                    self.lose_some(&mut letters);
                    self.note(|| format!("{} letters from {from} to {to}", letters.len()));
                    self.workers[to].arriving += letters.iter().filter(is_conn).count();
                    if self.shared.mailboxes[WorkerId::new(to)].post(letters.into_iter()) {
                        let comes = !self.rng.chance(20);
                        self.tally.wakes += u64::from(!comes);
                        self.workers[to].reactor_mut().is_woken |= comes;
                        self.workers[to].unwoken = !comes;
                    }
                    moved = true;
                }
            }
        }
        moved
    }

    /// What a worker has posted is on its way.
    pub(super) fn post(&mut self, worker: usize) {
        for (to, letters) in self.workers[worker].posted() {
            let to = to.index();
            for mail in &letters {
                self.note(|| format!("    from {worker} to {to}: {}", told(mail)));
            }
            self.transit[worker][to].push_back(letters);
        }
    }

    /// Connections that are on their way to another worker, and letters at all.
    pub(super) fn in_transit(&self) -> (usize, usize) {
        let letters = self.transit.iter().flatten().flatten().flatten();
        let moving = letters.clone().filter(is_conn).count();
        let arriving: usize = self.workers.iter().map(|seat| seat.arriving).sum();
        (moving + arriving, letters.count())
    }
}

fn is_conn(mail: &&Mail<SimSocket>) -> bool {
    matches!(mail, Mail::Adopt(_))
}

pub(super) fn told(mail: &Mail<SimSocket>) -> String {
    match mail {
        Mail::Adopt(_) => "a connection".to_owned(),
        Mail::Subscribe { name, .. } => format!("feed me {name}"),
        Mail::Unsubscribe { name, .. } => format!("no more of {name}"),
        Mail::Snapshot { name, epoch, .. } => format!("snapshot of {name} {epoch}"),
        Mail::Headers { name, epoch, .. } => format!("headers of {name} {epoch}"),
        Mail::Append { name, epoch, .. } => format!("more of {name} {epoch}"),
        Mail::Away { name, epoch, .. } => format!("away {name} {epoch}"),
        Mail::End { name, epoch } => format!("end of {name} {epoch}"),
        Mail::Wanted { name, epoch, .. } => format!("{name} {epoch} is wanted"),
        Mail::NotLive { name } => format!("no {name}"),
        Mail::Resolved { id, .. } => format!("found {id}"),
        Mail::Ask(ask) => format!("{:?}", ask.question),
        Mail::Drain => "stop".to_owned(),
    }
}
