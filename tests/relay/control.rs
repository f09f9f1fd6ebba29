//! What a player can ask for while it plays: pause, one half of the media, another stream, the
//! past, and more than one stream on its connection. On real sockets, on every worker, and on
//! message stream 1, which is served from shared memory, as on 2, which is not.

use support::packets::assert_list;
use support::relay::Relay;
use support::wire::{Film, Media, Seen, Wire, media_of, signals_of};
use tailwater::rtmp::control::UserControl;
use tailwater::rtmp::message::{MessageStreamId, kind};
use tailwater_testkit::commands;

/// A playing message stream of a connection.
struct Player {
    wire: Wire,
    msid: MessageStreamId,
}

impl Player {
    /// Plays `stream` on message stream 1.
    #[track_caller]
    fn first(relay: &Relay, stream: &str) -> Self {
        let wire = Wire::play(relay.address(), stream);
        Self {
            wire,
            msid: MessageStreamId(1),
        }
    }

    /// Plays `stream` on message stream 2; 1 waits for a stream that never comes.
    #[track_caller]
    fn second(relay: &Relay, stream: &str) -> Self {
        let mut wire = Wire::play(relay.address(), "never");
        play_on_second(&mut wire, stream);
        Self {
            wire,
            msid: MessageStreamId(2),
        }
    }

    /// One of each on each worker.
    #[track_caller]
    fn all(relay: &Relay, stream: &str) -> Vec<Self> {
        let first = relay.on_each_worker(2, || Self::first(relay, stream).wire);
        let second = relay.on_each_worker(2, || Self::second(relay, stream).wire);
        let first = first.into_iter().map(|wire| Self {
            wire,
            msid: MessageStreamId(1),
        });
        let second = second.into_iter().map(|wire| Self {
            wire,
            msid: MessageStreamId(2),
        });
        first.chain(second).collect()
    }

    fn status(&self, code: &str) -> Seen {
        Seen::Status(self.msid.0, code.to_owned())
    }

    /// Sends a command with one argument behind the command object.
    fn command(&mut self, name: &str, flag: bool) {
        self.wire.command(self.msid.0, commands::flag(name, flag));
    }

    /// Everything up to the status `code`.
    #[track_caller]
    fn until_status(&mut self, code: &str) -> Vec<Seen> {
        let status = self.status(code);
        self.wire.until(code, |seen| *seen == status)
    }

    /// The media up to the last of `wanted`, which has to be `wanted`.
    #[track_caller]
    fn expect(&mut self, what: &str, wanted: &[Media]) {
        let last = wanted.iter().rfind(|media| media.number().is_some());
        let last = last.expect("a message with a number");
        let seen = self.wire.until_number(last.kind, last.number().unwrap());
        self.compare(what, &seen, wanted);
    }

    #[track_caller]
    fn compare(&self, what: &str, seen: &[Seen], wanted: &[Media]) {
        let wanted: Vec<Media> = wanted.iter().map(|media| media.on(self.msid.0)).collect();
        let what = format!("message stream {}: {what}", self.msid);
        assert_list(&what, &media_of(seen), &wanted);
    }

    /// Nothing has come, and the relay has done all it was asked for.
    #[track_caller]
    fn expect_nothing(&mut self, what: &str) {
        let seen = self.wire.settle();
        self.compare(what, &seen, &[]);
    }
}

/// createStream, then play of `stream` on what that gives.
#[track_caller]
fn play_on_second(wire: &mut Wire, stream: &str) {
    wire.command(0, commands::create_stream());
    play_again(wire, MessageStreamId(2), stream);
}

#[track_caller]
fn play_again(wire: &mut Wire, msid: MessageStreamId, stream: &str) {
    wire.command(msid.0, |amf| {
        amf.string("play").number(0.0).null().string(stream);
        amf.number(-2.0);
    });
    let seen = wire.settle();
    wire.give_back(seen);
}

/// `--play-wait` is long, so that what waits does not go away.
fn relay(flags: &[&str]) -> Relay {
    let mut all = vec!["--workers", "2", "--play-wait", "60"];
    all.extend(flags);
    Relay::start(&all)
}

/// A stream that has begun, and players that have seen all of it.
#[track_caller]
fn begin(relay: &Relay, film: &mut Film) -> (Wire, Vec<Player>) {
    let mut players = Player::all(relay, "film");
    let mut publisher = Wire::publish(relay.address(), "film");
    let mut sent = film.headers.clone();
    sent.extend(film.group(5));
    publisher.send_all(&sent);
    for player in &mut players {
        player.expect("the beginning", &sent);
    }
    (publisher, players)
}

fn of_kind(media: &[Media], wanted: u8) -> Vec<Media> {
    let mut media = media.to_vec();
    media.retain(|media| media.kind == wanted);
    media
}

#[test]
fn a_paused_player_gets_nothing_and_goes_on_live() {
    let relay = relay(&[]);
    let mut film = Film::new("film", 0);
    let (mut publisher, mut players) = begin(&relay, &mut film);
    for player in &mut players {
        player.command("pause", true);
        let seen = player.until_status("NetStream.Pause.Notify");
        let end = Seen::Control(UserControl::StreamEof(player.msid));
        assert_eq!(seen, [end, player.status("NetStream.Pause.Notify")]);
    }
    publisher.send_all(&film.more(5));
    publisher.send_all(&film.group(5));
    let group = film.group(5);
    publisher.send_all(&group);
    publisher.spread();
    for player in &mut players {
        player.expect_nothing("paused");
        player.command("pause", false);
        let seen = player.until_status("NetStream.Unpause.Notify");
        let begin = Seen::Control(UserControl::StreamBegin(player.msid));
        assert_eq!(seen, [begin, player.status("NetStream.Unpause.Notify")]);
        let mut wanted = film.headers_again(group[0].time);
        wanted.extend(group.clone());
        player.expect("from the newest key frame on", &wanted);
    }
    let more = film.more(2);
    publisher.send_all(&more);
    for player in &mut players {
        player.expect("live", &more);
    }
}

#[test]
fn a_player_without_video_gets_it_back_at_a_key_frame() {
    let relay = relay(&[]);
    let mut film = Film::new("film", 0);
    let (mut publisher, mut players) = begin(&relay, &mut film);
    for player in &mut players {
        player.command("receiveVideo", false);
        player.expect_nothing("after receiveVideo");
    }
    let group = film.group(3);
    publisher.send_all(&group);
    for player in &mut players {
        player.expect("sound alone", &of_kind(&group, kind::AUDIO));
        player.command("receiveVideo", true);
        let seen = signals_of(&player.wire.settle());
        let seek = player.status("NetStream.Seek.Notify");
        assert_eq!(seen, [seek, player.status("NetStream.Play.Start")]);
    }
    let more = film.more(3);
    publisher.send_all(&more);
    let group = film.group(3);
    publisher.send_all(&group);
    for player in &mut players {
        player.expect("until the key frame", &of_kind(&more, kind::AUDIO));
        let mut wanted = group.clone();
        let seen = player
            .wire
            .until_number(kind::AUDIO, group[7].number().unwrap());
        // Headers may be sent again before the picture.
        let got = media_of(&seen);
        let headers = got.iter().take_while(|media| media.number().is_none());
        wanted.splice(
            0..0,
            got[..headers.count()]
                .iter()
                .map(|media| media.on(MessageStreamId(1).0)),
        );
        player.compare("from the key frame on", &seen, &wanted);
    }
}

#[test]
fn a_header_that_changes_while_video_is_off_comes_before_the_key_frame() {
    let relay = relay(&[]);
    let mut film = Film::new("film", 0);
    let (mut publisher, mut players) = begin(&relay, &mut film);
    for player in &mut players {
        player.command("receiveVideo", false);
        player.expect_nothing("after receiveVideo");
    }
    let mut changed = Media::avc_header(300);
    changed.payload.extend_from_slice(b", another");
    publisher.send(&changed);
    let group = film.group(3);
    publisher.send_all(&group);
    for player in &mut players {
        player.expect("sound alone", &of_kind(&group, kind::AUDIO));
        player.command("receiveVideo", true);
        player.wire.settle();
    }
    let group = film.group(3);
    publisher.send_all(&group);
    for player in &mut players {
        let number = group[0].number().unwrap();
        let got = media_of(&player.wire.until_number(kind::VIDEO, number));
        let video = of_kind(&got, kind::VIDEO);
        let [before, _key] = video.last_chunk().expect("a header and a key frame");
        assert_eq!(before.payload, changed.payload, "{got:?}");
    }
}

#[test]
fn a_player_without_sound_gets_it_back_at_once() {
    let relay = relay(&[]);
    let mut film = Film::new("film", 0);
    let (mut publisher, mut players) = begin(&relay, &mut film);
    for player in &mut players {
        player.command("receiveAudio", false);
        player.expect_nothing("after receiveAudio");
    }
    let mut more = film.more(3);
    // A picture is the last, which tells that all before it has passed.
    more.pop();
    publisher.send_all(&more);
    for player in &mut players {
        player.expect("pictures alone", &of_kind(&more, kind::VIDEO));
        player.command("receiveAudio", true);
        let seen = signals_of(&player.wire.settle());
        let seek = player.status("NetStream.Seek.Notify");
        assert_eq!(seen, [seek, player.status("NetStream.Play.Start")]);
    }
    let more = film.more(3);
    publisher.send_all(&more);
    for player in &mut players {
        let number = more[5].number().unwrap();
        let got = media_of(&player.wire.until_number(kind::AUDIO, number));
        let coded: Vec<Media> = got
            .iter()
            .filter(|media| media.number().is_some())
            .map(|media| media.on(MessageStreamId(1).0))
            .collect();
        assert_list("all again", &coded, &more);
    }
}

#[test]
fn a_header_that_changes_while_sound_is_off_comes_before_the_sound() {
    let relay = relay(&[]);
    let mut film = Film::new("film", 0);
    let (mut publisher, mut players) = begin(&relay, &mut film);
    for player in &mut players {
        player.command("receiveAudio", false);
        player.expect_nothing("after receiveAudio");
    }
    let mut changed = Media::aac_header(300);
    changed.payload[3] = 0x08;
    publisher.send(&changed);
    let mut more = film.more(3);
    // A picture is the last, which tells that all before it has passed.
    more.pop();
    publisher.send_all(&more);
    for player in &mut players {
        player.expect("pictures alone", &of_kind(&more, kind::VIDEO));
        player.command("receiveAudio", true);
        let seen = player.wire.settle();
        player.wire.give_back(seen);
    }
    let more = film.more(3);
    publisher.send_all(&more);
    for player in &mut players {
        let number = more[1].number().unwrap();
        let got = media_of(&player.wire.until_number(kind::AUDIO, number));
        let sound = of_kind(&got, kind::AUDIO);
        let [before, _sound] = sound.last_chunk().expect("a header and sound");
        assert_eq!(before.payload, changed.payload, "{got:?}");
    }
}

fn play2(player: &mut Player, from: &str, to: &str) {
    player.wire.command(player.msid.0, |amf| {
        amf.string("play2").number(0.0).null().begin_object();
        amf.string_property("oldStreamName", from)
            .string_property("streamName", to)
            .string_property("transition", "switch")
            .end_object();
    });
}

#[test]
fn play2_goes_over_at_a_key_frame_of_the_other_stream() {
    let relay = relay(&[]);
    let mut film = Film::new("film", 0);
    let (mut publisher, mut players) = begin(&relay, &mut film);
    // Another stream that is live already, with a key frame that is past.
    let mut other = Film::new("other", 90_000).numbered_from(10_000);
    let mut other_publisher = Wire::publish(relay.address(), "other");
    other_publisher.send_all(&other.headers);
    other_publisher.send_all(&other.group(5));
    other_publisher.settle();
    for player in &mut players {
        play2(player, "film", "other");
        let seen = player.wire.settle();
        assert_eq!(seen, [player.status("NetStream.Play.Transition")]);
        // By now the worker has asked for the stream where it is.
        player.wire.spread();
    }
    // The old one goes on, with its own key frames, until the other has one.
    let more = other.more(2);
    other_publisher.send_all(&more);
    other_publisher.spread();
    let old = film.group(4);
    publisher.send_all(&old);
    for player in &mut players {
        player.expect("still the old one", &old);
    }
    let group = other.group(3);
    other_publisher.send_all(&group);
    let mut wanted = other.headers_again(group[0].time);
    wanted.extend(group);
    // The time of the player goes on, RTMP 1.0 section 7.2.2.2: for sound as well, which may come
    // from where it was last in the other stream.
    let begins = wanted[0].time;
    let lag = begins - more.last().unwrap().time;
    let goes_on = old.last().unwrap().time + 1;
    let last = wanted.last().unwrap().number().unwrap();
    let mut shifts = Vec::new();
    for player in &mut players {
        let seen = player.until_status("NetStream.Play.TransitionComplete");
        player.compare("before the change", &seen, &[]);
        let seen = player.wire.until_number(kind::AUDIO, last);
        let at = media_of(&seen)[0].time;
        assert!((goes_on..=goes_on + lag).contains(&at), "{at}");
        let shift = at.wrapping_sub(begins);
        player.compare("the other one", &seen, &shifted(&wanted, shift));
        shifts.push(shift);
    }
    publisher.send_all(&film.group(3));
    publisher.settle();
    let more = other.more(3);
    other_publisher.send_all(&more);
    for (player, shift) in players.iter_mut().zip(shifts) {
        player.expect("the other one alone", &shifted(&more, shift));
    }
}

/// `film`, so much later.
fn shifted(film: &[Media], by: u32) -> Vec<Media> {
    let later = |media: &Media| media.at(media.time.wrapping_add(by));
    film.iter().map(later).collect()
}

#[test]
fn play2_to_nothing_fails_and_the_old_stream_goes_on() {
    let relay = Relay::start(&["--workers", "2", "--play-wait", "1"]);
    let mut players: Vec<Player> = relay
        .on_each_worker(2, || Wire::play(relay.address(), "film"))
        .into_iter()
        .map(|wire| Player {
            wire,
            msid: MessageStreamId(1),
        })
        .collect();
    let mut film = Film::new("film", 0);
    let mut publisher = Wire::publish(relay.address(), "film");
    let mut sent = film.headers.clone();
    sent.extend(film.group(5));
    publisher.send_all(&sent);
    for player in &mut players {
        player.expect("the beginning", &sent);
        play2(player, "film", "nothing");
    }
    for player in &mut players {
        let seen = player.until_status("NetStream.Play.Failed");
        player.compare("while it waits", &seen, &[]);
    }
    let more = film.more(3);
    publisher.send_all(&more);
    for player in &mut players {
        player.expect("the old one", &more);
    }
}

fn seek(player: &mut Player, milliseconds: f64) {
    player
        .wire
        .command(player.msid.0, commands::seek(milliseconds));
}

#[test]
fn a_seek_within_the_window_goes_to_the_key_frame_before() {
    let relay = relay(&["--window", "60"]);
    let mut film = Film::new("film", 10_000);
    let (mut publisher, mut players) = begin(&relay, &mut film);
    let mut sent = Vec::new();
    for _ in 0..4 {
        sent.extend(film.group(24));
    }
    publisher.send_all(&sent);
    for player in &mut players {
        player.expect("live", &sent);
    }
    // Groups of a second each; into the middle of the second.
    let keys: Vec<usize> = (0..sent.len()).filter(|&at| sent[at].is_key()).collect();
    let target = &sent[keys[1]..];
    for player in &mut players {
        seek(player, f64::from(target[0].time + 500));
        let seen = player.until_status("NetStream.Play.Start");
        let notify = player.status("NetStream.Seek.Notify");
        assert_eq!(seen, [notify, player.status("NetStream.Play.Start")]);
        let mut wanted = film.headers_again(target[0].time);
        wanted.extend_from_slice(target);
        player.expect("from there on", &wanted);
    }
    for player in &mut players {
        // Before the stream began.
        seek(player, 0.0);
        let seen = player.wire.settle();
        assert_eq!(seen, [player.status("NetStream.Seek.Failed")]);
    }
    let more = film.more(3);
    publisher.send_all(&more);
    for player in &mut players {
        player.expect("live again", &more);
    }
}

#[test]
fn without_a_window_a_seek_fails_and_playing_goes_on() {
    let relay = relay(&[]);
    let mut film = Film::new("film", 10_000);
    let (mut publisher, mut players) = begin(&relay, &mut film);
    publisher.send_all(&film.group(5));
    let group = film.group(5);
    publisher.send_all(&group);
    for player in &mut players {
        let last = group.last().unwrap();
        player.wire.until_number(last.kind, last.number().unwrap());
        seek(player, 10_100.0);
        let seen = player.wire.settle();
        assert_eq!(seen, [player.status("NetStream.Seek.Failed")]);
    }
    let more = film.more(3);
    publisher.send_all(&more);
    for player in &mut players {
        player.expect("live", &more);
    }
}

#[test]
fn two_streams_on_one_connection() {
    let relay = relay(&[]);
    let mut one = Film::new("one", 0);
    let mut two = Film::new("two", 50_000).numbered_from(1_000);
    let mut wires = relay.on_each_worker(2, || {
        let mut wire = Wire::play(relay.address(), "one");
        play_on_second(&mut wire, "two");
        wire
    });
    let mut publish_one = Wire::publish(relay.address(), "one");
    let mut publish_two = Wire::publish(relay.address(), "two");
    let mut sent_one = one.headers.clone();
    sent_one.extend(one.group(20));
    let mut sent_two = two.headers.clone();
    sent_two.extend(two.group(20));
    for (first, second) in sent_one.iter().zip(&sent_two) {
        publish_one.send(first);
        publish_two.send(second);
    }
    let mut all = sent_one.clone();
    all.extend(sent_two.iter().map(|media| media.on(MessageStreamId(2).0)));
    for wire in &mut wires {
        let mut media = Vec::new();
        let mut seen = Vec::new();
        while media.len() < all.len() {
            seen.extend(wire.next(support::SOON));
            media = media_of(&seen);
        }
        for (msid, sent) in [(1, &sent_one), (2, &sent_two)] {
            let got: Vec<Media> = media.iter().filter(|m| m.msid == msid).cloned().collect();
            let sent: Vec<Media> = sent
                .iter()
                .map(|media| media.on(MessageStreamId(msid).0))
                .collect();
            assert_list(&format!("message stream {msid}"), &got, &sent);
            let start = Seen::Status(MessageStreamId(msid).0, "NetStream.Play.Start".to_owned());
            assert!(seen.contains(&start), "{:?}", signals_of(&seen));
        }
        // One ends, the other goes on.
        wire.command(0, commands::delete_stream(2));
        let stop = Seen::Status(2, "NetStream.Play.Stop".to_owned());
        assert_eq!(wire.settle(), [stop]);
    }
    publish_two.send_all(&two.more(2));
    publish_two.settle();
    let more = one.more(2);
    publish_one.send_all(&more);
    for wire in &mut wires {
        let last = more.last().unwrap();
        let got = media_of(&wire.until_number(last.kind, last.number().unwrap()));
        assert_list("the first stream alone", &got, &more);
        // The id is free again, and the connection still one that plays.
        play_on_second(wire, "one");
        let last = last.on(MessageStreamId(2).0);
        wire.until("the first stream on both", |seen| {
            seen.media() == Some(&last)
        });
    }
}

#[test]
fn a_player_that_closes_its_stream_plays_another_on_it() {
    let relay = relay(&[]);
    let mut film = Film::new("film", 0);
    let (_publisher, mut players) = begin(&relay, &mut film);
    let mut other = Film::new("other", 90_000).numbered_from(10_000);
    let mut publisher = Wire::publish(relay.address(), "other");
    let mut sent = other.headers.clone();
    sent.extend(other.group(3));
    publisher.send_all(&sent);
    publisher.settle();
    for player in &mut players {
        player.wire.command(player.msid.0, commands::close_stream());
        let seen = player.wire.settle();
        assert_eq!(seen, [player.status("NetStream.Play.Stop")]);
        play_again(&mut player.wire, player.msid, "other");
        let mut wanted = other.headers_for_new(sent[3].time);
        wanted.extend_from_slice(&sent[3..]);
        player.expect("the other stream", &wanted);
    }
}

#[test]
fn a_connection_publishes_and_plays() {
    let relay = relay(&[]);
    let mut mine = Film::new("mine", 0);
    let mut theirs = Film::new("theirs", 0).numbered_from(1_000);
    let mut wire = Wire::play(relay.address(), "theirs");
    publish_on_second(&mut wire, "mine");
    let mut peer = Wire::play(relay.address(), "mine");
    publish_on_second(&mut peer, "theirs");
    send_across(&mut wire, &mut peer, &mut mine);
    send_across(&mut peer, &mut wire, &mut theirs);
}

/// createStream, then publish of `stream` on what that gives.
#[track_caller]
fn publish_on_second(wire: &mut Wire, stream: &str) {
    wire.command(0, commands::create_stream());
    wire.command(2, commands::of_stream("publish", stream));
    let started = Seen::Status(2, "NetStream.Publish.Start".to_owned());
    wire.until("start of the publish", |seen| *seen == started);
}

/// What `sender` publishes on message stream 2 comes out on 1 of `receiver`.
#[track_caller]
fn send_across(sender: &mut Wire, receiver: &mut Wire, film: &mut Film) {
    let mut sent = film.headers.clone();
    sent.extend(film.group(4));
    for media in &sent {
        sender.send_on(MessageStreamId(2).0, media);
    }
    let last = sent.last().unwrap();
    let got = media_of(&receiver.until_number(last.kind, last.number().unwrap()));
    assert_list("what the other end sent", &got, &sent);
}

#[test]
fn turning_on_what_is_on_is_answered() {
    let relay = relay(&[]);
    let mut film = Film::new("film", 0);
    let (mut publisher, mut players) = begin(&relay, &mut film);
    for player in &mut players {
        for name in ["receiveAudio", "receiveVideo"] {
            player.command(name, true);
            player.until_status("NetStream.Seek.Notify");
            player.until_status("NetStream.Play.Start");
        }
        for code in ["NetStream.Pause.Notify"; 2] {
            player.command("pause", true);
            player.until_status(code);
        }
        for code in ["NetStream.Unpause.Notify"; 2] {
            player.command("pause", false);
            player.until_status(code);
        }
    }
    // Nothing is sent again, and nothing is left out.
    let more = film.more(3);
    publisher.send_all(&more);
    for player in &mut players {
        player.expect("what comes next", &more);
    }
}
