//! One connection, fed in pieces.

use super::*;

const GET: &str = "GET /live/cam.flv HTTP/1.1\r\nHost: a\r\n\r\n";

/// Everything `input` makes the session give, with each request answered at once.
fn serve(session: &mut HttpSession, input: &[u8]) -> Result<usize, HttpError> {
    let (mut at, mut count) = (0, 0);
    loop {
        match session.next(input, &mut at)? {
            Some(_) => {
                count += 1;
                session.answer(Response::text(200, "here"));
            }
            None if at == input.len() && !session.has_more() => return Ok(count),
            None => {}
        }
    }
}

fn said(session: &mut HttpSession) -> String {
    let text = String::from_utf8_lossy(session.pending()).into_owned();
    let len = session.pending().len();
    session.out().advance(len);
    text
}

fn streaming(request: &str) -> HttpSession {
    let mut session = HttpSession::default();
    assert!(session.next(request.as_bytes(), &mut 0).unwrap().is_some());
    session.begin_stream(b"FLV");
    session
}

fn websocket() -> HttpSession {
    let request = "GET /live/cam.flv HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\
                   Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let mut session = streaming(request);
    let text = said(&mut session);
    assert!(text.starts_with("HTTP/1.1 101 "), "{text}");
    assert!(text.ends_with("\r\n\r\n\u{fffd}\u{3}FLV"), "{text:?}");
    session
}

#[test]
fn requests_are_answered_one_after_the_other_however_they_are_cut() {
    let input = GET.repeat(10);
    for piece in [1, 7, 64, input.len()] {
        let mut session = HttpSession::default();
        let pieces = input.as_bytes().chunks(piece);
        let count: usize = pieces
            .map(|piece| serve(&mut session, piece).unwrap())
            .sum();
        assert_eq!(count, 10, "{piece}");
        assert_eq!(said(&mut session).matches("200 OK").count(), 10);
        assert!(session.is_idle());
    }
}

#[test]
fn a_request_waits_until_the_one_before_is_answered() {
    let mut session = HttpSession::default();
    let (input, mut at) = (GET.repeat(2), 0);
    assert!(session.next(input.as_bytes(), &mut at).unwrap().is_some());
    assert!(session.next(input.as_bytes(), &mut at).unwrap().is_none());
    assert!(!session.has_more() && session.is_asked());
    session.answer(Response::text(200, "here"));
    assert!(session.has_more());
    assert!(session.next(b"", &mut 0).unwrap().is_some());
}

#[test]
fn what_waits_is_bounded() {
    let mut session = HttpSession::default();
    assert!(session.next(GET.as_bytes(), &mut 0).unwrap().is_some());
    let flood = vec![b'x'; limits::HTTP_INPUT_BYTES_MAX];
    assert!(session.next(&flood, &mut 0).unwrap().is_none());
    assert_eq!(session.next(b"x", &mut 0), Err(HttpError::Surplus));
    let mut session = streaming(GET);
    assert!(session.next(&flood, &mut 0).unwrap().is_none());
    assert_eq!(session.next(b"x", &mut 0), Err(HttpError::Surplus));
    assert!(session.memory_bytes() < limits::HTTP_INPUT_BYTES_MAX);
}

#[test]
fn requests_come_no_faster_than_they_may() {
    let mut session = HttpSession::default();
    let most = limits::HTTP_REQUESTS.burst() as usize;
    let input = GET.repeat(most);
    for piece in input.as_bytes().chunks(GET.len()) {
        serve(&mut session, piece).unwrap();
    }
    said(&mut session);
    assert_eq!(serve(&mut session, GET.as_bytes()), Err(HttpError::Rate));
    assert!(said(&mut session).starts_with("HTTP/1.1 429 "));
    assert!(session.is_done());
    let mut session = HttpSession::default();
    for second in 0..600 {
        session.set_now(Duration::from_secs(second));
        serve(&mut session, GET.repeat(3).as_bytes()).unwrap();
        said(&mut session);
    }
}

#[test]
fn who_speaks_something_else_is_not_answered() {
    for (first, seen) in [(3, "rtmp"), (0x16, "tls")] {
        let mut session = HttpSession::default();
        let input = [first, 1, 2, 3];
        let error = HttpError::WrongProtocol { seen };
        assert_eq!(session.next(&input, &mut 0), Err(error));
        assert!(session.pending().is_empty());
    }
}

#[test]
fn what_is_refused_is_told_why_and_closed() {
    let mut session = HttpSession::default();
    let error = serve(
        &mut session,
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n",
    );
    assert!(matches!(error, Err(HttpError::Request(_))));
    let text = said(&mut session);
    assert!(
        text.starts_with("HTTP/1.1 400 ") && text.contains("Connection: close"),
        "{text}"
    );
    assert!(session.is_done());
}

#[test]
fn a_stream_begins_with_its_header_or_with_nothing_if_only_the_head_is_wanted() {
    let text = said(&mut streaming(GET));
    assert!(
        text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\nFLV"),
        "{text}"
    );
    let mut session = streaming(&GET.replace("GET", "HEAD"));
    assert!(session.is_done());
    assert!(said(&mut session).ends_with("\r\n\r\n"));
}

#[test]
fn pings_are_answered_in_frames_cut_anywhere_and_messages_are_read_off() {
    let ping = [0x89, 0x82, 0, 0, 0, 0, b'h', b'i'];
    let mut input = vec![0x82, 0xFE, 0, 200, 0, 0, 0, 0];
    input.extend([9; 200]);
    input.extend(ping);
    input.extend([0x81, 0x85, 0, 0, 0, 0, 1, 2, 3, 4, 5]);
    input.extend(ping);
    for piece in [1, 3, 50, input.len()] {
        let mut session = websocket();
        for piece in input.chunks(piece) {
            let mut at = 0;
            assert_eq!(session.next(piece, &mut at), Ok(None));
            assert_eq!(at, piece.len());
        }
        assert_eq!(session.pending(), b"\x8A\x02hi\x8A\x02hi", "{piece}");
    }
}

#[test]
fn a_close_is_answered_and_one_of_ours_says_why() {
    let mut session = websocket();
    let close = [0x88, 0x80, 0, 0, 0, 0];
    assert_eq!(session.next(&close, &mut 0), Err(HttpError::Closed));
    assert_eq!(session.pending(), [0x88, 2, 3, 232]);
    let mut session = websocket();
    session.end(CloseCode::GoingAway, "bye");
    assert_eq!(session.pending(), b"\x88\x05\x03\xE9bye");
    // Over plain HTTP there is nothing to say it with.
    let mut session = streaming(GET);
    said(&mut session);
    session.end(CloseCode::GoingAway, "bye");
    assert!(session.pending().is_empty());
}

#[test]
fn frames_come_no_faster_than_they_may() {
    let mut session = websocket();
    let flood = [0x89, 0x80, 0, 0, 0, 0].repeat(limits::HTTP_REQUESTS.burst() as usize + 1);
    assert_eq!(session.next(&flood, &mut 0), Err(HttpError::Rate));
}

#[test]
fn who_does_not_read_answers_is_not_heard() {
    let mut session = HttpSession::default();
    let large = || Response::new(200, "text/plain", vec![b'x'; limits::HTTP_ANSWER_BYTES]);
    let (input, mut at) = (GET.repeat(3), 0);
    assert!(session.next(input.as_bytes(), &mut at).unwrap().is_some());
    session.answer(large());
    assert!(session.next(input.as_bytes(), &mut at).unwrap().is_none());
    assert_eq!((at, session.has_more()), (input.len(), false));
    said(&mut session);
    assert!(session.has_more());
    assert!(session.next(b"", &mut 0).unwrap().is_some());
    session.answer(large());
    let flood = vec![b'x'; limits::HTTP_INPUT_BYTES_MAX];
    assert!(session.next(&flood, &mut 0).unwrap().is_none());
    assert_eq!(session.next(b"x", &mut 0), Err(HttpError::Surplus));
}

#[test]
fn an_answer_can_be_the_last() {
    let mut session = HttpSession::default();
    assert!(session.next(GET.as_bytes(), &mut 0).unwrap().is_some());
    session.answer_last(Response::text(405, "no"));
    assert!(said(&mut session).contains("Connection: close\r\n"));
    assert!(session.is_done());
}

#[test]
fn a_frame_that_may_not_be_is_answered_with_a_close() {
    for (frame, code) in [
        (&[0x89, 0][..], CloseCode::Protocol),
        (&[0x83, 0x80, 0, 0, 0, 0], CloseCode::Protocol),
        (&[0x89, 0x80, 0, 0, 0, 0].repeat(1_000), CloseCode::Policy),
    ] {
        let mut session = websocket();
        assert!(session.next(frame, &mut 0).is_err());
        let said = session.pending();
        let close = said.windows(4).filter(|four| four[0] == 0x88);
        let codes = close.map(|close| u16::from_be_bytes([close[2], close[3]]));
        assert_eq!(codes.collect::<Vec<_>>(), [code as u16]);
        assert!(session.is_done());
    }
}

#[test]
fn who_plays_may_say_that_it_has_no_more_to_say_but_not_over_websocket() {
    assert!(streaming(GET).may_half_close());
    assert!(!websocket().may_half_close());
    assert!(!HttpSession::default().may_half_close());
}
