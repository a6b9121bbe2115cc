//! The local instance: primary and replica in one container, by the very files of `rootfs/local-instance`.

use std::fs;
use std::path::PathBuf;

use crate::common::{
    Account, BOOT, Builder, Done, Exit, Instance, Port, Process, Signal, as_user, finish, pg_bin,
    postgres_user, until,
};

const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/rootfs/local-instance");

struct Local {
    instance: Instance,
    /// Who asks.
    user: Account,
    /// The replica's port, which is the one after the primary's.
    _next: Port,
}

/// Two ports in a row.
fn ports() -> (Port, Port) {
    let mut claimed = vec![Port::claim()];
    loop {
        let next = Port::claim();
        let before = claimed.iter().position(|port| port.number() + 1 == next.number());
        if let Some(place) = before {
            return (claimed.swap_remove(place), next);
        }
        claimed.push(next);
    }
}

/// The container, with an empty volume; `words` stand in the place of `postgres`.
fn container(words: &[&str]) -> (Builder, Port) {
    let (port, next) = ports();
    let mut builder = Instance::builder().without_config();
    builder.port = port;
    builder = builder.stand_in("#!/bin/sh\nexec /usr/local/bin/local-instance \"$@\"\n").args(words.to_vec());
    for folder in ["etc", "usr/local"] {
        builder =
            builder.setup(format!("mount -t overlay files -o lowerdir={FILES}/{folder}:/{folder} /{folder}"));
    }
    let programs = PathBuf::from(crate::common::SUPERVISOR).parent().unwrap().display().to_string();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
    let place = |name: &str| builder.dir.path(name).to_str().unwrap().to_owned();
    let places = [
        ("POLARDB_DATA_DIR", place("polardb")),
        ("POLAR_SUPERVISOR_RUN_DIR", place("run")),
        ("POLAR_SUPERVISOR_LOG_DIR", place("log")),
        ("POLAR_COPY_ENVIRONMENT_POLAR_SUPERVISOR_LOG_DIR", place("log")),
        ("POLAR_PRIMARY_LOG_LINK", place("log/primary")),
        ("POLAR_REPLICA1_LOG_LINK", place("log/replica1")),
        ("POLAR_PRIMARY_SOCKET_DIR", place("polardb/primary_datadir")),
        ("POLAR_REPLICA1_SOCKET_DIR", place("polardb/replica_datadir1")),
        ("POLAR_SESSION_ENVIRONMENT_PGHOST", place("polardb/primary_datadir")),
        ("POLAR_PRIMARY_PARAMETERS_SHARED_BUFFERS", "16MB".to_owned()),
        ("POLAR_REPLICA1_PARAMETERS_SHARED_BUFFERS", "16MB".to_owned()),
    ];
    builder.dir.folder("polardb");
    let port = builder.port.number().to_string();
    let builder = places.into_iter().fold(builder, |builder, (name, value)| builder.env(name, value));
    (builder.env("PATH", path).env("POLARDB_PORT", port), next)
}

impl Local {
    fn start(words: &[&str], more: impl FnOnce(Builder) -> Builder) -> Self {
        let (builder, next) = container(words);
        Local { instance: more(builder).start(), user: postgres_user(), _next: next }
    }

    fn psql(&self, folder: &str, query: &str) -> Done {
        let offset = u16::from(folder != "primary_datadir");
        let mut psql = as_user(self.user, pg_bin().join("psql"));
        psql.env("PGCONNECT_TIMEOUT", "10").args(["-X", "-U", "postgres", "-d", "postgres", "-Atc", query]);
        psql.arg("-h").arg(self.instance.path(&format!("polardb/{folder}")));
        psql.arg("-p").arg((self.instance.spec.port.number() + offset).to_string());
        finish(psql, BOOT)
    }

    /// Waits until both accept, and what is written on the primary is read on the replica.
    fn streams(&mut self) {
        let this = &*self;
        until("the primary to answer", BOOT, || this.psql("primary_datadir", "select 1").status.success());
        self.psql("primary_datadir", "create table if not exists told (n int)").success();
        self.psql("primary_datadir", "insert into told select count(*) from told").success();
        let written = self.psql("primary_datadir", "select count(*) from told").success();
        let this = &*self;
        until("the replica to have it", BOOT, || {
            this.psql("replica_datadir1", "select count(*) from told where pg_is_in_recovery()").stdout.trim()
                == written
        });
    }

    fn postmaster_of(&self, folder: &str) -> Option<Process> {
        let file = self.instance.path(&format!("polardb/{folder}/postmaster.pid"));
        let pid: i32 = fs::read_to_string(file).ok()?.lines().next()?.trim().parse().ok()?;
        self.instance.processes().into_iter().find(|it| it.inner == pid && it.state != 'Z')
    }
}

#[test]
fn from_an_empty_volume_and_once_more() {
    let mut local = Local::start(&["postgres"], |builder| builder);
    local.streams();
    let slots = "select slot_name || ' ' || active from pg_replication_slots";
    assert_eq!(local.psql("primary_datadir", slots).success(), "standby_1_replica1 true");
    let name = "select application_name from pg_stat_replication";
    assert_eq!(local.psql("primary_datadir", name).success(), "standby_1_replica1");
    for folder in ["primary_datadir", "replica_datadir1"] {
        // For the port that compose publishes.
        assert_eq!(local.psql(folder, "show listen_addresses").success(), "*");
    }
    assert!(local.psql("replica_datadir1", "create table no ()").stderr.contains("read-only"));
    let of = |folder: &str| {
        let path = local.instance.path(&format!("polardb/{folder}"));
        std::os::unix::fs::MetadataExt::uid(&fs::metadata(path).unwrap())
    };
    assert_eq!([of("primary_datadir"), of("replica_datadir1")], [postgres_user().uid; 2]);
    assert_eq!(local.instance.stop(Signal::SIGTERM), Exit::Code(0), "{}", local.instance.log());
    // The primary first, so that the replica has all of it.
    let log = local.instance.log();
    let at = |text: &str| log.find(text).unwrap_or_else(|| panic!("no {text}: {log}"));
    assert!(at("primary: stopped") < at("replica1: stopped"), "{log}");
    local.instance.boot();
    local.streams();
    let log = local.instance.log();
    assert!(!log.contains("NEW database") && !log.contains("pg_basebackup"), "{log}");
    assert_eq!(local.instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn either_is_back_after_its_death() {
    let mut local = Local::start(&[], |builder| builder);
    local.streams();
    for folder in ["primary_datadir", "replica_datadir1"] {
        let victim = local.postmaster_of(folder).unwrap();
        victim.signal(Signal::SIGKILL);
        until("another postmaster", BOOT, || {
            local.postmaster_of(folder).is_some_and(|it| it.pid != victim.pid)
        });
        local.streams();
    }
    assert_eq!(local.instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn a_copy_that_was_killed_goes_on() {
    let mut local = Local::start(&["postgres"], |builder| {
        let place = builder.dir.path("run/failpoint").to_str().unwrap().to_owned();
        let builder = builder.env("POLAR_COPY_ENVIRONMENT_POLAR_FAILPOINT", "database-made");
        builder.env("POLAR_COPY_ENVIRONMENT_POLAR_FAILPOINT_FILE", place)
    });
    local.instance.at_failpoint();
    // The machine goes away.
    local.instance.kill9();
    let instance = local.instance.change(|mut builder| {
        for name in ["POLAR_COPY_ENVIRONMENT_POLAR_FAILPOINT", "POLAR_COPY_ENVIRONMENT_POLAR_FAILPOINT_FILE"]
        {
            builder = builder.env(name, "");
        }
        builder
    });
    local = Local { instance, user: local.user, _next: local._next };
    local.instance.boot();
    local.streams();
    assert_eq!(local.instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn its_variables() {
    let mut local = Local::start(&["postgres"], |builder| {
        builder.env("POLARDB_USER", "ann").env("POLARDB_PASSWORD", "it's \\ secret")
    });
    local.streams();
    let query = "select usesuper from pg_user where usename = current_user";
    let done = local.instance.tcp("ann", "postgres", Some("it's \\ secret"), query);
    assert_eq!(done.success(), "t");
    assert_eq!(local.instance.tcp("ann", "postgres", Some("wrong"), query).code(), 2);
    // The replica has them too.
    let port = local.instance.spec.port.number();
    assert_eq!(local.psql("replica_datadir1", "show port").success(), (port + 1).to_string());
    for process in local.instance.processes() {
        if process.inner != 1 {
            let environment = process.environment();
            assert!(!environment.values().any(|value| value.contains("secret")), "{process:?}");
        }
    }
    assert_eq!(local.instance.stop(Signal::SIGTERM), Exit::Code(0));
    // For postgres itself.
    let mut local = Local::start(&["postgres"], |builder| {
        builder.env("POLARDB_USER", "postgres").env_file("POLARDB_PASSWORD_FILE", "of the file\n")
    });
    local.streams();
    assert_eq!(local.instance.tcp("postgres", "postgres", Some("of the file"), "select 1").success(), "1");
    local.instance.kill9();
}

#[test]
fn variables_that_make_no_sense() {
    for (name, value, said) in [
        ("POLARDB_PORT", "65535", "from 1 to 65534"),
        ("POLARDB_PORT", "tcp://10.0.0.1:5432", "from 1 to 65534"),
        ("POLARDB_PORT", "0", "from 1 to 65534"),
        ("POLARDB_USER", "ann", "POLARDB_PASSWORD is not"),
        ("POLARDB_DATA_DIR", "here", "an absolute path"),
    ] {
        let mut local = Local::start(&[], |builder| builder.env(name, value));
        assert_eq!(local.instance.wait(), Exit::Code(78), "{name}={value}");
        assert!(local.instance.log().contains(said), "{name}={value}: {}", local.instance.log());
        assert_eq!(fs::read_dir(local.instance.path("polardb")).unwrap().count(), 0);
    }
}

#[test]
fn a_command_between_start_and_stop() {
    let words = ["psql", "-XAtc", "'select $$told $$ || pg_is_in_recovery()'"];
    let mut local = Local::start(&words, |builder| builder);
    assert_eq!(local.instance.wait(), Exit::Code(0), "{}", local.instance.log());
    let log = local.instance.log();
    assert!(log.lines().any(|line| line == "told false"), "{log}");
    assert!(log.contains("primary: stopped") && log.contains("replica1: stopped"), "{log}");
}

#[test]
fn a_command_that_fails_is_the_status_of_the_container() {
    let mut local = Local::start(&["exit 7"], |builder| builder);
    assert_eq!(local.instance.wait(), Exit::Code(7), "{}", local.instance.log());
    let log = local.instance.log();
    assert!(log.contains("primary: stopped") && log.contains("replica1: stopped"), "{log}");
}

#[test]
fn a_replica_of_another_maker_is_served_as_it_is() {
    let mut local = Local::start(&["postgres"], |builder| builder);
    local.streams();
    assert_eq!(local.instance.stop(Signal::SIGTERM), Exit::Code(0));
    // As one that somebody has made by pg_basebackup -R: nothing tells of an installation.
    for entry in fs::read_dir(local.instance.path("polardb/replica_datadir1")).unwrap().flatten() {
        if entry.file_name().to_str().unwrap().starts_with("ins_install") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    local.instance.boot();
    local.streams();
    local.instance.wait_log("served as it is");
    let slots = "select count(*) from pg_replication_slots";
    assert_eq!(local.psql("primary_datadir", slots).success(), "1");
    assert_eq!(local.instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn as_a_user_of_its_own() {
    // That of polardb_pg_local_instance; here nobody has that number.
    let user = Account { uid: 48_998, gid: 48_998 };
    let mut local = Local::start(&["postgres"], |builder| {
        std::os::unix::fs::chown(builder.dir.path("polardb"), Some(user.uid), Some(user.gid)).unwrap();
        builder.account(user.uid, user.gid)
    });
    local.user = user;
    local.streams();
    assert_eq!(local.instance.stop(Signal::SIGTERM), Exit::Code(0), "{}", local.instance.log());
}
