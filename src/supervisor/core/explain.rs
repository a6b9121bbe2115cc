//! Why a program is up or down: every condition, with its evidence.

use std::time::Duration;

use super::backoff::backoff;
use super::classify::Class;
use super::ladder::{Rung, rung_at};
use super::model::{Id, Lock, Phase, PidFile, Program, State, Time, What};
use super::needs::Need;
use super::report::{reason, state_name};
use super::settle::{ready_by, stop_ladder};

/// One condition of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// `shutdown`, `removed`, `lock`, `operator`, `completed`, `gave_up`, `dependencies`, `backoff`, `waiting`, `pid_file`,
    /// `prepare`, `readiness`, `stop`, `orphans`, `last_exit`.
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
    let conditions = [
        shutdown(state, now),
        removed(program),
        lock(program),
        operator(program),
        completed(program),
        gave_up(program),
        dependencies(state, now, id),
        backing_off(program, now),
        waiting(program),
        pid_file(program, now),
        phase(state, now, id, program),
        last_exit(program, now),
    ];
    let mut conditions: Vec<Condition> = conditions.into_iter().flatten().collect();
    // Stable: among those of one effect the order above, which is the order in which a person would look at them.
    conditions.sort_by_key(|condition| condition.effect);
    conditions
}

fn condition(name: &'static str, effect: Effect, text: impl Into<String>) -> Option<Condition> {
    Some(Condition { name, effect, text: text.into() })
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn shutdown(state: &State, now: Time) -> Option<Condition> {
    let shutdown = state.shutdown.as_ref()?;
    let since = seconds(now.saturating_sub(shutdown.since));
    let text = match shutdown.gave_up.as_ref().and_then(|gave_up| state.program(gave_up.id)) {
        Some(cause) => format!("PID 1 has been ending for {since}, because {} gave up", cause.spec.name),
        None => format!("PID 1 has been asked to end {since} ago"),
    };
    condition("shutdown", Effect::Blocks, text)
}

fn removed(program: &Program) -> Option<Condition> {
    let text = "it has left the configuration: it is stopped and not started again";
    program.removed.then(|| condition("removed", Effect::Blocks, text)).flatten()
}

fn lock(program: &Program) -> Option<Condition> {
    let file = program.spec.lock_file.as_ref()?;
    match program.lock {
        Lock::Present => {
            let text = format!("{file} exists: it stays down until that file is removed (polarctl unlock)");
            condition("lock", Effect::Blocks, text)
        }
        Lock::Absent => condition("lock", Effect::Allows, format!("{file} does not exist")),
        Lock::Unknown => {
            let text = format!("{file} could not be looked at so far: nothing starts before that");
            condition("lock", Effect::Unknown, text)
        }
    }
}

fn operator(program: &Program) -> Option<Condition> {
    if program.bounce {
        let text = "a restart has been asked for: it is stopped as soon as what needs it is down";
        return condition("operator", Effect::Warns, text);
    }
    if program.operator_up {
        return condition("operator", Effect::Allows, "no operator has stopped it");
    }
    let text =
        "an operator has stopped it: it stays down until it is started (polarctl start) or the container is";
    condition("operator", Effect::Blocks, text)
}

fn completed(program: &Program) -> Option<Condition> {
    let text = "it has completed: it runs again when an operator starts it (polarctl start)";
    program.completed.then(|| condition("completed", Effect::Blocks, text)).flatten()
}

fn gave_up(program: &Program) -> Option<Condition> {
    if !program.done {
        return None;
    }
    let why = match (program.failures, program.last_exit) {
        (0, None) => String::new(),
        (0, Some(last)) => format!(" after it {}", last.class),
        (failures, _) => format!(" after {failures} failures in a row"),
    };
    let text = format!("it gave up{why}: it stays down until an operator starts it (polarctl start)");
    condition("gave_up", Effect::Blocks, text)
}

/// Whom it waits for, and why that one is not up.
fn dependencies(state: &State, now: Time, id: Id) -> Option<Condition> {
    let said: Vec<String> = state
        .links
        .unmet(id)
        .filter_map(|(other, need)| {
            let other_program = state.program(other)?;
            let word = match need {
                Need::After => "waits for",
                Need::Up => "requires",
                Need::Gone => return Some("waits until its predecessor of the same name has ended".into()),
            };
            Some(format!("{word} {}, which is {}", other_program.spec.name, why_not_up(state, now, other)))
        })
        .collect();
    if said.is_empty() {
        let some = state.links.needs(id).next().is_some();
        return some.then(|| condition("dependencies", Effect::Allows, "all that it needs is up")).flatten();
    }
    // What runs goes on without them, unless it is bound.
    let bound = state.program(id).is_some_and(|program| program.spec.bound);
    let runs = state.program(id).is_some_and(|program| program.run().is_some());
    let effect = if runs && !bound { Effect::Warns } else { Effect::Blocks };
    condition("dependencies", effect, said.join("; "))
}

/// `down: it gave up`, `starting for 3.2 s`, `down: it requires a (locked)`.
fn why_not_up(state: &State, now: Time, id: Id) -> String {
    let Some(program) = state.program(id) else { return "unknown".into() };
    let word = state_name(state, id, program, now);
    let since = seconds(now.saturating_sub(program.since));
    let why = match (reason(state, id, program), word) {
        (Some("dependency"), _) => {
            let names = state.links.unmet(id).filter_map(|(other, _)| state.program(other));
            let names: Vec<&str> = names.map(|other| other.spec.name.as_str()).collect();
            format!("waiting for {}", names.join(", "))
        }
        (Some("waiting"), _) => program.waiting.clone().unwrap_or_default(),
        (Some(reason), _) => reason.to_owned(),
        (None, "backoff") => {
            let starts_in = seconds(program.not_before.saturating_sub(now));
            format!("{} failures in a row, started again in {starts_in}", program.failures)
        }
        (None, "failed") => "it gave up".to_owned(),
        (None, _) => return format!("{word} for {since}"),
    };
    format!("{word} for {since} ({why})")
}

fn backing_off(program: &Program, now: Time) -> Option<Condition> {
    let restart = &program.spec.restart;
    let left = program.not_before.saturating_sub(now);
    let rests = matches!(program.phase, Phase::Down | Phase::Searching { .. } | Phase::Draining { .. });
    let limit = match restart.give_up_after {
        0 => "it never gives up".to_owned(),
        limit => format!("it gives up at {limit}"),
    };
    let failures = program.failures;
    if program.done || program.completed {
        return None;
    }
    if failures == 0 {
        let pauses = rests && !left.is_zero() && program.waiting.is_none();
        let text = format!("it ended by itself, and is started again in {}", seconds(left));
        return pauses.then(|| condition("backoff", Effect::Blocks, text)).flatten();
    }
    if rests && !left.is_zero() && program.waiting.is_none() {
        let text = format!("failures in a row: {failures}; started again in {}; {limit}", seconds(left));
        return condition("backoff", Effect::Blocks, text);
    }
    let next = backoff(failures.saturating_add(1), restart.min_backoff, restart.max_backoff);
    let text = format!(
        "failures in a row: {failures}; {limit}; the next one is followed by a pause of {}; {} ready clears them",
        seconds(next),
        seconds(restart.reset_after)
    );
    condition("backoff", Effect::Warns, text)
}

fn waiting(program: &Program) -> Option<Condition> {
    let why = program.waiting.as_ref()?;
    condition("waiting", Effect::Blocks, format!("not started yet, tried again each second: {why}"))
}

fn pid_file(program: &Program, now: Time) -> Option<Condition> {
    if !program.spec.prepares {
        return None;
    }
    if let Phase::Searching { began, .. } = program.phase {
        let since = seconds(now.saturating_sub(began));
        let text =
            format!("a child has been looking for {since} whether somebody else has started the engine");
        return condition("pid_file", Effect::Unknown, text);
    }
    match program.pid_file {
        PidFile::Absent if program.suspect => condition(
            "pid_file",
            Effect::Unknown,
            "it ended by itself: somebody else may be about to start it",
        ),
        PidFile::Absent => {
            condition("pid_file", Effect::Allows, "no pid file names a process that is not ours")
        }
        PidFile::Fresh { .. } => {
            let text =
                "postmaster.pid names a process that is not ours: it is looked into before anything starts";
            condition("pid_file", Effect::Unknown, text)
        }
        PidFile::Searched if program.run().is_none() => {
            let text = "postmaster.pid names a process that is not ours; a child has looked and found none to take over";
            condition("pid_file", Effect::Warns, text)
        }
        PidFile::Searched => condition(
            "pid_file",
            Effect::Allows,
            "postmaster.pid has been looked into on the way to this start",
        ),
    }
}

/// What its phase tells beside the facts.
fn phase(state: &State, now: Time, id: Id, program: &Program) -> Option<Condition> {
    let since = seconds(now.saturating_sub(program.since));
    match &program.phase {
        Phase::Preparing { .. } if program.initializing => {
            condition("prepare", Effect::Allows, format!("a first boot has been under way for {since}"))
        }
        Phase::Preparing { .. } => {
            let text = format!("a child has been looking after the data directory for {since}");
            condition("prepare", Effect::Allows, text)
        }
        Phase::Starting { .. } => match ready_by(program) {
            Some(at) => {
                let left = seconds(at.saturating_sub(now));
                let text = format!("not ready for {since}; counts as a failure in {left}");
                condition("readiness", Effect::Warns, text)
            }
            None if program.spec.kind == super::Kind::Engine => {
                let text = format!("not ready for {since}; a recovery takes as long as it takes");
                condition("readiness", Effect::Warns, text)
            }
            None => condition("readiness", Effect::Warns, format!("not ready for {since}")),
        },
        Phase::Up { adopted, .. } => {
            let whose = if *adopted { "; somebody else has started it" } else { "" };
            let text = format!("ready for {since}{whose}");
            let ready = condition("readiness", Effect::Allows, text);
            leaves(state, id).or(ready)
        }
        Phase::Stopping { what, asked, sent, .. } => {
            let elapsed = now.saturating_sub(*asked);
            let ladder = stop_ladder(program);
            let next = [Rung::Fast, Rung::Immediate, Rung::Kill].into_iter().filter(|rung| rung > sent);
            let next = next
                .filter_map(|rung| Some((rung, rung_at(&ladder, rung)?.saturating_sub(elapsed))))
                .min_by_key(|(_, left)| *left);
            let who = if *what == What::Main { "it has" } else { "its child has" };
            let text = format!("{who} been asked to end {} ago ({})", seconds(elapsed), rung_name(*sent));
            let text = match next {
                Some((rung, left)) => format!("{text}; next, in {}: {}", seconds(left), rung_name(rung)),
                None => text,
            };
            condition("stop", Effect::Warns, text)
        }
        Phase::Draining { looks: 0, .. } => condition(
            "orphans",
            Effect::Blocks,
            "its main process has ended; what is left of it is looked for",
        ),
        Phase::Draining { sent, .. } => {
            let done = match sent {
                None => "they get a moment to end by themselves",
                Some(Rung::Kill) => "they have been killed",
                Some(_) => "they have been asked to end",
            };
            let text = format!(
                "its main process ended {since} ago, and processes of it are left: {done}, and nothing starts beside them"
            );
            condition("orphans", Effect::Blocks, text)
        }
        Phase::Down | Phase::Searching { .. } | Phase::Failed => None,
    }
}

/// It is up, is not to be, and waits for others to end first.
fn leaves(state: &State, id: Id) -> Option<Condition> {
    let waits = !state.links.wanted(id) && state.links.held(id);
    let names: Vec<&str> =
        state.links.holders(id).filter_map(|other| Some(state.program(other)?.spec.name.as_str())).collect();
    let text = format!("it is stopped after {} has ended", names.join(", "));
    waits.then(|| condition("stop", Effect::Warns, text)).flatten()
}

fn rung_name(rung: Rung) -> &'static str {
    match rung {
        Rung::Smart => "smart",
        Rung::Fast => "fast",
        Rung::Immediate => "immediate",
        Rung::Kill => "kill",
    }
}

fn last_exit(program: &Program, now: Time) -> Option<Condition> {
    let last = program.last_exit?;
    let ago = seconds(now.saturating_sub(last.at));
    let effect = match last.class {
        Class::Asked | Class::Clean => Effect::Allows,
        _ => Effect::Warns,
    };
    condition(
        "last_exit",
        effect,
        format!("{ago} ago it {} ({}; {})", last.class, last.end, last.class.name()),
    )
}
