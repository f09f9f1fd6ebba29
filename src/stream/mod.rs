//! What is live: the log of each stream, its headers and memory, and where players stand in it.
//! No socket and no clock in here.

pub mod block;
pub mod content;
pub mod cursor;
pub mod flv;
pub mod headers;
pub mod intake;
pub mod log;
pub mod metadata;
mod pictures;
pub mod sync;
mod timeline;
