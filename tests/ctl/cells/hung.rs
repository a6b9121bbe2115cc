//! An engine that takes connections and says nothing.

use nix::sys::signal::Signal;

use super::state::every_verb;
use super::verbs::HUNG;
use crate::engine::Engine;

#[test]
fn every_verb_on_a_hung_engine() {
    let engine = Engine::up();
    engine.signal(Signal::SIGSTOP);
    every_verb(&engine, HUNG, "--timeout 200ms");
}
