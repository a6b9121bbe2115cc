//! What the database has to do meanwhile: pgbench, and a writer who remembers what was acknowledged.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use crate::common::{Instance, as_user, pg_bin, postgres_user};

/// Rows whose fate is known. The writer takes one at a time, so all up to `last` are decided.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Decided {
    /// The last id that is decided.
    pub last: u64,
    /// How many of them are in the table.
    pub count: u64,
    /// The sum of the ids in the table.
    pub sum: u128,
    /// How many were acknowledged, and not found later after a connection that broke.
    pub acknowledged: u64,
}

#[derive(Debug)]
struct Place {
    sockets: PathBuf,
    port: u16,
}

impl Place {
    fn client(&self, program: &str) -> Command {
        let mut command = as_user(postgres_user(), pg_bin().join(program));
        command.env("PGCONNECT_TIMEOUT", "10").env("PGHOST", &self.sockets);
        command.env("PGPORT", self.port.to_string()).env("PGUSER", "postgres").env("PGDATABASE", "postgres");
        command.stderr(Stdio::null());
        command
    }
}

/// The clients; they end with this value.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    decided: Arc<Mutex<Decided>>,
    /// How often pgbench was begun.
    pub benches: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Makes the tables and starts the clients.
    pub fn start(instance: &Instance) -> Self {
        let place = Place { sockets: instance.path("sock"), port: instance.spec.port.number() };
        instance.sql("create table soak_rows (id bigint primary key, digest text not null)");
        let made = place.client("pgbench").args(["-i", "-q", "-s", "1"]).status().expect("run pgbench");
        assert!(made.success(), "pgbench could not make its tables: {made}");

        let (stop, decided) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Decided>>::default());
        let benches = Arc::<AtomicU64>::default();
        let mut load = Self { stop, decided, benches, threads: Vec::new() };
        let writer = Place { sockets: place.sockets.clone(), ..place };
        let (stop, decided) = (Arc::clone(&load.stop), Arc::clone(&load.decided));
        load.threads.push(std::thread::spawn(move || write(&writer, &stop, &decided)));
        let (stop, benches) = (Arc::clone(&load.stop), Arc::clone(&load.benches));
        load.threads.push(std::thread::spawn(move || bench(&place, &stop, &benches)));
        load
    }

    /// What must be in the table.
    pub fn decided(&self) -> Decided {
        *self.decided.lock().unwrap()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().ok();
        }
    }
}

/// pgbench, again and again: it ends when its connections break.
fn bench(place: &Place, stop: &AtomicBool, begun: &AtomicU64) {
    while !stop.load(Ordering::Relaxed) {
        let mut command = place.client("pgbench");
        command.args(["-n", "-c", "4", "-j", "1", "-R", "200", "-T", "3600"]).stdout(Stdio::null());
        let mut child = command.spawn().expect("run pgbench");
        begun.fetch_add(1, Ordering::Relaxed);
        while !stop.load(Ordering::Relaxed) && child.try_wait().expect("wait for pgbench").is_none() {
            sleep(Duration::from_millis(20));
        }
        child.kill().ok();
        child.wait().ok();
        sleep(Duration::from_millis(100));
    }
}

struct Session(Child, BufReader<std::process::ChildStdout>);

impl Session {
    fn open(place: &Place) -> Self {
        let mut command = place.client("psql");
        command.args(["-XAtq", "-v", "ON_ERROR_STOP=1"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("run psql");
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        Self(child, answers)
    }

    /// The first line of the answer; `None` when the connection broke.
    fn ask(&mut self, query: &str) -> Option<String> {
        let input = self.0.stdin.as_mut().expect("a pipe");
        input.write_all(format!("{query};\n").as_bytes()).ok()?;
        let mut line = String::new();
        let length = self.1.read_line(&mut line).ok()?;
        (length > 0).then(|| line.trim().to_owned())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn write(place: &Place, stop: &AtomicBool, decided: &Mutex<Decided>) {
    let mut session: Option<Session> = None;
    let mut id = 1_u64;
    // A connection that broke leaves it open whether the row is there: then the table is asked.
    let mut asked = false;
    while !stop.load(Ordering::Relaxed) {
        let open = session.get_or_insert_with(|| Session::open(place));
        let there = if asked {
            open.ask(&format!("select count(*) from soak_rows where id = {id}")).map(|count| count == "1")
        } else {
            asked = true;
            open.ask(&format!("insert into soak_rows values ({id}, md5('{id}')) returning id"))
                .map(|answer| answer == id.to_string())
                .inspect(|_| asked = false)
        };
        let Some(there) = there else {
            session = None;
            sleep(Duration::from_millis(50));
            continue;
        };
        let mut decided = decided.lock().unwrap();
        decided.last = id;
        decided.count += u64::from(there);
        decided.sum += if there { u128::from(id) } else { 0 };
        decided.acknowledged += u64::from(there && !asked);
        drop(decided);
        asked = false;
        id += 1;
        sleep(Duration::from_millis(5));
    }
}
