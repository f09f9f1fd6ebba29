//! The files that are modelled.

#[path = "../../src/worker/ended.rs"]
pub mod ended;
#[path = "../../src/worker/mail.rs"]
pub mod mail;
#[path = "../../src/worker/registry.rs"]
pub mod registry;

/// What a connection is to mail.
pub mod conn {
    /// A connection.
    #[derive(Debug)]
    pub struct Conn<S>(pub S);
}
