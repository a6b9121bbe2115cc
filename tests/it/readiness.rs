//! When a command counts as ready, and what follows when it never does.

use std::fs;
use std::time::{Duration, Instant};

use crate::common::{Builder, Exit, Instance, Process, Signal, eventually};

fn alone() -> Builder {
    Instance::builder().without("engine")
}

fn assert_stops(instance: &mut Instance) {
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0), "{}", instance.log());
}

/// One that is to be ready, and one that waits for it.
fn two(builder: Builder, line: &str, keys: &str) -> Instance {
    builder.command("first", line, keys).command("second", "exec sleep 2000", "after = [\"first\"]").start()
}

/// The second one has not been started, and is held by the first.
fn assert_waits(instance: &mut Instance) {
    instance.until("the word whom it waits for", |it| {
        it.signal(Signal::SIGUSR1);
        it.said_of("second").iter().any(|line| {
            line.contains("down (dependency)") && line.contains("waits for first, which is starting")
        })
    });
    assert!(instance.process("sleep 2000").is_none(), "{}", instance.log());
}

#[test]
fn a_check_that_is_a_command_is_repeated_until_it_passes() {
    let keys = "ready = { exec = [\"test\", \"-e\", \"$DIR/run/go\"] }\nuser = \"postgres\"";
    let mut instance = two(alone(), "exec sleep 2001", keys);
    instance.wait_log("not ready yet: test: exit status 1");
    assert_waits(&mut instance);
    fs::write(instance.path("run/go"), "").unwrap();
    instance.find("sleep 2000");
    let log = instance.log();
    assert_eq!(log.matches("not ready yet").count(), 1, "each reason is said once: {log}");
    assert!(instance.zombies().is_empty());
    assert_stops(&mut instance);
}

#[test]
fn a_check_runs_as_the_programs_user_and_its_output_goes_nowhere() {
    let keys = "user = \"postgres\"\nenvironment = { KEY = \"value\" }\nworking_dir = \"$DIR/run\"\n\
                ready = { exec = [\"sh\", \"-c\", \"echo noise; echo $(id -un) $KEY $(pwd) > told\"] }";
    let mut instance = alone().command("first", "exec sleep 2002", keys).start();
    instance.wait_log("ready after");
    let told = fs::read_to_string(instance.path("run/told")).unwrap();
    assert_eq!(told.trim(), format!("postgres value {}", instance.path("run").display()));
    assert!(!instance.log().contains("noise"), "{}", instance.log());
    assert_stops(&mut instance);
}

#[test]
fn a_check_that_hangs_is_the_only_one_and_ends_with_its_program() {
    let keys = "ready = { exec = [\"sh\", \"-c\", \"echo x >> $DIR/run/checks; sleep 2003; true\"], timeout = \"2s\" }\n\
                [restart]\ngive_up_after = 1";
    let mut instance = alone().command("first", "exec sleep 2004", keys).start();
    instance.find("sleep 2003");
    instance.wait_log("gave up: ");
    assert_eq!(fs::read_to_string(instance.path("run/checks")).unwrap(), "x\n");
    instance.until("the end of the check and what it had started", |it| {
        it.process("sleep 2003").is_none() && it.process("sleep 2004").is_none()
    });
    assert!(instance.zombies().is_empty());
    assert_stops(&mut instance);
}

#[test]
fn a_connection_that_is_accepted() {
    let builder = alone();
    let address = format!("127.0.0.1:{}", builder.port.number());
    let mut instance = two(builder, "exec sleep 2005", &format!("ready = {{ tcp = \"{address}\" }}"));
    instance.wait_log("not ready yet: no connection to");
    assert_waits(&mut instance);
    let listener = std::net::TcpListener::bind(&address).unwrap();
    instance.find("sleep 2000");
    drop(listener);
    assert_stops(&mut instance);
}

/// Says READY=1 in systemd's way once `go` is there, as a child of the program, after words that mean nothing.
const NOTIFIES: &str = "until [ -e $DIR/run/go ]; do sleep 0.02; done; perl -MSocket -e '\
    socket(my $s, AF_UNIX, SOCK_DGRAM, 0); my $n = $ENV{NOTIFY_SOCKET}; $n =~ s/^@/\\0/; \
    for (\"STATUS=warming up\", \"RELOADING=1\\nREADY=0\", \"READY=1\\nSTATUS=there\") { \
    send($s, $_, 0, pack(\"S a*\", AF_UNIX, $n)) or die \"send: $!\" }' || exit 9; exec sleep 2006";

#[test]
fn a_program_that_tells_systemd_so() {
    let builder = alone();
    let dir = builder.dir.path("").display().to_string();
    let line = NOTIFIES.replace("$DIR", dir.trim_end_matches('/'));
    let mut instance = two(builder, &line, "user = \"postgres\"\nready = { notify = \"sd\" }");
    instance.wait_log("started, process");
    assert_waits(&mut instance);
    fs::write(instance.path("run/go"), "").unwrap();
    instance.find("sleep 2000");
    assert_stops(&mut instance);
}

#[test]
fn nobody_else_may_say_that_it_is_ready() {
    let mut instance = two(alone(), "exec sleep 2007", "user = \"postgres\"\nready = { notify = \"sd\" }");
    let process = instance.find("sleep 2007");
    let socket = process.environment()["NOTIFY_SOCKET"].clone();
    assert!(socket.starts_with('@'), "{socket}");
    let send = format!(
        "socket(my $s, AF_UNIX, SOCK_DGRAM, 0); send($s, 'READY=1', 0, pack('S a*', AF_UNIX, chr(0) . '{}')) or die $!;",
        &socket[1..]
    );
    // Another user, who is gone when it is looked at; and one of the same user who lives, in no tree of the program's.
    let mut perl = std::process::Command::new("nsenter");
    perl.args(["-t", &instance.pid1().to_string(), "-p", "-m", "perl", "-MSocket", "-e", &send]);
    crate::common::finish(perl, crate::common::SOON).success();
    assert_waits(&mut instance);
    let stays = format!("{send} open(my $f, '>', '{}'); sleep 1", instance.path("run/sent").display());
    instance.enter("perl", ["-MSocket", "-e", &stays]).success();
    assert!(instance.path("run/sent").exists());
    assert_waits(&mut instance);
    assert_stops(&mut instance);
}

#[test]
fn a_line_on_a_descriptor_and_its_end_after_a_byte() {
    for (line, waits) in [
        ("until [ -e $DIR/run/go ]; do sleep 0.02; done; echo ready >&7; exec sleep 2008", true),
        ("printf x >&7; exec 7>&-; exec sleep 2008", false),
    ] {
        let builder = alone();
        let dir = builder.dir.path("").display().to_string();
        let line = line.replace("$DIR", dir.trim_end_matches('/'));
        let mut instance = two(builder, &line, "ready = { notify = 7 }");
        if waits {
            instance.wait_log("started, process");
            assert_waits(&mut instance);
            fs::write(instance.path("run/go"), "").unwrap();
        }
        instance.find("sleep 2000");
        assert_stops(&mut instance);
    }
}

#[test]
fn a_descriptor_that_is_closed_without_a_word_is_no_readiness() {
    let keys = "ready = { notify = 7, timeout = \"1s\" }\n[restart]\ngive_up_after = 1";
    let mut instance = two(alone(), "exec 7>&-; exec sleep 2009", keys);
    instance.wait_log("gave up: ");
    assert!(instance.log().contains("not ready after 1."), "{}", instance.log());
    assert_stops(&mut instance);
}

#[test]
fn one_that_never_gets_ready_fails_each_time_and_whoever_needs_it_waits() {
    let keys = "ready = { exec = [\"false\"], timeout = \"500ms\" }\n[restart]\ngive_up_after = 2";
    let mut instance = alone()
        .command("first", "exec sleep 2010", keys)
        .command("second", "exec sleep 2000", "requires = [\"first\"]")
        .command("third", "exec sleep 2011", "")
        .start();
    let begin = Instant::now();
    let third = instance.find("sleep 2011");
    instance.until("the word whom it waits for", |it| {
        it.signal(Signal::SIGUSR1);
        it.said_of("second").iter().any(|line| line.contains("requires first, which is starting"))
    });
    instance.wait_log("gave up: ");
    let said = instance.said_of("first").join("\n");
    assert_eq!(said.matches("started, process").count(), 2, "{said}");
    assert!(said.contains("was not ready in time") && said.contains("not ready after 0.5"), "{said}");
    assert!(begin.elapsed() >= Duration::from_millis(900));
    instance.until("the word why", |it| {
        it.signal(Signal::SIGUSR1);
        it.said_of("second").iter().any(|line| line.contains("requires first, which is failed"))
    });
    assert!(instance.process("sleep 2000").is_none() && instance.process("sleep 2010").is_none());
    assert!(Process::lives(third.pid));
    assert_stops(&mut instance);
}

#[test]
fn a_program_that_sends_without_end_keeps_pid_1_from_nothing() {
    let line = "perl -MSocket -e 'socket(my $s, AF_UNIX, SOCK_DGRAM, 0); my $n = $ENV{NOTIFY_SOCKET}; $n =~ s/^@/\\0/; \
                my $to = pack(\"S a*\", AF_UNIX, $n); send($s, \"READY=1\", 0, $to); while (1) { send($s, \"x\", 0, $to) }'";
    let mut instance = two(alone(), line, "ready = { notify = \"sd\" }");
    let before = instance.find("sleep 2000");
    before.signal(Signal::SIGKILL);
    eventually("another one", crate::common::SOON, || {
        instance.process("sleep 2000").filter(|it| it.pid != before.pid)
    });
    assert_stops(&mut instance);
}
