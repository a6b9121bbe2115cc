//! Many programs at once.

use std::thread::sleep;
use std::time::Duration;

use super::{Bench, footprint, in_turns};
use crate::instance::Instance;
use crate::peer::Plan;
use crate::table::{Goal, Table};

const PEERS: &[&str] = &["s6", "runit", "supervisord", "dinit"];

/// What our own has to reach beside being ahead of the others.
#[derive(Default)]
struct Goals {
    up: Vec<Goal>,
    down: Vec<Goal>,
    memory: Vec<Goal>,
}

/// Two hundred programs.
pub fn two_hundred(bench: Bench) -> Vec<Table> {
    many(bench, 200, 5, Goals::default())
}

/// A thousand.
pub fn thousand(bench: Bench) -> Vec<Table> {
    // 150 ms and 33 ms on a machine on which the limit has 66 ms and 26 ms, and dinit 209 ms and 33 ms: dinit is not
    // packaged everywhere, so its place is held by the multiples of the limit. Memory in MB.
    let goals = Goals {
        up: vec![Goal::Limit(150.0 / 66.0)],
        down: vec![Goal::Limit(33.0 / 26.0)],
        memory: vec![Goal::Most(6.0)],
    };
    many(bench, 1000, 5, goals)
}

fn many(bench: Bench, count: usize, part: usize, goals: Goals) -> Vec<Table> {
    let table = |what: &str, title: &str, unit, method| {
        Table::new(format!("many-{count}-{what}"), format!("{count} programs: {title}"), unit, method)
    };
    let mut tables = [
        table("up", "up", "ms", "Exec of PID 1 until the last program's first instruction.")
            .goal(Goal::Ahead(PEERS)),
        table("down", "down", "ms", "SIGTERM to PID 1 until all is gone; each program gets SIGTERM.")
            .goal(Goal::Ahead(PEERS)),
        table("memory", "memory (PSS)", "MB", "As above, 1 s after the last program began."),
    ];
    for (table, goals) in tables.iter_mut().zip([goals.up, goals.down, goals.memory]) {
        table.goals.extend(goals);
    }
    // monit starts its programs one after the other, each with the wait for its pid file.
    let able = bench.able(|can| can.many && can.stop);
    in_turns(bench.options.rounds_by(part), &able, &mut tables, |peer| {
        let instance = Instance::start(peer, &Plan::sleeping(count), bench.room)?;
        let up = instance.up()?;
        sleep(Duration::from_secs(1));
        let memory = footprint::megabytes(&instance);
        let down = instance.down(true)?;
        Ok(vec![up, down, memory])
    });
    tables.into()
}
