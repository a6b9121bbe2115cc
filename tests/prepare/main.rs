//! `polar-supervisor prepare` over a real PostgreSQL: the driver plays PID 1. Needs root and Debian's PostgreSQL package.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]
#![allow(unreachable_pub, reason = "the modules of one test program")]

mod bed;
mod first_boot;
#[cfg(feature = "failpoints")]
mod interrupted;
mod refusals;
mod start;
