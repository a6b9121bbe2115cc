//! Why a program is up or down: every condition, with its evidence.

use super::model::{Id, Lock, Program, State, Time};

/// One condition of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// `removed`, `shutdown`, `lock`, `operator`, `dependencies`, `backoff`, `completed`, `waiting`, `readiness`, `stop`,
    /// `orphans`, `pid_file`, `last_exit`.
    pub name: &'static str,
    /// What it does to the program.
    pub effect: Effect,
    /// The evidence, in words for people.
    pub text: String,
}

/// What a condition does to a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// It keeps it down.
    Blocks,
    /// A person should look at it.
    Warns,
    /// It lets it run.
    Allows,
    /// Not known, and why.
    Unknown,
}

/// Every condition that holds a program up or down, those that keep it down first; none of a program that is not known.
/// `now` is the time of the asking.
#[must_use]
pub fn explain(state: &State, now: Time, id: Id) -> Vec<Condition> {
    let Some(program) = state.program(id) else { return Vec::new() };
    let mut conditions: Vec<Condition> =
        [lock(program), operator(program), shutdown(state, now)].into_iter().flatten().collect();
    // Stable: among those of one effect the order above, which is the order in which a person would mend them.
    conditions.sort_by_key(|condition| condition.effect);
    conditions
}

fn condition(name: &'static str, effect: Effect, text: impl Into<String>) -> Option<Condition> {
    Some(Condition { name, effect, text: text.into() })
}

fn lock(program: &Program) -> Option<Condition> {
    let file = program.spec.lock_file.as_ref()?;
    match program.lock {
        Lock::Present => condition(
            "lock",
            Effect::Blocks,
            format!("{file} exists: it stays down until that file is removed (polarctl unlock)"),
        ),
        Lock::Absent => condition("lock", Effect::Allows, format!("{file} does not exist")),
        Lock::Unknown => condition(
            "lock",
            Effect::Unknown,
            format!("{file} could not be looked at so far: nothing starts before that"),
        ),
    }
}

fn operator(program: &Program) -> Option<Condition> {
    if program.operator_up {
        condition("operator", Effect::Allows, "no operator has stopped it")
    } else {
        condition(
            "operator",
            Effect::Blocks,
            "an operator has stopped it: it stays down until it is started (polarctl start), or until the container is",
        )
    }
}

fn shutdown(state: &State, now: Time) -> Option<Condition> {
    let shutdown = state.shutdown.as_ref()?;
    let seconds = now.saturating_sub(shutdown.since).as_secs_f64();
    condition("shutdown", Effect::Blocks, format!("PID 1 has been ending for {seconds:.1} s"))
}
