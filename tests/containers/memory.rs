//! A container's memory limit.

use crate::bed::{Bed, until};

/// Kills by the kernel for want of memory, by the cgroup's own count: Docker's `OOMKilled` tells of PID 1 alone.
const KILLS: &str = "cat /sys/fs/cgroup/memory/memory.oom_control /sys/fs/cgroup/memory.events 2>/dev/null | sed -n 's/^oom_kill //p'";

#[test]
fn a_backend_that_is_killed_for_memory_costs_neither_the_container_nor_data() {
    let Some(bed) = Bed::take(1) else { return };
    let engine = bed
        .engine("memory")
        .with("--memory 200m --memory-swap 200m --restart always")
        .env("POLAR_ENGINE_PARAMETERS_SHARED_BUFFERS", "16MB")
        .serving();
    engine.sql("create table t (n int); insert into t values (1)");
    let kills: u32 = engine.sh(KILLS).parse().unwrap();
    let greedy = "select length(string_agg(repeat('x', 1000), '')) from generate_series(1, 600000)";
    let done = engine.exec(&["psql", "-U", "postgres", "-XAtc", greedy]);
    assert_ne!(done.code, 0, "{done:?}");
    until("the kernel's own count", || engine.sh(KILLS).parse::<u32>().unwrap() > kills);
    engine.ready();
    assert_eq!(engine.sql("table t"), "1");
    assert_eq!((engine.restarts(), engine.status().as_str()), (0, "running"));
    assert!(engine.healthy_by("health --live"));
    assert_eq!(engine.stop(), 0);
}
