//! Every event in every phase. `table.txt` lists what changes anything; what it does not list changes nothing.

use super::*;

const TABLE: &str = include_str!("table.txt");

/// The run that a program is about, or the last one.
fn run(state: &State) -> Run {
    state.programs[0].run().unwrap_or(Run(state.last_run))
}

/// One program in each phase, by each way that makes a difference.
fn scenes() -> Vec<(&'static str, Story)> {
    let mut stay = engine();
    stay.restart.on_give_up = OnGiveUp::Stay;
    let told = |mut story: Story, events: Vec<(u64, Event)>| {
        for (at, event) in events {
            story.at(at, event);
        }
        story
    };
    let lock = |lock| Event::Lock(ENGINE, lock);
    let fresh = || told(Story::new(vec![stay.clone()]), vec![(0, Event::Tick)]);
    let up = || Story::up(stay.clone());
    let preparing = || told(fresh(), vec![(0, lock(Lock::Absent))]);
    let foreign = || told(preparing(), vec![(500, Event::Prepared(ENGINE, Run(1), Prepared::Foreign))]);
    let crashed = || told(up(), vec![(2_000, crash(ENGINE, 2))]);
    let stopping = |after: u64| {
        let mut story = told(up(), vec![(2_000, lock(Lock::Present))]);
        story.until(2_000 + after);
        story
    };
    let ending = |after: u64| {
        let mut story = told(preparing(), vec![(100, lock(Lock::Present))]);
        story.until(100 + after);
        story
    };
    let left = |left| Event::Remains(ENGINE, Run(2), left);
    let file = Event::PidFile(ENGINE, true);
    let nobody = Event::Prepared(ENGINE, Run(1), Prepared::Nobody);
    let searching = || told(fresh(), vec![(0, lock(Lock::Present)), (0, Event::PidFile(ENGINE, true))]);
    let give_up = Prepared::GiveUp(78, "no".into());
    let mut sidecar = Spec { lock_file: None, ready_within: Some(ms(5_000)), ..command("sidecar") };
    sidecar.restart.on_give_up = OnGiveUp::Stay;
    let job = Spec { kind: Kind::Oneshot, ready_within: None, ..sidecar.clone() };
    let sidecar = || told(Story::new(vec![sidecar.clone()]), vec![(0, Event::Tick)]);
    let job = || told(Story::new(vec![job.clone()]), vec![(0, Event::Tick)]);
    let late = || told(sidecar(), vec![(5_000, Event::Tick)]);
    let completed = || told(job(), vec![(500, clean(ENGINE, 1))]);
    let none_left = Event::Remains(ENGINE, Run(1), 0);
    vec![
        ("command starting", sidecar()),
        ("command up", told(sidecar(), vec![(500, Event::Ready(ENGINE, Run(1)))])),
        ("command stopping, not ready", late()),
        ("command draining, not ready", told(late(), vec![(6_000, clean(ENGINE, 1))])),
        ("one-shot starting", job()),
        ("one-shot draining, completed", completed()),
        ("one-shot down, completed", told(completed(), vec![(500, none_left)])),
        ("removed, stopping", told(up(), vec![(2_000, Event::Remove(ENGINE))])),
        ("removed, down", told(fresh(), vec![(2_000, Event::Remove(ENGINE))])),
        ("down, no word of the lock", fresh()),
        ("down, locked", told(fresh(), vec![(0, lock(Lock::Present))])),
        ("down, pausing", told(up(), vec![(2_000, clean(ENGINE, 2)), (2_000, left(0))])),
        ("down, locked, looked", told(fresh(), vec![(0, lock(Lock::Present)), (0, file), (100, nobody)])),
        ("searching, locked", searching()),
        ("searching", told(up(), vec![(2_000, clean(ENGINE, 2)), (2_000, left(0)), (2_100, Event::Stop)])),
        ("preparing", preparing()),
        ("starting", told(preparing(), vec![(500, go(ENGINE, 1))])),
        ("starting adopted", foreign()),
        ("up", up()),
        ("up adopted", told(foreign(), vec![(1_000, Event::Ready(ENGINE, Run(2)))])),
        ("stopping prepare fast", ending(0)),
        ("stopping prepare kill", ending(18_000)),
        ("stopping main fast", stopping(0)),
        ("stopping main immediate", stopping(34_000)),
        ("stopping main kill", stopping(43_000)),
        ("draining, not looked", crashed()),
        ("draining, looked", told(crashed(), vec![(2_000, left(2))])),
        ("failed", told(preparing(), vec![(500, Event::Prepared(ENGINE, Run(1), give_up))])),
    ]
}

/// Events that are not about a run.
fn plain(id: Id) -> Vec<(&'static str, Event)> {
    let mut hasty = engine();
    hasty.ladder.budget = ms(20_000);
    vec![
        ("tick", Event::Tick),
        ("stop", Event::Stop),
        ("quit", Event::Quit),
        ("locked", Event::Lock(id, Lock::Present)),
        ("unlocked", Event::Lock(id, Lock::Absent)),
        ("lock unknown", Event::Lock(id, Lock::Unknown)),
        ("pid file", Event::PidFile(id, true)),
        ("no pid file", Event::PidFile(id, false)),
        ("operator up", Event::Operator(id, Wish::Up)),
        ("operator down", Event::Operator(id, Wish::Down(None))),
        ("operator smart", Event::Operator(id, Wish::Down(Some(Rung::Smart)))),
        ("restart", Event::Operator(id, Wish::Restart(None))),
        ("restart kill", Event::Operator(id, Wish::Restart(Some(Rung::Kill)))),
        ("respec", Event::Respec(id, Box::new(hasty.clone()), false)),
        ("respec, restart", Event::Respec(id, Box::new(hasty), true)),
        ("remove", Event::Remove(id)),
    ]
}

/// Events that are about a run.
fn of_run(id: Id, run: Run) -> Vec<(&'static str, Event)> {
    let prepared = |prepared| Event::Prepared(id, run, prepared);
    vec![
        ("initializing", Event::Initializing(id, run)),
        ("go", prepared(Prepared::Go { unclean: false })),
        ("go, unclean", prepared(Prepared::Go { unclean: true })),
        ("foreign", prepared(Prepared::Foreign)),
        ("nobody", prepared(Prepared::Nobody)),
        ("prepare saw lock", prepared(Prepared::Locked)),
        ("wait", prepared(Prepared::Wait("not yet".into()))),
        ("give up", prepared(Prepared::GiveUp(78, "never".into()))),
        ("broke", prepared(Prepared::Broke("it crashed".into()))),
        ("spawn failed", Event::SpawnFailed(id, run, "EAGAIN".into())),
        ("ready", Event::Ready(id, run)),
        ("standby", Event::Standby(id, run, true)),
        ("unwell", Event::Unwell(id, run, "no answer".into())),
        ("ended clean", clean(id, run.0)),
        ("ended crash", crash(id, run.0)),
        ("ended rival", rival(id, run.0)),
        ("ended unknown", unknown(id, run.0)),
        ("nothing remains", Event::Remains(id, run, 0)),
        ("two remain", Event::Remains(id, run, 2)),
    ]
}

/// The facts beside the phase, where they are not what they are in a program that runs well.
fn facts(state: &State) -> String {
    let program = &state.programs[0];
    let pause = program.not_before.saturating_sub(state.now).as_millis();
    let floor = match &program.phase {
        Phase::Stopping { floor, .. } => format!("floor {floor:?}").to_lowercase(),
        _ => String::new(),
    };
    [
        (state.shutdown.is_some(), "shutdown".to_owned()),
        (program.lock == Lock::Present, "locked".into()),
        (!program.operator_up, "operator down".into()),
        (program.failures > 0, format!("failures {}", program.failures)),
        (pause > 0, format!("pause {pause} ms")),
        (program.waiting.is_some(), "waiting".into()),
        (matches!(program.pid_file, PidFile::Fresh { .. }), "pid file".into()),
        (program.pid_file == PidFile::Searched, "pid file searched".into()),
        (matches!(program.doubt, Some(Doubt::Crash)), "crash?".into()),
        (matches!(program.doubt, Some(Doubt::Rival(_))), "rival?".into()),
        (program.suspect, "suspect".into()),
        (program.completed, "completed".into()),
        (program.removed, "removed".into()),
        (program.standby == Some(true), "standby".into()),
        (program.bounce, "bounce".into()),
        (program.fault.is_some(), "fault".into()),
        (matches!(program.phase, Phase::Stopping { why: Why::Failed(_), .. }), "for a failure".into()),
        (program.initializing, "initializing".into()),
        (program.done && program.phase != Phase::Failed, "done".into()),
        (!floor.is_empty(), floor),
    ]
    .into_iter()
    .filter_map(|(holds, fact)| holds.then_some(fact))
    .collect::<Vec<_>>()
    .join(", ")
}

/// What `event` does 1 ms later; `None`: nothing but that time passes.
fn outcome(story: &Story, event: Event) -> Option<String> {
    let mut after = story.clone();
    let at = story.state.now + ms(1);
    let actions = after.at(u64::try_from(at.as_millis()).unwrap(), event);
    let untouched = State { now: at, ..story.state.clone() };
    if after.state == untouched && actions.is_empty() && after.said == story.said {
        return None;
    }
    let actions = if actions.is_empty() { "-".to_owned() } else { actions };
    Some(format!("{:<24} | {:<32} | {}", after.phase(), actions, facts(&after.state)).trim_end().to_owned())
}

#[test]
fn every_event_in_every_phase() {
    let mut table = String::new();
    for (scene, story) in scenes() {
        table += &format!("{scene}: {}\n", facts(&story.state)).replace(": \n", ":\n");
        for (name, event) in plain(ENGINE).into_iter().chain(of_run(ENGINE, run(&story.state))) {
            if let Some(outcome) = outcome(&story, event) {
                table += &format!("    {name:<16} | {outcome}\n");
            }
        }
    }
    let only = |one: &str, other: &str| {
        one.lines().filter(|line| !other.lines().any(|it| it == *line)).collect::<Vec<_>>().join("\n")
    };
    let (got, wanted) = (only(&table, TABLE), only(TABLE, &table));
    assert!(table == TABLE, "in all:\n{table}--\nwanted:\n{wanted}\ngot:\n{got}\n--");
}

#[test]
fn news_of_other_runs_and_of_unknown_programs_changes_nothing() {
    for (scene, story) in scenes() {
        let current = run(&story.state);
        let stale = [Run(current.0 - current.0.min(1)), Run(current.0 + 1), Run(u64::MAX)];
        let stale = stale.into_iter().filter(|&run| run != current).flat_map(|run| of_run(ENGINE, run));
        let unknown = plain(Id(7)).into_iter().skip(3).chain(of_run(Id(7), current));
        for (name, event) in stale.chain(unknown) {
            assert_eq!(outcome(&story, event.clone()), None, "{scene}: {name}: {event:?}");
        }
    }
}

#[test]
fn time_never_runs_backwards() {
    for (scene, story) in scenes() {
        let now = story.state.now;
        let (state, _) = step(story.state.clone(), ms(0), Event::Stop);
        assert_eq!(state.now, now, "{scene}");
        assert_eq!(state.shutdown.map(|shutdown| shutdown.since), Some(now), "{scene}");
    }
}
