//! Tests of name.rs.

use proptest::prelude::*;
use tailwater_rtmp::limits::{NAME_BYTES_MAX, QUERY_BYTES_MAX};
use tailwater_rtmp::name::*;
use tailwater_rtmp_exercise::leaves;

fn given(cell: &str) -> Option<&[u8]> {
    (cell != "-").then_some(cell.as_bytes())
}

/// Rows of `app | tcUrl | name | expected`, with the client in front where it is known; `-`
/// stands for a value that was not sent. Expected is the key, with `?` and the query if there
/// is one, or the code of the error.
#[track_caller]
fn check(rows: &str) {
    for row in rows.trim().lines() {
        let cells: Vec<&str> = row.split('|').map(|cell| cell.trim_matches(' ')).collect();
        let [.., app, tc_url, name, expected] = cells[..] else {
            panic!("not a row: {row}")
        };
        let found = app_from_connect(given(app), given(tc_url))
            .and_then(|app| stream_name(&app, given(name).unwrap_or_default()));
        let found = match found {
            Ok(name) if name.query.is_empty() => name.key(),
            Ok(name) => format!("{name}?{}", name.query),
            Err(error) => error.code().to_owned(),
        };
        assert_eq!(found, expected, "{row}");
    }
}

#[test]
fn client_quirks_end_in_the_same_stream() {
    check(
        "
        any            | live             | rtmp://h/live      | cam                | live/cam
        no app         | -                | rtmp://h/live      | cam                | live/cam
        empty app      |                  | rtmp://h:1935/live | cam                | live/cam
        no tcUrl       | live             | -                  | cam                | live/cam
        cameras        | -                | 'rtmp://h/live'    | cam                | live/cam
        cameras        | -                | '/live'            | cam                | live/cam
        cameras        | -                | h:1935/live        | cam                | live/cam
        cameras        | -                | /live              | cam                | live/cam
        JW Player      | live/            | rtmp://h/live/     | cam                | live/cam
        any, slashes   | /live//          | -                  | //cam/             | live/cam
        FMLE, librtmp  | live/_definst_   | -                  | cam                | live/cam
        FMLE, librtmp  | live/_definst_/  | -                  | cam                | live/cam
        FMLE, librtmp  | live             | -                  | _definst_/cam      | live/cam
        Flash, librtmp | live             | -                  | mp4:cam            | live/cam
        ffmpeg, VLC    | live             | -                  | mp4:cam.mp4        | live/cam
        ffmpeg, FMLE   | live             | -                  | mp4:cam.f4v        | live/cam
        Flash          | live             | -                  | flv:cam            | live/cam
        Flash          | live             | -                  | mp3:cam.mp3        | live/cam
        any, doubled   | live             | -                  | mp4: flv:cam .mp4  | live/cam
        in the app     | live/mp4:cam.mp4 | -                  | -                  | live/cam
        OBS, URL key   | live             | -                  | rtmp://h/live/cam  | live/cam
        OBS, URL key   | live             | -                  | RTMPS://h/live/cam | live/cam
        OBS, URL key   | -                | rtmp://h           | rtmp://h/live/cam  | live/cam
        OBS, no app    | -                | -                  | live/cam           | live/cam
        OBS, no app    |                  | rtmp://h/          | /live/cam          | live/cam
        OBS, no key    | live/cam         | rtmp://h/live/cam  | -                  | live/cam
        OBS, no key    | -                | rtmp://h/live/cam  |                    | live/cam
        OBS, pasted    | live/\t          | -                  | \tcam\r            | live/cam",
    );
    let live = app_from_connect(Some(b" live\r\n"), None).unwrap();
    assert_eq!(
        stream_name(&live, b"cam ?t=2").map(|name| name.key()),
        Ok("live/cam".into())
    );
    assert_eq!(stream_name(&live, b"cam?t=2\r\n").unwrap().query, "t=2");
}

#[test]
fn the_key_is_the_whole_path_wherever_it_is_cut() {
    check(
        "
        live/a     | rtmp://h/live/a | b                 | live/a/b
        live       | -               | a/b               | live/a/b
        live       | -               | mp4:              | live
        live       | -               | rtmp://h/live     | live
        live/a/b   | -               | -                 | live/a/b
        live       | -               | mp4:a/b.mp4       | live/a/b
        live/mp4:a | -               | b.mp4             | live/a/b
        -          | rtmp://h        | cam               | cam
        cam        | rtmp://h/cam    | -                 | cam
        cam        | rtmp://h/cam    | /                 | cam
        -          | rtmp://h/cam    |                   | cam
        -          | rtmp://h/       | rtmp://h/cam      | cam
        cam        | rtmp://h/cam    | rtmp://h/cam      | cam
        cam        | -               | ?t=2              | cam?t=2
        cam?t=2    | -               | -                 | cam?t=2
        live       | -               | a/_definst_       | live/a/_definst_
        live/a     | -               | mp4:_definst_.mp4 | live/a/_definst_
        live       | -               | http://h/b        | live/http:/h/b
        live       | -               | rtmp://h/live/a/b | live/a/b
        live/a     | -               | rtmp://h/live/a/b | live/a/b",
    );
    let app = app_from_connect(Some(b"live/a"), None).unwrap();
    assert_eq!((&*app.app, app.instance.as_deref()), ("live/a", Some("a")));
    let name = stream_name(&app, b"b/c").unwrap();
    assert_eq!((name.app.as_str(), name.stream.as_str()), ("live/a/b", "c"));
}

#[test]
fn queries_are_kept_apart_and_merged() {
    check(
        "
        many | live?u=1     | -                 | cam                   | live/cam?u=1
        many | live         | rtmp://h/live?u=1 | cam                   | live/cam?u=1
        many | -            | rtmp://h/live?u=1 | cam                   | live/cam?u=1
        any  | -            | rtmp://h?u=1      | live/cam              | live/cam?u=1
        OBS  | live?u=1     | rtmp://h/live?u=2 | cam?t=/\"é            | live/cam?t=/\"é&u=1
        OBS  | live/cam?u=1 | -                 | -                     | live/cam?u=1
        OBS  | live/cam     | -                 | ?t=2                  | live/cam?t=2
        any  | live         | -                 | cam?t=2?x             | live/cam?t=2?x
        any  | live?u=1/2   | -                 | cam                   | live/cam?u=1/2
        any  | live         | rtmp://h?u=\u{1}  | cam                   | live/cam
        any  | -            | rtmp://h?u=\u{1}  | live/cam              | name_forbidden
        OBS  | live         | -                 | rtmp://h/live/cam?t=2 | live/cam?t=2",
    );
}

#[test]
fn regression_a_cut_within_the_query_makes_no_name() {
    let all = "live/cam?t=a/b+c==";
    check(&format!(
        "
        whole    | live                 | rtmp://h/live          | cam?t=a/b+c==  | {all}
        ffmpeg   | live/cam?t=a         | rtmp://h/live/cam?t=a  | b+c==          | {all}
        tcUrl    | -                    | rtmp://h/live/cam?t=a  | b+c==          | {all}
        tcUrl    | live/cam             | rtmp://h/live/cam?t=a  | b+c==          | {all}
        instance | live/_definst_?t=a/b | -                      | cam            | live/cam?t=a/b
        no name  | live/cam?t=a/b       | -                      | -              | live/cam?t=a/b
        a URL | live | - | cam?t=http://x/y | live/cam?t=http://x/y
        a URL    | live/cam?t=http://x | - | y.png | live/cam?t=http://x/y.png
        a URL    | live/cam?t=http: | - | /x/y | live/cam?t=http://x/y
        a URL    | - | /live/cam?t=http://x | y | live/cam?t=http://x/y
        a URL    | - | - | live/cam?t=rtmp://x/y | live/cam?t=rtmp://x/y
        a URL    | live | - | rtmp?t=://x | live/rtmp?t=://x
        more     | live/cam?t=a | - | b?c=d/e | live/cam?t=a/b?c=d/e
        pasted   | live/cam?t=a | - | rtmp://h/live/cam?t=b | live/cam?t=b&t=a"
    ));
}

#[test]
fn joiners_are_allowed_where_they_join() {
    for key in [
        "می\u{200C}خواهم",
        "خانه\u{200C}ها",
        "क्\u{200D}ष",
        "क्\u{200C}ष",
        "র\u{200D}্যাব",
        "അവന്\u{200D}",
        "👩\u{200D}🚀",
        "🏳\u{FE0F}\u{200D}🌈",
        "👩🏽\u{200D}❤\u{FE0F}\u{200D}👨🏽",
        "1\u{FE0F}\u{20E3}",
        "🏴\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}",
        "東京\u{3000}配信",
        "soon\u{2026}",
    ] {
        let name = stream_name(&AppName::default(), format!("live/{key}").as_bytes());
        assert_eq!(name.map(|name| name.stream), Ok(key.to_owned()), "{key}");
    }
    for key in [
        "cam\u{200C}era",
        "cam\u{200D}",
        "\u{200D}cam",
        "\u{200C}",
        "می\u{200C}",
        "د\u{200C}ا",
        "می\u{200D}خ",
        "क\u{200D}ष",
        "👩\u{200D}a",
        "👩\u{200D}\u{200D}🚀",
        "摄像\u{200D}头",
        "cam\u{FE0F}",
        "cam1\u{FE0F}",
        "cam\u{E0061}",
        "cam\u{3164}",
        "\u{2800}",
        "a\u{2024}b",
        "a\u{2003}b",
    ] {
        let name = stream_name(&AppName::default(), format!("live/{key}").as_bytes());
        let is_refused = matches!(name, Err(NameError::Forbidden { .. }));
        assert!(is_refused, "{}: {name:?}", key.escape_unicode());
    }
    // Wide spaces around a segment are white space; there is no name of them alone.
    let live = app_from_connect(Some(b"live"), None).unwrap();
    let name = stream_name(&live, "\u{3000} cam\u{3000}".as_bytes());
    assert_eq!(name.map(|name| name.key()), Ok("live/cam".to_owned()));
    let name = stream_name(&live, "\u{3000}".as_bytes());
    assert_eq!(name.map(|name| name.key()), Ok("live".to_owned()));
}

#[test]
fn what_encoders_use_as_keys_passes_unchanged() {
    for key in [
        "live_123_AbC",
        "abcd-1234~x.y",
        "FB-1-0-Ab:1@2!$&'()*+,;=",
        "with space",
        "50%",
        "a%20b%C3%A0%zz%+1",
        "cam.mp4",
        "été-摄像头-कैमरा",
    ] {
        let name = stream_name(&AppName::default(), format!("live/{key}").as_bytes());
        let expected = format!("live/{key}");
        assert_eq!(name.map(|name| name.key()), Ok(expected), "{key}");
    }
}

#[test]
fn dangerous_names_are_refused() {
    check(
        "
        any             | -    | -             | -   | name_empty
        any             | -    | rtmp://h      | /   | name_empty
        any             | ..   | -             | cam | name_leading_dot",
    );
    let rows = "
        mp4:_definst_.mp4         | name_empty
        rtmp://h/other/cam        | name_other_app
        rtmp://h/lively/cam       | name_other_app
        ../cam                    | name_leading_dot
        a/./cam                   | name_leading_dot
        mp4:../cam                | name_leading_dot
        .hidden                   | name_leading_dot
        ..%2fcam                  | name_leading_dot
        a%2Fcam                   | name_escape
        %2e%2E                    | name_escape
        a%00                      | name_escape
        a%5c                      | name_escape
        a%0d%0aSet                | name_escape
        \\..\\a                   | name_forbidden
        a\u{0}b                   | name_forbidden
        a\rb                      | name_forbidden
        a\u{1b}[2J                | name_forbidden
        a\u{7f}b                  | name_forbidden
        a\"b                      | name_forbidden
        a}b                       | name_forbidden
        a<b>                      | name_forbidden
        a\u{80}b                  | name_forbidden
        a\u{a0}b                  | name_forbidden
        a\u{202e}b                | name_forbidden
        a\u{200b}b                | name_forbidden
        \u{ff0e}\u{ff0e}\u{ff0f}a | name_forbidden
        cam?t=\u{1b}              | name_forbidden";
    for row in rows.trim().lines() {
        check(&format!("live | - | {row}"));
    }
    let live = app_from_connect(Some(b"live"), None).unwrap();
    assert_eq!(stream_name(&live, b"a\xFF"), Err(NameError::NotUtf8));
    assert_eq!(stream_name(&live, b"a?\xC3"), Err(NameError::NotUtf8));
    let line_end = NameError::Forbidden { found: '\n' };
    assert_eq!(stream_name(&live, b"a\nb"), Err(line_end));
}

#[test]
fn lengths_are_limited_to_the_byte() {
    let too_long = |got, limit| NameError::TooLong { got, limit };
    let query_too_long = |got| NameError::QueryTooLong {
        got,
        limit: QUERY_BYTES_MAX,
    };
    let live = app_from_connect(Some(b"live"), None).unwrap();
    let mut raw = vec![b'x'; NAME_BYTES_MAX - "live/".len()];
    assert_eq!(
        stream_name(&live, &raw).map(|name| name.key().len()),
        Ok(NAME_BYTES_MAX)
    );
    raw.push(b'x');
    assert_eq!(
        stream_name(&live, &raw),
        Err(too_long(NAME_BYTES_MAX + 1, NAME_BYTES_MAX))
    );

    let mut raw = [b"a?", &[b'q'; QUERY_BYTES_MAX][..]].concat();
    assert_eq!(
        stream_name(&live, &raw).map(|name| name.query.len()),
        Ok(QUERY_BYTES_MAX)
    );
    let with_query = app_from_connect(Some(b"live?u"), None).unwrap();
    assert_eq!(
        stream_name(&with_query, &raw),
        Err(query_too_long(QUERY_BYTES_MAX + 2))
    );
    raw.push(b'q');
    assert_eq!(
        stream_name(&live, &raw),
        Err(query_too_long(QUERY_BYTES_MAX + 1))
    );

    let huge = vec![b'/'; 64 << 10];
    let error = too_long(huge.len(), 4_096);
    assert_eq!(stream_name(&live, &huge), Err(error));
    assert_eq!(app_from_connect(Some(&huge), None), Err(error));
    assert_eq!(app_from_connect(None, Some(&huge)), Err(error));
    assert_eq!(app_from_connect(Some(b"live"), Some(&huge)), Ok(live));
}

#[test]
fn queries_do_not_reach_logs() {
    let app = app_from_connect(Some(b"live?user=secret"), None).unwrap();
    let name = stream_name(&app, b"cam?token=secret").unwrap();
    let logged = format!("{app:?} {name:?} {name}");
    assert!(
        logged.contains("live/cam") && !logged.contains("secret"),
        "{logged}"
    );
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic(data in prop::collection::vec(any::<u8>(), 0..400)) {
        leaves::name(&data);
    }

    #[test]
    fn a_name_reads_the_same_however_it_is_cut(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "/", "/", "a", "b.mp4", "mp4:", "_definst_", "?", "rtmp://", " ", "%", "é",
                ".", "'", "live", "\u{FF}",
            ]),
            0..16,
        ),
    ) {
        let data: Vec<u8> = parts.concat().chars().map(|c| u8::try_from(c).unwrap()).collect();
        leaves::name(&data);
    }
}

#[test]
fn what_is_shown_of_a_bad_name_has_no_secrets() {
    for (app, raw, expected) in [
        ("live", "bad\"name?key=1", "live/bad\"name"),
        ("live", "x%3Fkey=1", "live/x"),
        ("live", "rtmp://user:word@host/other/x?key=1", "other/x"),
        ("", "a/..", "a/.."),
        ("", "live<?user=1", "live<"),
        ("live/cam?token=a", "secret\u{1}", "live/cam"),
    ] {
        let app = app_from_connect(Some(app.as_bytes()), None).unwrap();
        let shown = shown(&app, raw.as_bytes());
        assert!(shown.trim_start_matches('/') == expected, "{shown}");
    }
    let live = app_from_connect(Some(b"live"), None).unwrap();
    assert!(shown(&live, &[b'x'; 10_000]).len() <= "live/".len() + NAME_BYTES_MAX);
}
