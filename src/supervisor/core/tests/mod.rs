//! Tests of the core: a table of every event in every phase, stories, and random histories in a simulated world.

mod checks;
mod laws;
mod properties;
mod search;
mod stories;
mod stories_needs;
mod stories_odd;
mod stories_stop;
mod stories_wishes;
mod table;
mod world;

use std::time::Duration;

use super::{
    Action, Class, Doubt, End, Event, Evidence, Id, Kind, Ladder, Lock, OnGiveUp, Phase, PidFile, Policy,
    Prepared, Restart, Run, Rung, Spec, State, Time, What, Why, Wish, classify, deadline, explain, report,
    step,
};

const ENGINE: Id = Id(0);
const OTHER: Id = Id(1);
const THIRD: Id = Id(2);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// An engine with the defaults of the configuration file.
fn engine() -> Spec {
    Spec {
        name: "engine".into(),
        kind: Kind::Engine,
        lock_file: Some("/data/ins_lock".into()),
        critical: true,
        prepares: true,
        after: Vec::new(),
        requires: Vec::new(),
        bound: false,
        ready_within: None,
        ladder: Ladder { first: Rung::Fast, immediate: true, budget: ms(45_000) },
        stop_signal: None,
        restart: Restart {
            policy: Policy::Always,
            min_backoff: ms(0),
            max_backoff: ms(30_000),
            clean_exit_delay: ms(1_000),
            reset_after: ms(60_000),
            give_up_after: 10,
            on_give_up: OnGiveUp::Exit,
        },
        upkeep: None,
    }
}

/// A command beside it: nothing is prepared, and its signals know no immediate rung.
fn command(name: &str) -> Spec {
    let ladder = Ladder { first: Rung::Fast, immediate: false, budget: ms(10_000) };
    let kind = Kind::Command;
    Spec {
        name: name.into(),
        kind,
        critical: false,
        prepares: false,
        ladder,
        stop_signal: Some(15),
        ..engine()
    }
}

fn crash(id: Id, run: u64) -> Event {
    Event::Ended(id, Run(run), End::Signal(9), Class::Killed)
}

fn clean(id: Id, run: u64) -> Event {
    Event::Ended(id, Run(run), End::Code(0), Class::Clean)
}

fn unknown(id: Id, run: u64) -> Event {
    Event::Ended(id, Run(run), End::Unknown, Class::Unknown)
}

fn rival(id: Id, run: u64) -> Event {
    Event::Ended(id, Run(run), End::Code(1), Class::AnotherServer)
}

fn go(id: Id, run: u64) -> Event {
    Event::Prepared(id, Run(run), Prepared::Go { unclean: false })
}

/// A command that nothing locks.
fn sidecar(name: &str) -> Spec {
    Spec { lock_file: None, ..command(name) }
}

fn job(name: &str) -> Spec {
    let mut spec = Spec { kind: Kind::Oneshot, ..sidecar(name) };
    spec.restart.policy = Policy::OnFailure;
    spec
}

fn after(id: Id, spec: Spec) -> Spec {
    Spec { after: vec![id], ..spec }
}

fn requires(id: Id, spec: Spec) -> Spec {
    Spec { requires: vec![id], ..spec }
}

fn bound(id: Id, spec: Spec) -> Spec {
    Spec { bound: true, ..requires(id, spec) }
}

fn ready(id: Id, run: u64) -> Event {
    Event::Ready(id, Run(run))
}

fn gone(id: Id, run: u64) -> Event {
    Event::Remains(id, Run(run), 0)
}

fn down(id: Id) -> Event {
    Event::Operator(id, Wish::Down(None))
}

fn up(id: Id) -> Event {
    Event::Operator(id, Wish::Up)
}

fn restart(id: Id) -> Event {
    Event::Operator(id, Wish::Restart(None))
}

/// Actions in short, without what is said: `start 0#2` starts run 2 of program 0.
fn shown(actions: &[Action]) -> String {
    let lower = |word: String| word.to_lowercase();
    let one = |action: &Action| {
        Some(match action {
            Action::Prepare(id, run) => format!("prepare {}#{}", id.0, run.0),
            Action::Search(id, run) => format!("search {}#{}", id.0, run.0),
            Action::Start(id, run) => format!("start {}#{}", id.0, run.0),
            Action::Adopt(id, run) => format!("adopt {}#{}", id.0, run.0),
            Action::Signal(id, run, What::Main, rung) => lower(format!("signal {}#{} {rung:?}", id.0, run.0)),
            Action::Signal(id, run, What::Search, rung) => {
                lower(format!("signal search {}#{} {rung:?}", id.0, run.0))
            }
            Action::Signal(id, run, What::Prepare, rung) => {
                lower(format!("signal prepare {}#{} {rung:?}", id.0, run.0))
            }
            Action::Look(id, run) => format!("look {}#{}", id.0, run.0),
            Action::Sweep(id, run, rung) => lower(format!("sweep {}#{} {rung:?}", id.0, run.0)),
            Action::Blockers(id, run) => format!("blockers {}#{}", id.0, run.0),
            Action::Upkeep(id) => format!("upkeep {}", id.0),
            Action::Learn(id) => format!("learn {}", id.0),
            Action::Say(..) => return None,
            Action::Finish(status) => format!("finish {status}"),
        })
    };
    actions.iter().filter_map(one).collect::<Vec<_>>().join(", ")
}

/// A phase in short.
fn phase(state: &State, id: Id) -> String {
    match &state.programs[id.0].phase {
        Phase::Down => "down".into(),
        Phase::Preparing { .. } => "preparing".into(),
        Phase::Searching { .. } => "searching".into(),
        Phase::Starting { adopted: false, .. } => "starting".into(),
        Phase::Starting { adopted: true, .. } => "starting adopted".into(),
        Phase::Up { adopted: false, .. } => "up".into(),
        Phase::Up { adopted: true, .. } => "up adopted".into(),
        Phase::Stopping { what, sent, .. } => format!("stopping {what:?} {sent:?}").to_lowercase(),
        Phase::Draining { .. } => "draining".into(),
        Phase::Failed => "failed".into(),
    }
}

/// What holds after each step: time alone changes nothing before the deadline, and the deadline lies ahead.
fn assert_settled(state: &State) {
    let (again, actions) = step(state.clone(), state.now, Event::Tick);
    assert!(actions.is_empty(), "a second look at {state:?} does {actions:?}");
    assert_eq!(&again, state, "a second look changes something");
    if let Some(at) = deadline(state) {
        assert!(at > state.now, "spins at {at:?}: {state:?}");
    }
}

/// A state that is told events one by one.
#[derive(Clone)]
struct Story {
    state: State,
    /// The texts of [`Action::Say`].
    said: Vec<String>,
}

impl Story {
    /// Nothing has been told yet; all must end within 50 s.
    fn new(specs: Vec<Spec>) -> Self {
        Story { state: State::new(specs, ms(50_000)), said: Vec::new() }
    }

    /// One program is up since 1 s; its main process is run 2 of an engine, run 1 of a command.
    fn up(spec: Spec) -> Self {
        let prepares = spec.prepares;
        let mut story = Story::new(vec![spec]);
        story.at(0, Event::Lock(ENGINE, Lock::Absent));
        if prepares {
            story.at(500, go(ENGINE, 1));
        }
        story.at(1_000, Event::Ready(ENGINE, Run(story.state.last_run)));
        assert_eq!(story.phase(), "up");
        story
    }

    /// Tells `event` at `at` ms, and gives what is done.
    fn at(&mut self, at: u64, event: Event) -> String {
        let one = step(self.state.clone(), ms(at), event.clone());
        let two = step(self.state.clone(), ms(at), event);
        assert_eq!(one, two, "not deterministic");
        let (state, actions) = one;
        self.said.extend(actions.iter().filter_map(|action| match action {
            Action::Say(_, _, text) => Some(text.clone()),
            _ => None,
        }));
        self.state = state;
        assert_settled(&self.state);
        shown(&actions)
    }

    /// Lets time pass up to `at` ms, from deadline to deadline: `ms: what is done`, where anything is.
    fn until(&mut self, at: u64) -> Vec<String> {
        let mut done = Vec::new();
        while let Some(due) = deadline(&self.state).filter(|&due| due <= ms(at)) {
            let due = u64::try_from(due.as_nanos().div_ceil(1_000_000)).unwrap();
            let actions = self.at(due, Event::Tick);
            if !actions.is_empty() {
                done.push(format!("{due}: {actions}"));
            }
        }
        done
    }

    fn phase(&self) -> String {
        phase(&self.state, ENGINE)
    }

    fn phases(&self) -> Vec<String> {
        (0..self.state.programs.len()).map(|place| phase(&self.state, Id(place))).collect()
    }

    fn deadline(&self) -> Option<Time> {
        deadline(&self.state)
    }

    fn failures(&self) -> u32 {
        self.state.programs[0].failures
    }
}

/// Started, and ready at once where something is started that can be.
fn all_up(specs: Vec<Spec>) -> Story {
    let mut story = Story::new(specs);
    story.at(0, Event::Tick);
    while let Some((place, run)) =
        story.state.programs.iter().enumerate().find_map(|(place, program)| match program.phase {
            Phase::Starting { run, .. } => Some((place, run)),
            _ => None,
        })
    {
        story.at(1, Event::Ready(Id(place), run));
    }
    assert!(story.phases().iter().all(|phase| phase == "up"), "{:?}", story.phases());
    story
}

/// The words of one condition.
fn told(story: &Story, id: Id, name: &str) -> String {
    let conditions = explain(&story.state, story.state.now, id);
    let found = conditions.iter().find(|condition| condition.name == name);
    found.map(|found| format!("{:?}: {}", found.effect, found.text)).unwrap_or_default()
}

fn glance(story: &Story, id: Id) -> (&'static str, Option<&'static str>) {
    let all = report(&story.state, story.state.now);
    all.iter().find(|(other, _)| *other == id).map(|(_, it)| (it.state, it.reason)).unwrap_or(("none", None))
}
