//! Start, restart and stop of a few programs.

use std::thread::sleep;
use std::time::Duration;

use rustix::process::Signal;

use super::{Bench, in_turns, keep};
use crate::board::{Kind, now};
use crate::instance::{Instance, milliseconds};
use crate::peer::{Peer, Plan};
use crate::table::{Goal, Table};

/// As long as inits that start nothing twice in a second, and those that call a program started only then, have to be
/// given until a death is an ordinary one.
const SETTLED: Duration = Duration::from_millis(1300);
/// Who has not started it again by then never will.
const RESTARTED: Duration = Duration::from_secs(10);
/// Until an init has done what it does after its programs have begun.
const CALM: Duration = Duration::from_millis(200);

/// From the exec of PID 1 to its child's first instruction.
pub fn start(bench: Bench) -> Vec<Table> {
    let mut tables = [Table::new(
        "start",
        "Start: exec of PID 1 → first instruction of its program",
        "ms",
        "One program. A stamp just before PID 1's execve, another in the first line of the program's main.",
    )
    .goal(Goal::Limit(2.5))];
    in_turns(bench.options.rounds, &bench.able(|_| true), &mut tables, |peer| {
        Ok(vec![Instance::start(peer, &Plan::sleeping(1), bench.room)?.up()?])
    });
    tables.into()
}

/// Instances of all these inits at once, each with all its programs begun; idle inits do not disturb each other.
fn together<'a>(
    bench: Bench,
    peers: &[&'a Peer],
    tables: &mut [Table],
    plan: &Plan,
) -> Vec<(&'a Peer, Instance)> {
    let started: Vec<_> = peers
        .iter()
        .filter(|peer| !tables.iter_mut().all(|table| table.row(peer.name).hopeless()))
        .map(|peer| (*peer, Instance::start(peer, plan, bench.room)))
        .collect();
    let mut all = Vec::new();
    for (peer, instance) in started {
        match instance.and_then(|instance| instance.up().map(|_| instance)) {
            Ok(instance) => all.push((peer, instance)),
            Err(why) => keep(tables, peer, Err(why)),
        }
    }
    all
}

/// From a program's death to its successor's first instruction.
pub fn restart(bench: Bench) -> Vec<Table> {
    let first = Table::new(
        "restart",
        "Restart: SIGKILL of a program → first instruction of its successor",
        "ms",
        "The program has run for 1.3 s; default settings.",
    );
    let mut first = [first.goal(Goal::Limit(1.4))];
    let mut again = [Table::new(
        "restart-again",
        "Restart at once: the successor is killed in its first moment, too",
        "ms",
        "The second death, 10 ms after the successor's first instruction; default settings, whose pause against a loop \
         of crashes shows here. No goal: a pause is wanted.",
    )];
    let peers = bench.able(|can| can.restart);
    let rounds = bench.options.rounds_by(2);
    for round in 0..rounds {
        let instances = together(bench, &peers, &mut first, &Plan::sleeping(1));
        sleep(SETTLED);
        for (peer, instance) in instances {
            let result = killed(&instance, 2);
            let begun = result.is_ok();
            keep(&mut first, peer, result);
            // Most inits wait a second here.
            if begun && round < bench.options.rounds_by(5) {
                sleep(Duration::from_millis(10));
                keep(&mut again, peer, killed(&instance, 3));
            }
        }
    }
    first.into_iter().chain(again).collect()
}

/// Kills the one program; milliseconds until there has been a `count`th.
fn killed(instance: &Instance, count: usize) -> Result<Vec<f64>, String> {
    let programs = instance.programs();
    let [program] = programs.as_slice() else {
        return Err(instance.blame(&format!("{} programs run instead of one", programs.len())));
    };
    let begin = now();
    program.signal(Signal::KILL);
    let moments = instance.wait_for(Kind::First, count, RESTARTED)?;
    Ok(vec![milliseconds(begin, moments[count - 1])])
}

/// From SIGTERM to the end of all.
pub fn stop(bench: Bench) -> Vec<Table> {
    let method = "Programs that end at SIGTERM, running for 0.2 s or more. SIGTERM to PID 1 until PID 1 has ended, and with it \
                  its namespace. An init that leaves programs to the kernel's SIGKILL instead of asking each has no value.";
    let mut one =
        [Table::new("stop-1", "Stop: SIGTERM → all gone, 1 program", "ms", method).goal(Goal::Limit(2.0))];
    let mut hundred =
        [Table::new("stop-100", "Stop: SIGTERM → all gone, 100 programs", "ms", method)
            .goal(Goal::Limit(1.3))];
    for _ in 0..bench.options.rounds {
        for (peer, instance) in together(bench, &calm(bench, 1), &mut one, &Plan::sleeping(1)) {
            sleep(CALM / 10);
            keep(&mut one, peer, instance.down(true).map(|value| vec![value]));
        }
    }
    for _ in 0..bench.options.rounds_by(2) {
        let instances = together(bench, &calm(bench, 100), &mut hundred, &Plan::sleeping(100));
        sleep(CALM);
        for (peer, instance) in instances {
            keep(&mut hundred, peer, instance.down(true).map(|value| vec![value]));
        }
    }
    one.into_iter().chain(hundred).collect()
}

fn calm(bench: Bench<'_>, count: usize) -> Vec<&Peer> {
    bench.peers.iter().filter(|peer| peer.absent.is_none() && (count == 1 || peer.can.many)).collect()
}

/// What programs that ignore SIGTERM cost beyond their time.
pub fn stubborn(bench: Bench) -> Vec<Table> {
    let mut one = [Table::new(
        "stubborn",
        "Stop of a program that ignores SIGTERM, with a timeout of 1 s: time over that second",
        "ms",
        "SIGTERM to PID 1 until all is gone, less 1,000 ms.",
    )
    .goal(Goal::Most(1.3))];
    let mut many = [Table::new(
        "stubborn-200",
        "Stop of 200 programs that ignore SIGTERM, with a timeout of 1 s: time over that second",
        "ms",
        "As above. An init that looks for each program's descendants one after the other shows it here.",
    )];
    let plan = |count| Plan { stop_timeout: Some(1), ..Plan::sleeping(count).mode("stubborn") };
    let turn = |count: usize| {
        move |peer: &Peer| {
            let instance = Instance::start(peer, &plan(count), bench.room)?;
            instance.up()?;
            sleep(CALM);
            Ok(vec![instance.down(false)? - 1000.0])
        }
    };
    in_turns(bench.options.rounds_by(4), &bench.able(|can| can.kill), &mut one, turn(1));
    in_turns(bench.options.rounds_by(10), &bench.able(|can| can.kill && can.many), &mut many, turn(200));
    one.into_iter().chain(many).collect()
}
