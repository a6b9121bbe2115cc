//! The manager's verbs beside PostgreSQL's own tools.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::engine::{Database, Setup, accepting, engine_user, postmaster};
use super::{Bench, keep};
use crate::board::now;
use crate::instance::{Instance, LONG, milliseconds};
use crate::peer::{OURS, Peer};
use crate::process::{pidfd, wait_ended};
use crate::table::{Goal, Table};

const PSQL: &str = "psql -c 'select 1'";
const PG_CTL: &str = "pg_ctl stop -m fast";
/// What the server says of a write in a read-only transaction (SQLSTATE `read_only_sql_transaction`).
const REFUSED: &str = "25006";
/// Until what a start leaves to be done in the background is done.
const CALM: Duration = Duration::from_millis(500);

/// The manager's measures.
pub fn manager(bench: Bench) -> Vec<Table> {
    let read = "PostgreSQL over a fresh database on a tmpfs, nobody else at it. From the start of the program to its end, standard output \
                to /dev/null; psql is the server's own, without the distribution's wrapper. Ours goes by the data volume alone.";
    let lock = "The same engine, and a session of a normal user who inserts a row, over and over, and logs in again when it is ended. From the \
                start of `polarctl lock --kind diskfull` to the first insert that is refused for being in a read-only transaction.";
    let expired = "The same engine under our supervisor as PID 1. From the start of the program to the end of the postmaster: of `polarctl \
                   lock --kind expired` by way of the lock file, which the supervisor sees; of `pg_ctl` at a postmaster that nobody keeps.";
    let mut tables = [
        Table::new("manager-health", "Manager: `polarctl health`, which is `select 1`", "ms", read)
            .goal(Goal::Of(PSQL, 1.2)),
        Table::new("manager-params", "Manager: `polarctl params get`", "ms", read).goal(Goal::Of(PSQL, 1.2)),
        Table::new("manager-diskfull", "Manager: diskfull lock → first refused write", "ms", lock)
            .goal(Goal::Most(50.0)),
        Table::new("manager-expired", "Manager: expired lock → engine down", "ms", expired)
            .goal(Goal::Of(PG_CTL, 1.1)),
    ];
    let Some(base) = bench.peers.iter().find(|peer| peer.name == OURS) else { return Vec::new() };
    let polarctl = base.binaries.get(1).cloned().ok_or_else(|| "no polarctl: POLARCTL names it".to_owned());
    let bed = polarctl.and_then(|polarctl| {
        let database = Database::make(bench.room)?;
        Ok(Bed { bench, base, polarctl, database })
    });
    let [health, params, diskfull, down] = &mut tables;
    let done =
        bed.and_then(|bed| {
            let instance = bed.start()?;
            bed.beside_psql(&instance, health, &["health"]);
            bed.beside_psql(&instance, params, &["params", "get"]);
            timed(bed.psql(
                &instance,
                &["-c", "create role app login", "-c", "create schema app authorization app"],
            ))?;
            timed(bed.psql(&instance, &["-c", "set role app", "-c", "create table app.t(n int)"]))?;
            for _ in 0..bench.options.rounds {
                keep(std::slice::from_mut(diskfull), base, bed.diskfull(&instance).map(|value| vec![value]));
            }
            drop(instance);
            for _ in 0..bench.options.rounds_by(2) {
                keep(std::slice::from_mut(down), base, bed.expired().map(|value| vec![value]));
                match bed.stopped() {
                    Ok(value) => down.row(PG_CTL).samples.push(value),
                    Err(why) => down.row(PG_CTL).fail(why),
                }
            }
            Ok(())
        });
    if let Err(why) = done {
        tables.iter_mut().for_each(|table| table.row(OURS).fail(why.clone()));
    }
    tables.into()
}

struct Bed<'a> {
    bench: Bench<'a>,
    base: &'a Peer,
    polarctl: PathBuf,
    database: Database,
}

impl Bed<'_> {
    fn start(&self) -> Result<Instance, String> {
        let ours = self.database.ours(self.base, Setup::Database);
        let instance = Instance::start(&ours, &self.database.plan(), self.bench.room)?;
        accepting(&instance)?;
        std::thread::sleep(CALM);
        Ok(instance)
    }

    fn polarctl(&self, instance: &Instance, words: &[&str]) -> Command {
        let mut command = Command::new(&self.polarctl);
        command.args(words).env_clear().env("POLAR_SUPERVISOR_LOG_DIR", instance.folder.join("log"));
        command
    }

    /// By the data volume.
    fn at_volume(&self, instance: &Instance, words: &[&str]) -> Command {
        let mut command = self.polarctl(instance, words);
        command.arg("--data-dir").arg(instance.folder.join("data"));
        command
    }

    fn psql(&self, instance: &Instance, words: &[&str]) -> Command {
        let mut command = Command::new(self.database.program("psql"));
        command.arg("-h").arg(instance.folder.join("sock")).args(["-U", "postgres", "-d", "postgres"]);
        command.args(words).env_clear();
        command
    }

    /// Has ours and psql take turns.
    fn beside_psql(&self, instance: &Instance, table: &mut Table, words: &[&str]) {
        for round in 0..self.bench.options.rounds * 2 {
            let mut turns =
                [(OURS, self.at_volume(instance, words)), (PSQL, self.psql(instance, &["-c", "select 1"]))];
            if round % 2 == 1 {
                turns.reverse();
            }
            for (name, command) in turns {
                match timed(command) {
                    Ok(took) => table.row(name).samples.push(took),
                    Err(why) => table.row(name).fail(why),
                }
            }
        }
    }

    fn diskfull(&self, instance: &Instance) -> Result<f64, String> {
        let socket = instance.folder.join("sock/.s.PGSQL.5432");
        let mut client = Client::log_in(&socket)?;
        client.insert()?;
        let begin = now();
        let mut polarctl = quiet(self.at_volume(instance, &["lock", "--kind", "diskfull"]));
        let mut polarctl = polarctl.spawn().map_err(|error| format!("polarctl: {error}"))?;
        let end = loop {
            match client.insert() {
                Ok(code) if code.as_deref() == Some(REFUSED) => break now(),
                Ok(None) => {}
                // It was ended.
                _ => client = Client::log_in(&socket)?,
            }
            if milliseconds(begin, now()) > LONG.as_secs_f64() * 1000.0 {
                return Err("no insert was refused".to_owned());
            }
        };
        ended(&mut polarctl)?;
        timed(self.at_volume(instance, &["unlock", "--kind", "diskfull"]))?;
        Ok(milliseconds(begin, end))
    }

    /// By the lock file.
    fn expired(&self) -> Result<f64, String> {
        let instance = self.start()?;
        let down = pidfd(postmaster(&instance)?)?;
        let begin = now();
        let mut command = quiet(self.polarctl(&instance, &["lock", "--kind", "expired", "--no-wait"]));
        let mut polarctl = command
            .arg("--socket")
            .arg(instance.folder.join("run/supervisor.sock"))
            .spawn()
            .map_err(|error| format!("polarctl: {error}"))?;
        wait_ended(std::slice::from_ref(&down), LONG)?;
        let end = now();
        ended(&mut polarctl)?;
        Ok(milliseconds(begin, end))
    }

    /// A postmaster that nobody keeps, over the same database.
    fn stopped(&self) -> Result<f64, String> {
        let instance = self.start()?;
        // Its own is stopped first, and not started again.
        let own = pidfd(postmaster(&instance)?)?;
        timed(self.polarctl(
            &instance,
            &["lock", "--no-wait", "--socket", &text(&instance.folder.join("run/supervisor.sock"))],
        ))?;
        wait_ended(std::slice::from_ref(&own), LONG)?;
        let data = instance.folder.join("data");
        let (uid, gid) = engine_user()?;
        let server = |program: &str| {
            let mut command = quiet(Command::new(self.database.program(program)));
            command.arg("-D").arg(&data).uid(uid).gid(gid).current_dir("/").env_clear();
            command
        };
        let mut child = server("postgres").spawn().map_err(|error| format!("postgres: {error}"))?;
        accepting(&instance)?;
        std::thread::sleep(CALM);
        let down = pidfd(i32::try_from(child.id()).map_err(|error| error.to_string())?)?;
        let begin = now();
        let stop = server("pg_ctl").args(["stop", "-m", "fast"]).spawn();
        let mut stop = stop.map_err(|error| format!("pg_ctl: {error}"))?;
        wait_ended(std::slice::from_ref(&down), LONG)?;
        let end = now();
        child.wait().map_err(|error| error.to_string())?;
        ended(&mut stop)?;
        Ok(milliseconds(begin, end))
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn quiet(mut command: Command) -> Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Milliseconds from its start to its end.
fn timed(command: Command) -> Result<f64, String> {
    let begin = now();
    let mut command = quiet(command);
    let status = command.status().map_err(|error| format!("{command:?}: {error}"))?;
    let end = now();
    if status.success() { Ok(milliseconds(begin, end)) } else { Err(format!("{command:?}: {status}")) }
}

fn ended(child: &mut Child) -> Result<(), String> {
    let status = child.wait().map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("it ended with {status}")) }
}

/// A session of the normal user, by the protocol itself: a program for each insert would be slower than what is measured.
struct Client(UnixStream);

impl Client {
    fn log_in(socket: &Path) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("logging in: {error}");
        let stream = UnixStream::connect(socket).map_err(failed)?;
        stream.set_read_timeout(Some(LONG)).map_err(failed)?;
        let mut client = Client(stream);
        let body = b"\0\x03\0\0user\0app\0database\0postgres\0\0";
        client.send(&[], body).map_err(failed)?;
        match client.answer() {
            Ok(None) => Ok(client),
            Ok(Some(code)) => Err(format!("logging in: SQLSTATE {code}")),
            Err(error) => Err(failed(error)),
        }
    }

    /// The SQLSTATE of its refusal, if it was refused; an error where the session has ended.
    fn insert(&mut self) -> Result<Option<String>, String> {
        let done = self.send(b"Q", b"insert into app.t values (1)\0").and_then(|()| self.answer());
        done.map_err(|error| error.to_string())
    }

    fn send(&mut self, kind: &[u8], body: &[u8]) -> std::io::Result<()> {
        let length = u32::try_from(body.len() + 4).expect("short").to_be_bytes();
        self.0.write_all(&[kind, length.as_slice(), body].concat())
    }

    /// Reads until the server is ready for a query.
    fn answer(&mut self) -> std::io::Result<Option<String>> {
        let mut code = None;
        loop {
            let mut head = [0; 5];
            self.0.read_exact(&mut head)?;
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
            let mut body = vec![0; length - 4];
            self.0.read_exact(&mut body)?;
            match head[0] {
                b'E' => {
                    let fields = body.split(|byte| *byte == 0);
                    let field = fields.into_iter().find_map(|field| field.strip_prefix(b"C"));
                    code = field.map(|field| String::from_utf8_lossy(field).into_owned());
                }
                b'Z' => return Ok(code),
                _ => {}
            }
        }
    }
}
