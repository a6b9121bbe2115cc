//! What an init uses while nothing happens.

use std::thread::sleep;
use std::time::Duration;

use super::{Bench, keep};
use crate::instance::Instance;
use crate::peer::Plan;
use crate::process::Usage;
use crate::table::{Goal, Table};

/// Processor time and wake-ups while idle; all inits at the same time, since idle ones do not disturb each other.
pub fn idle(bench: Bench) -> Vec<Table> {
    let method = "Processor time (schedstat) and context switches of all threads that are not the programs', from 2 s after the \
                  last program began; all inits at the same time. 30 s unless `IDLE` says otherwise.";
    let pair = |count: usize| {
        let programs = if count == 1 { "1 program".to_owned() } else { format!("{count} programs") };
        [
            Table::new(
                format!("idle-cpu-{count}"),
                format!("Idle: processor time with {programs}"),
                "ms",
                method,
            )
            .goal(Goal::Most(0.0)),
            Table::new(
                format!("idle-wakes-{count}"),
                format!("Idle: wake-ups with {programs}"),
                "times",
                method,
            )
            .goal(Goal::Most(0.0)),
        ]
    };
    let mut tables = [pair(1), pair(100)];
    let mut running = Vec::new();
    for (place, count) in [1, 100].into_iter().enumerate() {
        let able = bench.able(if count == 1 { |_| true } else { |can| can.many });
        for peer in able {
            let instance = Instance::start(peer, &Plan::sleeping(count), bench.room);
            match instance.and_then(|instance| instance.up().map(|_| instance)) {
                Ok(instance) => running.push((place, peer, instance)),
                Err(why) => keep(&mut tables[place], peer, Err(why)),
            }
        }
    }
    sleep(Duration::from_secs(2));
    let before: Vec<Usage> = running.iter().map(|(_, _, instance)| usage(instance)).collect();
    sleep(bench.options.idle);
    for ((place, peer, instance), before) in running.iter().zip(before) {
        let after = usage(instance);
        let cpu = after.cpu.saturating_sub(before.cpu) as f64 / 1e6;
        keep(&mut tables[*place], peer, Ok(vec![cpu, after.wakes.saturating_sub(before.wakes) as f64]));
    }
    tables.into_iter().flatten().collect()
}

/// What an init and its helpers have used.
pub fn usage(instance: &Instance) -> Usage {
    instance
        .own()
        .iter()
        .map(super::super::process::Process::usage)
        .fold(Usage::default(), |sum, one| Usage { cpu: sum.cpu + one.cpu, wakes: sum.wakes + one.wakes })
}
