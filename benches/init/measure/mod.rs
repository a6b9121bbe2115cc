//! The measures: each a function that fills tables.

mod capture;
mod engine;
mod footprint;
mod idle;
mod life;
mod manager;
mod many;
mod orphans;
mod signals;
mod status;

use crate::options::Options;
use crate::peer::{Can, Peer};
use crate::room::Room;
use crate::table::Table;

/// What a measure works with.
#[derive(Debug, Clone, Copy)]
pub struct Bench<'a> {
    pub options: &'a Options,
    pub peers: &'a [Peer],
    pub room: &'a Room,
}

/// A measure by its name for `ONLY`.
#[derive(Debug)]
pub struct Measure {
    pub name: &'static str,
    run: fn(Bench) -> Vec<Table>,
}

/// All measures, in the order of the report.
pub const ALL: [Measure; 15] = [
    Measure { name: "start", run: life::start },
    Measure { name: "restart", run: life::restart },
    Measure { name: "stop", run: life::stop },
    Measure { name: "stubborn", run: life::stubborn },
    Measure { name: "orphans", run: orphans::orphans },
    Measure { name: "memory", run: footprint::memory },
    Measure { name: "size", run: footprint::size },
    Measure { name: "idle", run: idle::idle },
    Measure { name: "many-200", run: many::two_hundred },
    Measure { name: "many-1000", run: many::thousand },
    Measure { name: "status", run: status::status },
    Measure { name: "capture", run: capture::capture },
    Measure { name: "signals", run: signals::signals },
    Measure { name: "engine", run: engine::engine },
    Measure { name: "manager", run: manager::manager },
];

/// Runs what was asked for.
pub fn run(options: &Options, peers: &[Peer], room: &Room) -> Vec<Table> {
    let chosen = ALL
        .iter()
        .filter(|measure| options.only.is_empty() || options.only.iter().any(|name| name == measure.name));
    chosen
        .flat_map(|measure| {
            let begin = std::time::Instant::now();
            eprint!("bench: {} ...", measure.name);
            let tables = (measure.run)(Bench { options, peers, room });
            eprintln!(" {:.0} s", begin.elapsed().as_secs_f64());
            tables
        })
        .collect()
}

impl Bench<'_> {
    /// The inits that are here and can do what a measure asks.
    fn able(&self, able: fn(&Can) -> bool) -> Vec<&Peer> {
        self.peers.iter().filter(|peer| peer.absent.is_none() && able(&peer.can)).collect()
    }
}

/// Lets each init take its turn in each round, another one first each time; `turn` gives one value for each table.
fn in_turns(
    rounds: usize,
    peers: &[&Peer],
    tables: &mut [Table],
    mut turn: impl FnMut(&Peer) -> Result<Vec<f64>, String>,
) {
    for round in 0..rounds {
        for place in 0..peers.len() {
            let peer = peers[(round + place) % peers.len()];
            if tables.iter_mut().all(|table| table.row(peer.name).hopeless()) {
                continue;
            }
            keep(tables, peer, turn(peer));
        }
    }
}

/// Takes one round's values, or why there are none, into the tables.
fn keep(tables: &mut [Table], peer: &Peer, result: Result<Vec<f64>, String>) {
    match result {
        Ok(values) => {
            for (table, value) in tables.iter_mut().zip(values) {
                table.row(peer.name).samples.push(value);
            }
        }
        Err(why) => tables.iter_mut().for_each(|table| table.row(peer.name).fail(why.clone())),
    }
}
