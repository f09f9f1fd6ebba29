//! Tests of handshake.rs.

use super::*;

fn template(version: [u8; 4]) -> Packet {
    let mut packet: Packet = core::array::from_fn(|i| (i * 31 + 7).to_le_bytes()[0]);
    packet[..4].fill(0);
    packet[4..8].copy_from_slice(&version);
    packet
}

fn signed(mut packet: Packet, block: Block, key: &[u8]) -> Packet {
    block.sign(&mut packet, key);
    packet
}

/// What a server with seed 1 answers to C0 and this C1.
fn answer_to(c1: &Packet) -> (Handshake, Vec<u8>) {
    let (mut server, mut out) = (Handshake::server(1), Vec::new());
    let input = [&[VERSION], &c1[..]].concat();
    assert_eq!(server.handle_input(&input, &mut out), Ok(input.len()));
    assert_eq!(
        (out.len(), out[0], server.is_done()),
        (3073, VERSION, false)
    );
    (server, out.split_off(1))
}

/// What a client with seed 7 sends as C0 C1, and as C2 after S0 and this S1.
fn client_with(mode: Mode, block: Block, s1: &Packet) -> (Handshake, Vec<u8>, Vec<u8>) {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    let mut client = Handshake::client_with_block(mode, block, 7, &mut first);
    let input = [&[VERSION], &s1[..]].concat();
    assert_eq!(client.handle_input(&input, &mut second), Ok(input.len()));
    assert_eq!(
        (first.len(), first[0], second.len(), client.is_done()),
        (1537, VERSION, 1536, false)
    );
    (client, first.split_off(1), second)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The digests expected were computed outside of this crate, with the hmac module of Python.
#[test]
fn server_digests_match_an_independent_computation() {
    let check = |block, places: [usize; 2], expected: [&str; 3]| {
        let c1 = signed(template(CLIENT_VERSION), block, CLIENT_KEY_TEXT);
        let (server, answer) = answer_to(&c1);
        assert!(server.is_digest() && answer[..8] == [0, 0, 0, 0, 4, 5, 0, 1]);
        assert_eq!(hex(&c1[places[0]..][..32]), expected[0]);
        assert_eq!(hex(&answer[places[1]..][..32]), expected[1]);
        assert_eq!(hex(&answer[3072 - 32..]), expected[2]);
    };
    let first = [
        "a3ba710c26a9f95974deaac20ae608dcad6f09c8e61b847f0e495845c49c4724",
        "bd7f7d0e0f6820f43fbef05242f3a3462be3da2c52c16fac89cfd8e2d3fb9afa",
        "c40ff23d1a0dd106fe942636f06cbaa03a632446fe0abf7a6e95ce942139c62c",
    ];
    check(Block::First, [450, 436], first);
    let second = [
        "620ff796e3863f5eed780742bdc0d799852194af9e008ae34ee7998e465bf0fa",
        "8991eb792f9ee6734b60fa4a63b1a6a2aac26a9dc3295fa114918409cb621c1c",
        "33849a6e5df08d1d1b6bb0e9cd64d5c79fc2be22475e18478afe722fb3d02024",
    ];
    check(Block::Second, [1486, 1067], second);
}

/// As above.
#[test]
fn client_digests_match_an_independent_computation() {
    let check = |block, places: [usize; 2], expected: [&str; 3]| {
        let s1 = signed(template(SERVER_VERSION), block, SERVER_KEY_TEXT);
        let (client, c1, c2) = client_with(Mode::Digest, block, &s1);
        assert!(client.is_digest() && c1[..8] == [0, 0, 0, 0, 9, 0, 0x7C, 2]);
        assert_eq!(hex(&c1[places[0]..][..32]), expected[0]);
        assert_eq!(hex(&s1[places[1]..][..32]), expected[1]);
        assert_eq!(hex(&c2[1536 - 32..]), expected[2]);
    };
    let first = [
        "41c56761b90f2bf638b6a19bacd01a5248e93ed91774b8b6a5292395ff5ff69c",
        "a5b78d1938a7f19b590d9f53781c7b88817a4d554191f163ccb61738ce3b2bc2",
        "2cd4455f572ef5e241dbc74c7c585ca06abf0df27c1c621338368318d6043e01",
    ];
    check(Block::First, [379, 450], first);
    let second = [
        "a163d48509ac9bf80063c125d7adad0ee14328d430fa972dc08217b764e81dd3",
        "c912a9b151c024a605d4de92fd9cff49700119544edbeed4975b23db6a65ba4e",
        "ae6cc72aee5b6bc5a00fdd9918a97a9efbbaa42a9c113bb4e1a03bec35cc2365",
    ];
    check(Block::Second, [1023, 1486], second);
}

#[test]
fn every_first_byte_but_three_is_refused_at_once() {
    for first in (0x00..=0xFF).filter(|first| *first != VERSION) {
        let expected = match first {
            0x16 => ProtocolError::WrongProtocol { seen: "tls" },
            first if b"GPHDOCT".contains(&first) => ProtocolError::WrongProtocol { seen: "http" },
            got => ProtocolError::Version { got },
        };
        let mut out = Vec::new();
        let mut server = Handshake::server(1);
        assert_eq!(
            server.handle_input(&[first, VERSION], &mut out),
            Err(expected)
        );
        assert!(matches!(server.peer, Intake::Version) && out.is_empty());
        let mut client = Handshake::client(Mode::Plain, 1, &mut Vec::new());
        assert_eq!(client.handle_input(&[first], &mut out), Err(expected));
    }
}

#[test]
fn a_c1_without_a_valid_digest_gets_the_plain_answer() {
    let valid = signed(template(CLIENT_VERSION), Block::Second, CLIENT_KEY_TEXT);
    let (_, answer) = answer_to(&valid);
    let our_s1: Packet = answer[..PACKET_BYTES].try_into().unwrap();
    let mut far = template(CLIENT_VERSION);
    far[8..12].fill(0xFF);
    far[772..776].fill(0xFF);
    let mut forged = valid;
    forged[1535] ^= 1;
    let mut real_far = signed(far, Block::First, CLIENT_KEY_TEXT);
    assert!(answer_to(&real_far).0.is_digest());
    real_far[4] ^= 1;
    for c1 in [
        [0; PACKET_BYTES],
        [0xFF; PACKET_BYTES],
        our_s1,
        far,
        forged,
        real_far,
    ] {
        let (server, answer) = answer_to(&c1);
        assert!(!server.is_digest());
        assert_eq!(answer[..8], [0; 8]);
        assert_eq!(answer[PACKET_BYTES..], c1);
        assert_ne!(answer[8..PACKET_BYTES], c1[8..]);
    }
}

#[test]
fn a_client_echoes_an_s1_that_it_cannot_answer_with_a_digest() {
    let real = signed(template(SERVER_VERSION), Block::First, SERVER_KEY_TEXT);
    let mut forged = real;
    forged[1535] ^= 1;
    for (mode, s1) in [
        (Mode::Plain, real),
        (Mode::Digest, forged),
        (Mode::Digest, [0; 1536]),
    ] {
        let (client, _, c2) = client_with(mode, Block::First, &s1);
        assert!(!client.is_digest());
        assert_eq!(c2, s1);
    }
}

#[test]
fn the_digest_lies_inside_its_block_whatever_the_bytes_that_place_it() {
    for block in [Block::First, Block::Second] {
        let start = block as usize;
        for sum in 0..=4 * 255 {
            let mut packet = [0; PACKET_BYTES];
            for i in 0..4 {
                packet[start + i] = (sum * (i + 1) / 4 - sum * i / 4).to_le_bytes()[0];
            }
            let at = block.digest_at(&packet);
            assert_eq!(at, start + 4 + sum % 728);
            assert!(at + DIGEST_BYTES <= start + 764);
        }
    }
}

#[test]
fn both_roles_of_ours_understand_each_other() {
    for (mode, block) in [
        (Mode::Plain, Block::First),
        (Mode::Digest, Block::First),
        (Mode::Digest, Block::Second),
    ] {
        let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
        let mut client = Handshake::client_with_block(mode, block, 7, &mut to_server);
        let mut server = Handshake::server(1);
        assert_eq!(server.handle_input(&to_server, &mut to_client), Ok(1537));
        to_server.clear();
        assert_eq!(client.handle_input(&to_client, &mut to_server), Ok(3073));
        assert_eq!(server.handle_input(&to_server, &mut to_client), Ok(1536));
        assert!(client.is_done() && server.is_done());
        let is_digest = mode == Mode::Digest;
        assert_eq!(
            (client.is_digest(), server.is_digest()),
            (is_digest, is_digest)
        );
        assert_eq!((to_client.len(), to_server.len()), (3073, 1536));
    }
}

/// Splits a whole handshake and the start of the first message at every byte.
#[track_caller]
fn check_splits<H>(
    packet: Packet,
    answer_bytes: usize,
    start: impl Fn() -> H,
    handle: impl Fn(&mut H, &[u8], &mut Vec<u8>) -> Result<usize, ProtocolError>,
    is_done: impl Fn(&H) -> bool,
) {
    let input = [&[VERSION], &packet[..], &[0xC2; PACKET_BYTES], b"\x03\0\0"].concat();
    let run = |cuts: &[usize]| {
        let (mut role, mut out, mut consumed) = (start(), Vec::new(), 0);
        for cut in cuts {
            consumed += handle(&mut role, &input[consumed..*cut], &mut out).unwrap();
            assert_eq!(consumed, *(cut.min(&3073)));
            assert_eq!(out.len(), if consumed < 1537 { 0 } else { answer_bytes });
            assert_eq!(is_done(&role), consumed == 3073);
        }
        out
    };
    let whole = run(&[input.len()]);
    for cut in 0..=input.len() {
        assert!(run(&[cut, input.len()]) == whole, "cut at {cut}");
    }
    assert!(run(&(0..=input.len()).collect::<Vec<_>>()) == whole);
}

#[test]
fn every_split_of_the_stream_gives_the_same_answer_and_leaves_what_follows() {
    let c1 = template(CLIENT_VERSION);
    for c1 in [c1, signed(c1, Block::First, CLIENT_KEY_TEXT)] {
        let start = || Handshake::server(1);
        check_splits(c1, 3073, start, Handshake::handle_input, Handshake::is_done);
    }
    let s1 = signed(template(SERVER_VERSION), Block::First, SERVER_KEY_TEXT);
    for mode in [Mode::Plain, Mode::Digest] {
        let start = || Handshake::client(mode, 7, &mut Vec::new());
        check_splits(s1, 1536, start, Handshake::handle_input, Handshake::is_done);
    }
}

#[test]
fn a_waiting_handshake_is_small() {
    assert!(size_of::<Handshake>() <= 40);
}
