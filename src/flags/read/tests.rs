//! What each option takes and refuses, and what settings ask of each other.

use std::time::Duration;

use super::*;
use crate::config::listen::{ListenAddr, Proxies};
use crate::config::{Cpus, Pace, Switch, Takeover};
use crate::flags::kind::Field;
use crate::flags::{Outcome, parse, settings};

fn outcome(args: &[&str]) -> Result<Outcome, ConfigError> {
    parse(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>())
}

#[track_caller]
fn config(args: &[&str]) -> Config {
    match outcome(args) {
        Ok(Outcome::Run(config)) => config,
        other => panic!("{args:?} gave {other:?}"),
    }
}

/// `--name value` is refused and all three parts are named.
#[track_caller]
fn check_refused(name: &str, value: &str, expected: &str) {
    let error = outcome(&[&format!("--{name}"), value])
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        format!("--{name}: got {value:?}; expected {expected}")
    );
}

const MS: fn(u64) -> Duration = Duration::from_millis;
const S: fn(u64) -> Duration = Duration::from_secs;

#[test]
fn the_defaults_are_the_documented_ones() {
    let expected = Config {
        admin: Vec::new(),
        admin_token_file: None,
        app: Vec::new(),
        backlog: 4096,
        chunk_size: 65_536,
        cpus: Cpus::Available,
        file: None,
        reuse_port_with_others: false,
        drain: S(5),
        gop_cache: Switch::On,
        grace: S(10),
        handshake_timeout: S(10),
        http: Vec::new(),
        http_cors: Vec::new(),
        http_host: Vec::new(),
        lag_max: 4 << 20,
        limit_loopback: Switch::Off,
        listen: vec![ListenAddr::Tcp("0.0.0.0:1935".parse().unwrap())],
        listen_tls: Vec::new(),
        log: None,
        log_bytes: 16 << 20,
        max_connections: None,
        max_per_address: Some(1000),
        max_streams: Some(10_000),
        memory_max: None,
        nodelay: Switch::On,
        pace: Pace::Auto,
        pace_max: MS(350),
        ping: Some(S(60)),
        play_wait: S(10),
        proxy_protocol: Vec::new(),
        publish_bitrate_max: Some(200_000_000),
        publish_idle: S(15),
        pull: Vec::new(),
        pull_give_up: S(15),
        pull_linger: S(10),
        pull_timeout: S(5),
        push: Vec::new(),
        push_strict: Switch::Off,
        rcvbuf: None,
        read_budget: 256 << 10,
        redirect_allow: Vec::new(),
        reconnect_to: None,
        send_timeout: S(30),
        setup_timeout: S(15),
        skips_max: None,
        sndbuf: None,
        stats_interval: None,
        takeover: Takeover::Refuse,
        tls_ca: Vec::new(),
        tls_cert: Vec::new(),
        tls_key: Vec::new(),
        window: S(0),
        window_ack: 2_500_000,
        workers: None,
    };
    assert_eq!(Config::default(), expected);
    assert_eq!(config(&[]), expected);
}

#[test]
fn each_field_has_a_row_of_its_own() {
    let mut named: Vec<&str> = Vec::new();
    for opt in OPTIONS {
        assert!(opt.field.is_some() || !opt.is_setting(), "{}", opt.name);
        named.extend(opt.field.map(|field| field.name));
        let is_same = |field: Field| field.name.replace('_', "-") == opt.name;
        // The field for `--config` is called `file`.
        assert!(
            opt.name == "config" || opt.field.is_none_or(is_same),
            "{}",
            opt.name
        );
    }
    named.sort_unstable();
    let mut fields = Config::FIELDS.to_vec();
    fields.sort_unstable();
    assert_eq!(named, fields);
}

/// Amounts: name, lowest and highest allowed, just below (if anything is) and just above,
/// and the range as errors and the help have it.
const AMOUNTS: &str = "
    backlog           | 1     | 65535      | 0      | 65536      | 1 to 65535
    chunk-size        | 128   | 1048576    | 127    | 1048577    | 128 bytes to 1 MiB
    drain             | 0     | 1h         |        | 3601       | 0 to 3600 s
    grace             | 0     | 3600       |        | 3600001ms  | 0 to 3600 s
    handshake-timeout | 1     | 300        | 999ms  | 301        | 1 to 300 s
    lag-max           | 64k   | 16m        | 65535  | 1073741825 | 64 KiB to 1 GiB
    log-bytes         | 4m    | 1g         | 262143 | 1073741825 | 256 KiB to 1 GiB
    max-connections   | 0     | 10000000   |        | 10000001   | 0 to 10000000
    max-per-address   | 0     | 10000000   |        | 10000001   | 0 to 10000000
    max-streams       | 0     | 10000000   |        | 10000001   | 0 to 10000000
    memory-max        | 0     | 1024g      |        | 1025g      | 0 to 1024 GiB
    pace              | 0     | 1s         |        | 1001       | 0 to 1000 ms, or auto
    pace-max          | 1     | 1000       | 0      | 1001       | 1 to 1000 ms
    ping              | 0     | 3600       |        | 61m        | 0 to 3600 s
    play-wait         | 0     | 60m        |        | 3601s      | 0 to 3600 s
    publish-bitrate-max | 0   | 100g       |        | 101g       | 0 to 100 Gbit/s
    publish-idle      | 1     | 3600       | 0      | 3601       | 1 to 3600 s
    pull-give-up      | 1     | 3600       | 999ms  | 3601       | 1 to 3600 s
    pull-linger       | 0     | 3600       |        | 3601       | 0 to 3600 s
    pull-timeout      | 1     | 60         | 999ms  | 61         | 1 to 60 s
    rcvbuf            | 0     | 64m        |        | 67108865   | 0 to 64 MiB
    read-budget       | 4k    | 16m        | 4095   | 16777217   | 4 KiB to 16 MiB
    send-timeout      | 1     | 3600       | 0      | 2h         | 1 to 3600 s
    setup-timeout     | 1     | 600        | 0      | 601        | 1 to 600 s
    skips-max         | 0     | 1000       |        | 1001       | 0 to 1000
    sndbuf            | 0     | 64MiB      |        | 65m        | 0 to 64 MiB
    stats-interval    | 0     | 1h         |        | 3601       | 0 to 3600 s
    window            | 0     | 10m        |        | 601        | 0 to 600 s
    window-ack        | 10000 | 2147483647 | 9999   | 2g         | 10000 to 2147483647 bytes
    workers           | 0     | 64         |        | 65         | 0 to 64
";

/// Names and values that are refused.
const BAD_TEXTS: &str = "
    admin     | : | localhost | ::1 | 1.2.3.4 | 65536 | unix:/a | none
    app       | / | a//b | /a | a/ | .. | a/.b | a?b=c | live/_definst_
    cpus      | a | 0, | ,0 | 1-0 | 0- | -1 | 0,0 | 0-3,2 | 1024 | 0 - 1 | auto,0 | None
    gop-cache | yes | ON | 1
    limit-loopback | yes | ON | 1
    http      | : | localhost | localhost:80 | 65536 | unix:/a | none
    http-host | https://a | a:80 | a b | a/b | *
    http-cors | tv.example | https:// | https://a/b | https://a b | **
    listen    | : | localhost | localhost:1935 | 1.2.3.4 | 1.2.3:1935 | ::1 | [::1] | *:1935
    listen    | 65536 | :65536 | 1.2.3.4:65536 | -1 | +1 | unix: | unix | None
    listen-tls | : | localhost:443 | unix:/a | 65536 | none
    log       | inf | tailwater | info, | =debug | a=b | a=info=b | info/x
    nodelay   | no | Off
    proxy-protocol | 10.0.0.1/8 | 10.0.0.0/33 | host | 10.0.0.0/8, | ,unix | 0.0.0.0:0
    pull      | rtmp://a,rtmp://a | http://a | live= | =rtmp://a | rtmp://a/{x}
    pull      | rtmp://a/b/c | none,rtmp://a
    push      | rtmp://a,rtmp://b | a | rtmp://***@a/b | rtmp://a:0
    push-strict | yes | ON
    redirect-allow | rtmp://a | a:0 | : | ::1 | none,a
    reconnect-to | http://a/b | rtmp:// | rtmp://a/b c
    takeover  | allow | Replace | refuse or replace
";

fn rows(table: &'static str) -> Vec<Vec<&'static str>> {
    let lines = table.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| line.split('|').map(str::trim).collect())
        .collect()
}

fn amounts() -> impl Iterator<Item = [&'static str; 6]> {
    rows(AMOUNTS).into_iter().map(|row| row.try_into().unwrap())
}

#[test]
fn amounts_are_taken_up_to_their_bounds_and_no_further() {
    for [name, lowest, highest, below, above, range] in amounts() {
        for value in [lowest, highest] {
            assert!(
                outcome(&[&format!("--{name}={value}")]).is_ok(),
                "{name} {value}"
            );
        }
        for value in [below, above].into_iter().filter(|value| !value.is_empty()) {
            check_refused(name, value, range);
        }
        for value in [
            "",
            "12x",
            "-1",
            "1.5",
            "ten",
            "0x10",
            "18446744073709551616",
        ] {
            check_refused(name, value, range);
        }
    }
}

#[test]
fn words_lists_addresses_names_and_filters_are_checked() {
    let range = |name: &str| Opt::find(name).unwrap().range();
    let rows = || rows(BAD_TEXTS).into_iter();
    for row in rows() {
        for value in row.iter().skip(1).chain([&""]) {
            check_refused(row[0], value, &range(row[0]));
        }
    }
    // Every setting has its bad values, there or among the amounts.
    for opt in settings() {
        if opt.hint == "FILE" {
            // Any path may be one of a file.
            continue;
        }
        let is_text = rows().any(|row| row[0] == opt.name);
        let is_amount = amounts().any(|row| row[0] == opt.name);
        assert!(is_text != is_amount, "{}", opt.name);
    }
    check_refused("app", &"a".repeat(257), &range("app"));
    assert_eq!(range("gop-cache"), "on or off");
    assert_eq!(range("takeover"), "refuse or replace");
}

#[test]
fn proxies_are_listed_with_commas_or_one_by_one() {
    let given = [
        "--proxy-protocol",
        "10.0.0.0/8,unix",
        "--proxy-protocol",
        "::1",
    ];
    let proxies = config(&given).proxy_protocol;
    let shown: Vec<String> = proxies.iter().map(Proxies::to_string).collect();
    assert_eq!(shown, ["10.0.0.0/8", "unix", "::1/128"]);
}

#[test]
fn an_address_or_all_apps_with_one_more_is_refused() {
    let error = outcome(&["--listen", "1935", "--listen", "0.0.0.0:1935"]).unwrap_err();
    assert_eq!(error.value, Got::Value("0.0.0.0:1935".to_owned()));
    assert_eq!(config(&["--listen", "0", "--listen", "0"]).listen.len(), 2);
    let error = outcome(&["--app", "live", "--app", "*"]).unwrap_err();
    assert_eq!(
        (error.flag.as_str(), error.value),
        ("--app", Got::Value("*".to_owned()))
    );
    assert_eq!(config(&["--app", "*"]).app, Vec::<String>::new());
    assert_eq!(
        config(&["--app", "a", "--app", "b/c", "--app", "a"]).app,
        ["a", "b/c"]
    );
}

#[test]
fn zero_and_words_have_types_of_their_own() {
    assert_eq!(config(&["--pace", "0"]).pace, Pace::Fixed(Duration::ZERO));
    assert_eq!(config(&["--pace", "auto"]).pace, Pace::Auto);
    assert_eq!(config(&["--ping", "0"]).ping, None);
    assert_eq!(config(&["--workers", "0"]).workers, None);
    assert_eq!(config(&["--workers", "3"]).workers, Some(3));
    assert_eq!(config(&["--cpus", "none"]).cpus, Cpus::Unpinned);
    assert_eq!(config(&["--cpus", "0,2-3"]).cpus, Cpus::List(vec![0, 2, 3]));
    assert!(config(&["--nodelay", "true"]).nodelay.is_on());
    assert!(!config(&["--gop-cache", "false"]).gop_cache.is_on());
    assert_eq!(
        config(&["--takeover", "replace"]).takeover,
        Takeover::Replace
    );
}

#[test]
fn http_listeners_share_no_address_and_open_ones_need_tokens() {
    let token = ["--admin-token-file", "token"];
    config(&["--http", "8080", "--admin", "9090", "--http-cors", "*"]);
    config(&[&["--admin", "0.0.0.0:9090"][..], &token].concat());
    for (args, expected) in [
        (
            vec!["--admin", "0.0.0.0:9090"],
            "--admin: got \"0.0.0.0:9090\"; expected a loopback address, or \
             --admin-token-file as well",
        ),
        (
            vec!["--http", "1935"],
            "--http: got \"1935\"; expected an address that no other listener has",
        ),
        (
            vec!["--http", "127.0.0.1:9090", "--admin", "9090"],
            "--admin: got \"9090\"; expected an address that no other listener has",
        ),
        (
            vec!["--http", "9090", "--admin", "9090"],
            "--admin: got \"9090\"; expected an address that no other listener has",
        ),
        (
            vec!["--http-cors", "*"],
            "--http-cors: got \"*\"; expected --http as well",
        ),
        (
            vec!["--http-host", "tv.example"],
            "--http-host: got \"tv.example\"; expected --http or --admin as well",
        ),
        (
            vec!["--http", "8080", "--http-host", "tv.example:80"],
            "--http-host: got \"tv.example:80\"; expected the name of a host, such as \
             tv.example, without a port",
        ),
        (
            token.to_vec(),
            "--admin-token-file: got \"token\"; expected --admin as well",
        ),
    ] {
        let error = outcome(&args).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn tls_listeners_need_pairs_and_pairs_need_listeners() {
    let tls = ["--listen-tls", "1936"];
    let pair = ["--tls-cert", "a.pem", "--tls-key", "a.key"];
    let two = config(&[&tls[..], &pair, &pair].concat());
    assert_eq!(two.tls_cert.len(), 2);
    let none = ["--listen", "none"];
    assert!(config(&[&none[..], &tls, &pair].concat()).listen.is_empty());
    let taken = ["--listen", "1936"];
    for (args, expected) in [
        (
            vec![&tls[..]],
            "--listen-tls: got \"1936\"; expected --tls-cert and --tls-key as well",
        ),
        (
            vec![&pair[..]],
            "--tls-cert: got \"a.pem\"; expected --listen-tls as well",
        ),
        (
            vec![&tls[..], &pair[..2]],
            "--tls-cert: got \"a.pem\"; expected a --tls-key for each --tls-cert",
        ),
        (
            vec![&tls[..], &pair, &pair[2..]],
            "--tls-key: got \"a.key\"; expected a --tls-cert for each --tls-key",
        ),
        (
            vec![&tls[..], &pair, &taken],
            "--listen-tls: got \"1936\"; expected an address that --listen does not have",
        ),
        (
            vec![&none[..]],
            "--listen: got \"none\"; expected --listen-tls as well, or an address",
        ),
    ] {
        let error = outcome(&args.concat()).unwrap_err().to_string();
        assert_eq!(error, expected);
    }
    check_refused("tls-ca", "", &Opt::find("tls-ca").unwrap().range());
}

#[test]
fn a_lag_that_the_log_cannot_serve_is_refused() {
    let expected = "expected at most --log-bytes, which is";
    let error = outcome(&["--lag-max", "32m"]).unwrap_err().to_string();
    assert_eq!(error, format!("--lag-max: got \"32m\"; {expected} 16 MiB"));
    // One that was not given follows the log.
    assert_eq!(config(&["--log-bytes", "1m"]).lag_max, 1 << 20);
    for (size, bytes) in [("256k", 256 << 10), ("1g", 1 << 30)] {
        let config = config(&["--log-bytes", size, "--lag-max", size]);
        assert_eq!((config.log_bytes, config.lag_max), (bytes, bytes));
    }
}

#[test]
fn a_memory_that_two_logs_would_fill_is_refused() {
    let expected = "0, or at least 64 MiB and twice --log-bytes";
    check_refused("memory-max", "63m", expected);
    assert_eq!(config(&["--memory-max", "64m"]).memory_max, Some(64 << 20));
    let large = ["--log-bytes", "1g", "--memory-max"];
    assert!(outcome(&[&large[..], &["2047m"]].concat()).is_err());
    assert!(outcome(&[&large[..], &["2g"]].concat()).is_ok());
}
