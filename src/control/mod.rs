//! What may block, on threads of its own: nothing here runs on an event loop.

pub mod resolver;
