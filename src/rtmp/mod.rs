//! The RTMP protocol core: sans-I/O, both roles.
pub mod amf0;
pub mod client;
pub mod command;
pub mod control;
pub mod error;
pub mod handshake;
mod link;
pub mod media;
pub mod message;
pub mod name;
pub mod reader;
pub mod server;
pub mod writer;

pub use link::Outbox;
