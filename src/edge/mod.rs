//! What this relay fetches from other servers and hands on to them: whose streams, from where,
//! in which order, how soon again. Values and arithmetic alone; the connections are the workers'.
//!
//! ```text
//!   --pull [APP=]URL,URL   rule ---- which app, which servers
//!   --push [APP=]URL         |
//!                            +------ upstream: a URL with places for app, stream and query
//!                            +------ order: the servers of one stream, nearest hash first
//!                            +------ backoff: when to try again
//!                            +------ hops: the relays a connection has come through
//!                            +------ redirect: where another server sends its client
//! ```

pub mod backoff;
pub mod hops;
pub mod order;
pub mod redirect;
pub mod rule;
pub mod upstream;
