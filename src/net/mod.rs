//! The kernel's face: sockets with their options, receive rings, processors and file limits.
//! No protocol in here, and no other module sets a socket option.

pub mod listener;
pub mod process;
pub mod ring;
pub mod transport;
