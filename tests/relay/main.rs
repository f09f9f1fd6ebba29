//! The relay as a process, and who speaks to it: real clients and servers, a browser, proxies, and
//! the client of `testkit` for what no real one does. One binary, so that tests that wait do so
//! beside each other and what they share is built once.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test that fails panics, and says where"
)]

mod browser;
mod control;
mod cores;
mod deployments;
mod edge;
mod edge_tls;
mod enhanced;
mod failover;
mod fetches;
mod http;
mod joining;
mod kept;
mod listeners;
mod logs;
mod names;
mod nginx;
mod packets;
mod passing;
mod process;
mod proxy;
mod publishes;
mod push;
mod returning;
mod scrape;
mod slow;
mod stalled;
mod starts;
mod startup;
mod strangers;
mod timeouts;
mod timestamps;
mod tls;
mod unix;
mod web_proxies;
