//! What the engine's user plants in the places that PID 1 and its children touch: nothing outside changes, nothing
//! hangs, and the engine is served or PID 1 says why not.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::stat::Mode;

use crate::common::{Exit, Instance, Process, SOON, Signal, Snapshot, as_user, finish, postgres_user, until};

/// What is planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plant {
    /// A link to root's file outside.
    LinkToFile,
    /// A link to root's folder outside.
    LinkToFolder,
    /// A link to nothing, in root's folder.
    LinkToNothing,
    /// A named pipe, which hangs whoever opens it.
    Pipe,
    /// A folder with something in it.
    Folder,
    /// Another name of root's file outside.
    HardLink,
}

const PLANTS: [Plant; 6] = [
    Plant::LinkToFile,
    Plant::LinkToFolder,
    Plant::LinkToNothing,
    Plant::Pipe,
    Plant::Folder,
    Plant::HardLink,
];

/// Root's folder outside, which no one else may write, with two files.
fn outside(instance: &Instance) -> PathBuf {
    let outside = instance.path("outside");
    fs::create_dir(&outside).unwrap();
    for name in ["secret", "postgresql-2000-01-01_000000.log"] {
        let file = outside.join(name);
        fs::write(&file, "root's own\n").unwrap();
        // Old enough to be pruned.
        fs::File::options().write(true).open(&file).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    }
    outside
}

fn plant(what: Plant, at: &Path, outside: &Path) {
    let folder = at.parent().unwrap();
    fs::create_dir_all(folder).unwrap();
    match fs::symlink_metadata(at) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(at).unwrap(),
        Ok(_) => fs::remove_file(at).unwrap(),
        Err(_) => {}
    }
    match what {
        Plant::LinkToFile => symlink(outside.join("secret"), at).unwrap(),
        Plant::LinkToFolder => symlink(outside, at).unwrap(),
        Plant::LinkToNothing => symlink(outside.join("nothing"), at).unwrap(),
        Plant::Pipe => nix::unistd::mkfifo(at, Mode::S_IRWXU).unwrap(),
        Plant::Folder => {
            fs::create_dir(at).unwrap();
            fs::write(at.join("something"), "").unwrap();
        }
        // By root, for many machines keep users from it (fs.protected_hardlinks).
        Plant::HardLink => return fs::hard_link(outside.join("secret"), at).unwrap(),
    }
    let user = postgres_user();
    std::os::unix::fs::lchown(at, Some(user.uid), Some(user.gid)).unwrap();
    if what == Plant::Folder {
        std::os::unix::fs::lchown(at.join("something"), Some(user.uid), Some(user.gid)).unwrap();
    }
}

/// A start over what was planted, and if the engine is served a crash, a lock, an unlock, a stop. `places` are the names
/// of which PID 1, or the engine, has to tell one where it is not served; none: it has to be.
fn round(plants: &[(Plant, &str)], may_say: Option<&str>) {
    eprintln!("--- {plants:?}");
    let builder = Instance::builder().with_database().set("program.engine.log_keep", "1d");
    let lock = builder.dir.path("data/ins_lock");
    let mut instance = builder
        .set("program.engine.lock_file", lock.to_str().unwrap())
        .set("program.engine.stop_timeout", "4s")
        .set("program.engine.restart.give_up_after", 2)
        .build();
    let outside = outside(&instance);
    for (what, place) in plants {
        let name = place.replace("PORT", &instance.spec.port.number().to_string());
        plant(*what, &instance.path(&name), &outside);
    }
    let before = Snapshot::of(&outside);
    instance.boot();
    let mut served = false;
    until("served, or told why not", SOON, || {
        served = instance.accepts() && instance.try_sql("select 1").is_ok();
        served || instance.exit().is_some() || may_say.is_some_and(|name| told(&instance, name))
    });
    assert!(served || may_say.is_some(), "{plants:?} must not keep the engine from being served");
    if served {
        instance.postmaster().signal(Signal::SIGKILL);
        instance.ready();
        fs::write(&lock, "").unwrap();
        instance.until("no engine", |it| !it.engine_runs());
        fs::remove_file(&lock).unwrap();
        instance.ready();
        assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    } else {
        instance.signal_if_alive(Signal::SIGTERM);
        let code = instance.wait_within(Duration::from_secs(10));
        // The last is an engine that aborts.
        assert!(matches!(code, Exit::Code(0 | 1 | 2 | 70 | 78 | 134)), "{code:?}");
        assert!(told(&instance, may_say.unwrap()), "{plants:?}: what is in the way is not named");
    }
    before.assert_same(&outside);
}

/// Whether a line that warns, of PID 1 or of the engine, has this name.
fn told(instance: &Instance, name: &str) -> bool {
    let logs = fs::read_dir(instance.path("data/pg_log")).into_iter().flatten().flatten();
    let engine: String = logs.filter_map(|log| fs::read_to_string(log.path()).ok()).collect();
    let words = [" WARN ", " ERROR ", "FATAL", "PANIC", "WARNING", "LOG:  could not"];
    let mut lines =
        instance.log().lines().chain(engine.lines()).map(str::to_owned).collect::<Vec<_>>().into_iter();
    lines.any(|line| line.contains(name) && words.iter().any(|word| line.contains(word)))
}

/// A test for each place that the engine may need, with all plants.
macro_rules! planted_at {
    ($($test:ident: $place:literal, $name:literal;)*) => {$(
        #[test]
        fn $test() {
            for what in PLANTS {
                round(&[(what, $place)], Some($name));
            }
        }
    )*};
}

planted_at! {
    planted_at_the_pid_file: "data/postmaster.pid", "postmaster.pid";
    planted_at_postgresql_conf: "data/postgresql.conf", "postgresql.conf";
    planted_at_the_auto_conf: "data/postgresql.auto.conf", "postgresql.auto.conf";
    planted_at_our_defaults: "data/polar_supervisor.conf", "polar_supervisor.conf";
    planted_at_initdbs_picks: "data/polar_initdb.conf", "polar_initdb.conf";
    planted_at_the_log_folder: "data/pg_log", "pg_log";
    planted_at_the_version: "data/PG_VERSION", "PG_VERSION";
    planted_at_the_control_file: "data/global/pg_control", "control";
    planted_at_the_socket: "sock/.s.PGSQL.PORT", "sock";
    planted_at_the_sockets_lock: "sock/.s.PGSQL.PORT.lock", ".lock";
}

/// Places that the engine can do without: it is served whatever is there.
#[test]
fn planted_where_nothing_is_needed() {
    const PLACES: [&str; 7] = [
        "data/.init-0123456789abcdef",
        "data/.init-aaaaaaaaaaaaaaaa/complete",
        "data/lost+found",
        "log/pg_log",
        "run/nss",
        "run/supervisor.sock",
        "data/postmaster.opts.old",
    ];
    for what in PLANTS {
        round(&PLACES.map(|place| (what, place)), None);
    }
}

/// Each of them locks: anyone may `touch` the lock file, and its kind does not matter.
#[test]
fn planted_at_the_lock_file() {
    for what in PLANTS {
        let builder = Instance::builder().with_database();
        let lock = builder.dir.path("data/ins_lock");
        let mut instance = builder.set("program.engine.lock_file", lock.to_str().unwrap()).build();
        let outside = outside(&instance);
        plant(what, &lock, &outside);
        let before = Snapshot::of(&outside);
        instance.boot();
        instance.wait_log("locked: ");
        assert!(!instance.engine_runs());
        assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
        before.assert_same(&outside);
    }
}

/// In a directory without a database, what is planted is never taken over by root, and never initialized over.
#[test]
fn planted_in_an_empty_data_directory() {
    for place in ["data/lost+found", "data/.init-0123456789abcdef", "data/pg_log"] {
        for what in PLANTS {
            eprintln!("--- {what:?} at {place}");
            let mut instance = Instance::builder().set("program.engine.restart.give_up_after", 1).build();
            let outside = outside(&instance);
            plant(what, &instance.path(place), &outside);
            let before = Snapshot::of(&outside);
            instance.boot();
            until("served, or refused", SOON, || {
                instance.exit().is_some() || (instance.accepts() && instance.try_sql("select 1").is_ok())
            });
            match instance.exit() {
                Some(code) => assert!(matches!(code, Exit::Code(1 | 70 | 78)), "{code:?}"),
                None => assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0)),
            }
            before.assert_same(&outside);
        }
    }
}

/// The engine's user swaps the log link's folder and the socket folder for links while PID 1 starts again and again.
#[test]
fn swapped_while_it_starts() {
    let mut instance = Instance::builder()
        .with_database()
        .set("program.engine.restart.give_up_after", 0)
        .set("program.engine.restart.max_backoff", "100ms")
        .build();
    let outside = outside(&instance);
    let before = Snapshot::of(&outside);
    instance.boot();
    instance.ready();
    let mut swap = as_user(postgres_user(), "sh");
    swap.arg("-c")
        .arg("cd \"$1\"; for i in $(seq 200); do rm -rf pg_log; ln -s \"$2\" pg_log; sleep 0.01; done")
        .arg("sh")
        .args([&instance.path("log"), &outside]);
    let swapper = std::thread::spawn(move || finish(swap, SOON));
    while !swapper.is_finished() {
        instance.ready();
        let postmaster: Process = instance.postmaster();
        postmaster.signal(Signal::SIGKILL);
        instance
            .until("another postmaster", |it| it.try_postmaster().is_some_and(|found| found != postmaster));
    }
    swapper.join().unwrap();
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    before.assert_same(&outside);
}
