//! An engine that recovers and takes no connections.

use super::state::every_verb;
use super::verbs::STARTING;
use crate::engine::Engine;

#[test]
fn every_verb_on_a_starting_engine() {
    let engine = Engine::recovering();
    every_verb(&engine, STARTING, "");
}
