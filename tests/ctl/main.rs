//! `polarctl` as a process, against a supervisor that says what a test has it say, and against data directories.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "test code: a panic is how a test fails, and nothing here is an API"
)]

mod accounts;
mod alone;
mod bed;
mod cells;
mod changes;
mod disk;
mod diskfull;
mod diskfull_polar;
mod documents;
mod engine;
mod engine_user;
mod exit_statuses;
mod image;
mod install;
mod instance;
mod kubernetes;
mod local_instance;
mod locks;
mod manager_log;
mod pages;
mod params;
mod params_faults;
mod reads;
mod replicas;
mod ssl;
mod tablespaces;
mod task;
mod terminal;
mod volumes;
