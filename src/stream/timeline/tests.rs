//! Tests of timeline.rs.

use super::*;

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
