//! Tests of control_layer.rs.

use super::*;
use crate::message::MessageStreamId;
use crate::writer::write_message;

/// A layer behind its handshake.
fn layer_with(limits: ReaderLimits) -> ControlLayer {
    let mut layer = ControlLayer::new("publish", |_| Handshake::server(1));
    layer.handshake = None;
    layer.reader.set_limits(limits);
    layer
}

fn wire(message_kind: u8, time: u32, body: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    let header = MessageHeader {
        csid: 4,
        timestamp: Timestamp(time),
        kind: message_kind,
        msid: MessageStreamId(1),
        len: body.len(),
    };
    write_message(&mut wire, &header, &Payload::from_slice(body), 128);
    wire
}

fn part(part_kind: u8, time: u32, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).unwrap().to_be_bytes();
    let [top, times @ ..] = time.to_be_bytes();
    let mut bytes = vec![part_kind, len[1], len[2], len[3]];
    bytes.extend(times);
    bytes.extend([top, 0, 0, 0]);
    bytes.extend(body);
    bytes.extend((u32::try_from(body.len()).unwrap() + 11).to_be_bytes());
    bytes
}

fn messages(input: &[u8]) -> Result<Vec<(u8, u32, Vec<u8>)>, ProtocolError> {
    let mut layer = layer_with(ReaderLimits::PUBLISHER);
    let (mut at, mut seen) = (0, Vec::new());
    while layer.advance(input, &mut at)? == Step::Message {
        let message = layer.message(input);
        let header = message.header;
        assert_eq!(header.msid, MessageStreamId(1));
        seen.push((header.kind, header.timestamp.0, message.payload.to_vec()));
    }
    Ok(seen)
}

#[test]
fn an_aggregate_is_split_on_its_own_time() {
    let body = [
        part(9, 5_000, b"video"),
        part(8, 5_020, b"a"),
        part(18, 4_990, b"d"),
    ]
    .concat();
    let input = [wire(kind::AGGREGATE, 100, &body), wire(8, 200, b"next")].concat();
    let expected = vec![
        (9, 100, b"video".to_vec()),
        (8, 120, b"a".to_vec()),
        (18, 90, b"d".to_vec()),
        (8, 200, b"next".to_vec()),
    ];
    assert_eq!(messages(&input), Ok(expected));
}

#[test]
fn parts_of_other_kinds_are_passed_over_and_bad_lengths_refused() {
    let nested = part(22, 0, &part(9, 0, b"inner"));
    let body = [nested, part(1, 0, &[0, 0, 0, 1]), part(9, 0, b"v")].concat();
    let expected = vec![(9, 0, b"v".to_vec())];
    assert_eq!(messages(&wire(kind::AGGREGATE, 0, &body)), Ok(expected));
    let mut long = part(9, 0, b"v");
    long[3] = 9;
    assert_eq!(
        messages(&wire(kind::AGGREGATE, 0, &long)),
        Err(ProtocolError::Aggregate)
    );
    assert_eq!(
        messages(&wire(kind::AGGREGATE, 0, &[9, 0])),
        Err(ProtocolError::Aggregate)
    );
}

#[test]
fn acknowledgements_are_cumulative_and_follow_the_clamped_window() {
    let mut layer = layer_with(ReaderLimits::PUBLISHER);
    assert_eq!(layer.apply_control(Control::WindowAckSize(1)), Ok(None));
    layer.count_received(limits::ACK_WINDOW_MIN as usize / 2 - 1);
    assert!(layer.out().is_empty());
    layer.count_received(1);
    let mut expected = Vec::new();
    Control::Acknowledgement(limits::ACK_WINDOW_MIN / 2).encode(&mut expected);
    assert_eq!(layer.out().pending(), expected);
    let sent = layer.out().pending().len();
    layer.out().advance(sent);
    layer.received = u64::from(u32::MAX) - 4;
    layer.acknowledged = layer.received - 70_000;
    layer.count_received(10);
    expected.clear();
    Control::Acknowledgement(5).encode(&mut expected);
    assert_eq!(layer.out().pending(), expected);
}

#[test]
fn chunk_sizes_out_of_range_are_refused_and_huge_ones_capped() {
    for got in [0, 1, 127, 0x8000_0000, u32::MAX] {
        let mut layer = layer_with(ReaderLimits::PUBLISHER);
        let end = layer.apply_control(Control::SetChunkSize(got));
        assert_eq!(end, Err(ProtocolError::ChunkSize { got }));
    }
    for fine in [128, 4_096, 0x0100_0000, 0x7FFF_FFFF] {
        let mut layer = layer_with(ReaderLimits::PUBLISHER);
        assert_eq!(layer.apply_control(Control::SetChunkSize(fine)), Ok(None));
    }
}

#[test]
fn a_peer_that_does_not_read_what_it_makes_us_send_is_left() {
    let limit = limits::OUT_BYTES_MAX;
    let mut layer = layer_with(ReaderLimits::PUBLISHER);
    let mut fill = |count: usize| {
        while layer.replied < count {
            let missing = count - layer.replied;
            layer.send_status(
                MessageStreamId(1),
                Status::PlayStart,
                &"x".repeat(missing.min(60_000)),
            );
        }
        (layer.replied, layer.end_input(&[], 0))
    };
    assert_eq!(fill(limit - 4_000).1, Ok(()));
    let (replied, end) = fill(limit + 1);
    assert!(replied < limit + 1_000, "{replied}");
    assert_eq!(end, Err(ProtocolError::TooManyReplies { limit }));
    // Read, and all is forgotten.
    let sent = layer.out().pending().len();
    layer.out().advance(sent);
    layer.send(Control::WindowAckSize(1));
    assert_eq!(layer.end_input(&[], 0), Ok(()));
}

/// How often `event` is let pass at the times given in seconds, each tried `tries` times.
fn passed(
    times: &[u64],
    tries: u32,
    event: impl Fn(&mut ControlLayer) -> Result<(), ProtocolError>,
) -> Vec<(u32, Result<(), ProtocolError>)> {
    let mut layer = layer_with(ReaderLimits::PUBLISHER);
    let mut seen = Vec::new();
    for &seconds in times {
        layer.set_now(Duration::from_secs(seconds));
        let ends: Vec<_> = (0..tries).map(|_| event(&mut layer)).collect();
        let passed = ends.iter().take_while(|end| end.is_ok()).count();
        let end = ends.get(passed).copied().unwrap_or(Ok(()));
        seen.push((u32::try_from(passed).unwrap(), end));
    }
    seen
}

#[test]
fn pings_are_answered_at_a_rate_and_a_flood_ends_the_connection() {
    let ping =
        |layer: &mut ControlLayer| layer.apply_control(Control::User(UserControl::PingRequest(7)));
    let mut answer = Vec::new();
    Control::User(UserControl::PingResponse(7)).encode(&mut answer);
    let mut layer = layer_with(ReaderLimits::PUBLISHER);
    let burst = limits::REPLIES.burst() as usize;
    let answered = |layer: &mut ControlLayer| {
        let bytes = layer.out().pending().to_vec();
        layer.out().advance(bytes.len());
        assert!(bytes.chunks(answer.len()).all(|piece| piece == answer));
        bytes.len() / answer.len()
    };
    for pings in 1..=burst {
        assert_eq!(ping(&mut layer), Ok(None));
        assert_eq!(layer.out().pending().len(), pings * answer.len());
    }
    assert_eq!(answered(&mut layer), burst);
    for _ in 0..limits::UNANSWERED.burst() {
        assert_eq!(ping(&mut layer), Ok(None));
    }
    assert_eq!(answered(&mut layer), 0, "no answer beyond the burst");
    assert_eq!(ping(&mut layer), Err(ProtocolError::CallRate));
    // Both come back with time.
    layer.set_now(Duration::from_secs(limits::UNANSWERED.plainly().1));
    for _ in 0..=burst {
        assert_eq!(ping(&mut layer), Ok(None));
    }
    assert_eq!(answered(&mut layer), burst);
    assert_eq!(ping(&mut layer), Err(ProtocolError::CallRate));
}

#[test]
fn a_peer_that_asks_at_the_rate_may_ask_for_ever() {
    let mut layer = layer_with(ReaderLimits::PUBLISHER);
    for tick in 0..20_000 {
        let now = Duration::from_millis(tick * 100);
        layer.set_now(now);
        let ping = Control::User(UserControl::PingRequest(1));
        assert_eq!(layer.apply_control(ping), Ok(None));
        assert_eq!(layer.end_input(&[], 0), Ok(()));
        let sent = layer.out().pending().len();
        assert!(sent > 0, "answered at {now:?}");
        layer.out().advance(sent);
    }
}

#[test]
fn chunk_sizes_change_only_so_often() {
    let change = |layer: &mut ControlLayer| {
        layer
            .apply_control(Control::SetChunkSize(4_096))
            .map(|_| ())
    };
    let limit = limits::CHUNK_SIZES.burst();
    let over = Err(ProtocolError::ChunkSizeRate);
    let seen = passed(&[0, 60, 66], limit + 1, change);
    assert_eq!(seen, [(limit, over), (limit, over), (1, over)]);
}

#[test]
fn commands_come_only_so_often() {
    let (limit, over) = (
        limits::STREAM_COMMANDS.burst(),
        Err(ProtocolError::StreamCommandRate),
    );
    let seen = passed(&[0, 60, 63], limit + 1, ControlLayer::count_stream_command);
    assert_eq!(seen, [(limit, over), (limit, over), (1, over)]);
    let (limit, over) = (
        limits::PLAYER_COMMANDS.burst(),
        Err(ProtocolError::PlayerCommandRate),
    );
    let seen = passed(&[0, 1, 60], limit + 1, ControlLayer::count_player_command);
    let (second, _) = limits::PLAYER_COMMANDS.plainly();
    assert_eq!(seen, [(limit, over), (second, over), (limit, over)]);
}

#[test]
fn player_commands_need_room_for_their_answers() {
    let limit = limits::COMMAND_BACKLOG_BYTES_MAX;
    let mut layer = layer_with(ReaderLimits::UNAUTHORISED);
    layer.out().writer().resize(limit, 0);
    assert_eq!(layer.count_player_command(), Ok(()));
    layer.out().writer().push(0);
    let over = Err(ProtocolError::TooManyReplies { limit });
    assert_eq!(layer.count_player_command(), over);
    layer.out().advance(1);
    assert_eq!(layer.count_player_command(), Ok(()));
}

/// Reads `wire` to its end as one input.
fn read(layer: &mut ControlLayer, wire: &[u8]) -> Result<(), ProtocolError> {
    let mut at = 0;
    while layer.advance(wire, &mut at)? != Step::Done {}
    layer.end_input(wire, at)
}

/// Reads `count` times `wire` at time 0 and expects that to be just what passes: one more
/// does not, and later `again` more do.
#[track_caller]
fn check_rate(count: u32, wire: &[u8], over: ProtocolError, later: Duration, again: u32) {
    let mut layer = layer_with(ReaderLimits::PUBLISHER);
    let many = |count: u32| wire.repeat(count as usize);
    assert_eq!(read(&mut layer, &many(count)), Ok(()));
    assert_eq!(read(&mut layer, wire), Err(over));
    layer.set_now(later);
    assert_eq!(read(&mut layer, &many(again)), Ok(()));
    assert_eq!(read(&mut layer, wire), Err(over));
    // All in one input.
    let mut layer = layer_with(ReaderLimits::PUBLISHER);
    assert_eq!(read(&mut layer, &many(count + 1)), Err(over));
}

#[test]
fn messages_of_any_kind_come_only_so_fast() {
    let (burst, (second, _)) = (limits::MESSAGES.burst(), limits::MESSAGES.plainly());
    let over = ProtocolError::MessageRate;
    let check = |count, wire: &[u8], again| {
        check_rate(count, wire, over, Duration::from_secs(1), again);
    };
    check(burst, &wire(8, 0, b"a"), second);
    check(burst, &wire(kind::ACKNOWLEDGEMENT, 0, &[0; 4]), second);
    // An aggregate costs its parts, and itself.
    let parts = part(9, 0, b"v").repeat(9);
    check(burst / 10, &wire(kind::AGGREGATE, 0, &parts), second / 10);
}

#[test]
fn messages_nobody_reads_count_as_well() {
    let mut layer = layer_with(ReaderLimits::UNAUTHORISED);
    let wire = wire(8, 0, b"a");
    let many = wire.repeat(limits::MESSAGES.burst() as usize);
    assert_eq!(read(&mut layer, &many), Ok(()));
    assert_eq!(read(&mut layer, &wire), Err(ProtocolError::MessageRate));
}

#[test]
fn odd_events_are_counted_together() {
    let check = |wire: &[u8]| {
        let max = limits::GLITCHES.burst();
        let second = Duration::from_secs(1);
        check_rate(max, wire, ProtocolError::Glitches, second, max / 10);
    };
    // Types nobody knows, with a body and without.
    check(&wire(0x63, 0, b"x"));
    check(&wire(0x13, 0, b""));
    // User control: an event nobody knows, and a ping without its time.
    check(&wire(kind::USER_CONTROL, 0, &[0, 31, 0, 0, 0, 1]));
    check(&wire(kind::USER_CONTROL, 0, &[0, 6]));
    // An abort of nothing.
    check(&wire(kind::ABORT, 0, &[0, 0, 0, 9]));
    // Set Peer Bandwidth without the limit type.
    check(&wire(kind::SET_PEER_BANDWIDTH, 0, &[0, 1, 0, 0]));
    check(&wire(kind::AGGREGATE, 0, &[]));
    // A part of an aggregate that has no place there.
    check(&wire(kind::AGGREGATE, 0, &part(1, 0, &[0, 0, 0, 1])));
}

#[test]
fn what_peers_do_every_day_is_not_odd() {
    let usual = [
        wire(8, 0, b"sound"),
        wire(8, 0, b""),
        wire(kind::ACKNOWLEDGEMENT, 0, &[0; 4]),
        wire(kind::SET_PEER_BANDWIDTH, 0, &[0, 1, 0, 0, 2]),
        wire(kind::USER_CONTROL, 0, &[0, 3, 0, 0, 0, 1, 0, 0, 1, 0]),
        wire(kind::USER_CONTROL, 0, &[0, 7, 0, 0, 0, 1]),
        wire(kind::AGGREGATE, 0, &part(9, 0, b"v")),
    ];
    for wire in usual {
        let mut layer = layer_with(ReaderLimits::PUBLISHER);
        let many = wire.repeat(2 * limits::GLITCHES.burst() as usize);
        assert_eq!(read(&mut layer, &many), Ok(()));
        assert!(layer.meters.glitches.is_full(Duration::ZERO));
    }
}

#[test]
fn an_outbox_gives_back_what_was_sent_also_while_something_waits() {
    let mut out = Outbox::default();
    out.writer().push(0);
    for number in 0..100 {
        out.writer().extend_from_slice(&[number; 100_000]);
        assert_eq!(out.pending().last(), Some(&number));
        out.advance(100_000);
        assert_eq!(out.pending(), [number]);
    }
    assert!(out.bytes.capacity() < 200_000, "{}", out.bytes.capacity());
}

#[test]
fn an_outbox_sent_byte_by_byte_says_what_was_put_in() {
    let mut out = Outbox::default();
    let mut said = Vec::new();
    for number in 0..5_000_u32 {
        out.writer().extend_from_slice(&number.to_le_bytes());
        said.extend_from_slice(&out.pending()[..3]);
        out.advance(3);
    }
    while let [next, ..] = *out.pending() {
        said.push(next);
        out.advance(1);
    }
    let all: Vec<u8> = (0..5_000_u32).flat_map(u32::to_le_bytes).collect();
    assert_eq!(said, all);
}
