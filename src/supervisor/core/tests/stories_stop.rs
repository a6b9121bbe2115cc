//! Stories: the lock, the operator's stop, the shutdown, and the order among programs.

use super::*;

const LOCKED: Event = Event::Lock(ENGINE, Lock::Present);
const UNLOCKED: Event = Event::Lock(ENGINE, Lock::Absent);

fn none_left(run: u64) -> Event {
    Event::Remains(ENGINE, Run(run), 0)
}

#[test]
fn a_lock_while_it_prepares_ends_the_child() {
    let mut story = Story::new(vec![engine()]);
    story.at(0, UNLOCKED);
    assert_eq!(story.at(100, LOCKED), "signal prepare 0#1 fast");
    assert_eq!(
        story.until(60_000),
        ["17100: signal prepare 0#1 kill"],
        "a child that does not hear is killed"
    );
    assert_eq!(
        story.at(60_000, Event::Prepared(ENGINE, Run(1), Prepared::Broke("killed".into()))),
        "look 0#1"
    );
    assert_eq!(story.at(60_000, none_left(1)), "");
    assert_eq!((story.phase().as_str(), story.failures()), ("down", 0));
    assert_eq!(story.at(61_000, UNLOCKED), "prepare 0#2");
}

#[test]
fn a_stop_while_it_prepares_gives_the_child_less_time_than_a_lock() {
    let mut story = Story::new(vec![engine()]);
    story.at(0, UNLOCKED);
    assert_eq!(story.at(100, Event::Stop), "signal prepare 0#1 fast");
    assert_eq!(story.until(40_000).first().map(String::as_str), Some("1600: signal prepare 0#1 kill"));
}

#[test]
fn what_the_child_said_while_it_was_locked_out_starts_nothing() {
    let mut story = Story::new(vec![engine()]);
    story.at(0, UNLOCKED);
    story.at(100, LOCKED);
    assert_eq!(story.at(110, go(ENGINE, 1)), "look 0#1");
    assert_eq!(story.at(110, none_left(1)), "");
    assert_eq!(story.at(120, UNLOCKED), "prepare 0#2", "and its word does not count later");
}

#[test]
fn a_lock_while_it_starts_or_runs_stops_it() {
    for ready in [false, true] {
        let mut story = Story::new(vec![engine()]);
        story.at(0, UNLOCKED);
        story.at(10, go(ENGINE, 1));
        if ready {
            story.at(20, Event::Ready(ENGINE, Run(2)));
        }
        assert_eq!(story.at(100, LOCKED), "signal 0#2 fast");
        assert_eq!(story.at(110, Event::Ready(ENGINE, Run(2))), "", "late news");
        assert_eq!(story.at(200, clean(ENGINE, 2)), "look 0#2");
        assert_eq!(story.at(200, none_left(2)), "");
        assert_eq!((story.phase().as_str(), story.deadline()), ("down", None));
        assert_eq!(story.at(500_000, UNLOCKED), "prepare 0#3");
        assert_eq!(story.failures(), 0);
    }
}

#[test]
fn lock_and_unlock_during_a_stop_is_one_restart() {
    let mut story = Story::up(engine());
    assert_eq!(story.at(2_000, LOCKED), "signal 0#2 fast");
    for at in [2_010, 2_020, 2_030] {
        assert_eq!(story.at(at, UNLOCKED), "");
        assert_eq!(story.at(at + 1, LOCKED), "");
    }
    assert_eq!(story.at(2_100, UNLOCKED), "");
    assert_eq!(story.phase(), "stopping main fast", "a stop that has begun is finished");
    assert_eq!(story.at(2_500, clean(ENGINE, 2)), "look 0#2");
    assert_eq!(story.at(2_510, none_left(2)), "prepare 0#3");
}

#[test]
fn a_lock_while_it_drains_or_pauses_keeps_it_down() {
    for drained_first in [false, true] {
        let mut story = Story::up(engine());
        story.at(2_000, clean(ENGINE, 2));
        let mut news = [none_left(2), LOCKED];
        if !drained_first {
            news.reverse();
        }
        for event in news {
            assert_eq!(story.at(2_010, event), "");
        }
        assert_eq!(story.phase(), "down");
        assert_eq!(story.at(2_500, UNLOCKED), "prepare 0#3", "an unlock is a fresh start: no pause");
    }
}

#[test]
fn an_unknown_lock_keeps_what_is_known() {
    let mut story = Story::up(engine());
    assert_eq!(story.at(2_000, Event::Lock(ENGINE, Lock::Unknown)), "");
    assert_eq!(story.phase(), "up");
}

#[test]
fn an_operators_stop_and_start_is_one_restart() {
    let mut story = Story::up(engine());
    assert_eq!(story.at(2_000, Event::Operator(ENGINE, Wish::Down(None))), "signal 0#2 fast");
    assert_eq!(story.at(2_001, Event::Operator(ENGINE, Wish::Up)), "");
    story.at(2_100, clean(ENGINE, 2));
    assert_eq!(story.at(2_101, none_left(2)), "prepare 0#3");
}

#[test]
fn the_ladder_of_45_s() {
    let mut story = Story::up(engine());
    story.at(2_000, LOCKED);
    assert_eq!(
        story.until(300_000),
        [
            "5000: blockers 0#2",
            "35000: blockers 0#2, signal 0#2 immediate",
            "44000: blockers 0#2, signal 0#2 kill"
        ]
    );
    assert_eq!(story.deadline(), None, "what cannot be killed costs no wake-ups");
    assert_eq!(story.at(400_000, crash(ENGINE, 2)), "look 0#2");
    assert_eq!(story.at(400_000, none_left(2)), "");
    assert_eq!(story.failures(), 0);
}

#[test]
fn a_shutdown_in_order_ends_with_0() {
    let mut story = Story::up(engine());
    assert_eq!(story.at(2_000, Event::Stop), "signal 0#2 fast");
    assert_eq!(story.at(2_500, clean(ENGINE, 2)), "look 0#2");
    assert_eq!(story.at(2_500, none_left(2)), "finish 0");
}

#[test]
fn a_second_term_hurries_to_the_next_rung() {
    let mut story = Story::up(engine());
    assert_eq!(story.at(2_000, Event::Stop), "signal 0#2 fast");
    assert_eq!(story.at(2_100, Event::Stop), "signal 0#2 immediate");
    let mut patient = story.clone();
    patient.at(2_200, clean(ENGINE, 2));
    assert_eq!(patient.at(2_200, none_left(2)), "finish 0", "nothing was killed");
    assert_eq!(story.at(2_300, Event::Stop), "signal 0#2 kill");
    story.at(2_301, crash(ENGINE, 2));
    assert_eq!(story.at(2_302, none_left(2)), "finish 1");
}

#[test]
fn quit_is_immediate_at_once() {
    let mut story = Story::up(engine());
    assert_eq!(story.at(2_000, Event::Quit), "signal 0#2 immediate");
    let mut after_term = Story::up(engine());
    assert_eq!(after_term.at(2_000, Event::Stop), "signal 0#2 fast");
    assert_eq!(after_term.at(2_001, Event::Quit), "signal 0#2 immediate");
    assert_eq!(after_term.at(2_002, Event::Stop), "signal 0#2 kill");
    let mut command = Story::up(command("pfsd"));
    assert_eq!(command.at(2_000, Event::Quit), "signal 0#1 fast", "a command knows no immediate rung");
}

#[test]
fn a_shutdown_ends_though_nothing_can_be_killed() {
    let mut story = Story::up(engine());
    story.at(2_000, Event::Stop);
    let done = story.until(600_000);
    assert_eq!(done.last().unwrap(), "52000: finish 1");
}

#[test]
fn a_shutdown_while_it_prepares_is_in_order() {
    let mut story = Story::new(vec![engine()]);
    story.at(0, UNLOCKED);
    assert_eq!(story.at(100, Event::Stop), "signal prepare 0#1 fast");
    assert_eq!(story.at(200, Event::Prepared(ENGINE, Run(1), Prepared::Broke("told to".into()))), "look 0#1");
    assert_eq!(story.at(200, none_left(1)), "finish 0");
}

#[test]
fn a_shutdown_with_nothing_running_ends_at_once() {
    let mut story = Story::new(vec![engine()]);
    story.at(0, LOCKED);
    assert_eq!(story.at(100, Event::Stop), "finish 0");
}

/// Two engines, the second after the first, both up; their main processes are runs 2 and 4.
fn two() -> Story {
    let mut story = Story::new(vec![engine(), Spec { after: vec![ENGINE], ..engine() }]);
    assert_eq!(story.at(0, Event::Lock(OTHER, Lock::Absent)), "learn 1");
    assert_eq!(story.at(0, UNLOCKED), "prepare 0#1");
    assert_eq!(story.at(10, go(ENGINE, 1)), "start 0#2", "the other waits until this one is ready");
    assert_eq!(story.at(20, Event::Ready(ENGINE, Run(2))), "prepare 1#3");
    assert_eq!(story.at(30, go(OTHER, 3)), "start 1#4");
    story.at(40, Event::Ready(OTHER, Run(4)));
    story
}

#[test]
fn programs_stop_in_the_reverse_of_their_start() {
    let mut story = two();
    assert_eq!(story.at(1_000, Event::Stop), "signal 1#4 fast");
    assert_eq!(story.at(1_100, clean(OTHER, 4)), "look 1#4", "the first waits until nothing of it is left");
    assert_eq!(story.at(1_110, Event::Remains(OTHER, Run(4), 0)), "signal 0#2 fast");
    assert_eq!(story.at(1_200, clean(ENGINE, 2)), "look 0#2");
    assert_eq!(story.at(1_200, none_left(2)), "finish 0");
}

#[test]
fn the_cause_of_giving_up_is_the_last_line_also_where_others_stop_after_it() {
    let mut story = two();
    let mut spec = engine();
    spec.restart.give_up_after = 1;
    story.at(1_000, Event::Respec(ENGINE, Box::new(spec), false));
    assert_eq!(story.at(1_000, crash(ENGINE, 2)), "sweep 0#2 immediate, look 0#2, signal 1#4 fast");
    assert_eq!(story.at(1_000, none_left(2)), "");
    story.at(1_100, clean(OTHER, 4));
    assert!(story.said.last().unwrap().starts_with("stopped after"), "{:?}", story.said);
    let end = story.at(1_110, Event::Remains(OTHER, Run(4), 0));
    assert!(end.starts_with("finish "), "{end}");
    assert!(story.said.last().unwrap().starts_with("gave up: it "), "{:?}", story.said);
}

#[test]
fn at_the_end_of_its_patience_a_shutdown_kills_all() {
    let mut story = two();
    assert_eq!(story.at(1_000, Event::Stop), "signal 1#4 fast");
    let done = story.until(48_000);
    assert_eq!(done.last().unwrap(), "48000: signal 0#2 fast, signal 0#2 kill");
}

#[test]
fn what_it_needs_is_needed_for_the_start_alone() {
    let mut story = two();
    story.at(1_000, crash(ENGINE, 2));
    assert_eq!(story.at(1_000, none_left(2)), "prepare 0#5");
    assert_eq!(story.phases(), ["preparing", "up"]);
    story.at(1_010, crash(OTHER, 4));
    assert_eq!(story.at(1_010, Event::Remains(OTHER, Run(4), 0)), "", "it waits for the first");
    assert_eq!(story.at(1_020, go(ENGINE, 5)), "start 0#6");
    assert_eq!(story.at(1_030, Event::Ready(ENGINE, Run(6))), "prepare 1#7");
}

#[test]
fn an_engine_that_dies_of_the_asking_has_ended_in_order() {
    for (signal, status) in [(2, 0), (9, 1), (15, 1)] {
        let mut story = Story::new(vec![engine()]);
        story.at(0, UNLOCKED);
        story.at(10, go(ENGINE, 1));
        assert_eq!(story.at(11, Event::Stop), "signal 0#2 fast");
        let end = Event::Ended(ENGINE, Run(2), End::Signal(signal), Class::Crashed);
        assert_eq!(story.at(12, end), "look 0#2");
        assert_eq!(story.at(12, none_left(2)), format!("finish {status}"), "signal {signal}");
    }
}

#[test]
fn what_somebody_else_has_started_is_found_and_stopped_before_the_end() {
    let mut story = Story::up(engine());
    story.at(2_000, clean(ENGINE, 2));
    assert_eq!(story.at(2_000, none_left(2)), "");
    assert_eq!(story.at(2_100, Event::Stop), "search 0#3", "a pg_ctl restart may be under way");
    assert_eq!(
        story.at(2_200, Event::Prepared(ENGINE, Run(3), Prepared::Foreign)),
        "adopt 0#4, signal 0#4 fast"
    );
    assert_eq!(story.at(2_300, unknown(ENGINE, 4)), "look 0#4");
    assert_eq!(story.at(2_300, none_left(4)), "finish 0");
}

#[test]
fn what_somebody_else_has_started_is_found_and_stopped_under_the_lock() {
    let mut story = Story::up(engine());
    story.at(2_000, clean(ENGINE, 2));
    story.at(2_000, none_left(2));
    assert_eq!(story.at(2_100, LOCKED), "", "somebody else's pg_ctl has its time");
    assert_eq!(story.until(10_000), ["3000: search 0#3"]);
    assert_eq!(
        story.at(3_100, Event::Prepared(ENGINE, Run(3), Prepared::Foreign)),
        "adopt 0#4, signal 0#4 fast"
    );
    story.at(3_200, unknown(ENGINE, 4));
    assert_eq!(story.at(3_200, none_left(4)), "");
    assert_eq!((story.phase().as_str(), story.deadline()), ("down", None), "and it is not looked for again");
}

#[test]
fn a_search_that_finds_nobody_or_fails_holds_up_nothing() {
    for found in [Prepared::Nobody, Prepared::Broke("killed".into()), Prepared::Wait("who knows".into())] {
        let mut story = Story::up(engine());
        story.at(2_000, clean(ENGINE, 2));
        story.at(2_000, none_left(2));
        story.at(2_100, Event::Stop);
        assert_eq!(story.at(2_200, Event::Prepared(ENGINE, Run(3), found)), "finish 0");
    }
}
