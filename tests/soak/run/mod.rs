//! Random faults under load, and the laws that hold through all of them.

mod actions;
mod invariants;
mod load;
mod postmasters;
mod random;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use self::actions::{Action, OF_DEATH, OF_ONE_LIFE};
use self::invariants::Use;
use self::load::Load;
use self::postmasters::Postmasters;
use self::random::Random;
use crate::common::Instance;

/// One run.
#[derive(Debug)]
struct Soak {
    random: Random,
    // Dropped before the clients, which wait for answers of its engine.
    instance: Instance,
    load: Load,
    postmasters: Postmasters,
    times: Times,
    used: Use,
    boots: u32,
    planted: u32,
    checks: u32,
    descriptors: Option<usize>,
    memory_max: u64,
    growth_max: u64,
    counts: BTreeMap<Action, u32>,
    errors: BTreeMap<u32, BTreeMap<String, u64>>,
}

/// How long people wait for the engine.
#[derive(Debug, Default)]
struct Times {
    kill_to_accepting: Vec<Duration>,
    lock_to_down: Vec<Duration>,
    unlock_to_accepting: Vec<Duration>,
    pid1_to_accepting: Vec<Duration>,
}

/// Runs for so long; whether every law held. Says all that it does on standard output.
pub fn soak(length: Duration, seed: u64) -> bool {
    println!("soak: {} s, seed {seed}", length.as_secs());
    let begin = Instant::now();
    let mut soak = Soak::start(seed);
    let done = catch_unwind(AssertUnwindSafe(|| soak.run(begin, length)));
    soak.summary(begin.elapsed());
    if done.is_ok() {
        return true;
    }
    println!(
        "soak: VIOLATION, seed {seed}; the log of all boots follows\n{}",
        soak.instance.log_of_all_boots()
    );
    for process in soak.instance.processes() {
        println!("soak: {process:?}");
    }
    false
}

impl Soak {
    fn start(seed: u64) -> Self {
        let mut instance = Instance::builder()
            .set("program.engine.stop_timeout", "14s")
            // The faults of a run come faster than those of a bad week: it must neither give up nor pause for long.
            .set("program.engine.restart.give_up_after", 0)
            .set("program.engine.restart.max_backoff", "1s")
            .set("program.engine.restart.reset_after", "500ms")
            // Pid files that nothing covers are planted often; two minutes for each would be a run of waiting.
            .env("POLAR_FAILPOINT_VIGIL", "1")
            .start();
        instance.ready();
        let load = Load::start(&instance);
        let postmasters = Postmasters::watch(instance.path("data"));
        Self {
            random: Random::new(seed),
            load,
            postmasters,
            instance,
            times: Times::default(),
            used: Use::default(),
            boots: 1,
            planted: 0,
            checks: 0,
            descriptors: None,
            memory_max: 0,
            growth_max: 0,
            counts: BTreeMap::new(),
            errors: BTreeMap::new(),
        }
    }

    /// One PID 1 lives through the first half, so that what leaks has time to show; then it dies too.
    fn run(&mut self, begin: Instant, length: Duration) {
        self.check_serving();
        let mut step = 0_u32;
        while begin.elapsed() < length {
            let one_life = begin.elapsed() < length / 2;
            let all = if one_life || self.random.number(0..3) > 0 { &OF_ONE_LIFE[..] } else { &OF_DEATH[..] };
            let action = *self.random.of(all);
            step += 1;
            let at = Instant::now();
            println!("soak: {:7.1} s  step {step}: {action:?}", begin.elapsed().as_secs_f64());
            self.act(action);
            let took = at.elapsed();
            self.check_serving();
            *self.counts.entry(action).or_default() += 1;
            let decided = self.load.decided();
            println!(
                "soak: {:7.1} s  step {step}: settled after {:.3} s; {} rows, {} descriptors, {} KiB of its own",
                begin.elapsed().as_secs_f64(),
                took.as_secs_f64(),
                decided.count,
                self.instance.init().descriptors().len(),
                invariants::memory_kib(self.instance.pid1(), invariants::OWN_MEMORY),
            );
            self.random.pause(0..700);
        }
        self.instance.stop(crate::common::Signal::SIGTERM);
        self.check_log();
    }

    fn boot(&mut self) {
        self.instance.boot();
        self.boots += 1;
        self.used = Use::default();
    }

    fn summary(&mut self, took: Duration) {
        let decided = self.load.decided();
        println!(
            "soak: {:.0} s, boots: {}, stale pid files planted: {}",
            took.as_secs_f64(),
            self.boots,
            self.planted
        );
        for (action, count) in &self.counts {
            println!("soak:   {action:?}: {count}");
        }
        let mut errors: BTreeMap<&str, u64> = BTreeMap::new();
        for (kind, count) in self.errors.values().flatten() {
            *errors.entry(kind).or_default() += count;
        }
        println!("soak: errors in the log, all explained: {errors:?}");
        println!(
            "soak: rows acknowledged: {}, in the table: {}, verified {} times; pgbench begun {} times",
            decided.acknowledged,
            decided.count,
            self.checks,
            self.load.benches.load(std::sync::atomic::Ordering::Relaxed)
        );
        println!(
            "soak: looks for a second postmaster: {}; PID 1: {} descriptors, at most {} KiB (PSS); what is its \
             own grew by at most {} KiB after warm-up",
            self.postmasters.looks(),
            self.descriptors.unwrap_or_default(),
            self.memory_max,
            self.growth_max
        );
        for (what, times) in [
            ("kill -9 of the postmaster to accepting", &mut self.times.kill_to_accepting),
            ("lock to down", &mut self.times.lock_to_down),
            ("unlock to accepting", &mut self.times.unlock_to_accepting),
            ("kill -9 of PID 1 to accepting", &mut self.times.pid1_to_accepting),
        ] {
            times.sort_unstable();
            if let (Some(median), Some(longest)) = (times.get(times.len() / 2), times.last()) {
                println!(
                    "soak: {what}: median {:.3} s, longest {:.3} s, {} times",
                    median.as_secs_f64(),
                    longest.as_secs_f64(),
                    times.len()
                );
            }
        }
    }
}
