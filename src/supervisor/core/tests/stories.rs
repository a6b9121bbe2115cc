//! Stories: from the first boot through restarts to giving up.

use super::*;

#[test]
fn a_first_boot_comes_up() {
    let mut story = Story::new(vec![engine()]);
    assert_eq!(story.at(0, Event::Tick), "", "nothing starts before the lock file was looked at");
    assert_eq!(story.at(10, Event::Lock(ENGINE, Lock::Absent)), "prepare 0#1");
    assert_eq!(story.at(20, Event::Initializing(ENGINE, Run(1))), "");
    assert!(story.state.programs[0].initializing);
    assert_eq!(story.deadline(), None, "a first boot may take its time");
    assert_eq!(story.at(5_000, go(ENGINE, 1)), "start 0#2");
    assert_eq!(story.deadline(), None, "a recovery of hours is life");
    assert_eq!(story.at(6_500, Event::Ready(ENGINE, Run(2))), "");
    assert_eq!(story.phase(), "up");
    assert_eq!(story.said.last().unwrap(), "ready after 1.500 s");
    assert_eq!(story.deadline(), None, "a running engine costs no wake-ups");
}

#[test]
fn after_a_crash_it_starts_at_once_and_then_ever_more_slowly() {
    let mut story = Story::up(engine());
    assert_eq!(story.at(2_000, crash(ENGINE, 2)), "sweep 0#2 immediate, look 0#2");
    assert_eq!(story.at(2_000, Event::Remains(ENGINE, Run(2), 0)), "prepare 0#3");
    assert_eq!(story.at(2_010, go(ENGINE, 3)), "start 0#4");
    assert_eq!(story.at(3_000, crash(ENGINE, 4)), "sweep 0#4 immediate, look 0#4");
    assert_eq!(story.at(3_000, Event::Remains(ENGINE, Run(4), 0)), "");
    assert_eq!(story.deadline(), Some(ms(3_100)));
    assert_eq!(story.until(3_099), [""; 0]);
    assert_eq!(story.until(3_100), ["3100: prepare 0#5"]);
    assert_eq!(story.at(3_110, go(ENGINE, 5)), "start 0#6");
    assert_eq!(story.at(3_120, crash(ENGINE, 6)), "sweep 0#6 immediate, look 0#6");
    assert_eq!(story.at(3_130, Event::Remains(ENGINE, Run(6), 0)), "");
    assert_eq!(
        story.until(4_000),
        ["3320: prepare 0#7"],
        "the pause counts from the end of the main process"
    );
    assert_eq!(story.failures(), 3);
}

#[test]
fn what_is_left_of_a_run_is_ended_before_the_next_begins() {
    let mut story = Story::up(engine());
    assert_eq!(story.at(2_000, crash(ENGINE, 2)), "sweep 0#2 immediate, look 0#2");
    let (mut at, mut done) = (2_000, Vec::new());
    while at < 3_400 {
        story.at(at, Event::Remains(ENGINE, Run(2), 1));
        assert_eq!(story.phase(), "draining");
        at = u64::try_from(story.deadline().unwrap().as_millis()).unwrap();
        done.extend(story.until(at));
    }
    assert_eq!(
        done,
        [
            "2002: look 0#2",
            "2006: look 0#2",
            "2014: look 0#2",
            "2030: look 0#2",
            "2062: look 0#2",
            "2126: look 0#2",
            "2254: sweep 0#2 immediate, look 0#2",
            "2510: sweep 0#2 immediate, look 0#2",
            "2766: sweep 0#2 immediate, look 0#2",
            "3022: sweep 0#2 kill, look 0#2",
            "3278: sweep 0#2 kill, look 0#2",
            "3534: sweep 0#2 kill, look 0#2",
        ]
    );
    assert_eq!(story.at(3_600, Event::Remains(ENGINE, Run(2), 0)), "prepare 0#3");
}

#[test]
fn what_a_death_by_a_signal_leaves_is_told_to_end_before_it_is_looked_for() {
    for (end, class, wanted) in [
        (End::Signal(9), Class::Killed, "sweep 0#2 immediate, look 0#2"),
        (End::Signal(9), Class::OutOfMemory, "sweep 0#2 immediate, look 0#2"),
        (End::Signal(6), Class::Crashed, "sweep 0#2 immediate, look 0#2"),
        // It has ended its children itself; what is there may be somebody else's.
        (End::Code(0), Class::Clean, "look 0#2"),
        (End::Code(1), Class::Failure, "look 0#2"),
        (End::Unknown, Class::Unknown, "look 0#2"),
    ] {
        let mut story = Story::up(engine());
        assert_eq!(story.at(2_000, Event::Ended(ENGINE, Run(2), end, class)), wanted, "{class:?}");
        story.at(2_000, Event::Remains(ENGINE, Run(2), 1));
        assert_eq!(story.until(2_006), ["2002: look 0#2"], "{class:?}: it has the same moment as ever");
    }
    let mut command = Story::up(command("agent"));
    assert_eq!(command.at(2_000, crash(ENGINE, 1)), "look 0#1", "a command's children hear no SIGQUIT");
}

#[test]
fn an_orphan_that_ends_may_be_the_last_that_was_waited_for() {
    let mut story = Story::up(engine());
    story.at(2_000, crash(ENGINE, 2));
    assert_eq!(story.at(2_000, Event::Orphan), "", "a look is under way");
    story.at(2_000, Event::Remains(ENGINE, Run(2), 3));
    for at in [2_001, 2_002, 2_003] {
        assert_eq!(story.at(at, Event::Orphan), "look 0#2");
        story.at(at, Event::Remains(ENGINE, Run(2), 1));
    }
    assert_eq!(story.until(2_009), ["2007: look 0#2"], "the pauses have not grown by those looks");
    story.at(2_009, Event::Remains(ENGINE, Run(2), 1));
    assert_eq!(story.at(2_010, Event::Orphan), "look 0#2");
    assert_eq!(story.at(2_010, Event::Remains(ENGINE, Run(2), 0)), "prepare 0#3");
    let mut slow = Story::up(command("agent"));
    slow.at(2_000, crash(ENGINE, 1));
    slow.at(2_000, Event::Remains(ENGINE, Run(1), 2));
    let mut swept = false;
    for at in 2_001..2_400 {
        let done = slow.at(at, Event::Tick);
        swept |= done.contains("sweep 0#1");
        if done.contains("look 0#1") {
            slow.at(at, Event::Remains(ENGINE, Run(1), 2));
        }
    }
    assert!(swept);
    assert_eq!(slow.at(2_400, Event::Orphan), "look 0#1", "it is not asked once more to end");
    let before = story.state.clone();
    assert_eq!(story.at(2_010, Event::Orphan), "", "nobody waits for one");
    assert_eq!(story.state, before);
}

#[test]
fn while_something_holds_an_engine_its_executables_are_learnt_once() {
    let mut story = Story::new(vec![engine(), requires(ENGINE, engine())]);
    assert_eq!(story.at(0, Event::Tick), "", "nobody knows of a lock yet");
    assert_eq!(story.at(1, Event::Lock(OTHER, Lock::Absent)), "learn 1", "the first is not up");
    assert_eq!(story.at(2, Event::Lock(ENGINE, Lock::Present)), "learn 0");
    assert_eq!(story.at(3, Event::Lock(ENGINE, Lock::Absent)), "prepare 0#1");
    let mut story = Story::up(engine());
    story.at(2_000, Event::Lock(ENGINE, Lock::Present));
    story.at(2_010, clean(ENGINE, 2));
    assert_eq!(story.at(2_010, Event::Remains(ENGINE, Run(2), 0)), "", "its prepare child has learnt it");
    let mut ending = Story::new(vec![engine()]);
    ending.at(0, Event::Stop);
    assert_eq!(ending.at(1, Event::Lock(ENGINE, Lock::Present)), "", "it will never start");
}

#[test]
fn what_is_left_of_a_run_is_explained_as_orphans() {
    let mut story = Story::up(engine());
    story.at(2_000, crash(ENGINE, 2));
    let orphans = |story: &Story| told(story, ENGINE, "orphans");
    assert_eq!(orphans(&story), "Blocks: its main process has ended; what is left of it is looked for");
    let mut said = Vec::new();
    while said.len() < 3 && story.state.now < Time::from_secs(4) {
        story.at(story.state.now.as_millis() as u64, Event::Remains(ENGINE, Run(2), 1));
        let now = orphans(&story);
        let done = now.split_once("are left: ").map(|(_, done)| done.to_owned()).expect("words of those");
        if said.last() != Some(&done) {
            said.push(done);
        }
        let at = u64::try_from(story.deadline().unwrap().as_millis()).unwrap();
        story.until(at);
    }
    let end = ", and nothing starts beside them";
    let expected =
        ["they get a moment to end by themselves", "they have been asked to end", "they have been killed"];
    assert_eq!(said, expected.map(|text| format!("{text}{end}")));
    story.at(3_700, Event::Remains(ENGINE, Run(2), 0));
    assert_eq!(orphans(&story), "");
}

#[test]
fn after_an_exit_0_somebody_else_may_start_it() {
    let mut story = Story::up(engine());
    story.at(2_000, clean(ENGINE, 2));
    assert_eq!(story.at(2_001, Event::Remains(ENGINE, Run(2), 0)), "");
    assert_eq!(story.until(10_000), ["3000: prepare 0#3"]);
    assert_eq!(story.failures(), 0);
    assert_eq!(story.at(3_010, Event::Prepared(ENGINE, Run(3), Prepared::Foreign)), "adopt 0#4");
    story.at(3_020, Event::Ready(ENGINE, Run(4)));
    assert_eq!(story.phase(), "up adopted");
}

#[test]
fn the_crash_of_an_adopted_postmaster_counts_once_its_data_tell() {
    for (unclean, failures) in [(false, 0), (true, 1)] {
        let mut story = Story::new(vec![engine()]);
        story.at(0, Event::Lock(ENGINE, Lock::Absent));
        assert_eq!(story.at(10, Event::Prepared(ENGINE, Run(1), Prepared::Foreign)), "adopt 0#2");
        story.at(20, Event::Ready(ENGINE, Run(2)));
        assert_eq!(story.at(5_000, unknown(ENGINE, 2)), "look 0#2");
        story.at(5_000, Event::Remains(ENGINE, Run(2), 0));
        assert_eq!(story.until(6_000), ["6000: prepare 0#3"]);
        let verdict = Prepared::Go { unclean };
        assert_eq!(story.at(6_010, Event::Prepared(ENGINE, Run(3), verdict.clone())), "start 0#4");
        assert_eq!(story.failures(), failures, "unclean: {unclean}");
        story.at(6_020, crash(ENGINE, 4));
        story.at(6_020, Event::Remains(ENGINE, Run(4), 0));
        story.until(6_120);
        story.at(6_130, Event::Prepared(ENGINE, Run(5), verdict));
        assert_eq!(story.failures(), failures + 1, "our own run's end is known");
    }
}

#[test]
fn a_long_time_up_clears_the_failures() {
    let mut story = Story::up(engine());
    story.at(2_000, crash(ENGINE, 2));
    story.at(2_000, Event::Remains(ENGINE, Run(2), 0));
    story.at(2_010, go(ENGINE, 3));
    story.at(2_020, Event::Ready(ENGINE, Run(4)));
    assert_eq!(story.deadline(), Some(ms(62_020)));
    story.until(62_019);
    assert_eq!(story.failures(), 1);
    story.until(62_020);
    assert_eq!((story.failures(), story.deadline()), (0, None));
}

#[test]
fn a_process_that_cannot_be_made_is_tried_each_second_and_never_counts() {
    let mut story = Story::new(vec![engine()]);
    story.at(0, Event::Lock(ENGINE, Lock::Absent));
    let mut run = 1;
    for second in 1..100 {
        story.at(second * 1_000 - 1_000, Event::SpawnFailed(ENGINE, Run(run), "EAGAIN".into()));
        run += 1;
        assert_eq!(story.until(second * 1_000), [format!("{}: prepare 0#{run}", second * 1_000)]);
    }
    assert_eq!(story.failures(), 0);
    let told = story.said.iter().filter(|text| text.contains("EAGAIN")).count();
    assert_eq!(told, 1, "people are told once");
}

#[test]
fn a_crash_loop_gives_up_with_its_status() {
    for (end, class, status) in [
        (End::Code(3), Class::Failure, 3),
        (End::Code(256), Class::Failure, 1),
        (End::Signal(9), Class::Killed, 137),
        (End::Signal(11), Class::Crashed, 139),
    ] {
        for give_up_after in [1, 2, 10] {
            let mut spec = engine();
            spec.restart.give_up_after = give_up_after;
            let mut story = Story::new(vec![spec]);
            story.at(0, Event::Lock(ENGINE, Lock::Absent));
            let mut last = String::new();
            for _ in 0..give_up_after {
                let at = story.state.now + ms(1);
                let now = u64::try_from(at.as_millis()).unwrap();
                let run = story.state.last_run;
                assert_eq!(story.at(now, go(ENGINE, run)), format!("start 0#{}", run + 1));
                story.at(now, Event::Ended(ENGINE, Run(run + 1), end, class));
                last = story.at(now, Event::Remains(ENGINE, Run(run + 1), 0));
                story.until(now + 30_000);
            }
            assert_eq!(last, format!("finish {status}"), "{end:?} after {give_up_after}");
            let said = story.said.last().unwrap();
            assert!(said.starts_with("gave up: it "), "the last line: {said}");
            assert_eq!(story.said.iter().filter(|line| *line == said).count(), 1);
            assert_eq!(story.phase(), "failed");
        }
    }
}

#[test]
fn an_end_that_the_policy_does_not_mend_gives_up() {
    let adopted = |policy| {
        let mut story = told(policy, vec![]);
        story.at(1, Event::Prepared(ENGINE, Run(1), Prepared::Foreign));
        story
    };
    let started = |policy| told(policy, vec![go(ENGINE, 1)]);
    fn told(policy: Policy, events: Vec<Event>) -> Story {
        let mut spec = engine();
        spec.restart.policy = policy;
        let mut story = Story::new(vec![spec]);
        story.at(0, Event::Lock(ENGINE, Lock::Absent));
        for event in events {
            story.at(1, event);
        }
        story
    }
    let (ended, died) = ("look 0#2", "sweep 0#2 immediate, look 0#2");
    for (mut story, event, drains, wanted) in [
        (started(Policy::Never), clean(ENGINE, 2), ended, "finish 1"),
        (started(Policy::Never), crash(ENGINE, 2), died, "finish 137"),
        (adopted(Policy::Never), unknown(ENGINE, 2), ended, "finish 1"),
        (started(Policy::OnFailure), clean(ENGINE, 2), ended, "finish 1"),
        (started(Policy::OnFailure), crash(ENGINE, 2), died, "prepare 0#3"),
    ] {
        assert_eq!(story.at(2, event.clone()), drains);
        assert_eq!(story.at(3, Event::Remains(ENGINE, Run(2), 0)), wanted, "{event:?}");
    }
}

#[test]
fn a_data_directory_that_cannot_be_served_ends_pid_1_with_its_status() {
    for status in [70, 78] {
        let mut story = Story::new(vec![engine()]);
        story.at(0, Event::Lock(ENGINE, Lock::Absent));
        let verdict = Prepared::GiveUp(status, "it is another major version's".into());
        let done = story.at(100, Event::Prepared(ENGINE, Run(1), verdict));
        assert_eq!(done, format!("finish {status}"));
    }
}

#[test]
fn with_stay_it_stays_down_until_a_word_or_an_unlock() {
    let mut spec = engine();
    spec.restart.on_give_up = OnGiveUp::Stay;
    spec.restart.give_up_after = 1;
    let mut story = Story::up(spec);
    story.at(2_000, crash(ENGINE, 2));
    assert_eq!(story.at(2_000, Event::Remains(ENGINE, Run(2), 0)), "");
    assert_eq!((story.phase().as_str(), story.deadline()), ("failed", None));
    let mut unlocked = story.clone();
    assert_eq!(story.at(90_000, Event::Operator(ENGINE, Wish::Up)), "prepare 0#3");
    assert_eq!(story.failures(), 0);
    assert_eq!(unlocked.at(90_000, Event::Lock(ENGINE, Lock::Present)), "");
    assert_eq!(unlocked.at(91_000, Event::Lock(ENGINE, Lock::Absent)), "prepare 0#3");
}

#[test]
fn a_program_that_is_not_critical_gives_up_alone() {
    let mut other = command("pfsd");
    other.restart.give_up_after = 1;
    let mut story = Story::new(vec![engine(), other]);
    story.at(0, Event::Lock(ENGINE, Lock::Absent));
    assert_eq!(story.at(0, Event::Lock(OTHER, Lock::Absent)), "start 1#2");
    story.at(10, go(ENGINE, 1));
    story.at(20, Event::Ready(ENGINE, Run(3)));
    story.at(30, crash(OTHER, 2));
    assert_eq!(story.at(30, Event::Remains(OTHER, Run(2), 0)), "");
    assert_eq!(story.phases(), ["up", "failed"]);
    assert!(story.state.shutdown.is_none());
    assert_eq!(story.at(40, Event::Operator(OTHER, Wish::Up)), "start 1#4");
}

#[test]
fn upkeep_comes_round_while_it_is_up() {
    let spec = Spec { upkeep: Some(ms(10_000)), ..engine() };
    let mut story = Story::up(spec);
    assert_eq!(story.until(31_000), ["11000: upkeep 0", "21000: upkeep 0", "31000: upkeep 0"]);
    story.at(32_000, Event::Lock(ENGINE, Lock::Present));
    assert!(story.until(50_000).iter().all(|done| !done.contains("upkeep")));
}
