//! *Note*: folds an event into facts. It starts and stops nothing.

use std::time::Duration;

use super::backoff::backoff;
use super::classify::Class;
use super::event::{Action, End, Event, Level, Prepared, Wish};
use super::ladder::{Rung, harder};
use super::model::{
    Doubt, ExitStatus, Fit, GaveUp, Id, LastExit, Lock, Phase, Program, Run, Shutdown, State, What,
};
use super::search;
use super::settle::stop_ladder;
use super::spec::{OnGiveUp, Policy};

/// How long to wait before the data directory, or a fork that failed, is tried again: long enough to cost nothing,
/// short enough that nobody waits for it.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// The first look at what is left of a run follows the first one after this; each next pause doubles, to 128 times.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

pub(super) fn note(state: &mut State, event: Event, actions: &mut Vec<Action>) {
    match event {
        Event::Tick => {}
        Event::Together(events) => events.into_iter().for_each(|event| note(state, event, actions)),
        Event::Stop => stop(state, actions),
        Event::Quit => quit(state, actions),
        Event::Lock(id, lock) => with(state, id, |p, now| lock_seen(p, id, lock, now, actions)),
        Event::PidFile(id, there) => with(state, id, |p, now| search::pid_file_seen(p, there, now)),
        Event::Operator(id, wish) => with(state, id, |p, now| operator(p, wish != Wish::Down(None), now)),
        Event::Respec(id, spec, _) => with(state, id, |p, _| p.spec = spec),
        Event::Add(_) | Event::Remove(_) | Event::Standby(..) | Event::Unwell(..) => {}
        Event::Initializing(id, run) => {
            with(state, id, |p, _| p.initializing |= p.phase == Phase::Preparing { run });
        }
        Event::Prepared(id, run, prepared) => prepare_ended(state, id, run, prepared, actions),
        Event::SpawnFailed(id, run, why) => {
            with(state, id, |p, now| spawn_failed(p, id, run, &why, now, actions));
        }
        Event::Ready(id, run) => with(state, id, |p, now| ready(p, id, run, now, actions)),
        Event::Ended(id, run, end, class) => ended(state, id, run, end, class, actions),
        Event::Remains(id, run, left) => with(state, id, |p, now| remains(p, run, left, now)),
    }
}

/// Does something with a program that exists, and with the time.
fn with(state: &mut State, id: Id, f: impl FnOnce(&mut Program, Duration)) {
    let now = state.now;
    if let Some(program) = state.programs.get_mut(id.0) {
        f(program, now);
    }
}

fn say(actions: &mut Vec<Action>, level: Level, id: Id, text: String) {
    actions.push(Action::Say(level, Some(id), text));
}

fn begin_shutdown(state: &mut State, gave_up: Option<GaveUp>) -> &mut Shutdown {
    let now = state.now;
    if state.shutdown.is_none() {
        state.programs.iter_mut().for_each(|program| search::again(program, now));
    }
    state.shutdown.get_or_insert(Shutdown { since: now, gave_up, asks: 0, floor: Rung::Smart, forced: false })
}

fn stop(state: &mut State, actions: &mut Vec<Action>) {
    let shutdown = begin_shutdown(state, None);
    shutdown.asks = shutdown.asks.saturating_add(1);
    if shutdown.asks == 1 {
        actions.push(Action::Say(Level::Info, None, "asked to stop: programs end in order".into()));
        return;
    }
    actions.push(Action::Say(Level::Warn, None, "asked to stop once more: hurrying to the next rung".into()));
    shutdown.floor = if shutdown.floor < Rung::Immediate { Rung::Immediate } else { Rung::Kill };
    for program in &mut state.programs {
        let ladder = stop_ladder(program);
        if let Phase::Stopping { floor, sent, .. } = &mut program.phase {
            *floor = (*floor).max(harder(&ladder, *sent));
        }
    }
}

fn quit(state: &mut State, actions: &mut Vec<Action>) {
    let shutdown = begin_shutdown(state, None);
    shutdown.asks = shutdown.asks.saturating_add(1);
    shutdown.floor = shutdown.floor.max(Rung::Immediate);
    actions.push(Action::Say(
        Level::Warn,
        None,
        "asked to stop at once: engines end in immediate mode".into(),
    ));
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
}

fn lock_seen(program: &mut Program, id: Id, lock: Lock, now: Duration, actions: &mut Vec<Action>) {
    let before = program.lock;
    if lock == before || lock == Lock::Unknown {
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
            forget_failures(program);
        }
        _ => {}
    }
}

fn operator(program: &mut Program, up: bool, now: Duration) {
    if program.operator_up && !up {
        search::again(program, now);
    }
    program.operator_up = up;
    if up {
        forget_failures(program);
    }
}

fn ready(program: &mut Program, id: Id, run: Run, now: Duration, actions: &mut Vec<Action>) {
    let Phase::Starting { run: current, adopted } = program.phase else { return };
    if current != run {
        return;
    }
    let seconds = now.saturating_sub(program.since).as_secs_f64();
    let upkeep_at = program.spec.upkeep.map(|every| now.saturating_add(every));
    program.enter(Phase::Up { run, adopted, upkeep_at }, now);
    program.waiting = None;
    say(actions, Level::Info, id, format!("ready after {seconds:.3} s"));
}

/// Not yet: tries again soon, and tells people once for each reason.
fn wait(program: &mut Program, id: Id, now: Duration, why: String, actions: &mut Vec<Action>) {
    program.not_before = now.saturating_add(TRY_AGAIN);
    if program.waiting.as_ref() != Some(&why) {
        say(actions, Level::Warn, id, format!("not started yet, tried again each second: {why}"));
        program.waiting = Some(why);
    }
}

fn spawn_failed(
    program: &mut Program,
    id: Id,
    run: Run,
    why: &str,
    now: Duration,
    actions: &mut Vec<Action>,
) {
    if program.run() != Some(run) {
        return;
    }
    if matches!(program.phase, Phase::Starting { adopted: false, .. }) {
        program.starts = program.starts.saturating_sub(1);
    }
    match program.phase {
        Phase::Preparing { .. } | Phase::Starting { .. } => {
            program.enter(Phase::Down, now);
            wait(program, id, now, format!("its process could not be made: {why}"), actions);
        }
        Phase::Searching { .. } => search::broke(program, id, why, now, actions),
        // Asked to end before the news came: no end will follow.
        Phase::Stopping { .. } => program.enter(Phase::Down, now),
        _ => {}
    }
}

fn prepare_ended(state: &mut State, id: Id, run: Run, prepared: Prepared, actions: &mut Vec<Action>) {
    let now = state.now;
    let Some(program) = state.programs.get_mut(id.0) else { return };
    match program.phase {
        Phase::Preparing { run: current } if current == run => {}
        Phase::Searching { run: current, .. } if current == run => {
            return search::ended(state, id, prepared, actions);
        }
        Phase::Stopping { run: current, what: What::Prepare | What::Search, .. } if current == run => {
            // Nothing starts, whatever it found; but what runs already is taken over, and stopped. A killed one may have
            // left something behind.
            if prepared == Prepared::Foreign {
                program.fit = Some(Fit::Adopt);
            }
            asked_end(state, id, End::Code(0), actions);
            return;
        }
        _ => return,
    }
    program.enter(Phase::Down, now);
    match prepared {
        Prepared::Go { unclean } => {
            program.fit = Some(Fit::Start);
            program.suspect = false;
            match program.doubt.take() {
                // The status of an adopted process is not known: its data tell whether it crashed.
                Some(Doubt::Crash) if unclean => {
                    say(
                        actions,
                        Level::Warn,
                        id,
                        "the last end was a crash: its control file says so".into(),
                    );
                    failed(state, id, 1, "it crashes again and again".into(), actions);
                }
                Some(Doubt::Rival(end)) => {
                    let why = format!("it {} ({end}), and none is there", Class::AnotherServer);
                    failed(state, id, end.exit_status(), why, actions);
                }
                Some(Doubt::Crash) | None => {}
            }
        }
        Prepared::Foreign => {
            program.doubt = None;
            program.suspect = false;
            program.fit = Some(Fit::Adopt);
        }
        Prepared::Locked => wait(program, id, now, "the lock file exists".into(), actions),
        Prepared::Wait(why) => wait(program, id, now, why, actions),
        Prepared::GiveUp(status, why) => {
            search::again(program, now);
            give_up(state, id, status, &why, actions);
        }
        Prepared::Nobody => prepare_broke(state, id, run, "it ended without a verdict".into(), actions),
        Prepared::Broke(why) => prepare_broke(state, id, run, why, actions),
    }
}

/// The child ended without a verdict: what it had under way (initdb, a temporary server) may live on.
fn prepare_broke(state: &mut State, id: Id, run: Run, why: String, actions: &mut Vec<Action>) {
    let now = state.now;
    with(state, id, |program, _| program.enter(draining(run, now), now));
    say(actions, Level::Error, id, format!("its prepare child failed: {why}"));
    failed(state, id, 1, why, actions);
    with(state, id, |program, _| {
        if program.done {
            search::again(program, now);
        }
    });
}

fn ended(state: &mut State, id: Id, run: Run, end: End, class: Class, actions: &mut Vec<Action>) {
    let now = state.now;
    let Some(program) = state.programs.get_mut(id.0) else { return };
    if program.run() != Some(run) {
        return;
    }
    match program.phase {
        Phase::Stopping { .. } => return asked_end(state, id, end, actions),
        Phase::Preparing { .. } => {
            return prepare_broke(state, id, run, format!("it {class} ({end})"), actions);
        }
        Phase::Searching { .. } => {
            return search::broke(program, id, &format!("it {class} ({end})"), now, actions);
        }
        Phase::Starting { .. } | Phase::Up { .. } => {}
        _ => return,
    }
    let starting = matches!(program.phase, Phase::Starting { adopted: false, .. });
    let lost = class == Class::AnotherServer && starting && program.spec.prepares;
    program.forgive(now);
    program.waiting = None;
    program.last_exit = Some(LastExit { end, class, at: now });
    program.doubt = (class == Class::Unknown).then_some(Doubt::Crash);
    program.enter(draining(run, now), now);
    if let Some(shutdown) = state.shutdown.as_mut() {
        shutdown.forced |= !matches!(class, Class::Clean | Class::Unknown);
    }
    match (class, program.spec.restart.policy) {
        // Whether an unknown end was a crash its control file tells: the next prepare child counts it as one.
        (Class::Clean | Class::Unknown, Policy::Always) | (Class::Unknown, Policy::OnFailure) => {
            let delay = program.spec.restart.clean_exit_delay;
            program.not_before = now.saturating_add(delay);
            program.suspect = true;
            say(
                actions,
                Level::Info,
                id,
                format!(
                    "ended by itself ({end}): somebody else's pg_ctl has {} s, then it starts again",
                    delay.as_secs_f64()
                ),
            );
        }
        (Class::Clean | Class::Unknown, _) => {
            give_up(
                state,
                id,
                end.exit_status(),
                &format!("it ended ({end}), and its policy starts it no more"),
                actions,
            );
        }
        (_, Policy::Never) => {
            give_up(
                state,
                id,
                end.exit_status(),
                &format!("it {class} ({end}), and its policy is never"),
                actions,
            );
        }
        _ if lost => {
            // Whether that is a failure is for the next `prepare` child to tell: somebody else's start may have won.
            program.doubt = Some(Doubt::Rival(end));
            say(actions, Level::Warn, id, format!("{class} ({end}): looking for it"));
        }
        _ => {
            say(actions, Level::Error, id, format!("{class} ({end})"));
            failed(state, id, end.exit_status(), format!("it {class} ({end})"), actions);
        }
    }
}

/// Whether a process ended by the very signal that asked it to: it had just been started and had set up no handler, so
/// it had done nothing either.
fn by_the_asking(end: End, sent: Rung) -> bool {
    const SIGINT: i32 = 2;
    const SIGQUIT: i32 = 3;
    const SIGTERM: i32 = 15;
    matches!(
        (end, sent),
        (End::Signal(SIGTERM), Rung::Smart)
            | (End::Signal(SIGINT), Rung::Fast)
            | (End::Signal(SIGQUIT), Rung::Immediate)
    )
}

/// The end that was asked for.
fn asked_end(state: &mut State, id: Id, end: End, actions: &mut Vec<Action>) {
    let now = state.now;
    let Some(program) = state.programs.get_mut(id.0) else { return };
    let Phase::Stopping { run, what, asked, sent, forced, .. } = program.phase else { return };
    let ended_in_order = matches!(end, End::Code(0) | End::Unknown) || by_the_asking(end, sent);
    let orderly = ended_in_order && sent != Rung::Kill && !forced;
    if what == What::Main {
        program.last_exit = Some(LastExit { end, class: Class::Asked, at: now });
        let seconds = now.saturating_sub(asked).as_secs_f64();
        let level = if orderly { Level::Info } else { Level::Warn };
        let how = if sent == Rung::Kill { ", killed" } else { "" };
        say(actions, level, id, format!("stopped after {seconds:.3} s ({end}{how})"));
    }
    program.enter(draining(run, now), now);
    program.not_before = Duration::ZERO;
    if let Some(shutdown) = state.shutdown.as_mut() {
        shutdown.forced |= !orderly;
    }
}

fn draining(run: Run, now: Duration) -> Phase {
    Phase::Draining { run, look_at: now, looks: 0, sent: None }
}

/// One more failure in a row: a pause, or giving up.
fn failed(state: &mut State, id: Id, status: ExitStatus, why: String, actions: &mut Vec<Action>) {
    let now = state.now;
    let Some(program) = state.programs.get_mut(id.0) else { return };
    program.failures = program.failures.saturating_add(1);
    program.waiting = None;
    let restart = &program.spec.restart;
    if restart.policy == Policy::Never
        || (restart.give_up_after > 0 && program.failures >= restart.give_up_after)
    {
        let failures = program.failures;
        return give_up(state, id, status, &format!("{why}; failures in a row: {failures}"), actions);
    }
    let pause = backoff(program.failures, restart.min_backoff, restart.max_backoff);
    program.not_before = now.saturating_add(pause);
    if !pause.is_zero() {
        let text =
            format!("failures in a row: {}; starting again in {} s", program.failures, pause.as_secs_f64());
        say(actions, Level::Warn, id, text);
    }
}

fn give_up(state: &mut State, id: Id, status: ExitStatus, why: &str, actions: &mut Vec<Action>) {
    let Some(program) = state.programs.get_mut(id.0) else { return };
    program.done = true;
    program.fit = None;
    if program.phase == Phase::Down {
        program.phase = Phase::Failed;
    }
    let exit = program.spec.critical && program.spec.restart.on_give_up == OnGiveUp::Exit;
    if exit {
        let text = format!("gave up: {why}; ending with status {status}");
        say(actions, Level::Error, id, text.clone());
        begin_shutdown(state, Some(GaveUp { id, status, text, last: true }));
    } else {
        say(actions, Level::Error, id, format!("gave up: {why}; it stays down until an operator starts it"));
    }
}

fn remains(program: &mut Program, run: Run, left: usize, now: Duration) {
    let Phase::Draining { run: current, look_at, looks, .. } = &mut program.phase else { return };
    if *current != run {
        return;
    }
    if left > 0 {
        *look_at = now.saturating_add(LOOK_AGAIN.saturating_mul(1 << (*looks).min(7)));
        *looks = looks.saturating_add(1);
    } else {
        program.enter(if program.done { Phase::Failed } else { Phase::Down }, now);
    }
}
