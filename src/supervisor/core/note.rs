//! *Note*: folds an event into facts. It starts and stops nothing.

use std::time::Duration;

use super::classify::Class;
use super::event::{Action, Event, Level};
use super::model::{Id, Lock, Phase, Program, Run, State};
use super::spec::Kind;
use super::{ends, search, wishes};

pub(super) fn note(state: &mut State, event: Event, actions: &mut Vec<Action>) {
    let mut events = vec![event];
    while let Some(event) = events.pop() {
        match event {
            Event::Together(several) => events.extend(several.into_iter().rev()),
            event => note_one(state, event, actions),
        }
    }
}

fn note_one(state: &mut State, event: Event, actions: &mut Vec<Action>) {
    if let Some(id) = event.program() {
        state.links.touch(id);
    }
    match event {
        Event::Tick | Event::Together(_) => {}
        Event::Stop => wishes::stop(state, actions),
        Event::Quit => wishes::quit(state, actions),
        Event::Lock(id, lock) => with(state, id, |p, now| lock_seen(p, id, lock, now, actions)),
        Event::PidFile(id, there) => with(state, id, |p, now| search::pid_file_seen(p, there, now)),
        Event::Operator(id, wish) => with(state, id, |p, now| wishes::operator(p, wish, now)),
        Event::Respec(id, spec, restart) => wishes::respec(state, id, *spec, restart),
        Event::Add(spec) => wishes::add(state, *spec),
        Event::Remove(id) => wishes::remove(state, id, actions),
        Event::Standby(id, run, standby) => role(state, id, run, standby),
        Event::Unwell(id, run, why) => with(state, id, |p, _| unwell(p, id, run, &why, actions)),
        Event::Initializing(id, run) => {
            with(state, id, |p, _| p.initializing |= p.phase == Phase::Preparing { run });
        }
        Event::Prepared(id, run, prepared) => ends::prepare_ended(state, id, run, prepared, actions),
        Event::SpawnFailed(id, run, why) => {
            with(state, id, |p, now| ends::spawn_failed(p, id, run, &why, now, actions));
        }
        Event::Ready(id, run) => with(state, id, |p, now| ready(p, id, run, now, actions)),
        Event::Ended(id, run, end, class) => ends::ended(state, id, run, end, class, actions),
        Event::Remains(id, run, left) => ends::remains(state, id, run, left),
        Event::Orphan => ends::orphan_ended(state),
    }
}

/// Does something with a program that exists, and with the time.
pub(super) fn with(state: &mut State, id: Id, f: impl FnOnce(&mut Program, Duration)) {
    let now = state.now;
    if let Some(program) = state.programs.get_mut(id.0) {
        f(program, now);
    }
}

pub(super) fn say(actions: &mut Vec<Action>, level: Level, id: Id, text: String) {
    actions.push(Action::Say(level, Some(id), text));
}

fn lock_seen(program: &mut Program, id: Id, lock: Lock, now: Duration, actions: &mut Vec<Action>) {
    let before = program.lock;
    let lockable = program.spec.lock_file.is_some() && !program.removed;
    if lock == before || lock == Lock::Unknown || !lockable {
        return;
    }
    program.lock = lock;
    if lock == Lock::Present {
        search::again(program, now);
    }
    let Some(file) = &program.spec.lock_file else { return };
    let runs = program.run().is_some() && !matches!(program.phase, Phase::Searching { .. });
    match (lock, runs) {
        (Lock::Present, true) => say(actions, Level::Warn, id, format!("locked: {file} exists; stopping")),
        (Lock::Present, false) => {
            say(
                actions,
                Level::Warn,
                id,
                format!("locked: {file} exists; it stays down until the file is gone"),
            );
        }
        (Lock::Absent, _) if before == Lock::Present => {
            say(actions, Level::Info, id, format!("unlocked: {file} is gone; starting"));
            wishes::forget_failures(program);
        }
        _ => {}
    }
}

fn ready(program: &mut Program, id: Id, run: Run, now: Duration, actions: &mut Vec<Action>) {
    let Phase::Starting { run: current, adopted } = program.phase else { return };
    // A one-shot is ready when it has completed.
    if current != run || program.spec.kind == Kind::Oneshot {
        return;
    }
    let took = now.saturating_sub(program.since);
    let seconds = took.as_secs_f64();
    let upkeep_at = program.spec.upkeep.map(|every| now.saturating_add(every));
    program.enter(Phase::Up { run, adopted, upkeep_at }, now);
    program.waiting = None;
    program.start_took = Some(took);
    say(actions, Level::Info, id, format!("ready after {seconds:.3} s"));
}

/// An engine's role decides when it is stopped among others.
fn role(state: &mut State, id: Id, run: Run, standby: bool) {
    let Some(program) = state.programs.get_mut(id.0) else { return };
    let runs = matches!(program.phase, Phase::Starting { .. } | Phase::Up { .. });
    let engine = program.spec.kind == Kind::Engine;
    if engine && runs && program.run() == Some(run) && program.standby != Some(standby) {
        program.standby = Some(standby);
        state.links.reorder();
    }
}

fn unwell(program: &mut Program, id: Id, run: Run, why: &str, actions: &mut Vec<Action>) {
    let up = matches!(program.phase, Phase::Up { run: current, .. } if current == run);
    if up && program.fault.is_none() {
        program.fault = Some(Class::Unwell);
        say(actions, Level::Error, id, format!("{}: {why}: ending it", Class::Unwell));
    }
}
