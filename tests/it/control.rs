//! The control socket: what it answers, and to whom.

use std::fs;
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};

use crate::common::{
    Account, Builder, Client, Exit, Instance, Process, SOON, Signal, as_user, eventually, finish,
    postgres_user,
};

/// Sidecars without an engine.
pub fn sidecars() -> Builder {
    Instance::builder()
        .unset("program.engine")
        .set("program.one.kind", "command")
        .set("program.one.command", vec!["sleep", "infinity"])
        .set("program.two.kind", "command")
        .set(
            "program.two.command",
            vec!["sh", "-c", "echo hello; echo 'w\\303\\266rld'; exec sleep infinity"],
        )
}

fn op(name: &str) -> Value {
    json!({"v": 1, "op": name})
}

fn of(name: &str, program: &str) -> Value {
    json!({"v": 1, "op": name, "program": program})
}

#[test]
fn status_of_an_engine() {
    let mut instance = Instance::builder().with_database().start();
    instance.ready();
    let status = instance.wait_state("engine", "running");
    let postmaster = instance.postmaster();
    assert_eq!(status["pid"], postmaster.inner);
    for (key, wanted) in [
        ("name", json!("engine")),
        ("kind", json!("postgres")),
        ("reason", Value::Null),
        ("ready", json!(true)),
        ("restarts", json!(0)),
        ("failures", json!(0)),
        ("adopted", json!(false)),
        ("lock", Value::Null),
        ("last_exit", Value::Null),
    ] {
        assert_eq!(status[key], wanted, "{key}: {status}");
    }
    assert!(status["since"].as_str().unwrap().ends_with('Z'), "{status}");
    assert!(status["start_seconds"].as_f64().unwrap() > 0.0, "{status}");
    assert!(status["downtime"]["starting"].as_f64().unwrap() > 0.0, "{status}");
    assert_eq!(status["engine"]["lock_file"], instance.lock().to_str().unwrap());
    assert_eq!(status["engine"]["user"], "postgres");

    postmaster.signal(Signal::SIGKILL);
    instance.until("another postmaster", |it| it.status("engine")["restarts"] == 1);
    let status = instance.wait_state("engine", "running");
    assert_eq!(status["last_exit"]["signal"], 9, "{status}");
    assert_eq!(status["last_exit"]["class"], "killed", "{status}");
    assert_eq!(status["ends"]["killed"], 1, "{status}");

    instance.touch_lock();
    let status = instance.wait_state("engine", "down");
    assert_eq!((&status["reason"], &status["ready"]), (&json!("locked"), &json!(false)));
    assert_eq!(status["lock"]["file"], instance.lock().to_str().unwrap());
    assert!(status["stop_seconds"].as_f64().unwrap() > 0.0, "{status}");
    assert!(status["downtime"]["locked"].is_number(), "{status}");
    let explanation = instance.control().ok(op("explain"))[0].take();
    let conditions = explanation["conditions"].as_array().unwrap();
    assert_eq!((&conditions[0]["name"], &conditions[0]["effect"]), (&json!("lock"), &json!("blocks")));
    assert!(explanation["summary"].as_str().unwrap().starts_with("engine is down: "), "{explanation}");
    assert!(conditions.iter().any(|it| it["name"] == "keeper" && it["effect"] == "allows"), "{explanation}");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn an_engine_is_stopped_started_and_restarted() {
    let mut instance = Instance::builder().with_database().start();
    instance.ready();
    let mut client = instance.control();
    let first = instance.postmaster();
    assert_eq!(client.ok(json!({"v": 1, "op": "stop", "mode": "immediate"})), Value::Null);
    let status = instance.wait_state("engine", "down");
    assert_eq!((&status["reason"], &status["pid"]), (&json!("stopped"), &Value::Null));
    assert_eq!(instance.cluster_state(), "in production", "it ended at once");
    assert_eq!(client.ok(op("start")), Value::Null);
    instance.ready();
    let second = instance.postmaster();
    assert_ne!(second.pid, first.pid);
    assert_eq!(client.ok(of("restart", "engine")), Value::Null);
    instance.until("a third postmaster", |it| {
        it.try_postmaster().is_some_and(|it| it.pid != first.pid && it.pid != second.pid)
    });
    instance.ready();
    let said: Vec<String> = instance
        .events()
        .iter()
        .filter(|record| record["event"] == "operator" && record["program"] == "engine")
        .map(|record| record["text"].as_str().unwrap().to_owned())
        .collect();
    for (said, word) in said.iter().zip(["stop, asked for by uid 0", "start, asked", "restart, asked"]) {
        assert!(said.starts_with(word), "{said} {word}");
    }
    assert_eq!(said.len(), 3);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn several_programs() {
    let mut instance = sidecars().start();
    instance.wait_state("one", "running");
    instance.wait_state("two", "running");
    let mut client = instance.control();
    let all = client.ok(op("status"));
    let names: Vec<&str> = all.as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["one", "two"]);
    assert_eq!(client.ok(of("status", "two")).as_array().unwrap().len(), 1);
    let (code, message) = client.refused(of("status", "thre"));
    assert_eq!(code, "unknown_program");
    assert!(message.contains("\"thre\"") && message.contains("one, two"), "{message}");
    let (code, message) = client.refused(op("restart"));
    assert_eq!(code, "unknown_program", "no engine is meant");
    assert!(message.contains("name a program: one, two"), "{message}");
    client.ok(of("stop", "one"));
    instance.wait_state("one", "down");
    assert_eq!(instance.status("two")["state"], "running");
    client.ok(of("start", "one"));
    instance.wait_state("one", "running");
    let supervisor = client.ok(op("supervisor"));
    assert_eq!((&supervisor["pid"], &supervisor["shutting_down"]), (&json!(1), &json!(false)));
    assert_eq!(supervisor["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(client.ok(op("explain")).as_array().unwrap().len(), 2);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn the_lines_of_a_program() {
    let mut instance = sidecars().start();
    let lines = |client: &mut Client, last: usize| -> Vec<String> {
        let lines = client.all(json!({"v": 1, "op": "logs", "program": "two", "last": last}));
        lines.iter().map(|line| line["text"].as_str().unwrap().to_owned()).collect()
    };
    let mut client = instance.control();
    instance.until("two lines", |_| lines(&mut client, 9) == ["hello", "wörld"]);
    assert_eq!(lines(&mut client, 1), ["wörld"]);
    let explanation = client.ok(of("explain", "two"))[0].take();
    assert_eq!(explanation["last_lines"], json!(["hello", "wörld"]));
    // One who follows hears of the next run, too.
    let mut follower = instance.control();
    let first = follower.ok(json!({"v": 1, "op": "logs", "program": "two", "last": 1, "follow": true}));
    assert_eq!(first["text"], "wörld");
    client.ok(of("restart", "two"));
    let next = follower.line().unwrap();
    assert_eq!(next["ok"]["text"], "hello");
    assert_eq!(next["ok"]["seq"], 3);
    assert_eq!(client.refused(of("logs", "three")).0, "unknown_program");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn reload_by_request() {
    let mut instance = sidecars().start();
    instance.wait_state("one", "running");
    let mut client = instance.control();
    let path = instance.path("supervisor.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}\nnonsense = 1\n")).unwrap();
    let (code, message) = client.refused(op("reload"));
    assert_eq!(code, "bad_configuration");
    assert!(message.contains("nonsense") && message.contains("nothing has changed"), "{message}");
    instance.wait_event("reload", "not reloaded");
    fs::write(
        &path,
        format!("{text}\n[program.three]\nkind = \"command\"\ncommand = [\"sleep\", \"infinity\"]\n"),
    )
    .unwrap();
    client.ok(op("reload"));
    instance.wait_state("three", "running");
    let record = instance.wait_event("reload", "three: added");
    assert!(record["text"].as_str().unwrap().contains("asked for by uid 0"), "{record}");
    fs::write(&path, text).unwrap();
    client.ok(op("reload"));
    instance.until("three to be gone", |it| {
        it.control().ok(op("status")).as_array().is_some_and(|all| all.len() == 2)
    });
    assert_eq!(client.refused(of("start", "three")).0, "unknown_program");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

/// What a client of another user gets: `python3` or anything else may be missing, so our own client in a process of its
/// own cannot be had; the kernel tells of the effective ids at the time of `connect`.
fn as_uid(account: Account, instance: &Instance, request: &Value) -> Result<Value, String> {
    let socket = instance.path("run/supervisor.sock");
    let mut perl = as_user(account, "perl");
    perl.args(["-MSocket", "-e"])
        .arg(
            "socket(my $s, PF_UNIX, SOCK_STREAM, 0) or die; connect($s, pack_sockaddr_un($ARGV[0])) or die \"connect: $!\\n\"; \
             syswrite($s, \"$ARGV[1]\\n\"); print scalar <$s>",
        )
        .arg(&socket)
        .arg(request.to_string());
    let done = finish(perl, SOON);
    if !done.status.success() {
        return Err(done.stderr);
    }
    Ok(serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {done:?}")))
}

#[test]
fn changes_are_for_root_and_the_engines_user() {
    let instance = Instance::builder().with_database().start();
    drop(instance.control());
    let postgres = postgres_user();
    let nobody = Account { uid: 65534, gid: 65534 };
    let in_group = Account { uid: 65534, gid: postgres.gid };
    assert_eq!(as_uid(postgres, &instance, &op("reload")).unwrap()["ok"]["said"], json!([]));
    assert!(as_uid(postgres, &instance, &op("reload")).unwrap().get("error").is_none());
    let refused = as_uid(nobody, &instance, &op("status")).unwrap_err();
    assert!(refused.contains("Permission denied"), "{refused}");
    let seen = as_uid(in_group, &instance, &op("status")).unwrap();
    assert_eq!(seen["ok"][0]["name"], "engine");
    for name in ["start", "stop", "restart", "reload"] {
        let answer = as_uid(in_group, &instance, &op(name)).unwrap();
        assert_eq!(answer["error"]["code"], "not_permitted", "{name}: {answer}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(
            message.contains("uid 65534") && message.contains(&format!("0, {}", postgres.uid)),
            "{message}"
        );
    }
    assert!(instance.events().iter().all(|record| record["event"] != "operator"));
}

#[test]
fn as_another_user_than_root_its_own_user_may_change() {
    let account = postgres_user();
    let instance = sidecars().account(account.uid, account.gid).start();
    drop(instance.control());
    assert_eq!(as_uid(account, &instance, &of("stop", "one")).unwrap()["ok"], Value::Null);
    eventually("one to be down", SOON, || {
        let answer = as_uid(account, &instance, &of("status", "one")).ok()?;
        (answer["ok"][0]["state"] == "down").then_some(())
    });
}

#[test]
fn while_it_ends_nothing_is_started() {
    let mut instance = sidecars()
        .set("program.one.command", vec!["sh", "-c", "trap '' TERM INT; while :; do sleep 0.1; done"])
        .set("program.one.stop_timeout", "30s")
        .start();
    instance.wait_state("one", "running");
    let mut client = instance.control();
    instance.signal(Signal::SIGTERM);
    instance.wait_event("supervisor", "asked to stop");
    for name in ["start", "restart"] {
        assert_eq!(client.refused(of(name, "two")).0, "shutting_down", "{name}");
    }
    assert_eq!(client.refused(op("reload")).0, "shutting_down");
    assert_eq!(client.ok(op("supervisor"))["shutting_down"], true);
    assert_eq!(client.ok(of("status", "one"))[0]["reason"], "shutdown");
    // What hurries is a signal, as ever.
    instance.signal(Signal::SIGQUIT);
    instance.signal(Signal::SIGTERM);
    instance.signal(Signal::SIGTERM);
    instance.wait();
}

#[test]
fn what_is_no_request_is_refused_and_the_connection_lives() {
    let mut instance = sidecars().start();
    let mut client = instance.control();
    let nested = format!("{{\"v\":1,\"op\":{}", "[".repeat(60_000));
    for line in [
        "",
        "garbage",
        "{}",
        r#"{"v":7,"op":"status"}"#,
        r#"{"v":1,"op":"destroy"}"#,
        r#"{"v":1,"op":"status","extra":1}"#,
        &nested,
    ] {
        client.send(format!("{line}\n")).unwrap();
        let answer = client.line().unwrap();
        assert_eq!(answer["error"]["code"], "bad_request", "{line}: {answer}");
    }
    client.send(b"{\"v\":1,\"op\":\"status\",\"program\":\"\xff\xfe\"}\n").unwrap();
    assert_eq!(client.line().unwrap()["error"]["code"], "bad_request");
    assert_eq!(client.ok(op("status")).as_array().unwrap().len(), 2);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn a_stopped_process_is_explained() {
    let mut instance = sidecars().start();
    instance.wait_state("one", "running");
    let inner = instance.status("one")["pid"].as_i64().unwrap();
    let process: Process =
        instance.processes().into_iter().find(|process| i64::from(process.inner) == inner).unwrap();
    process.signal(Signal::SIGSTOP);
    instance.until("the explanation", |it| {
        let explanation = it.control().ok(of("explain", "one"))[0].take();
        explanation["summary"].as_str().unwrap().contains(&format!("kill -CONT {inner}"))
    });
    process.signal(Signal::SIGCONT);
    instance.until("no word of it", |it| {
        let explanation = it.control().ok(of("explain", "one"))[0].take();
        !explanation.to_string().contains("SIGSTOP")
    });
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn one_who_hangs_up_early_harms_nobody() {
    let mut instance = sidecars().start();
    drop(instance.control());
    let path = instance.path("run/supervisor.sock");
    for round in 0..500 {
        let mut client = Client::over(UnixStream::connect(&path).unwrap());
        match round % 3 {
            0 => {}
            1 => client.send(b"{\"v\":1,\"op\":\"sta").unwrap(),
            _ => client.send(b"{\"v\":1,\"op\":\"status\"}\n").unwrap(),
        }
    }
    assert_eq!(instance.control().ok(op("status")).as_array().unwrap().len(), 2);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}
