//! Stories of odd orders and rare failures: each once left the core stuck, or doing what it must not.

use super::*;

#[test]
fn after_the_end_nothing_changes_any_more() {
    let mut story = Story::up(engine());
    story.at(2_000, Event::Stop);
    story.at(2_500, clean(ENGINE, 2));
    assert_eq!(story.at(2_500, Event::Remains(ENGINE, Run(2), 0)), "finish 0");
    let (state, said) = (story.state.clone(), story.said.len());
    for event in [Event::Tick, Event::Stop, Event::Quit, Event::Lock(ENGINE, Lock::Present)] {
        assert_eq!(story.at(60_000, event), "");
    }
    assert_eq!((&story.state, story.said.len()), (&state, said));
    assert_eq!(story.deadline(), None);
}

#[test]
fn a_stop_does_not_wait_for_a_process_that_could_not_be_made() {
    for prepared in [false, true] {
        let mut story = Story::new(vec![engine()]);
        story.at(0, Event::Lock(ENGINE, Lock::Absent));
        if prepared {
            story.at(0, go(ENGINE, 1));
        }
        let run = Run(story.state.last_run);
        story.at(1, Event::Lock(ENGINE, Lock::Present));
        assert_eq!(story.at(2, Event::SpawnFailed(ENGINE, run, "EAGAIN".into())), "");
        assert_eq!(story.phase(), "down", "there is nothing that could end");
        let mut shutdown = story.clone();
        assert_eq!(shutdown.at(3, Event::Stop), "finish 0");
        assert_eq!(story.at(3, Event::Lock(ENGINE, Lock::Absent)), format!("prepare 0#{}", run.0 + 1));
    }
}

#[test]
fn an_adopted_postmaster_that_was_told_to_end_has_not_crashed() {
    let mut spec = engine();
    spec.restart.give_up_after = 1;
    let mut story = Story::new(vec![spec]);
    story.at(0, Event::Lock(ENGINE, Lock::Absent));
    story.at(10, Event::Prepared(ENGINE, Run(1), Prepared::Foreign));
    story.at(20, Event::Ready(ENGINE, Run(2)));
    assert_eq!(story.at(1_000, Event::Lock(ENGINE, Lock::Present)), "signal 0#2 fast");
    story.until(60_000);
    story.at(60_000, unknown(ENGINE, 2));
    story.at(60_000, Event::Remains(ENGINE, Run(2), 0));
    assert_eq!(story.at(70_000, Event::Lock(ENGINE, Lock::Absent)), "prepare 0#3");
    let unclean = Prepared::Go { unclean: true };
    assert_eq!(story.at(70_010, Event::Prepared(ENGINE, Run(3), unclean)), "start 0#4");
    assert_eq!(story.failures(), 0, "it was killed by us: that is no failure to give up for");
    let last = story.state.programs[0].last_exit.unwrap();
    assert_eq!((last.end, last.class), (End::Unknown, Class::Asked), "and is told as it was");
}

#[test]
fn an_adopted_postmaster_that_crashed_is_a_failure_to_restart_after() {
    let mut spec = engine();
    spec.restart.policy = Policy::OnFailure;
    let mut story = Story::new(vec![spec]);
    story.at(0, Event::Lock(ENGINE, Lock::Absent));
    story.at(10, Event::Prepared(ENGINE, Run(1), Prepared::Foreign));
    story.at(20, Event::Ready(ENGINE, Run(2)));
    story.at(5_000, unknown(ENGINE, 2));
    story.at(5_000, Event::Remains(ENGINE, Run(2), 0));
    story.until(6_000);
    assert_eq!(story.phase(), "preparing", "its status is unknown: the control file tells");
    let run = Run(story.state.last_run);
    story.at(6_010, Event::Prepared(ENGINE, run, Prepared::Go { unclean: true }));
    assert_eq!((story.failures(), story.phase()), (1, "starting".to_owned()));
}

#[test]
fn sessions_that_outstay_a_smart_stop_do_not_make_it_a_forced_one() {
    let mut spec = engine();
    spec.ladder.first = Rung::Smart;
    let mut story = Story::up(spec);
    assert_eq!(story.at(2_000, Event::Stop), "signal 0#2 smart");
    let mut late = story.clone();
    assert_eq!(story.until(20_000), ["5000: blockers 0#2", "18500: blockers 0#2, signal 0#2 fast"]);
    story.at(20_000, clean(ENGINE, 2));
    assert_eq!(story.at(20_000, Event::Remains(ENGINE, Run(2), 0)), "finish 0", "a fast stop is in order");
    late.until(36_000);
    late.at(36_000, clean(ENGINE, 2));
    assert_eq!(late.at(36_000, Event::Remains(ENGINE, Run(2), 0)), "finish 1", "an immediate one is not");
}

#[test]
fn a_gap_in_the_chain_does_not_break_the_order_of_the_stops() {
    let after = |id| Spec { after: vec![id], ..command("link") };
    let mut story = Story::new(vec![command("base"), after(ENGINE), after(OTHER)]);
    for place in 0..3 {
        story.at(0, Event::Lock(Id(place), Lock::Absent));
    }
    for place in 0..3 {
        story.at(10, Event::Ready(Id(place), Run(place as u64 + 1)));
    }
    assert_eq!(story.at(20, Event::Lock(OTHER, Lock::Present)), "signal 1#2 fast");
    story.at(30, clean(OTHER, 2));
    story.at(30, Event::Remains(OTHER, Run(2), 0));
    assert_eq!(story.phases(), ["up", "down", "up"]);
    assert_eq!(story.at(40, Event::Stop), "signal 2#3 fast", "the first is still needed by the third");
    story.at(50, clean(Id(2), 3));
    assert_eq!(story.at(50, Event::Remains(Id(2), Run(3), 0)), "signal 0#1 fast");
}

#[test]
fn a_program_that_needs_itself_does_not_hold_up_a_shutdown() {
    let mut story = Story::up(command("snake"));
    let spec = story.state.programs[0].spec.clone();
    story.at(2_000, Event::Respec(ENGINE, Box::new(Spec { after: vec![ENGINE], ..spec }), false));
    assert_eq!(story.at(2_001, Event::Stop), "signal 0#1 fast");
}

#[test]
fn a_crash_while_it_waits_for_its_turn_to_stop_is_not_in_order() {
    let mut story = Story::new(vec![command("base"), Spec { after: vec![ENGINE], ..command("link") }]);
    story.at(0, Event::Lock(ENGINE, Lock::Absent));
    story.at(0, Event::Lock(OTHER, Lock::Absent));
    story.at(10, Event::Ready(ENGINE, Run(1)));
    assert_eq!(story.at(20, Event::Stop), "signal 1#2 fast");
    story.at(30, crash(ENGINE, 1));
    story.at(30, Event::Remains(ENGINE, Run(1), 0));
    story.at(40, clean(OTHER, 2));
    assert_eq!(story.at(40, Event::Remains(OTHER, Run(2), 0)), "finish 1");
}

#[test]
fn a_long_time_up_counts_although_nobody_looked_before_the_end() {
    let mut spec = engine();
    spec.restart.give_up_after = 2;
    let mut story = Story::up(spec);
    story.at(2_000, crash(ENGINE, 2));
    story.at(2_000, Event::Remains(ENGINE, Run(2), 0));
    story.at(2_010, go(ENGINE, 3));
    story.at(2_020, Event::Ready(ENGINE, Run(4)));
    story.at(62_020, crash(ENGINE, 4));
    assert_eq!(story.failures(), 1);
    assert_eq!(story.at(62_020, Event::Remains(ENGINE, Run(4), 0)), "prepare 0#5");
}

#[test]
fn what_a_broken_prepare_child_left_is_ended_before_the_next() {
    let broke = Event::Prepared(ENGINE, Run(1), Prepared::Broke("killed".into()));
    for event in [broke, crash(ENGINE, 1)] {
        let mut story = Story::new(vec![engine()]);
        story.at(0, Event::Lock(ENGINE, Lock::Absent));
        assert_eq!(story.at(100, event), "look 0#1", "its initdb may still run");
        story.at(100, Event::Remains(ENGINE, Run(1), 1));
        assert_eq!((story.phase().as_str(), story.failures()), ("draining", 1));
        story.until(102);
        assert_eq!(story.at(110, Event::Remains(ENGINE, Run(1), 0)), "prepare 0#2");
    }
}

#[test]
fn a_main_process_that_cannot_be_made_is_told_once_and_is_no_start() {
    let mut story = Story::new(vec![engine()]);
    story.at(0, Event::Lock(ENGINE, Lock::Absent));
    for second in 0..5 {
        let run = story.state.last_run;
        story.at(second * 1_000, go(ENGINE, run));
        story.at(second * 1_000, Event::SpawnFailed(ENGINE, Run(run + 1), "EAGAIN".into()));
        story.until(second * 1_000 + 1_000);
    }
    assert_eq!(story.said.iter().filter(|text| text.contains("EAGAIN")).count(), 1);
    assert_eq!(story.state.programs[0].starts, 0);
}

#[test]
fn a_program_waits_no_more_once_it_has_run() {
    let mut story = Story::new(vec![command("pfsd")]);
    story.at(0, Event::Lock(ENGINE, Lock::Absent));
    story.at(0, Event::SpawnFailed(ENGINE, Run(1), "EAGAIN".into()));
    assert_eq!(report(&story.state, story.state.now)[0].1.reason, Some("waiting"));
    story.until(1_000);
    for run in [2, 3] {
        story.at(2_000, crash(ENGINE, run));
        story.at(2_000, Event::Remains(ENGINE, Run(run), 0));
    }
    let report = &report(&story.state, story.state.now)[0].1;
    assert_eq!((report.state, report.reason), ("backoff", None));
}

#[test]
fn nothing_starts_on_what_is_being_stopped_in_the_same_step() {
    let mut story = Story::new(vec![Spec { requires: vec![OTHER], ..command("link") }, command("base")]);
    story.at(0, Event::Lock(ENGINE, Lock::Absent));
    story.at(0, Event::Lock(OTHER, Lock::Absent));
    assert_eq!(story.at(10, Event::Ready(OTHER, Run(1))), "start 0#2");
    story.at(20, clean(ENGINE, 2));
    story.at(20, Event::Remains(ENGINE, Run(2), 0));
    assert_eq!(story.at(1_020, Event::Lock(OTHER, Lock::Present)), "signal 1#1 fast");
}
