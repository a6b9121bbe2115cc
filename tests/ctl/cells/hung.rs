//! An engine that takes connections and says nothing.

use std::process::Stdio;

use nix::sys::signal::Signal;

use super::state::every_verb;
use super::verbs::HUNG;
use crate::bed::until;
use crate::engine::{Engine, refused};

#[test]
fn every_verb_on_a_hung_engine() {
    let engine = Engine::up();
    engine.signal(Signal::SIGSTOP);
    every_verb(&engine, HUNG, "--timeout 200ms");
}

#[test]
fn one_that_hangs_in_the_middle_is_given_up_and_finishes_nothing_later() {
    let engine = Engine::up();
    // As long as somebody has the catalog of roles, a change of one waits.
    let mut psql = engine.psql();
    psql.args(["-c", "begin; lock table pg_authid in share row exclusive mode; select pg_sleep(600)"]);
    let mut holder = psql.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let locks = "select count(*) from pg_locks where relation = 'pg_authid'::regclass and mode = 'ShareRowExclusiveLock'";
    until("the lock", || engine.sql(locks) == "1");
    let child = engine.command("account create app --privilege 1 --timeout 3s --output json").spawn();
    let waiting = "select count(*) from pg_locks where relation = 'pg_authid'::regclass and not granted";
    until("it to be in the middle", || engine.sql(waiting) == "1");
    engine.signal_all(Signal::SIGSTOP);
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let ran = crate::bed::Ran {
        code: output.status.code().unwrap(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    };
    refused(&ran, 5, "hung");
    engine.signal_all(Signal::SIGCONT);
    until("the session to be gone", || engine.sql(waiting) == "0");
    engine.sql("select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep(600)%' and pid <> pg_backend_pid()");
    holder.wait().unwrap();
    assert_eq!(engine.sql("select count(*) from pg_roles where rolname = 'app'"), "0");
    assert_eq!(engine.json("account create app --privilege 1")["changed"], true);
}
