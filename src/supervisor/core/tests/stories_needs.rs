//! Stories: commands and one-shots, and what programs need of each other.

use super::*;

#[test]
fn what_nothing_locks_starts_at_once() {
    let mut story = Story::new(vec![sidecar("pfsd"), engine()]);
    assert_eq!(story.at(0, Event::Tick), "start 0#1");
    assert_eq!(story.at(1, Event::Lock(ENGINE, Lock::Present)), "", "it has no lock file");
    assert_eq!(glance(&story, OTHER), ("down", Some("unknown")));
}

#[test]
fn after_waits_for_one_that_is_to_run() {
    let mut story = Story::new(vec![sidecar("pfsd"), after(ENGINE, sidecar("exporter"))]);
    assert_eq!(story.at(0, Event::Tick), "start 0#1");
    assert_eq!(glance(&story, OTHER), ("down", Some("dependency")));
    assert_eq!(told(&story, OTHER, "dependencies"), "Blocks: waits for pfsd, which is starting for 0.0 s");
    story.at(10, crash(ENGINE, 1));
    story.at(10, gone(ENGINE, 1));
    story.at(20, crash(ENGINE, 2));
    assert_eq!(story.at(20, gone(ENGINE, 2)), "", "the pause of the one holds the other");
    assert_eq!(
        told(&story, OTHER, "dependencies"),
        "Blocks: waits for pfsd, which is backoff for 0.0 s (2 failures in a row, started again in 0.1 s)"
    );
    assert_eq!(story.until(120), ["120: start 0#3"]);
    assert_eq!(story.at(130, ready(ENGINE, 3)), "start 1#4");
}

#[test]
fn after_waits_for_nobody_who_is_not_to_run() {
    let mut weak = sidecar("pfsd");
    weak.restart.give_up_after = 1;
    let lockable = Spec { lock_file: Some("/lock".into()), ..weak.clone() };
    for (first, event, wanted) in [
        (weak.clone(), down(ENGINE), "start 1#2, signal 0#1 fast"),
        (weak.clone(), Event::Remove(ENGINE), "signal 0#1 fast, start 1#2"),
        (weak.clone(), crash(ENGINE, 1), "look 0#1, start 1#2"),
        (lockable, Event::Lock(ENGINE, Lock::Present), "start 1#2"),
    ] {
        let mut story = Story::new(vec![first, after(ENGINE, sidecar("exporter"))]);
        story.at(0, Event::Tick);
        let done = story.at(10, event.clone());
        let (mut done, mut wanted): (Vec<_>, Vec<_>) =
            (done.split(", ").collect(), wanted.split(", ").collect());
        done.sort_unstable();
        wanted.sort_unstable();
        let wanted: Vec<_> =
            wanted.iter().map(|it| it.replace("1#2", &format!("1#{}", story.state.last_run))).collect();
        assert_eq!(done, wanted, "{event:?}");
    }
}

#[test]
fn after_waits_for_nobody_whose_own_requirement_is_not_to_run() {
    let mut story =
        Story::new(vec![sidecar("a"), requires(ENGINE, sidecar("b")), after(OTHER, sidecar("c"))]);
    assert_eq!(story.at(0, Event::Tick), "start 0#1");
    assert_eq!(story.at(1, down(ENGINE)), "signal 0#1 fast, start 2#2");
    assert_eq!(story.phases(), ["stopping main fast", "down", "starting"]);
    assert_eq!(
        told(&story, OTHER, "dependencies"),
        "Blocks: requires a, which is stopping for 0.0 s (stopped)"
    );
}

#[test]
fn requires_waits_in_any_case() {
    let mut story = Story::new(vec![sidecar("pfsd"), requires(ENGINE, engine())]);
    story.at(0, Event::Lock(OTHER, Lock::Absent));
    assert_eq!(story.at(10, down(ENGINE)), "signal 0#1 fast");
    story.at(20, clean(ENGINE, 1));
    assert_eq!(story.at(20, gone(ENGINE, 1)), "");
    assert_eq!(
        told(&story, OTHER, "dependencies"),
        "Blocks: requires pfsd, which is down for 0.0 s (stopped)"
    );
    assert_eq!(story.at(30, up(ENGINE)), "start 0#2");
    assert_eq!(story.at(40, ready(ENGINE, 2)), "prepare 1#3");
}

#[test]
fn the_death_of_one_leaves_those_alone_that_are_not_bound() {
    let mut story = all_up(vec![
        sidecar("pfsd"),
        requires(ENGINE, sidecar("loose")),
        bound(ENGINE, sidecar("tight")),
        after(THIRD, sidecar("later")),
    ]);
    assert_eq!(story.at(10, crash(ENGINE, 1)), "look 0#1, signal 2#3 fast");
    assert_eq!(told(&story, OTHER, "dependencies"), "Warns: requires pfsd, which is stopping for 0.0 s");
    assert_eq!(story.at(11, gone(ENGINE, 1)), "start 0#5");
    story.at(12, Event::Ended(THIRD, Run(3), End::Signal(15), Class::Crashed));
    assert_eq!(story.at(12, gone(THIRD, 3)), "", "it waits until that is up again");
    assert_eq!(story.at(20, ready(ENGINE, 5)), "start 2#6");
    let tight = &story.state.programs[2];
    assert_eq!((tight.failures, tight.last_exit.unwrap().class), (0, Class::Asked));
    assert_eq!(story.phases(), ["up", "up", "starting", "up"]);
}

#[test]
fn a_stop_takes_down_what_is_bound_first() {
    let mut story = all_up(vec![sidecar("pfsd"), bound(ENGINE, sidecar("a")), bound(OTHER, sidecar("b"))]);
    assert_eq!(story.at(10, down(ENGINE)), "signal 2#3 fast");
    assert_eq!(told(&story, ENGINE, "stop"), "Warns: it is stopped after a has ended");
    story.at(20, clean(THIRD, 3));
    assert_eq!(story.at(20, gone(THIRD, 3)), "signal 1#2 fast");
    story.at(30, clean(OTHER, 2));
    assert_eq!(story.at(30, gone(OTHER, 2)), "signal 0#1 fast");
    story.at(40, clean(ENGINE, 1));
    assert_eq!(story.at(40, gone(ENGINE, 1)), "");
    assert_eq!(story.at(50, up(ENGINE)), "start 0#4");
    assert_eq!(story.at(60, ready(ENGINE, 4)), "start 1#5");
}

#[test]
fn a_stop_waits_for_no_process_that_cannot_be_killed() {
    let mut story = all_up(vec![sidecar("pfsd"), bound(ENGINE, sidecar("a"))]);
    assert_eq!(story.at(10, down(ENGINE)), "signal 1#2 fast");
    assert_eq!(story.until(60_000), ["10010: signal 1#2 kill, signal 0#1 fast", "20010: signal 0#1 kill"]);
}

#[test]
fn what_is_stopped_together_goes_down_in_order_and_comes_up_in_order() {
    let mut story = all_up(vec![sidecar("a"), after(ENGINE, sidecar("b")), sidecar("c")]);
    let all = |event: fn(Id) -> Event| Event::Together(vec![event(ENGINE), event(OTHER), event(THIRD)]);
    let one_by_one = story.clone().at(10, restart(ENGINE));
    assert_eq!(one_by_one, "signal 0#1 fast");
    assert_eq!(story.at(10, all(restart)), "signal 1#3 fast, signal 2#2 fast");
    story.at(20, clean(OTHER, 3));
    assert_eq!(story.at(20, gone(OTHER, 3)), "signal 0#1 fast", "and the second waits for the first");
    story.at(30, clean(ENGINE, 1));
    assert_eq!(story.at(30, gone(ENGINE, 1)), "start 0#4");
    assert_eq!(story.at(40, ready(ENGINE, 4)), "start 1#5");
}

#[test]
fn a_one_shot_completes_once() {
    let mut story = Story::new(vec![job("migrate"), requires(ENGINE, sidecar("app"))]);
    assert_eq!(story.at(0, Event::Tick), "start 0#1");
    assert_eq!(story.at(5, ready(ENGINE, 1)), "", "it is ready when it has ended");
    assert_eq!(glance(&story, ENGINE), ("starting", None));
    assert_eq!(story.at(1_500, clean(ENGINE, 1)), "look 0#1");
    assert_eq!(story.at(1_500, gone(ENGINE, 1)), "start 1#2", "nothing of it is left");
    let it = &report(&story.state, ms(2_000))[0].1;
    assert_eq!((it.state, it.reason, it.ready), ("down", Some("completed"), true));
    assert_eq!((it.start_took, it.restarts, it.ends.len()), (Some(ms(1_500)), 0, 0));
    assert!(told(&story, ENGINE, "completed").starts_with("Blocks: it has completed"));
    assert_eq!(story.until(10_000_000), [""; 0]);
    for (at, wish) in [(10_000_000, Wish::Up), (10_001_000, Wish::Restart(None))] {
        let run = story.state.last_run + 1;
        assert_eq!(story.at(at, Event::Operator(ENGINE, wish)), format!("start 0#{run}"), "once more");
        story.at(at + 10, clean(ENGINE, run));
        assert_eq!(story.at(at + 10, gone(ENGINE, run)), "");
    }
    assert_eq!(story.phases(), ["down", "starting"], "who is not bound is left alone");
}

#[test]
fn a_one_shot_that_fails_is_tried_again_and_gives_up() {
    let mut spec = job("migrate");
    spec.restart.give_up_after = 2;
    let mut story = Story::new(vec![spec, requires(ENGINE, sidecar("a")), after(ENGINE, sidecar("b"))]);
    story.at(0, Event::Tick);
    story.at(100, Event::Ended(ENGINE, Run(1), End::Code(3), Class::Failure));
    assert_eq!(story.at(100, gone(ENGINE, 1)), "start 0#2");
    assert_eq!(
        story.at(200, Event::Ended(ENGINE, Run(2), End::Code(3), Class::Failure)),
        "look 0#2, start 2#3"
    );
    story.at(200, gone(ENGINE, 2));
    assert_eq!(story.phases(), ["failed", "down", "starting"]);
    assert_eq!(report(&story.state, ms(200))[0].1.ends, [(Class::Failure, 2)].into());
    assert_eq!(
        told(&story, OTHER, "dependencies"),
        "Blocks: requires migrate, which is failed for 0.0 s (it gave up)"
    );
    let why = "Blocks: it gave up after 2 failures in a row: it stays down until an operator starts it (polarctl start)";
    assert_eq!(told(&story, ENGINE, "gave_up"), why);
    assert_eq!(told(&story, ENGINE, "last_exit"), "Warns: 0.0 s ago it failed (exit status 3; failure)");
    assert_eq!(story.at(300, up(ENGINE)), "start 0#4");
}

#[test]
fn not_ready_in_time_is_one_failure() {
    let mut spec = Spec { ready_within: Some(ms(40_000)), ..sidecar("pfsd") };
    spec.restart.give_up_after = 3;
    let mut story = Story::new(vec![spec]);
    story.at(0, Event::Tick);
    assert_eq!(story.deadline(), Some(ms(40_000)));
    assert_eq!(
        told(&story, ENGINE, "readiness"),
        "Warns: not ready for 0.0 s; counts as a failure in 40.0 s"
    );
    let mut in_time = story.clone();
    in_time.at(39_999, ready(ENGINE, 1));
    assert_eq!((in_time.until(90_000), in_time.failures()), (vec![], 0));
    assert_eq!(story.until(41_000), ["40000: signal 0#1 fast"]);
    assert_eq!(story.at(41_000, clean(ENGINE, 1)), "look 0#1");
    assert_eq!(story.at(41_000, gone(ENGINE, 1)), "start 0#2", "the first failure has no pause");
    assert_eq!(
        (story.failures(), story.said.contains(&"not ready after 40.000 s: ending it".into())),
        (1, true)
    );
    assert_eq!(story.until(92_000), ["81000: signal 0#2 fast", "91000: signal 0#2 kill"]);
    story.at(92_000, crash(ENGINE, 2));
    assert_eq!(story.at(92_000, gone(ENGINE, 2)), "");
    assert_eq!(story.until(102_000), ["92100: start 0#3"], "the second has");
    story.until(140_000);
    story.at(140_000, clean(ENGINE, 3));
    story.at(140_000, gone(ENGINE, 3));
    assert_eq!((story.phase().as_str(), story.failures()), ("failed", 3));
    let it = &report(&story.state, ms(140_000))[0].1;
    assert_eq!((it.last_exit.unwrap().class, it.ends[&Class::NotReady]), (Class::NotReady, 3));
}

#[test]
fn failed_checks_end_it_and_count_as_a_failure() {
    for spec in [sidecar("exporter"), engine()] {
        let mut story = Story::up(spec);
        let run = story.state.last_run;
        let unwell = Event::Unwell(ENGINE, Run(run), "no answer within 3 s, 3 times in a row".into());
        assert_eq!(story.at(5_000, unwell.clone()), format!("signal 0#{run} fast"));
        assert_eq!(story.at(5_001, unwell), "", "once is enough");
        assert!(story.said.iter().any(|said| said.contains("no answer within 3 s")), "{:?}", story.said);
        story.at(6_000, clean(ENGINE, run));
        let next = story.at(6_000, gone(ENGINE, run));
        assert!(next.ends_with(&format!("0#{}", run + 1)), "it is started again: {next}");
        let it = &report(&story.state, ms(6_000))[0].1;
        assert_eq!((it.failures, it.last_exit.unwrap().class), (1, Class::Unwell));
        assert_eq!((it.ends[&Class::Unwell], it.stop_took), (1, Some(ms(1_000))));
    }
}

#[test]
fn who_is_not_wanted_any_more_fails_at_nothing() {
    for event in [down(ENGINE), up(ENGINE)] {
        let mut story = Story::up(sidecar("exporter"));
        story.at(5_000, Event::Unwell(ENGINE, Run(1), "no answer".into()));
        story.at(5_500, event.clone());
        story.at(6_000, clean(ENGINE, 1));
        story.at(6_000, gone(ENGINE, 1));
        assert_eq!(story.failures(), 0, "{event:?}");
    }
}

#[test]
fn a_program_that_cannot_be_executed_backs_off_and_gives_up() {
    let mut spec = sidecar("typo");
    spec.restart.give_up_after = 2;
    let mut story = Story::new(vec![spec]);
    for run in [1, 2] {
        story.at(0, Event::Tick);
        story.at(0, Event::Ended(ENGINE, Run(run), End::Code(127), Class::CannotRun));
        story.at(0, gone(ENGINE, run));
    }
    assert_eq!(glance(&story, ENGINE), ("failed", None));
    assert!(
        told(&story, ENGINE, "last_exit").contains("could not be executed (exit status 127; cannot_run)")
    );
}

/// A primary and a standby that starts after it, both up; their main processes are runs 2 and 4.
fn primary_and_standby() -> Story {
    let mut story = Story::new(vec![engine(), after(ENGINE, engine())]);
    story.at(0, Event::Lock(ENGINE, Lock::Absent));
    story.at(0, Event::Lock(OTHER, Lock::Absent));
    story.at(10, go(ENGINE, 1));
    story.at(20, ready(ENGINE, 2));
    story.at(30, go(OTHER, 3));
    story.at(40, ready(OTHER, 4));
    story.at(50, Event::Standby(ENGINE, Run(2), false));
    story.at(50, Event::Standby(OTHER, Run(4), true));
    story
}

#[test]
fn of_several_engines_the_primary_stops_first() {
    let mut story = primary_and_standby();
    assert_eq!(report(&story.state, ms(50))[1].1.standby, Some(true));
    assert_eq!(story.at(1_000, Event::Stop), "signal 0#2 fast");
    story.at(1_100, clean(ENGINE, 2));
    assert_eq!(story.at(1_100, gone(ENGINE, 2)), "signal 1#4 fast");
    story.at(1_200, clean(OTHER, 4));
    assert_eq!(story.at(1_200, gone(OTHER, 4)), "finish 0");
    // After a switchover the other one is the primary.
    let mut story = primary_and_standby();
    story.at(60, Event::Standby(OTHER, Run(4), false));
    story.at(60, Event::Standby(ENGINE, Run(2), true));
    assert_eq!(story.at(1_000, Event::Stop), "signal 1#4 fast");
    // Also where an operator stops both.
    let mut story = primary_and_standby();
    assert_eq!(story.at(1_000, Event::Together(vec![down(OTHER), down(ENGINE)])), "signal 0#2 fast");
}

#[test]
fn what_stands_between_primary_and_standby_keeps_its_order() {
    let pooler = after(ENGINE, sidecar("pooler"));
    let mut story = Story::new(vec![engine(), pooler, after(OTHER, engine())]);
    story.at(0, Event::Lock(ENGINE, Lock::Absent));
    story.at(0, Event::Lock(THIRD, Lock::Absent));
    story.at(10, go(ENGINE, 1));
    assert_eq!(story.at(20, ready(ENGINE, 2)), "start 1#3");
    assert_eq!(story.at(30, ready(OTHER, 3)), "prepare 2#4");
    story.at(40, go(THIRD, 4));
    story.at(50, ready(THIRD, 5));
    story.at(60, Event::Standby(THIRD, Run(5), true));
    assert_eq!(story.at(1_000, Event::Stop), "signal 2#5 fast", "no circle: all come down");
    story.at(1_100, clean(THIRD, 5));
    assert_eq!(story.at(1_100, gone(THIRD, 5)), "signal 1#3 fast");
    story.at(1_200, clean(OTHER, 3));
    assert_eq!(story.at(1_200, gone(OTHER, 3)), "signal 0#2 fast");
}

#[test]
fn a_circle_of_needs_is_cut() {
    let mut story = Story::new(vec![requires(OTHER, sidecar("a")), requires(ENGINE, sidecar("b"))]);
    assert_eq!(story.at(0, Event::Tick), "start 1#1");
    assert_eq!(story.at(10, ready(OTHER, 1)), "start 0#2");
    assert_eq!(story.at(20, Event::Stop), "signal 0#2 fast");
    story.at(30, clean(ENGINE, 2));
    assert_eq!(story.at(30, gone(ENGINE, 2)), "signal 1#1 fast");
}

#[test]
fn a_command_that_ends_when_asked_ends_in_order_whatever_its_status() {
    for (end, status) in [
        (End::Signal(15), 0),
        (End::Code(143), 0),
        (End::Code(1), 0),
        (End::Signal(11), 1),
        (End::Signal(9), 1),
    ] {
        let mut story = Story::up(sidecar("exporter"));
        assert_eq!(story.at(2_000, Event::Stop), "signal 0#1 fast");
        story.at(2_100, Event::Ended(ENGINE, Run(1), end, Class::Failure));
        assert_eq!(story.at(2_100, gone(ENGINE, 1)), format!("finish {status}"), "{end:?}");
    }
}

#[test]
fn a_commands_messages_tell_of_no_pg_ctl() {
    let mut story = Story::up(sidecar("exporter"));
    story.at(2_000, clean(ENGINE, 1));
    story.at(2_000, gone(ENGINE, 1));
    assert_eq!(story.said.last().unwrap(), "ended by itself (exit status 0): starting again in 1 s");
    assert_eq!(told(&story, ENGINE, "backoff"), "Blocks: it ended by itself, and is started again in 1.0 s");
    assert_eq!(story.until(10_000), ["3000: start 0#2"]);
    let mut engine = Story::up(engine());
    engine.at(2_000, clean(ENGINE, 2));
    assert!(engine.said.last().unwrap().contains("pg_ctl"));
}

#[test]
fn what_runs_is_not_stopped_for_a_need_that_came_later_and_is_not_met_yet() {
    let bound = |spec: Spec| Spec { bound: true, ..requires(ENGINE, spec) };
    let mut story = Story::new(vec![sidecar("slow"), sidecar("task")]);
    assert_eq!(story.at(0, Event::Tick), "start 0#1, start 1#2");
    story.at(10, ready(OTHER, 2));
    assert_eq!(story.at(20, Event::Respec(OTHER, Box::new(bound(sidecar("task"))), false)), "", "it runs on");
    // The same words once more change nothing.
    assert_eq!(story.at(25, Event::Respec(OTHER, Box::new(bound(sidecar("task"))), false)), "");
    assert_eq!(story.at(30, ready(ENGINE, 1)), "");
    assert_eq!(story.at(40, down(ENGINE)), "signal 1#2 fast", "bound since it was met");
}

#[test]
fn what_runs_is_not_stopped_for_one_that_comes_with_the_same_reload() {
    let new = Id(1);
    let bound = Spec { bound: true, ..requires(new, sidecar("task")) };
    let mut story = Story::new(vec![sidecar("task")]);
    assert_eq!(story.at(0, Event::Tick), "start 0#1");
    story.at(10, ready(ENGINE, 1));
    let both = vec![Event::Add(Box::new(sidecar("slow"))), Event::Respec(ENGINE, Box::new(bound), false)];
    assert_eq!(story.at(20, Event::Together(both)), "start 1#2");
    assert_eq!(story.at(30, crash(new, 2)), "look 1#2", "it never was up");
    assert_eq!(story.at(30, gone(new, 2)), "start 1#3");
    assert_eq!(story.at(210, ready(new, 3)), "");
    assert_eq!(story.at(220, crash(new, 3)), "signal 0#1 fast, look 1#3");
}
