//! Orphans: what PID 1 has to reap beside its own.

use std::time::{Duration, Instant};

use super::{Bench, in_turns};
use crate::board::now;
use crate::instance::{Instance, milliseconds};
use crate::peer::Plan;
use crate::process::children;
use crate::table::{Goal, Table};

const COUNT: u64 = 10_000;
/// An init that has not reaped them by then never will, or might as well not.
const PATIENCE: Duration = Duration::from_secs(10);

/// Ten thousand orphans, one after the other.
pub fn orphans(bench: Bench) -> Vec<Table> {
    let method = "A program forks twice 10,000 times; the grandchildren become PID 1's and end at once. Looked at through \
                  /proc/1/task/1/children as fast as the bench can.";
    let mut tables = [
        Table::new("orphans-cleared", "10,000 orphans: cleared after the last one's end", "ms", method)
            .goal(Goal::Most(1.0)),
        Table::new(
            "orphans-zombies",
            "10,000 orphans: most that had ended and were not reaped",
            "zombies",
            method,
        )
        .goal(Goal::Most(50.0)),
    ];
    let plan = Plan::sleeping(1).mode(format!("orphans:{COUNT}"));
    in_turns(bench.options.rounds_by(10), &bench.able(|_| true), &mut tables, |peer| {
        let instance = Instance::start(peer, &plan, bench.room)?;
        instance.up()?;
        std::thread::sleep(Duration::from_millis(200));
        watch(&instance)
    });
    tables.into()
}

fn watch(instance: &Instance) -> Result<Vec<f64>, String> {
    let look = || {
        children(instance.pid1)
            .ok_or_else(|| instance.blame("PID 1 has ended, or the kernel lists no children"))
    };
    let own = look()?;
    instance.board.go();
    let mut most = 0;
    let mut last = None;
    loop {
        // What was alive at the second look was no zombie at the first: too few are counted rather than too many.
        let before = instance.board.head();
        let unreaped = look()?.saturating_sub(own);
        let alive = before.born.saturating_sub(before.ended);
        most = most.max((unreaped as u64).saturating_sub(alive));
        if before.ended == COUNT {
            let since = *last.get_or_insert_with(Instant::now);
            if unreaped == 0 {
                return Ok(vec![milliseconds(before.last, now()), most as f64]);
            }
            if since.elapsed() > PATIENCE {
                let seconds = PATIENCE.as_secs();
                return Err(format!("{unreaped} zombies left {seconds} s after the last; {most} at most"));
            }
        }
    }
}
