//! Peers that mean harm: what each of them could do, one by one.

use super::*;
use crate::config::Pace;

fn call(stage: &mut Stage, guest: usize, msid: u32, name: &str, argument: Option<&str>) {
    stage.guests[guest].session.send_command(msid, |amf| {
        amf.string(name).number(0.0).null();
        if let Some(argument) = argument {
            amf.string(argument);
        }
    });
}

#[test]
fn shedding_survives_a_publisher_whose_socket_fails_as_another_stream_ends() {
    let mut stage = Stage::new(|config| {
        config.memory_max = Some(4 * MIB);
        config.log_bytes = 2 * MIB;
        config.lag_max = 2 * MIB;
        config.grace = S(10);
        config.pace = Pace::Fixed(MS(350));
    });
    let fillers: Vec<usize> = (0..5).map(|n| stage.publish(&format!("f{n}"))).collect();
    let both = stage.publish("x");
    let newest = stage.publish("y");
    // Of the players this one goes first.
    stage.play("f0");
    stage.guests[both].session.send_command(0, |amf| {
        amf.string("createStream").number(9.0).null();
    });
    call(&mut stage, both, 2, "play", Some("y"));
    stage.settle();
    assert_eq!(stage.core.players, 2);
    stage.core.memory_due = stage.now + S(30);
    for filler in fillers {
        stage.key_frame(filler, 900_000);
    }
    stage.wait(S(1));
    stage.key_frame(newest, 600_000);
    stage.wait(S(1));
    // One round is due, the next is not: what comes then waits to be written.
    stage.key_frame(newest, 1_000);
    stage.key_frame(newest, 1_000);
    // The peer resets the connection behind the poll's back.
    stage.guests[both].wire.borrow_mut().client_end = End::Reset;
    stage.guests[both].gone = true;
    stage.core.memory_due = stage.now;
    stage.turn();
    assert!(stage.gauges().shed > 0);
}
