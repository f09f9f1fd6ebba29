//! Fuzz entries of the relay: streams, HTTP connections, what other servers say, and headers of
//! proxies. Each takes any bytes and panics where something is wrong. The targets in fuzz/ and the
//! tests drive them; those of the protocol are in rtmp/exercise.

pub mod edge;
pub mod http;
pub mod proxy;
pub mod stream;
