//! Programs of kind `command` and `oneshot`: how they are made, what their ends mean, and how they are stopped.

use std::fs;
use std::time::{Duration, Instant};

use crate::common::{Builder, Exit, Instance, Output, Process, Signal};

/// Without an engine: PID 1 and what a test adds.
fn alone() -> Builder {
    Instance::builder().without("engine")
}

fn assert_stops(instance: &mut Instance) {
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0), "{}", instance.log());
}

#[test]
fn a_command_is_made_as_it_is_configured() {
    let script = "{ echo uid $(id -u) groups $(id -G); echo umask $(umask); echo pwd $(pwd); echo nofile $(ulimit -Hn) \
                  $(ulimit -Sn); echo nice $(nice); echo oom $(cat /proc/self/oom_score_adj); env; } > $DIR/run/told.new; \
                  mv $DIR/run/told.new $DIR/run/told; exec sleep 1000";
    let mut instance = alone()
        .env("SECRET", "not for you")
        .program(
            "told",
            &format!(
                "kind = \"command\"\ncommand = [\"sh\", \"-c\", '''{script}''']\nworking_dir = \"$DIR/run\"\n\
                 user = \"postgres\"\ngroups = [\"disk\"]\numask = \"0027\"\nnice = 19\noom_score_adj = 321\n\
                 rlimits = {{ nofile = 77 }}\nenvironment = {{ KEY = \"a value\" }}"
            ),
        )
        .start();
    let file = instance.path("run/told");
    instance.until("the command's report", |_| file.exists());
    let told = fs::read_to_string(&file).unwrap();
    let line = |name: &str| {
        told.lines().find_map(|line| line.strip_prefix(&format!("{name} "))).unwrap_or_default().to_owned()
    };
    let user = crate::common::postgres_user();
    assert!(line("uid").starts_with(&format!("{} groups ", user.uid)), "{told}");
    assert!(line("uid").split(' ').any(|group| group == "6"), "group disk: {told}");
    assert_eq!((line("umask"), line("nice"), line("oom")), ("0027".into(), "19".into(), "321".into()));
    assert_eq!(line("pwd"), instance.path("run").to_str().unwrap());
    assert_eq!(line("nofile"), "77 77");
    assert!(told.contains("\nKEY=a value\n") && told.contains("\nUSER=postgres\n"), "{told}");
    assert!(!told.contains("SECRET") && !told.contains("PGDATA"), "{told}");
    // A session of its own, nothing on standard input, and no descriptor of PID 1's.
    let sleep = instance.find("sleep 1000");
    let stat = fs::read_to_string(format!("/proc/{}/stat", sleep.pid)).unwrap();
    let session: i32 = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(3).unwrap().parse().unwrap();
    assert_eq!(session, sleep.pid);
    let open = sleep.descriptors();
    assert_eq!(open.keys().copied().collect::<Vec<_>>(), [0, 1, 2], "{open:?}");
    assert_eq!(open[&0].to_str(), Some("/dev/null"));
    assert_stops(&mut instance);
}

#[test]
fn without_a_user_a_command_is_pid_1s_own() {
    let mut instance = alone()
        .command("own", "exec sleep 1001", "")
        .command("more", "exec sleep 1002", "groups = [\"disk\"]")
        .start();
    let (own, more) = (instance.find("sleep 1001"), instance.find("sleep 1002"));
    assert_eq!((own.uid, more.uid), (0, 0));
    let groups = fs::read_to_string(format!("/proc/{}/status", more.pid)).unwrap();
    let groups = groups.lines().find(|line| line.starts_with("Groups:")).unwrap().to_owned();
    assert!(groups.split_whitespace().any(|group| group == "6"), "{groups}");
    assert_stops(&mut instance);
}

/// A critical command that gives up at its second failure.
fn ends_by(script: &str, policy: &str) -> (Exit, usize, String) {
    let mut instance = alone()
        .command(
            "task",
            script,
            &format!(
                "critical = true\n[restart]\npolicy = \"{policy}\"\ngive_up_after = 2\nclean_exit_delay = \"10ms\""
            ),
        )
        .start();
    let exit = instance.wait();
    let log = instance.log();
    (exit, log.matches("started, process").count(), log)
}

#[test]
fn t07_each_end_of_a_command_is_named_and_becomes_the_exit_status() {
    for (script, status, said) in [
        ("exit 1", 1, "failed (exit status 1)"),
        ("exit 42", 42, "failed (exit status 42)"),
        ("exit 255", 255, "failed (exit status 255)"),
        ("kill -SEGV $$", 139, "crashed (signal 11)"),
        ("kill -KILL $$", 137, "was killed (signal 9)"),
        ("kill -TERM $$", 143, "crashed (signal 15)"),
    ] {
        let (exit, starts, log) = ends_by(script, "always");
        assert_eq!((exit, starts), (Exit::Code(status), 2), "{script}: {log}");
        assert!(log.contains(said), "{script}: no {said:?} in {log}");
        assert!(log.contains(&format!("failures in a row: 2; ending with status {status}")), "{log}");
    }
}

#[test]
fn t07_the_policy_says_after_which_ends_a_command_starts_again() {
    for (script, policy, status, starts) in [
        ("exit 0", "on-failure", 1, 1),
        ("exit 0", "never", 1, 1),
        ("exit 3", "on-failure", 3, 2),
        ("kill -SEGV $$", "never", 139, 1),
    ] {
        let (exit, seen, log) = ends_by(script, policy);
        assert_eq!((exit, seen), (Exit::Code(status), starts), "{policy}, {script}: {log}");
    }
}

#[test]
fn t08_a_crash_loop_backs_off_gives_up_and_leaves_the_others_alone() {
    let begin = Instant::now();
    let mut instance = alone()
        .command("loop", "exit 3", "[restart]\ngive_up_after = 4")
        .command("steady", "exec sleep 1003", "")
        .start();
    let steady = instance.find("sleep 1003");
    instance.wait_log("gave up: ");
    // None, 100 ms, 200 ms.
    assert!(begin.elapsed() >= Duration::from_millis(300), "no pauses: {:?}", begin.elapsed());
    let said = instance.said_of("loop").join("\n");
    assert_eq!(said.matches("started, process").count(), 4, "{said}");
    for part in ["starting again in 0.1 s", "starting again in 0.2 s", "failures in a row: 4", "stays down"] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    assert_eq!(instance.exit(), None);
    instance.signal(Signal::SIGUSR1);
    instance.wait_log("failed for");
    assert!(Process::lives(steady.pid));
    assert_stops(&mut instance);
}

#[test]
fn what_cannot_be_executed_is_a_failure_that_names_the_cause() {
    let builder = alone();
    builder.dir.file("plain", "echo x", 0o644);
    builder.dir.file("nothing", "\x7fELF is not enough", 0o755);
    builder.dir.file("lost", "#!/no/such/interpreter\n", 0o755);
    let restart = "critical = true\n[restart]\ngive_up_after = 2";
    let cases = [
        ("$DIR/missing", "", 127, "No such file or directory"),
        ("no-such-command", "", 127, "No such file or directory"),
        ("$DIR/lost", "", 127, "interpreter"),
        ("$DIR/plain", "", 126, "Permission denied"),
        ("$DIR/nothing", "", 126, "no program of this machine"),
        ("true", "working_dir = \"$DIR/nowhere\"\n", 126, "set the key working_dir"),
    ];
    let mut instance = builder.build();
    for (command, keys, status, said) in cases {
        let table = format!("kind = \"command\"\ncommand = [\"{command}\"]\n{keys}{restart}");
        instance = instance.change(|builder| builder.without("broken").program("broken", &table));
        instance.boot();
        assert_eq!(instance.wait(), Exit::Code(status), "{command}: {}", instance.log());
        let log = instance.log();
        let path = command.trim_start_matches("$DIR/");
        for part in [said, path, "could not be executed", "failures in a row: 2"] {
            assert!(log.contains(part), "{command}: no {part:?} in {log}");
        }
        assert!(!log.contains("started, process"), "{command}: {log}");
    }
}

#[test]
fn an_unknown_user_or_group_is_a_bad_configuration() {
    for (keys, said) in [
        ("user = \"nobody-here\"", "there is no user nobody-here in /etc/passwd"),
        ("groups = [\"no-such-group\"]", "there is no group no-such-group in /etc/group"),
    ] {
        let mut instance = alone().command("lost", "exec sleep 1", keys).start();
        assert_eq!(instance.wait(), Exit::Code(78));
        let log = instance.log();
        assert!(log.contains(said) && log.contains("lost"), "{log}");
    }
}

#[test]
fn a_crashed_command_is_back_at_once() {
    let mut instance = alone().command("steady", "exec sleep 1004", "").start();
    let before = instance.find("sleep 1004");
    before.signal(Signal::SIGKILL);
    instance.until("another one", |it| it.process("sleep 1004").is_some_and(|it| it.pid != before.pid));
    let said = instance.said_of("steady").join("\n");
    assert!(said.contains("was killed (signal 9)") && !said.contains("starting again in"), "{said}");
    assert!(instance.zombies().is_empty());
    assert_stops(&mut instance);
}

#[test]
fn it_is_asked_to_end_by_its_own_signal() {
    let script =
        "trap 'echo usr1 >> $DIR/run/asked; exit 0' USR1\ntrap '' TERM INT\nwhile :; do sleep 0.05; done";
    let mut instance = alone();
    let dir = instance.dir.path("").display().to_string();
    let script = script.replace("$DIR", dir.trim_end_matches('/'));
    instance = instance.command("task", &script, "stop_signal = \"SIGUSR1\"");
    let mut instance = instance.start();
    instance.wait_log("ready after");
    // The shell must have come to its traps.
    instance.find("sleep 0.05");
    assert_stops(&mut instance);
    assert_eq!(fs::read_to_string(instance.path("run/asked")).unwrap(), "usr1\n");
    assert!(instance.log().contains("stopped after"));
}

/// Heeds nothing but SIGKILL.
const DEAF: &str = "trap '' TERM INT; echo deaf > $DIR/run/deaf; while :; do sleep 0.05; done";

fn deaf(keys: &str) -> Instance {
    let builder = alone();
    let dir = builder.dir.path("").display().to_string();
    let line = DEAF.replace("$DIR", dir.trim_end_matches('/'));
    let mut instance = builder.command("deaf", &line, keys).start();
    let file = instance.path("run/deaf");
    instance.until("its traps", |_| file.exists());
    instance
}

#[test]
fn what_does_not_end_is_killed_and_pid_1_says_so_by_its_status() {
    let mut instance = deaf("stop_timeout = \"2s\"");
    let begin = Instant::now();
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(1));
    assert!(begin.elapsed() >= Duration::from_millis(1400), "{:?}", begin.elapsed());
    assert!(instance.log().contains("it takes too long: killing its processes"), "{}", instance.log());
}

#[test]
fn t09_a_second_term_does_not_wait() {
    let mut instance = deaf("stop_timeout = \"40s\"");
    let begin = Instant::now();
    instance.signal(Signal::SIGTERM);
    instance.wait_log("asked to stop: programs end in order");
    for more in 2..=3 {
        instance.signal_if_alive(Signal::SIGTERM);
        if more == 2 {
            instance.wait_log("asked to stop once more");
        }
    }
    assert_eq!(instance.wait(), Exit::Code(1));
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}

#[test]
fn t09_a_term_in_a_pause_between_two_starts_ends_it() {
    let mut instance =
        alone().command("loop", "exit 3", "[restart]\nmin_backoff = \"20s\"\ngive_up_after = 0").start();
    instance.wait_log("starting again in 20 s");
    let begin = Instant::now();
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0), "{}", instance.log());
    assert!(begin.elapsed() < Duration::from_secs(10));
}

#[test]
fn t09_a_storm_of_reloads_touches_nothing() {
    let mut instance = alone().command("steady", "exec sleep 1005", "").start();
    let before = instance.find("sleep 1005");
    for _ in 0..200 {
        instance.signal(Signal::SIGHUP);
    }
    instance.wait_log("configuration reloaded");
    assert_eq!(instance.find("sleep 1005").pid, before.pid);
    assert_stops(&mut instance);
    assert_eq!(instance.log().matches("started, process").count(), 1);
}

#[test]
fn t10_a_command_that_floods_an_output_that_nobody_reads() {
    let mut instance = alone()
        .command("flood", "exec yes 'a line of no interest at all'", "")
        .command("steady", "exec sleep 1006", "")
        .output(Output::FullPipe)
        .start();
    let before = instance.find("sleep 1006");
    before.signal(Signal::SIGKILL);
    instance.until("another one", |it| it.process("sleep 1006").is_some_and(|it| it.pid != before.pid));
    assert!(instance.process("yes a line").is_some());
    assert_stops(&mut instance);
}

#[test]
fn a_grandchild_that_holds_the_pipe_does_not_delay_a_restart() {
    let mut instance =
        alone().command("parent", "sleep 1007 & exec sleep 1008", "kill_reach = \"main\"").start();
    let (grandchild, before) = (instance.find("sleep 1007"), instance.find("sleep 1008"));
    before.signal(Signal::SIGKILL);
    instance.until("another one", |it| it.process("sleep 1008").is_some_and(|it| it.pid != before.pid));
    assert!(Process::lives(grandchild.pid), "the reach is the main process alone");
    assert!(!instance.log().contains("are left"), "{}", instance.log());
    assert_stops(&mut instance);
}

#[test]
fn the_tree_goes_before_the_next_start_a_daemon_that_has_left_it_too() {
    // One child of its session, and one that has made a session of its own and lost its parent.
    let line = "sleep 1009 & setsid sh -c 'setsid sleep 1010 & exit 0' & wait $!; exec sleep 1011";
    let mut instance = alone().command("parent", line, "kill_reach = \"tree\"").start();
    let (child, daemon) = (instance.find("sleep 1009"), instance.find("sleep 1010"));
    let before = instance.find("sleep 1011");
    before.signal(Signal::SIGKILL);
    instance.until("another one", |it| it.process("sleep 1011").is_some_and(|it| it.pid != before.pid));
    assert!(!Process::lives(child.pid) && !Process::lives(daemon.pid), "{:?}", instance.processes());
    assert!(instance.log().contains("processes of its last run are left: ending them"));
    assert_stops(&mut instance);
    assert!(instance.zombies().is_empty());
}

#[test]
fn a_kill_of_the_group_leaves_who_has_left_it() {
    let line = "setsid sleep 1012 & sleep 1013 & exec sleep 1014";
    let mut instance = alone().command("parent", line, "kill_reach = \"group\"").start();
    let (left, member) = (instance.find("sleep 1012"), instance.find("sleep 1013"));
    let before = instance.find("sleep 1014");
    before.signal(Signal::SIGKILL);
    instance.until("another one", |it| it.process("sleep 1014").is_some_and(|it| it.pid != before.pid));
    assert!(!Process::lives(member.pid), "{:?}", instance.processes());
    assert!(Process::lives(left.pid));
    assert_stops(&mut instance);
}

#[test]
fn a_one_shot_that_has_ended_is_done() {
    let mut instance = alone()
        .program("once", "kind = \"oneshot\"\ncommand = [\"true\"]")
        .command("steady", "exec sleep 1015", "")
        .start();
    instance.find("sleep 1015");
    instance.until("the word that it has completed", |it| {
        it.signal(Signal::SIGUSR1);
        it.log().contains("down (completed)")
    });
    assert_eq!(instance.said_of("once").iter().filter(|line| line.contains("started, process")).count(), 1);
    assert_stops(&mut instance);
}

#[test]
fn without_the_right_to_kill_a_command_of_another_user_still_stops() {
    let mut instance = alone()
        .capabilities("-all,+setuid,+setgid,+dac_override")
        .command("other", "exec sleep 1016", "user = \"postgres\"")
        .start();
    let process = instance.find("sleep 1016");
    assert_eq!(process.uid, crate::common::postgres_user().uid);
    assert_stops(&mut instance);
    assert!(instance.log().contains("stopped after"), "{}", instance.log());
}

#[test]
fn a_run_that_was_ready_for_long_enough_clears_the_failures() {
    let script = "test -e $DIR/run/well || exit 1; exec sleep 1009".replace("$DIR", "\"$WHERE\"");
    let builder = alone();
    let place = builder.dir.path("").to_str().unwrap().to_owned();
    let keys = format!(
        "environment = {{ WHERE = \"{place}\" }}\n[restart]\nreset_after = \"300ms\"\nmax_backoff = \"100ms\"\n\
         give_up_after = 0"
    );
    let mut instance = builder.command("task", &script, &keys).start();
    instance.until("some failures", |it| it.status("task")["failures"].as_u64() >= Some(3));
    fs::write(instance.path("run/well"), "").unwrap();
    instance.find("sleep 1009");
    let pid = instance.wait_state("task", "running")["pid"].clone();
    instance.until("no failure to be left", |it| it.status("task")["failures"] == 0);
    assert_eq!(instance.status("task")["pid"], pid);
    assert_stops(&mut instance);
}
