//! Questions to workers, and what they tell of streams, clients and themselves: two workers in
//! memory, with the mail between them carried by hand.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that fails panics, and says where"
)]

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::now;
use support::worker::{Pipe, any_instant};
use tailwater::admin::list::{Cursor, Page, StreamSort};
use tailwater::admin::query::{Query, Step};
use tailwater::admin::route::{Route, WantedStreams};
use tailwater::admin::{Context, Counters};
use tailwater::config::{Config, Pace};
use tailwater::limits;
use tailwater::rtmp::command::write_command;
use tailwater::rtmp::media::Codec;
use tailwater::rtmp::message::{MessageStreamId, kind};
use tailwater::worker::core::Core;
use tailwater::worker::ids::{ConnId, WorkerId};
use tailwater::worker::mail::Mail;
use tailwater::worker::query::{
    Ask, ClientRow, ClientSort, Question, Reply, Role, State, StreamRow, Told, WantedClients,
    WorkerRow,
};
use tailwater::worker::shared::Shared;
use tailwater_testkit::script::{self, opening};

const ALL: Page = Page {
    limit: 100,
    offset: 0,
    descending: false,
    by_key: false,
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
    shared: Arc<Shared<Pipe>>,
    now: Instant,
    /// Nothing that is sent to this one arrives.
    deaf: Option<usize>,
    /// What workers have answered.
    answers: (Sender<Answered>, Receiver<Answered>),
}

/// A worker, and what it has told.
type Answered = (WorkerId, Option<Told>);

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
            shared: shared.clone(),
            now,
            deaf: None,
            answers: channel(),
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
                self.cores[worker].turn(&mut self.now);
                let letters = std::mem::take(self.cores[worker].outbound());
                for (to, letter) in letters {
                    let to = to.index();
                    if self.deaf != Some(to) {
                        self.cores[to].receive(letter);
                    }
                }
                self.cores[worker].take_publishers();
            }
        }
    }

    /// Sends a question to a worker, which answers at once unless it is deaf.
    fn post(&mut self, worker: WorkerId, question: Arc<Question>) {
        let answers = self.answers.0.clone();
        let reply = Reply::new(move |told| {
            answers.send((worker, told)).unwrap();
        });
        let index = worker.index();
        if self.deaf != Some(index) {
            self.cores[index].receive(Mail::Ask(Box::new(Ask { question, reply })));
        } else {
            // It is neither read nor dropped.
            std::mem::forget(reply);
        }
    }

    /// What each worker answers to a question.
    fn told(&mut self, question: Question) -> Vec<Told> {
        let question = Arc::new(question);
        for worker in [0, 1].map(WorkerId::new) {
            self.post(worker, question.clone());
        }
        self.turns(4);
        let answers: Vec<Answered> = self.answers.1.try_iter().collect();
        answers.into_iter().map(|(_, told)| told.unwrap()).collect()
    }

    /// What a request for `route` is answered with: the body, or None while it waits for workers.
    fn begin(&mut self, route: Route) -> Result<Value, Box<Query>> {
        let shared = self.shared.clone();
        let step = Query::begin(route, 2, &context(&shared, self.now), self.now);
        self.go_on(step)
    }

    fn go_on(&mut self, step: Step) -> Result<Value, Box<Query>> {
        let shared = self.shared.clone();
        let (mut query, asks) = match step {
            Step::Answer(response) => return Ok(serde_json::from_slice(&response.body).unwrap()),
            Step::Ask(query, asks) => (query, asks),
        };
        for (worker, question) in asks {
            self.post(worker, question);
        }
        for (worker, told) in self.answers.1.try_iter() {
            query.take(worker, told);
        }
        if !query.is_complete(self.now) {
            return Err(Box::new(query));
        }
        let step = query.finish(&context(&shared, self.now), self.now);
        self.go_on(step)
    }

    fn ask(&mut self, route: Route) -> Value {
        self.begin(route).expect("all have answered")
    }

    /// What is told of one client.
    fn clients(&mut self, id: u64) -> Vec<ClientRow> {
        let told = self.told(Question::Client(id)).into_iter();
        let clients = told.flat_map(|told| match told {
            Told::Clients(clients) => clients,
            other => panic!("{other:?}"),
        });
        clients.collect()
    }

    /// What each worker tells of a stream.
    fn stream(&mut self, name: &str) -> Vec<StreamRow> {
        let told = self.told(Question::Stream(name.into())).into_iter();
        told.flat_map(|told| match told {
            Told::Streams(streams) => streams,
            other => panic!("{other:?}"),
        })
        .collect()
    }

    fn workers(&mut self, question: Question) -> Vec<WorkerRow> {
        let told = self.told(question).into_iter().map(|told| match told {
            Told::Worker(report) => *report,
            other => panic!("{other:?}"),
        });
        told.collect()
    }
}

fn context<S>(shared: &Shared<S>, now: Instant) -> Context<'_> {
    Context {
        time_ms: 0,
        uptime: shared.uptime(now),
        draining: false,
        config: &shared.config,
        bans: &shared.bans,
        targets: &shared.target_labels,
        counters: Counters::default(),
    }
}

/// A field of each row of a list.
fn column<'a>(body: &'a Value, list: &str, field: &str) -> Vec<&'a Value> {
    let rows = body[list].as_array().unwrap().iter();
    rows.map(|row| &row[field]).collect()
}

/// A message of a publisher in chunks of 128 bytes.
fn message(kind: u8, time: u32, body: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    script::encode(&mut wire, (kind, time, 1), body, 128);
    wire
}

fn key_frame(time: u32) -> Vec<u8> {
    message(kind::VIDEO, time, &[0x17, 1, 0, 0, 0, 9, 9, 9])
}

fn metadata(width: f64) -> Vec<u8> {
    let mut wire = Vec::new();
    write_command(&mut wire, MessageStreamId(1), 128, |amf| {
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
    let told = relay.stream("live/cam");
    let [owner, other] = &told[..] else {
        panic!("{told:?}")
    };
    let owned = owner.owned.as_ref().unwrap();
    assert_eq!((owned.state, owned.publisher), (State::Live, Some(1)));
    assert_eq!(owned.video, Some(Codec::Avc));
    assert_eq!(owned.audio, Some(Codec::Aac));
    let picture = owned.picture;
    let size = (picture.width, picture.height, picture.frame_rate);
    assert_eq!(size, (Some(1_280), Some(720), Some(25.0)));
    let counted = owned.gauges;
    let frames = (
        counted.video_frames,
        counted.audio_frames,
        counted.key_frames,
    );
    assert_eq!((counted.messages_in, frames), (10, (6, 3, 3)));
    assert_eq!(owned.key_interval_ms, Some(2_000));
    assert_eq!((counted.gaps, counted.feeds), (0, 1));
    assert!(counted.bytes_in > 100 && owned.uptime > Duration::ZERO);
    assert!(other.owned.is_none());
    for report in [owner, other] {
        assert_eq!((report.gauges.players, report.gauges.waiting), (1, 0));
        assert!(report.gauges.bytes_out >= counted.bytes_in, "{report:?}");
        assert!(report.delay.unwrap() < Duration::from_secs(1));
    }
    let waiting = relay.stream("live/nothing");
    let owned = waiting[0].owned.as_ref().unwrap();
    assert_eq!(
        (owned.state, waiting[0].gauges.waiting),
        (State::Waiting, 1)
    );
    assert!(relay.stream("live/none").is_empty());
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
        let owned = relay.stream("live/cam")[0].owned.unwrap();
        (owned.state, owned.publisher.is_some(), owned.gauges.gaps)
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
        let body = relay.ask(Route::Streams { wanted, page });
        let names = column(&body, "streams", "name").into_iter();
        let names = names.map(|name| name.as_str().unwrap().to_owned());
        (body["total"].as_u64().unwrap(), names.collect::<Vec<_>>())
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
        let body = relay.ask(Route::Clients { wanted, page });
        let ids = column(&body, "clients", "id").into_iter();
        let ids: Vec<u64> = ids.map(|id| id.as_u64().unwrap()).collect();
        (body["total"].as_u64().unwrap(), ids)
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
        let body = relay.ask(Route::Streams { wanted, page });
        let names = column(&body, "streams", "name").into_iter();
        let names: Vec<String> = names.map(|name| name.as_str().unwrap().into()).collect();
        let next = body["next"].as_str().and_then(Cursor::parse);
        (body["total"].as_u64().unwrap(), names, next)
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
    let route = |wanted| Route::Clients {
        wanted,
        page: page.clone(),
    };
    let body = relay.ask(route(wanted.clone()));
    assert_eq!(
        (&body["total"], column(&body, "clients", "id")),
        (&3.into(), vec![&1.into()])
    );
    let nobody = WantedClients {
        text: Some("10.0.0.1".to_owned()),
        ..wanted
    };
    assert_eq!(relay.ask(route(nobody))["total"], 0);
}

#[test]
fn a_client_is_told_by_the_worker_that_has_it() {
    let mut relay = Relay::new();
    let [source, _, there] = live(&mut relay);
    let clients = relay.clients(3);
    let [player] = &clients[..] else {
        panic!("{clients:?}")
    };
    assert_eq!((player.worker, player.role), (1, Role::Player));
    assert_eq!((player.protocol, &*player.streams[0]), ("rtmp", "live/cam"));
    assert_eq!((player.lag_bytes, player.lag_ms), (Some(0), Some(0)));
    assert_eq!((player.rtt_ms, player.retransmits), (None, None));
    assert_eq!(player.address, ([127, 0, 0, 1], 1).into());
    assert!(!player.capabilities.as_ref().unwrap().e_rtmp);
    relay.cores[1].socket_mut(there).unwrap().deaf = true;
    let publisher = key_frame(4_100);
    relay.say(0, source, &publisher);
    relay.say(0, source, &key_frame(5_000));
    let clients = relay.clients(3);
    assert!(clients[0].lag_bytes.unwrap() > 0, "{clients:?}");
    assert_eq!(clients[0].lag_ms, Some(900));
    let clients = relay.clients(1);
    assert_eq!(clients[0].role, Role::Publisher);
    assert_eq!(clients[0].video_codec.as_deref(), Some("avc1"));
    assert_eq!(clients[0].lag_bytes, None);
    assert!(relay.clients(99).is_empty());
}

#[test]
fn what_a_client_says_of_e_rtmp_is_told() {
    let mut relay = Relay::new();
    let mut words = script::hello();
    write_command(&mut words, MessageStreamId::CONTROL, 128, |amf| {
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
    let clients = relay.clients(1);
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
    let kick = |id, seconds| Question::Kick(id, Some(Duration::from_secs(seconds)));
    let told = relay.told(kick(1, 60));
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
    let closes = relay.workers(Question::Counters).swap_remove(0).closes;
    assert!(closes.contains(&("kicked", 1)), "{closes:?}");
    let again = relay.client(0, &opening("publish", "live", "cam"));
    says(&mut relay, again, "banned for 60 s");
    // Another name is free, and so is this one after the time.
    let other = relay.client(0, &opening("publish", "live", "cam2"));
    says(&mut relay, other, "NetStream.Publish.Start");
    relay.now += Duration::from_secs(61);
    let last = relay.client(0, &opening("publish", "live", "cam"));
    says(&mut relay, last, "NetStream.Publish.Start");
    let nobody = relay.told(kick(99, 1));
    let has_none = |told: &Told| matches!(told, Told::Kicked(None));
    assert!(nobody.iter().all(has_none));
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
    // Whoever waits for a name has it told as such, of which no series is made.
    let names = |report: &WorkerRow| -> Vec<(String, Option<State>)> {
        let streams = report.streams.iter();
        let row = |row: &StreamRow| (row.name.to_string(), row.owned.map(|owned| owned.state));
        streams.map(row).collect()
    };
    let live = "live/cam".to_owned();
    assert_eq!(names(&told[0]), [(live.clone(), Some(State::Live))]);
    let stranger = ("live/stranger".to_owned(), Some(State::Waiting));
    assert_eq!(names(&told[1]), [(live, None), stranger]);
    let codes: Vec<_> = told[0].closes.iter().map(|(code, _)| *code).collect();
    assert!(codes.contains(&"peer_closed") && codes.contains(&"amf"));
}

#[test]
fn a_worker_that_does_not_answer_in_time_is_gone_without() {
    let mut relay = Relay::new();
    live(&mut relay);
    relay.deaf = Some(1);
    let route = Route::Clients {
        wanted: WantedClients::default(),
        page: ALL,
    };
    for route in [Route::Workers, route] {
        let query = relay.begin(route.clone()).unwrap_err();
        relay.now += limits::ANSWER_WAIT;
        assert!(query.is_complete(relay.now) && query.until() <= relay.now);
        let step = query.finish(&context(&relay.shared.clone(), relay.now), relay.now);
        let body = relay.go_on(step).expect("nobody else is to be asked");
        match route {
            Route::Workers => {
                assert_eq!(
                    column(&body, "workers", "answers"),
                    [&Value::Bool(true), &Value::Bool(false)]
                );
            }
            // What is listed is known of the others by then.
            _ => assert_eq!(
                column(&body, "clients", "worker"),
                [&Value::from(0), &Value::from(0)]
            ),
        }
    }
}

#[test]
fn a_worker_that_has_ended_is_not_waited_for() {
    let mut relay = Relay::new();
    let Step::Ask(mut query, asks) = Query::begin(
        Route::Workers,
        2,
        &context(&relay.shared, relay.now),
        relay.now,
    ) else {
        panic!("workers are asked");
    };
    relay.shared.mailboxes[WorkerId::new(1)].close();
    for (worker, question) in asks {
        let answers = relay.answers.0.clone();
        let reply = Reply::new(move |told| answers.send((worker, told)).unwrap());
        let mail = Mail::Ask(Box::new(Ask { question, reply }));
        match worker.index() {
            0 => relay.cores[0].receive(mail),
            _ => _ = relay.shared.mailboxes[worker].post(std::iter::once(mail)),
        }
    }
    for (worker, told) in relay.answers.1.try_iter() {
        query.take(worker, told);
    }
    assert!(query.is_complete(relay.now));
}

/// The least time that a row of a stream takes whose metadata have so many values.
fn time_of_row(values: u32) -> Duration {
    let mut metadata = b"\x02\0\x0aonMetaData\x08".to_vec();
    metadata.extend(values.to_be_bytes());
    for number in 0..values {
        metadata.extend(b"\0\x05");
        metadata.extend(format!("{number:05}").bytes());
        metadata.extend([0; 9]);
    }
    metadata.extend([0, 0, 9]);
    let mut relay = Relay::new();
    let mut words = opening("publish", "live", "film");
    script::encode(&mut words, (kind::DATA, 0, 1), &metadata, 128);
    relay.client(0, &words);
    relay.turns(10);
    let row = |relay: &mut Relay| {
        let before = now();
        let rows = relay.stream("live/film");
        assert!(rows.iter().any(|row| row.owned.is_some()));
        now() - before
    };
    // None that was interrupted is the shortest.
    (0..200).map(|_| row(&mut relay)).min().unwrap()
}

#[test]
fn regression_a_row_of_a_stream_does_not_read_its_metadata_again() {
    let (few, many) = (time_of_row(3), time_of_row(4_000));
    assert!(many < few * 3, "{few:?} with 3 values, {many:?} with 4,000");
}
