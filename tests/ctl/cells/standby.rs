//! An engine that is read-only.

use super::state::every_verb;
use super::verbs::STANDBY;
use crate::engine::Engine;

#[test]
fn every_verb_on_a_standby() {
    let primary = Engine::up();
    primary.sql("create role app login; create role replicator superuser login replication");
    let standby = Engine::standby_of(&primary);
    every_verb(&standby, STANDBY, "");
}
