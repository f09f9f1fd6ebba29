//! What one player may get, and what it has got: the judge of every message that arrives.
//!
//! It follows its stream message by message. It may jump only to a message a player may start
//! at, with the headers that count there before it, and only when it asked for another place,
//! was further behind than is allowed, or its worker was.
//!
//! A player that has turned one half off is judged less strictly: a header that comes may be of
//! the stream itself or ahead of a jump, and what would tell is among what it does not get. It
//! still has to get nothing twice, nothing out of order, nothing it cannot decode, and without
//! a header in between nothing may be missing.

mod arrival;
mod place;

use tailwater_rtmp::message::{MessageStreamId, kind};

use super::Verdict;
use super::parts::{Clock, Headers};
use super::truth::{Place, Truth};

/// Whether one half of the media comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// It comes.
    On,
    /// It does not come.
    Off,
    /// The relay was told to leave it out and may not have read that yet.
    Either,
    /// Comes back with a key frame.
    AtSync,
    /// Comes back with the next message there is.
    Back,
    /// It was off, and may be on again.
    Unknown,
}

/// A header that was sent ahead of a jump.
#[derive(Clone, Copy, Debug)]
struct Ahead {
    number: u32,
    tag: u32,
    time: u32,
}

/// See the module text.
#[derive(Clone, Debug)]
pub struct Player {
    /// The message stream that it plays on.
    pub msid: MessageStreamId,
    /// What it plays, as an index of the truth's lines.
    pub stream: usize,
    /// A play that was asked for and not answered.
    pub asked: Option<usize>,
    /// It was told that it plays.
    pub playing: bool,
    /// It was told that it is paused.
    pub paused: bool,
    /// A play2 that was asked for and neither done nor refused.
    pub switching: bool,
    /// Whether sound comes.
    pub audio: Half,
    /// Whether pictures come.
    pub video: Half,
    /// What it turned off, audio and video, while there was nothing to play: the next play is
    /// without it.
    pub off_next: (bool, bool),
    /// The half it asked to have back, by message type id.
    pub turns_on: Option<u8>,
    /// Nothing has come since it got a half back.
    pub is_new: bool,
    /// A seek: what it had when it asked for that, and the time it went to.
    seek: (Option<Place>, Option<u32>),
    /// Its worker has lost part of the stream since it last had everything.
    pub may_jump: bool,
    /// The last message it got.
    place: Option<Place>,
    /// The last one that was no header: headers behind it may be those ahead of a jump.
    jumps_from: Option<Place>,
    /// It may go on anywhere.
    fresh: bool,
    /// How much had been sent when it was last allowed to go anywhere.
    fresh_from: Place,
    /// While a half was off, a header has come since the last other message.
    loose: bool,
    /// It may be about to get another life of its stream.
    restarts: bool,
    /// What it had of its stream when it was told that it went over to that: in another life of
    /// the stream its time goes on.
    life_of: Option<Place>,
    clock: Clock,
    /// It has come over from another stream, on a timeline of its own.
    pub is_shifted: bool,
    /// It was paused; it may have lost its place, and jumps once at most.
    resumed: bool,
    headers: Headers,
    ahead: [Option<Ahead>; 4],
}

impl Player {
    /// Whoever asks to play `stream` on message stream `msid`.
    pub fn new(msid: MessageStreamId, stream: usize) -> Self {
        Self {
            msid,
            stream,
            asked: Some(stream),
            playing: false,
            paused: false,
            switching: false,
            audio: Half::On,
            video: Half::On,
            off_next: (false, false),
            turns_on: None,
            is_new: false,
            seek: (None, None),
            may_jump: false,
            place: None,
            jumps_from: None,
            fresh: true,
            fresh_from: (0, 0),
            loose: false,
            restarts: false,
            life_of: None,
            clock: Clock::default(),
            is_shifted: false,
            resumed: false,
            headers: Headers::default(),
            ahead: [None; 4],
        }
    }

    /// The next message may be from anywhere in `stream`, and at any time.
    fn go_anywhere(&mut self, truth: &Truth, stream: usize) {
        self.lose_place(truth, stream);
        self.clock = Clock::default();
    }

    /// The next message may be from anywhere in `stream`; the time of its tracks goes on.
    fn lose_place(&mut self, truth: &Truth, stream: usize) {
        if std::mem::replace(&mut self.stream, stream) != stream {
            self.seek.0 = None;
            self.life_of = None;
        }
        self.fresh = true;
        self.place = None;
        self.jumps_from = None;
        self.clock.forget_last();
        self.seek.1 = None;
        self.loose = false;
        self.ahead = [None; 4];
        let order = &truth.lines[stream].order;
        self.fresh_from = match order.len().checked_sub(1) {
            Some(last) => (last, truth.at(stream, last).entries.len()),
            None => (0, 0),
        };
    }

    /// It was told that it went over to another stream: its time goes on there.
    fn go_over(&mut self, truth: &Truth, stream: usize) {
        self.lose_place(truth, stream);
        self.is_shifted = true;
    }

    /// It was paused and reads on: where it stood, or further ahead.
    fn resume(&mut self, truth: &Truth) {
        match self.place {
            Some(_) if !self.fresh => self.resumed = true,
            _ => self.lose_place(truth, self.stream),
        }
    }

    /// It was told that it went over to the stream it plays: it goes on, or with another life
    /// of the stream, in which its time goes on.
    fn go_on(&mut self) {
        self.life_of = self.place;
        // Where it has had nothing nobody knows which life that was.
        self.is_shifted |= self.place.is_none();
        self.restarts = true;
        self.may_jump = true;
        for half in [&mut self.audio, &mut self.video] {
            if *half != Half::On {
                *half = Half::Unknown;
            }
        }
    }

    /// What was turned off before comes back with another play; what was turned off for it
    /// stays off.
    fn begin_whole(&mut self) {
        let off = std::mem::take(&mut self.off_next);
        let begin = |half, off| match half {
            _ if off => Half::Off,
            // What is not read yet will be about the other stream.
            Half::Either => Half::Either,
            _ => Half::On,
        };
        self.audio = begin(self.audio, off.0);
        self.video = begin(self.video, off.1);
    }

    /// The relay has read what was asked last.
    pub fn pass_barrier(&mut self) {
        let pass = |half: &mut Half, off: &mut bool| {
            if *half == Half::Either {
                *off = !self.playing;
                *half = if *off { Half::On } else { Half::Off };
            }
        };
        pass(&mut self.audio, &mut self.off_next.0);
        pass(&mut self.video, &mut self.off_next.1);
    }

    /// A status from the relay.
    ///
    /// # Errors
    /// It is about nothing that was asked for.
    pub fn hear(&mut self, truth: &Truth, code: &str, description: &str) -> Verdict {
        match code.strip_prefix("NetStream.").unwrap_or(code) {
            "Play.Start" if description.starts_with("playing ") => {
                let stream = self.asked.take().ok_or("a play nobody asked for begins")?;
                if !description.ends_with(&truth.lines[stream].name) {
                    return Err(format!(
                        "{description}, and not {}",
                        truth.lines[stream].name
                    ));
                }
                self.playing = true;
                self.paused = false;
                self.switching = false;
                self.begin_whole();
                self.go_anywhere(truth, stream);
                self.is_shifted = false;
                self.life_of = None;
            }
            "Play.StreamNotFound" | "Play.UnpublishNotify" | "Play.Stop" => {
                self.playing = false;
                self.switching = false;
                if !code.ends_with("UnpublishNotify") {
                    self.off_next = (false, false);
                    self.asked = None;
                }
            }
            "Pause.Notify" => self.paused = true,
            "Unpause.Notify" => {
                let was_paused = std::mem::take(&mut self.paused);
                if was_paused {
                    self.resume(truth);
                }
            }
            "Seek.Notify" if description == "live" => {
                self.is_new = true;
                match self.turns_on.take() {
                    Some(kind::AUDIO) => self.audio = Half::Back,
                    Some(_) => self.video = Half::AtSync,
                    None => return Err("a half comes back that nobody asked for".to_owned()),
                }
            }
            "Seek.Notify" => {
                let time = description.split(' ').nth(2);
                self.end_seek(truth, time.and_then(|time| time.parse().ok()));
            }
            "Play.TransitionComplete" => {
                let stream = truth.line(description).ok_or("to an unknown stream")?;
                self.switching = false;
                if stream == self.stream {
                    self.go_on();
                } else {
                    self.begin_whole();
                    self.go_over(truth, stream);
                }
            }
            "Play.Failed" => self.switching = false,
            _ => {}
        }
        Ok(())
    }

    /// The time of the last message it got.
    pub fn last_seen(&self) -> u32 {
        self.clock.last().map_or(0, |time| time.0)
    }

    /// It asks for another place.
    pub fn begin_seek(&mut self) {
        self.seek = (self.place, None);
    }

    /// It is told that it goes on at `time`.
    fn end_seek(&mut self, truth: &Truth, time: Option<u32>) {
        self.paused = false;
        self.go_anywhere(truth, self.stream);
        self.seek.1 = time;
    }
}
