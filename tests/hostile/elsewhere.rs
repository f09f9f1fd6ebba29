//! A hostile origin that sends us elsewhere, or does not say plainly whether it has the stream:
//! redirects (`ex.redirect`) and reconnect requests (E-RTMP v2 "Reconnect Request") of every form,
//! ends and beginnings of the stream in a storm, media and headers at the wrong time. Family W5.
//!
//! Where the running binary plays them, it may go where it is sent to: that is a port of this
//! machine that nobody listens on, or a host that no rule names.
#![expect(clippy::too_many_lines, reason = "tables are as long as they are")]

use tailwater::limits;

use super::bytes::{
    AUDIO, CHUNK, DATA, audio, avc_header, boolean, command, inter_frame, joined, key_frame,
    long_text, message, null, number, object, string, text, user, video,
};
use super::case::{Case, State, case};
use super::client_role::{created, status};

/// All cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = references();
    cases.extend(forms());
    cases.extend(storms());
    cases.extend(headers());
    cases.extend(at_the_wrong_time());
    cases
}

/// What a worker may close with that is sent elsewhere: it goes there, or refuses to.
const GONE: [&str; 2] = ["refused_by_server", "released"];

/// Somewhere that may be gone to, with nobody there.
const ALLOWED: &str = "rtmp://127.0.0.1:1/live";

/// URL references that lead to somewhere that may be gone to.
const FOLLOWED: [(&str, &str); 11] = [
    ("a URL that is allowed", ALLOWED),
    ("TLS", "rtmps://127.0.0.1:1/live"),
    ("a fragment", "rtmp://127.0.0.1:1/live#top"),
    ("a path", "/other/folder"),
    ("a relative path", "other"),
    ("folders above", "../../../other"),
    ("a query", "?k=2"),
    ("an empty string", ""),
    ("a turn of direction", "rtmp://127.0.0.1:1/\u{202E}evil"),
    ("escapes", "rtmp://127.0.0.1:1/%2e%2e/%00"),
    ("braces", "rtmp://127.0.0.1:1/{app}/{query}"),
];

/// Those that do not.
const REFUSED: [(&str, &str); 22] = [
    ("a host that no rule names", "rtmp://elsewhere.invalid/live"),
    ("an address of somebody else", "rtmp://192.0.2.1/live"),
    ("another scheme", "http://127.0.0.1:1/live"),
    ("a file", "file:///etc/passwd"),
    ("no host", "rtmp:///live"),
    ("a scheme alone", "rtmp://"),
    ("a user and password", "rtmp://u:p@127.0.0.1:1/live"),
    ("a host behind a user", "rtmp://127.0.0.1@192.0.2.1/live"),
    ("port 0", "rtmp://127.0.0.1:0/live"),
    ("port 65,536", "rtmp://127.0.0.1:65536/live"),
    ("a port that is none", "rtmp://127.0.0.1:rtmp/live"),
    ("no port behind its colon", "rtmp://127.0.0.1:/live"),
    ("IPv6", "rtmp://[::1]:1/live"),
    ("IPv6 that holds IPv4", "rtmp://[::ffff:127.0.0.1]:1/live"),
    ("IPv6 without an end", "rtmp://[::1:1/live"),
    ("IPv6 without brackets", "rtmp://::1/live"),
    ("0.0.0.0", "rtmp://0.0.0.0:1/live"),
    ("nothing but slashes", "//////"),
    ("a line break", "rtmp://127.0.0.1:1/live\r\nx: y"),
    ("NUL", "rtmp://127.0.0.1:1/live\0"),
    ("a space", "rtmp://127.0.0.1:1/my app"),
    ("a control of two bytes", "rtmp://127.0.0.1:1/\u{85}"),
];

/// What may stand where a URL is expected: what it is, as a value of AMF0, and whether it is
/// followed.
fn urls() -> Vec<(&'static str, Vec<u8>, bool)> {
    let long = |len: usize| format!("rtmp://127.0.0.1:1/{}", "x".repeat(len));
    let most = limits::REDIRECT_BYTES_MAX - long(0).len();
    let of = |list: &[(&'static str, &'static str)], is_followed| -> Vec<_> {
        let urls = list.iter();
        urls.map(|(name, url)| (*name, string(url), is_followed))
            .collect()
    };
    let mut urls = [of(&FOLLOWED, true), of(&REFUSED, false)].concat();
    urls.extend([
        ("the longest URL", string(&long(most)), true),
        ("a byte too much", string(&long(most + 1)), false),
        ("60,000 bytes", string(&long(60_000)), false),
        ("a long string", long_text(ALLOWED.as_bytes()), true),
        (
            "a long string of 60,000 bytes",
            long_text(long(60_000).as_bytes()),
            false,
        ),
        (
            "bytes that are no UTF-8",
            text(b"rtmp://127.0.0.1:1/\xFF\xFE"),
            false,
        ),
        ("a number", number(302.0), false),
        ("a boolean", boolean(true), false),
        ("null", null(), false),
        ("an object", object(&[("url", string(ALLOWED))]), false),
        ("an array", vec![0x0A, 0, 0, 0, 0], false),
        ("undefined", vec![6], false),
    ]);
    urls
}

/// A Reconnect Request with these properties beside its code.
fn reconnect(properties: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut info = vec![
        ("level", string("status")),
        ("code", string("NetConnection.Connect.ReconnectRequest")),
    ];
    info.extend_from_slice(properties);
    command(0, &[string("onStatus"), number(0.0), null(), object(&info)])
}

/// A refusal of connect, with this as its `ex`.
fn refused_connect(ex: Vec<u8>) -> Vec<u8> {
    let info = object(&[
        ("level", string("error")),
        ("code", string("NetConnection.Connect.Rejected")),
        ("ex", ex),
    ]);
    command(0, &[string("_error"), number(1.0), null(), info])
}

/// An error of what is played or published, with this as its `ex`.
fn failed(ex: Vec<u8>) -> Vec<u8> {
    let info = object(&[
        ("level", string("error")),
        ("code", string("NetStream.Play.Failed")),
        ("ex", ex),
    ]);
    command(1, &[string("onStatus"), number(0.0), null(), info])
}

fn moved_to(url: Vec<u8>) -> Vec<u8> {
    object(&[("code", number(302.0)), ("redirect", url)])
}

/// Media that makes an origin the one that the stream comes by.
fn media() -> Vec<u8> {
    joined(&[
        &video(0, &avc_header(1, 40)),
        &video(0, &key_frame(300)),
        &video(40, &inter_frame(300)),
    ])
}

/// Each URL in each place that it may come from.
fn references() -> Vec<Case> {
    let mut cases = Vec::new();
    for (what, url, is_followed) in urls() {
        let end = if is_followed {
            "released"
        } else {
            "refused_by_server"
        };
        let moved = moved_to(url.clone());
        for (way, state, bytes) in [
            (
                "connect",
                State::OriginShaken,
                refused_connect(moved.clone()),
            ),
            ("play", State::OriginPlaying, failed(moved)),
        ] {
            let name = format!("a refused {way} redirects to {what}");
            cases.push(case("W5", name, state).sends(bytes).closes(&[end]));
        }
        let reconnect = reconnect(&[("tcUrl", url)]);
        let name = format!("a reconnect request leads to {what}");
        let before = case("W5", name, State::OriginPlaying).sends(reconnect.clone());
        // A target is called again where it is.
        cases.push(before.may_close(&GONE));
        // It is served on until another has media.
        let name = format!("a reconnect request behind media leads to {what}");
        let behind = case("W5", name, State::OriginPlaying);
        cases.push(behind.sends(joined(&[&media(), &reconnect])));
    }
    cases
}

/// Refusals and requests that are put together in another way.
fn forms() -> Vec<Case> {
    let moved = || moved_to(string(ALLOWED));
    let odd_ex = [
        ("a number", number(302.0)),
        ("a string", string(ALLOWED)),
        ("null", null()),
        ("an empty object", object(&[])),
        ("a code alone", object(&[("code", number(302.0))])),
        ("a URL alone", object(&[("redirect", string(ALLOWED))])),
        (
            "code 301",
            object(&[("code", number(301.0)), ("redirect", string(ALLOWED))]),
        ),
        (
            "code NaN",
            object(&[("code", number(f64::NAN)), ("redirect", string(ALLOWED))]),
        ),
        (
            "a code of words",
            object(&[("code", string("302")), ("redirect", string(ALLOWED))]),
        ),
        (
            "many URLs",
            object(&vec![("redirect", string(ALLOWED)); 200]),
        ),
        ("itself within", object(&[("ex", moved())])),
    ];
    let mut cases = Vec::new();
    for (what, ex) in odd_ex {
        for (way, state, bytes) in [
            ("connect", State::OriginShaken, refused_connect(ex.clone())),
            ("play", State::OriginPlaying, failed(ex.clone())),
        ] {
            let name = format!("a refused {way} with an ex of {what}");
            cases.push(case("W5", name, state).sends(bytes).may_close(&GONE));
        }
    }
    let of_another_call = command(
        0,
        &[
            string("_error"),
            number(77.0),
            null(),
            object(&[("ex", moved())]),
        ],
    );
    let in_the_first_place = command(
        0,
        &[string("_error"), number(1.0), object(&[("ex", moved())])],
    );
    let accepted = command(
        0,
        &[
            string("_result"),
            number(1.0),
            object(&[]),
            object(&[("ex", moved())]),
        ],
    );
    let both = reconnect(&[("tcUrl", string("/here")), ("ex", moved())]);
    let on_stream = joined(&[&created(), &reconnect(&[]), &reconnect(&[])]);
    let words = "x".repeat(60_000);
    for (what, state, bytes) in [
        (
            "a redirect of another call",
            State::OriginConnected,
            of_another_call,
        ),
        (
            "a redirect as command object",
            State::OriginShaken,
            in_the_first_place,
        ),
        ("a redirect in a _result", State::OriginShaken, accepted),
        (
            "a reconnect request with a redirect",
            State::OriginPlaying,
            both,
        ),
        (
            "reconnect requests before play",
            State::OriginConnected,
            on_stream,
        ),
        (
            "a reconnect request before connect",
            State::OriginShaken,
            reconnect(&[]),
        ),
        (
            "a reconnect request of 60,000 bytes",
            State::OriginPlaying,
            reconnect(&[("description", string(&words)), ("tcUrl", string(ALLOWED))]),
        ),
        (
            "a redirect for each step",
            State::OriginShaken,
            refused_connect(moved()).repeat(1_000),
        ),
    ] {
        cases.push(case("W5", what, state).sends(bytes).may_close(&GONE));
    }
    cases
}

/// Statuses and events of a stream, again and again.
fn storms() -> Vec<Case> {
    let (begin, eof, dry) = (user(0, 1), user(1, 1), user(2, 1));
    let start = status("NetStream.Play.Start");
    let mut cases = Vec::new();
    for (what, bytes, times) in [
        ("reconnect requests", reconnect(&[]), 2_000),
        (
            "reconnect requests to folders",
            reconnect(&[("tcUrl", string("a/b"))]),
            2_000,
        ),
        ("ends and beginnings", joined(&[&eof, &begin]), 2_000),
        ("ends", eof.clone(), 2_000),
        ("beginnings", begin.clone(), 2_000),
        ("StreamDry", dry, 2_000),
        ("Play.Start", start.clone(), 2_000),
        (
            "Play.Reset and Play.Start",
            joined(&[&status("NetStream.Play.Reset"), &start]),
            1_000,
        ),
        (
            "ends, beginnings and media",
            joined(&[&eof, &begin, &media()]),
            500,
        ),
        (
            "ends with Play.Start behind",
            joined(&[&eof, &start, &media()]),
            500,
        ),
        (
            "ends and headers",
            joined(&[&eof, &video(0, &avc_header(7, 60))]),
            1_000,
        ),
    ] {
        let storm = case("W5", format!("{times} {what}"), State::OriginPlaying);
        let storm = storm.sends(media()).repeats(bytes, times);
        cases.push(storm.may_close(&["glitches", "call_rate", "message_rate"]));
    }
    cases
}

/// Makes the header of this number.
type Maker = fn(u32) -> Vec<u8>;

/// Headers ahead of media that never comes: as many as are kept, and then they count as odd.
fn headers() -> Vec<Case> {
    fn picture(number: u32) -> Vec<u8> {
        video(0, &avc_header(number, 500))
    }
    fn sound(number: u32) -> Vec<u8> {
        let body = joined(&[&[0xAF, 0], &number.to_be_bytes(), &[0x11; 500]]);
        audio(0, &body)
    }
    fn metadata(count: u32) -> Vec<u8> {
        let values = object(&[
            ("n", number(f64::from(count))),
            ("words", string(&"x".repeat(500))),
        ]);
        message(5, DATA, 1, &joined(&[&string("onMetaData"), &values]))
    }
    let makers: [(&str, Maker); 3] = [
        ("of pictures", picture),
        ("of sound", sound),
        ("of metadata", metadata),
    ];
    let mut cases = Vec::new();
    for (what, make) in makers {
        let name = format!("3,000 headers {what} ahead of media");
        let all: Vec<u8> = (0..3_000).flat_map(make).collect();
        let endless = case("W5", name, State::OriginPlaying).sends(all.clone());
        // A session alone does not know what is media. A target is not to send any.
        cases.push(endless.with_worker().closes(&["glitches"]));
        let name = format!("3,000 headers {what} between pictures");
        let beside = case("W5", name, State::OriginPlaying).sends(media());
        cases.push(beside.sends(all).may_close(&["glitches"]));
        let name = format!("the same header {what} 3,000 times ahead of media");
        let same = case("W5", name, State::OriginPlaying);
        cases.push(same.repeats(make(1), 3_000).may_close(&["glitches"]));
    }
    let name = "a header of a MiB ahead of media";
    let large = case("W5", name, State::OriginPlaying).sends(video(0, &avc_header(1, 1 << 20)));
    cases.push(large);
    cases
}

/// Media and statuses when nobody waits for them.
fn at_the_wrong_time() -> Vec<Case> {
    let many = |bytes: usize| audio(0, &[0xAF; 1_000]).repeat(bytes / 1_000);
    let start = status("NetStream.Play.Start");
    let (begin, eof) = (user(0, 1), user(1, 1));
    let empty = message(6, super::bytes::VIDEO, 1, &[]);
    let mut cases = Vec::new();
    for state in [State::OriginShaken, State::OriginConnected] {
        let early = case("W5", "2 MB of sound before there is a stream", state);
        cases.push(early.sends(many(2_000_000)).closes(&["unexpected"]));
        let few = case("W5", "a picture before there is a stream", state);
        cases.push(few.sends(media()));
    }
    for (what, bytes) in [
        (
            "media before the answer to play",
            joined(&[&created(), &media()]),
        ),
        (
            "media, and then the answer to play",
            joined(&[&created(), &media(), &start, &media()]),
        ),
        (
            "an end before the answer to play",
            joined(&[&created(), &eof, &begin]),
        ),
    ] {
        cases.push(case("W5", what, State::OriginConnected).sends(bytes));
    }
    let on_another = [AUDIO, DATA].map(|kind| message(5, kind, 77, &[0xAF; CHUNK]));
    for (what, bytes) in [
        (
            "Play.Start behind an end",
            joined(&[&media(), &eof, &start]),
        ),
        ("media behind an end", joined(&[&media(), &eof, &media()])),
        ("an end before any media", joined(&[&eof, &start, &media()])),
        ("media on another message stream", on_another.concat()),
        ("messages without a byte", empty.repeat(100)),
    ] {
        // An end without media is as good as a refusal.
        let odd = case("W5", what, State::OriginPlaying).sends(bytes);
        cases.push(odd.may_close(&GONE));
    }
    for code in [
        "NetStream.Play.UnpublishNotify",
        "NetStream.Play.Complete",
        "NetStream.Play.Stop",
        "NetStream.Play.StreamNotFound",
        "NetStream.Unpublish.Success",
        "NetConnection.Connect.Closed",
        "NetConnection.Connect.AppShutdown",
        "NetStream.Publish.BadName",
    ] {
        let name = format!("{code}, and then media and Play.Start");
        let bytes = joined(&[&media(), &status(code), &media(), &start]);
        let odd = case("W5", name, State::OriginPlaying).sends(bytes);
        cases.push(odd.may_close(&["refused_by_server", "released", "stream_ended"]));
    }
    cases
}
