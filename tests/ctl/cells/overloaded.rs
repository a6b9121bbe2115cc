//! An engine that has no connection slot left.

use super::state::every_verb;
use super::verbs::OVERLOADED;
use crate::engine::Engine;

#[test]
fn every_verb_on_an_overloaded_engine() {
    let engine = Engine::up();
    let _crowd = engine.take_all_connections();
    every_verb(&engine, OVERLOADED, "");
}
