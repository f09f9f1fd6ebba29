//! The parts that judges are made of, each with one thing that it judges.

use tailwater_rtmp::message::{Payload, Timestamp, kind};

use super::Verdict;
use super::truth::{Entry, InForce, Need, Publication, is_same};

/// Times: neither the whole nor one track steps back, and no track stands still for long.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    last: Option<Timestamp>,
    /// The last time of sound, of pictures and of the rest, and how many had it.
    tracks: [Option<(Timestamp, usize)>; 3],
}

/// Messages of one track at one time.
const STILL_MAX: usize = 51;

impl Clock {
    /// The time of the last message.
    pub fn last(&self) -> Option<Timestamp> {
        self.last
    }

    /// What comes next may be at any time, but for its track.
    pub fn forget_last(&mut self) {
        self.last = None;
    }

    /// The time that follows is that of a message that has arrived.
    pub fn set(&mut self, time: Timestamp) {
        self.last = Some(time);
    }

    /// Checks a time against the last of all.
    ///
    /// # Errors
    /// It steps back.
    pub fn check(&self, time: Timestamp) -> Verdict {
        steps_on(self.last, time)
    }

    /// Takes the time of any message.
    ///
    /// # Errors
    /// It steps back.
    pub fn take(&mut self, time: Timestamp) -> Verdict {
        self.check(time)?;
        self.set(time);
        Ok(())
    }

    /// Takes the time of a message of type `message_kind` against its track alone.
    ///
    /// # Errors
    /// It steps back, or has stood still for long.
    pub fn take_track(&mut self, message_kind: u8, time: Timestamp) -> Verdict {
        let track = match message_kind {
            kind::AUDIO => 0,
            kind::VIDEO => 1,
            _ => 2,
        };
        let (last, count) = self.tracks[track].unwrap_or((time, 0));
        let count = if last == time { count + 1 } else { 1 };
        self.tracks[track] = Some((time, count));
        steps_on(Some(last), time)?;
        match count > STILL_MAX {
            true => Err(format!("time stands still at {}", time.0)),
            false => Ok(()),
        }
    }
}

fn steps_on(last: Option<Timestamp>, time: Timestamp) -> Verdict {
    match last.filter(|last| time.since(*last) < 0) {
        Some(last) => Err(format!("time steps back from {} to {}", last.0, time.0)),
        None => Ok(()),
    }
}

/// Numbers of one track, which count up by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sequence {
    next: Option<u64>,
}

/// How a number follows those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is the first, or the next.
    On,
    /// So many before it are missing.
    Missing(u64),
    /// It came before, or one behind it did.
    Again,
}

impl Sequence {
    /// The number that comes next, once there has been one.
    pub fn next(&self) -> Option<u64> {
        self.next
    }

    /// Takes a number.
    pub fn take(&mut self, number: u64) -> Step {
        let expected = self.next.unwrap_or(number);
        self.next = Some(expected.max(number + 1));
        match number.checked_sub(expected) {
            None => Step::Again,
            Some(0) => Step::On,
            Some(missing) => Step::Missing(missing),
        }
    }
}

/// The headers that a player has.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    /// Publication and number of each.
    known: [Option<(u32, u32)>; 4],
}

impl Headers {
    /// One has come at its place in `publication`.
    pub fn set(&mut self, need: Need, publication: u32, tag: u32) {
        self.known[need as usize] = Some((publication, tag));
    }

    /// Takes one of `publication` that comes ahead of something; which it is.
    ///
    /// # Errors
    /// Nobody sent it.
    pub fn take(
        &mut self,
        publication: &Publication,
        tag: u32,
        payload: &Payload<'_>,
    ) -> Result<Need, &'static str> {
        let index = Publication::header_index(tag).unwrap_or(usize::MAX);
        let known = publication.headers.get(index);
        let (need, body) = known.ok_or("a header nobody sent")?;
        if !is_same(payload, body) {
            return Err("a header that was changed on the way");
        }
        self.set(*need, publication.number, tag);
        Ok(*need)
    }

    /// Checks that the player has what counts in `publication`, of these kinds.
    ///
    /// # Errors
    /// It has not.
    pub fn check(&self, publication: u32, in_force: &InForce, needs: &[Need]) -> Verdict {
        for &need in needs {
            let known = self.known[need as usize];
            if let Some(tag) = in_force[need as usize]
                && known != Some((publication, tag))
            {
                return Err(format!(
                    "header {need:?} {publication}:{tag:x} counts and the player has {known:x?}"
                ));
            }
        }
        Ok(())
    }

    /// The kinds that a message has to have before it.
    pub fn needs(entry: &Entry) -> &'static [Need] {
        match entry.kind {
            kind::VIDEO if entry.coded => &[Need::Video, Need::VideoMetadata],
            kind::AUDIO if entry.coded => &[Need::Audio],
            _ => &[],
        }
    }

    /// The kinds that a start has to have before it. Headers of pictures that change before the
    /// first picture come with that.
    pub fn needs_of_start(is_picture: bool) -> &'static [Need] {
        match is_picture {
            true => &[
                Need::Metadata,
                Need::Video,
                Need::VideoMetadata,
                Need::Audio,
            ],
            false => &[Need::Metadata, Need::Audio],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_step_back_in_no_track_and_not_in_all() {
        let mut clock = Clock::default();
        for time in [u32::MAX - 5, u32::MAX, 3, 3] {
            clock.take(Timestamp(time)).unwrap();
        }
        assert!(clock.take(Timestamp(2)).is_err());
        clock.forget_last();
        clock.take(Timestamp(1)).unwrap();
        clock.take_track(kind::AUDIO, Timestamp(50)).unwrap();
        clock.take_track(kind::VIDEO, Timestamp(40)).unwrap();
        assert!(clock.take_track(kind::AUDIO, Timestamp(49)).is_err());
        let mut still = (0..60).map(|_| clock.take_track(kind::VIDEO, Timestamp(41)));
        assert_eq!(still.position(|judged| judged.is_err()), Some(STILL_MAX));
    }

    #[test]
    fn numbers_are_missing_or_come_again() {
        let mut sequence = Sequence::default();
        let steps = [5, 6, 9, 9, 7, 10].map(|number| sequence.take(number));
        let missing = Step::Missing(2);
        let again = Step::Again;
        assert_eq!(steps, [Step::On, Step::On, missing, again, again, Step::On]);
        assert_eq!(sequence.next(), Some(11));
    }
}
