//! Answers as clients of the API get them, checked against what `openapi.json` says of them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;
use crate::admin::query::{Query, Step};
use crate::admin::route::{public, route};
use crate::rtmp::media::Codec;
use crate::stream::headers::Picture;
use crate::worker::bans::{BanTarget, Bans, NewBan};
use crate::worker::ids::ConnId;
use crate::worker::query::Owned;
use crate::worker::query::{Capabilities, ClientKey, Role, WantedClients};

fn page() -> Page {
    Page {
        limit: 10,
        ..Page::default()
    }
}

/// What a relay with these settings and bans answers with.
fn context<'a>(config: &'a Config, bans: &'a Bans) -> Context<'a> {
    Context {
        time_ms: 1_700_000_000_000,
        uptime: Duration::from_millis(1_500),
        draining: false,
        config,
        bans,
        targets: &[],
        counters: Counters::default(),
    }
}

fn body_of(response: &Response) -> (u16, Value) {
    let body = serde_json::from_slice(&response.body).unwrap_or(Value::Null);
    (response.status, body)
}

/// What `route` is answered with without asking anybody.
fn at_once(route: Route, context: &Context<'_>) -> (u16, Value) {
    match Query::begin(route, 1, context, any_instant()) {
        Step::Answer(response) => body_of(&response),
        Step::Ask(query, _) => panic!("{query:?}"),
    }
}

/// What `route` is answered with when this is what each worker tells.
fn answered(route: &Route, told: Vec<Option<Told>>) -> (u16, Value) {
    let targets = ["a:1935/live".to_owned()];
    let (config, bans) = (Config::default(), Bans::default());
    let context = Context {
        targets: &targets,
        ..context(&config, &bans)
    };
    let now = any_instant();
    let Step::Ask(mut query, asks) = Query::begin(route.clone(), told.len(), &context, now) else {
        panic!("{route:?} asks nobody");
    };
    for ((worker, _), told) in asks.into_iter().zip(told) {
        query.take(worker, told);
    }
    assert!(query.is_complete(now));
    match query.finish(&context, now) {
        Step::Answer(response) => body_of(&response),
        Step::Ask(query, _) => panic!("{query:?}"),
    }
}

#[expect(clippy::disallowed_methods, reason = "any instant will do")]
fn any_instant() -> Instant {
    Instant::now()
}

/// A stream at its owner, with everything that may be there, or nothing of it.
fn owner(is_full: bool) -> StreamRow {
    StreamRow {
        name: "live/a \"b\"\n\u{1b}".into(),
        epoch: 3,
        owned: Some(Owned {
            state: if is_full { State::Live } else { State::Away },
            publisher: is_full.then_some(7),
            uptime: Duration::from_millis(2_500),
            video: is_full.then_some(Codec::Avc),
            video_header: is_full.then_some(true),
            audio: is_full.then_some(Codec::Aac),
            picture: Picture {
                width: is_full.then_some(1_280),
                height: is_full.then_some(720),
                frame_rate: is_full.then_some(25.0),
            },
            gauges: OwnedGauges {
                bytes_in: 100,
                in_bps: 800,
                messages_in: 9,
                video_frames: 5,
                audio_frames: 4,
                key_frames: 1,
                gaps: 1,
                feeds: 1,
            },
            key_interval_ms: is_full.then_some(2_000),
        }),
        gauges: StreamGauges {
            players: 2,
            bytes_out: 200,
            ..StreamGauges::default()
        },
        delay: is_full.then_some(Duration::from_millis(40)),
    }
}

fn reader() -> StreamRow {
    StreamRow {
        name: owner(true).name,
        epoch: 3,
        gauges: StreamGauges {
            players: 3,
            waiting: 1,
            bytes_out: 300,
            ..StreamGauges::default()
        },
        delay: Some(Duration::from_millis(90)),
        ..StreamRow::default()
    }
}

fn client(id: u64, is_full: bool) -> ClientRow {
    let capabilities = Capabilities {
        e_rtmp: true,
        reconnect: true,
        multitrack: false,
        four_cc: vec!["hvc1".to_owned()],
    };
    ClientRow {
        id,
        address: "[::1]:5".parse().unwrap(),
        worker: 1,
        protocol: "rtmps",
        role: if is_full { Role::Publisher } else { Role::None },
        streams: vec!["live/cam".into()],
        uptime_seconds: 1.5,
        bytes_in: 1,
        bytes_out: 2,
        lag_bytes: is_full.then_some(3),
        lag_ms: is_full.then_some(4),
        rtt_ms: is_full.then_some(0.25),
        retransmits: is_full.then_some(0),
        skips: 0,
        skipped_bytes: 0,
        software: "<script>\u{0}\"".to_owned(),
        video_codec: is_full.then(|| "avc1".to_owned()),
        audio_codec: is_full.then(|| "mp4a".to_owned()),
        capabilities: is_full.then_some(capabilities),
    }
}

fn worker_report() -> WorkerRow {
    WorkerRow {
        gauges: Gauges {
            players: 5,
            waiting: 2,
            busy_ns: 1_500_000_000,
            ..Gauges::default()
        },
        closes: vec![("peer_closed", 2), ("amf", 0)],
        refusals: Vec::new(),
        targets: vec![TargetGauges {
            pushes: 1,
            ..TargetGauges::default()
        }],
        ..WorkerRow::default()
    }
}

#[test]
fn a_stream_is_what_all_workers_know_of_it() {
    let told = vec![
        Some(Told::Streams(vec![owner(true)])),
        Some(Told::Streams(vec![reader()])),
    ];
    let route = Route::Stream(owner(true).name);
    let (status, body) = answered(&route, told);
    assert_eq!(status, 200);
    assert_eq!(body["name"], json!("live/a \"b\"\n\u{1b}"));
    assert_eq!(
        (&body["app"], &body["state"]),
        (&json!("live"), &json!("live"))
    );
    assert_eq!(
        (&body["worker"], &body["publisher"]),
        (&json!(0), &json!(7))
    );
    assert_eq!((&body["players"], &body["waiting"]), (&json!(5), &json!(1)));
    assert_eq!(
        (&body["bytes_in"], &body["bytes_out"]),
        (&json!(100), &json!(500))
    );
    assert_eq!(
        (&body["delay_ms"], &body["uptime_seconds"]),
        (&json!(90), &json!(2.5))
    );
    let shares = json!([{"worker": 0, "players": 2}, {"worker": 1, "players": 3}]);
    assert_eq!(body["workers"], shares);
}

#[test]
fn what_is_nowhere_is_404_unless_somebody_did_not_answer() {
    let none = || Some(Told::Clients(Vec::new()));
    let status = |route: &Route, told| answered(route, told).0;
    assert_eq!(status(&Route::Client(7), vec![none(), none()]), 404);
    assert_eq!(status(&Route::Client(7), vec![none(), None]), 503);
    let told = vec![None, Some(Told::Clients(vec![client(7, true)]))];
    assert_eq!(status(&Route::Client(7), told), 200);
    let kick = Route::Kick { id: 7, ban: None };
    let nobody = vec![Some(Told::Kicked(None))];
    assert_eq!(status(&kick, nobody), 404);
    assert_eq!(status(&Route::Stream("a/b".into()), Vec::new()), 404);
}

#[test]
fn the_config_shows_no_keys() {
    let text = "push = live=rtmps://platform.example/app/SECRETKEY?k=SECRETQUERY\n\
                pull = rtmp://origin.example/live?t=SECRETTOKEN\npace = 50 ms\n";
    let raw = crate::flags::Raw::from_file_text("text", text).unwrap();
    let config = raw.to_config().unwrap();
    let (status, body) = at_once(Route::Config, &context(&config, &Bans::default()));
    let shown = body.to_string();
    assert!(status == 200 && !shown.contains("SECRET"), "{shown}");
    assert!(shown.contains("platform.example:443/app"), "{shown}");
    let setting = |name: &str| {
        let settings = body["settings"].as_array().unwrap().iter();
        settings.clone().find(|its| its["name"] == name).unwrap()
    };
    assert_eq!(setting("pace")["value"], "50 ms");
    assert_eq!(setting("pace")["is_default"], false);
    assert_eq!(setting("grace")["is_default"], true);
}

#[test]
fn health_and_readiness() {
    let said = |path, is_draining| public(path, is_draining).unwrap();
    assert_eq!(said("/readyz", false).status, 200);
    assert_eq!(said("/readyz", true).status, 503);
    assert_eq!(said("/readyz", true).body[..], *b"draining\n");
    assert_eq!(said("/healthz", true).body[..], *b"ok\n");
}

fn new_ban() -> NewBan {
    NewBan {
        target: BanTarget::Stream("live/cam".into()),
        time: None,
        reason: String::new(),
    }
}

fn bans_in_force() -> Value {
    let (config, bans) = (Config::default(), Bans::default());
    let context = context(&config, &bans);
    let reason = "a \"b\"".to_owned();
    let network = crate::config::listen::Network::parse("10.0.0.0/8").unwrap();
    let for_a_while = NewBan {
        time: Some(Duration::from_secs(7)),
        ..new_ban()
    };
    let of_address = NewBan {
        target: BanTarget::Network(network),
        reason,
        ..new_ban()
    };
    assert!(bans.add(&for_a_while, context.uptime) && bans.add(&of_address, context.uptime));
    let (_, body) = at_once(Route::Bans, &context);
    assert_eq!(
        (&body["total"], &body["bans"][0]["seconds_left"]),
        (&2.into(), &7.into())
    );
    body
}

#[test]
fn what_cannot_be_banned_or_lifted_is_an_error() {
    let (config, bans) = (Config::default(), Bans::default());
    let context = context(&config, &bans);
    let status = |route: Route| at_once(route, &context).0;
    assert_eq!(status(Route::Lift(new_ban().target)), 404);
    for number in 0..crate::limits::BANS_MAX {
        let target = BanTarget::Stream(format!("live/{number}").into());
        assert!(bans.add(
            &NewBan {
                target,
                ..new_ban()
            },
            context.uptime
        ));
    }
    assert_eq!(status(Route::Ban(new_ban())), 409);
    let target = BanTarget::Stream("live/0".into());
    assert_eq!(status(Route::Lift(target)), 200);
}

/// A list of clients, which is asked for in two steps.
fn client_list(rows: Vec<ClientRow>) -> Value {
    let route = Route::Clients {
        wanted: WantedClients::default(),
        page: page(),
    };
    let (config, bans) = (Config::default(), Bans::default());
    let (context, now) = (context(&config, &bans), any_instant());
    let Step::Ask(mut query, asks) = Query::begin(route, 2, &context, now) else {
        panic!("it asks nobody");
    };
    let key = |row: &ClientRow| ClientKey {
        id: row.id,
        value: 0,
        conn: ConnId::NONE,
    };
    // One that moves from one worker to another is at both for a moment.
    let keys: Vec<_> = rows.iter().map(key).collect();
    for (worker, _) in asks {
        assert!(!query.is_complete(now));
        query.take(worker, Some(Told::ClientKeys(keys.clone())));
    }
    let Step::Ask(mut query, asks) = query.finish(&context, now) else {
        panic!("there are rows");
    };
    for (worker, _) in asks {
        query.take(worker, Some(Told::Clients(rows.clone())));
    }
    match query.finish(&context, now) {
        Step::Answer(response) => body_of(&response).1,
        Step::Ask(query, _) => panic!("{query:?}"),
    }
}

#[test]
fn a_client_between_two_workers_is_one() {
    let body = client_list(vec![client(2, true), client(1, false)]);
    let ids = |body: &Value| -> Vec<u64> {
        let rows = body["clients"].as_array().unwrap().iter();
        rows.map(|row| row["id"].as_u64().unwrap()).collect()
    };
    assert_eq!((&body["total"], ids(&body)), (&2.into(), vec![1, 2]));
}

#[test]
fn streams_are_sorted_and_chosen_by_what_all_workers_know() {
    let row = |name: &str, players, state: Option<State>| StreamRow {
        name: name.into(),
        gauges: StreamGauges {
            players,
            ..StreamGauges::default()
        },
        owned: state.map(|state| Owned {
            state,
            ..owner(true).owned.unwrap()
        }),
        ..StreamRow::default()
    };
    let (live, waiting) = (Some(State::Live), Some(State::Waiting));
    // `x/a` has 3 players in all, `x/b` 5, `y/c` and `y/d` none, and `y/d` is not live.
    let told = || {
        vec![
            Some(Told::Streams(vec![
                row("y/c", 0, live),
                row("x/a", 1, live),
                row("y/d", 0, waiting),
            ])),
            None,
            Some(Told::Streams(vec![
                row("x/b", 5, live),
                row("x/a", 2, waiting),
                row("y/d", 0, None),
            ])),
        ]
    };
    let list = |wanted: WantedStreams| {
        let page = Page {
            descending: true,
            ..page()
        };
        let (_, body) = answered(&Route::Streams { wanted, page }, told());
        let rows = body["streams"].as_array().unwrap().iter();
        let names: Vec<String> = rows
            .map(|row| row["stream"].as_str().unwrap().into())
            .collect();
        (names.concat(), body["total"].as_u64().unwrap())
    };
    let by_players = || WantedStreams {
        sort: StreamSort::Players,
        ..WantedStreams::default()
    };
    assert_eq!(list(by_players()), ("bacd".to_owned(), 4));
    let live = WantedStreams {
        state: Some(State::Live),
        ..by_players()
    };
    assert_eq!(list(live), ("bac".to_owned(), 3));
    let of_app = WantedStreams {
        app: Some("y".to_owned()),
        ..by_players()
    };
    assert_eq!(list(of_app), ("cd".to_owned(), 2));
    let with_text = WantedStreams {
        text: Some("x/".to_owned()),
        ..by_players()
    };
    assert_eq!(list(with_text), ("ba".to_owned(), 2));
}

/// Every answer there is, with the name of what the description calls it.
fn answers() -> Vec<(&'static str, Value)> {
    let streams = |reports: Vec<StreamRow>| vec![Some(Told::Streams(reports))];
    let clients = |reports: Vec<ClientRow>| vec![Some(Told::Clients(reports))];
    let kick = Route::Kick {
        id: 7,
        ban: Some(Duration::from_secs(60)),
    };
    let worker = Some(Told::Worker(Box::new(worker_report())));
    let all_streams = Route::Streams {
        wanted: WantedStreams::default(),
        page: page(),
    };
    let config = Config::default();
    let name = owner(true).name;
    let stream = Route::Stream(name.clone());
    let banned = vec![Some(Told::Kicked(Some(vec![name])))];
    let ask = |route: &Route, told| answered(route, told).1;
    let error = |error: ApiError| serde_json::from_slice(&error.response().body).unwrap();
    vec![
        ("Stream", ask(&stream, streams(vec![owner(true)]))),
        ("Stream", ask(&stream, streams(vec![owner(false)]))),
        ("Stream", ask(&stream, streams(vec![reader()]))),
        ("Streams", ask(&all_streams, streams(vec![owner(true)]))),
        (
            "Client",
            ask(&Route::Client(7), clients(vec![client(7, true)])),
        ),
        (
            "Client",
            ask(&Route::Client(7), clients(vec![client(7, false)])),
        ),
        ("Clients", client_list(vec![client(8, true)])),
        ("Kicked", ask(&kick, banned)),
        (
            "Kicked",
            ask(&kick, vec![Some(Told::Kicked(Some(Vec::new())))]),
        ),
        (
            "Banned",
            ask(&Route::Ban(new_ban()), vec![Some(Told::Closed(2)), None]),
        ),
        ("Workers", ask(&Route::Workers, vec![worker, None])),
        (
            "Config",
            at_once(Route::Config, &context(&config, &Bans::default())).1,
        ),
        ("Bans", bans_in_force()),
        ("Error", error(ApiError::full())),
        ("Error", error(ApiError::busy())),
        ("Error", error(ApiError::not_found("x"))),
        ("Error", error(ApiError::unauthorized())),
        ("Error", error(ApiError::forbidden("x"))),
    ]
}

#[test]
fn the_answers_are_what_the_description_says() {
    let openapi: Value = serde_json::from_str(&OPENAPI).unwrap();
    let mut seen = Vec::new();
    for (name, body) in answers() {
        let schema = &openapi["components"]["schemas"][name];
        assert!(schema.is_object(), "{name}");
        check(&openapi, schema, &body, name);
        seen.push(name);
    }
    let schemas = openapi["components"]["schemas"].as_object().unwrap();
    for name in schemas.keys().filter(|name| *name != "Capabilities") {
        assert!(seen.contains(&name.as_str()), "nothing checks {name}");
    }
}

#[test]
fn every_path_of_the_description_leads_somewhere() {
    let openapi: Value = serde_json::from_str(&OPENAPI).unwrap();
    let paths = openapi["paths"].as_object().unwrap();
    for (path, methods) in paths {
        let path = path.replace("{id}", "7").replace("{app}", "a");
        let path = path.replace("{name}", "b");
        for method in methods.as_object().unwrap().keys() {
            if method != "parameters" {
                // One of its parameters is needed.
                let query = match (&*path, &**method) {
                    (crate::admin::route::BANS, "put" | "delete") => "stream=a/b",
                    _ => "",
                };
                let routed = route(&method.to_uppercase(), &path, query, "");
                let is_there = routed.is_ok() || public(&path, false).is_some();
                assert!(is_there, "{method} {path}: {routed:?}");
            }
        }
    }
    // And all there is is described.
    assert_eq!(paths.len(), 11);
}

/// Checks `value` against the part of JSON Schema that the description uses.
#[track_caller]
fn check(openapi: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(target) = schema["$ref"].as_str() {
        let name = target.rsplit('/').next().unwrap();
        return check(openapi, &openapi["components"]["schemas"][name], value, at);
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let fitting = any
            .iter()
            .find(|schema| schema["type"] != "null" && !value.is_null());
        match fitting {
            Some(schema) => return check(openapi, schema, value, at),
            None => return assert!(any.iter().any(|schema| schema["type"] == "null"), "{at}"),
        }
    }
    let types = match &schema["type"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        other => panic!("{at} has the type {other}"),
    };
    let fits = types.iter().any(|wanted| match *wanted {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64(),
        "number" => value.as_f64().is_some_and(|number| number >= 0.0),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{at} has the type {other}"),
    });
    assert!(fits, "{at} is {value}, which is no {types:?}");
    if let Some(words) = schema["enum"].as_array() {
        assert!(
            words.contains(value),
            "{at} is {value}, which is none of {words:?}"
        );
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        check(openapi, &schema["items"], item, &format!("{at}[{index}]"));
    }
    let Some(object) = value.as_object() else {
        return;
    };
    for name in schema["required"].as_array().into_iter().flatten() {
        let name = name.as_str().unwrap();
        assert!(object.contains_key(name), "{at} has no {name}");
    }
    for (name, value) in object {
        let at = format!("{at}.{name}");
        match &schema["properties"][name] {
            Value::Null => {
                let others = &schema["additionalProperties"];
                assert!(others.is_object(), "{at} is not described");
                check(openapi, others, value, &at);
            }
            schema => check(openapi, schema, value, &at),
        }
    }
}

#[test]
fn every_gauge_of_a_worker_is_described_and_there() {
    let openapi: Value = serde_json::from_str(&OPENAPI).unwrap();
    let schema = &openapi["components"]["schemas"]["Workers"]["properties"]["workers"]["items"];
    let (_, body) = answers()
        .into_iter()
        .find(|(name, _)| *name == "Workers")
        .unwrap();
    let worker = &body["workers"][0];
    for name in schema["properties"].as_object().unwrap().keys() {
        assert!(!worker[name].is_null(), "no {name}");
    }
    assert_eq!(
        (&worker["players"], &worker["waiting"]),
        (&json!(3), &json!(2))
    );
    assert_eq!(worker["busy_seconds"], json!(1.5));
    assert_eq!(body["workers"][1], json!({"worker": 1, "answers": false}));
}
