//! How soon an engine is asked to stop.

use std::time::Duration;

use rustix::process::Signal;

use super::Bench;
use super::engine::{Database, Setup};
use crate::board::{Kind, now};
use crate::instance::{Instance, milliseconds};
use crate::peer::OURS;
use crate::process::signal_to;
use crate::table::{Goal, Table};

/// Until what follows a start is over.
const CALM: Duration = Duration::from_millis(500);

/// Lock file made, SIGTERM sent → the postmaster has SIGINT.
pub fn signals(bench: Bench) -> Vec<Table> {
    let method = "The engine's executable is a stand-in that notes the moment of SIGINT; a database of initdb's is below it.";
    let mut tables = [
        Table::new("lock-to-sigint", "Engine: lock file made → SIGINT received", "ms", method),
        Table::new("sigterm-to-sigint", "Engine: SIGTERM to PID 1 → SIGINT received", "ms", method),
    ]
    .map(|table| table.goal(Goal::Most(2.0)));
    let Some(ours) = bench.peers.iter().find(|peer| peer.name == OURS) else { return Vec::new() };
    let database = match Database::make(bench.room) {
        Ok(database) => database,
        Err(why) => {
            tables.iter_mut().for_each(|table| table.row(OURS).fail(why.clone()));
            return tables.into();
        }
    };
    super::in_turns(bench.options.rounds_by(2), &[ours], &mut tables, |peer| {
        let peer = database.ours(peer, Setup::StandIn);
        let instance = Instance::start(&peer, &database.plan(), bench.room)?;
        let wait = |kind, count: usize| instance.wait(kind, count).map(|moments| moments[count - 1]);
        wait(Kind::First, 1)?;
        std::thread::sleep(CALM);
        let lock = instance.folder.join("ins_lock");
        let begin = now();
        std::fs::File::create(&lock).unwrap();
        let locked = milliseconds(begin, wait(Kind::Term, 1)?);
        std::fs::remove_file(&lock).unwrap();
        wait(Kind::First, 2)?;
        std::thread::sleep(CALM);
        let begin = now();
        signal_to(instance.pid1, Signal::TERM);
        Ok(vec![locked, milliseconds(begin, wait(Kind::Term, 2)?)])
    });
    tables.into()
}
