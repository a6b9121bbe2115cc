//! What is measured.

use std::process::Child;
use std::time::{Duration, Instant};

use crate::docker::{self, Container, Room};
use crate::peer::{Peer, SHELL, SUPERVISORD};
use crate::probe;
use crate::table::{Goal, Table};

/// Elsewhere than after a crash: at most 5 % behind.
const BEHIND: f64 = 1.05;

/// All tables.
pub fn run(rounds: usize, peers: &[Peer], room: &Room) -> Vec<Table> {
    let near = |table: Table| table.goal(Goal::Of(SHELL, BEHIND)).goal(Goal::Of(SUPERVISORD, BEHIND));
    let mut empty = near(Table::new(
        "empty",
        "docker run on an empty volume → accepting",
        "ms",
        "From the start of the `docker` command to the first answer over TCP that asks for a password, asked for every millisecond. \
         The database is made, role and password set.",
    ));
    let mut stop = near(Table::new(
        "stop",
        "docker stop",
        "ms",
        "The `docker stop` of an idle server that is up for 3 s, to its end. Each ends with a shutdown checkpoint.",
    ));
    let mut full = near(Table::new(
        "full",
        "docker run on a full volume → accepting",
        "ms",
        "As above, in a new container on the volume of one that was stopped.",
    ));
    let mut crash = Table::new(
        "crash",
        "crash → accepting",
        "ms",
        "SIGKILL to the postmaster of a server that is up for 12 s, to the first answer that asks for a password. \
         Restart policy `always`, by which docker mends the shell's.",
    )
    .goal(Goal::Ahead(&[SHELL, SUPERVISORD]));
    let mut size = Table::new("size", "Image size", "MB", "`docker image inspect`, all layers.");
    for round in 0..rounds {
        eprintln!("bench: round {} of {rounds}", round + 1);
        for step in 0..peers.len() {
            let peer = &peers[(round + step) % peers.len()];
            if peer.absent.is_none() {
                life(peer, room, [&mut empty, &mut stop, &mut full, &mut crash]);
            }
        }
    }
    for peer in peers {
        match &peer.absent {
            Some(why) => {
                for table in [&mut empty, &mut stop, &mut full, &mut crash, &mut size] {
                    table.row(peer.name).fail(why.clone());
                }
            }
            None => {
                let bytes: f64 = docker::run(&["image", "inspect", "-f", "{{.Size}}", &peer.image])
                    .parse()
                    .expect("a number");
                size.row(peer.name).samples.push(bytes / 1e6);
            }
        }
    }
    vec![empty, full, stop, crash, size]
}

/// One life of a peer: each of the measures once.
fn life(peer: &Peer, room: &Room, [empty, stop, full, crash]: [&mut Table; 4]) {
    let name = format!("{}-{}", room.name, peer.name.replace(' ', "-"));
    let container = Container { volume: format!("{name}-data"), name };
    docker::run(&["volume", "create", &container.volume]);
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let put = |table: &mut Table, value: Result<Duration, String>| match value {
        Ok(time) => table.row(peer.name).samples.push(ms(time)),
        Err(why) => table.row(peer.name).fail(why),
    };
    put(empty, started(peer, room, &container));
    std::thread::sleep(Duration::from_secs(3));
    let since = Instant::now();
    docker::run(&["stop", "-t", "60", &container.name]);
    put(stop, Ok(since.elapsed()));
    container.remove();
    put(full, started(peer, room, &container));
    // Docker's own back-off begins anew for what has run for 10 s.
    std::thread::sleep(Duration::from_secs(12));
    put(crash, crashed(peer, &container));
}

/// From `docker run` to accepting.
fn started(peer: &Peer, room: &Room, container: &Container) -> Result<Duration, String> {
    let volume = format!("{}:/data", container.volume);
    let since = Instant::now();
    let child = docker::begin(&[
        "run",
        "-d",
        "--name",
        &container.name,
        "--network",
        &room.name,
        "--ip",
        &peer.address,
        "--restart",
        "always",
        "-e",
        "POSTGRES_PASSWORD=bench",
        "-v",
        &volume,
        &peer.image,
    ]);
    let accepted = peer.server().accepted_after(since);
    ended(child).and(accepted)
}

fn ended(child: Child) -> Result<(), String> {
    let output = child.wait_with_output().expect("docker");
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

fn crashed(peer: &Peer, container: &Container) -> Result<Duration, String> {
    let first = docker::run(&["inspect", "-f", "{{.State.Pid}}", &container.name]);
    let pid =
        probe::postmaster(first.parse().map_err(|_| first.clone())?).ok_or("no postmaster was found")?;
    let since = Instant::now();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL)
        .map_err(|error| error.to_string())?;
    peer.server().gone();
    peer.server().accepted_after(since)
}
