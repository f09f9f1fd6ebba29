//! Fuzz entry of what other servers and relays say of where to go: takes any bytes and panics
//! where something is wrong. The target in fuzz/ and the tests drive it; the relay does not.
//!
//! ```text
//!   rule | FF | stream | FF | marker | FF | URL reference | FF | URL reference ...
//! ```
//!
//! The stream is asked of the first server of the rule, and each reference redirects from where
//! the one before has led to. Asserted: a redirect leads to a host and a port that can be
//! connected to and to nowhere that is not allowed, what is asked for there has no control
//! characters and does not grow with their number, and a marker is what it was read from.

use tailwater::edge::hops::{Via, ViaCounts};
use tailwater::edge::redirect::{AllowedHost, Target};
use tailwater::edge::rule::Rule;
use tailwater::edge::upstream::split_authority;
use tailwater::limits;
use tailwater::rtmp::name::{AppName, StreamName, stream_name};

/// What an input came to, so that a test can see that its seeds get anywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Where the stream is asked for, and where each reference leads to that can be followed.
    pub tc_urls: Vec<String>,
    /// References that cannot be followed.
    pub refused: usize,
    /// Relays that the marker names.
    pub via: Option<Via>,
}

/// See the module text.
///
/// # Panics
/// Something is wrong.
pub fn exercise(data: &[u8]) -> Reached {
    let parts: Vec<_> = data.split(|&byte| byte == 0xFF).collect();
    let text = |at: usize| String::from_utf8_lossy(parts.get(at).unwrap_or(&&b""[..]));
    let mut reached = Reached {
        via: read_marker(&text(2)),
        ..Reached::default()
    };
    AllowedHost::parse(&text(2));
    let name = stream_name(&AppName::default(), parts.get(1).unwrap_or(&&b""[..]));
    let (Some(rule), Ok(name)) = (Rule::parse(&text(0)), name) else {
        return reached;
    };
    let first = first_of(&rule, &name);
    reached.tc_urls.push(first.place.tc_url.clone());
    let stream_max = first.place.stream.len() + 2 * limits::REDIRECT_BYTES_MAX;
    let app_max = first.place.app.len().max(limits::REDIRECT_BYTES_MAX);
    let mut from = first;
    for (at, _) in parts.iter().enumerate().skip(3) {
        let followed = from.resolve(&text(at), at % 2 == 0);
        let Some(target) = followed else {
            reached.refused += 1;
            continue;
        };
        check(&from, &target, &rule);
        assert!(target.place.app.len() <= app_max, "{target:?}");
        assert!(target.place.stream.len() <= stream_max, "{target:?}");
        reached.tc_urls.push(target.place.tc_url.clone());
        from = target;
    }
    reached
}

/// Where the stream is on the first server; the others have a place for it as well.
fn first_of(rule: &Rule, name: &StreamName) -> Target {
    assert_eq!(
        Rule::parse(&rule.to_string()),
        Some(rule.clone()).filter(|_| {
            // User and password are not shown.
            !rule.servers.iter().any(|server| server.has_user)
        })
    );
    let targets = rule.servers.iter().map(|server| {
        let target = Target::of(server, name);
        check_target(&target);
        // Without a reference it stays where it is.
        assert_eq!(target.resolve("", false).as_ref(), Some(&target));
        target
    });
    let all: Vec<_> = targets.collect();
    all.into_iter().next().expect("a rule has a server")
}

/// What can be connected to, and asked for.
fn check_target(target: &Target) {
    let host = split_authority(&target.authority);
    assert_eq!(host, Some((&*target.host, Some(target.port))), "{target:?}");
    assert!(target.port > 0 && !target.host.is_empty());
    let place = &target.place;
    for text in [&place.app, &place.tc_url, &place.stream] {
        assert!(!text.contains(char::is_control), "{text:?}");
    }
    let scheme = if target.tls { "rtmps" } else { "rtmp" };
    let tc_url = format!("{scheme}://{}/{}", target.authority, place.app);
    assert_eq!(place.tc_url, tc_url);
}

/// A redirect from one server to another.
fn check(from: &Target, to: &Target, rule: &Rule) {
    check_target(to);
    let is_downgrade = from.tls && !to.tls;
    let is_of_rule = (rule.servers.iter()).any(|its| its.host.eq_ignore_ascii_case(&to.host));
    let is_allowed = |allowed: &[AllowedHost]| to.is_allowed(from.tls, [rule].into_iter(), allowed);
    assert_eq!(is_allowed(&[]), is_of_rule && !is_downgrade);
    let own = AllowedHost::parse(&to.authority).expect("host and port");
    assert_eq!(own.to_string(), to.authority);
    assert_eq!(is_allowed(&[own]), !is_downgrade);
}

/// Reads a marker of relays; players with it and without it come and go.
fn read_marker(text: &str) -> Option<Via> {
    let via = Via::parse(text)?;
    let shown = via.to_string();
    if shown.len() <= limits::VIA_BYTES_MAX {
        assert_eq!(Via::parse(&shown).as_ref(), Some(&via));
    }
    assert!(!via.may_go_on() || via.check(u64::MAX).is_ok() || text.contains("ffff"));
    let mut counts = ViaCounts::default();
    let entered = [Some(&via), None, Some(&via)].map(|its| (its, counts.enter(0, its)));
    let sent = counts.marker().via(1).to_string();
    assert!(sent.len() <= limits::VIA_BYTES_MAX, "{sent}");
    for (its, _) in entered.into_iter().filter(|(_, is_counted)| *is_counted) {
        counts.leave(&0, its);
    }
    assert!(counts.is_empty(), "{counts:?}");
    Some(via)
}
