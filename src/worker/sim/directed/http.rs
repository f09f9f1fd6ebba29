//! Players by HTTP: when they begin, what is kept for them and how long, and what a panic on the
//! way costs.

use super::{INTER, MS, PLAYS, S, SOUND, Stage};
use crate::config::Pace;
use crate::rtmp::message::kind;
use crate::stream::flv::Framing;
use crate::worker::fault::{self, StepOf};

const PLAIN: &str = "GET /live/cam.flv HTTP/1.1\r\nHost: a\r\n\r\n";
const WEBSOCKET: &str = "GET /live/cam.flv HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\
                         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

impl Stage {
    fn got(&self, guest: usize) -> &[u8] {
        &self.guests[guest]
            .http
            .as_ref()
            .expect("it speaks HTTP")
            .got
    }

    /// How many tags with a body of `len` zeroes behind the picture's head a guest has.
    fn pictures(&self, guest: usize, len: usize) -> usize {
        let length = u32::try_from(11 + len).unwrap().to_be_bytes();
        let end = [&[0; 20][..], &length].concat();
        let got = self.got(guest).windows(end.len());
        got.filter(|bytes| *bytes == end).count()
    }

    /// Bytes that are held, without spare blocks.
    fn held(&mut self) -> u64 {
        self.core_mut().blocks.release();
        self.core().held_bytes()
    }

    /// Which logs there are for those who play `live/cam` by HTTP.
    fn flv_logs(&self) -> [bool; 2] {
        let stream = self.core().streams.find("live/cam");
        let flv = stream.map(|index| &self.core().streams[index].flv);
        [Framing::Plain, Framing::WebSocket]
            .map(|framing| flv.is_some_and(|flv| flv.of(framing).is_some()))
    }
}

#[test]
fn who_waits_is_answered_when_the_stream_begins_or_when_it_has_not() {
    let mut stage = Stage::new(|config| config.play_wait = S(5));
    let waiting = [PLAIN, WEBSOCKET].map(|request| stage.ask(request));
    stage.wait(S(2));
    assert!(waiting.iter().all(|&guest| stage.got(guest).is_empty()));
    assert_eq!(stage.flv_logs(), [false; 2]);
    let source = stage.publish("cam");
    stage.send(source, kind::AUDIO, SOUND, 10);
    stage.key_frame(source, 100);
    stage.key_frame(source, 100);
    for (guest, head) in waiting.into_iter().zip(["HTTP/1.1 200 ", "HTTP/1.1 101 "]) {
        assert!(stage.got(guest).starts_with(head.as_bytes()));
        assert_eq!(stage.pictures(guest, 100), 2);
    }
    let other = stage.ask(&PLAIN.replace("cam", "other"));
    stage.wait(S(4));
    assert!(stage.got(other).is_empty());
    stage.wait(S(2));
    assert!(stage.got(other).starts_with(b"HTTP/1.1 404 "));
    assert!(stage.guests[other].gone);
    stage.end();
}

#[test]
fn players_by_http_take_as_many_writes_as_those_by_rtmp_and_tags_are_made_once() {
    let writes = |by_http: usize| {
        let mut stage = Stage::new(|config| config.pace = Pace::Fixed(MS(100)));
        let source = stage.publish("cam");
        stage.key_frame(source, 100);
        for player in 0..20 {
            if player < by_http {
                stage.ask(PLAIN);
            } else {
                stage.play("cam");
            }
        }
        stage.wait(S(1));
        let (before, held) = (stage.gauges().writes, stage.held());
        for _ in 0..100 {
            stage.send(source, kind::VIDEO, INTER, 2_000);
            stage.wait(MS(40));
        }
        (stage.gauges().writes - before, stage.held() - held)
    };
    let (all_rtmp, chunks) = writes(0);
    let (one, tags) = writes(1);
    assert!(all_rtmp >= 20 * 30, "{all_rtmp}");
    assert_eq!(one, all_rtmp);
    // Ten players by HTTP write no more often, and hold no more, than one.
    let (half, ten) = writes(10);
    assert_eq!(half, all_rtmp);
    assert!(
        tags > chunks && ten.abs_diff(tags) < 10_000,
        "{chunks} {tags} {ten}"
    );
}

#[test]
fn a_log_of_tags_is_there_while_somebody_reads_it_and_is_counted() {
    let mut stage = Stage::new(|_| {});
    let source = stage.publish("cam");
    let rtmp = stage.play("cam");
    stage.key_frame(source, 200_000);
    for round in 0..3 {
        assert_eq!(stage.flv_logs(), [false; 2], "{round}");
        // Both kinds come: nobody waits to know that.
        stage.send(source, kind::AUDIO, SOUND, 10);
        stage.settle();
        let before = stage.held();
        let plain = stage.ask(PLAIN);
        assert_eq!(stage.flv_logs(), [true, false]);
        let one = stage.held() - before;
        assert!(one >= 200_000, "{one}");
        let websocket = [stage.ask(WEBSOCKET), stage.ask(WEBSOCKET)];
        assert_eq!(stage.flv_logs(), [true, true]);
        // One log for both.
        let two = stage.held() - before - one;
        assert!((200_000..500_000).contains(&two), "{two}");
        stage.send(source, kind::VIDEO, INTER, 1_000);
        stage.settle();
        for guest in [plain, websocket[0], websocket[1]] {
            assert_eq!(stage.pictures(guest, 1_000), round + 1);
            assert_eq!(stage.pictures(guest, 200_000), 1);
        }
        for (guest, logs) in [(plain, [false, true]), (websocket[0], [false, true])] {
            stage.leave(guest);
            stage.send(source, kind::AUDIO, SOUND, 10);
            stage.settle();
            assert_eq!(stage.flv_logs(), logs);
        }
        stage.leave(websocket[1]);
        stage.send(source, kind::AUDIO, SOUND, 10);
        stage.settle();
        assert_eq!(stage.flv_logs(), [false; 2]);
    }
    stage.check_heard(rtmp, &PLAYS);
    // With the stream its logs go, whoever reads them.
    let last = [PLAIN, WEBSOCKET].map(|request| stage.ask(request));
    stage.leave(source);
    stage.wait(S(3));
    assert!(last.iter().all(|&guest| stage.guests[guest].gone));
    assert!(
        stage
            .got(last[1])
            .windows(4)
            .any(|four| four[0] == 0x88 && four[2..] == [3, 232])
    );
    assert_eq!(stage.flv_logs(), [false; 2]);
    stage.end();
}

#[test]
fn a_panic_while_logs_of_tags_are_made_costs_a_connection_or_the_stream_and_nothing_else() {
    let (mut bugs, mut streams) = (0, 0);
    for of in [StepOf::Conn, StepOf::Stream] {
        for after in 0..40 {
            let mut stage = Stage::new(|_| {});
            let (source, other) = (stage.publish("cam"), stage.publish("other"));
            let elsewhere = stage.ask(&PLAIN.replace("cam", "other"));
            let rtmp = stage.play("cam");
            for source in [source, other] {
                stage.key_frame(source, 1_000);
                stage.send(source, kind::AUDIO, SOUND, 10);
            }
            stage.settle();
            fault::arm(of, after);
            let guests = [PLAIN, WEBSOCKET].map(|request| stage.ask(request));
            for _ in 0..3 {
                stage.key_frame(source, 1_000);
                stage.wait(MS(250));
            }
            stage.leave(guests[0]);
            stage.wait(S(1));
            fault::disarm();
            let fired = fault::fired();
            assert_eq!(stage.gauges().bugs, fired);
            bugs += fired;
            if !stage.guests[source].gone {
                // Whoever is there gets what comes.
                let before = stage.guests[rtmp].media;
                stage.key_frame(source, 1_000);
                let more = stage.guests[rtmp].media - before;
                assert!(stage.guests[rtmp].gone || more == 1, "{of:?} after {after}");
                stage.send(source, kind::AUDIO, SOUND, 10);
                stage.settle();
                let new = stage.ask(PLAIN);
                assert_eq!(stage.pictures(new, 1_000), 1, "{of:?} after {after}");
            }
            streams += u32::from(stage.guests[source].gone);
            let before = stage.pictures(elsewhere, 1_000);
            stage.key_frame(other, 1_000);
            let more = stage.pictures(elsewhere, 1_000) - before;
            assert!(more == 1 || fired == 1 && stage.guests[elsewhere].gone);
            stage.end();
        }
    }
    assert!(bugs > 15, "{bugs} panics");
    assert!(streams > 3, "{streams} streams ended");
}

#[test]
fn regression_a_close_before_the_answer_ends_the_connection() {
    // A close with mask and status 1000, and one without a status.
    let closes: [&[u8]; 2] = [
        &[0x88, 0x82, 1, 2, 3, 4, 0x02, 0xEA],
        &[0x88, 0x80, 1, 2, 3, 4],
    ];
    for close in closes {
        for split in [close.len(), 3] {
            let mut stage = Stage::new(|_| {});
            // It waits for its stream, and then for the kinds of media in it.
            let player = stage.ask(WEBSOCKET);
            for part in close.chunks(split) {
                let http = stage.guests[player].http.as_mut().unwrap();
                http.says.extend_from_slice(part);
                stage.settle();
            }
            let source = stage.publish("cam");
            stage.key_frame(source, 100);
            stage.wait(S(5));
            assert!(stage.guests[player].gone, "{close:?} in {split}");
            let tail = [0x88, 0x02, 0x03, 0xE8];
            assert!(stage.got(player).ends_with(&tail), "a close in answer");
            stage.end();
        }
    }
}
