//! The files that are modelled.

#[path = "../../src/worker/ended.rs"]
pub mod ended;
#[path = "../../src/worker/ids.rs"]
pub mod ids;
#[path = "../../src/worker/mail.rs"]
pub mod mail;
#[path = "../../src/worker/registry.rs"]
pub mod registry;
#[path = "../../src/worker/shares.rs"]
#[allow(dead_code, reason = "the registry needs a part of it")]
mod shares;

/// Which address a stream counts for is no part of the models.
pub mod address {
    /// An address.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Key;
}

/// What a connection is to mail.
pub mod conn {
    /// A connection.
    #[derive(Debug)]
    pub struct Conn<S>(pub S);
}

/// What the operator asks is no part of the models.
pub mod query {
    /// A question.
    #[derive(Debug)]
    pub struct Ask;
}
