//! Somebody else's engine, in every order of events.

use super::*;

fn pid_file(there: bool) -> Event {
    Event::PidFile(ENGINE, there)
}

fn found(run: u64, found: Prepared) -> Event {
    Event::Prepared(ENGINE, Run(run), found)
}

fn lock(lock: Lock) -> Event {
    Event::Lock(ENGINE, lock)
}

/// Locked from the start.
fn locked() -> Story {
    let mut story = Story::new(vec![engine()]);
    assert_eq!(story.at(0, lock(Lock::Present)), "learn 0");
    story
}

#[test]
fn while_locked_it_is_found_and_stopped() {
    let mut story = locked();
    assert_eq!(story.at(1_000, pid_file(true)), "search 0#1");
    assert_eq!(story.phase(), "searching");
    assert_eq!(story.at(1_020, found(1, Prepared::Foreign)), "adopt 0#2, signal 0#2 fast");
    assert_eq!(story.at(1_500, unknown(ENGINE, 2)), "look 0#2");
    assert_eq!(story.at(1_500, Event::Remains(ENGINE, Run(2), 0)), "");
    assert_eq!(story.at(1_510, pid_file(false)), "");
    assert_eq!((story.phase().as_str(), story.deadline()), ("down", None));
    assert_eq!(story.at(9_000, lock(Lock::Absent)), "prepare 0#3");
}

#[test]
fn a_stale_pid_file_is_looked_into_once() {
    let mut story = locked();
    assert_eq!(story.at(1_000, pid_file(true)), "search 0#1");
    assert_eq!(story.at(1_020, found(1, Prepared::Nobody)), "");
    assert_eq!(story.until(100_000_000), Vec::<String>::new());
    assert_eq!(story.at(100_000_000, pid_file(true)), "search 0#2", "another file");
    assert_eq!(story.at(100_000_010, pid_file(true)), "", "and another one meanwhile");
    assert_eq!(story.at(100_000_020, found(2, Prepared::Nobody)), "search 0#3");
    assert_eq!(story.at(100_000_030, found(3, Prepared::Wait("not to be told".into()))), "");
    assert_eq!(story.deadline(), None);
}

#[test]
fn while_it_backs_off_it_is_adopted_at_once_and_stays() {
    let mut story = Story::up(engine());
    assert_eq!(story.at(2_000, clean(ENGINE, 2)), "look 0#2");
    assert_eq!(story.at(2_000, Event::Remains(ENGINE, Run(2), 0)), "");
    assert_eq!(story.at(2_100, pid_file(true)), "search 0#3");
    assert_eq!(story.at(2_110, found(3, Prepared::Foreign)), "adopt 0#4");
    assert_eq!(story.at(2_200, Event::Ready(ENGINE, Run(4))), "");
    assert_eq!(story.phase(), "up adopted");
    assert_eq!(story.at(5_000, lock(Lock::Present)), "signal 0#4 fast", "a later lock stops it");
}

#[test]
fn an_operator_who_wants_it_down_gets_it_stopped() {
    let mut story = Story::new(vec![engine()]);
    story.at(0, Event::Operator(ENGINE, Wish::Down(None)));
    story.at(0, lock(Lock::Absent));
    assert_eq!(story.at(1_000, pid_file(true)), "search 0#1");
    assert_eq!(story.at(1_010, found(1, Prepared::Foreign)), "adopt 0#2, signal 0#2 fast");
}

#[test]
fn what_somebody_starts_after_giving_up_stays() {
    let mut spec = engine();
    spec.restart.on_give_up = OnGiveUp::Stay;
    let mut story = Story::new(vec![spec]);
    story.at(0, lock(Lock::Absent));
    story.at(10, found(1, Prepared::GiveUp(78, "no".into())));
    assert_eq!(story.phase(), "failed");
    assert_eq!(story.at(1_000, pid_file(true)), "search 0#2");
    assert_eq!(report(&story.state, story.state.now)[0].1.state, "failed");
    assert_eq!(story.at(1_010, found(2, Prepared::Foreign)), "adopt 0#3");
    story.at(1_100, Event::Ready(ENGINE, Run(3)));
    assert_eq!(report(&story.state, story.state.now)[0].1.state, "running");
}

#[test]
fn a_lock_that_interrupts_the_preparation_leaves_nothing_unseen() {
    let mut story = Story::new(vec![engine()]);
    story.at(0, lock(Lock::Absent));
    assert_eq!(story.at(10, pid_file(true)), "");
    assert_eq!(story.at(20, lock(Lock::Present)), "signal prepare 0#1 fast");
    assert_eq!(story.at(30, found(1, Prepared::Locked)), "look 0#1");
    assert_eq!(story.at(30, Event::Remains(ENGINE, Run(1), 0)), "search 0#2");
    // What the child had found before it heard of the lock counts as well.
    let mut story = Story::new(vec![engine()]);
    story.at(0, lock(Lock::Absent));
    story.at(20, lock(Lock::Present));
    assert_eq!(story.at(30, found(1, Prepared::Foreign)), "look 0#1");
    assert_eq!(story.at(30, Event::Remains(ENGINE, Run(1), 0)), "adopt 0#2, signal 0#2 fast");
}

#[test]
fn a_shutdown_finds_it_and_stops_it_in_order() {
    let mut story = locked();
    story.at(1_000, pid_file(true));
    story.at(1_010, found(1, Prepared::Nobody));
    // Once more, and last: what the kernel would kill with PID 1 gets its checkpoint.
    assert_eq!(story.at(2_000, Event::Stop), "search 0#2");
    assert_eq!(story.at(2_010, found(2, Prepared::Foreign)), "adopt 0#3, signal 0#3 fast");
    assert_eq!(story.at(2_500, unknown(ENGINE, 3)), "look 0#3");
    // The file's end may be news later than the process's; then one more look finds nothing.
    assert_eq!(story.at(2_500, Event::Remains(ENGINE, Run(3), 0)), "finish 0");
}

#[test]
fn a_shutdown_does_not_wait_for_a_disk_that_hangs() {
    let mut story = locked();
    story.at(1_000, pid_file(true));
    assert_eq!(story.at(60_000, Event::Stop), "");
    assert_eq!(story.until(64_000), ["62000: signal search 0#1 fast", "63500: signal search 0#1 kill"]);
}

#[test]
fn a_look_that_could_not_be_made_is_made_later() {
    let mut story = locked();
    story.at(1_000, pid_file(true));
    assert_eq!(story.at(1_000, Event::SpawnFailed(ENGINE, Run(1), "EAGAIN".into())), "");
    assert_eq!(story.until(11_000), ["11000: search 0#2"]);
    assert_eq!(story.at(11_010, found(2, Prepared::Broke("killed".into()))), "");
    assert_eq!(story.until(21_010), ["21010: search 0#3"]);
    assert_eq!(story.at(21_020, pid_file(false)), "");
    assert_eq!(story.at(21_030, found(3, Prepared::Broke("killed".into()))), "");
    assert_eq!(story.deadline(), None);
}

#[test]
fn losing_the_race_for_the_start_is_no_failure() {
    let mut spec = engine();
    spec.restart.give_up_after = 1;
    let mut story = Story::new(vec![spec.clone()]);
    story.at(0, lock(Lock::Absent));
    story.at(500, go(ENGINE, 1));
    assert_eq!(story.at(600, rival(ENGINE, 2)), "look 0#2");
    assert_eq!(story.at(600, Event::Remains(ENGINE, Run(2), 0)), "prepare 0#3");
    assert_eq!(story.at(610, found(3, Prepared::Foreign)), "adopt 0#4");
    assert_eq!(story.failures(), 0);
    // But where no other server is, it is one.
    let mut story = Story::new(vec![spec]);
    story.at(0, lock(Lock::Absent));
    story.at(500, go(ENGINE, 1));
    story.at(600, rival(ENGINE, 2));
    story.at(600, Event::Remains(ENGINE, Run(2), 0));
    assert_eq!(story.at(610, go(ENGINE, 3)), "finish 1");
    assert!(
        story.said.iter().any(|said| said.contains("found another server in its way")),
        "{:?}",
        story.said
    );
}
