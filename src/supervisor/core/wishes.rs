//! What people want: a shutdown, an operator's word, another configuration.

use std::time::Duration;

use super::event::{Action, Level, Wish};
use super::ladder::{Rung, harder};
use super::model::{GaveUp, Id, Lock, Phase, Program, Shutdown, State, What, Why};
use super::note::say;
use super::search;
use super::settle::{named_rung, stop_ladder};
use super::spec::Spec;

pub(super) fn begin_shutdown(state: &mut State, gave_up: Option<GaveUp>) -> &mut Shutdown {
    let now = state.now;
    if state.shutdown.is_none() {
        state.links.touch_all();
        for program in &mut state.programs {
            search::again(program, now);
            // An operator's softer stop does not outlast what the container has for all.
            let usual = program.spec.ladder.first;
            if let Phase::Stopping { what: What::Main, floor, .. } = &mut program.phase {
                *floor = (*floor).max(usual);
            }
        }
        state.links.touch_all();
    }
    state.shutdown.get_or_insert(Shutdown { since: now, gave_up, asks: 0, floor: Rung::Smart, forced: false })
}

pub(super) fn stop(state: &mut State, actions: &mut Vec<Action>) {
    let shutdown = begin_shutdown(state, None);
    shutdown.asks = shutdown.asks.saturating_add(1);
    if shutdown.asks == 1 {
        actions.push(Action::Say(Level::Info, None, "asked to stop: programs end in order".into()));
        return;
    }
    actions.push(Action::Say(Level::Warn, None, "asked to stop once more: hurrying to the next rung".into()));
    shutdown.floor = if shutdown.floor < Rung::Immediate { Rung::Immediate } else { Rung::Kill };
    state.links.touch_all();
    for program in &mut state.programs {
        let ladder = stop_ladder(program);
        if let Phase::Stopping { floor, sent, .. } = &mut program.phase {
            *floor = (*floor).max(harder(&ladder, *sent));
        }
    }
}

pub(super) fn quit(state: &mut State, actions: &mut Vec<Action>) {
    let shutdown = begin_shutdown(state, None);
    shutdown.asks = shutdown.asks.saturating_add(1);
    shutdown.floor = shutdown.floor.max(Rung::Immediate);
    actions.push(Action::Say(
        Level::Warn,
        None,
        "asked to stop at once: engines end in immediate mode".into(),
    ));
    state.links.touch_all();
    for program in &mut state.programs {
        if let Phase::Stopping { floor, .. } = &mut program.phase {
            *floor = (*floor).max(Rung::Immediate);
        }
    }
}

/// An operator's word, or the lock's end, is a fresh start: what failed before is forgotten.
pub(super) fn forget_failures(program: &mut Program) {
    program.failures = 0;
    program.not_before = Duration::ZERO;
    // Who wants it up does not wait for somebody else's pg_ctl.
    program.suspect = false;
    program.waiting = None;
    program.doubt = None;
    program.done = false;
    if program.phase == Phase::Failed {
        program.phase = Phase::Down;
    }
    if let Phase::Stopping { why, .. } = &mut program.phase {
        *why = Why::Asked;
    }
}

pub(super) fn operator(program: &mut Program, wish: Wish, now: Duration) {
    if program.removed {
        return;
    }
    let up = !matches!(wish, Wish::Down(_));
    if program.operator_up && !up {
        search::again(program, now);
    }
    program.operator_up = up;
    if up {
        forget_failures(program);
        program.completed = false;
    }
    let rung = match wish {
        Wish::Up => return,
        Wish::Down(rung) | Wish::Restart(rung) => rung,
    };
    match program.phase {
        Phase::Preparing { .. } | Phase::Starting { .. } | Phase::Up { .. } => {
            program.bounce = up;
            program.rung = rung;
        }
        Phase::Stopping { what: What::Main, .. } => {
            let ladder = &program.spec.ladder;
            let wanted = rung.map_or(ladder.first, |rung| named_rung(ladder, rung));
            if let Phase::Stopping { floor, .. } = &mut program.phase {
                *floor = (*floor).max(wanted);
            }
        }
        _ => {}
    }
}

pub(super) fn respec(state: &mut State, id: Id, spec: Spec, restart: bool) {
    let (links, Some(program)) = (&mut state.links, state.programs.get_mut(id.0)) else { return };
    if program.removed {
        return;
    }
    // What runs is not stopped by a reload for want of what it has run without.
    if spec.bound && program.run().is_some() {
        let old = &program.spec;
        let was_bound = |other: &Id| old.bound && old.requires.contains(other);
        let unmet = spec.requires.iter().filter(|other| !was_bound(other) && !links.serves(**other));
        program.unbound.extend(unmet.copied());
    }
    let order = |spec: &Spec| (spec.kind, spec.after.clone(), spec.requires.clone());
    if order(&program.spec) != order(&spec) {
        links.reorder();
    }
    match (&program.spec.lock_file, &spec.lock_file) {
        (_, None) => program.lock = Lock::Absent,
        (None, Some(_)) => program.lock = Lock::Unknown,
        (Some(_), Some(_)) => {}
    }
    program.spec = spec;
    if restart {
        // What failed before failed with another configuration.
        forget_failures(program);
        let runs =
            matches!(program.phase, Phase::Preparing { .. } | Phase::Starting { .. } | Phase::Up { .. });
        program.bounce |= runs;
    }
}

pub(super) fn add(state: &mut State, spec: Spec) {
    let same =
        |program: &Program| program.removed && program.run().is_some() && program.spec.name == spec.name;
    let heir_of = state.programs.iter().rposition(same).map(Id);
    let mut program = Program::new(spec, state.now);
    program.heir_of = heir_of;
    state.programs.push(program);
    state.links.reorder();
}

pub(super) fn remove(state: &mut State, id: Id, actions: &mut Vec<Action>) {
    let Some(program) = state.programs.get_mut(id.0).filter(|program| !program.removed) else { return };
    program.removed = true;
    program.waiting = None;
    program.fit = None;
    if program.phase == Phase::Failed {
        program.phase = Phase::Down;
    }
    let runs = program.run().is_some();
    let then = if runs { "stopping it" } else { "it is forgotten" };
    say(actions, Level::Info, id, format!("it has left the configuration: {then}"));
    state.links.reorder();
}
