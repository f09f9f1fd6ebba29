//! Tests of timeline.rs.

use super::*;
use proptest::prelude::*;

/// A message: when it comes, its track, the timestamp of the publisher, the time of players.
type Row = (u64, Track, u32, u32);
use Track::{Pictures as P, Sound as S};

#[track_caller]
fn check_from(timeline: &mut Timeline, rows: &[Row]) {
    for &(now, track, time, expected) in rows {
        let mapped = timeline.map_coded(track, Timestamp(time), Duration::from_millis(now));
        assert_eq!(mapped.0, expected, "{track:?} stamped {time} at {now}");
    }
}

/// The rows of a first publisher.
#[track_caller]
fn check(rows: &[Row]) {
    check_from(&mut Timeline::default(), rows);
}

/// The rows of a publisher that comes 500 ms after one whose time was 8,000.
#[track_caller]
fn check_return(rows: &[Row]) {
    let mut timeline = Timeline::default();
    timeline.begin(Some(Timestamp(8_000)), 500);
    check_from(&mut timeline, rows);
}

#[test]
fn a_steady_clock_passes_unchanged() {
    // Jitter, reordered pictures, a stall and the burst after it, both wraps.
    for begin in [0, 0xFF_FFFF - 100, u32::MAX - 100] {
        let at = |now, track, time: u32| {
            let time = begin.wrapping_add(time);
            (now, track, time, time)
        };
        check(&[
            at(0, P, 0),
            at(1, S, 10),
            at(40, P, 80),
            at(41, P, 40),
            at(60, S, 33),
            at(9_000, P, 120),
            at(9_001, S, 9_000),
            at(9_002, P, 9_000),
        ]);
    }
}

#[test]
fn regression_days_of_silence_are_no_step() {
    const DAY_MS: u64 = 24 * 3_600 * 1_000;
    for days in [1, 12, 13, 24, 25, 26, 49, 50, 51, 1_000] {
        let mut timeline = Timeline::default();
        for silence in 0..5 {
            let (now, time) = (
                silence * days * DAY_MS,
                u32::try_from(silence).unwrap() * 80,
            );
            check_from(
                &mut timeline,
                &[
                    (now, P, time, time),
                    (now + 1, S, time + 10, time + 10),
                    (now + 40, P, time + 40, time + 40),
                ],
            );
        }
    }
}

#[test]
fn regression_a_clock_that_stands_still_does_after_days() {
    let mut timeline = Timeline::default();
    let now = 25 * 24 * 3_600 * 1_000;
    check_from(&mut timeline, &[(0, P, 5, 5), (10, P, 5, 5)]);
    let mapped = timeline.map_coded(P, Timestamp(5), Duration::from_millis(now));
    assert!(mapped.0 > 5, "{mapped:?}");
}

#[test]
fn a_stream_faster_than_the_clock_passes_unchanged() {
    let mut timeline = Timeline::default();
    for time in (0..600_000).step_by(40) {
        check_from(&mut timeline, &[(7, P, time, time), (7, S, time, time)]);
    }
    // One picture in 20 s beside sound.
    for time in (600_000..700_000).step_by(100) {
        check_from(&mut timeline, &[(8, S, time, time)]);
    }
    check_from(&mut timeline, &[(8, P, 699_000, 699_000)]);
}

#[test]
fn regression_a_reset_clock_goes_on_at_once() {
    check(&[
        (0, P, 601_000, 601_000),
        (0, S, 601_010, 601_010),
        (40, P, 601_040, 601_040),
        // Sound first; pictures stay in sync with it.
        (80, S, 0, 601_090),
        (80, P, 10, 601_100),
        (120, P, 50, 601_140),
        (130, S, 50, 601_140),
    ]);
    // Within one turn time still moves.
    check(&[(5, P, 9_000, 9_000), (5, P, 0, 9_001), (5, P, 40, 9_041)]);
}

#[test]
fn regression_a_clock_that_jumps_ahead_goes_on_at_once() {
    check(&[
        (0, P, 0, 0),
        (0, S, 0, 0),
        (40, S, 3_600_000, 40),
        (41, P, 3_600_001, 41),
        (80, P, 3_600_040, 80),
    ]);
}

#[test]
fn regression_an_old_frame_first_does_not_stop_time() {
    check_return(&[
        (0, P, 1_000_000, 8_500),
        (0, P, 0, 8_501),
        (40, P, 40, 8_541),
        (40, S, 40, 8_541),
    ]);
    // A stray one later, and the clock is the same as before it.
    check(&[
        (0, P, 10_000, 10_000),
        (10, P, 5, 10_010),
        (40, P, 10_040, 10_040),
        (80, P, 10_080, 10_080),
    ]);
}

#[test]
fn a_track_that_begins_before_the_other_takes_it_along() {
    // Nothing lies before the publisher of before, nothing stands still, and both stay in sync.
    check_return(&[
        (0, P, 10_000, 8_500),
        (0, S, 9_000, 8_001),
        (20, S, 9_020, 8_021),
        (40, P, 10_040, 9_041),
    ]);
    check_return(&[(0, S, 10_000, 8_500), (0, P, 9_900, 8_400)]);
}

#[test]
fn regression_tracks_on_clocks_apart_come_together() {
    check(&[
        (0, P, 500, 500),
        (10, S, 900_000, 510),
        (40, P, 540, 540),
        (50, S, 900_040, 550),
    ]);
    // Some seconds are the encoder's own, and so is a track that begins late.
    check(&[(0, S, 4_000, 4_000), (10, P, 0, 0), (40, P, 40, 40)]);
    check(&[
        (0, P, 0, 0),
        (90_000, P, 90_000, 90_000),
        (90_000, S, 90_010, 90_010),
    ]);
}

#[test]
fn regression_a_clock_that_stands_still_is_taken_along() {
    check(&[
        (0, P, 0, 0),
        (40, P, 0, 0),
        (1_040, P, 0, 0),
        (1_080, P, 0, 1_080),
        (1_120, P, 0, 1_080),
        (2_160, P, 0, 2_160),
    ]);
    // A stall within a picture is no such thing.
    check(&[(0, P, 0, 0), (9_000, P, 0, 0), (9_040, P, 40, 40)]);
}

#[test]
fn a_silence_before_a_step_counts_a_minute_at_most() {
    check(&[(0, P, 90_000, 90_000), (3_000, P, 0, 93_000)]);
    check(&[
        (0, P, 90_000, 90_000),
        (90_000_000, P, 0, 90_000 + GAP_MAX_MS),
    ]);
}

#[test]
fn regression_late_sound_of_a_return_is_not_before_the_last() {
    // Pictures are past what players have seen of the publisher before, and sound is not.
    check_return(&[
        (0, P, 5_000, 8_500),
        (1_500, P, 6_500, 10_000),
        (1_510, S, 2_000, 8_001),
        (1_530, S, 2_020, 8_021),
        (1_540, P, 6_540, 12_541),
    ]);
}

#[test]
fn regression_a_track_stays_behind_the_last_beside_the_other() {
    check_return(&[
        (0, P, 5_000, 8_500),
        (10, P, 4_200, 8_000),
        (20, S, 5_000, 8_500),
        (30, S, 6_600, 10_100),
        (40, P, 4_240, 8_000),
        (300, P, 4_900, 8_400),
    ]);
}

// Strays.

#[test]
fn regression_a_stray_leaves_sound_and_pictures_in_sync() {
    for stray in [
        -100_000, -20_000, -5_000, -1_500, 1_500, 3_000, 9_000, 20_000, 100_000,
    ] {
        for (own, other) in [(P, S), (S, P)] {
            let at = |now: u32, track| (now.into(), track, 200_000 + now, 200_000 + now);
            let mut rows = Vec::new();
            // Again and again it adds nothing up.
            for begin in [0, 200, 400] {
                rows.extend([40, 80, 120].map(|now| at(begin + now, own)));
                rows.extend([at(begin + 120, other)]);
                let (now, seen) = (begin + 121, 200_000 + begin + 121);
                rows.push((now.into(), own, seen.wrapping_add_signed(stray), seen));
                rows.extend([at(begin + 160, own), at(begin + 160, other)]);
            }
            check(&rows);
        }
    }
}

#[test]
fn regression_two_strays_leave_sound_and_pictures_in_sync() {
    check(&[
        (0, P, 90_000, 90_000),
        (0, S, 90_000, 90_000),
        (40, P, 90_040, 90_040),
        (50, P, 87_000, 90_050),
        (60, P, 87_040, 90_090),
        (80, P, 90_080, 90_091),
        (120, P, 90_120, 90_120),
        (120, S, 90_120, 90_120),
    ]);
}

#[test]
fn a_stray_in_slices_is_one_message() {
    check(&[
        (0, P, 90_000, 90_000),
        (40, P, 90_040, 90_040),
        (50, P, 87_000, 90_050),
        (50, P, 87_000, 90_050),
        (80, P, 90_080, 90_080),
    ]);
}

#[test]
fn a_stray_first_takes_the_other_track_along() {
    check(&[
        (0, P, 5_000, 5_000),
        (5, S, 5, 5),
        (40, P, 40, 5_001),
        (45, S, 45, 5_006),
    ]);
    check_return(&[
        (0, P, 3_600_000, 8_500),
        (0, P, 10, 8_501),
        (5, S, 15, 8_506),
        (40, P, 50, 8_541),
    ]);
}

#[test]
fn a_jump_of_seconds_is_corrected_unless_messages_are_as_far_apart() {
    check(&[
        (0, P, 0, 0),
        (0, S, 0, 0),
        (40, P, 40, 40),
        (40, S, 40, 40),
        (80, P, 5_080, 80),
        (80, S, 5_080, 80),
        (120, P, 5_120, 120),
    ]);
    let slides = [0, 5_000, 10_000, 15_000].map(|time| (0, P, time, time));
    check(&slides);
    // An origin sends the past at once, with the gaps there are.
    let mut timeline = Timeline::default();
    timeline.follow_origin();
    let past = [0, 40, 80, 8_000, 8_040].map(|time| (0, P, time, time));
    check_from(&mut timeline, &past);
}

// Headers and data.

impl Timeline {
    fn data(&mut self, now: u64, time: u32) -> u32 {
        let now = Duration::from_millis(now);
        self.map_data(Timestamp(time), true, now).0
    }
}

#[test]
fn regression_data_do_not_go_to_and_fro_between_tracks_apart() {
    let mut timeline = Timeline::default();
    for time in (10_000..12_000).step_by(40) {
        let now = u64::from(time - 10_000);
        check_from(&mut timeline, &[(now, P, time, time)]);
        assert_eq!(timeline.data(now, time), time);
        check_from(&mut timeline, &[(now, S, time + 5_000, time + 5_000)]);
        assert_eq!(timeline.data(now, time + 1), time + 1);
    }
}

#[test]
fn regression_data_ahead_go_where_media_are() {
    let mut timeline = Timeline::default();
    for time in (10_000..12_000).step_by(40) {
        let now = u64::from(time - 10_000);
        check_from(&mut timeline, &[(now, P, time, time)]);
        for ahead in [30_000, 900_000, 0_u32.wrapping_sub(9_000)] {
            assert_eq!(timeline.data(now, time.wrapping_add(ahead)), time);
        }
    }
}

#[test]
fn data_go_on_by_the_clock_when_media_stop() {
    let mut timeline = Timeline::default();
    check_from(&mut timeline, &[(0, P, 0, 0), (40, P, 40, 40)]);
    for now in (1_000..200_000).step_by(500) {
        let time = u32::try_from(now).unwrap();
        assert_eq!(timeline.data(now, time), time);
    }
    // Those of another clock, too.
    assert_eq!(timeline.data(300_000, 50_000_000), 299_000);
    // And none steps back.
    assert_eq!(timeline.data(300_000, 50), 299_000);
}

#[test]
fn regression_headers_ahead_of_a_step_do_not_go_forward_and_back() {
    for jump in [5_000, 30_000, 90_000] {
        let mut timeline = Timeline::default();
        check_from(
            &mut timeline,
            &[(0, P, 0, 0), (0, S, 0, 0), (40, S, 30, 30), (40, P, 40, 40)],
        );
        let now = Duration::from_millis(50);
        for track in [P, S] {
            let mapped = timeline.map_header(track, Timestamp(jump), now);
            assert_eq!(mapped.0, 40);
        }
        assert_eq!(timeline.map_data(Timestamp(jump), false, now).0, 40);
        check_from(&mut timeline, &[(60, P, jump, 60), (60, S, jump, 60)]);
        check_from(&mut timeline, &[(100, P, jump + 40, 100)]);
    }
}

#[test]
fn regression_data_alone_have_a_clock() {
    let mut timeline = Timeline::default();
    let rows = [
        (0, 100_000, 100_000),
        (100, 100_100, 100_100),
        (200, 0, 100_200),
    ];
    for (now, time, expected) in rows {
        assert_eq!(timeline.data(now, time), expected);
    }
    assert_eq!(timeline.data(300, 100), 100_300);
    // The publisher returns.
    timeline.begin(Some(Timestamp(100_300)), 500);
    for (now, time) in [(0, 0), (100, 100), (200, 200)] {
        assert_eq!(timeline.data(now, time), 100_800 + time);
    }
    // Media that begin are not before them, and take them over.
    check_from(
        &mut timeline,
        &[(250, P, 0, 101_001), (290, P, 40, 101_041)],
    );
    assert_eq!(timeline.data(300, 300_000), 101_041);
}

// Whatever the clocks do.

/// What comes: on which track, how much later, and how its time is beside the clock.
type Come = (bool, u32, i32);

fn come() -> impl Strategy<Value = Come> {
    let beside = prop_oneof![
        20 => Just(0),
        2 => -12_000..12_000,
        1 => any::<i32>(),
    ];
    (any::<bool>(), 1_u32..60, beside)
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn strays_leave_sound_and_pictures_as_far_apart_as_they_are(
        comes in prop::collection::vec(come(), 1..300),
        begin in any::<u32>(),
        apart in prop_oneof![Just(0), -9_000..9_000_i32],
    ) {
        let mut timeline = Timeline::default();
        // The last message of each track, whether it was a stray, and how many have come.
        let mut last = [(None, false, 0); 2];
        let mut moved = [0; 2];
        let mut now = 0_u32;
        let end = [(false, 40, 0), (true, 40, 0)].repeat(16);
        for (is_sound, later, beside) in comes.into_iter().chain(end) {
            now += later;
            let track = if is_sound { S } else { P };
            let (before, was_stray, count) = &mut last[track as usize];
            // What is little passes.
            let may_stray = beside.unsigned_abs() > 3_000 && *count > 2;
            let is_stray = may_stray && !*was_stray;
            let apart = if is_sound { apart } else { 0 };
            let steady = begin.wrapping_add(now).wrapping_add_signed(apart);
            let time = steady.wrapping_add_signed(if is_stray { beside } else { 0 });
            let at = Duration::from_millis(now.into());
            let mapped = timeline.map_coded(track, Timestamp(time), at);
            let back = before.map_or(0, |before: Timestamp| before.since(mapped));
            prop_assert!(back <= 0, "back by {}", back);
            if !is_stray {
                moved[track as usize] = mapped.0.wrapping_sub(steady);
            }
            (*before, *was_stray, *count) = (Some(mapped), is_stray, *count + 1);
        }
        prop_assert_eq!(moved[0], moved[1]);
    }

    #[test]
    fn time_goes_on_whatever_clocks_do(
        comes in prop::collection::vec((come(), prop::bool::weighted(0.1)), 1..300),
        returns in prop::collection::vec(0_usize..300, 0..3),
    ) {
        let mut timeline = Timeline::default();
        let (mut now, mut clocks) = (0_u64, [0_u32; 2]);
        // The last time of each track, the highest, and when that came.
        let mut last: [Option<(Timestamp, Timestamp, u64)>; 2] = [None; 2];
        for (index, ((is_sound, passes, beside), is_step)) in comes.into_iter().enumerate() {
            now += u64::from(passes);
            if returns.contains(&index) {
                let newest = last.iter().flatten().map(|last| last.1).reduce(later);
                timeline.begin(newest, 20);
            }
            let own = if is_sound { S } else { P };
            if is_step {
                clocks[own as usize] = clocks[own as usize].wrapping_add_signed(beside);
            }
            let time = clocks[own as usize].wrapping_add(u32::try_from(now).unwrap());
            let time = time.wrapping_add_signed(if is_step { 0 } else { beside });
            let mapped = timeline.map_coded(own, Timestamp(time), Duration::from_millis(now));
            let (before, highest, since) = last[own as usize].unwrap_or((mapped, mapped, now));
            prop_assert!(mapped.since(before) >= -STEP_MAX_MS, "{:?} to {:?}", before, mapped);
            let has_moved = mapped.since(highest) > 0;
            let since = if has_moved { now } else { since };
            prop_assert!(now - since <= 2_000, "still at {:?} for {}", highest, now - since);
            last[own as usize] = Some((mapped, later(mapped, highest), since));
        }
    }
}
