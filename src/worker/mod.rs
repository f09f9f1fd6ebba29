//! Workers: one thread, one event loop, one set of connections and streams each. They share mail,
//! the registry and tables of what clients may do, all with locks that the data path never takes.
//!
//! ```text
//!   event_loop   what a worker does around its turns: mail, readiness, calls
//!       listeners, pending_proxies; reactor: what is polled; mio_reactor: the kernel, the clock
//!   turn         the order of: ingress, egress (the data path: sockets -> logs -> sockets),
//!                received (mail), deadlines, drain, figures (audit, memory, shedding, stalled)
//!   clients      request: http, publish, play, places, refuse; query, rows, kick: the operator
//!   streams      streams, players, feed, stream_cut, stream_end
//!   servers      that are called: fetch, pulling, pushing, dialled, answers, push_answers,
//!                changeover, probe, probed, calling, lost, hang_up, charge, letting_go
//!   connections  close; contain: what a panic costs
//!   core         all parts of a worker, put together
//!   parts        conn (connections, session), table (streams, players, links), timers, outbox,
//!                calls, handshakes, lingering, pace, pressure, draining, notes, refusal, settings
//!   shared       what all workers share: registry, mail, admission, shares, bans, fetches,
//!                missing, queries, ended
//!   ids, collections: the types of what there is many of, and tables by them
//! ```
//!
//! A part owns its state: its fields are private, and it knows neither the worker nor the other
//! parts. `core` puts the parts together; the files above it say what happens, and call each other
//! downwards only (`tests/tidy.rs`).
//!
//! A turn: mail, ingress, feed, egress, deadlines, post. Reading only appends; every player
//! gets one write a turn.

pub mod address;
pub mod admission;
mod answers;
mod audit;
pub mod bans;
mod calling;
mod calls;
mod changeover;
mod charge;
mod close;
pub mod close_reason;
pub mod collections;
pub mod conn;
mod contain;
pub mod core;
mod counters;
mod deadlines;
mod dialled;
mod drain;
mod draining;
mod egress;
mod ended;
pub mod event_loop;
mod every;
mod fault;
mod feed;
mod fetch;
pub mod fetches;
mod figures;
mod flow;
mod form;
mod handshakes;
mod hang_up;
mod held;
mod held_bytes;
mod http;
pub mod ids;
mod ingress;
mod kick;
mod letting_go;
pub mod line;
mod lingering;
mod lost;
pub mod mail;
mod memory;
pub mod missing;
mod notes;
mod outbox;
pub mod pace;
mod places;
mod play;
mod players;
mod pressure;
mod probe;
mod probed;
mod publish;
mod pull;
mod pulling;
mod push;
mod push_answers;
mod pushing;
pub mod queries;
pub mod query;
mod received;
mod refusal;
mod refuse;
pub mod registry;
mod request;
mod rows;
mod session;
mod settings;
pub mod shared;
mod shares;
mod shedding;
#[cfg(test)]
mod sim;
mod stalled;
mod stream_cut;
mod stream_end;
mod streams;
mod table;
mod timers;
pub mod turn;
mod via;
mod waiting;
