//! The books on any history, kept from the events alone, apart from the core's; `checks` holds the core against them.

use std::collections::{BTreeMap, BTreeSet};

use super::super::backoff;
use super::world::World;
use super::*;

/// The books on one program.
#[derive(Default)]
pub(super) struct Book {
    pub(super) locked: Option<bool>,
    pub(super) operator_down: bool,
    pub(super) failures: u32,
    /// Nothing of it starts before.
    pub(super) pause_until: Time,
    pub(super) ready_since: Option<Time>,
    /// What its end was is not known yet: its data will tell.
    pub(super) doubt: Option<Doubt>,
    /// A pid file that is not ours is there.
    pub(super) pid_file: bool,
    /// It has to be looked into, and not before this time.
    pub(super) unsearched: Option<Time>,
    /// It ended by itself, and nobody has looked since who runs.
    pub(super) suspect: bool,
    /// It gave up, or has finished.
    pub(super) done: bool,
    /// What its last `prepare` child said, and when.
    pub(super) verdict: Option<(Time, Prepared)>,
    /// A one-shot has ended with 0, and nobody has started it since.
    pub(super) completed: bool,
    pub(super) removed: bool,
    /// This run is to be stopped and started again.
    pub(super) bounce: Option<Run>,
    /// An operator has asked for an end harder than a fast one.
    pub(super) named_hard: bool,
    /// This run has failed its checks.
    pub(super) unwell: Option<Run>,
    /// This run was asked to end because it had failed; that counts at its end.
    pub(super) failing: Option<Run>,
    /// When its main process was started, while it is not ready.
    pub(super) starting: Option<(Run, Time)>,
}

pub(super) struct Laws {
    pub(super) books: Vec<Book>,
    pub(super) last_run: u64,
    /// When each run was first asked to end, and the hardest rung of it.
    pub(super) asked: BTreeMap<Run, (Time, Rung)>,
    pub(super) shutdown: Option<Time>,
    /// How often people asked for it; a SIGQUIT hurries like the second time.
    pub(super) asks: u32,
    pub(super) gave_up: Option<u8>,
    /// A process was killed, crashed or had to be hurried since PID 1 is on its way out.
    pub(super) rough: bool,
    /// Any such thing ever.
    pub(super) ever_rough: bool,
    /// The runs that only look.
    pub(super) searches: BTreeSet<Run>,
    /// Whose executables have been looked at ahead.
    pub(super) learnt: BTreeSet<usize>,
    pub(super) finished: Option<(Time, u8)>,
}

impl Laws {
    pub(super) fn new(specs: &[Spec]) -> Self {
        Laws {
            books: specs.iter().map(Book::new).collect(),
            last_run: 0,
            asked: BTreeMap::new(),
            shutdown: None,
            asks: 0,
            gave_up: None,
            rough: false,
            ever_rough: false,
            searches: BTreeSet::new(),
            learnt: BTreeSet::new(),
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

    pub(super) fn is_rough(&mut self) {
        self.ever_rough = true;
        self.rough |= self.shutdown.is_some();
    }

    pub(super) fn begin_shutdown(&mut self, now: Time) {
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
        let counts = spec.critical && !self.books[id.0].removed;
        if counts && spec.restart.on_give_up == OnGiveUp::Exit && self.shutdown.is_none() {
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
    fn new(spec: &Spec) -> Self {
        Book { locked: spec.lock_file.is_none().then_some(false), ..Book::default() }
    }

    fn forget(&mut self) {
        (self.failures, self.pause_until) = (0, Time::ZERO);
        (self.doubt, self.done, self.failing) = (None, false, None);
    }

    /// Whether its own facts let it run.
    pub(super) fn own(&self) -> bool {
        let held = self.locked == Some(true) || self.operator_down || self.removed;
        !held && !self.done && !self.completed
    }

    /// A long time ready clears the failures.
    pub(super) fn forgive(&mut self, now: Time, spec: &Spec) {
        if self.ready_since.take().is_some_and(|since| now - since >= spec.restart.reset_after) {
            self.failures = 0;
        }
    }

    /// What was to be done with the process has been done, or has lost its object.
    fn process_gone(&mut self) {
        (self.bounce, self.unwell, self.failing, self.starting) = (None, None, None, None);
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
        let phase = |id: &Id| &self.state.programs[id.0].phase;
        let running = |id: &Id| match phase(id) {
            Phase::Preparing { run } | Phase::Starting { run, .. } | Phase::Up { run, .. } => Some(*run),
            _ => None,
        };
        match event {
            Event::Together(events) => events.iter().for_each(|event| self.note(event)),
            Event::Add(spec) => laws.books.push(Book::new(spec)),
            Event::Remove(id) => {
                let book = &mut laws.books[id.0];
                (book.removed, book.unsearched, book.suspect) = (true, None, false);
            }
            Event::Respec(id, _, true) if !laws.books[id.0].removed => {
                laws.books[id.0].forget();
                if let Some(run) = running(id) {
                    laws.books[id.0].bounce = Some(run);
                }
            }
            Event::Unwell(id, run, _) if matches!(phase(id), Phase::Up { run: up, .. } if up == run) => {
                laws.books[id.0].unwell = Some(*run);
            }
            Event::Stop => laws.ask(now, 1),
            Event::Quit => laws.ask(now, 2),
            Event::Lock(id, lock)
                if *lock != Lock::Unknown && self.state.programs[id.0].spec.lock_file.is_some() =>
            {
                let book = &mut laws.books[id.0];
                let was = book.locked.replace(*lock == Lock::Present);
                if was != Some(true) && *lock == Lock::Present {
                    book.unwanted(now);
                }
                if was == Some(true) && *lock == Lock::Absent && !book.removed {
                    book.forget();
                }
            }
            Event::Operator(id, wish) => {
                if laws.books[id.0].removed {
                    return;
                }
                let up = !matches!(wish, Wish::Down(_));
                if let Wish::Down(Some(rung)) | Wish::Restart(Some(rung)) = wish {
                    laws.books[id.0].named_hard |= *rung > Rung::Fast;
                }
                let was = std::mem::replace(&mut laws.books[id.0].operator_down, !up);
                if !was && !up {
                    laws.books[id.0].unwanted(now);
                }
                if up {
                    laws.books[id.0].forget();
                    laws.books[id.0].completed = false;
                }
                match (wish, running(id)) {
                    (Wish::Restart(_), Some(run)) => laws.books[id.0].bounce = Some(run),
                    (Wish::Down(_), _) => laws.books[id.0].bounce = None,
                    _ => {}
                }
            }
            Event::PidFile(id, there) => {
                laws.books[id.0].pid_file = *there;
                let removed = laws.books[id.0].removed;
                laws.books[id.0].unsearched = there.then_some(now).filter(|_| !removed);
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
                laws.books[id.0].process_gone();
            }
            Event::Prepared(id, run, verdict)
                if laws.sent(*run).is_none() && laws.shutdown.is_none() && !laws.books[id.0].own() =>
            {
                // It waits for its turn to be stopped: nothing that it says counts, but that another one runs.
                laws.books[id.0].verdict = Some((now, verdict.clone()));
                laws.books[id.0].process_gone();
            }
            Event::Prepared(id, run, verdict) if laws.sent(*run).is_some() => {
                laws.books[id.0].verdict = Some((now, verdict.clone()));
            }
            Event::Prepared(id, _, verdict) => {
                let spec = &self.state.programs[id.0].spec;
                let book = &mut laws.books[id.0];
                book.verdict = Some((now, verdict.clone()));
                let bounce = book.bounce;
                book.process_gone();
                book.bounce = bounce.filter(|_| *verdict == Prepared::Foreign);
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
            Event::Ready(id, run)
                if laws.sent(*run).is_none() && self.state.programs[id.0].spec.kind != Kind::Oneshot =>
            {
                let book = &mut laws.books[id.0];
                (book.ready_since, book.starting) = (Some(now), None);
            }
            Event::Ended(id, run, end, class) => {
                let spec = &self.state.programs[id.0].spec;
                let of_the_asking = matches!(
                    (spec.stop_signal, end, laws.sent(*run)),
                    (None, End::Signal(15), Some(Rung::Smart))
                        | (None, End::Signal(2), Some(Rung::Fast))
                        | (None, End::Signal(3), Some(Rung::Immediate))
                        | (Some(15), End::Signal(15) | End::Code(_), Some(_))
                );
                if !matches!(end, End::Code(0) | End::Unknown) && !of_the_asking {
                    laws.is_rough();
                }
                let restart = &spec.restart;
                let asked = laws.sent(*run).is_some();
                let held = laws.shutdown.is_some();
                let book = &mut laws.books[id.0];
                let failing = book.failing.take() == Some(*run);
                book.process_gone();
                let was_ready = book.ready_since.is_some();
                book.forgive(now, spec);
                if asked {
                    if failing && book.own() && !held {
                        laws.fail(spec, *id, now, end.exit_status());
                    }
                    return;
                }
                if spec.kind == Kind::Oneshot && *class == Class::Clean {
                    (book.failures, book.completed) = (0, true);
                    return;
                }
                if !held && !book.own() {
                    book.suspect = spec.prepares && matches!(class, Class::Clean | Class::Unknown);
                    return;
                }
                book.doubt = None;
                match class {
                    Class::Clean | Class::Unknown
                        if restart.policy == Policy::Always
                            || (*class, restart.policy) == (Class::Unknown, Policy::OnFailure) =>
                    {
                        book.doubt = (*class == Class::Unknown).then_some(Doubt::Crash);
                        book.suspect = spec.prepares;
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
}
