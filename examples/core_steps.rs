//! What deciding costs: 1,000 commands up and down through the core alone, in shapes that a configuration may have.
//!
//! `cargo run --release --example core_steps`

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use polardb_manager::supervisor::core::{
    Action, Class, End, Event, Id, Kind, Ladder, OnGiveUp, Phase, Policy, Restart, Rung, Spec, State,
    deadline, step,
};

const PROGRAMS: usize = 1_000;

fn command(place: usize, requires: Vec<Id>) -> Spec {
    Spec {
        name: format!("command-{place}"),
        kind: Kind::Command,
        lock_file: None,
        critical: false,
        prepares: false,
        after: Vec::new(),
        requires,
        bound: false,
        ready_within: Some(Duration::from_secs(60)),
        ladder: Ladder { first: Rung::Fast, immediate: false, budget: Duration::from_secs(10) },
        stop_signal: Some(15),
        restart: Restart {
            policy: Policy::Always,
            min_backoff: Duration::ZERO,
            max_backoff: Duration::from_secs(30),
            clean_exit_delay: Duration::from_secs(1),
            reset_after: Duration::from_secs(60),
            give_up_after: 10,
            on_give_up: OnGiveUp::Exit,
        },
        upkeep: None,
    }
}

/// A shell whose processes are ready, and end, as soon as they are asked.
struct Shell {
    state: State,
    now: Duration,
    events: VecDeque<Event>,
    steps: u32,
    finished: bool,
}

impl Shell {
    fn tell(&mut self, event: Event) {
        self.events.push_back(event);
        while let Some(event) = self.events.pop_front() {
            self.now += Duration::from_micros(10);
            let state = std::mem::replace(&mut self.state, State::new(Vec::new(), Duration::ZERO));
            let (state, actions) = step(state, self.now, event);
            self.state = state;
            self.steps += 1;
            std::hint::black_box(deadline(&self.state));
            for action in actions {
                match action {
                    Action::Start(id, run) => self.events.push_back(Event::Ready(id, run)),
                    Action::Signal(id, run, ..) => {
                        self.events.push_back(Event::Ended(id, run, End::Signal(15), Class::Crashed));
                    }
                    Action::Look(id, run) => self.events.push_back(Event::Remains(id, run, 0)),
                    Action::Finish(_) => self.finished = true,
                    _ => {}
                }
            }
        }
    }
}

fn main() {
    let shapes: [(&str, fn(usize) -> Vec<Id>); 4] = [
        ("nobody needs anybody", |_| Vec::new()),
        ("all need the first", |place| if place == 0 { Vec::new() } else { vec![Id(0)] }),
        ("a chain", |place| place.checked_sub(1).map(Id).into_iter().collect()),
        ("each needs the 20 before it", |place| (place.saturating_sub(20)..place).map(Id).collect()),
    ];
    for (shape, requires) in shapes {
        let begun = Instant::now();
        let specs = (0..PROGRAMS).map(|place| command(place, requires(place))).collect();
        let state = State::new(specs, Duration::from_secs(600));
        let mut shell =
            Shell { state, now: Duration::ZERO, events: VecDeque::new(), steps: 0, finished: false };
        shell.tell(Event::Tick);
        let up = begun.elapsed();
        let all_up =
            shell.state.programs.iter().filter(|program| matches!(program.phase, Phase::Up { .. })).count();
        shell.tell(Event::Stop);
        let all = begun.elapsed();
        println!(
            "{shape:<30} {all_up} up in {:.2} ms, down in {:.2} ms, {} steps, finished: {}",
            up.as_secs_f64() * 1e3,
            (all - up).as_secs_f64() * 1e3,
            shell.steps,
            shell.finished,
        );
    }
}
