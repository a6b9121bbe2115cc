//! *Settle*: compares what is wanted with what is, walks the programs up in the order of their needs and down in
//! reverse, and is the only place that starts and stops.

use std::collections::BTreeSet;
use std::time::Duration;

use super::classify::Class;
use super::event::{Action, Level};
use super::ladder::{Ladder, Rung, kill_before, rung, rung_at};
use super::model::{Fit, GaveUp, Id, LastExit, Lock, Phase, Program, Shutdown, State, Time, What, Why};
use super::spec::Kind;
use super::{needs, search};

/// How long a `prepare` child may take to end what it has under way (initdb, a script) and to clean up after itself.
const PREPARE_LADDER: Ladder =
    Ladder { first: Rung::Fast, immediate: false, budget: Duration::from_millis(1500) };
/// The same where the lock file is the reason: no container runtime counts the seconds, and the stage of a first boot is
/// removed, which a busy disk makes slow.
const LOCKED_PREPARE_LADDER: Ladder =
    Ladder { first: Rung::Fast, immediate: false, budget: Duration::from_secs(17) };

/// A stop that takes longer than this says what blocks it.
const SAY_BLOCKERS_AFTER: Duration = Duration::from_secs(3);

/// What is left of a run after its main process gets this long to end by itself: an idle backend sees the
/// postmaster's death within milliseconds, a busy one at the end of its statement.
const SWEEP_AFTER: Duration = Duration::from_millis(200);
/// And this long before it is killed.
const SWEEP_KILL_AFTER: Duration = Duration::from_secs(1);

/// The ladder for the process that a program has.
pub(super) fn stop_ladder(program: &Program) -> Ladder {
    match program.phase {
        Phase::Preparing { .. } | Phase::Stopping { what: What::Prepare, .. }
            if program.lock == Lock::Present =>
        {
            LOCKED_PREPARE_LADDER
        }
        Phase::Preparing { .. }
        | Phase::Searching { .. }
        | Phase::Stopping { what: What::Prepare | What::Search, .. } => PREPARE_LADDER,
        Phase::Stopping { first, .. } => Ladder { first, ..program.spec.ladder.clone() },
        _ => program.spec.ladder.clone(),
    }
}

pub(super) fn settle(state: &mut State, actions: &mut Vec<Action>) {
    let overdue = overdue(state);
    let mut work = needs::take_work(state, overdue);
    let mut seen = work.clone();
    needs::refresh(state, &seen, &mut work);
    // One program's move may allow the next one's. Moves never go in a circle without an event from outside: a program
    // moves a few times at the most (adopted, and stopped at once), which bounds them; the bound is for what nobody
    // has thought of.
    for _ in 0..state.programs.len().saturating_mul(16).saturating_add(16) {
        let Some(place) = work.pop_first() else { break };
        seen.insert(place);
        if settle_program(state, Id(place), actions) {
            work.insert(place);
        }
        needs::refresh(state, &BTreeSet::from([place]), &mut work);
    }
    needs::give_back(state, work);
    needs::note_deadlines(state, &seen);
    heed_last_words(state, actions);
    finish(state, actions);
}

/// Of a program that gave up the cause is to be the last line of all, also where others are stopped after it.
fn heed_last_words(state: &mut State, actions: &[Action]) {
    let said = actions.iter().rev().find_map(|action| match action {
        Action::Say(_, _, text) => Some(text),
        _ => None,
    });
    let gave_up = state.shutdown.as_mut().and_then(|shutdown| shutdown.gave_up.as_mut());
    if let (Some(said), Some(gave_up)) = (said, gave_up) {
        gave_up.last = *said == gave_up.text;
    }
}

/// Whether the program's own facts let it run.
pub(super) fn may_run(state: &State, program: &Program) -> bool {
    state.shutdown.is_none()
        && program.operator_up
        && !program.done
        && !program.completed
        && !program.removed
        && program.lock != Lock::Present
}

/// Whether it may be started.
pub(super) fn may_start(state: &State, program: &Program, id: Id) -> bool {
    may_run(state, program) && program.lock == Lock::Absent && state.links.unmet(id).next().is_none()
}

/// When the shutdown's patience ends and everything that is left is killed.
fn kill_all_at(state: &State, shutdown: &Shutdown) -> Time {
    shutdown.since.saturating_add(kill_before(state.stop_timeout))
}

fn overdue(state: &State) -> bool {
    state.shutdown.as_ref().is_some_and(|shutdown| state.now >= kill_all_at(state, shutdown))
}

/// When it has failed by not getting ready.
pub(super) fn ready_by(program: &Program) -> Option<Time> {
    let waits = matches!(program.phase, Phase::Starting { .. });
    program.spec.ready_within.filter(|_| waits).map(|within| program.since.saturating_add(within))
}

/// What has failed of it although it lives.
fn fault(program: &Program, now: Time) -> Option<Class> {
    let late = ready_by(program).is_some_and(|at| at <= now);
    program.fault.or(late.then_some(Class::NotReady))
}

/// Moves one program on; whether it changed its phase.
fn settle_program(state: &mut State, id: Id, actions: &mut Vec<Action>) -> bool {
    let Some(program) = state.program(id) else { return false };
    let wanted = state.links.wanted(id);
    // Down in reverse: at a shutdown, and where several are stopped together.
    let stoppable = overdue(state) || !state.links.held(id);
    match program.phase {
        Phase::Down => {
            let startable = may_start(state, program, id);
            learn(state, id, startable, actions);
            settle_down(state, id, startable, actions) || search::begin(state, id, actions)
        }
        Phase::Failed => search::begin(state, id, actions),
        Phase::Searching { began, .. } => search::hurry(state, id, began, overdue(state), actions),
        Phase::Preparing { .. } | Phase::Starting { .. } | Phase::Up { .. } if !wanted => {
            stoppable && begin_stop(state, id, Why::Asked, actions)
        }
        Phase::Starting { .. } | Phase::Up { .. } => match fault(program, state.now) {
            // It is as good as dead: nobody's end is waited for.
            Some(class) => begin_stop(state, id, Why::Failed(class), actions),
            None => {
                keep_up(state, id, actions);
                false
            }
        },
        Phase::Stopping { .. } => {
            climb(state, id, actions);
            false
        }
        Phase::Draining { .. } => {
            drain(state, id, actions);
            false
        }
        Phase::Preparing { .. } => false,
    }
}

/// Uses the time in which something holds an engine back, so that its start need not wait for what can be known before.
fn learn(state: &mut State, id: Id, startable: bool, actions: &mut Vec<Action>) {
    let held = !startable && state.shutdown.is_none();
    let Some(program) = state.programs.get_mut(id.0) else { return };
    // Before the lock file was looked at nobody knows whether there is any time.
    if held && program.spec.prepares && !program.learnt && !program.removed && program.lock != Lock::Unknown {
        program.learnt = true;
        actions.push(Action::Learn(id));
    }
}

fn settle_down(state: &mut State, id: Id, startable: bool, actions: &mut Vec<Action>) -> bool {
    let now = state.now;
    let Some(program) = state.programs.get_mut(id.0) else { return false };
    let fit = program.fit.take();
    if program.removed {
        return false;
    }
    // What runs already is taken over, whatever would keep it from being started.
    if fit != Some(Fit::Adopt) && (!startable || program.not_before > now) {
        return false;
    }
    let run = state.next_run();
    let Some(program) = state.programs.get_mut(id.0) else { return false };
    match fit {
        None if program.spec.prepares => {
            search::looks(program);
            // The child learns it on its way.
            program.learnt = true;
            program.enter(Phase::Preparing { run }, now);
            actions.push(Action::Prepare(id, run));
        }
        Some(Fit::Adopt) => {
            // A restart that was asked for while the child looked means this process.
            let bounce = program.bounce;
            program.enter(Phase::Starting { run, adopted: true }, now);
            program.bounce = bounce;
            actions.push(Action::Adopt(id, run));
        }
        None | Some(Fit::Start) => {
            program.starts = program.starts.saturating_add(1);
            program.enter(Phase::Starting { run, adopted: false }, now);
            actions.push(Action::Start(id, run));
        }
    }
    true
}

fn keep_up(state: &mut State, id: Id, actions: &mut Vec<Action>) {
    let now = state.now;
    let Some(program) = state.programs.get_mut(id.0) else { return };
    program.forgive(now);
    let Phase::Up { upkeep_at, .. } = &mut program.phase else { return };
    if upkeep_at.is_some_and(|at| at <= now) {
        *upkeep_at = program.spec.upkeep.map(|every| now.saturating_add(every));
        actions.push(Action::Upkeep(id));
    }
}

pub(super) fn begin_stop(state: &mut State, id: Id, why: Why, actions: &mut Vec<Action>) -> bool {
    let now = state.now;
    let floor = state.shutdown.as_ref().map_or(Rung::Smart, |shutdown| shutdown.floor);
    let Some(program) = state.programs.get_mut(id.0) else { return false };
    let (Some(run), ladder) = (program.run(), stop_ladder(program)) else { return false };
    let what = match program.phase {
        Phase::Preparing { .. } => What::Prepare,
        Phase::Searching { .. } => What::Search,
        _ => What::Main,
    };
    program.forgive(now);
    // PID 1's end, and a failure, do not ask how an operator would have it.
    let named = program.rung.take().filter(|_| what == What::Main && why == Why::Asked);
    let first = named.map_or(ladder.first, |rung| named_rung(&ladder, rung));
    let sent = on_ladder(&ladder, floor.max(first));
    if why == Why::Failed(Class::NotReady) {
        let seconds = now.saturating_sub(program.since).as_secs_f64();
        actions.push(Action::Say(
            Level::Error,
            Some(id),
            format!("not ready after {seconds:.3} s: ending it"),
        ));
    }
    program.enter(
        Phase::Stopping { run, what, why, first, asked: now, floor: sent, sent, forced: false, told: false },
        now,
    );
    actions.push(Action::Signal(id, run, what, sent));
    true
}

/// The rung that an operator means: what is no engine knows one way to be asked, and to be killed.
pub(super) fn named_rung(ladder: &Ladder, rung: Rung) -> Rung {
    if ladder.immediate || rung == Rung::Kill { rung } else { ladder.first }
}

/// A rung that the ladder has: a program without an immediate rung stays on the one below.
fn on_ladder(ladder: &Ladder, rung: Rung) -> Rung {
    if rung == Rung::Immediate && !ladder.immediate { Rung::Fast } else { rung }
}

/// Goes up the stop ladder.
fn climb(state: &mut State, id: Id, actions: &mut Vec<Action>) {
    let (now, overdue) = (state.now, overdue(state));
    let Some(program) = state.programs.get_mut(id.0) else { return };
    let ladder = stop_ladder(program);
    let Phase::Stopping { run, what, asked, floor, sent, forced, told, .. } = &mut program.phase else {
        return;
    };
    let elapsed = now.saturating_sub(*asked);
    let timed = if overdue { Rung::Kill } else { rung(&ladder, elapsed) };
    let wanted = on_ladder(&ladder, timed.max(*floor));
    let ask_what_blocks = ladder.immediate && *what == What::Main && (wanted > *sent || !*told);
    if ask_what_blocks && elapsed >= SAY_BLOCKERS_AFTER {
        *told = true;
        actions.push(Action::Blockers(id, *run));
    }
    if wanted > *sent {
        let by_time = timed > *floor;
        // A fast stop ends the sessions and is as orderly as a smart one.
        *forced |= by_time && wanted > Rung::Fast;
        *sent = wanted;
        let why = if by_time { "it takes too long" } else { "asked to hurry" };
        let how = match wanted {
            Rung::Smart | Rung::Fast if ladder.immediate => "going on to a fast stop",
            Rung::Smart | Rung::Fast => "asking it once more to end",
            Rung::Immediate => "going on to an immediate stop",
            Rung::Kill => "killing its processes",
        };
        actions.push(Action::Say(Level::Warn, Some(id), format!("{why}: {how}")));
        actions.push(Action::Signal(id, *run, *what, wanted));
    }
}

/// Whether an engine drains because a signal has ended its postmaster. What is left has lost its shared memory to the recovery that
/// follows, and is told to end at once, as a postmaster tells its children when one of them has died so.
fn died(program: &Program) -> bool {
    let at_this_end = |exit: &&LastExit| exit.at == program.since;
    program.spec.kind == Kind::Engine
        && program
            .last_exit
            .as_ref()
            .filter(at_this_end)
            .is_some_and(|exit| matches!(exit.class, Class::Killed | Class::OutOfMemory | Class::Crashed))
}

/// Waits until nothing is left of a run, and helps.
fn drain(state: &mut State, id: Id, actions: &mut Vec<Action>) {
    let now = state.now;
    let Some(program) = state.programs.get_mut(id.0) else { return };
    let elapsed = now.saturating_sub(program.since);
    let died = died(program);
    let Phase::Draining { run, look_at, looks, sent, prompted } = &mut program.phase else { return };
    if *look_at > now {
        return;
    }
    // No look before the answer to this one.
    *look_at = Time::MAX;
    if died && *looks == 0 {
        actions.push(Action::Sweep(id, *run, Rung::Immediate));
    }
    let rung = match elapsed {
        _ if *looks == 0 || elapsed < SWEEP_AFTER => None,
        _ if elapsed < SWEEP_KILL_AFTER => Some(Rung::Immediate),
        _ => Some(Rung::Kill),
    };
    let harder = rung > *sent;
    if harder {
        *sent = rung;
        let text = "processes of its last run are left: ending them".into();
        actions.push(Action::Say(Level::Warn, Some(id), text));
    }
    // A program may take each further SIGTERM for more haste.
    let asked = !std::mem::take(prompted) || harder;
    if let Some(rung) = rung.filter(|_| asked) {
        actions.push(Action::Sweep(id, *run, rung));
    }
    actions.push(Action::Look(id, *run));
}

fn finish(state: &mut State, actions: &mut Vec<Action>) {
    let Some(shutdown) = &state.shutdown else { return };
    let gone = state.links.at_rest();
    let out_of_time = state.now >= shutdown.since.saturating_add(state.stop_timeout);
    if !gone && !out_of_time {
        return;
    }
    if !gone {
        let text = "not everything could be ended in time: leaving it to the kernel".into();
        actions.push(Action::Say(Level::Error, None, text));
    }
    let asked = if shutdown.forced || !gone { 1 } else { 0 };
    if let Some(GaveUp { id, text, last, .. }) = &shutdown.gave_up
        && (!last || !gone)
    {
        actions.push(Action::Say(Level::Error, Some(*id), text.clone()));
    }
    state.finished = true;
    actions.push(Action::Finish(shutdown.gave_up.as_ref().map_or(asked, |gave_up| gave_up.status)));
}

/// When [`super::step`] must be called although nothing has happened; `None`: not before an event.
#[must_use]
pub fn deadline(state: &State) -> Option<Time> {
    if state.finished {
        return None;
    }
    if state.links.is_touched() {
        return Some(state.now);
    }
    let end = state.shutdown.as_ref().map(|shutdown| {
        let kill = kill_all_at(state, shutdown);
        if kill > state.now { kill } else { shutdown.since.saturating_add(state.stop_timeout) }
    });
    state.links.deadline().into_iter().chain(end).min()
}

pub(super) fn program_deadline(state: &State, id: Id) -> Option<Time> {
    let program = state.program(id)?;
    let later = |at: Time| (at > state.now).then_some(at);
    match &program.phase {
        Phase::Down | Phase::Failed => {
            let start =
                (program.phase == Phase::Down && may_start(state, program, id)).then_some(program.not_before);
            [start, search::due(state, program)].into_iter().flatten().filter_map(later).min()
        }
        Phase::Starting { .. } => ready_by(program).and_then(later),
        Phase::Searching { began, .. } => search::patience_ends(state, *began).and_then(later),
        Phase::Up { upkeep_at, .. } => {
            let reset = (program.failures > 0)
                .then(|| program.since.saturating_add(program.spec.restart.reset_after));
            [reset, *upkeep_at].into_iter().flatten().filter_map(later).min()
        }
        Phase::Stopping { what, asked, sent, told, .. } => {
            let ladder = stop_ladder(program);
            let rungs = [Rung::Fast, Rung::Immediate, Rung::Kill]
                .into_iter()
                .filter(|rung| rung > sent)
                .filter_map(|rung| rung_at(&ladder, rung));
            let blockers = (ladder.immediate && *what == What::Main && !told).then_some(SAY_BLOCKERS_AFTER);
            rungs.chain(blockers).map(|after| asked.saturating_add(after)).filter_map(later).min()
        }
        Phase::Draining { look_at, .. } => later(*look_at).filter(|&at| at < Time::MAX),
        _ => None,
    }
}
