//! The relays a connection has come through: a marker that relays of this kind add to connect,
//! so that a circle of them is found at the second pass and a chain does not grow without end.
//! Others leave it alone.
//!
//! The marker is a list of ids with commas between them, the first relay's first. An id is drawn
//! when a relay starts and says nothing about it.

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
    if via.split(',').any(|hop| hop == own) {
        return Err(HopError::Loop);
    }
    if via.split(',').filter(|hop| !hop.is_empty()).count() >= limits::HOPS_MAX {
        return Err(HopError::TooMany);
    }
    Ok(())
}

/// The marker that the relay `own` sends on behalf of a client whose marker is `via`.
pub fn extend(via: &str, own: u64) -> String {
    let mut extended = String::from(via);
    if !extended.is_empty() {
        extended.push(',');
    }
    let _: std::fmt::Result = write!(extended, "{}", id(own));
    extended
}

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
    fn no_marker_and_nonsense_are_no_hops() {
        assert_eq!(check("", 1), Ok(()));
        assert_eq!(check(",,,,,,,,,,,", 1), Ok(()));
        assert_eq!(check("x,y", 1), Ok(()));
    }
}
