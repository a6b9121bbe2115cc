//! A PostgreSQL under us, and under a bare shell loop.

use std::io::{Read, Write};
use std::os::unix::fs::{chown, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{Bench, in_turns};
use crate::board::{Kind, now};
use crate::instance::{Instance, LONG, milliseconds};
use crate::peer::{Capture, Launch, OURS, Peer, Plan, Setting};
use crate::process::signal_to;
use crate::room::Room;
use crate::table::{Goal, Table};

const LOOP: &str = "shell loop";
const TEMPLATE: &str = "template";
/// The mode of a plan whose engine is locked from the start.
const LOCKED: &str = "locked";
const INITDB: [&str; 3] = ["--data-checksums", "--encoding=UTF8", "--locale=C"];

/// What a start by hand in a container amounts to. A lock is looked at each 10 ms.
const SCRIPT: &str = r#"#!/bin/sh
as="setpriv --reuid=postgres --regid=postgres --init-groups --"
cd /
trap 'stop=1; [ -n "$pid" ] && kill -INT "$pid"' TERM
while [ -e "$DIR/ins_lock" ]; do sleep 0.01; done
if [ ! -s "$DIR/data/PG_VERSION" ]; then
    chmod 700 "$DIR/data"
    $as "$BIN/initdb" INITDB --username=postgres -D "$DIR/data" >/dev/null || exit 70
    printf 'CONF' >>"$DIR/data/postgresql.conf"
    $as "$BIN/pg_ctl" -w -s -D "$DIR/data" -o "-c listen_addresses='' -c unix_socket_directories='$DIR/log'" start || exit 70
    $as "$BIN/psql" -X -q -h "$DIR/log" -U postgres -d postgres -c "ALTER ROLE postgres CONNECTION LIMIT -1" || exit 70
    $as "$BIN/pg_ctl" -w -s -D "$DIR/data" -m fast stop || exit 70
fi
while [ -z "$stop" ]; do
    $as "$BIN/postgres" -D "$DIR/data" &
    pid=$!
    wait "$pid"
done
wait
"#;

/// What an engine is set up with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// The stand-in over a database.
    StandIn,
    /// The server over a database.
    Database,
    /// The server and no database.
    Empty,
}

/// A database to copy.
#[derive(Debug)]
pub struct Database {
    bin: PathBuf,
}

impl Database {
    /// Makes it once.
    pub fn make(room: &Room) -> Result<Self, String> {
        let bin =
            newest().ok_or("no PostgreSQL under /usr/lib/postgresql: scripts/setup bench installs it")?;
        let template = room.root().join(TEMPLATE);
        if !template.exists() {
            std::fs::create_dir(&template).unwrap();
            give(&template)?;
            let mut initdb = Command::new("setpriv");
            initdb
                .args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"])
                .arg(bin.join("initdb"));
            initdb
                .args(INITDB)
                .args(["--no-sync", "--auth=trust", "--username=postgres", "-D"])
                .arg(&template);
            let done = initdb.current_dir("/").output().map_err(|error| format!("initdb: {error}"))?;
            if !done.status.success() {
                return Err(format!("initdb: {}", String::from_utf8_lossy(&done.stderr)));
            }
        }
        Ok(Self { bin })
    }

    /// A plan; engines need nothing of it.
    #[allow(clippy::unused_self, reason = "only who has a database can start an engine")]
    pub fn plan(&self) -> Plan {
        Plan { count: 0, mode: "sleep".into(), stop_timeout: None, capture: Capture::Default }
    }

    /// Our own init with an engine instead of programs.
    pub fn ours(&self, peer: &Peer, setup: Setup) -> Peer {
        Peer {
            prepare: match setup {
                Setup::StandIn => |peer, setting| ours(peer, setting, Setup::StandIn),
                Setup::Database => |peer, setting| ours(peer, setting, Setup::Database),
                Setup::Empty => |peer, setting| ours(peer, setting, Setup::Empty),
            },
            binaries: vec![peer.binaries[0].clone(), self.bin.clone()],
            ..peer.clone()
        }
    }

    /// The shell loop.
    fn looped(&self, peer: &Peer, setup: Setup) -> Peer {
        Peer {
            name: LOOP,
            prepare: match setup {
                Setup::Empty => |peer, setting| looped(peer, setting, Setup::Empty),
                Setup::StandIn | Setup::Database => |peer, setting| looped(peer, setting, Setup::Database),
            },
            ..self.ours(peer, setup)
        }
    }
}

impl Database {
    /// A program of the server's.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }
}

/// The executables of the newest PostgreSQL.
fn newest() -> Option<PathBuf> {
    let releases = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let numbered = releases.filter_map(|entry| {
        Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin")))
    });
    numbered.filter(|(_, bin)| bin.join("postgres").exists()).max().map(|(_, bin)| bin)
}

/// Gives a folder to the engine's user.
fn give(path: &Path) -> Result<(), String> {
    let (uid, gid) = engine_user()?;
    chown(path, Some(uid), Some(gid)).map_err(|error| format!("chown {}: {error}", path.display()))
}

/// User and group of the engine.
pub fn engine_user() -> Result<(u32, u32), String> {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd.lines().find(|line| line.starts_with("postgres:")).ok_or("no user 'postgres' here")?;
    let ids: Vec<u32> = line.split(':').skip(2).take(2).filter_map(|id| id.parse().ok()).collect();
    ids.try_into().map(|[uid, gid]: [u32; 2]| (uid, gid)).map_err(|_| "user 'postgres' has no numbers".into())
}

const CONF: &str = "listen_addresses = ''\\nshared_buffers = '16MB'\\n";

/// The folders of an instance, and a database in them unless it is to be made.
fn folders(setting: &Setting, setup: Setup) -> Result<(), String> {
    for name in ["data", "log", "run", "sock", "initdb.d"] {
        let folder = setting.folder.join(name);
        std::fs::create_dir(&folder).unwrap();
        give(&folder)?;
    }
    if setting.plan.mode == LOCKED {
        std::fs::File::create(setting.folder.join("ins_lock")).unwrap();
    }
    if setup != Setup::Empty {
        let template = setting.folder.parent().expect("the room").join(TEMPLATE);
        let data = setting.folder.join("data");
        let copied = Command::new("cp").arg("-aT").arg(template).arg(&data).status();
        if !copied.is_ok_and(|status| status.success()) {
            return Err("cp of the database failed".into());
        }
        let conf =
            format!("{}unix_socket_directories = '{}'\n", CONF.replace("\\n", "\n"), setting.path("sock"));
        let file = std::fs::File::options().append(true).open(data.join("postgresql.conf"));
        file.and_then(|mut file| file.write_all(conf.as_bytes()))
            .map_err(|error| format!("postgresql.conf: {error}"))?;
    }
    Ok(())
}

fn ours(peer: &Peer, setting: &Setting, setup: Setup) -> Result<Launch, String> {
    folders(setting, setup)?;
    let mut bin = peer.binaries[1].clone();
    if setup == Setup::StandIn {
        let real = bin;
        bin = setting.folder.join("bin");
        std::fs::create_dir(&bin).unwrap();
        for entry in std::fs::read_dir(&real).unwrap().flatten() {
            if entry.file_name() != "postgres" {
                symlink(entry.path(), bin.join(entry.file_name())).unwrap();
            }
        }
        std::fs::copy(&setting.tools.server, bin.join("postgres")).unwrap();
        symlink(real.join("postgres"), bin.join("real")).unwrap();
        symlink(setting.board, bin.join("board")).unwrap();
    }
    let path = |name: &str| setting.path(name);
    let text = format!(
        "[supervisor]\nrun_dir = {:?}\nlog_dir = {:?}\n[program.engine]\nkind = \"postgres\"\nbin_dir = {bin:?}\n\
         data_dir = {:?}\nport = 5432\nlock_file = {:?}\nlog_link = {:?}\ninit_scripts = {:?}\nsocket_dir = [{:?}]\n\
         [program.engine.parameters]\nlisten_addresses = \"\"\nshared_buffers = \"16MB\"\n",
        path("run"),
        path("log"),
        path("data"),
        path("ins_lock"),
        path("log/pg_log"),
        path("initdb.d"),
        path("sock"),
    );
    let file = setting.write("supervisor.toml", &text, 0o644);
    let program = peer.binaries[0].to_str().expect("UTF-8").to_owned();
    Ok(Launch::new([program, "--config".into(), file, "run".into()]))
}

fn looped(peer: &Peer, setting: &Setting, setup: Setup) -> Result<Launch, String> {
    folders(setting, setup)?;
    let conf = format!("{CONF}unix_socket_directories = '\\''{}'\\''\\n", setting.path("sock"));
    let conf = conf.replace("= ''", "= '\\'''\\''").replace("'16MB'", "'\\''16MB'\\''");
    let script = SCRIPT.replace("INITDB", &INITDB.join(" ")).replace("CONF", &conf);
    let (dir, bin) = (setting.folder.display(), peer.binaries[1].display());
    let script = script.replacen('\n', &format!("\nDIR={dir} BIN={bin}\n"), 1);
    Ok(Launch::new(["/bin/sh".to_owned(), setting.write("loop", &script, 0o755)]))
}

/// The engine measures.
pub fn engine(bench: Bench) -> Vec<Table> {
    let method = "PostgreSQL over a fresh database on a tmpfs. Accepting: a startup packet on its socket, tried again each 0.5 ms, is \
                  answered by anything but \"the database system is starting up\". The shell loop is PID 1, too: it starts the \
                  server again whenever it ends, looks for the lock file each 10 ms, and does a first boot as container \
                  images do (initdb, a temporary server, a statement by psql, its stop).";
    let table = |name: &str, title: &str| {
        Table::new(name, format!("Engine: {title}"), "ms", method).goal(Goal::Of(LOOP, 1.05))
    };
    let mut killed = [table("engine-killed", "SIGKILL of the postmaster → accepting")];
    let mut unlocked = [table("engine-unlock", "lock file removed → accepting")];
    let mut first = [table("engine-first-boot", "exec of PID 1 on an empty data directory → accepting")];
    let Some(base) = bench.peers.iter().find(|peer| peer.name == OURS) else { return Vec::new() };
    let database = match Database::make(bench.room) {
        Ok(database) => database,
        Err(why) => {
            killed[0].row(OURS).fail(why);
            return killed.into();
        }
    };
    let pair = |setup| [database.ours(base, setup), database.looped(base, setup)];
    let (ready, empty) = (pair(Setup::Database), pair(Setup::Empty));
    let rounds = bench.options.rounds;
    in_turns(rounds, &ready.iter().collect::<Vec<_>>(), &mut killed, |peer| {
        let instance = Instance::start(peer, &database.plan(), bench.room)?;
        accepting(&instance)?;
        std::thread::sleep(Duration::from_millis(500));
        let postmaster = postmaster(&instance)?;
        let begin = now();
        signal_to(postmaster, Signal::KILL);
        // The dead one's backends do not answer; the socket refuses until a successor binds it.
        Ok(vec![milliseconds(begin, accepting(&instance)?)])
    });
    in_turns(rounds, &ready.iter().collect::<Vec<_>>(), &mut unlocked, |peer| {
        let plan = Plan { mode: LOCKED.into(), ..database.plan() };
        let instance = Instance::start(peer, &plan, bench.room)?;
        std::thread::sleep(Duration::from_millis(500));
        let begin = now();
        std::fs::remove_file(instance.folder.join("ins_lock")).map_err(|error| format!("unlock: {error}"))?;
        Ok(vec![milliseconds(begin, accepting(&instance)?)])
    });
    in_turns(bench.options.rounds_by(7), &empty.iter().collect::<Vec<_>>(), &mut first, |peer| {
        let instance = Instance::start(peer, &database.plan(), bench.room)?;
        let end = accepting(&instance)?;
        Ok(vec![milliseconds(instance.board.moments(Kind::Exec)[0], end)])
    });
    killed.into_iter().chain(unlocked).chain(first).collect()
}

/// Waits until the database answers; the moment of that.
pub fn accepting(instance: &Instance) -> Result<u64, String> {
    let socket = instance.folder.join("sock/.s.PGSQL.5432");
    let begin = Instant::now();
    loop {
        if answers(&socket).unwrap_or(false) {
            return Ok(now());
        }
        if begin.elapsed() > LONG {
            return Err(instance.blame("the database does not answer"));
        }
        std::thread::sleep(Duration::from_micros(500));
    }
}

/// Whether a startup packet is answered by anything but a refusal for the time being (SQLSTATE 57P03).
fn answers(socket: &Path) -> std::io::Result<bool> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let body = b"\0\x03\0\0user\0postgres\0database\0postgres\0\0";
    let mut packet = u32::try_from(body.len() + 4).expect("short").to_be_bytes().to_vec();
    packet.extend(body);
    stream.write_all(&packet)?;
    let mut answer = [0; 256];
    let count = stream.read(&mut answer)?;
    let answer = &answer[..count];
    Ok(count > 0 && !(answer[0] == b'E' && answer.windows(5).any(|word| word == b"57P03")))
}

/// The pid of the postmaster, seen from here.
pub fn postmaster(instance: &Instance) -> Result<i32, String> {
    let text = std::fs::read_to_string(instance.folder.join("data/postmaster.pid"));
    let text = text.map_err(|error| format!("postmaster.pid: {error}"))?;
    let inner = text.lines().next().unwrap_or_default().to_owned();
    let found = instance.processes().into_iter().find(|process| {
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid)).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
        line.and_then(|line| line.split_whitespace().last()).is_some_and(|pid| pid == inner)
    });
    found.map(|process| process.pid).ok_or_else(|| format!("no process {inner}"))
}
