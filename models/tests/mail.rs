//! The mailbox and the receipts, in every order of their steps: no wake-up is lost, no letter is
//! lost or doubled, and what is under way comes to nothing.
//!
//! The waker is made like the one of a poll: it stays set until it is waited for, and two become
//! one.

use bytes::Bytes;
use loom::model::Builder;
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use tailwater_models::sync::atomic::Ordering;
use tailwater_models::worker::mail::{InFlight, Mail, Mailbox, Receipt};

type Letter = Mail<()>;

/// Switches of threads that the model may force at any place; with three threads the orders are
/// too many without a bound.
const PREEMPTIONS: usize = 3;

fn check(preemptions: Option<usize>, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(model);
}

/// A letter that is known by its number.
fn numbered(epoch: u64) -> Letter {
    Mail::End {
        name: "live/cam".into(),
        epoch,
    }
}

fn number(letter: &Letter) -> u64 {
    match letter {
        Mail::End { epoch, .. } | Mail::Append { epoch, .. } => *epoch,
        other => panic!("no letter of the model: {other:?}"),
    }
}

/// What a poll sleeps on.
#[derive(Default)]
struct Waker {
    is_set: Mutex<bool>,
    changed: Condvar,
}

impl Waker {
    fn wake(&self) {
        *self.is_set.lock().unwrap() = true;
        self.changed.notify_one();
    }

    fn wait(&self) {
        let mut is_set = self.is_set.lock().unwrap();
        while !*is_set {
            is_set = self.changed.wait(is_set).unwrap();
        }
        *is_set = false;
    }
}

/// A worker's mailbox and what wakes it.
struct Receiver {
    mailbox: Mailbox<()>,
    waker: Waker,
}

impl Receiver {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            mailbox: Mailbox::default(),
            waker: Waker::default(),
        })
    }

    /// As `EventLoop::post`: wakes when told to and only then.
    fn post(&self, letters: Vec<Letter>) {
        if self.mailbox.post(letters.into_iter()) {
            self.waker.wake();
        }
    }

    fn collect(&self, into: &mut Vec<Letter>) {
        let mut letters = Vec::new();
        self.mailbox.collect(&mut letters);
        into.append(&mut letters);
    }

    /// Sleeps and collects until there are `count` letters. One that is never woken for its last
    /// letter sleeps for ever, which loom calls a deadlock.
    fn wait_for(&self, count: usize, into: &mut Vec<Letter>) {
        while into.len() < count {
            self.waker.wait();
            self.collect(into);
        }
    }
}

#[test]
fn a_letter_always_wakes_and_arrives_once() {
    check(None, || {
        let receiver = Receiver::new();
        let sender = {
            let receiver = receiver.clone();
            thread::spawn(move || {
                receiver.post(vec![numbered(1)]);
                receiver.post(vec![numbered(2), numbered(3)]);
            })
        };
        let mut letters = Vec::new();
        receiver.wait_for(3, &mut letters);
        sender.join().unwrap();
        receiver.collect(&mut letters);
        let numbers: Vec<u64> = letters.iter().map(number).collect();
        assert_eq!(numbers, [1, 2, 3]);
    });
}

/// Two senders post `first` and `second`, one letter at a time.
fn check_two_senders(first: &'static [u64], second: &'static [u64]) {
    check(Some(PREEMPTIONS), move || {
        let receiver = Receiver::new();
        let sender = |numbers: &'static [u64]| {
            let receiver = receiver.clone();
            thread::spawn(move || {
                for letter in numbers {
                    receiver.post(vec![numbered(*letter)]);
                }
            })
        };
        let senders = [sender(first), sender(second)];
        let mut letters = Vec::new();
        receiver.wait_for(first.len() + second.len(), &mut letters);
        for sender in senders {
            sender.join().unwrap();
        }
        receiver.collect(&mut letters);
        let mut numbers: Vec<u64> = letters.iter().map(number).collect();
        // The sort keeps the order of each sender.
        numbers.sort_by_key(|number| number / 10);
        assert_eq!(numbers, [first, second].concat());
    });
}

#[test]
fn two_senders_are_both_heard() {
    check_two_senders(&[11], &[21]);
}

#[test]
fn two_senders_are_both_heard_each_in_its_order() {
    check_two_senders(&[11, 12], &[21, 22]);
}

#[test]
fn turns_that_nobody_asked_for_lose_nothing() {
    check(Some(PREEMPTIONS), || {
        let receiver = Receiver::new();
        let sender = {
            let receiver = receiver.clone();
            thread::spawn(move || {
                receiver.post(vec![numbered(1)]);
                receiver.post(vec![numbered(2)]);
            })
        };
        let mut letters = Vec::new();
        // A worker looks at its mail whenever its poll returns, for whatever reason.
        receiver.collect(&mut letters);
        receiver.collect(&mut letters);
        receiver.wait_for(2, &mut letters);
        sender.join().unwrap();
        receiver.collect(&mut letters);
        let numbers: Vec<u64> = letters.iter().map(number).collect();
        assert_eq!(numbers, [1, 2]);
    });
}

/// A piece of a stream, `BYTES` long.
fn piece(epoch: u64, in_flight: &InFlight) -> Letter {
    Mail::Append {
        name: "live/cam".into(),
        epoch,
        changes: 0,
        start: 0,
        bytes: Bytes::from_static(&[0; BYTES]),
        frames: smallvec::SmallVec::new(),
        receipt: Receipt::new(in_flight, BYTES),
    }
}

const BYTES: usize = 10;

#[test]
fn what_is_under_way_comes_to_nothing_once_it_is_taken() {
    check(None, || {
        let (receiver, in_flight) = (Receiver::new(), InFlight::default());
        let sender = {
            let (receiver, in_flight) = (receiver.clone(), in_flight.clone());
            thread::spawn(move || {
                for number in 1..=2 {
                    let before = in_flight.load(Ordering::Relaxed);
                    // Never below zero, and never more than was sent.
                    assert!(before <= BYTES, "{before} bytes under way");
                    receiver.post(vec![piece(number, &in_flight)]);
                }
            })
        };
        let mut taken = Vec::new();
        while taken.len() < 2 {
            let mut letters = Vec::new();
            receiver.wait_for(1, &mut letters);
            taken.extend(letters.iter().map(number));
            drop(letters);
        }
        sender.join().unwrap();
        assert_eq!(taken, [1, 2]);
        assert_eq!(in_flight.load(Ordering::Relaxed), 0);
    });
}

#[test]
fn a_sender_that_stopped_sees_that_all_was_taken() {
    check(None, || {
        let (receiver, in_flight) = (Receiver::new(), InFlight::default());
        // Too much is under way: the feed is lost and waits until all of it has been taken.
        receiver.post(vec![piece(1, &in_flight), piece(2, &in_flight)]);
        let sender = {
            let (receiver, in_flight) = (receiver.clone(), in_flight.clone());
            thread::spawn(move || {
                let may_go_on = in_flight.load(Ordering::Relaxed) == 0;
                if may_go_on {
                    receiver.post(vec![piece(3, &in_flight)]);
                }
                may_go_on
            })
        };
        let mut letters = Vec::new();
        receiver.wait_for(2, &mut letters);
        let first: Vec<u64> = letters.drain(..).map(|letter| number(&letter)).collect();
        assert_eq!(first, [1, 2], "nothing overtakes what was under way");
        let went_on = sender.join().unwrap();
        receiver.collect(&mut letters);
        assert_eq!(letters.len(), usize::from(went_on));
        letters.clear();
        assert_eq!(in_flight.load(Ordering::Relaxed), 0);
    });
}

#[test]
fn letters_that_nobody_reads_give_their_receipts_back() {
    check(None, || {
        let (receiver, in_flight) = (Receiver::new(), InFlight::default());
        let sender = {
            let (receiver, in_flight) = (receiver.clone(), in_flight.clone());
            thread::spawn(move || receiver.post(vec![piece(1, &in_flight)]))
        };
        // The worker ends, with mail or without.
        let mut letters = Vec::new();
        receiver.collect(&mut letters);
        drop(letters);
        sender.join().unwrap();
        drop(receiver);
        assert_eq!(in_flight.load(Ordering::Relaxed), 0);
    });
}
