//! What must hold after each step.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use super::Soak;
use crate::common::{BOOT, until};

/// PID 1's memory may grow by so much after its first steps.
const GROWTH_MAX_KIB: u64 = 1024;
/// So many steps warm it up.
const WARM_UP: u32 = 10;

/// What a PID 1 has used since it was booted.
#[derive(Debug, Default)]
pub struct Use {
    steps: u32,
    memory: Option<u64>,
}

impl Soak {
    /// The engine serves: PID 1 lives, nothing was lost, nothing leaks.
    pub fn check_serving(&mut self) {
        self.check_log();
        self.postmasters.check();
        assert_eq!(self.instance.exit(), None, "PID 1 has ended");
        self.check_rows();
        self.check_bench();
        until("no zombie to be left", BOOT, || self.instance.zombies().is_empty());
        self.check_use();
    }

    /// It is locked: nothing of the engine runs, and nothing starts for a while.
    pub fn check_locked(&mut self, watch: Duration) {
        self.instance.until("the locked engine to be down", |it| !it.engine_runs());
        let begin = Instant::now();
        while begin.elapsed() < watch {
            assert!(!self.instance.engine_runs(), "locked, and an engine runs");
            assert_eq!(self.instance.exit(), None, "PID 1 has ended");
            std::thread::sleep(Duration::from_millis(50));
        }
        self.check_log();
        self.postmasters.check();
        until("no zombie to be left", BOOT, || self.instance.zombies().is_empty());
    }

    /// Each row that was acknowledged is there, and no row is there that was found absent.
    fn check_rows(&mut self) {
        let wanted = self.load.decided();
        let query = format!(
            "select count(*), coalesce(sum(id), 0), count(*) filter (where digest <> md5(id::text)) \
             from soak_rows where id <= {}",
            wanted.last
        );
        let expected = format!("{}|{}|0", wanted.count, wanted.sum);
        assert_eq!(self.instance.sql(&query), expected, "rows, sum of ids, wrong digests; wanted {wanted:?}");
        self.checks += 1;
    }

    /// pgbench's own law: what was moved adds up.
    fn check_bench(&self) {
        let sums = self.instance.sql(
            "select (select sum(abalance) from pgbench_accounts) = (select sum(bbalance) from pgbench_branches) \
             and (select sum(tbalance) from pgbench_tellers) = (select sum(bbalance) from pgbench_branches) \
             and (select coalesce(sum(delta), 0) from pgbench_history) \
             = (select sum(bbalance) from pgbench_branches)",
        );
        assert_eq!(sums, "t", "pgbench's balances do not add up");
    }

    /// Descriptors come and go with a child, and must be what they were once it is quiet.
    fn check_use(&mut self) {
        let adopted = self.instance.log().contains("is adopted");
        let count = self.instance.init().descriptors().len();
        let most = *self.descriptors.get_or_insert(count) + usize::from(adopted);
        until(&format!("PID 1 to have {most} descriptors again"), BOOT, || {
            self.instance.init().descriptors().len() <= most
        });

        let pid = self.instance.pid1();
        self.memory_max = self.memory_max.max(memory_kib(pid, "Pss:"));
        let memory = memory_kib(pid, OWN_MEMORY);
        self.used.steps += 1;
        if self.used.steps == WARM_UP {
            self.used.memory = Some(memory);
        }
        if let Some(before) = self.used.memory {
            assert!(memory <= before + GROWTH_MAX_KIB, "PID 1 grew from {before} KiB to {memory} KiB");
            self.growth_max = self.growth_max.max(memory.saturating_sub(before));
        }
    }

    /// Each error in the log is of a kind that the step's faults explain.
    pub fn check_log(&mut self) {
        const KNOWN: [&str; 3] = [
            "was killed (signal 9)",
            // A start that lost the race with somebody's pg_ctl.
            "found another server in its way",
            // A start whose startup process was killed.
            "failed (exit status 1)",
        ];
        let log = self.instance.log();
        assert!(!log.contains("panicked"), "PID 1 or a child of it has panicked");
        let errors = log.lines().filter_map(|line| line.split_once(" ERROR "));
        let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
        for (_, error) in errors {
            let (_, text) = error.split_once(": ").unwrap_or(("", error));
            let known = KNOWN.iter().find(|known| text.starts_with(**known));
            let known = known.unwrap_or_else(|| panic!("an error that no fault of ours explains: {error}"));
            *kinds.entry((*known).to_owned()).or_default() += 1;
        }
        self.errors.insert(self.boots, kinds);
    }
}

/// Heap, stacks and changed data: what a leak makes grow. The shares (PSS) depend on who else runs the same program.
pub const OWN_MEMORY: &str = "Anonymous:";

/// A line of the kernel's summary of a process's memory.
pub fn memory_kib(pid: i32, key: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("read smaps_rollup");
    let line = text.lines().find_map(|line| line.strip_prefix(key)).expect("a line of the key");
    line.trim().trim_end_matches("kB").trim().parse().expect("a number of kB")
}
