//! The kernel's face: sockets with their options, TLS, receive rings, processors and file limits.
//! No RTMP in here, and no other module sets a socket option.

pub mod dial;
pub mod listener;
pub mod process;
pub mod proxy;
pub mod ring;
pub mod socket;
mod sys;
pub mod tls;
pub mod transport;
