//! Workers: one thread, one event loop, one set of connections and streams each. They share mail,
//! the registry and tables of what clients may do, all with locks that the data path never takes.
//!
//! ```text
//!   event_loop   what a worker does around its turns: letters, readiness, calls
//!       listeners, pending_proxies: who comes, and proxies that have not said for whom
//!       reactor    what the loop polls and dials; mio_reactor: the kernel, and the clock
//!     core       connections, streams, deadlines
//!       turn       the order of everything below
//!       ingress    sockets -> logs          the two files of the data path
//!       egress     logs -> sockets
//!       request    what clients ask for     from here on they call one another: a play may begin
//!       http       the same by HTTP         a pull, and the end of a pull sends players away
//!       streams    publishers and players come and go
//!       feed, audit  streams from and to other workers
//!       deadlines  who is silent or slow for too long
//!       contain    what a panic costs
//!       memory     how much is held: shedding closes the largest, stalled bounds who does not read
//!       line       servers that are called: pull, changeover, probe, push
//!       places     who may come in, by HTTP as well, and who gives way
//!     query        what the operator asks; rows: what is copied for it; kick: whom it ends
//!     ids, collections: the types of what there is many of, and tables by them
//!     mail, registry, admission, shares, bans, handshakes, ended, refusal, notes, pace, timers,
//!     table, conn, close_reason, session, form, fault, counters
//!     lingering, fetches, missing, queries: what players may have origins asked for
//! ```
//!
//! A turn: letters, ingress, feed, egress, deadlines, post. Reading only appends; every player
//! gets one write a turn.

pub mod admission;
mod audit;
pub mod bans;
mod changeover;
pub mod close_reason;
pub mod collections;
pub mod conn;
mod contain;
pub mod core;
mod counters;
mod deadlines;
mod drain;
mod egress;
mod ended;
pub mod event_loop;
mod fault;
mod feed;
pub mod fetches;
mod form;
mod handshakes;
mod http;
pub mod ids;
mod ingress;
mod kick;
pub mod line;
mod lingering;
pub mod mail;
mod memory;
pub mod missing;
mod notes;
pub mod pace;
mod places;
mod probe;
mod pull;
mod push;
pub mod queries;
pub mod query;
mod refusal;
pub mod registry;
mod request;
mod rows;
mod session;
mod shares;
mod shedding;
#[cfg(test)]
mod sim;
mod stalled;
mod streams;
mod table;
mod timers;
pub mod turn;
mod via;
mod waiting;
