//! For whom streams are fetched: the address that asks first decides nothing for others.

use std::sync::Arc;

use super::lines::{Lines, leave, pull};
use super::{S, Stage};
use crate::limits;
use crate::rtmp::client::Action;
use crate::worker::ids::WorkerId;
use crate::worker::mail::Mail;
use crate::worker::shared::Shared;

const FIRST: [u8; 4] = [10, 0, 1, 1];
const OTHER: [u8; 4] = [10, 0, 1, 2];

fn play(lines: &mut Lines, from: [u8; 4], name: &str) -> usize {
    let player = lines.stage.come_from(from, Action::Play, name);
    lines.settle();
    player
}

/// The server that was called last sends a key frame.
fn send(lines: &mut Lines) {
    lines.origins.last_mut().unwrap().key_frame(0);
    lines.settle();
}

/// Whether a player has got anything.
fn has_media(lines: &Lines, guest: usize) -> bool {
    lines.stage.guests[guest].media > 0
}

/// Everybody leaves, and nothing is left.
fn end(mut lines: Lines) {
    for guest in 0..lines.stage.guests.len() {
        if !lines.stage.guests[guest].gone {
            leave(&mut lines.stage, guest);
        }
    }
    lines.pass(80);
    lines.stage.end();
}

/// `FIRST` begins as many fetches as it may at once, and more.
fn use_up_rate(lines: &mut Lines) {
    for number in 0..limits::FETCHES.burst() + 20 {
        let name = format!("none{number}");
        lines.stage.come_from(FIRST, Action::Play, &name);
    }
    lines.settle();
}

/// `FIRST` publishes until it may no more; how many streams.
fn publish_all(lines: &mut Lines) -> usize {
    let mut own = 0;
    loop {
        let name = format!("own{own}");
        let publisher = lines.stage.come_from(FIRST, Action::Publish, &name);
        lines.settle();
        if lines.stage.guests[publisher].gone {
            return own;
        }
        own += 1;
    }
}

#[test]
fn regression_used_up_rate_delays_no_other_address() {
    let mut lines = Lines::new(pull);
    use_up_rate(&mut lines);
    let called = lines.origins.len();
    let first = play(&mut lines, FIRST, "cam");
    assert_eq!(lines.origins.len(), called, "it waits");
    let other = play(&mut lines, OTHER, "cam");
    assert_eq!(lines.origins.len(), called + 1);
    send(&mut lines);
    assert!(has_media(&lines, other) && has_media(&lines, first));
    end(lines);
}

#[test]
fn regression_who_stays_of_two_has_a_fetch_begin_at_once() {
    let mut lines = Lines::new(pull);
    use_up_rate(&mut lines);
    let called = lines.origins.len();
    let first = play(&mut lines, FIRST, "cam");
    let player = play(&mut lines, OTHER, "cam");
    leave(&mut lines.stage, first);
    lines.settle();
    assert_eq!(lines.origins.len(), called + 1, "asked once for both");
    // It counts for the one that is left.
    assert_eq!(lines.stage.shared.fetches.pending().1, called);
    send(&mut lines);
    assert!(has_media(&lines, player));
    end(lines);
}

#[test]
fn regression_used_up_connections_fail_no_other_address() {
    for is_gone in [false, true] {
        let mut lines = Lines::new(pull);
        lines.stage = Stage::with(lines.stage.shared.config.clone(), 40);
        let last = publish_all(&mut lines) - 1;
        leave(&mut lines.stage, last);
        lines.settle();
        let first = play(&mut lines, FIRST, "cam");
        assert!(!lines.stage.guests[first].gone);
        let shared = lines.stage.shared.clone();
        assert_eq!(shared.admission.dialled().0, 0);
        let other = play(&mut lines, OTHER, "cam");
        // While both wait it counts for neither.
        assert_eq!(shared.admission.dialled().0, 0);
        if is_gone {
            leave(&mut lines.stage, first);
            lines.settle();
            assert_eq!(shared.admission.dialled().0, 1);
        }
        send(&mut lines);
        assert!(has_media(&lines, other));
        assert_eq!(has_media(&lines, first), !is_gone);
        end(lines);
    }
}

#[test]
fn regression_used_up_streams_fail_no_other_address() {
    for comes_late in [false, true] {
        let mut lines = Lines::new(|config| {
            pull(config);
            config.max_streams = Some(20);
        });
        assert_eq!(publish_all(&mut lines), 4);
        let first = play(&mut lines, FIRST, "cam");
        if comes_late {
            send(&mut lines);
            assert!(!has_media(&lines, first));
        }
        let other = play(&mut lines, OTHER, "cam");
        leave(&mut lines.stage, first);
        lines.settle();
        send(&mut lines);
        assert!(has_media(&lines, other), "late: {comes_late}");
        assert_eq!(lines.origins.len(), if comes_late { 2 } else { 1 });
        end(lines);
    }
}

#[test]
fn players_of_other_workers_have_a_fetch_go_on() {
    let mut lines = Lines::new(pull);
    #[expect(clippy::arc_with_non_send_sync, reason = "all is on one thread")]
    let shared = Arc::new(Shared::new(lines.stage.shared.config.clone(), 2, 10_000));
    lines.stage = Stage::at_work(0, shared.clone(), lines.stage.now);
    use_up_rate(&mut lines);
    let called = lines.origins.len();
    let first = play(&mut lines, FIRST, "cam");
    assert_eq!(lines.origins.len(), called);
    let (name, from) = (Arc::from("live/cam"), WorkerId::new(1));
    shared.registry.join(&name, from);
    let epoch = shared.registry.look_up(&name).0.unwrap().epoch;
    lines.stage.post(Mail::Wanted {
        name: name.clone(),
        epoch,
        from,
        asker: OTHER.into(),
    });
    lines.settle();
    assert_eq!(lines.origins.len(), called + 1);
    let charged = || shared.admission.dialled().0;
    let alone = charged();
    leave(&mut lines.stage, first);
    lines.settle();
    assert_eq!(charged(), alone + 1, "for the one that is left");
    shared.registry.leave(&name, from);
    lines.stage.post(Mail::Unsubscribe { name, epoch, from });
    lines.settle();
    assert_eq!(charged(), alone, "wanted no longer");
    lines.pass(4);
    assert_eq!(lines.stage.guests.len(), first + 1);
    lines.stage.wait(S(1));
}
