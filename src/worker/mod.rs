//! Workers: one thread, one event loop, one set of connections and streams each.

pub mod conn;
pub mod core;
mod egress;
pub mod event_loop;
mod feed;
mod ingress;
pub mod mail;
pub mod pace;
pub mod registry;
mod request;
mod streams;
mod table;
mod timers;
