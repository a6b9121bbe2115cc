//! Many programs at once.

use std::thread::sleep;
use std::time::Duration;

use super::{Bench, footprint, in_turns};
use crate::instance::Instance;
use crate::peer::Plan;
use crate::table::{Goal, Table};

const PEERS: &[&str] = &["s6", "runit", "supervisord", "dinit"];

/// Two hundred programs.
pub fn two_hundred(bench: Bench) -> Vec<Table> {
    many(bench, 200, 5, &[])
}

/// A thousand.
pub fn thousand(bench: Bench) -> Vec<Table> {
    // In MB.
    many(bench, 1000, 10, &[Goal::Most(6.0)])
}

fn many(bench: Bench, count: usize, part: usize, memory: &[Goal]) -> Vec<Table> {
    let table = |what: &str, title: &str, unit, method| {
        Table::new(format!("many-{count}-{what}"), format!("{count} programs: {title}"), unit, method)
    };
    let mut pss = table("memory", "memory (PSS)", "MB", "As above, 1 s after the last program began.");
    pss.goals.extend(memory);
    let mut tables = [
        table("up", "up", "ms", "Exec of PID 1 until the last program's first instruction.")
            .goal(Goal::Ahead(PEERS)),
        table("down", "down", "ms", "SIGTERM to PID 1 until all is gone; each program gets SIGTERM.")
            .goal(Goal::Ahead(PEERS)),
        pss,
    ];
    // monit starts its programs one after the other, each with the wait for its pid file.
    let able = bench.able(|can| can.many && can.stop);
    in_turns(bench.options.rounds_by(part), &able, &mut tables, |peer| {
        let instance = Instance::start(peer, &Plan::sleeping(count), bench.room)?;
        let up = instance.up()?;
        sleep(Duration::from_secs(1));
        let memory = footprint::megabytes(&instance);
        Ok(vec![up, instance.down(true)?, memory])
    });
    tables.into()
}
