//! A simulated world: a shell that carries out what the core decides, on processes with a will of their own.
//!
//! What a process does is drawn from `dice`: numbers that proptest makes, and makes smaller when a law breaks.

use super::laws::Laws;
use super::*;

/// A process of a program.
pub(super) struct Process {
    pub(super) run: Run,
    pub(super) what: What,
    pub(super) adopted: bool,
    /// When it says that it is ready.
    ready: Option<Time>,
    /// When it ends, and what the core is told of it.
    end: Option<(Time, Event)>,
    /// The gentlest rung that it hears; `None`: it cannot even be killed.
    hears: Option<Rung>,
    /// How long it takes to end once it has heard.
    slow: Duration,
    /// What it leaves behind: ends after this time, or at this rung.
    leaves: Option<Result<Duration, Rung>>,
}

/// What is left of a run whose main process has ended.
pub(super) struct Left {
    pub(super) run: Run,
    until: Option<Time>,
    hears: Rung,
}

/// All that lives of one program, and the news of it that are on their way to the core.
#[derive(Default)]
pub(super) struct Body {
    pub(super) process: Option<Process>,
    pub(super) left: Option<Left>,
    news: Vec<(Time, Event)>,
}

pub(super) struct World {
    pub(super) state: State,
    pub(super) now: Time,
    pub(super) bodies: Vec<Body>,
    pub(super) laws: Laws,
    /// No more faults: each process that is made does well.
    pub(super) calm: bool,
    /// News that were told already.
    told: Vec<Event>,
    dice: Vec<u16>,
    rolled: usize,
}

impl World {
    pub(super) fn new(specs: Vec<Spec>, stop_timeout: Duration, dice: Vec<u16>) -> Self {
        let bodies = specs.iter().map(|_| Body::default()).collect();
        let laws = Laws::new(&specs);
        let state = State::new(specs, stop_timeout);
        let (now, told) = (Time::ZERO, Vec::new());
        World { state, now, bodies, laws, calm: false, told, dice, rolled: 0 }
    }

    /// A number below `sides`; 0 is the best that can happen.
    fn roll(&mut self, sides: u16) -> usize {
        self.rolled += 1;
        if self.calm { 0 } else { usize::from(self.dice[self.rolled % self.dice.len()] % sides) }
    }

    /// Tells the core, checks what it does, and does it.
    pub(super) fn tell(&mut self, event: Event) {
        if let Event::Add(_) = &event
            && self.laws.finished.is_none()
        {
            self.bodies.push(Body::default());
        }
        for body in &mut self.bodies {
            body.left.take_if(|left| left.until.is_some_and(|until| until <= self.now));
        }
        self.note(&event);
        let before = std::mem::replace(&mut self.state, State::new(Vec::new(), Duration::ZERO));
        let (state, actions) = step(before, self.now, event);
        self.state = state;
        for action in actions {
            self.check(&action);
            self.act(action);
        }
        self.check_state();
        assert_settled(&self.state);
    }

    /// Lets time pass, from deadline to deadline and from news to news.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..20_000 {
            let due = deadline(&self.state);
            let news = self.next_news();
            let Some(at) = due.into_iter().chain(news).min().filter(|&at| at <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(at);
            if news.is_some_and(|at| at <= self.now) { self.news() } else { self.tell(Event::Tick) }
        }
        panic!("time does not pass: {:?}", self.state);
    }

    /// Nobody looks for a while: what happens meanwhile is told late.
    pub(super) fn sleep(&mut self, time: Duration) {
        self.now += time;
    }

    fn next_news(&self) -> Option<Time> {
        let of = |body: &Body| {
            let process = body.process.as_ref();
            let ready = process.and_then(|process| process.ready);
            let end = process.and_then(|process| process.end.as_ref().map(|(at, _)| *at));
            body.news.iter().map(|(at, _)| *at).chain(ready).chain(end).min()
        };
        self.bodies.iter().filter_map(of).min()
    }

    /// Tells one of the news that are due.
    fn news(&mut self) {
        for place in 0..self.bodies.len() {
            let (id, now) = (Id(place), self.now);
            let body = &mut self.bodies[place];
            if let Some(at) = body.news.iter().position(|(at, _)| *at <= now) {
                let (_, mut event) = body.news.remove(at);
                if let Event::Remains(_, run, count) = &mut event {
                    let lives = |left: &Left| left.run == *run && left.until.is_none_or(|until| until > now);
                    *count = if body.left.as_ref().is_some_and(lives) { 2 } else { 0 };
                }
                return self.tell_once(event);
            }
            let Some(process) = &mut body.process else { continue };
            if process.ready.is_some_and(|at| at <= now) {
                process.ready = None;
                let event = Event::Ready(id, process.run);
                return self.tell_once(event);
            }
            if process.end.as_ref().is_some_and(|(at, _)| *at <= now) {
                let Some(process) = body.process.take() else { continue };
                body.left = process.leaves.map(|leaves| Left {
                    run: process.run,
                    until: leaves.ok().map(|time| now + time),
                    hears: leaves.err().unwrap_or(Rung::Kill),
                });
                let Some((_, event)) = process.end else { continue };
                return self.tell_once(event);
            }
        }
    }

    fn tell_once(&mut self, event: Event) {
        self.told.push(event.clone());
        self.tell(event);
    }

    /// Tells once more what was told of a run that is over.
    pub(super) fn tell_stale(&mut self, which: usize) {
        let current: Vec<_> = self.state.programs.iter().map(|program| program.run()).collect();
        let stale = |event: &&Event| match event {
            Event::Prepared(id, run, _)
            | Event::Ready(id, run)
            | Event::SpawnFailed(id, run, _)
            | Event::Remains(id, run, _)
            | Event::Ended(id, run, ..) => current[id.0] != Some(*run),
            _ => false,
        };
        let stale: Vec<_> = self.told.iter().filter(stale).cloned().collect();
        if !stale.is_empty() {
            let before = self.state.clone();
            let (after, actions) = step(before.clone(), before.now, stale[which % stale.len()].clone());
            assert_eq!((after, actions), (before, Vec::new()), "stale news move it");
        }
    }

    /// The run that a program has, or none that there ever was.
    pub(super) fn run_of(&self, id: Id) -> Run {
        self.state.programs[id.0].run().unwrap_or(Run(u64::MAX))
    }

    /// Something ends the main process of a program.
    pub(super) fn hurt(&mut self, id: Id, end: End) {
        let now = self.now;
        if let Some(process) = self.bodies[id.0].process.as_mut().filter(|process| process.what == What::Main)
        {
            let end = if process.adopted { End::Unknown } else { end };
            process.end = Some((now, ended(id, process.run, end)));
        }
    }

    /// From here on nothing goes wrong.
    pub(super) fn calm_down(&mut self) {
        self.calm = true;
        for place in 0..self.bodies.len() {
            let (id, now) = (Id(place), self.now);
            let Some(process) = &mut self.bodies[place].process else { continue };
            process.hears = Some(process.hears.unwrap_or(Rung::Kill));
            let asked = self.laws.sent(process.run);
            if asked == Some(Rung::Kill) {
                process.end = Some((now, ended(id, process.run, End::Signal(9))));
            } else if process.what == What::Main && asked.is_none() {
                process.end = None;
                if self.state.programs[place].spec.kind == Kind::Oneshot {
                    process.end = Some((now + ms(10), ended(id, process.run, End::Code(0))));
                } else if !matches!(self.state.programs[place].phase, Phase::Up { .. }) {
                    process.ready = Some(now + ms(10));
                }
            } else if asked.is_none() {
                process.leaves = None;
                let found = if process.what == What::Search {
                    Prepared::Nobody
                } else {
                    all_is_well(&self.state, id)
                };
                process.end = Some((now + ms(10), Event::Prepared(id, process.run, found)));
            }
        }
    }

    fn act(&mut self, action: Action) {
        let now = self.now;
        match action {
            Action::Prepare(id, run) => self.prepare(id, run),
            Action::Search(id, run) => self.search(id, run),
            Action::Start(id, run) => self.start(id, run, false),
            Action::Adopt(id, run) => self.start(id, run, true),
            Action::Signal(id, run, what, rung) => {
                let way = self.roll(4);
                let process = self.bodies[id.0].process.as_mut().filter(|process| process.run == run);
                let Some(process) =
                    process.filter(|process| process.hears.is_some_and(|hears| hears <= rung))
                else {
                    return;
                };
                let event = match (what, rung, way) {
                    _ if process.adopted => ended(id, run, End::Unknown),
                    (_, Rung::Kill, _) => ended(id, run, End::Signal(9)),
                    (What::Main, _, 3) => ended(id, run, End::Signal(15)),
                    (What::Prepare | What::Search, _, 0 | 1) => {
                        Event::Prepared(id, run, Prepared::Broke("it was told to end".into()))
                    }
                    _ => ended(id, run, End::Code(0)),
                };
                let slow = if rung == Rung::Kill { Duration::ZERO } else { process.slow };
                if process.end.as_ref().is_none_or(|(at, _)| *at > now + slow) {
                    process.end = Some((now + slow, event));
                }
            }
            Action::Look(id, run) => {
                let soon = now + [ms(0), ms(1), ms(30)][self.roll(3)];
                self.bodies[id.0].news.push((soon, Event::Remains(id, run, 0)));
            }
            Action::Sweep(id, run, rung) => {
                let soon = now + [ms(0), ms(5), ms(400)][self.roll(3)];
                if let Some(left) = self.bodies[id.0].left.as_mut().filter(|left| left.run == run)
                    && rung >= left.hears
                {
                    left.until = Some(left.until.map_or(soon, |until| until.min(soon)));
                }
            }
            Action::Blockers(..)
            | Action::Upkeep(_)
            | Action::Learn(_)
            | Action::Say(..)
            | Action::Finish(_) => {}
        }
    }

    /// Whether a process cannot be made; that news takes its time, too.
    fn fails_to_spawn(&mut self, id: Id, run: Run) -> bool {
        let fails = self.roll(8) == 7;
        if fails {
            let soon = self.now + [ms(0), ms(40)][self.roll(2)];
            self.bodies[id.0].news.push((soon, Event::SpawnFailed(id, run, "EAGAIN".into())));
        }
        fails
    }

    fn prepare(&mut self, id: Id, run: Run) {
        if self.fails_to_spawn(id, run) {
            return;
        }
        let verdict = match self.roll(16) {
            0..=7 if self.calm => all_is_well(&self.state, id),
            0..=7 => Prepared::Go { unclean: false },
            8 | 9 => Prepared::Go { unclean: true },
            10 => Prepared::Foreign,
            11 => Prepared::Locked,
            12 | 13 => Prepared::Wait("another server may live".into()),
            14 => Prepared::Broke("it crashed".into()),
            _ => Prepared::GiveUp([70, 78][self.roll(2)], "it cannot be served".into()),
        };
        let at = self.now + [ms(1), ms(20), ms(800), ms(10_000)][self.roll(4)];
        let leaves = matches!(verdict, Prepared::Broke(_)).then_some(Err(Rung::Immediate));
        self.bodies[id.0].process = Some(Process {
            run,
            what: What::Prepare,
            adopted: false,
            ready: None,
            end: Some((at, Event::Prepared(id, run, verdict))),
            hears: [Some(Rung::Fast), Some(Rung::Fast), Some(Rung::Kill)][self.roll(3)],
            slow: [ms(0), ms(300)][self.roll(2)],
            leaves,
        });
    }

    fn search(&mut self, id: Id, run: Run) {
        if self.fails_to_spawn(id, run) {
            return;
        }
        let found = match self.roll(8) {
            0..=2 => Prepared::Nobody,
            3..=5 => Prepared::Foreign,
            6 => Prepared::Wait("another container may serve".into()),
            _ => Prepared::Broke("it crashed".into()),
        };
        let at = self.now + [ms(1), ms(30), ms(5_000), ms(600_000)][self.roll(4)];
        self.bodies[id.0].process = Some(Process {
            run,
            what: What::Search,
            adopted: false,
            ready: None,
            end: Some((at, Event::Prepared(id, run, found))),
            hears: [Some(Rung::Fast), Some(Rung::Kill)][self.roll(2)],
            slow: Duration::ZERO,
            leaves: None,
        });
    }

    fn start(&mut self, id: Id, run: Run, adopted: bool) {
        if self.fails_to_spawn(id, run) {
            return;
        }
        let once = self.state.programs[id.0].spec.kind == Kind::Oneshot;
        let end = [End::Code(0), End::Code(1), End::Signal(9), End::Signal(11)][self.roll(4)];
        let end = if adopted { End::Unknown } else { end };
        let after = [None, None, None, Some(ms(0)), Some(ms(30)), Some(ms(4_000))][self.roll(6)];
        let after =
            if once { [Some(ms(5)), Some(ms(900)), Some(ms(9_000)), None][self.roll(4)] } else { after };
        let rungs = [Some(Rung::Smart), Some(Rung::Fast), Some(Rung::Immediate), Some(Rung::Kill), None];
        let ready = [Some(ms(1)), Some(ms(50)), Some(ms(900)), None][self.roll(4)];
        let leaves = [None, None, None, Some(Ok(ms(100))), Some(Err(Rung::Immediate)), Some(Err(Rung::Kill))];
        self.bodies[id.0].process = Some(Process {
            run,
            what: What::Main,
            adopted,
            ready: ready.map(|after| self.now + after),
            end: after.map(|after| (self.now + after, ended(id, run, end))),
            hears: rungs[self.roll(5)],
            slow: [ms(0), ms(10), ms(500), ms(6_000)][self.roll(4)],
            leaves: leaves[self.roll(6)],
        });
    }
}

/// What a `prepare` child finds where nothing goes wrong: the server that was in the way is there.
fn all_is_well(state: &State, id: Id) -> Prepared {
    match state.programs[id.0].doubt {
        Some(Doubt::Rival(_)) => Prepared::Foreign,
        _ => Prepared::Go { unclean: false },
    }
}

/// The end of a main process; one that ends with 1 before it is ready may have found another server in its way.
fn ended(id: Id, run: Run, end: End) -> Event {
    let tail = vec!["FATAL:  lock file \"postmaster.pid\" already exists".into()];
    Event::Ended(id, run, end, classify(end, &Evidence { tail, memory_kills: None }))
}
