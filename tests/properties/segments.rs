//! Any segmentation of the byte stream gives the same events; `tailwater_rtmp_exercise` reads
//! each input whole, in pieces and with the input given up after each event, and compares.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use tailwater_rtmp_exercise::{self as exercise, PLAY, SCRIPTED, SHAKEN};

use super::cases;
use super::scripts::script;

/// A chunk that may or may not fit those before it.
fn chunk() -> impl Strategy<Value = Vec<u8>> {
    let time = prop_oneof![
        0_u32..50,
        Just(0xFF_FFFF),
        any::<u32>().prop_map(|time| time >> 8)
    ];
    let body = vec(prop_oneof![Just(0xC4_u8), any::<u8>()], 0..40);
    (
        0_u8..4,
        3_u8..6,
        time,
        0_u8..40,
        select(vec![8_u8, 9, 18]),
        body,
    )
        .prop_map(|(format, csid, time, len, kind, body)| {
            let [_, time @ ..] = time.to_be_bytes();
            let fields = [&time[..], &[0, 0, len, kind], &[1, 0, 0, 0]].concat();
            let fields = &fields[..[11, 7, 3, 0][usize::from(format)]];
            [&[format << 6 | csid], fields, &body].concat()
        })
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn chunks_that_do_not_fit_end_alike_however_cut(
        size in 1_u8..40,
        cuts in vec(any::<u8>(), 0..6),
        chunks in vec(chunk(), 1..12),
    ) {
        let count = u8::try_from(cuts.len()).unwrap();
        let set_size = [2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, size];
        let sent = [&set_size[..], &chunks.concat()].concat();
        exercise::chunks(&[&[PLAY, 0, count][..], &cuts, &sent].concat());
    }

    #[test]
    fn a_client_may_cut_its_bytes_anywhere(script in script(24)) {
        exercise::server(&script);
    }

    #[test]
    fn a_server_may_cut_its_bytes_anywhere(script in script(24)) {
        exercise::client(&script);
    }

    #[test]
    fn the_chunk_reader_reads_any_cut_alike(script in script(16)) {
        exercise::chunks(&script);
    }

    #[test]
    fn bytes_that_mean_nothing_end_alike_however_cut(
        flags in any::<u8>(),
        cuts in vec(any::<u8>(), 0..6),
        sent in vec(prop_oneof![0_u8..8, any::<u8>()], 0..300),
    ) {
        let count = u8::try_from(cuts.len()).unwrap();
        let data = [&[(flags | SHAKEN) & !SCRIPTED, 0, count][..], &cuts, &sent].concat();
        exercise::server(&data);
        exercise::client(&data);
        exercise::chunks(&data);
    }
}
