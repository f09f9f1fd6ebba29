//! The bench of tailwater: puts load on any RTMP server, measures what no relay can beat, and
//! compares.
//!
//! ```text
//!   main      subcommands
//!     |
//!   load   abuse   floor   compare      what each does with its flags
//!      \     |     |
//!        generator              the event loop of publishers and players, and its plan (plan.rs)
//!         |      \
//!         |       scrape         who asks for the server's figures meanwhile
//!   client  check  media        one connection; what it receives; what is sent
//!         |
//!   socket  http  flv           connecting, and from where; answers by HTTP; streams in them
//!         |
//!   measure  report  flags      the kernel's figures, tables, command lines
//!   url                         where servers are
//!   advice                      what to change when a server refuses
//!   certificate                 for relays with TLS
//!   subcommand                  from a command line to how it ended
//! ```

pub mod abuse;
mod advice;
pub mod certificate;
pub mod check;
pub mod client;
pub mod coded;
pub mod compare;
pub mod flags;
pub mod floor;
mod floor_server;
mod flv;
pub mod generator;
mod http;
pub mod load;
pub mod measure;
pub mod media;
pub mod micro;
pub mod plan;
pub mod report;
pub mod scrape;
mod socket;
pub mod subcommand;
mod url;
pub mod verdict;
