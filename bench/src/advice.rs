//! What to change when a server ends connections, from what it said: a status that it sent, or
//! nothing at all.

/// What a server's words hold, and what that calls for.
const ADVICE: [(&str, &str); 8] = [
    (
        "too many publishes from this address",
        "the relay lets one address publish only so often: start it with --max-per-address 0, or \
         connect from the relay's own machine",
    ),
    (
        "there are too many streams",
        "the relay has as many streams as it may have: raise its --max-streams",
    ),
    (
        "short of memory",
        "the relay is near its --memory-max: raise it, or use fewer connections",
    ),
    (
        "no such app",
        "the relay does not serve this app: change the URL or its --app",
    ),
    (
        "BadName",
        "the name is being published already or may not be published: choose another with --name",
    ),
    (
        "banned",
        "an operator of the relay has banned the name or this address",
    ),
    (
        "the relay stops",
        "the relay is being stopped: start another",
    ),
    (
        "closed by the server",
        "a relay that closes without a word has as many connections, or as many of this address, \
         as it may have: start it with --max-per-address 0 and raise its --max-connections",
    ),
];

/// What to do about a connection that ended with these words.
pub(crate) fn advice(why: &str) -> Option<&'static str> {
    let mut known = ADVICE.iter();
    let (_, advice) = known.find(|(words, _)| why.contains(words))?;
    Some(advice)
}

/// The same words with the advice behind them.
pub(crate) fn with_advice(why: &str) -> String {
    match advice(why) {
        Some(advice) => format!("{why}\n{advice}"),
        None => why.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_come_with_what_to_change() {
        let refused = "a publisher was refused: NetStream.Publish.Denied too many publishes from \
                       this address";
        assert!(advice(refused).unwrap().contains("--max-per-address 0"));
        let closed = "a player was closed by the server while the load was put on";
        assert!(with_advice(closed).contains("\na relay that closes without a word"));
        assert_eq!(with_advice("no route to host"), "no route to host");
    }
}
