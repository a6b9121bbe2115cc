//! Memory and size.

use std::thread::sleep;
use std::time::Duration;

use super::{Bench, in_turns};
use crate::instance::Instance;
use crate::peer::Plan;
use crate::table::{Goal, Table};

/// What the init's own processes take.
pub fn memory(bench: Bench) -> Vec<Table> {
    let method = "The sum over all processes that are not the programs, from /proc/PID/smaps_rollup, 1 s after the last program \
                  began. Pages of a C library that other processes of the machine use, too, count in part.";
    let table = |count: usize, most: f64| {
        let (name, title) = (format!("memory-{count}"), format!("Memory (PSS) with {count} programs"));
        Table::new(name, title.replace(" 1 programs", " 1 program"), "MB", method).goal(Goal::Most(most))
    };
    let mut one = [table(1, 1.5)];
    let mut hundred = [table(100, 2.2)];
    // The value hardly moves.
    let rounds = bench.options.rounds_by(20);
    let turn = |count: usize| {
        move |peer: &_| {
            let instance = Instance::start(peer, &Plan::sleeping(count), bench.room)?;
            instance.up()?;
            sleep(Duration::from_secs(1));
            Ok(vec![megabytes(&instance)])
        }
    };
    in_turns(rounds, &bench.able(|_| true), &mut one, turn(1));
    in_turns(rounds, &bench.able(|can| can.many), &mut hundred, turn(100));
    one.into_iter().chain(hundred).collect()
}

/// PSS of an init's own processes.
pub fn megabytes(instance: &Instance) -> f64 {
    let bytes: u64 = instance.own().iter().map(super::super::process::Process::pss).sum();
    bytes as f64 / 1e6
}

/// Size of the executables.
pub fn size(bench: Bench) -> Vec<Table> {
    let mut tables = [Table::new(
        "size",
        "Size of the executables that run",
        "MB",
        "Files as installed, without the libraries of those that are not static (ours, the limit and catatonit are).",
    )
    .goal(Goal::Most(3.0))];
    in_turns(1, &bench.able(|_| true), &mut tables, |peer| {
        if peer.name == "supervisord" {
            return Err("a script for Python".into());
        }
        // A client runs only while it is asked for something.
        let running = if peer.name == crate::peer::OURS { &peer.binaries[..1] } else { &peer.binaries };
        let sizes = running.iter().map(|path| std::fs::metadata(path).map_or(0, |file| file.len()));
        Ok(vec![sizes.sum::<u64>() as f64 / 1e6])
    });
    tables.into()
}
