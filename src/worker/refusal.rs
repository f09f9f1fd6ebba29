//! Why requests are refused: what the log and the client are told, and how often it happened.

use log::Level;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Connect,
    Publish,
    Play,
}

impl Asked {
    /// The metric label and the word in the log; stable.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Publish => "publish",
            Self::Play => "play",
        }
    }

    /// How loud a refusal is: players come and go by thousands.
    pub(super) fn level(self) -> Level {
        match self {
            Self::Connect | Self::Publish => Level::Info,
            Self::Play => Level::Debug,
        }
    }
}

/// Declares the reasons with their codes and words.
macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident, $code:literal, $words:literal;)*) => {
        /// Why a request is refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Refused {
            $($(#[$doc])* $name,)*
        }

        impl Refused {
            const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The metric label and the `reason` in the log; stable.
            pub(super) fn code(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                }
            }

            /// What the client is told.
            pub(super) fn words(self) -> &'static str {
                match self {
                    $(Self::$name => $words,)*
                }
            }
        }
    };
}

reasons! {
    /// `--app` does not have it.
    NoSuchApp, "no_such_app", "no such app";
    /// The name of the app or stream is none, or may not be one.
    Name, "name", "the name cannot be used";
    /// Relays are connected in a circle.
    RelayLoop, "relay_loop", "the stream would go round in a circle";
    /// Too many relays are connected in a row.
    RelayChain, "relay_chain", "too many relays in a row";
    /// The relay is being stopped.
    Stopping, "stopping", "the relay stops";
    /// The address publishes too often.
    PublishRate, "publish_rate", "too many publishes from this address";
    /// An operator has banned the name.
    Banned, "banned", "the name is banned";
    /// An operator has banned the address.
    AddressBanned, "address_banned", "the address is banned";
    /// There are `--max-streams`.
    MaxStreams, "max_streams", "there are too many streams";
    /// The address has its share of `--max-streams`.
    AddressStreams, "address_streams", "there are too many streams of this address";
    /// `--memory-max` is near.
    Memory, "memory", "the relay is short of memory";
    /// The connection does something else already.
    OwnConnection, "own_connection", "publish this stream on a connection of its own";
    /// Somebody publishes the stream, or it comes from an origin.
    InUse, "in_use", "the stream is being published";
    /// Nobody publishes the stream.
    NotFound, "not_found", "no such stream";
    /// The page is of an origin that `--http-cors` does not have.
    Origin, "origin", "not from this origin; see --http-cors";
}

/// How often requests were refused, by what was asked for and why.
#[derive(Clone, Debug)]
pub(super) struct Refusals([[u64; Refused::ALL.len()]; 3]);

impl Refusals {
    const ASKED: [Asked; 3] = [Asked::Connect, Asked::Publish, Asked::Play];

    pub(super) fn new() -> Self {
        Self([[0; Refused::ALL.len()]; 3])
    }

    pub(super) fn count(&mut self, asked: Asked, reason: Refused) {
        self.0[asked as usize][reason as usize] += 1;
    }

    /// Those that occurred: what was asked for, the reason, and how often.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let rows = Self::ASKED.into_iter().zip(&self.0);
        rows.flat_map(|(asked, counts)| {
            let counts = Refused::ALL.iter().zip(counts);
            let occurred = counts.filter(|(_, count)| **count > 0);
            occurred.map(move |(reason, count)| (asked.word(), reason.code(), *count))
        })
    }
}

/// Whether `app`, or the app it is an instance of, is served.
pub(super) fn is_served(served: &[String], app: &str) -> bool {
    let is_app = |name: &String| {
        app.strip_prefix(name.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    served.is_empty() || served.iter().any(is_app)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_has_a_row_for_each_reason() {
        let readme = include_str!("../../README.md");
        let (_, rows) = readme.split_once("\n### Refused requests\n").unwrap();
        let (rows, _) = rows.split_once("\n### ").unwrap();
        let code = |row: &'static str| Some(row.strip_prefix("| `")?.split_once('`')?.0);
        let mut documented: Vec<&str> = rows.lines().filter_map(code).collect();
        let mut codes: Vec<&str> = Refused::ALL.iter().map(|reason| reason.code()).collect();
        documented.sort_unstable();
        codes.sort_unstable();
        assert_eq!(documented, codes);
    }

    #[test]
    fn each_refusal_is_counted_in_its_place() {
        let mut refusals = Refusals::new();
        for asked in Refusals::ASKED {
            for reason in Refused::ALL {
                refusals.count(asked, *reason);
            }
        }
        refusals.count(Asked::Play, Refused::NotFound);
        let all: Vec<_> = refusals.iter().collect();
        assert_eq!(all.len(), 3 * Refused::ALL.len());
        for (asked, reason, count) in &all {
            let twice = (*asked, *reason) == ("play", "not_found");
            assert_eq!(*count, 1 + u64::from(twice), "{asked} {reason}");
        }
        let mut codes: Vec<_> = all
            .iter()
            .map(|(asked, reason, _)| (asked, reason))
            .collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), all.len(), "codes are told apart");
    }

    #[test]
    fn an_app_is_served_with_its_instances_and_nothing_else() {
        let served = ["live".to_owned()];
        assert!(is_served(&[], "anything"));
        assert!(is_served(&served, "live"));
        assert!(is_served(&served, "live/room1"));
        assert!(!is_served(&served, "lively"));
        assert!(!is_served(&served, ""));
    }
}
