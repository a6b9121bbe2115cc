//! The manager's container: PID 1 with the very file of its image, beside an engine's container whose data it has.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::common::{Account, Done, Exit, Instance, SOON, Signal, finish, polarctl, postgres_user, until};

/// The file of the image's PID 1.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/rootfs/manager/etc/polardb/manager.toml");
/// The file that `polarctl` reads there: the engine image's, which the manager image is built on.
const ENGINES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/rootfs/engine/etc/polardb/supervisor.toml");

/// The manager's container, with this data volume; as root, or as the engine's user.
fn manager(data: Option<&Path>, user: Option<Account>) -> Instance {
    let mut builder = Instance::builder().without_config().args(["--config", FILE]);
    let (run, log) = (builder.dir.path("run"), builder.dir.path("log"));
    builder = builder.env("POLAR_SUPERVISOR_RUN_DIR", run).env("POLAR_SUPERVISOR_LOG_DIR", log);
    if let Some(user) = user {
        builder = builder.account(user.uid, user.gid);
    }
    let data = data.map_or_else(|| builder.dir.path("data"), Path::to_path_buf);
    let mut manager = builder.env("PGDATA", data).start();
    manager.wait_log("programs: none");
    manager
}

/// `docker exec` in it, with the environment of its PID 1 but for what says where a supervisor's folder is: there the files
/// say so.
fn exec(manager: &Instance, user: Option<Account>, run_dir: &str, words: &[&str]) -> Done {
    let mut command = Command::new("nsenter");
    let environment = std::fs::read(format!("/proc/{}/environ", manager.pid1())).unwrap();
    let environment = String::from_utf8(environment).unwrap();
    command.env_clear().envs(environment.split('\0').filter_map(|pair| pair.split_once('=')));
    command.env("POLAR_SUPERVISOR_RUN_DIR", manager.path(run_dir));
    command.args(["-t", &manager.pid1().to_string(), "-p", "-m", "-i", "--wdns=/", "--"]);
    if let Some(user) = user {
        command.args(["setpriv", &format!("--reuid={}", user.uid), &format!("--regid={}", user.gid)]);
        command.args(["--clear-groups", "--"]);
    }
    finish(
        {
            command.args(words).stdin(Stdio::null());
            command
        },
        SOON,
    )
}

fn ctl(manager: &Instance, user: Option<Account>, line: &str) -> Done {
    let mut words = vec![polarctl().to_str().unwrap(), "--config", ENGINES];
    words.extend(line.split_whitespace());
    exec(manager, user, "run-of-the-engine", &words)
}

/// The same, of PID 1 itself.
fn ctl_of_pid_1(manager: &Instance, user: Option<Account>, line: &str) -> Done {
    let mut words = vec![polarctl().to_str().unwrap(), "--config", FILE];
    words.extend(line.split_whitespace());
    exec(manager, user, "run", &words)
}

fn json(manager: &Instance, user: Option<Account>, line: &str) -> Value {
    serde_json::from_str(&ctl(manager, user, &format!("{line} --output json")).success()).unwrap()
}

#[test]
fn it_waits_reaps_and_ends_as_root_and_as_the_engines_user() {
    for user in [None, Some(postgres_user())] {
        let mut manager = manager(None, user);
        assert_eq!(manager.init().uid, user.map_or(0, |user| user.uid));
        exec(&manager, user, "run", &["sh", "-c", "for n in 1 2 3; do sleep 0.$n & done"]).success();
        manager.until("what was left behind to be reaped", |it| it.processes().len() == 1);
        let socket = manager.path("run/supervisor.sock");
        let by_socket = format!("--socket {} status", socket.display());
        assert_eq!(json(&manager, user, &by_socket), serde_json::json!([]));
        assert_eq!(ctl_of_pid_1(&manager, user, "health --live").code(), 0, "for HEALTHCHECK");
        assert!(!manager.log().contains("WARN"), "{}", manager.log());
        assert_eq!(manager.stop(Signal::SIGTERM), Exit::Code(0));
    }
}

/// An engine's container, whose data the manager's has and whose processes it does not see.
fn beside_an_engine(of_pid1: Option<Account>, who: Option<Account>) {
    let mut engine = Instance::builder().unset("program.engine.lock_file").with_database().start();
    engine.ready();
    let data = engine.path("data");
    let mut manager = manager(Some(&data), of_pid1);
    let done = |line: &str| json(&manager, who, line);
    assert_eq!(done("health")["engines"][0]["ready"], true);
    let port = engine.spec.port.number().to_string();
    assert!(ctl(&manager, who, "params get port").success().contains(&port));
    assert!(ctl(&manager, who, "account list").success().contains("postgres"));
    assert_eq!(done("lock --reason move")["state"], "down");
    assert!(data.join("ins_lock").exists());
    until("the engine's end", SOON, || !engine.engine_runs());
    assert_eq!(ctl(&manager, who, "health").code(), 3);
    assert_eq!(done("unlock")["state"], "running");
    // The engine's supervisor has its lock, wherever it runs: nothing is started here.
    let before = engine.postmaster().pid;
    assert_eq!(done("restart")["state"], "running");
    assert_ne!(engine.postmaster().pid, before);
    assert_eq!(
        (done("stop")["state"].clone(), done("start")["state"].clone()),
        ("down".into(), "running".into())
    );
    assert_eq!(engine.sql("select 1"), "1");
    manager.until("nothing of it in the manager's container", |it| it.processes().len() == 1);
    let log = std::fs::read_to_string(manager.path("log/manager.log")).unwrap();
    assert!(log.contains(" - restart - done") && log.contains(" - lock --kind maintenance - done"), "{log}");
    assert_eq!(manager.stop(Signal::SIGTERM), Exit::Code(0));
    assert_eq!(engine.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn the_engines_user_manages_it_where_pid_1_is_root() {
    beside_an_engine(None, Some(postgres_user()));
}

#[test]
fn the_engines_user_manages_it_where_pid_1_is_the_same() {
    let user = Some(postgres_user());
    beside_an_engine(user, user);
}

#[test]
fn root_manages_it() {
    beside_an_engine(None, None);
}

#[test]
fn the_file_of_the_engines_image_is_one_engine_that_listens_at_its_defaults() {
    let check = |arguments: &[&str]| {
        let mut command = Command::new(crate::common::SUPERVISOR);
        command.env_clear().args(arguments).stdin(Stdio::null());
        finish(command, SOON).success()
    };
    let dir = crate::common::TestDir::new();
    let listens =
        "[program.engine]\nkind = \"postgres\"\n[program.engine.parameters]\nlisten_addresses = \"*\"\n";
    let listens = dir.file("listens.toml", listens, 0o644);
    assert_eq!(
        check(&["--config", ENGINES, "check"]),
        check(&["--config", listens.to_str().unwrap(), "check"])
    );
}
