//! `polarctl` at a real PID 1 over a real PostgreSQL.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use crate::common::{
    Account, Ended, Exit, Instance, SOON, Signal, condition, eventually, finish, polarctl, postgres_user,
    until,
};

fn running() -> Instance {
    let mut instance = Instance::builder().with_database().start();
    instance.ready();
    instance
}

#[test]
fn what_an_operator_sees_of_a_running_engine() {
    // A first boot of ours: the socket knows who root is.
    let mut instance = Instance::builder().start();
    instance.ready();
    until("it is ready", SOON, || instance.ctl("health").code() == 0);
    let status = instance.ctl_json("status engine");
    assert_eq!(
        (&status["state"], status["pid"].as_i64()),
        (&"running".into(), Some(instance.postmaster().inner.into()))
    );
    let table = instance.ctl("status").success();
    assert!(table.contains("engine") && table.contains("running"), "{table}");
    let all = instance.ctl_json("status");
    assert_eq!(all[0]["name"], "engine");

    let explained = instance.ctl_json("explain engine");
    for name in ["ownership", "version", "slots", "transactions", "prepared", "keeper"] {
        assert_eq!(condition(&explained, name)["effect"], "allows", "{name}: {explained}");
    }
    instance.sql("select pg_create_physical_replication_slot('left_behind', true)");
    let slots = condition(&instance.ctl_json("explain engine"), "slots");
    assert_eq!(slots["effect"], "warns");
    assert!(slots["text"].as_str().unwrap().contains("left_behind"), "{slots}");
    let text = instance.ctl("explain").success();
    assert!(text.starts_with("engine is running") && text.contains("\n  warns    slots"), "{text}");

    let events = instance.ctl("events").success();
    assert!(events.contains("starting") && events.contains("  engine  "), "{events}");
    instance.sql("do $$ begin raise log 'a line of the engine'; end $$");
    until("the line", SOON, || instance.ctl("logs").success().contains("a line of the engine"));
    assert_eq!(instance.ctl_as(postgres_user(), "health --live").code(), 0);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    let gone = instance.ctl("status");
    assert_eq!(gone.code(), 4, "{gone:?}");
}

#[test]
fn stop_start_and_restart_wait_until_it_is_so() {
    let instance = running();
    let first = instance.postmaster();
    assert!(instance.ctl("stop").success().contains("stopped"));
    assert!(!instance.engine_runs());
    assert_eq!(instance.control_state(), "shut down");
    let health = instance.ctl("health");
    assert_eq!(health.code(), 3, "{health:?}");
    assert_eq!(instance.ctl("health --live").code(), 0);
    let started = instance.ctl_json("start engine");
    assert_eq!(started["state"], "running");
    assert_eq!(instance.sql("select 1"), "1");
    let second = instance.postmaster();
    assert_ne!(second.pid, first.pid);
    let restarted = instance.ctl_json("restart engine --mode immediate");
    assert_eq!(restarted["state"], "running");
    assert_eq!(instance.sql("select 1"), "1");
    assert_ne!(instance.postmaster().pid, second.pid);
    let events = instance.ctl("events").success();
    assert!(events.contains("restart"), "{events}");
}

#[test]
fn a_stop_that_takes_longer_than_one_waits() {
    let mut instance = running();
    let checkpointer = instance.engine_process("checkpointer");
    checkpointer.signal(Signal::SIGSTOP);
    let stopped = instance.ctl("stop --timeout 500ms");
    assert_eq!(stopped.code(), 5, "{stopped:?}");
    assert!(stopped.stderr.contains("engine is stopping"), "{stopped:?}");
    checkpointer.signal(Signal::SIGCONT);
    assert!(instance.ctl("stop").success().contains("stopped"));
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn a_postmaster_that_answers_nobody_is_live_and_not_ready() {
    let instance = running();
    let postmaster = instance.postmaster();
    until("it is ready", SOON, || instance.ctl("health").code() == 0);
    postmaster.signal(Signal::SIGSTOP);
    let health = instance.ctl("health");
    assert_eq!(health.code(), 3, "{health:?}");
    assert!(health.stdout.contains("not ready: "), "{health:?}");
    assert_eq!(instance.ctl("health --live").code(), 0);
    // What cannot be asked is said, and holds nobody up.
    let explained = instance.ctl_json("explain engine");
    assert_eq!(condition(&explained, "sql")["effect"], "unknown", "{explained}");
    postmaster.signal(Signal::SIGCONT);
    until("it is ready again", SOON, || instance.ctl("health").code() == 0);
}

#[test]
fn reload_tells_the_mistakes_and_changes_nothing() {
    let instance = running();
    let postmaster = instance.postmaster().pid;
    instance.ctl("reload").success();
    let file = instance.path("supervisor.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    // polarctl finds the socket by a file of its own.
    std::fs::write(instance.path("good.toml"), &good).unwrap();
    std::fs::write(&file, format!("{good}\n[program.other]\nkind = \"comand\"\n")).unwrap();
    let mut reload = std::process::Command::new(polarctl());
    reload.env_clear().arg("reload").arg("--config").arg(instance.path("good.toml"));
    let reloaded = finish(reload, SOON);
    assert_eq!(reloaded.code(), 1, "{reloaded:?}");
    assert!(reloaded.stderr.contains("comand") && reloaded.stderr.contains("command"), "{reloaded:?}");
    assert_eq!(instance.postmaster().pid, postmaster);
}

#[test]
fn lock_and_unlock_wait_until_it_is_so() {
    let instance = running();
    let first = instance.postmaster();
    let locked = instance.ctl_json("lock engine --reason disk");
    assert_eq!((&locked["state"], &locked["reason"]), (&"down".into(), &"locked".into()));
    let words = &locked["lock"];
    assert_eq!(
        (&words["kind"], &words["owner"], &words["reason"]),
        (&"maintenance".into(), &"root".into(), &"disk".into())
    );
    assert!(!instance.engine_runs() && instance.is_locked());
    assert_eq!(instance.ctl("health").code(), 3);
    assert_eq!(instance.ctl("health --live").code(), 0);
    let text = instance.ctl("explain").success();
    let lock = text.lines().nth(1).unwrap();
    assert!(
        lock.starts_with("  blocks   lock") && lock.contains("by root") && lock.contains("disk"),
        "{text}"
    );
    let started = instance.ctl("start");
    assert_eq!(started.code(), 1, "{started:?}");
    assert!(started.stderr.contains("polarctl unlock"), "{started:?}");
    assert_eq!(instance.ctl("unlock --kind expired").code(), 1);
    assert!(instance.is_locked());
    assert_eq!(instance.ctl_json("unlock engine")["state"], "running");
    assert!(!instance.is_locked());
    assert_eq!(instance.sql("select 1"), "1");
    assert_ne!(instance.postmaster().pid, first.pid);

    instance.set_lock();
    until("it is down", SOON, || !instance.engine_runs());
    assert_eq!(instance.ctl("unlock").code(), 1, "one that was touched is somebody else's");
    assert_eq!(instance.ctl_json("unlock engine --force")["state"], "running");
}

#[test]
fn others_may_not_even_ask() {
    let instance = running();
    let nobody = Account { uid: 65_534, gid: 65_534 };
    for line in ["status", "stop"] {
        let done = instance.ctl_as(nobody, line);
        assert_eq!(done.code(), 77, "{line}: {done:?}");
    }
    assert_eq!(instance.ctl_as(nobody, "lock").code(), 77);
    assert!(!instance.is_locked());
    // The engine's user may change things.
    assert!(instance.ctl_as(postgres_user(), "restart").success().contains("running"));
}

#[test]
fn logs_are_followed_over_their_rotation() {
    let instance = running();
    instance.sql("alter system set log_rotation_size = 0");
    let mut child = Ended(instance.ctl_follow("logs --follow -n 0"));
    let output = BufReader::new(child.0.stdout.take().unwrap());
    let (tell, told) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            // The test has seen enough.
            if tell.send(line).is_err() {
                return;
            }
        }
    });
    let said = |text: &str| {
        // Said until it is read: following may begin after the first time.
        until(text, SOON, || {
            instance.sql(&format!("do $$ begin raise log '{text}'; end $$"));
            told.recv_timeout(Duration::from_millis(300)).is_ok_and(|line| line.contains(text))
        });
    };
    let files = || std::fs::read_dir(instance.path("data/pg_log")).unwrap().count();
    said("before");
    let before = files();
    // The file's name has seconds in it.
    eventually("another file", SOON, || {
        instance.sql("select pg_rotate_logfile()");
        (files() > before).then_some(())
    });
    said("after");
    drop(child);
    reader.join().unwrap();
}

#[test]
fn reload_and_start_wait_for_what_they_touch() {
    let slow = "trap 'sleep 0.5; exit 0' TERM; while :; do sleep 0.05; done";
    let instance = Instance::builder()
        .without("engine")
        .command("task", slow, "environment = { KEY = \"one\" }")
        .command("looper", "exit 4", "[restart]\ngive_up_after = 0")
        .start();
    until("both have been started", SOON, || {
        let state = |name: &str| instance.ctl(&format!("status {name} --output json"));
        state("task").stdout.contains("\"running\"") && state("looper").stdout.contains("\"backoff\"")
    });
    let before = instance.ctl_json("status task")["pid"].clone();
    let instance =
        instance.configure(|builder| builder.command("task", slow, "environment = { KEY = \"two\" }"));
    let reloaded = instance.ctl_json("reload");
    assert_eq!(reloaded["reloaded"]["restarted"], serde_json::json!(["task"]), "{reloaded}");
    let task = instance.ctl_json("status task");
    assert!(task["pid"].is_i64() && task["pid"] != before && task["ready"] == true, "{task} {before}");
    // What it does not touch may be as it is; of what comes, it is said.
    let instance = instance.configure(|builder| builder.command("dead", "echo no queue; exit 3", ""));
    for verb in ["reload", "start dead", "restart dead"] {
        let ran = instance.ctl(verb);
        assert_eq!(ran.code(), 1, "{verb}: {ran:?}");
        assert!(ran.stderr.contains("exit 3 (failure"), "{verb}: {ran:?}");
        assert!(ran.stderr.contains("its last line: no queue"), "{verb}: {ran:?}");
    }
    let instance = instance.configure(|builder| builder.without("dead").without("task"));
    let text = instance.ctl("reload").success();
    assert!(text.contains("task: removed") && text.contains("looper"), "{text}");
    assert_eq!(instance.ctl("status task").code(), 1);
}
