//! The sessions joined in memory.
