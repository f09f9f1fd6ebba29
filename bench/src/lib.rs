//! The bench of tailwater: puts load on any RTMP server, measures what no relay can beat, and
//! compares.
//!
//! ```text
//!   main      subcommands
//!     |
//!   load   abuse   floor   compare      what each does with its flags
//!      \     |     |
//!        generator              the event loop of publishers and players, and its plan (plan.rs)
//!         |
//!   client  check  media        one connection; what it receives; what is sent
//!         |
//!   socket                      connecting, and from where
//!         |
//!   measure  report  flags      the kernel's figures, tables, command lines
//!   certificate                 for relays with TLS
//!   subcommand                  from a command line to how it ended
//! ```

pub mod abuse;
pub mod certificate;
pub mod check;
pub mod client;
pub mod coded;
pub mod compare;
pub mod flags;
pub mod floor;
mod floor_server;
pub mod generator;
pub mod load;
pub mod measure;
pub mod media;
pub mod micro;
pub mod plan;
pub mod report;
mod socket;
pub mod subcommand;
pub mod verdict;
