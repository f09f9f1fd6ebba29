//! Other servers by RTMPS: fetched from and handed on to, and left alone when their certificate is
//! not right.

use std::process::Command;

use support::certificates::Authority;
use support::origin::{self, Origin, Script};
use support::relay::{Relay, binary};
use support::wire::{Film, Wire, media_of};
use support::{SOON, scratch, wait_for};
use tailwater::rtmp::message::kind;

/// A relay with TLS whose certificate is for `host` and 127.0.0.1, good for so many days.
fn server(authority: &Authority, host: &str, days: u32) -> Relay {
    Relay::start_with_tls(&[authority.sign(host, host, days)], &[])
}

#[test]
fn streams_are_fetched_and_handed_on_by_rtmps() {
    let authority = Authority::new(&scratch("certificates"));
    let ca = authority.path().display().to_string();
    let middle = server(&authority, "a.example", 2);
    let url = format!("rtmps://{}", middle.tls_address());
    let first = Relay::start(&["--push", &url, "--tls-ca", &ca]);
    let last = Relay::start(&["--pull", &url, "--tls-ca", &ca, "--workers", "2"]);
    let mut film = Film::new("film", 0);
    let mut publisher = Wire::publish(first.address(), "cam");
    publisher.send_all(&film.headers_again(0));
    publisher.send_all(&film.group(4));
    first.wait_stat("pushes", 1);
    let mut here = Wire::play(first.address(), "cam");
    let wanted = media_of(&here.until_number(kind::AUDIO, 4));
    let mut there = last.on_each_worker(2, || Wire::play(last.address(), "cam"));
    for player in &mut there {
        assert_eq!(media_of(&player.until_number(kind::AUDIO, 4)), wanted);
    }
    publisher.send_all(&film.group(20));
    for player in &mut there {
        player.until_number(kind::AUDIO, 25);
    }
}

#[test]
fn a_server_whose_certificate_is_not_right_is_not_used() {
    let (ours, theirs) = (
        Authority::new(&scratch("ours")),
        Authority::new(&scratch("theirs")),
    );
    let ca = ours.path().display().to_string();
    let good = server(&ours, "a.example", 2);
    let expired = server(&ours, "b.example", 0);
    let strange = server(&theirs, "a.example", 2);
    // The certificate is for the address and for another name.
    let misnamed = format!("rtmps://localhost:{}", good.tls_address().port());
    for (url, target) in [
        (misnamed, &good),
        (format!("rtmps://{}", expired.tls_address()), &expired),
        (format!("rtmps://{}", strange.tls_address()), &strange),
    ] {
        let mut publisher = Wire::publish(target.address(), "cam");
        let mut film = Film::new("film", 0);
        publisher.send_all(&film.headers_again(0));
        publisher.send_all(&film.group(1));
        let flags = ["--tls-ca", &ca, "--pull-give-up", "2", "--play-wait", "1"];
        let edge = Relay::start(&[&["--pull", &url][..], &flags].concat());
        let mut player = Wire::play(edge.address(), "cam");
        player.until_status("NetStream.Play.StreamNotFound");
        edge.wait_log(&["pull failed", "certificate"]);
        let pushing = Relay::start(&["--push", &url, "--tls-ca", &ca]);
        let _publisher = Wire::publish(pushing.address(), "other");
        pushing.wait_log(&["push failed", "certificate"]);
        wait_for("no publish there", SOON, || {
            (!target.log().contains("publish stream=\"live/other\"")).then_some(())
        });
    }
}

#[test]
fn regression_redirects_lead_from_rtmp_to_rtmps() {
    let authority = Authority::new(&scratch("redirected"));
    let ca = authority.path().display().to_string();
    let good = server(&authority, "a.example", 2);
    let mut film = Film::new("film", 0);
    let mut publisher = Wire::publish(good.address(), "cam");
    publisher.send_all(&film.headers_again(0));
    publisher.send_all(&film.group(4));
    let to = format!("rtmps://{}/live", good.tls_address());
    let plain = Origin::scripted(Script {
        connect: origin::redirect(&to, true),
        ..Script::default()
    });
    let rule = format!("rtmp://{}", plain.address());
    let edge = Relay::start(&["--pull", &rule, "--tls-ca", &ca, "--pull-give-up", "9"]);
    let mut player = Wire::play(edge.address(), "cam");
    player.until_number(kind::AUDIO, 4);
}

#[test]
fn regression_certificates_to_trust_are_always_read() {
    let ended = Command::new(binary())
        .args(["--listen", "127.0.0.1:0", "--tls-ca", "/no/such.pem"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("/no/such.pem"), "{said}");
}
