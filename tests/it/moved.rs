//! Data directories that others have made are served as they are: those of docker-library/postgres, of the predecessor,
//! of polardb_pg_local_instance. docs/moving.md tells how.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use crate::common::{
    Account, BOOT, Builder, Done, Exit, Instance, Signal, append, as_user, finish, pg_bin, postgres_user,
};

const MOVING: &str = include_str!("../../docs/moving.md");

/// A database by the initdb of its maker, in a folder of the test, as the engine's user.
fn initdb(builder: &Builder, folder: &str, arguments: &[&str]) -> PathBuf {
    let data = builder.dir.folder(folder);
    let maker = postgres_user();
    chown(&data, Some(maker.uid), Some(maker.gid)).unwrap();
    let mut command = as_user(maker, pg_bin().join("initdb"));
    command.args(arguments).args(["--no-sync", "-D"]).arg(&data);
    finish(command, BOOT).success();
    data
}

fn give(data: &Path, user: Account) {
    let mut command = std::process::Command::new("chown");
    command.args(["-hR", &format!("{}:{}", user.uid, user.gid)]).arg(data);
    finish(command, BOOT).success();
}

/// What the files of a folder are, that no server changes while it runs: owner, mode, inode, and the content of those that
/// configure.
fn looks(data: &Path) -> BTreeMap<String, (u32, u32, u32, u64, Vec<u8>)> {
    let names = ["PG_VERSION", "pg_hba.conf", "pg_ident.conf", "base", "global", "base/1/PG_VERSION"];
    let of_us = ["ins_logic_id", "ins_ctx", "ins_install_step", "log"];
    let one = |name: &&str| {
        let path = data.join(name);
        let meta = fs::symlink_metadata(&path).ok()?;
        let content = if meta.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        let mode = meta.permissions().mode() & 0o7777;
        Some(((*name).to_owned(), (meta.uid(), meta.gid(), mode, meta.ino(), content)))
    };
    names.iter().chain(&of_us).filter_map(one).collect()
}

/// Names of what lies in it.
fn files(data: &Path) -> Vec<String> {
    fs::read_dir(data).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// A supervisor over that directory, as a user of its own (`docker run --user`), the socket in the data directory.
fn over(builder: Builder, data: &Path) -> Builder {
    let text = data.to_str().unwrap().to_owned();
    builder
        .unset("program.engine.lock_file")
        .set("program.engine.data_dir", text.clone())
        .set("program.engine.socket_dir", vec![text])
}

fn ctl(instance: &Instance, user: Account, line: &str) -> Done {
    instance.ctl_as(user, line)
}

/// The verbs that look and change, as the engine's user; served by these rules and roles.
fn is_operated(instance: &Instance, user: Account) {
    for check in ["--live", "--ready", "--sql"] {
        assert_eq!(ctl(instance, user, &format!("health {check}")).code(), 0, "{check}");
    }
    assert_eq!(ctl(instance, user, "pg -XAtc select(6*7)").success(), "42");
    assert!(ctl(instance, user, "account list").success().contains("postgres"));
    ctl(instance, user, "params set work_mem=9MB").success();
    assert_eq!(ctl(instance, user, "pg -XAtc select(current_setting('work_mem'))").success(), "9MB");
    assert!(ctl(instance, user, "params get work_mem").success().contains("9MB"));
}

/// docker-library's `docker_init_database_dir` and `pg_setup_hba_conf`.
fn docker_library(superuser: &str) -> (Builder, PathBuf, &'static str) {
    let builder = Instance::builder();
    let locales = finish(
        {
            let mut command = std::process::Command::new("locale");
            command.arg("-a");
            command
        },
        BOOT,
    )
    .success();
    let locale = if locales.lines().any(|line| line == "en_US.utf8") { "en_US.utf8" } else { "C.UTF-8" };
    let file = builder.dir.file("pwfile", "of docker\n", 0o600);
    let arguments = [
        &format!("--username={superuser}"),
        &format!("--pwfile={}", file.display()),
        &format!("--locale={locale}"),
    ];
    let data = initdb(&builder, "pgdata", &arguments.map(String::as_str));
    append(&data.join("pg_hba.conf"), "\nhost all all all scram-sha-256");
    append(&data.join("postgresql.conf"), &format!("port = {}", builder.port.number()));
    (over(builder, &data), data, locale)
}

#[test]
fn of_docker_library() {
    let (builder, data, locale) = docker_library("postgres");
    let before = looks(&data);
    let set = |name: &str| {
        let mut command = as_user(postgres_user(), pg_bin().join("postgres"));
        command.arg("-D").arg(&data).args(["-C", name]);
        finish(command, BOOT).success()
    };
    let names = ["unix_socket_directories", "logging_collector", "log_directory", "password_encryption"];
    let (set_before, files_before) = (names.map(set), files(&data));
    let mut instance = builder.start();
    instance.wait_log("ready after");
    assert_eq!(looks(&data), before);
    is_operated(&instance, postgres_user());
    let sql = |query: &str| {
        let arguments = ["-X", "-h", data.to_str().unwrap(), "-U", "postgres", "-p"];
        let mut words: Vec<String> = arguments.map(str::to_owned).to_vec();
        words.extend([instance.spec.port.number().to_string(), "-Atc".into(), query.into()]);
        instance.pg("psql", &words).success()
    };
    assert_eq!(sql("select datcollate from pg_database where datname = 'postgres'"), locale);
    assert_eq!(sql("show data_checksums"), "off");
    // By its own rules: any user on the socket and on localhost, a password from elsewhere.
    let rules = "select count(*) from pg_hba_file_rules where auth_method = 'trust'";
    assert_eq!(sql(rules), "6");
    assert_eq!(ctl(&instance, Account { uid: 0, gid: 0 }, "pg -XAtc select(1)").success(), "1");
    assert_eq!(instance.tcp("postgres", "postgres", Some("of docker"), "select 1").success(), "1");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    assert_eq!(looks(&data), before);
    assert!(!instance.log().contains("NEW database"));
    // What the page says is all that came; the rest is the server's own.
    let servers = ["pg_log", "current_logfiles", "postmaster.opts"];
    let mut new = files(&data);
    new.retain(|name| !files_before.contains(name) && !servers.contains(&name.as_str()));
    new.retain(|name| !name.starts_with("ins_"));
    new.sort();
    assert_eq!(new, ["polar_supervisor.conf", "polar_supervisor.start"]);
    assert!(new.iter().chain([&"ins_*".to_owned()]).all(|name| MOVING.contains(&format!("| `{name}` |"))));
    // The way back.
    assert_ne!(names.map(set), set_before);
    fs::remove_file(data.join("polar_supervisor.conf")).unwrap();
    assert_eq!(names.map(set), set_before);
}

#[test]
fn of_docker_library_whose_superuser_is_another() {
    let (builder, data, _) = docker_library("app");
    let mut instance = builder.start();
    instance.wait_log("ready after");
    let user = postgres_user();
    // A connection is answered; a session of the superuser is not to be had, and why is said.
    assert_eq!(ctl(&instance, user, "health --ready").code(), 0);
    let refused = ctl(&instance, user, "account list");
    assert_eq!(refused.code(), 1, "{refused:?}");
    assert!(refused.stderr.contains("role \"postgres\" does not exist"), "{refused:?}");
    // As it says, and the page.
    let query = "CREATE ROLE postgres SUPERUSER CREATEDB CREATEROLE REPLICATION BYPASSRLS LOGIN";
    assert!(refused.stderr.contains(query) && MOVING.contains(query), "{refused:?}");
    let port = instance.spec.port.number().to_string();
    let place = ["-X", "-U", "app", "-d", "postgres", "-h", data.to_str().unwrap(), "-p", &port, "-c", query];
    instance.pg("psql", place).success();
    is_operated(&instance, user);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn of_docker_library_with_a_locale_that_is_not_there() {
    let (builder, data, _) = docker_library("postgres");
    append(&data.join("postgresql.conf"), "lc_monetary = 'xx_XX.utf8'");
    let mut instance = builder.start();
    instance.wait_log("does not accept its configuration");
    assert!(instance.log().contains("xx_XX.utf8"), "{}", instance.log());
    instance.kill9();
}

#[test]
fn one_of_another_user_is_refused_with_both_ways_out() {
    let (builder, data, _) = docker_library("postgres");
    give(&data, Account { uid: 999, gid: 999 });
    let mut instance = builder.start();
    assert_eq!(instance.wait(), Exit::Code(78));
    let log = instance.log();
    assert!(log.contains("chown -R") && log.contains("--user 999:999"), "{log}");
}

/// The user of instance 1000: 1000 mod 10000 + 10000.
const OF_INSTANCE: Account = Account { uid: 11_000, gid: 11_000 };

/// What the predecessor's `setup_install_instance` leaves on a local disk of PostgreSQL.
fn predecessor() -> (Builder, PathBuf) {
    let builder = Instance::builder();
    let data = initdb(
        &builder,
        "data",
        &["--username=postgres", "--encoding=UTF8", "--no-locale", "--data-checksums"],
    );
    let port = builder.port.number();
    let conf = format!(
        "#\n#Tue Nov 24 08:15:30 2026\nlisten_addresses='127.0.0.1'\nunix_socket_directories='.'\nunix_socket_permissions=0700\n\
         port=3001\nmax_connections=100\nshared_buffers=16MB\nlogging_collector=on\nlog_directory='log'\n\
         log_filename='postgresql-%Y-%m-%d_%H%M%S.log'\nlog_line_prefix='%p\\=%u\\: '\npassword_encryption=md5\n\
         polar_vfs.logic_ins_id=1000\nhot_standby_feedback=on\nport={port}\n"
    );
    fs::write(data.join("postgresql.conf"), conf).unwrap();
    let hba = "local all all trust\nhost all postgres 0.0.0.0/0 reject\nlocal replication postgres trust\n\
               host replication postgres all reject\nhost replication all all md5\n";
    fs::write(data.join("pg_hba.conf"), hba).unwrap();
    let logs = builder.dir.folder("log/pg_log");
    fs::set_permissions(&logs, PermissionsExt::from_mode(0o775)).unwrap();
    fs::write(logs.join("postgresql-2026-11-24_081530.log"), "old\n").unwrap();
    symlink(&logs, data.join("log")).unwrap();
    for (name, text) in [
        ("ins_logic_id", "1000"),
        ("ins_install_step", "done"),
        ("ins_ctx", r#"{"storage_type": "local", "ins_logic_id": "1000"}"#),
    ] {
        fs::write(data.join(name), text).unwrap();
    }
    let builder = over(builder.account(OF_INSTANCE.uid, OF_INSTANCE.gid), &data);
    give(&data, OF_INSTANCE);
    give(&logs, OF_INSTANCE);
    (builder.set("program.engine.init", "wait"), data)
}

#[test]
fn of_the_predecessor() {
    let (builder, data) = predecessor();
    let logs = builder.dir.path("log/pg_log");
    let before = looks(&data);
    let ino = fs::metadata(&logs).unwrap().ino();
    let mut instance = builder.start();
    instance.wait_log("ready after");
    assert_eq!(looks(&data), before);
    // The folder of logs is where it was, under both names.
    assert!(fs::symlink_metadata(&logs).unwrap().is_dir());
    assert_eq!(fs::metadata(&logs).unwrap().ino(), ino);
    assert_eq!(fs::read_link(data.join("log")).unwrap(), logs);
    instance.until("a log file of the engine", |_| fs::read_dir(&logs).unwrap().count() >= 2);
    // What the predecessor's file says, its escapes and its last line of a name included.
    let show = |name: &str| {
        let text = ctl(&instance, OF_INSTANCE, &format!("params get {name} --output json")).success();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    };
    assert!(show("log_line_prefix").to_string().contains("%p=%u: "), "{}", show("log_line_prefix"));
    assert!(show("port").to_string().contains(&instance.spec.port.number().to_string()));
    is_operated(&instance, OF_INSTANCE);
    let conf = fs::read_to_string(data.join("postgresql.conf")).unwrap();
    assert!(conf.contains("log_line_prefix='%p\\=%u\\: '\n") && conf.contains("\n#\n#Tue"), "{conf}");
    // `pg` of the predecessor's shell goes by this line.
    assert!(conf.lines().any(|line| line == format!("port={}", instance.spec.port.number())), "{conf}");
    // A normal user comes in by the socket alone; over TCP there is no rule, as in the predecessor without the node's file.
    let refused = instance.tcp("postgres", "postgres", Some("x"), "select 1");
    assert!(refused.stderr.contains("pg_hba.conf rejects connection"), "{refused:?}");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    assert!(!instance.log().contains("NEW database"));
}

#[test]
fn of_the_predecessor_locked_by_hand() {
    let (builder, data) = predecessor();
    fs::write(data.join("ins_lock"), "").unwrap();
    chown(data.join("ins_lock"), Some(OF_INSTANCE.uid), Some(OF_INSTANCE.gid)).unwrap();
    let mut instance = builder.start();
    instance.wait_log("locked: ");
    assert!(!instance.engine_runs());
    fs::remove_file(data.join("ins_lock")).unwrap();
    instance.wait_log("ready after");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn of_the_predecessor_without_the_word_done() {
    let (builder, data) = predecessor();
    fs::remove_file(data.join("ins_install_step")).unwrap();
    let mut instance = builder.start();
    instance.wait_log("the installation is not done");
    assert!(!instance.engine_runs());
    fs::write(data.join("ins_install_step"), "done\n").unwrap();
    instance.wait_log("ready after");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn of_the_predecessor_before_its_installation_is_done() {
    let (builder, data) = predecessor();
    fs::remove_dir_all(&data).unwrap();
    builder.dir.folder("data");
    give(&data, OF_INSTANCE);
    let mut instance = builder.start();
    instance.wait_log("holds no database yet");
    assert!(!instance.engine_runs());
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    assert_eq!(fs::read_dir(&data).unwrap().count(), 0);
}

/// The user of polardb_pg_local_instance.
const OF_LOCAL_INSTANCE: Account = Account { uid: 1000, gid: 1000 };

#[test]
fn the_primary_of_a_local_instance() {
    let builder = Instance::builder();
    builder.dir.folder("polardb/shared_datadir");
    builder.dir.folder("polardb/replica_datadir1");
    let data = initdb(
        &builder,
        "polardb/primary_datadir",
        &["-k", "-A", "trust", "--wal-segsize=16", "-U", "postgres"],
    );
    let conf = format!("port = {}\nhuge_pages = off\nfull_page_writes = on\n", builder.port.number());
    append(&data.join("postgresql.conf"), &conf);
    append(&data.join("pg_hba.conf"), "host all all 0.0.0.0/0 md5");
    give(&builder.dir.path("polardb"), OF_LOCAL_INSTANCE);
    let before = looks(&data);
    let builder = over(builder.account(OF_LOCAL_INSTANCE.uid, OF_LOCAL_INSTANCE.gid), &data);
    let mut instance = builder.start();
    instance.wait_log("ready after");
    assert_eq!(looks(&data), before);
    is_operated(&instance, OF_LOCAL_INSTANCE);
    assert_eq!(instance.tcp("postgres", "postgres", None, "show wal_segment_size").success(), "16MB");
    // Its bash was killed at each docker stop; this is an ordered one.
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    assert!(instance.log().contains("engine: stopped"), "{}", instance.log());
}
