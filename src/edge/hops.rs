//! The relays a connection has come through: a marker that relays of this kind add to connect,
//! so that a circle of them is found at the second pass and a chain does not grow without end.
//! Others leave it alone.
//!
//! ```text
//!   connect { ..., via: "<first relay>,<next>,...,<who asks>;<another that waits>,..." }
//! ```
//!
//! An id is drawn when a relay starts and says nothing about it. In front of the semicolon is the
//! longest way that somebody's play has come; behind it is every other relay that waits for the
//! stream through the one that asks. Two relays with players of their own, each of which asks the
//! other, would otherwise not see that they wait for each other, or send round and round what one
//! of them has left of a stream that is over.

use std::fmt::Write;

use crate::limits;

/// Why a connection may not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HopError {
    /// It has come through this relay before.
    Loop,
    /// It has come through too many relays.
    TooMany,
}

impl HopError {
    /// What the client is told.
    pub fn words(self) -> &'static str {
        match self {
            Self::Loop => "the relays form a loop",
            Self::TooMany => "too many relays in a row",
        }
    }
}

/// Judges the marker `via` of a client, as the relay `own`.
///
/// # Errors
/// The connection goes in a circle, or the chain is longer than [`limits::HOPS_MAX`].
pub fn check(via: &str, own: u64) -> Result<(), HopError> {
    let own = id(own);
    if via.split([',', ';']).any(|hop| hop == own) {
        return Err(HopError::Loop);
    }
    if hops(via) >= limits::HOPS_MAX {
        return Err(HopError::TooMany);
    }
    Ok(())
}

/// The marker that the relay `own` sends on behalf of a client whose marker is `via`.
pub fn extend(via: &str, own: u64) -> String {
    let mut extended = String::from(way(via));
    if !extended.is_empty() {
        extended.push(',');
    }
    let _: std::fmt::Result = write!(extended, "{}", id(own));
    extended
}

/// The marker that the relay `own` sends on behalf of clients with the markers `vias`. Of those
/// that wait beside the longest way there are as many as go into [`limits::VIA_BYTES_MAX`].
pub fn gather<'a>(vias: impl Iterator<Item = &'a str> + Clone, own: u64) -> String {
    let longest = vias.clone().max_by_key(|via| hops(via)).unwrap_or_default();
    let mut gathered = extend(longest, own);
    let mut mark = ';';
    for other in vias.flat_map(|via| via.split([',', ';'])) {
        // What is no id is not passed on: it would take the place of one.
        let is_id = other.len() == ID_CHARS && other.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_id || gathered.split([',', ';']).any(|known| known == other) {
            continue;
        }
        if gathered.len() + 1 + ID_CHARS > limits::VIA_BYTES_MAX {
            break;
        }
        gathered.push(mark);
        gathered.push_str(other);
        mark = ',';
    }
    gathered
}

/// The way in front of those that wait beside it.
fn way(via: &str) -> &str {
    via.split(';').next().unwrap_or_default()
}

fn hops(via: &str) -> usize {
    way(via).split(',').filter(|hop| !hop.is_empty()).count()
}

/// Characters of an id.
const ID_CHARS: usize = 16;

fn id(relay: u64) -> String {
    format!("{relay:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_is_found_when_it_closes() {
        let first = extend("", 1);
        assert_eq!(check(&first, 2), Ok(()));
        let second = extend(&first, 2);
        assert_eq!(second, "0000000000000001,0000000000000002");
        assert_eq!(check(&second, 3), Ok(()));
        assert_eq!(check(&second, 1), Err(HopError::Loop));
        assert_eq!(check(&second, 2), Err(HopError::Loop));
    }

    #[test]
    fn a_chain_has_an_end() {
        let mut via = String::new();
        for hop in 0..limits::HOPS_MAX as u64 {
            assert_eq!(check(&via, 99), Ok(()), "{hop}");
            via = extend(&via, hop);
        }
        assert_eq!(check(&via, 99), Err(HopError::TooMany));
        assert!(via.len() <= limits::VIA_BYTES_MAX);
    }

    #[test]
    fn whoever_waits_is_named_and_makes_no_way_longer() {
        let own = 99;
        assert_eq!(gather([].into_iter(), own), extend("", own));
        let (one, two) = (extend("", 1), extend("", 2));
        let long = extend(&extend("", 3), 1);
        let vias = [&*one, &*two, &*long, &*two, "", "nonsense;xyz"];
        let gathered = gather(vias.into_iter(), own);
        assert_eq!(gathered, format!("{};{two}", extend(&long, own)));
        for relay in [1, 2, 3, own] {
            assert_eq!(check(&gathered, relay), Err(HopError::Loop), "{relay}");
        }
        assert_eq!(check(&gathered, 4), Ok(()));
        // The next relay passes all of them on.
        let next = gather([&*gathered, &*extend("", 7)].into_iter(), 5);
        for relay in [1, 2, 3, own, 7, 5] {
            assert_eq!(check(&next, relay), Err(HopError::Loop), "{relay}");
        }
    }

    #[test]
    fn a_hundred_that_wait_are_cut_off_between_two() {
        let vias: Vec<String> = (0..100).map(|relay| extend("", relay)).collect();
        let gathered = gather(vias.iter().map(String::as_str), 1_000);
        assert!(gathered.len() <= limits::VIA_BYTES_MAX);
        assert!(gathered.len() > limits::VIA_BYTES_MAX - 2 * ID_CHARS);
        assert_eq!(check(&gathered, 2_000), Ok(()));
        let mut ids = gathered.split([',', ';']);
        assert!(ids.all(|other| other.len() == ID_CHARS));
    }

    #[test]
    fn no_marker_and_nonsense_are_no_hops() {
        assert_eq!(check("", 1), Ok(()));
        assert_eq!(check(",,,,,,,,,,,", 1), Ok(()));
        assert_eq!(check("x,y", 1), Ok(()));
    }
}
