//! start, stop and restart of an engine that no supervisor keeps.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};

use crate::bed::{Ctl, Ran, until};
use crate::engine::{Engine, as_engine, bin_dir, postgres, refused};

/// A data directory whose engine ends with the test, whoever started it.
struct Lonely(Engine);

impl Lonely {
    fn down() -> Self {
        Lonely(Engine::down())
    }

    fn pid(&self) -> Option<i32> {
        let text = fs::read_to_string(self.0.data().join("postmaster.pid")).ok()?;
        text.lines().next()?.parse().ok()
    }

    /// The verb, which is done; what it answers.
    fn done(&self, line: &str) -> Value {
        let ran = self.0.ctl(&format!("{line} --output json"));
        assert_eq!(ran.code, 0, "{line}: {ran:?}");
        ran.json()
    }

    fn postmasters(&self) -> usize {
        let works_there = |pid: &str| {
            fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == self.0.data())
                && fs::read(format!("/proc/{pid}/cmdline"))
                    .is_ok_and(|line| String::from_utf8_lossy(&line).contains("\0-D\0"))
        };
        let all = fs::read_dir("/proc").unwrap();
        all.filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|pid| works_there(pid))
            .count()
    }
}

impl Drop for Lonely {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            kill(Pid::from_raw(pid), Signal::SIGQUIT).ok();
            let begin = std::time::Instant::now();
            while kill(Pid::from_raw(pid), None).is_ok() && begin.elapsed() < Duration::from_secs(10) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

#[test]
fn start_restart_and_stop_each_done_twice() {
    let lonely = Lonely::down();
    let data = lonely.0.data();
    assert!(lonely.done("start --dry-run")["steps"][0].as_str().unwrap().ends_with(" as postgres"));
    assert_eq!(lonely.postmasters(), 0, "a dry run changes nothing");
    let before = lonely.0.read("postgresql.conf");
    let json = lonely.done("start");
    let first = lonely.pid().unwrap();
    assert_eq!(
        (&json["state"], &json["pid"], &json["lock"]),
        (&json!("running"), &json!(first), &Value::Null)
    );
    assert_eq!(lonely.0.sql("select 1"), "1");
    let meta = fs::metadata(format!("/proc/{first}")).unwrap();
    assert_eq!((meta.uid(), meta.gid()), postgres(), "the data directory's owner");
    let session = fs::read_to_string(format!("/proc/{first}/stat")).unwrap();
    assert_eq!(
        session.rsplit(')').next().unwrap().split_whitespace().nth(3),
        Some(first.to_string().as_str())
    );
    let keeper = File::open(&data).unwrap();
    flock(&keeper, FlockOperation::NonBlockingLockExclusive)
        .expect("a supervisor that comes can take the lock");
    drop(keeper);
    assert_eq!(lonely.0.read("postgresql.conf"), before, "its configuration is its supervisor's");
    assert_eq!(lonely.done("start --dry-run")["steps"], json!([]));
    assert_eq!(lonely.done("start")["pid"], first, "twice is once");
    let second = lonely.done("restart")["pid"].clone();
    assert_ne!(second, first);
    assert_eq!(lonely.0.sql("select 1"), "1");
    let said = lonely.done("stop --dry-run");
    assert!(said["steps"][0].as_str().unwrap().ends_with(&format!("process {second}")), "{said}");
    let ran = lonely.0.ctl("stop");
    assert!(ran.code == 0 && ran.stderr.contains("polarctl lock"), "{ran:?}");
    assert_eq!((lonely.pid(), data.join("ins_lock").exists()), (None, false), "no lock file is left");
    assert_eq!(lonely.0.ctl("system-identifier").code, 0);
    assert_eq!(lonely.done("stop --dry-run")["steps"], json!([]));
    assert_eq!(lonely.done("stop")["state"], "down", "twice is once");
    assert_eq!(lonely.done("restart")["state"], "running", "of one that is down");
    let log = lonely.0.manager_log();
    let words: Vec<Vec<&str>> = log.iter().map(|line| line.splitn(5, " - ").collect()).collect();
    let of = |verb: &str| words.iter().filter(|words| words[3] == verb && words[4] == "done").count();
    assert_eq!([of("start"), of("restart"), of("stop")], [2, 2, 2], "one line each: {log:?}");
}

#[test]
fn a_lock_file_holds_it_down() {
    let lonely = Lonely::down();
    lonely.0.ctl("lock --kind expired").success();
    for (line, word) in
        [("start", "locked_by_other"), ("start --dry-run", "locked_by_other"), ("restart", "locked")]
    {
        let ran = lonely.0.ctl(&format!("{line} --output json"));
        refused(&ran, 1, word);
        assert!(ran.stdout.contains("expired"), "{ran:?}");
    }
    assert_eq!(lonely.postmasters(), 0);
    lonely.0.ctl("unlock --kind expired --no-wait").success();
    assert_eq!(lonely.done("start")["state"], "running");
    // What a lock finds running it does not end without a supervisor; a stop does.
    lonely.0.write("ins_lock", "");
    assert_eq!(lonely.done("stop")["state"], "down");
    assert_eq!(lonely.0.read("ins_lock"), "", "left as it was");
}

#[test]
fn the_lock_of_a_stop_goes_and_nobody_comes() {
    let lonely = Lonely::down();
    lonely.0.ctl("lock").success();
    let said = lonely.done("start --dry-run")["steps"][0].to_string();
    assert!(said.contains("remove "), "{said}");
    assert_eq!(lonely.done("start")["state"], "running");
    assert!(!lonely.0.data().join("ins_lock").exists());
}

#[test]
fn two_at_once_are_one() {
    let lonely = Lonely::down();
    let start = || lonely.0.command("start --output json").spawn();
    let ended: Vec<_> = [start(), start(), start()].map(|child| child.wait_with_output().unwrap()).into();
    for output in &ended {
        assert!(output.status.success(), "{output:?}");
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(json["pid"], lonely.pid().unwrap(), "{output:?}");
    }
    assert_eq!(lonely.postmasters(), 1);
}

#[test]
fn killed_in_the_middle_and_called_again() {
    let lonely = Lonely::down();
    for number in 0..10_u32 {
        for line in ["start", "stop", "restart"] {
            let mut child = lonely.0.command(line).spawn_to(Stdio::null(), Stdio::null());
            // Not a wait for anything.
            std::thread::sleep(Duration::from_millis(u64::from(number) * 13));
            child.kill().unwrap();
            child.wait().unwrap();
            let (verb, state) = if line == "stop" { ("stop", "down") } else { ("start", "running") };
            assert_eq!(lonely.done(verb)["state"], state, "{line} killed");
            assert_eq!(lonely.postmasters(), usize::from(state == "running"), "{line} killed");
        }
    }
    assert_eq!(lonely.0.sql("select 1"), "1");
}

#[test]
fn what_is_no_database_is_not_started() {
    let lonely = Lonely::down();
    fs::remove_file(lonely.0.data().join("PG_VERSION")).unwrap();
    for line in ["start", "stop", "restart"] {
        refused(&lonely.0.ctl(&format!("{line} --output json")), 1, "no_instance");
    }
    lonely.0.write("PG_VERSION", "14\n");
    let ran = lonely.0.ctl("start --output json");
    refused(&ran, 1, "refused");
    assert!(ran.stdout.contains("major version 14"), "{ran:?}");
    assert_eq!(lonely.postmasters(), 0);
}

#[test]
fn one_that_does_not_come_up_says_why() {
    let lonely = Lonely::down();
    let conf = lonely.0.read("postgresql.conf");
    lonely.0.write("postgresql.conf", format!("{conf}no_such_parameter = 1\n"));
    let ran = lonely.0.ctl("start --output json");
    refused(&ran, 1, "not_done");
    assert!(ran.stdout.contains("no_such_parameter") && ran.stdout.contains("with status 1"), "{ran:?}");
    lonely.0.write("postgresql.conf", conf);
    assert_eq!(lonely.done("start")["state"], "running");
}

fn as_user(lonely: &Lonely, uid: u32, line: &str) -> Ran {
    let command = Ctl::as_uid(uid, line).option("--data-dir", &lonely.0.data());
    command.env("POLAR_SUPERVISOR_LOG_DIR", lonely.0.log_dir()).ran()
}

#[test]
fn the_engines_user_may_and_another_may_not() {
    let lonely = Lonely::down();
    for line in ["start", "stop", "restart", "start --dry-run"] {
        let ran = as_user(&lonely, 65_534, line);
        assert_eq!(ran.code, 77, "{line}: {ran:?}");
    }
    assert_eq!(lonely.postmasters(), 0);
    for line in ["start", "restart", "stop"] {
        let ran = as_user(&lonely, postgres().0, line);
        assert_eq!(ran.code, 0, "{line}: {ran:?}");
    }
}

#[test]
fn a_pid_file_from_elsewhere_is_no_proof_of_death() {
    let lonely = Lonely::down();
    lonely
        .0
        .write("postmaster.pid", format!("99999\n{}\n1\n5432\n\n\n\nready   \n", lonely.0.data().display()));
    let ran = lonely.0.ctl("stop --output json");
    refused(&ran, 1, "not_proved");
    assert!(ran.stdout.contains("polarctl lock"), "{ran:?}");
    let ran = lonely.0.ctl("start --timeout 1s --output json");
    assert_eq!((ran.code, &ran.json()["error"]["code"]), (5, &json!("timed_out")), "{ran:?}");
    assert_eq!((lonely.postmasters(), lonely.pid()), (0, Some(99_999)), "nothing was changed");
    refused(&lonely.0.ctl("start --dry-run --output json"), 1, "not_proved");
    // Once it has lain still for long enough.
    let ran = lonely.0.command("start").env("POLAR_FAILPOINT_VIGIL", "1").ran();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("its postmaster is dead"), "{ran:?}");
    assert_eq!(lonely.0.sql("select 1"), "1");
}

#[test]
fn a_postmaster_that_was_killed_is_known_by_its_record() {
    let lonely = Lonely::down();
    lonely.done("start");
    let pid = lonely.pid().unwrap();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    until("its end", || {
        fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
    });
    assert_eq!(lonely.0.ctl("stop").code, 0, "it is dead for sure");
    assert_eq!(lonely.done("start")["state"], "running");
    assert_ne!(lonely.pid(), Some(pid));
}

#[test]
fn one_in_another_pid_namespace_is_neither_doubled_nor_stopped() {
    let lonely = Lonely::down();
    let mut there = Command::new("unshare");
    there.args(["--pid", "--fork", "--kill-child", "--mount-proc", "--"]);
    let inner = as_engine("postgres");
    there.arg(inner.get_program()).args(inner.get_args()).arg("-D").arg(lonely.0.data());
    there.env_clear().env("PATH", bin_dir()).env("PATH", std::env::var_os("PATH").unwrap());
    let mut there = there.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("it to serve", || lonely.0.try_sql("select 1").is_ok());
    let ran = lonely.0.ctl("start --output json");
    refused(&ran, 1, "not_proved");
    assert!(ran.stdout.contains("something accepts on"), "{ran:?}");
    let ran = lonely.0.ctl("stop --output json");
    refused(&ran, 1, "not_proved");
    assert!(ran.stdout.contains("polarctl lock"), "{ran:?}");
    assert_eq!(lonely.0.sql("select 1"), "1", "it serves on");
    there.kill().unwrap();
    there.wait().unwrap();
    fs::remove_file(lonely.0.data().join("postmaster.pid")).unwrap();
}

#[test]
fn a_stop_becomes_harder() {
    let lonely = Lonely::down();
    lonely.done("start");
    let mut session = lonely
        .0
        .psql()
        .args(["-c", "select pg_sleep(600)"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("its query", || {
        lonely.0.sql("select count(*) from pg_stat_activity where query ~ '^select pg_sleep'") == "1"
    });
    let ran = lonely.0.ctl("stop --mode smart --timeout 8s");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("stopped by mode fast"), "{ran:?}");
    assert!(!session.wait().unwrap().success());
    assert_eq!(lonely.pid(), None);
    // One that recovers.
    assert_eq!(lonely.done("start")["state"], "running");
    assert_eq!(lonely.0.ctl("stop --mode immediate").code, 0);
    assert_eq!(lonely.done("start")["state"], "running");
}

#[test]
fn where_no_lock_can_tell_no_engine_is_started() {
    let lonely = Lonely::down();
    let start = |timeout: &str| {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=flock", "-e", "inject=flock:error=ENOLCK"]);
        strace.arg(env!("CARGO_BIN_EXE_polarctl")).args(["start", "--timeout", timeout, "--data-dir"]);
        strace.arg(lonely.0.data()).env("POLAR_SUPERVISOR_LOG_DIR", lonely.0.log_dir());
        let output = strace.stdin(Stdio::null()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = start("200ms");
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("cannot lock") && said.contains("no engine is started from here"), "{said}");
    assert_eq!(lonely.postmasters(), 0);
}
