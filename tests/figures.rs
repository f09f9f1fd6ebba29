//! Questions to workers, and what they tell of streams, clients and themselves: two workers in
//! memory, with the mail between them carried by hand.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that fails panics, and says where"
)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use support::worker::{Pipe, any_instant, opening};
use tailwater::config::{Config, Pace};
use tailwater::limits;
use tailwater::report::{
    Answer, ClientReport, ClientSort, Page, Question, Role, State, StreamReport, StreamSort, Told,
    WantedClients, WantedStreams, WorkerReport,
};
use tailwater::rtmp::command::write_command;
use tailwater::rtmp::message::{MessageHeader, Payload, Timestamp, kind};
use tailwater::rtmp::writer::write_message;
use tailwater::worker::core::{Core, Shared};
use tailwater::worker::ids::{ConnId, WorkerId};

const ALL: Page = Page {
    limit: 100,
    offset: 0,
    descending: false,
    after: None,
};

fn page(limit: usize, offset: usize) -> Page {
    Page {
        limit,
        offset,
        ..ALL
    }
}

/// Two workers.
struct Relay {
    cores: Vec<Core<Pipe>>,
    now: Instant,
    /// Nothing that is sent to this one arrives.
    deaf: Option<usize>,
    /// What was asked has been answered, by worker and question.
    answers: Vec<(usize, u64, Answer)>,
}

impl Relay {
    fn new() -> Self {
        let config = Config {
            pace: Pace::Fixed(Duration::ZERO),
            play_wait: Duration::from_secs(30),
            grace: Duration::from_secs(5),
            ..Config::default()
        };
        let shared = Arc::new(Shared::new(config, 2, 5_000));
        let now = any_instant();
        let core = |worker| Core::new(WorkerId::new(worker), shared.clone(), 7, now);
        Self {
            cores: (0..2).map(core).collect(),
            now,
            deaf: None,
            answers: Vec::new(),
        }
    }

    /// A client of worker `worker` that says `words`.
    fn client(&mut self, worker: usize, words: &[u8]) -> ConnId {
        let pipe = Pipe {
            input: words.to_vec(),
            ..Pipe::default()
        };
        let peer = ([127, 0, 0, 1], 1).into();
        let key = self.cores[worker].accept(pipe, peer).unwrap();
        self.turns(4);
        key
    }

    fn say(&mut self, worker: usize, key: ConnId, words: &[u8]) {
        let core = &mut self.cores[worker];
        core.socket_mut(key).unwrap().input.extend_from_slice(words);
        core.on_ready(key, true, false);
        self.turns(3);
    }

    /// Turns of both, mail carried after each.
    fn turns(&mut self, count: usize) {
        for _ in 0..count {
            self.now += Duration::from_millis(10);
            for worker in 0..2 {
                // Before the worker hands them out, and drops those that no request is for.
                self.keep_answers(worker);
                self.cores[worker].turn(&mut self.now);
                self.keep_answers(worker);
                let letters = std::mem::take(self.cores[worker].outbound());
                for (to, letter) in letters {
                    let to = to.index();
                    if self.deaf != Some(to) {
                        self.cores[to].receive(letter);
                        self.keep_answers(to);
                    }
                }
                self.cores[worker].new_publishers().clear();
            }
        }
    }

    fn keep_answers(&mut self, worker: usize) {
        let answers = self.cores[worker].answers().drain(..);
        let kept = answers.map(|(id, answer)| (worker, id, answer));
        self.answers.extend(kept);
    }

    fn ask(&mut self, worker: usize, question: Question) -> Answer {
        let id = self.cores[worker].ask(question).unwrap();
        self.turns(4);
        self.answer(worker, id).expect("all have answered")
    }

    fn answer(&mut self, worker: usize, id: u64) -> Option<Answer> {
        let is_its = |(by, of, _): &(usize, u64, Answer)| (*by, *of) == (worker, id);
        let at = self.answers.iter().position(is_its)?;
        Some(self.answers.remove(at).2)
    }

    fn clients(&mut self, worker: usize, question: Question) -> (usize, Vec<ClientReport>) {
        let answer = self.ask(worker, question);
        let told = answer.told.into_iter().flatten();
        let clients = told.flat_map(|told| match told {
            Told::Clients(clients) => clients,
            other => panic!("{other:?}"),
        });
        (answer.total, clients.collect())
    }

    /// What each worker tells of a stream.
    fn stream(&mut self, worker: usize, name: &str) -> Vec<StreamReport> {
        let answer = self.ask(worker, Question::Stream(name.into()));
        let told = answer.told.into_iter().flatten();
        told.flat_map(|told| match told {
            Told::Streams(streams) => streams,
            other => panic!("{other:?}"),
        })
        .collect()
    }

    fn workers(&mut self, question: Question) -> Vec<WorkerReport> {
        let answer = self.ask(0, question);
        let told = answer.told.into_iter().map(|told| match told {
            Some(Told::Worker(report)) => *report,
            other => panic!("{other:?}"),
        });
        told.collect()
    }
}

/// A message of a publisher in chunks of 128 bytes.
fn message(kind: u8, time: u32, body: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    let header = MessageHeader {
        csid: 6,
        timestamp: Timestamp(time),
        len: body.len(),
        kind,
        msid: 1,
    };
    write_message(&mut wire, &header, &Payload::from_slice(body), 128);
    wire
}

fn key_frame(time: u32) -> Vec<u8> {
    message(kind::VIDEO, time, &[0x17, 1, 0, 0, 0, 9, 9, 9])
}

fn metadata(width: f64) -> Vec<u8> {
    let mut wire = Vec::new();
    write_command(&mut wire, 1, 128, |amf| {
        amf.string("@setDataFrame").string("onMetaData");
        amf.begin_object();
        amf.number_property("width", width)
            .number_property("height", 720.0)
            .number_property("framerate", 25.0);
        amf.end_object();
    });
    // A data message, not a command.
    wire[7] = kind::DATA;
    wire
}

/// A stream with a publisher at worker 0 and a player at each; the keys of the three.
fn live(relay: &mut Relay) -> [ConnId; 3] {
    let publisher = relay.client(0, &opening("publish", "live", "cam"));
    let here = relay.client(0, &opening("play", "live", "cam"));
    let there = relay.client(1, &opening("play", "live", "cam"));
    relay.say(0, publisher, &metadata(1_280.0));
    for time in [0, 2_000, 4_000] {
        relay.say(0, publisher, &key_frame(time));
        let picture = message(kind::VIDEO, time + 40, &[0x27, 1, 0, 0, 0, 9]);
        relay.say(0, publisher, &picture);
        relay.say(
            0,
            publisher,
            &message(kind::AUDIO, time + 41, &[0xAF, 1, 9]),
        );
    }
    [publisher, here, there]
}

#[test]
fn a_stream_is_told_by_the_worker_that_has_it_and_by_those_with_players() {
    let mut relay = Relay::new();
    live(&mut relay);
    relay.client(1, &opening("play", "live", "nothing"));
    // Whichever is asked.
    for asked in [0, 1] {
        let told = relay.stream(asked, "live/cam");
        let [owner, other] = &told[..] else {
            panic!("{told:?}")
        };
        let owned = owner.owned.as_ref().unwrap();
        assert_eq!((owned.state, owned.publisher), (State::Live, Some(1)));
        assert_eq!(owned.video_codec.as_deref(), Some("avc1"));
        assert_eq!(owned.audio_codec.as_deref(), Some("mp4a"));
        let picture = owned.picture;
        let size = (picture.width, picture.height, picture.frame_rate);
        assert_eq!(size, (Some(1_280), Some(720), Some(25.0)));
        let frames = (owned.video_frames, owned.audio_frames, owned.key_frames);
        assert_eq!((owned.messages_in, frames), (10, (6, 3, 3)));
        assert_eq!(owned.key_interval_ms, Some(2_000));
        assert_eq!((owned.gaps, owned.feeds), (0, 1));
        assert!(owned.bytes_in > 100 && owned.uptime > Duration::ZERO);
        assert!(other.owned.is_none());
        for report in [owner, other] {
            assert_eq!((report.players, report.waiting), (1, 0));
            assert!(report.bytes_out >= owned.bytes_in, "{report:?}");
            assert!(report.delay.unwrap() < Duration::from_secs(1));
        }
        let waiting = relay.stream(asked, "live/nothing");
        let owned = waiting[0].owned.as_ref().unwrap();
        assert_eq!((owned.state, waiting[0].waiting), (State::Waiting, 1));
        assert!(relay.stream(asked, "live/none").is_empty());
    }
}

#[test]
fn a_publisher_that_comes_back_makes_a_gap() {
    let mut relay = Relay::new();
    let [publisher, ..] = live(&mut relay);
    let gone = relay.cores[0].socket_mut(publisher).unwrap();
    gone.ending = support::worker::Ending::Finish;
    relay.cores[0].on_hangup(publisher);
    relay.turns(3);
    let state = |relay: &mut Relay| {
        let owned = relay.stream(0, "live/cam")[0].owned.clone().unwrap();
        (owned.state, owned.publisher.is_some(), owned.gaps)
    };
    assert_eq!(state(&mut relay), (State::Away, false, 0));
    relay.client(0, &opening("publish", "live", "cam"));
    assert_eq!(state(&mut relay), (State::Live, true, 1));
}

#[test]
fn lists_come_in_pages_over_all_workers() {
    let mut relay = Relay::new();
    live(&mut relay);
    for name in ["a", "b", "c"] {
        relay.client(0, &opening("publish", "other", name));
        relay.client(1, &opening("play", "other", name));
    }
    let names = |relay: &mut Relay, app: Option<&str>, limit, offset| {
        let wanted = WantedStreams {
            app: app.map(str::to_owned),
            ..WantedStreams::default()
        };
        let page = page(limit, offset);
        let answer = relay.ask(1, Question::Streams { wanted, page });
        let mut names: Vec<String> = Vec::new();
        for told in answer.told.into_iter().flatten() {
            let Told::Streams(streams) = told else {
                panic!("{told:?}")
            };
            names.extend(streams.iter().map(|stream| stream.name.to_string()));
        }
        names.sort();
        names.dedup();
        (answer.total, names)
    };
    let all = ["live/cam", "other/a", "other/b", "other/c"];
    assert_eq!(
        names(&mut relay, None, 100, 0),
        (4, all.map(str::to_owned).to_vec())
    );
    let some = vec!["other/b".to_owned(), "other/c".to_owned()];
    assert_eq!(names(&mut relay, Some("other"), 2, 1), (3, some));
    assert_eq!(names(&mut relay, Some("oth"), 2, 0), (0, Vec::new()));
    let ids = |relay: &mut Relay, wanted: WantedClients, page| {
        let question = Question::Clients { wanted, page };
        let (total, clients) = relay.clients(0, question);
        let mut ids: Vec<u64> = clients.iter().map(|client| client.id).collect();
        ids.sort_unstable();
        (total, ids)
    };
    let (total, all) = ids(&mut relay, WantedClients::default(), page(100, 0));
    assert_eq!((total, all.len()), (9, 9));
    let middle = ids(&mut relay, WantedClients::default(), page(2, 4));
    assert_eq!(middle, (9, all[4..6].to_vec()));
    let publishers = WantedClients {
        role: Some(Role::Publisher),
        ..WantedClients::default()
    };
    assert_eq!(ids(&mut relay, publishers, ALL).0, 4);
    let of_cam = WantedClients {
        role: Some(Role::Player),
        stream: Some("live/cam".into()),
        ..WantedClients::default()
    };
    assert_eq!(ids(&mut relay, of_cam, ALL), (2, vec![2, 3]));
}

#[test]
fn regression_the_busiest_stream_is_found_among_many() {
    let mut relay = Relay::new();
    for number in 0..30 {
        relay.client(0, &opening("publish", "idle", &format!("a{number:02}")));
    }
    for worker in [0, 1, 1] {
        relay.client(worker, &opening("play", "live", "zoo"));
    }
    relay.client(1, &opening("publish", "live", "zoo"));
    let wanted = WantedStreams {
        sort: StreamSort::Players,
        ..WantedStreams::default()
    };
    let descending = |limit| Page {
        descending: true,
        ..page(limit, 0)
    };
    let names = |relay: &mut Relay, wanted: &WantedStreams, page| {
        let wanted = wanted.clone();
        let answer = relay.ask(0, Question::Streams { wanted, page });
        let names: Vec<String> = answer.names.iter().map(ToString::to_string).collect();
        (answer.total, names, answer.next)
    };
    let (total, rows, next) = names(&mut relay, &wanted, descending(2));
    assert_eq!((total, rows[0].as_str()), (31, "live/zoo"));
    assert_eq!(rows[1], "idle/a00");
    let page = Page {
        after: next,
        ..descending(1)
    };
    assert_eq!(names(&mut relay, &wanted, page).1, ["idle/a01"]);
    let some = WantedStreams {
        text: Some("le/a2".to_owned()),
        state: Some(State::Live),
        ..wanted
    };
    assert_eq!(names(&mut relay, &some, descending(100)).0, 10);
    let waiting = WantedStreams {
        state: Some(State::Waiting),
        ..some
    };
    assert_eq!(names(&mut relay, &waiting, descending(100)).0, 0);
}

#[test]
fn clients_are_sorted_and_searched_for() {
    let mut relay = Relay::new();
    let [publisher, ..] = live(&mut relay);
    relay.say(0, publisher, &key_frame(9_000));
    let wanted = WantedClients {
        sort: ClientSort::BytesIn,
        text: Some("127.0.0.1:1".to_owned()),
        ..WantedClients::default()
    };
    let page = Page {
        descending: true,
        ..page(1, 0)
    };
    let question = |wanted| Question::Clients {
        wanted,
        page: page.clone(),
    };
    let answer = relay.ask(1, question(wanted.clone()));
    assert_eq!((answer.total, answer.ids), (3, vec![1]));
    let nobody = WantedClients {
        text: Some("10.0.0.1".to_owned()),
        ..wanted
    };
    assert_eq!(relay.ask(1, question(nobody)).total, 0);
}

#[test]
fn a_client_is_told_by_the_worker_that_has_it() {
    let mut relay = Relay::new();
    let [source, _, there] = live(&mut relay);
    let (_, clients) = relay.clients(0, Question::Client(3));
    let [player] = &clients[..] else {
        panic!("{clients:?}")
    };
    assert_eq!((player.worker, player.role), (1, Role::Player));
    assert_eq!((player.protocol, &*player.streams[0]), ("rtmp", "live/cam"));
    assert_eq!((player.lag_bytes, player.lag_ms), (Some(0), Some(0)));
    assert_eq!((player.rtt_ms, player.retransmits), (None, None));
    assert_eq!(player.address, "127.0.0.1:1");
    assert!(!player.capabilities.as_ref().unwrap().e_rtmp);
    relay.cores[1].socket_mut(there).unwrap().deaf = true;
    let publisher = key_frame(4_100);
    relay.say(0, source, &publisher);
    relay.say(0, source, &key_frame(5_000));
    let (_, clients) = relay.clients(0, Question::Client(3));
    assert!(clients[0].lag_bytes.unwrap() > 0, "{clients:?}");
    assert_eq!(clients[0].lag_ms, Some(900));
    let (_, clients) = relay.clients(0, Question::Client(1));
    assert_eq!(clients[0].role, Role::Publisher);
    assert_eq!(clients[0].video_codec.as_deref(), Some("avc1"));
    assert_eq!(clients[0].lag_bytes, None);
    assert!(relay.clients(0, Question::Client(99)).1.is_empty());
}

#[test]
fn what_a_client_says_of_e_rtmp_is_told() {
    let mut relay = Relay::new();
    let mut words = vec![0; 1 + 2 * 1_536];
    words[0] = 3;
    write_command(&mut words, 0, 128, |amf| {
        amf.string("connect").number(1.0).begin_object();
        amf.string_property("app", "live")
            .string_property("flashVer", "a\"b\n")
            .number_property("capsEx", 3.0);
        amf.key("fourCcList").strict_array_header(3);
        amf.string("hvc1").string("hvc1").string("not one");
        amf.key("videoFourCcInfoMap").begin_object();
        amf.number_property("*", 4.0).end_object();
        amf.end_object();
    });
    relay.client(1, &words);
    let (_, clients) = relay.clients(0, Question::Client(1));
    assert_eq!(clients[0].software, "a\"b\n");
    assert_eq!(clients[0].role, Role::None);
    let said = clients[0].capabilities.as_ref().unwrap();
    assert_eq!(
        (said.e_rtmp, said.reconnect, said.multitrack),
        (true, true, true)
    );
    assert_eq!(said.four_cc, ["hvc1", "*"]);
}

#[test]
fn a_client_that_is_kicked_is_told_and_its_name_stays_banned_for_as_long_as_asked() {
    let mut relay = Relay::new();
    let [publisher, ..] = live(&mut relay);
    let kick = |id, seconds| Question::Kick {
        id,
        ban: Some(Duration::from_secs(seconds)),
    };
    // Asked of the other worker.
    let answer = relay.ask(1, kick(1, 60));
    let told: Vec<_> = answer.told.into_iter().flatten().collect();
    let [Told::Kicked(Some(banned)), Told::Kicked(None)] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!(banned[..], [Arc::from("live/cam")]);
    let says = |relay: &mut Relay, key, words: &str| {
        let pipe = relay.cores[0].socket_mut(key).unwrap();
        let output = String::from_utf8_lossy(&pipe.output).into_owned();
        assert!(output.contains(words), "{output:?}");
    };
    says(&mut relay, publisher, "closed by the operator");
    says(&mut relay, publisher, "NetStream.Publish.Denied");
    let closes = relay.workers(Question::Workers).swap_remove(0).closes;
    assert!(closes.contains(&("kicked", 1)), "{closes:?}");
    let again = relay.client(0, &opening("publish", "live", "cam"));
    says(&mut relay, again, "banned for 60 s");
    // Another name is free, and so is this one after the time.
    let other = relay.client(0, &opening("publish", "live", "cam2"));
    says(&mut relay, other, "NetStream.Publish.Start");
    relay.now += Duration::from_secs(61);
    let last = relay.client(0, &opening("publish", "live", "cam"));
    says(&mut relay, last, "NetStream.Publish.Start");
    let nobody = relay.ask(0, kick(99, 1)).told;
    assert!(
        nobody
            .iter()
            .all(|told| matches!(told, Some(Told::Kicked(None))))
    );
}

#[test]
fn workers_tell_what_they_have_counted() {
    let mut relay = Relay::new();
    live(&mut relay);
    relay.client(1, &opening("play", "live", "stranger"));
    let told = relay.workers(Question::Metrics);
    let gauges = told[0].gauges;
    assert_eq!((gauges.publishers, gauges.players), (1, 1));
    assert_eq!((gauges.connections, gauges.messages_in), (2, 10));
    assert_eq!(told[1].gauges.connections, 2);
    // Whoever waits for a name makes no series of it.
    let names = |report: &WorkerReport| -> Vec<String> {
        let streams = report.streams.iter();
        streams.map(|stream| stream.name.to_string()).collect()
    };
    assert_eq!(names(&told[0]), ["live/cam"]);
    assert_eq!(names(&told[1]), ["live/cam"]);
    let codes: Vec<_> = told[0].closes.iter().map(|(code, _)| *code).collect();
    assert!(codes.contains(&"peer_closed") && codes.contains(&"amf"));
}

#[test]
fn only_so_many_streams_are_told_apart() {
    let mut relay = Relay::new();
    let count = limits::METRIC_STREAMS_MAX + 3;
    for number in 0..count {
        // One address publishes only so often.
        let [.., high, low] = number.to_be_bytes();
        let peer = ([10, 0, high, low], 1).into();
        let pipe = Pipe {
            input: opening("publish", "live", &number.to_string()),
            ..Pipe::default()
        };
        relay.cores[0].accept(pipe, peer).unwrap();
        if number % 100 == 0 {
            relay.turns(1);
        }
    }
    relay.turns(3);
    let told = relay.workers(Question::Metrics).swap_remove(0);
    assert_eq!(told.streams.len(), limits::METRIC_STREAMS_MAX);
    assert_eq!(&*told.streams[0].name, "live/0");
    assert!(told.others.owned.is_some());
}

#[test]
fn a_worker_that_does_not_answer_in_time_is_gone_without() {
    let mut relay = Relay::new();
    relay.deaf = Some(1);
    let id = relay.cores[0].ask(Question::Workers).unwrap();
    relay.turns(4);
    assert!(relay.answer(0, id).is_none());
    relay.now += limits::ANSWER_WAIT;
    relay.turns(1);
    let answer = relay.answer(0, id).unwrap();
    assert!(answer.told[0].is_some() && answer.told[1].is_none());
    // What is listed is known of the others by then.
    let question = Question::Clients {
        wanted: WantedClients::default(),
        page: ALL,
    };
    let id = relay.cores[0].ask(question).unwrap();
    relay.turns(4);
    assert!(relay.answer(0, id).is_none());
    relay.now += limits::ANSWER_WAIT;
    relay.turns(1);
    assert!(relay.answer(0, id).is_some());
}

#[test]
fn only_so_many_questions_are_open() {
    let mut relay = Relay::new();
    relay.deaf = Some(1);
    for _ in 0..limits::QUESTIONS_MAX {
        assert!(relay.cores[0].ask(Question::Workers).is_some());
    }
    assert_eq!(relay.cores[0].ask(Question::Workers), None);
    relay.turns(1);
    relay.now += limits::ANSWER_WAIT;
    relay.turns(1);
    assert!(relay.cores[0].ask(Question::Workers).is_some());
}
