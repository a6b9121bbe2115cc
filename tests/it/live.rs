//! `live`: who still runs and does not answer is ended and started again. T06.

use std::fs;
use std::time::{Duration, Instant};

use crate::common::{Exit, Instance, Process, Signal, condition};

#[test]
fn a_command_that_fails_its_checks_is_started_again() {
    let mut instance = Instance::builder()
        .without("engine")
        .command(
            "sick",
            "exec sleep 3000",
            "live = { exec = [\"test\", \"!\", \"-e\", \"$DIR/run/sick\"], period = \"100ms\", failures = 3 }",
        )
        .start();
    let before = instance.find("sleep 3000");
    fs::write(instance.path("run/sick"), "").unwrap();
    instance.wait_log("its live check has failed, 1 of 3: test: exit status 1");
    instance.until("another one", |it| it.process("sleep 3000").is_some_and(|it| it.pid != before.pid));
    fs::remove_file(instance.path("run/sick")).unwrap();
    let said = instance.said_of("sick").join("\n");
    assert!(said.contains("failed, 3 of 3") && said.contains("failed its checks"), "{said}");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn a_check_that_passes_again_in_time_forgives() {
    let mut instance = Instance::builder()
        .without("engine")
        .command(
            "shaky",
            "exec sleep 3001",
            "live = { exec = [\"sh\", \"-c\", \"! rm $DIR/run/sick\"], period = \"100ms\", failures = 2 }",
        )
        .start();
    let before = instance.find("sleep 3001");
    for round in 1..=3 {
        fs::write(instance.path("run/sick"), "").unwrap();
        instance.wait_log_count("failed, 1 of 2", round);
        instance.wait_log_count("its live check passes again", round);
    }
    assert_eq!(instance.find("sleep 3001").pid, before.pid);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn a_port_that_answers_nobody() {
    let builder = Instance::builder().without("engine");
    let address = format!("127.0.0.1:{}", builder.port.number());
    let listener = std::net::TcpListener::bind(&address).unwrap();
    let keys = format!("live = {{ tcp = \"{address}\", period = \"100ms\", failures = 2 }}");
    let mut instance = builder.command("server", "exec sleep 3002", &keys).start();
    let before = instance.find("sleep 3002");
    drop(listener);
    instance.until("another one", |it| it.process("sleep 3002").is_some_and(|it| it.pid != before.pid));
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn what_the_checks_find_is_explained() {
    let live = "live = { exec = [\"false\"], period = \"100ms\", failures = ";
    let mut instance = Instance::builder()
        .without("engine")
        .command("never", "exec sleep 3003", "ready = { exec = [\"false\"], timeout = \"10m\" }")
        .command("late", "exec sleep 3004", "ready = { exec = [\"false\"], timeout = \"100ms\" }")
        .command("frail", "exec sleep 3005", &format!("{live}1000000 }}"))
        .command("sick", "exec sleep 3006", &format!("{live}2 }}"))
        .command("well", "exec sleep 3007", "live = { exec = [\"true\"], period = \"100ms\" }")
        .program("gone", "kind = \"command\"\ncommand = [\"/nowhere/at-all\"]")
        .start();
    instance.control();
    for (program, name, effect, texts) in [
        (
            "never",
            "readiness",
            "warns",
            ["it is ready once `false` ends with status 0", "so far: false: exit status 1"],
        ),
        ("late", "last_exit", "warns", ["not_ready", "false: exit status 1"]),
        (
            "frail",
            "live",
            "warns",
            ["whether `false` ends with status 0", "of 1000000: false: exit status 1"],
        ),
        ("sick", "last_exit", "warns", ["unwell", "false: exit status 1"]),
        ("well", "live", "allows", ["each 0.1 s it is looked whether", "`true` ends with status 0"]),
        (
            "gone",
            "last_exit",
            "warns",
            ["cannot run /nowhere/at-all: No such file", "correct the key command"],
        ),
    ] {
        instance.until(&format!("{program}: {name}: {texts:?}"), |it| {
            let explained = it.ctl_json(&format!("explain {program}"));
            explained["conditions"].as_array().unwrap().iter().any(|condition| {
                let text = condition["text"].as_str().unwrap();
                condition["name"] == name
                    && condition["effect"] == effect
                    && texts.iter().all(|part| text.contains(part))
            })
        });
    }
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

const LIVE: &str = "program.engine.live";

#[test]
fn t06_a_stopped_postmaster_is_ended_by_the_ladder_and_comes_back() {
    let mut instance = Instance::builder()
        .with_database()
        .set(&format!("{LIVE}.engine"), true)
        .set(&format!("{LIVE}.period"), "200ms")
        .set(&format!("{LIVE}.timeout"), "2s")
        .set(&format!("{LIVE}.failures"), 2)
        .set("program.engine.stop_timeout", "4s")
        .start();
    instance.ready();
    instance.wait_log("ready after");
    let before = instance.postmaster();
    let backend = instance.session("select pg_sleep(1000)").backend.clone();
    let begin = Instant::now();
    before.signal(Signal::SIGSTOP);
    instance.wait_log("its live check has failed, 2 of 2");
    instance.until("another postmaster", |it| it.try_postmaster().is_some_and(|it| it.pid != before.pid));
    instance.ready();
    assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
    let log = instance.log();
    assert!(log.contains("going on to an immediate stop") && log.contains("killing its processes"), "{log}");
    assert!(!Process::lives(before.pid) && !Process::lives(backend.pid));
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn t06_without_live_checks_nothing_is_done() {
    let mut instance = Instance::builder().with_database().start();
    instance.ready();
    instance.wait_log("ready after");
    let before = instance.postmaster();
    before.signal(Signal::SIGSTOP);
    // What the supervisor does otherwise it does: it answers, and does nothing to the engine.
    for round in 1..=20 {
        instance.signal(Signal::SIGUSR1);
        instance.wait_log_count("running for", round);
    }
    assert_eq!(Process::read(before.pid).map(|it| it.state), Some('T'));
    let explained = instance.ctl_json("explain engine");
    let process = condition(&explained, "process");
    assert_eq!(process["effect"], "warns", "{explained}");
    let remedy =
        format!("is stopped by a signal (SIGSTOP): it answers nobody; to go on: kill -CONT {}", before.inner);
    assert!(process["text"].as_str().unwrap().contains(&remedy), "{explained}");
    before.signal(Signal::SIGCONT);
    instance.ready();
    assert_eq!(instance.postmaster().pid, before.pid);
    assert!(!instance.log().contains("live check"));
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn a_server_that_refuses_everybody_lives() {
    let mut instance = Instance::builder()
        .with_database()
        .conf("max_connections = 4\nsuperuser_reserved_connections = 0\nmax_wal_senders = 0")
        .set(&format!("{LIVE}.engine"), true)
        .set(&format!("{LIVE}.period"), "100ms")
        .set(&format!("{LIVE}.failures"), 1)
        .set(&format!("{LIVE}.timeout"), "20s")
        .set("supervisor.log_level", "debug")
        .start();
    instance.ready();
    instance.wait_log("ready after");
    let before = instance.postmaster();
    let sessions: Vec<_> = (0..4).map(|_| instance.session("select pg_sleep(1000)")).collect();
    instance.until("a refusal", |it| it.try_sql("select 1").is_err());
    // A single failure would end it.
    let passed = instance.log().matches("its live check has passed").count();
    instance.wait_log_count("its live check has passed", passed + 10);
    drop(sessions);
    assert_eq!(instance.postmaster().pid, before.pid);
    assert!(!instance.log().contains("live check has failed"), "{}", instance.log());
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn a_command_that_says_ready_again_and_again_is_looked_after_nevertheless() {
    let line = "exec perl -MSocket -e 'socket(my $s, AF_UNIX, SOCK_DGRAM, 0); my $n = $ENV{NOTIFY_SOCKET}; $n =~ s/^@/\\0/; \
                while (1) { send($s, \"READY=1\", 0, pack(\"S a*\", AF_UNIX, $n)); select(undef, undef, undef, 0.05) }'";
    let keys = "ready = { notify = \"sd\" }\n\
                live = { exec = [\"false\"], period = \"300ms\", failures = 1 }";
    let mut instance = Instance::builder().without("engine").command("eager", line, keys).start();
    instance.wait_log("its live check has failed, 1 of 1");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}
