//! What a player of a live stream may receive, and what it has received.
//!
//! ```text
//!   player  (one relay)  ---+
//!   relayed (a chain)    ---+--> truth, what publishers sent;  parts: clock, headers
//!   live    (numbered)   ------> parts: clock, sequence
//! ```
//!
//! Messages come in order, each track's times never step back, headers come before what needs
//! them, no picture comes before the key frame it needs, bodies are unchanged, and nothing is
//! missing or comes twice but where a player may jump. Which jumps those are is the difference
//! between the judges; a player that only counts uses the [parts](mod@parts) by themselves.

pub mod live;
pub mod parts;
pub mod player;
pub mod relayed;
pub mod truth;

/// What is wrong.
pub type Verdict = Result<(), String>;
