//! `[serve]`: what probes and scrapers see of a real PID 1 and a real engine.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::common::{BOOT, Builder, Exit, Instance, Process, SOON, Signal, append, eventually, until};

struct Served {
    instance: Instance,
    port: u16,
    /// Holds the port, which no other test takes.
    _claim: Builder,
}

/// The instance of `builder` with `[serve]`, and with polarctl beside PID 1's own executable, as in the image.
fn served(builder: Builder) -> Served {
    let claim = Instance::builder();
    let port = claim.port.number();
    let polarctl = env!("CARGO_BIN_EXE_polarctl");
    let instance = builder
        .set("serve.listen", format!("127.0.0.1:{port}"))
        .setup(format!("touch \"$DIR/bin/polarctl\" && mount --bind '{polarctl}' \"$DIR/bin/polarctl\""))
        .build();
    Served { instance, port, _claim: claim }
}

impl Served {
    /// Status and body of a GET; `None`: nobody answers.
    fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(SOON)).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// The three probes: startup, live, ready.
    fn probes(&self) -> Option<[u16; 3]> {
        let status = |path| self.get(path).map(|(status, _)| status);
        Some([status("/startupz")?, status("/livez")?, status("/readyz")?])
    }

    fn wait_probes(&self, expected: [u16; 3]) {
        let mut seen = None;
        let begin = Instant::now();
        while seen != Some(expected) {
            assert!(
                begin.elapsed() < BOOT,
                "waited for {expected:?}: {seen:?}, {:?}",
                self.get("/readyz?verbose")
            );
            std::thread::sleep(Duration::from_millis(20));
            seen = self.probes();
        }
    }

    /// The value of a series.
    fn metric(&self, series: &str) -> Option<f64> {
        let (_, page) = self.get("/metrics")?;
        let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
        line.parse().ok()
    }

    fn wait_metric(&self, series: &str, good: impl Fn(f64) -> bool) {
        until(series, BOOT, || self.metric(series).is_some_and(&good));
    }

    fn server(&self) -> Process {
        eventually("the server of health", SOON, || {
            self.instance.processes().into_iter().find(|process| process.name == "polarctl")
        })
    }
}

#[test]
fn an_engine_that_is_locked_and_killed() {
    let mut it = served(Instance::builder().with_database());
    it.instance.boot();
    it.wait_probes([200, 200, 200]);
    let (_, body) = it.get("/readyz?verbose").unwrap();
    assert_eq!(body, "[+] engine: running, takes connections\nreadyz: ok\n");
    assert_eq!(it.metric("polar_up"), Some(1.0));
    assert_eq!(it.metric("polar_program_ready{program=\"engine\"}"), Some(1.0));
    assert_eq!(
        it.metric("polar_program_ends_total{program=\"engine\",class=\"killed\"}").unwrap_or(0.0),
        0.0
    );
    let status: serde_json::Value = serde_json::from_str(&it.get("/status").unwrap().1).unwrap();
    let mut names: Vec<_> =
        status.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["engine", "serve"]);
    let postgres = crate::common::postgres_user().uid;
    assert_eq!(it.server().uid, postgres, "as the engine's user, not as root");

    it.instance.set_lock();
    it.wait_probes([200, 200, 503]);
    let (_, body) = it.get("/readyz").unwrap();
    assert!(body.contains("locked by ") && body.contains("/ins_lock"), "{body}");
    it.wait_metric("polar_program_locked{program=\"engine\"}", |value| value == 1.0);
    it.instance.remove_lock();
    it.wait_probes([200, 200, 200]);
    it.wait_metric("polar_program_downtime_seconds_total{program=\"engine\",cause=\"locked\"}", |value| {
        value > 0.0
    });

    let restarts = it.metric("polar_program_restarts_total{program=\"engine\"}").unwrap();
    it.instance.postmaster().signal(Signal::SIGKILL);
    it.wait_metric("polar_program_ends_total{program=\"engine\",class=\"killed\"}", |value| value == 1.0);
    it.wait_metric("polar_program_last_exit_code{program=\"engine\",class=\"killed\"}", |value| {
        value == 137.0
    });
    it.wait_probes([200, 200, 200]);
    assert_eq!(it.metric("polar_program_restarts_total{program=\"engine\"}"), Some(restarts + 1.0));
    it.wait_metric("polar_program_start_duration_seconds{program=\"engine\"}", |value| value > 0.0);
    // What ends is said while it can be; the end of all is in order.
    assert_eq!(it.instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn the_engine_has_nothing_to_say_of_probes() {
    let mut it = served(Instance::builder().with_database());
    append(&it.instance.path("data/postgresql.conf"), "log_disconnections = on\nlog_connections = on");
    it.instance.boot();
    it.wait_probes([200, 200, 200]);
    let log = |it: &Served| -> String {
        let files = std::fs::read_dir(it.instance.path("data/pg_log")).unwrap().flatten();
        files.map(|file| std::fs::read_to_string(file.path()).unwrap()).collect()
    };
    // Each a look of its own, once what is remembered is too old.
    until("several sessions in the engine's log", BOOT, || {
        assert_eq!(it.get("/readyz").unwrap().0, 200);
        log(&it).matches("disconnection: session time").count() >= 4
    });
    let log = log(&it);
    assert!(log.contains("application_name=polarctl"), "{log}");
    for trouble in ["could not", "unexpected EOF", "FATAL", "ERROR"] {
        assert!(!log.contains(trouble), "{trouble} in {log}");
    }
}

#[test]
fn recovery_is_life() {
    let mut it = served(Instance::builder().with_database());
    let go = it.instance.path("sock/go");
    let restore = format!("while ! test -e {}; do sleep 0.05; done; false", go.display());
    append(&it.instance.path("data/postgresql.conf"), &format!("restore_command = '{restore}'"));
    it.instance.spec.dir.file("data/recovery.signal", "", 0o600);
    it.instance.boot();
    it.wait_probes([503, 200, 503]);
    // For as long as it lasts; several safety polls and looks long.
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(1) {
        assert_eq!(it.probes(), Some([503, 200, 503]));
    }
    std::fs::write(go, "").unwrap();
    it.wait_probes([200, 200, 200]);
    assert_eq!(it.metric("polar_program_restarts_total{program=\"engine\"}"), Some(0.0));
}

#[test]
fn a_standby_that_takes_no_connections() {
    let mut it = served(Instance::builder().with_database());
    append(&it.instance.path("data/postgresql.conf"), "hot_standby = off");
    it.instance.spec.dir.file("data/standby.signal", "", 0o600);
    it.instance.boot();
    // PID 1 has the word of its pid file; a client would be sent away.
    it.instance.wait_log("ready after");
    it.wait_probes([200, 200, 503]);
    let (_, body) = it.get("/readyz").unwrap();
    assert!(body.contains("running, takes no connection: "), "{body}");
}

#[test]
fn a_port_that_is_taken() {
    let mut it = served(Instance::builder().with_database());
    let taken = TcpListener::bind(("127.0.0.1", it.port)).unwrap();
    it.instance.boot();
    it.instance.ready();
    it.instance.wait_log(&format!("cannot listen on 127.0.0.1:{}: Address already in use", it.port));
    it.instance.wait_log("serve: failures in a row: 2");
    drop(taken);
    it.wait_probes([200, 200, 200]);
    assert!(it.metric("polar_program_restarts_total{program=\"serve\"}").unwrap() >= 2.0);
    assert_eq!(it.metric("polar_program_restarts_total{program=\"engine\"}"), Some(0.0));
}

#[test]
fn it_comes_back_and_pid_1_may_hang() {
    let mut it = served(Instance::builder().with_database());
    it.instance.boot();
    it.wait_probes([200, 200, 200]);
    let before = it.server();
    before.signal(Signal::SIGKILL);
    until("another server of health", BOOT, || it.server().pid != before.pid);
    it.wait_probes([200, 200, 200]);
    it.instance.signal(Signal::SIGSTOP);
    it.wait_probes([503, 503, 503]);
    let (_, body) = it.get("/livez").unwrap();
    assert!(body.contains("the supervisor does not answer"), "{body}");
    assert_eq!(it.metric("polar_up"), Some(0.0));
    it.instance.signal(Signal::SIGCONT);
    it.wait_probes([200, 200, 200]);
}

#[test]
fn first_boot_and_an_engine_that_gives_up() {
    let builder = Instance::builder()
        .set("program.engine.restart.give_up_after", 1)
        .set("program.engine.restart.on_give_up", "stay");
    let mut it = served(builder);
    let script = format!("while ! test -e {}; do sleep 0.05; done\n", it.instance.path("sock/go").display());
    it.instance.spec.dir.file("initdb.d/10-wait.sh", script, 0o644);
    it.instance.boot();
    it.wait_probes([503, 200, 503]);
    until("the state", SOON, || {
        it.get("/livez?verbose").is_some_and(|(_, body)| body.contains("engine: initializing"))
    });
    std::fs::write(it.instance.path("sock/go"), "").unwrap();
    it.wait_probes([200, 200, 200]);
    it.instance.postmaster().signal(Signal::SIGKILL);
    it.wait_probes([200, 503, 503]);
    let (_, body) = it.get("/livez").unwrap();
    assert!(body.contains("engine: failed") && body.contains("killed (signal 9)"), "{body}");
}

#[test]
fn without_an_engine_and_over_a_reload_of_run_dir() {
    let builder = Instance::builder().without("engine").command("other", "exec sleep 3009", "");
    let mut it = served(builder.command("task", "exec sleep 3000", ""));
    it.instance.boot();
    it.wait_metric("polar_program_ready{program=\"task\"}", |value| value == 1.0);
    let server = it.server().pid;
    let elsewhere = it.instance.path("elsewhere").to_str().unwrap().to_owned();
    let Served { instance, port, _claim } = it;
    let mut instance =
        instance.reload(|builder| builder.set("supervisor.run_dir", elsewhere).without("task"));
    instance.until("the reload to be done", |it| it.process("sleep 3000").is_none());
    let mut it = Served { instance, port, _claim };
    assert!(it.instance.log().contains("run_dir takes effect when the supervisor starts"));
    assert_eq!((it.server().pid, it.get("/livez").unwrap().0), (server, 200));
    assert_eq!(it.instance.stop(Signal::SIGTERM), Exit::Code(0));
}
