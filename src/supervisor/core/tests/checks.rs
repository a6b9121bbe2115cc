//! What must hold in each step of any history.

use super::world::{Process, World};
use super::*;

impl World {
    /// Whether the shutdown's patience is over.
    fn overdue(&self) -> bool {
        let limit = self.state.stop_timeout;
        self.laws.shutdown.is_some_and(|since| self.now >= since + limit - ms(3_000).min(limit / 4))
    }

    /// Checks what the core does, just before it is done.
    pub(super) fn check(&mut self, action: &Action) {
        assert_eq!(self.laws.finished, None, "{action:?} after the end");
        match action {
            Action::Learn(id) => {
                assert!(self.state.programs[id.0].spec.prepares, "{action:?}: it has no prepare child");
                assert!(self.laws.learnt.insert(id.0), "{action:?} twice");
            }
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
        assert!(!self.laws.books[id.0].removed, "{action:?} although it has left the configuration");
        let names = &self.state.programs[id.0].spec.name;
        for (place, other) in self.bodies.iter().enumerate().take(id.0) {
            if self.state.programs[place].spec.name == *names {
                assert!(other.process.is_none(), "{action:?} beside its predecessor {place}");
            }
        }
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
        let book = &mut self.laws.books[id.0];
        let verdict = book.verdict.take().map(|(_, verdict)| verdict);
        assert_eq!(verdict, Some(Prepared::Foreign), "adopted, but nobody found it");
        book.bounce = book.bounce.map(|_| run);
        book.starting = Some((run, self.now));
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
        assert!(!book.completed, "{action:?} after it completed");
        assert_eq!(self.laws.shutdown, None, "{action:?} while PID 1 ends");
        assert!(self.now >= book.pause_until, "{action:?} skips a pause until {:?}", book.pause_until);
        let spec = &self.state.programs[id.0].spec;
        for need in self.needed(id) {
            let required = spec.requires.contains(&need);
            let free = self.serves(need) || (!required && !self.expected(need));
            assert!(free, "{action:?} while {need:?} is {:?}", self.state.programs[need.0].phase);
        }
        let verdict = book.verdict.as_ref().filter(|(at, _)| *at == self.now).map(|(_, verdict)| verdict);
        match action {
            Action::Start(..) if spec.prepares => {
                assert!(matches!(verdict, Some(Prepared::Go { .. })), "{action:?} after {verdict:?}");
            }
            _ => {}
        }
        if matches!(action, Action::Start(..)) {
            self.laws.books[id.0].starting = Some((run, self.now));
        }
    }

    fn check_signal(&mut self, id: Id, run: Run, rung: Rung) {
        let (now, overdue, hurried) = (self.now, self.overdue(), self.laws.asks > 1);
        let looks_only = self.laws.searches.contains(&run);
        let first = self.laws.asked.get(&run).copied();
        assert!(first.is_none_or(|(_, sent)| rung > sent), "{rung:?} after {first:?}");
        if first.is_none() && !looks_only {
            self.check_first_signal(id, run, overdue);
        }
        let program = &self.state.programs[id.0];
        let spec = &program.spec;
        let laws = &mut self.laws;
        let gone = laws.books[id.0].removed;
        assert!(!looks_only || laws.shutdown.is_some() || gone, "a look is cut short");
        let since = first.map_or(now, |(since, _)| since);
        laws.asked.insert(run, (since, rung));
        if first.is_none() {
            laws.books[id.0].forgive(now, spec);
            laws.books[id.0].unwell = None;
            laws.books[id.0].bounce = None;
        }
        let preparing = matches!(program.phase, Phase::Stopping { what: What::Prepare | What::Search, .. });
        let named = laws.books[id.0].named_hard;
        let early = preparing || overdue || hurried || named || spec.ladder.first == Rung::Kill;
        if rung == Rung::Kill {
            if self.bodies[id.0].process.as_ref().is_some_and(|process| process.run == run) {
                self.laws.is_rough();
            }
            let budget = spec.ladder.budget;
            let margin = if spec.ladder.immediate { ms(3_000).min(budget / 4) } else { ms(0) };
            assert!(early || now - since >= budget - margin, "killed too early");
        }
        if rung == Rung::Immediate {
            let usual = spec.ladder.first >= Rung::Immediate;
            let late = first.is_some() && !hurried && !named && !usual;
            self.laws.ever_rough = true;
            self.laws.rough |= self.laws.shutdown.is_some() && late;
        }
    }

    /// The order, and the reason.
    fn check_first_signal(&mut self, id: Id, run: Run, overdue: bool) {
        let spec = &self.state.programs[id.0].spec;
        let held = self.laws.shutdown.is_some();
        let book = &self.laws.books[id.0];
        let wanted = !held && book.own() && book.bounce != Some(run) && !self.lacks(id);
        if wanted {
            let late = book.starting.is_some_and(|(starting, since)| {
                starting == run && spec.ready_within.is_some_and(|within| self.now >= since + within)
            });
            assert!(
                late || book.unwell == Some(run),
                "{id:?} is stopped although it is wanted: {:?}",
                self.state
            );
            self.laws.books[id.0].failing = Some(run);
            return;
        }
        if overdue {
            return;
        }
        for (place, later) in self.bodies.iter().enumerate() {
            let later_id = Id(place);
            let Some(process) = &later.process else { continue };
            let leaving = held
                || (process.what != What::Search
                    && self.laws.sent(process.run) != Some(Rung::Kill)
                    && self.unwanted(later_id, process.run)
                    && self.needed(later_id).contains(&id));
            let before = self.needs(later_id, id) && !self.turned(later_id, id);
            assert!(
                !(leaving && before),
                "{id:?} is stopped before {place}, which needs it: {:?}",
                self.state
            );
            let tangled = self.tangled();
            let primary_first = held && self.standby(id) && self.primary(later_id) && !tangled;
            assert!(!primary_first, "{id:?}, a standby, is stopped before the primary {place}");
        }
    }

    fn standby(&self, id: Id) -> bool {
        let program = &self.state.programs[id.0];
        program.spec.kind == Kind::Engine && program.standby == Some(true) && !program.removed
    }

    fn primary(&self, id: Id) -> bool {
        let program = &self.state.programs[id.0];
        program.spec.kind == Kind::Engine && program.standby != Some(true) && !program.removed
    }

    /// Whether a standby starts after a primary, so that their order is turned round at the stop.
    fn turned(&self, later: Id, id: Id) -> bool {
        self.standby(later) && self.primary(id)
    }

    /// Whether something that is no engine stands between a primary and a standby that needs it.
    fn tangled(&self) -> bool {
        let all = || (0..self.bodies.len()).map(Id);
        all().any(|standby| {
            self.standby(standby) && all().any(|id| self.primary(id) && self.needs(standby, id))
        })
    }

    /// Whom a program needs, as far as they are in the configuration.
    fn needed(&self, id: Id) -> Vec<Id> {
        let spec = &self.state.programs[id.0].spec;
        let needs = spec.after.iter().chain(&spec.requires).copied();
        needs.filter(|need| self.laws.books.get(need.0).is_some_and(|book| !book.removed)).collect()
    }

    /// Whether `later` stops before `id`, if only by way of others.
    fn needs(&self, later: Id, id: Id) -> bool {
        let needed = self.needed(later).into_iter().filter(|&need| !self.turned(later, need));
        needed.into_iter().any(|need| need == id || self.needs(need, id))
    }

    /// Whether who requires it has it.
    fn serves(&self, id: Id) -> bool {
        let (program, book) = (&self.state.programs[id.0], &self.laws.books[id.0]);
        if book.completed {
            return program.run().is_none();
        }
        let Phase::Up { run, .. } = program.phase else { return false };
        self.laws.shutdown.is_none() && book.own() && book.bounce != Some(run) && !self.lacks(id)
    }

    fn lacks(&self, id: Id) -> bool {
        let spec = &self.state.programs[id.0].spec;
        let needed = self.needed(id);
        spec.bound && spec.requires.iter().any(|need| needed.contains(need) && !self.serves(*need))
    }

    /// Whether it will be up if all goes well.
    fn expected(&self, id: Id) -> bool {
        let (spec, book) = (&self.state.programs[id.0].spec, &self.laws.books[id.0]);
        let needed = self.needed(id);
        let mut requires = spec.requires.iter().filter(|need| needed.contains(need));
        book.completed
            || (self.laws.shutdown.is_none() && book.own() && requires.all(|need| self.expected(*need)))
    }

    fn unwanted(&self, id: Id, run: Run) -> bool {
        let book = &self.laws.books[id.0];
        !book.own() || book.bounce == Some(run) || self.lacks(id)
    }

    fn check_finish(&mut self, status: u8) {
        let Some(since) = self.laws.shutdown else { panic!("it ends although nobody asked") };
        let gone = self.bodies.iter().all(|body| body.process.is_none() && body.left.is_none());
        let end = since + self.state.stop_timeout;
        assert!(gone || self.now >= end, "it ends with processes left, before its time");
        match self.laws.gave_up {
            Some(wanted) => assert_eq!(status, wanted, "the status of the program that gave up"),
            None if status == 0 => {
                assert!(gone && !self.laws.rough, "0 although not all ended in order: {:?}", self.state)
            }
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
            let unwanted = book.locked == Some(true) || book.operator_down || book.removed;
            let heir = (0..place).any(|old| {
                let old = &self.state.programs[old];
                old.spec.name == program.spec.name && old.run().is_some()
            });
            let rests = matches!(program.phase, Phase::Down | Phase::Failed)
                && program.spec.prepares
                && !book.removed
                && !heir;
            let due = book.unsearched.is_some_and(|at| at <= self.now);
            assert!(!(rests && due), "{place}: nobody looks who has written the pid file");
            let works = |process: &&Process| unwanted && !self.laws.searches.contains(&process.run);
            let waits = (0..self.bodies.len()).any(|later| {
                let stops_before = |id: Id| id.0 == later || self.needs(Id(later), id);
                let mut primaries = (0..self.bodies.len()).map(Id).filter(|&id| self.primary(id));
                let first = self.standby(Id(place)) && primaries.any(stops_before);
                self.state.programs[later].run().is_some() && (first || self.needs(Id(later), Id(place)))
            });
            if let Some(process) = self.bodies[place].process.as_ref().filter(works)
                && self.laws.shutdown.is_none()
                && !waits
            {
                assert!(
                    self.laws.asked.contains_key(&process.run),
                    "{place} runs on, not wanted: {:?}",
                    self.state
                );
            }
            assert_eq!(program.done, book.done, "{place}: gave up or not: {program:?}");
            assert_eq!(program.completed, book.completed, "{place}: completed or not: {program:?}");
            if !matches!(program.phase, Phase::Up { .. }) && !program.done {
                assert_eq!(program.failures, book.failures, "{place}: failures: {program:?}");
            }
            let late = book.starting.and_then(|(_, since)| Some(since + program.spec.ready_within?));
            let starting = matches!(program.phase, Phase::Starting { .. }) && self.laws.shutdown.is_none();
            if let Some(late) = late.filter(|_| starting && book.own() && book.bounce.is_none()) {
                assert!(self.now < late || self.lacks(Id(place)), "{place} is not ready, and nobody cares");
            }
        }
    }
}
