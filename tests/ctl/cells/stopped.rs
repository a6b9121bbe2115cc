//! Engines that do not run.

use nix::sys::signal::Signal;

use super::state::every_verb;
use super::verbs::{CRASHED, LOCKED, STOPPED};
use crate::bed::until;
use crate::engine::Engine;

#[test]
fn every_verb_on_a_stopped_engine() {
    let engine = Engine::down();
    every_verb(&engine, STOPPED, "");
}

#[test]
fn every_verb_on_a_locked_engine() {
    let engine = Engine::down();
    every_verb(&engine, LOCKED, "");
}

#[test]
fn every_verb_on_an_engine_that_was_killed() {
    let engine = Engine::up();
    engine.signal(Signal::SIGKILL);
    until("its socket to be dead", || engine.try_sql("select 1").is_err());
    every_verb(&engine, CRASHED, "");
}
