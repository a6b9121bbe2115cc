//! What follows from the end of a process, and from one that could not be made.

use std::time::Duration;

use super::backoff::backoff;
use super::classify::Class;
use super::event::{Action, End, Level, Prepared};
use super::ladder::Rung;
use super::model::{
    Doubt, ExitStatus, Fit, GaveUp, Id, LastExit, Phase, Program, Run, State, Time, What, Why,
};
use super::note::{say, with};
use super::search;
use super::settle::may_run;
use super::spec::{Kind, OnGiveUp, Policy};
use super::wishes::begin_shutdown;

/// How long to wait before the data directory, or a fork that failed, is tried again: long enough to cost nothing,
/// short enough that nobody waits for it.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// The first look at what is left of a run follows the first one after this; each next pause doubles, to 128 times.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Not yet: tries again soon, and tells people once for each reason.
fn wait(program: &mut Program, id: Id, now: Duration, why: String, actions: &mut Vec<Action>) {
    program.not_before = now.saturating_add(TRY_AGAIN);
    if program.waiting.as_ref() != Some(&why) {
        say(actions, Level::Warn, id, format!("not started yet, tried again each second: {why}"));
        program.waiting = Some(why);
    }
}

pub(super) fn spawn_failed(
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

pub(super) fn prepare_ended(
    state: &mut State,
    id: Id,
    run: Run,
    prepared: Prepared,
    actions: &mut Vec<Action>,
) {
    let now = state.now;
    let aside = is_aside(state, id);
    let Some(program) = state.programs.get_mut(id.0) else { return };
    match program.phase {
        Phase::Preparing { run: current } if current == run && aside => {
            if prepared == Prepared::Foreign {
                program.fit = Some(Fit::Adopt);
            }
            program.not_before = Duration::ZERO;
            return program.enter(draining(run, now), now);
        }
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
    let stale = program.bounce;
    program.enter(Phase::Down, now);
    match prepared {
        Prepared::Go { unclean } => {
            // What it has prepared is out of date where a restart has been asked for meanwhile.
            program.fit = (!stale).then_some(Fit::Start);
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
            program.bounce = stale;
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

/// Whether it is to be stopped, and waits for its turn: it has nothing to fail at. At a shutdown all do, and their status
/// counts.
fn is_aside(state: &State, id: Id) -> bool {
    state.shutdown.is_none() && state.program(id).is_some_and(|program| !may_run(state, program))
}

pub(super) fn ended(state: &mut State, id: Id, run: Run, end: End, class: Class, actions: &mut Vec<Action>) {
    let now = state.now;
    let aside = is_aside(state, id);
    let Some(program) = state.programs.get_mut(id.0) else { return };
    if program.run() != Some(run) {
        return;
    }
    match program.phase {
        Phase::Stopping { .. } => return asked_end(state, id, end, actions),
        Phase::Preparing { .. } => {
            let prepared = Prepared::Broke(format!("it {class} ({end})"));
            return prepare_ended(state, id, run, prepared, actions);
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
    let took = now.saturating_sub(program.since);
    if program.spec.kind == Kind::Oneshot && class == Class::Clean {
        program.failures = 0;
        program.completed = true;
        program.start_took = Some(took);
        program.enter(draining(run, now), now);
        return say(actions, Level::Info, id, format!("completed after {:.3} s", took.as_secs_f64()));
    }
    count(program, class);
    if aside {
        program.suspect = program.spec.prepares && matches!(class, Class::Clean | Class::Unknown);
        program.enter(draining(run, now), now);
        program.not_before = Duration::ZERO;
        return say(actions, Level::Warn, id, format!("{class} ({end}), before it was stopped"));
    }
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
            program.suspect = program.spec.prepares;
            let seconds = delay.as_secs_f64();
            let text = match program.spec.kind {
                Kind::Engine => format!(
                    "ended by itself ({end}): somebody else's pg_ctl has {seconds} s, then it starts again"
                ),
                Kind::Command | Kind::Oneshot => {
                    format!("ended by itself ({end}): starting again in {seconds} s")
                }
            };
            say(actions, Level::Info, id, text);
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

/// Whether a process ended by the very signal that asked it to. An engine that did had just been started and had set up
/// no handler, so it had done nothing either.
fn by_the_asking(stop_signal: Option<i32>, end: End, sent: Rung) -> bool {
    const SIGINT: i32 = 2;
    const SIGQUIT: i32 = 3;
    const SIGTERM: i32 = 15;
    match (stop_signal, end) {
        (Some(asked), End::Signal(signal)) => asked == signal,
        (None, end) => matches!(
            (end, sent),
            (End::Signal(SIGTERM), Rung::Smart)
                | (End::Signal(SIGINT), Rung::Fast)
                | (End::Signal(SIGQUIT), Rung::Immediate)
        ),
        (Some(_), _) => false,
    }
}

/// Whether that is how a process ends which was asked to. Of an engine every status but 0 tells of trouble; what other
/// programs end with when they are asked to end means nothing in particular (143, 130, 1 are common).
fn in_order(program: &Program, end: End, sent: Rung) -> bool {
    let status = match end {
        End::Code(0) | End::Unknown => true,
        End::Code(_) => program.spec.stop_signal.is_some(),
        End::Signal(_) => false,
    };
    status || by_the_asking(program.spec.stop_signal, end, sent)
}

/// The end that was asked for.
fn asked_end(state: &mut State, id: Id, end: End, actions: &mut Vec<Action>) {
    let now = state.now;
    let Some(program) = state.program(id) else { return };
    let Phase::Stopping { run, what, why, asked, sent, forced, .. } = program.phase else { return };
    let orderly = in_order(program, end, sent) && sent != Rung::Kill && !forced;
    // Who is not to run any more has nothing to fail at.
    let fails = may_run(state, program);
    let Some(program) = state.programs.get_mut(id.0) else { return };
    if what == What::Main {
        let class = match why {
            Why::Asked => Class::Asked,
            Why::Failed(class) => class,
        };
        program.last_exit = Some(LastExit { end, class, at: now });
        let took = now.saturating_sub(asked);
        program.stop_took = Some(took);
        let level = if orderly { Level::Info } else { Level::Warn };
        let how = if sent == Rung::Kill { ", killed" } else { "" };
        say(actions, level, id, format!("stopped after {:.3} s ({end}{how})", took.as_secs_f64()));
    }
    program.enter(draining(run, now), now);
    program.not_before = Duration::ZERO;
    if let Some(shutdown) = state.shutdown.as_mut() {
        shutdown.forced |= !orderly;
    }
    if let Why::Failed(class) = why {
        count(program, class);
        if fails {
            failed(state, id, end.exit_status(), format!("it {class} ({end})"), actions);
        }
    }
}

fn count(program: &mut Program, class: Class) {
    let count = program.ends.entry(class).or_default();
    *count = count.saturating_add(1);
}

fn draining(run: Run, now: Duration) -> Phase {
    Phase::Draining { run, look_at: now, looks: 0, sent: None, prompted: false }
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
    let exit = program.spec.critical && !program.removed && program.spec.restart.on_give_up == OnGiveUp::Exit;
    if exit {
        let text = format!("gave up: {why}; ending with status {status}");
        say(actions, Level::Error, id, text.clone());
        begin_shutdown(state, Some(GaveUp { id, status, text, last: true }));
    } else {
        say(actions, Level::Error, id, format!("gave up: {why}; it stays down until an operator starts it"));
    }
}

pub(super) fn remains(state: &mut State, id: Id, run: Run, left: usize) {
    let now = state.now;
    let Some(program) = state.programs.get_mut(id.0) else { return };
    let Phase::Draining { run: current, look_at, looks, .. } = &mut program.phase else { return };
    if *current != run {
        return;
    }
    if left > 0 {
        *look_at = now.saturating_add(LOOK_AGAIN.saturating_mul(1 << (*looks).min(7)));
        *looks = looks.saturating_add(1);
    } else {
        let gave_up = program.done && !program.removed;
        program.enter(if gave_up { Phase::Failed } else { Phase::Down }, now);
        if program.standby.take().is_some() {
            state.links.reorder();
        }
    }
}

/// Whoever waits for the last of a run looks at once. Such a look does not make the pauses between the others longer.
pub(super) fn orphan_ended(state: &mut State) {
    let now = state.now;
    for (place, program) in state.programs.iter_mut().enumerate() {
        let Phase::Draining { look_at, looks, prompted, .. } = &mut program.phase else { continue };
        // Before the first look it is due, and during one its answer is.
        if *looks > 0 && *look_at < Time::MAX {
            (*look_at, *prompted) = (now, true);
            *looks = looks.saturating_sub(1).max(1);
            state.links.touch(Id(place));
        }
    }
}
