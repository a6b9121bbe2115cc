//! The client that shows all programs.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Bench, keep};
use crate::instance::Instance;
use crate::peer::Plan;
use crate::table::{Goal, Table};

/// How long the answer takes.
pub fn status(bench: Bench) -> Vec<Table> {
    let mut tables = [Table::new(
        "status",
        "Status of 100 programs by the init's client",
        "ms",
        "From the start of the client (`polarctl status`, `supervisorctl status`, `sv status` on all, `s6-svstat` on each, \
         `dinitctl list`) to its end; standard output to a file.",
    )
    .goal(Goal::Most(10.0))];
    let mut running = Vec::new();
    for peer in bench.able(|can| can.many) {
        let Some(client) = peer.status else { continue };
        let instance = Instance::start(peer, &Plan::sleeping(100), bench.room);
        match instance.and_then(|instance| instance.up().map(|_| instance)) {
            Ok(instance) => running.push((peer, client(peer, &instance.folder), instance)),
            Err(why) => keep(&mut tables, peer, Err(why)),
        }
    }
    std::thread::sleep(Duration::from_secs(2));
    for _ in 0..bench.options.rounds {
        for (peer, argv, instance) in &running {
            let shown = instance.folder.join("status");
            let output = std::fs::File::create(&shown).unwrap();
            let begin = Instant::now();
            let mut command = Command::new(&argv[0]);
            command.args(&argv[1..]).stdin(Stdio::null()).stdout(output).stderr(Stdio::null());
            let status = command.status();
            let took = begin.elapsed().as_secs_f64() * 1e3;
            let lines = std::fs::read_to_string(&shown).unwrap_or_default().lines().count();
            let result = match status {
                Ok(status) if status.success() && lines >= 100 => Ok(vec![took]),
                Ok(status) => Err(format!("{} lines, {status}", lines)),
                Err(error) => Err(format!("{}: {error}", argv[0].display())),
            };
            keep(&mut tables, peer, result);
        }
    }
    tables.into()
}
