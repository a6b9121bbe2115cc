//! The images, built by Docker and run in real containers: one theme a module.
//!
//! `make test-containers` builds the static programs that go into the images, then runs this. Where no daemon answers
//! nothing is tested, which is said; with REQUIRE_DOCKER=1 that is a failure.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "test code: a panic is how a test fails, and nothing here is an API"
)]

mod bed;
mod boot;
mod commands;
mod compose;
mod images;
mod logs;
mod manager;
mod memory;
mod owners;
mod policies;
mod stop;
mod volumes;
