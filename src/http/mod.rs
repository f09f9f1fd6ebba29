//! HTTP/1.1 and WebSocket as a relay needs them: requests without a body in, answers out, and
//! streams as FLV behind either. RFC 9110, RFC 9112, RFC 6455. Bytes in, bytes out; no socket, no
//! clock, and no policy: what is to be answered is decided by who has the session.
//!
//! ```text
//!   request    a head, checked            response   an answer, written
//!   websocket  frames of RFC 6455         session    one connection: the two, in turn
//!   path       escapes, decoded           origin     what a page of another site may
//!   forwarded  what proxies say of a client
//! ```
//!
//! Not spoken: bodies of requests, chunked coding, ranges, compression, HTTP/2.

pub mod forwarded;
pub mod origin;
pub mod pages;
pub mod path;
pub mod request;
pub mod response;
pub mod session;
pub mod websocket;

/// What a peer can do wrong on an HTTP connection. It ends that connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpError {
    /// The first bytes are of another protocol: a client on the wrong port.
    WrongProtocol {
        /// What it looks like: `rtmp` or `tls`.
        seen: &'static str,
    },
    /// A request that is none, is too long, or has a body. What is wrong with it.
    Request(&'static str),
    /// A WebSocket frame that a client may not send. What is wrong with it.
    Frame(&'static str),
    /// Requests or frames come faster than they are answered.
    Rate,
    /// The peer goes on sending while it is being answered.
    Surplus,
    /// The peer has closed its WebSocket; no fault of it.
    Closed,
}
