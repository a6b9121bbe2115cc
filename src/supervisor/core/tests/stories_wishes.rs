//! Stories: what operators ask, and programs that come, go and change.

use super::*;

#[test]
fn an_operator_names_the_first_rung() {
    let with = |rung| Event::Operator(ENGINE, Wish::Down(Some(rung)));
    let mut story = Story::up(engine());
    assert_eq!(story.at(2_000, with(Rung::Smart)), "signal 0#2 smart");
    let (mut harder, mut ended) = (story.clone(), story.clone());
    assert_eq!(
        story.until(20_000),
        ["5000: blockers 0#2", "18500: blockers 0#2, signal 0#2 fast"],
        "the ladder goes on from there"
    );
    assert_eq!(harder.at(3_000, with(Rung::Immediate)), "signal 0#2 immediate");
    assert_eq!(ended.at(3_000, Event::Stop), "signal 0#2 fast", "the container has no time for that");
    let mut killed = Story::up(engine());
    assert_eq!(killed.at(2_000, with(Rung::Kill)), "signal 0#2 kill");
    killed.at(2_000, crash(ENGINE, 2));
    killed.at(2_000, gone(ENGINE, 2));
    assert_eq!(killed.at(3_000, up(ENGINE)), "prepare 0#3");
    killed.at(3_010, go(ENGINE, 3));
    killed.at(3_020, ready(ENGINE, 4));
    assert_eq!(killed.at(4_000, down(ENGINE)), "signal 0#4 fast", "the next stop knows nothing of it");
    let mut command = Story::up(sidecar("pfsd"));
    assert_eq!(command.at(2_000, with(Rung::Immediate)), "signal 0#1 fast", "it knows one way to be asked");
}

#[test]
fn a_restart_of_what_is_down_is_a_start() {
    let mut story = Story::up(sidecar("pfsd"));
    story.at(2_000, down(ENGINE));
    story.at(2_100, clean(ENGINE, 1));
    assert_eq!(story.at(2_100, gone(ENGINE, 1)), "");
    assert_eq!(story.at(3_000, restart(ENGINE)), "start 0#2");
    story.at(3_010, ready(ENGINE, 2));
    assert_eq!(story.at(4_000, restart(ENGINE)), "signal 0#2 fast");
    assert_eq!(story.at(4_001, restart(ENGINE)), "", "it is on its way");
    story.at(4_100, clean(ENGINE, 2));
    assert_eq!(story.at(4_100, gone(ENGINE, 2)), "start 0#3");
    story.at(4_110, ready(ENGINE, 3));
    assert_eq!((story.phase().as_str(), story.failures()), ("up", 0));
}

#[test]
fn another_configuration_bounces_what_runs() {
    let mut story = Story::up(sidecar("pfsd"));
    let spec = story.state.programs[0].spec.clone();
    assert_eq!(story.at(2_000, Event::Respec(ENGINE, Box::new(spec.clone()), false)), "", "in place");
    assert_eq!(story.at(2_000, Event::Respec(ENGINE, Box::new(spec.clone()), true)), "signal 0#1 fast");
    story.at(2_100, clean(ENGINE, 1));
    assert_eq!(story.at(2_100, gone(ENGINE, 1)), "start 0#2");
    let mut stopped = Story::up(sidecar("pfsd"));
    stopped.at(2_000, down(ENGINE));
    stopped.at(2_100, clean(ENGINE, 1));
    stopped.at(2_100, gone(ENGINE, 1));
    assert_eq!(
        stopped.at(3_000, Event::Respec(ENGINE, Box::new(spec), true)),
        "",
        "what an operator has stopped stays so"
    );
}

#[test]
fn what_was_prepared_for_another_configuration_is_prepared_again() {
    let mut story = Story::new(vec![engine(), bound(ENGINE, sidecar("pooler"))]);
    assert_eq!(story.at(0, Event::Lock(ENGINE, Lock::Absent)), "prepare 0#1");
    let spec = story.state.programs[0].spec.clone();
    let mut ended = story.clone();
    assert_eq!(ended.at(2, Event::Respec(ENGINE, Box::new(spec.clone()), true)), "signal prepare 0#1 fast");
    assert_eq!(ended.at(3, go(ENGINE, 1)), "look 0#1", "the old word does not count");
    assert_eq!(ended.at(3, gone(ENGINE, 1)), "prepare 0#2");
    // Nor where the child was left to end, because something that stops before it was still on its way down.
    story.at(10, go(ENGINE, 1));
    story.at(20, ready(ENGINE, 2));
    story.at(30, ready(OTHER, 3));
    assert_eq!(story.at(40, crash(ENGINE, 2)), "sweep 0#2 immediate, look 0#2, signal 1#3 fast");
    assert_eq!(story.at(40, gone(ENGINE, 2)), "prepare 0#4");
    assert_eq!(story.at(50, Event::Respec(ENGINE, Box::new(spec), true)), "");
    assert_eq!(story.at(60, go(ENGINE, 4)), "prepare 0#5");
}

#[test]
fn programs_come_and_go() {
    let mut story = all_up(vec![sidecar("a"), requires(ENGINE, sidecar("b"))]);
    assert_eq!(story.state.next_id(), THIRD);
    assert_eq!(story.at(10, Event::Add(Box::new(requires(OTHER, sidecar("c"))))), "start 2#3");
    story.at(20, ready(THIRD, 3));
    assert_eq!(story.at(30, Event::Remove(OTHER)), "signal 1#2 fast");
    assert_eq!(glance(&story, OTHER), ("stopping", Some("removed")));
    story.at(40, crash(THIRD, 3));
    assert_eq!(story.at(40, gone(THIRD, 3)), "start 2#4", "nobody waits for one that has left");
    story.at(50, clean(OTHER, 2));
    story.at(50, gone(OTHER, 2));
    let ids: Vec<Id> = report(&story.state, ms(50)).iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, [ENGINE, THIRD], "the others keep their ids");
    for event in [up(OTHER), restart(OTHER), Event::Lock(OTHER, Lock::Absent), Event::Remove(OTHER)] {
        assert_eq!(story.at(60, event), "", "it is gone for good");
    }
    assert_eq!(story.state.next_id(), Id(3));
}

#[test]
fn an_heir_waits_for_the_end_of_its_predecessor() {
    let mut story = all_up(vec![sidecar("a")]);
    story.at(10, Event::Remove(ENGINE));
    assert_eq!(story.at(20, Event::Add(Box::new(sidecar("a")))), "");
    assert!(told(&story, OTHER, "dependencies").contains("predecessor"));
    story.at(30, clean(ENGINE, 1));
    assert_eq!(story.at(30, gone(ENGINE, 1)), "start 1#2");
}

#[test]
fn a_removed_program_that_fails_ends_nothing() {
    let mut spec = Spec { critical: true, ..sidecar("a") };
    spec.restart.give_up_after = 1;
    let mut story = all_up(vec![spec, bound(ENGINE, sidecar("b"))]);
    assert_eq!(
        story.at(10, Event::Remove(ENGINE)),
        "signal 0#1 fast",
        "nobody is bound to one that has left"
    );
    story.at(20, crash(ENGINE, 1));
    story.at(20, gone(ENGINE, 1));
    assert!(story.state.shutdown.is_none());
    assert_eq!(story.phases()[1], "up");
}
