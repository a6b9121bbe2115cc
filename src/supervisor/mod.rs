//! PID 1: a pure [`core`] that decides, a `shell` that acts, and [`prepare`], the child that touches the data directory.

pub mod core;
mod spec;

pub use spec::spec;
