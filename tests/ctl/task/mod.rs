//! `polarctl task`: the predecessor's tasks, called by variables of the environment.

mod called_again;
mod engine;
mod environment;
mod hostile;
mod installation;
mod operations;
mod page;
mod secrets;

use crate::bed::{Ctl, Ran};
use crate::engine::Engine;

/// Variables of a task.
type Variables<'a> = &'a [(&'a str, &'a str)];

/// `polarctl task` with these variables.
fn with(ctl: Ctl, variables: Variables<'_>) -> Ctl {
    variables.iter().fold(ctl, |ctl, (name, value)| ctl.env(name, value))
}

/// A task of this type and action at an engine, not yet run.
fn command(engine: &Engine, kind: &str, action: &str, variables: Variables<'_>) -> Ctl {
    with(with(engine.command("task"), &[("srv_opr_type", kind), ("srv_opr_action", action)]), variables)
}

/// The same, run.
fn task(engine: &Engine, kind: &str, action: &str, variables: Variables<'_>) -> Ran {
    command(engine, kind, action, variables).ran()
}

/// What it prints where it is done.
fn done(engine: &Engine, kind: &str, action: &str, variables: Variables<'_>) -> String {
    task(engine, kind, action, variables).success()
}

/// The reason of one that fails with 1.
fn refused(ran: Ran) -> String {
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
    let line = ran.stderr.lines().last().unwrap_or_default().to_owned();
    assert!(line.starts_with("polarctl: task ") && line.contains("; "), "what to do next: {line}");
    line
}
