//! What has happened: the last events for who asks, each of them once for the journal, and how long each program was not
//! ready, and why. Nothing is read or written here, and time is an argument. The
//! time of day is for people alone: nothing is decided by it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use crate::control::protocol::Record;
use crate::supervisor::core::{Class, End, Glance, Id, LastExit, Time};

/// So many events are remembered.
const REMEMBERED: usize = 1000;
/// No text is longer, in bytes.
const TEXT_MAX: usize = 1024;
/// So much goes to the journal's writer at once, in bytes.
const AT_ONCE: usize = 16 * 1024;
/// So much may wait for the journal's writer, in bytes; what comes beyond is counted. A thousand programs that start, or
/// end, at once have half of it to tell.
const WAITING_MAX: usize = 1024 * 1024;

/// A moment, on both clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// Time since PID 1 started.
    pub(crate) time: Time,
    /// What the wall says.
    pub(crate) wall: Timestamp,
}

impl Moment {
    /// This moment, which is so long after PID 1's start.
    pub(crate) fn at(time: Time) -> Self {
        Moment { time, wall: Timestamp::now() }
    }
}

/// What has happened.
#[derive(Debug)]
pub(crate) struct History {
    /// The last events as JSON, with their numbers.
    events: VecDeque<(u64, Box<str>)>,
    last: u64,
    news: watch::Sender<u64>,
    /// What waits for the journal's writer, some events in each.
    waiting: VecDeque<String>,
    waiting_bytes: usize,
    lost: u64,
    ledgers: Vec<Ledger>,
    ending: bool,
}

/// What is known of one program.
#[derive(Debug)]
struct Ledger {
    seen: Seen,
    /// Since when it is in its state.
    since: Moment,
    /// When its main process ended last.
    exit_at: Option<Timestamp>,
    /// Since when it is not ready for its cause.
    cause_since: Time,
    /// So long it was not ready, by causes: few, and most programs meet one in their lives.
    downtime: Vec<(&'static str, Duration)>,
}

/// One program as it was last seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    /// What the core says of it.
    pub(crate) glance: Glance,
    /// Its main process.
    pub(crate) pid: Option<i32>,
    /// How its main process ended last.
    pub(crate) last_exit: Option<LastExit>,
}

impl History {
    pub(crate) fn new() -> Self {
        History {
            events: VecDeque::new(),
            last: 0,
            news: watch::Sender::new(0),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            lost: 0,
            ledgers: Vec::new(),
            ending: false,
        }
    }

    /// Compares a program with how it was last seen. Programs come in the order of their ids for the first time.
    pub(crate) fn observe(&mut self, now: impl Fn() -> Moment, id: Id, name: &str, seen: Seen) {
        match self.ledgers.get_mut(id.0) {
            Some(ledger) if ledger.seen == seen => {}
            Some(ledger) => {
                let now = now();
                let before = ledger.turn(seen, now);
                self.tell(now, name, before, seen);
            }
            None => {
                let now = now();
                self.ledgers.push(Ledger {
                    seen,
                    since: now,
                    exit_at: None,
                    cause_since: now.time,
                    downtime: Vec::new(),
                });
            }
        }
    }

    fn tell(&mut self, now: Moment, name: &str, before: Seen, after: Seen) {
        if before.last_exit != after.last_exit
            && let Some(exit) = after.last_exit
        {
            let process = before.pid.map_or("its main process".to_owned(), |pid| format!("process {pid}"));
            let text = format!("{process} {} ({})", exit.class, exit.end);
            self.push(now, Some(name), "exit", text, |record| record.reason = Some(exit.class.name().into()));
        }
        let (from, to) = (before.glance, after.glance);
        if from.locked != to.locked {
            let text = if to.locked { "its lock file exists" } else { "its lock file is gone" };
            self.push(now, Some(name), "lock", text.into(), |_| {});
        }
        let started = after.pid.is_some() && after.pid != before.pid;
        if (from.state, from.reason) == (to.state, to.reason) && !started {
            return;
        }
        let text = in_words(from, to, after.pid.filter(|_| started || to.ready));
        self.push(now, Some(name), "state", text, |record| {
            record.from = Some(from.state.into());
            record.to = Some(to.state.into());
            record.reason = to.reason.map(Into::into);
        });
    }

    /// Something that happened to a program, or (none) to PID 1 itself: `operator`, `reload`, `supervisor`.
    pub(crate) fn note(&mut self, now: Moment, program: Option<&str>, event: &str, text: impl Into<String>) {
        self.push(now, program, event, text.into(), |_| {});
    }

    /// That PID 1 is on its way out, once.
    pub(crate) fn ending(&mut self, now: impl FnOnce() -> Moment, text: impl FnOnce() -> String) {
        if !std::mem::replace(&mut self.ending, true) {
            self.note(now(), None, "supervisor", text());
        }
    }

    fn push(
        &mut self,
        now: Moment,
        program: Option<&str>,
        event: &str,
        text: String,
        more: impl FnOnce(&mut Record),
    ) {
        self.last += 1;
        let mut record = Record {
            seq: self.last,
            time: rfc3339(now.wall),
            program: program.map(Into::into),
            event: event.into(),
            from: None,
            to: None,
            reason: None,
            text: cut(text),
        };
        more(&mut record);
        let Ok(json) = serde_json::to_string(&record) else { return };
        self.wait_for_writer(&json);
        if self.events.len() == REMEMBERED {
            self.events.pop_front();
        }
        self.events.push_back((self.last, json.into()));
        self.news.send_replace(self.last);
    }

    fn wait_for_writer(&mut self, json: &str) {
        if self.waiting_bytes + json.len() > WAITING_MAX {
            self.lost += 1;
            return;
        }
        self.waiting_bytes += json.len();
        match self.waiting.back_mut().filter(|some| some.len() + json.len() < AT_ONCE) {
            Some(some) => {
                some.push('\n');
                some.push_str(json);
            }
            None => self.waiting.push_back(json.to_owned()),
        }
    }

    /// Tells of each next event.
    pub(crate) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// The number after which the last `count` events come, or all.
    pub(crate) fn before_last(&self, count: Option<usize>) -> u64 {
        let remembered = self.events.len();
        let count = u64::try_from(count.map_or(remembered, |count| count.min(remembered))).unwrap_or(0);
        self.last.saturating_sub(count)
    }

    /// The events after `number`, about `bytes` of them, each given to `f` as JSON; the number of the last one, and how
    /// many were forgotten before the first.
    pub(crate) fn after(&self, number: u64, bytes: usize, mut f: impl FnMut(&str)) -> (u64, u64) {
        let Some((oldest, _)) = self.events.front() else { return (number, 0) };
        let forgotten = oldest.saturating_sub(number).saturating_sub(1);
        let skip = usize::try_from((number + 1).saturating_sub(*oldest)).unwrap_or(usize::MAX);
        let (mut last, mut taken) = (number, 0);
        for (number, json) in self.events.iter().skip(skip) {
            if taken > 0 && taken + json.len() > bytes {
                break;
            }
            taken += json.len();
            last = *number;
            f(json);
        }
        (last, forgotten)
    }

    /// What waits for the journal's writer, some lines in each, the last without its newline; and how many events had no
    /// room.
    pub(crate) fn take_waiting(&mut self) -> (VecDeque<String>, u64) {
        self.waiting_bytes = 0;
        (std::mem::take(&mut self.waiting), std::mem::take(&mut self.lost))
    }

    /// Since when a program is in its state.
    pub(crate) fn since(&self, id: Id) -> Option<Timestamp> {
        self.ledgers.get(id.0).map(|ledger| ledger.since.wall)
    }

    /// When a program's main process ended last.
    pub(crate) fn exit_at(&self, id: Id) -> Option<Timestamp> {
        self.ledgers.get(id.0)?.exit_at
    }

    /// Seconds that a program was not ready, by cause.
    pub(crate) fn downtime(&self, id: Id, now: Time) -> BTreeMap<String, f64> {
        let Some(ledger) = self.ledgers.get(id.0) else { return BTreeMap::new() };
        let mut seconds: BTreeMap<String, f64> =
            ledger.downtime.iter().map(|(cause, time)| ((*cause).into(), time.as_secs_f64())).collect();
        if let Some(cause) = ledger.seen.cause() {
            let open = now.saturating_sub(ledger.cause_since).as_secs_f64();
            *seconds.entry(cause.into()).or_default() += open;
        }
        seconds
    }
}

impl Seen {
    /// Why it is not ready.
    fn cause(&self) -> Option<&'static str> {
        (!self.glance.ready).then(|| self.glance.reason.unwrap_or(self.glance.state))
    }
}

impl Ledger {
    /// Takes over how it is; how it was.
    fn turn(&mut self, seen: Seen, now: Moment) -> Seen {
        let before = std::mem::replace(&mut self.seen, seen);
        if before.glance.state != seen.glance.state {
            self.since = now;
        }
        if before.last_exit != seen.last_exit {
            self.exit_at = Some(now.wall);
        }
        if before.cause() != seen.cause() {
            if let Some(cause) = before.cause() {
                let time = now.time.saturating_sub(self.cause_since);
                match self.downtime.iter_mut().find(|(known, _)| *known == cause) {
                    Some((_, sum)) => *sum += time,
                    None => {
                        self.downtime.reserve_exact(1);
                        self.downtime.push((cause, time));
                    }
                }
            }
            self.cause_since = now.time;
        }
        before
    }
}

/// A change of state for people.
fn in_words(from: Glance, to: Glance, pid: Option<i32>) -> String {
    let process = pid.map(|pid| format!(", process {pid}")).unwrap_or_default();
    match (from.state == to.state, to.reason) {
        (true, None) => format!("{}{process}", if to.ready { "started again" } else { "started" }),
        (_, Some(reason)) => format!("{}: {reason}{process}", to.state),
        (false, None) => format!("{}{process}", to.state),
    }
}

fn cut(mut text: String) -> String {
    if text.len() > TEXT_MAX {
        let end = (0..=TEXT_MAX).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

/// A time as the protocol has it: in UTC, to the millisecond.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    format!("{time:.3}")
}

/// How a main process ended, as the protocol has it: its exit code, or its signal.
pub(crate) fn code_and_signal(end: End) -> (Option<i32>, Option<i32>) {
    match end {
        End::Code(code) => (Some(code), None),
        End::Signal(signal) => (None, Some(signal)),
        End::Unknown => (None, None),
    }
}

/// Counts of ends by class, as the protocol has them.
pub(crate) fn by_name(ends: &BTreeMap<Class, u64>) -> BTreeMap<String, u64> {
    ends.iter().map(|(class, count)| (class.name().into(), *count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const UP: Seen = seen("running", None, true, Some(7));
    const DOWN: Seen = seen("down", Some("locked"), false, None);

    const fn seen(state: &'static str, reason: Option<&'static str>, ready: bool, pid: Option<i32>) -> Seen {
        Seen { glance: Glance { state, reason, ready, locked: false }, pid, last_exit: None }
    }

    fn at(seconds: u64) -> Moment {
        Moment {
            time: Duration::from_secs(seconds),
            wall: Timestamp::from_second(1_800_000_000 + i64::try_from(seconds).unwrap()).unwrap(),
        }
    }

    fn all(history: &History) -> Vec<Record> {
        let mut found = Vec::new();
        history.after(0, usize::MAX, |json| found.push(serde_json::from_str(json).unwrap()));
        found
    }

    fn observe(history: &mut History, seconds: u64, seen: Seen) {
        history.observe(|| at(seconds), Id(0), "engine", seen);
    }

    #[test]
    fn what_has_not_changed_is_not_told_and_costs_no_look_at_the_clock() {
        let mut history = History::new();
        observe(&mut history, 0, UP);
        history.observe(|| panic!("nothing has changed"), Id(0), "engine", UP);
        assert_eq!(all(&history), []);
    }

    #[test]
    fn changes_are_told_in_order() {
        let mut history = History::new();
        observe(&mut history, 0, seen("starting", None, false, None));
        observe(&mut history, 1, seen("starting", None, false, Some(7)));
        observe(&mut history, 2, UP);
        let exit = LastExit { end: End::Signal(9), class: Class::Killed, at: Duration::from_secs(3) };
        let mut backoff = seen("backoff", None, false, None);
        backoff.last_exit = Some(exit);
        observe(&mut history, 3, backoff);
        let mut locked = Seen { last_exit: Some(exit), ..DOWN };
        locked.glance.locked = true;
        observe(&mut history, 4, locked);
        let told: Vec<_> = all(&history)
            .into_iter()
            .map(|record| (record.seq, record.event, record.from, record.to, record.reason, record.text))
            .collect();
        let text = |text: &str| Some(text.to_owned());
        let state = |seq, from: &str, to: &str, reason: Option<&str>, words: &str| {
            (seq, "state".to_owned(), text(from), text(to), reason.map(str::to_owned), words.to_owned())
        };
        assert_eq!(
            told,
            [
                state(1, "starting", "starting", None, "started, process 7"),
                state(2, "starting", "running", None, "running, process 7"),
                (3, "exit".into(), None, None, text("killed"), "process 7 was killed (signal 9)".into()),
                state(4, "running", "backoff", None, "backoff"),
                (5, "lock".into(), None, None, None, "its lock file exists".into()),
                state(6, "backoff", "down", Some("locked"), "down: locked"),
            ]
        );
        assert_eq!(all(&history)[0].time, "2027-01-15T08:00:01.000Z");
    }

    #[test]
    fn a_restart_within_one_turn_is_told_by_its_process() {
        let mut history = History::new();
        observe(&mut history, 0, UP);
        observe(&mut history, 1, Seen { pid: Some(8), ..UP });
        assert_eq!(all(&history)[0].text, "started again, process 8");
    }

    #[test]
    fn the_time_that_it_was_not_ready_is_kept_by_cause() {
        let mut history = History::new();
        let starting = seen("starting", None, false, None);
        observe(&mut history, 0, starting);
        observe(&mut history, 2, UP);
        observe(&mut history, 10, seen("stopping", Some("locked"), false, Some(7)));
        observe(&mut history, 11, DOWN);
        observe(&mut history, 15, starting);
        let seconds = |history: &History, now| {
            history.downtime(Id(0), Duration::from_secs(now)).into_iter().collect::<Vec<_>>()
        };
        assert_eq!(seconds(&history, 18), [("locked".into(), 5.0), ("starting".into(), 5.0)]);
        observe(&mut history, 20, UP);
        assert_eq!(seconds(&history, 99), [("locked".into(), 5.0), ("starting".into(), 7.0)]);
        assert_eq!(history.since(Id(0)), Some(at(20).wall));
    }

    #[test]
    fn only_the_last_are_remembered_and_who_is_late_learns_how_many_are_gone() {
        let mut history = History::new();
        for number in 0..REMEMBERED + 10 {
            history.note(at(0), None, "supervisor", format!("{number}"));
        }
        let (mut count, mut first) = (0, 0);
        let (last, forgotten) = history.after(5, usize::MAX, |json| {
            count += 1;
            let record: Record = serde_json::from_str(json).unwrap();
            first = if first == 0 { record.seq } else { first };
        });
        assert_eq!((count, first, last, forgotten), (REMEMBERED, 11, 1010, 5));
        assert_eq!(history.after(1010, 9, |_| panic!("none is left")), (1010, 0));
        assert_eq!(history.before_last(Some(3)), 1007);
        assert_eq!(history.before_last(None), 10);
        assert_eq!(history.before_last(Some(usize::MAX)), 10);
        let mut some = 0;
        let (next, _) = history.after(1007, 1, |_| some += 1);
        assert_eq!((next, some), (1008, 1), "one at the least");
    }

    #[test]
    fn the_journal_gets_each_event_once_and_does_not_fill_memory() {
        let mut history = History::new();
        history.note(at(0), Some("engine"), "operator", "a\nb");
        history.note(at(0), None, "reload", "reloaded");
        let (lines, lost) = history.take_waiting();
        assert_eq!((lines.len(), lines[0].lines().count(), lost), (1, 2, 0));
        assert_eq!(history.take_waiting(), (VecDeque::new(), 0));
        for _ in 0..2000 {
            history.note(at(0), None, "supervisor", "x".repeat(5000));
        }
        let (some, lost) = history.take_waiting();
        let lines: Vec<&str> = some.iter().flat_map(|some| some.lines()).collect();
        assert!(some.iter().all(|some| some.len() < AT_ONCE + 2 * TEXT_MAX));
        assert_eq!(lines.len() + usize::try_from(lost).unwrap(), 2000);
        assert!(lost > 700 && lines.iter().all(|line| line.ends_with('}')), "{lost} lost");
    }
}
