//! What must hold in each step of any history. The books are kept from the events alone, apart from the core's.

use std::collections::{BTreeMap, BTreeSet};

use super::super::backoff;
use super::world::{Process, World};
use super::*;

/// The books on one program.
#[derive(Default)]
struct Book {
    locked: Option<bool>,
    operator_down: bool,
    failures: u32,
    /// Nothing of it starts before.
    pause_until: Time,
    ready_since: Option<Time>,
    /// What its end was is not known yet: its data will tell.
    doubt: Option<Doubt>,
    /// A pid file that is not ours is there.
    pid_file: bool,
    /// It has to be looked into, and not before this time.
    unsearched: Option<Time>,
    /// It ended by itself, and nobody has looked since who runs.
    suspect: bool,
    /// It gave up, or has finished.
    done: bool,
    /// What its last `prepare` child said, and when.
    verdict: Option<(Time, Prepared)>,
}

pub(super) struct Laws {
    books: Vec<Book>,
    last_run: u64,
    /// When each run was first asked to end, and the hardest rung of it.
    asked: BTreeMap<Run, (Time, Rung)>,
    pub(super) shutdown: Option<Time>,
    /// How often people asked for it; a SIGQUIT hurries like the second time.
    asks: u32,
    gave_up: Option<u8>,
    /// A process was killed, crashed or had to be hurried since PID 1 is on its way out.
    rough: bool,
    /// Any such thing ever.
    ever_rough: bool,
    /// The runs that only look.
    searches: BTreeSet<Run>,
    pub(super) finished: Option<(Time, u8)>,
}

impl Laws {
    pub(super) fn new(programs: usize) -> Self {
        Laws {
            books: (0..programs).map(|_| Book::default()).collect(),
            last_run: 0,
            asked: BTreeMap::new(),
            shutdown: None,
            asks: 0,
            gave_up: None,
            rough: false,
            ever_rough: false,
            searches: BTreeSet::new(),
            finished: None,
        }
    }

    /// The hardest rung that a run was asked to end with.
    pub(super) fn sent(&self, run: Run) -> Option<Rung> {
        self.asked.get(&run).map(|(_, rung)| *rung)
    }

    pub(super) fn done(&self, id: Id) -> bool {
        self.books[id.0].done
    }

    fn is_rough(&mut self) {
        self.ever_rough = true;
        self.rough |= self.shutdown.is_some();
    }

    fn begin_shutdown(&mut self, now: Time) {
        if self.shutdown.is_none() {
            self.shutdown = Some(now);
            self.books.iter_mut().for_each(|book| book.unwanted(now));
        }
    }

    fn ask(&mut self, now: Time, times: u32) {
        self.begin_shutdown(now);
        self.asks += times;
    }

    fn give_up(&mut self, spec: &Spec, id: Id, now: Time, status: u8) {
        self.books[id.0].done = true;
        if spec.critical && spec.restart.on_give_up == OnGiveUp::Exit && self.shutdown.is_none() {
            self.begin_shutdown(now);
            self.gave_up = Some(status);
        }
    }

    fn fail(&mut self, spec: &Spec, id: Id, now: Time, status: u8) {
        let book = &mut self.books[id.0];
        book.failures += 1;
        let restart = &spec.restart;
        book.pause_until = now + backoff(book.failures, restart.min_backoff, restart.max_backoff);
        let limit = restart.give_up_after;
        if restart.policy == Policy::Never || (limit > 0 && book.failures >= limit) {
            self.give_up(spec, id, now, status);
        }
    }
}

impl Book {
    fn forget(&mut self) {
        (self.failures, self.pause_until) = (0, Time::ZERO);
        (self.doubt, self.done) = (None, false);
    }

    /// From here on what somebody else runs must be found.
    fn unwanted(&mut self, now: Time) {
        if self.pid_file {
            self.unsearched = Some(now);
        }
    }
}

impl World {
    /// Keeps the books, before the core hears of it.
    pub(super) fn note(&mut self, event: &Event) {
        let (now, laws) = (self.now, &mut self.laws);
        if laws.finished.is_some() {
            return;
        }
        match event {
            Event::Stop => laws.ask(now, 1),
            Event::Quit => laws.ask(now, 2),
            Event::Lock(id, lock) if *lock != Lock::Unknown => {
                let book = &mut laws.books[id.0];
                let was = book.locked.replace(*lock == Lock::Present);
                if was != Some(true) && *lock == Lock::Present {
                    book.unwanted(now);
                }
                if was == Some(true) && *lock == Lock::Absent {
                    book.forget();
                }
            }
            Event::Operator(id, wish) => {
                let up = *wish != Wish::Down(None);
                let was = std::mem::replace(&mut laws.books[id.0].operator_down, !up);
                if !was && !up {
                    laws.books[id.0].unwanted(now);
                }
                if up {
                    laws.books[id.0].forget();
                }
            }
            Event::PidFile(id, there) => {
                laws.books[id.0].pid_file = *there;
                laws.books[id.0].unsearched = there.then_some(now);
            }
            Event::SpawnFailed(id, run, _) | Event::Prepared(id, run, Prepared::Broke(_))
                if laws.sent(*run).is_none() && laws.searches.contains(run) =>
            {
                let book = &mut laws.books[id.0];
                book.unsearched = book.pid_file.then_some(now + ms(10_000));
            }
            Event::Prepared(id, run, verdict) if laws.searches.contains(run) => {
                let held = laws.shutdown.is_some();
                let book = &mut laws.books[id.0];
                book.verdict = Some((now, verdict.clone()));
                if *verdict == Prepared::Foreign && !laws.asked.contains_key(run) {
                    book.doubt = None;
                    if book.done && !held && book.locked != Some(true) && !book.operator_down {
                        book.forget();
                    }
                }
            }
            Event::SpawnFailed(id, run, _) if laws.sent(*run).is_none() => {
                laws.books[id.0].pause_until = now + ms(1_000);
            }
            Event::Prepared(id, run, verdict) if laws.sent(*run).is_some() => {
                laws.books[id.0].verdict = Some((now, verdict.clone()));
            }
            Event::Prepared(id, _, verdict) => {
                let spec = &self.state.programs[id.0].spec;
                let book = &mut laws.books[id.0];
                book.verdict = Some((now, verdict.clone()));
                book.suspect &= !matches!(verdict, Prepared::Go { .. } | Prepared::Foreign);
                match verdict {
                    Prepared::Go { unclean } => match book.doubt.take() {
                        Some(Doubt::Crash) if *unclean => laws.fail(spec, *id, now, 1),
                        Some(Doubt::Rival(end)) => laws.fail(spec, *id, now, end.exit_status()),
                        _ => {}
                    },
                    Prepared::Foreign => book.doubt = None,
                    Prepared::Locked | Prepared::Wait(_) => book.pause_until = now + ms(1_000),
                    Prepared::GiveUp(status, _) => laws.give_up(spec, *id, now, *status),
                    Prepared::Broke(_) | Prepared::Nobody => laws.fail(spec, *id, now, 1),
                }
                let untold = matches!(verdict, Prepared::GiveUp(..) | Prepared::Broke(_) | Prepared::Nobody);
                if untold && laws.books[id.0].done {
                    laws.books[id.0].unwanted(now);
                }
            }
            Event::Ready(id, run) if laws.sent(*run).is_none() => laws.books[id.0].ready_since = Some(now),
            Event::Ended(id, run, end, class) => {
                let of_the_asking = matches!(
                    (end, laws.sent(*run)),
                    (End::Signal(15), Some(Rung::Smart))
                        | (End::Signal(2), Some(Rung::Fast))
                        | (End::Signal(3), Some(Rung::Immediate))
                );
                if !matches!(end, End::Code(0) | End::Unknown) && !of_the_asking {
                    laws.is_rough();
                }
                let spec = &self.state.programs[id.0].spec;
                let restart = &spec.restart;
                let asked = laws.sent(*run).is_some();
                let book = &mut laws.books[id.0];
                let was_ready = book.ready_since.is_some();
                if book.ready_since.take().is_some_and(|since| now - since >= restart.reset_after) {
                    book.failures = 0;
                }
                if asked {
                    return;
                }
                book.doubt = None;
                match class {
                    Class::Clean | Class::Unknown
                        if restart.policy == Policy::Always
                            || (*class, restart.policy) == (Class::Unknown, Policy::OnFailure) =>
                    {
                        book.doubt = (*class == Class::Unknown).then_some(Doubt::Crash);
                        book.suspect = true;
                        book.pause_until = now + restart.clean_exit_delay;
                    }
                    Class::Clean | Class::Unknown => laws.give_up(spec, *id, now, end.exit_status()),
                    Class::AnotherServer
                        if restart.policy != Policy::Never && !was_ready && spec.prepares =>
                    {
                        book.doubt = Some(Doubt::Rival(*end));
                    }
                    _ => laws.fail(spec, *id, now, end.exit_status()),
                }
            }
            _ => {}
        }
    }

    /// Whether the shutdown's patience is over.
    fn overdue(&self) -> bool {
        let limit = self.state.stop_timeout;
        self.laws.shutdown.is_some_and(|since| self.now >= since + limit - ms(3_000).min(limit / 4))
    }

    /// Checks what the core does, just before it is done.
    pub(super) fn check(&mut self, action: &Action) {
        assert_eq!(self.laws.finished, None, "{action:?} after the end");
        match action {
            Action::Prepare(id, run) | Action::Start(id, run) => self.check_start(action, *id, *run),
            Action::Search(id, run) => self.check_search(*id, *run),
            Action::Adopt(id, run) => self.check_adopt(*id, *run),
            Action::Signal(id, run, _, rung) => self.check_signal(*id, *run, *rung),
            Action::Finish(status) => self.check_finish(*status),
            _ => {}
        }
    }

    fn check_alone(&mut self, action: &Action, id: Id, run: Run) {
        assert!(run.0 > self.laws.last_run, "{run:?} is used again");
        self.laws.last_run = run.0;
        let body = &self.bodies[id.0];
        assert!(body.process.is_none(), "{action:?} beside another process");
        assert!(body.left.is_none(), "{action:?} beside what is left of an earlier run");
    }

    /// One look for each reason to look, whatever holds the program down.
    fn check_search(&mut self, id: Id, run: Run) {
        self.check_alone(&Action::Search(id, run), id, run);
        self.laws.searches.insert(run);
        let shutdown = self.laws.shutdown.is_some();
        let book = &mut self.laws.books[id.0];
        let held = book.locked == Some(true) || book.operator_down || book.done || shutdown;
        let suspect = std::mem::take(&mut book.suspect) && held;
        let due = book.unsearched.take();
        assert!(
            suspect || due.is_some_and(|at| at <= self.now),
            "{id:?} is searched again and again: {due:?}"
        );
    }

    /// What runs is taken over, whatever holds the program down: only then can it be stopped.
    fn check_adopt(&mut self, id: Id, run: Run) {
        self.check_alone(&Action::Adopt(id, run), id, run);
        let verdict = self.laws.books[id.0].verdict.take().map(|(_, verdict)| verdict);
        assert_eq!(verdict, Some(Prepared::Foreign), "adopted, but nobody found it");
    }

    fn check_start(&mut self, action: &Action, id: Id, run: Run) {
        self.check_alone(action, id, run);
        if matches!(action, Action::Prepare(..)) {
            self.laws.books[id.0].unsearched = None;
        }
        let book = &self.laws.books[id.0];
        assert_eq!(book.locked, Some(false), "{action:?} although locked");
        assert!(!book.operator_down, "{action:?} against the operator's word");
        assert!(!book.done, "{action:?} after it gave up");
        assert_eq!(self.laws.shutdown, None, "{action:?} while PID 1 ends");
        assert!(self.now >= book.pause_until, "{action:?} skips a pause until {:?}", book.pause_until);
        let spec = &self.state.programs[id.0].spec;
        for need in &spec.after {
            let phase = &self.state.programs[need.0].phase;
            assert!(matches!(phase, Phase::Up { .. }), "{action:?} while {need:?} is {phase:?}");
        }
        let verdict = book.verdict.as_ref().filter(|(at, _)| *at == self.now).map(|(_, verdict)| verdict);
        match action {
            Action::Start(..) if spec.prepares => {
                assert!(matches!(verdict, Some(Prepared::Go { .. })), "{action:?} after {verdict:?}");
            }
            _ => {}
        }
    }

    fn check_signal(&mut self, id: Id, run: Run, rung: Rung) {
        let (now, overdue, hurried) = (self.now, self.overdue(), self.laws.asks > 1);
        let program = &self.state.programs[id.0];
        let spec = &program.spec;
        let looks_only = self.laws.searches.contains(&run);
        assert!(!looks_only || self.laws.shutdown.is_some(), "a look is cut short");
        let laws = &mut self.laws;
        let first = laws.asked.get(&run).copied();
        assert!(first.is_none_or(|(_, sent)| rung > sent), "{rung:?} after {first:?}");
        let since = first.map_or(now, |(since, _)| since);
        laws.asked.insert(run, (since, rung));
        if laws.shutdown.is_some() && first.is_none() && !overdue && !looks_only {
            for (place, later) in self.bodies.iter().enumerate() {
                if self.needs(Id(place), id) {
                    assert!(later.process.is_none(), "{id:?} is stopped before {place}, which needs it");
                }
            }
        }
        let preparing = matches!(program.phase, Phase::Stopping { what: What::Prepare | What::Search, .. });
        let early = preparing || overdue || hurried || spec.ladder.first == Rung::Kill;
        if rung == Rung::Kill {
            if self.bodies[id.0].process.as_ref().is_some_and(|process| process.run == run) {
                self.laws.is_rough();
            }
            let budget = spec.ladder.budget;
            assert!(early || now - since >= budget - ms(3_000).min(budget / 4), "killed too early");
        }
        if rung == Rung::Immediate {
            self.laws.ever_rough = true;
            self.laws.rough |= self.laws.shutdown.is_some() && first.is_some() && !hurried;
        }
    }

    /// Whether `later` starts after `id`, if only by way of others.
    fn needs(&self, later: Id, id: Id) -> bool {
        let after = &self.state.programs[later.0].spec.after;
        after.iter().any(|&need| need == id || self.needs(need, id))
    }

    fn check_finish(&mut self, status: u8) {
        let Some(since) = self.laws.shutdown else { panic!("it ends although nobody asked") };
        let gone = self.bodies.iter().all(|body| body.process.is_none() && body.left.is_none());
        let end = since + self.state.stop_timeout;
        assert!(gone || self.now >= end, "it ends with processes left, before its time");
        match self.laws.gave_up {
            Some(wanted) => assert_eq!(status, wanted, "the status of the program that gave up"),
            None if status == 0 => assert!(gone && !self.laws.rough, "0 although not all ended in order"),
            None => {
                assert_eq!(status, 1);
                assert!(!gone || self.laws.ever_rough || self.now >= end, "1 although all ended in order");
            }
        }
        self.laws.finished = Some((self.now, status));
    }

    /// What must be true after each step.
    pub(super) fn check_state(&self) {
        if self.laws.finished.is_some() {
            return;
        }
        assert_eq!(self.state.shutdown.is_some(), self.laws.shutdown.is_some(), "who ends PID 1?");
        for (place, (program, book)) in self.state.programs.iter().zip(&self.laws.books).enumerate() {
            let unwanted = book.locked == Some(true) || book.operator_down;
            let rests = matches!(program.phase, Phase::Down | Phase::Failed) && program.spec.prepares;
            let due = book.unsearched.is_some_and(|at| at <= self.now);
            assert!(!(rests && due), "{place}: nobody looks who has written the pid file");
            let works = |process: &&Process| unwanted && !self.laws.searches.contains(&process.run);
            if let Some(process) = self.bodies[place].process.as_ref().filter(works)
                && self.laws.shutdown.is_none()
            {
                assert!(self.laws.asked.contains_key(&process.run), "{place} runs on, not wanted");
            }
            assert_eq!(program.done, book.done, "{place}: gave up or not: {program:?}");
        }
    }
}
