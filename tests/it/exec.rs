//! `exec`: a plain init for one command; and what else a command line may say.

use std::process::Command;

use nix::sys::signal::SigSet;

use crate::common::{Exit, Instance, Output, Plain, SOON, SUPERVISOR, Signal, finish, pg_bin, until};

/// An instance whose PID 1 is the init of a shell script, without any configuration.
fn init_of(script: &str) -> Instance {
    Instance::builder().without_config().args(["exec", "--", "sh", "-c", script]).start()
}

#[test]
fn it_ends_with_the_commands_status() {
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("exit 255", 255)] {
        assert_eq!(Plain::new(["exec", "--", "sh", "-c", script]).run().code(), code, "{script}");
        assert_eq!(init_of(script).wait(), Exit::Code(code), "{script}, as PID 1");
    }
}

#[test]
fn it_ends_with_128_and_the_signal_that_ended_the_command() {
    for signal in [Signal::SIGTERM, Signal::SIGKILL, Signal::SIGSEGV, Signal::SIGABRT] {
        let script = format!("ulimit -c 0; kill -{} $$", signal as i32);
        let code = 128 + signal as i32;
        let done = Plain::new(["exec", "--", "sh", "-c", &script]).run();
        assert_eq!(done.status.code(), Some(code), "an exit and no death: {done:?}");
        assert_eq!(init_of(&script).wait(), Exit::Code(code), "{signal}, as PID 1");
    }
}

#[test]
fn a_command_that_is_not_there_is_127_and_one_that_cannot_run_126() {
    let instance = Instance::builder().build();
    let plain = instance.spec.dir.file("plain", "no program", 0o644);
    let broken = instance.spec.dir.file("broken", "#!/no/such/interpreter\n", 0o755);
    for (command, code) in [
        ("no-such-command", 127),
        ("/no/such/command", 127),
        (plain.to_str().unwrap(), 126),
        ("/etc", 126),
        // As sh and env have it: execve tells no difference between the program and its interpreter.
        (broken.to_str().unwrap(), 127),
    ] {
        let done = Plain::new(["exec", "--", command]).run();
        assert_eq!(done.code(), code, "{command}: {done:?}");
        assert!(done.stderr.contains(command) && done.stderr.lines().count() == 1, "{done:?}");
        let mut instance = Instance::builder().without_config().args(["exec", "--", command]).start();
        assert_eq!(instance.wait(), Exit::Code(code), "{command}, as PID 1");
    }
}

#[test]
fn each_signal_is_forwarded_once() {
    let mut instance = init_of(
        "for s in TERM HUP QUIT USR1 USR2 WINCH CONT; do trap \"echo got-$s.\" $s; done\n\
         trap 'echo got-INT.; exit 7' INT\necho up\nwhile :; do sleep 0.02; done",
    );
    instance.wait_log("up");
    for signal in
        [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGWINCH]
    {
        instance.signal(signal);
        instance.wait_log(&format!("got-{}.", &signal.as_str()[3..]));
    }
    assert_eq!(instance.stop(Signal::SIGINT), Exit::Code(7));
    for name in ["TERM", "HUP", "QUIT", "USR1", "USR2", "WINCH", "INT"] {
        assert_eq!(instance.log().matches(&format!("got-{name}.")).count(), 1, "{}", instance.log());
    }
}

#[test]
fn a_signal_that_the_command_does_not_mind_ends_it_and_so_the_container() {
    let mut instance = init_of("echo up; exec sleep 100");
    instance.wait_log("up");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(143));
}

#[test]
fn a_thousand_orphans_leave_no_zombie() {
    let mut instance = init_of(
        "i=0; while [ $i -lt 1000 ]; do (sh -c 'exit 3' & ) ; i=$((i+1)); done; echo made; exec sleep 100",
    );
    instance.wait_log("made");
    instance.until("nothing but PID 1 and the command", |it| it.processes().len() == 2);
    assert_eq!(instance.zombies(), []);
    // One more, whose end comes while PID 1 is idle.
    instance.enter("sh", ["-c", "(sleep 0.1 &)"]).success();
    instance.until("the last orphan's end", |it| it.processes().len() == 2);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(143));
}

#[test]
fn orphans_come_to_it_when_it_is_not_pid_1_too() {
    let script = "(sh -c 'sleep 0.2; grep PPid: /proc/$$/status' &); sleep 0.1; echo me: $PPID; sleep 0.5";
    let done = Plain::new(["exec", "--", "sh", "-c", script]).run();
    let number = |key: &str| {
        let line = done.stdout.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
        line.trim().parse::<u32>().unwrap_or_else(|_| panic!("no {key} in {done:?}"))
    };
    assert_eq!(number("PPid:"), number("me:"));
}

#[test]
fn the_command_gets_the_signal_mask_of_the_caller_and_a_sigpipe_that_works() {
    let thread = std::thread::spawn(|| {
        let mut blocked = SigSet::empty();
        blocked.add(Signal::SIGUSR1);
        blocked.thread_block().unwrap();
        Plain::new(["exec", "--", "grep", "^Sig", "/proc/self/status"]).run()
    });
    let blocked = thread.join().unwrap();
    let open = Plain::new(["exec", "--", "grep", "^Sig", "/proc/self/status"]).run();
    let bit = |signal: Signal| 1_u64 << (signal as i32 - 1);
    let mask = |status: &str, key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    assert_eq!(mask(&blocked.stdout, "SigBlk:"), bit(Signal::SIGUSR1));
    assert_eq!(mask(&open.stdout, "SigBlk:"), 0);
    for signal in [Signal::SIGPIPE, Signal::SIGCHLD, Signal::SIGTTOU, Signal::SIGTERM] {
        assert_eq!(mask(&open.stdout, "SigIgn:") & bit(signal), 0, "{signal} is ignored");
    }
}

#[test]
fn the_command_has_no_descriptor_of_ours() {
    let done = Plain::new(["exec", "--", "sh", "-c", "ls /proc/$$/fd"]).run();
    assert_eq!(done.success().split_whitespace().collect::<Vec<_>>(), ["0", "1", "2"]);
}

#[test]
fn standard_input_and_the_environment_pass() {
    let done = Plain::new(["exec", "--", "cat"]).stdin("to the end").run();
    assert_eq!((done.code(), done.stdout.as_str()), (0, "to the end"));
    let done = Plain::new(["exec", "--", "sh", "-c", "echo \"$COLOUR\""]).env("COLOUR", "red").run();
    assert_eq!(done.success(), "red");
}

#[test]
fn the_terminal_is_handed_over_and_ctrl_c_reaches_the_command_once() {
    let script = "read -r line < /proc/self/stat; set -- $line\necho \"group $5, foreground $8, self $$\"\n\
                  trap 'echo got-int.' INT\ntrap 'exit 5' TERM\necho up\nwhile :; do sleep 0.02; done";
    let builder = Instance::builder().without_config().output(Output::Terminal);
    let mut instance = builder.args(["exec", "--", "sh", "-c", script]).start();
    instance.wait_log("up");
    let log = instance.log();
    let line = log.lines().find(|line| line.contains("foreground")).unwrap();
    let numbers: Vec<&str> =
        line.trim().split(|c: char| !c.is_ascii_digit()).filter(|n| !n.is_empty()).collect();
    assert!(numbers.len() == 3 && numbers.iter().all(|number| *number == numbers[0]), "{line}");
    instance.type_text("\x03");
    instance.wait_log("got-int.");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(5));
    assert_eq!(instance.log().matches("got-int.").count(), 1, "{}", instance.log());
}

#[test]
fn what_is_typed_reaches_the_command() {
    let builder = Instance::builder().without_config().output(Output::Terminal);
    let mut instance = builder.args(["sh", "-c", "echo up; read -r word; echo \"read: $word\""]).start();
    instance.wait_log("up");
    instance.type_text("hello\n");
    assert_eq!(instance.wait(), Exit::Code(0));
    // The end of a terminal's output may be read after PID 1's end.
    instance.wait_log_count("read: hello", 1);
}

#[test]
fn a_command_in_the_background_of_a_terminal_does_not_take_it() {
    // A job in the background that asked for the terminal would stop itself, or the shell in front.
    let script = "set -m; \"$0\" exec -- sh -c 'echo ran; exit 3' & wait $!; echo \"status $?\"";
    let builder = Instance::builder().without_config().output(Output::Terminal);
    let mut instance = builder.args(["exec", "--", "sh", "-c", script, SUPERVISOR]).start();
    assert_eq!(instance.wait_within(SOON), Exit::Code(0));
    instance.wait_log_count("status 3", 1);
}

#[test]
fn any_other_word_is_a_command() {
    let path = format!("{}:/usr/bin:/bin", pg_bin().display());
    let done = Plain::new(["psql", "--version"]).env("PATH", &path).run();
    assert!(done.success().starts_with("psql (PostgreSQL) "));
    let mut instance = Instance::builder().without_config().args(["id", "-u"]).start();
    assert_eq!(instance.wait(), Exit::Code(0));
    assert_eq!(instance.log(), "0\n");
}

#[test]
fn the_word_postgres_runs_the_engine_with_its_options() {
    let builder = Instance::builder().with_database();
    let mut instance = builder.args(["postgres", "-c", "work_mem=9MB"]).start();
    instance.ready();
    assert_eq!(instance.sql("show work_mem"), "9MB");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn options_of_the_engine_behind_dashes() {
    let builder = Instance::builder().with_database();
    let mut instance = builder.args(["run", "--", "-c", "work_mem=10MB", "--random_page_cost=3"]).start();
    instance.ready();
    assert_eq!(instance.sql("show work_mem"), "10MB");
    assert_eq!(instance.sql("show random_page_cost"), "3");
}

#[test]
fn an_option_that_the_engine_does_not_know_is_told() {
    let builder = Instance::builder().with_database().set("program.engine.restart.give_up_after", 2);
    let mut instance = builder.args(["run", "--", "-c", "no_such_thing=1"]).start();
    assert_eq!(instance.wait(), Exit::Code(1), "the engine's own status");
    let log = instance.log();
    let last = log.lines().last().unwrap_or_default();
    assert!(log.contains("no_such_thing"), "{log}");
    assert!(last.contains("does not accept its configuration") && last.contains("status 1"), "{log}");
}

#[test]
fn a_wrong_command_line_is_64_and_names_what_is_allowed() {
    for (line, way_out) in [
        (&["--colour"][..], "known: --config FILE, --help, --version"),
        (&["--config"], "--config FILE"),
        (&["--config=", "check"], "--config FILE"),
        (&["exec"], "exec -- COMMAND"),
        (&["exec", "--"], "exec -- COMMAND"),
        (&["run", "fast"], "behind --"),
        (&["check", "extra"], "takes no argument"),
    ] {
        let done = Plain::new(line).run();
        assert_eq!((done.code(), done.stdout.as_str()), (64, ""), "{line:?}: {done:?}");
        assert!(done.stderr.contains(way_out) && done.stderr.contains("--help"), "{line:?}: {done:?}");
    }
    let mut instance = Instance::builder().arg("--colour").start();
    assert_eq!(instance.wait(), Exit::Code(64), "as PID 1");
}

#[test]
fn help_and_version_are_printed() {
    for option in ["--help", "-h"] {
        let help = Plain::new([option]).run().success();
        for word in ["run", "check", "exec -- COMMAND", "--config FILE", "exit status"] {
            assert!(help.contains(word), "{word} is not in {help}");
        }
    }
    let version = Plain::new(["--version"]).run().success();
    assert_eq!(version, format!("polar-supervisor {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_reader_that_has_gone_is_no_failure_of_check() {
    let mut shell = Command::new("sh");
    shell.args(["-c", "{ \"$1\" check; echo $? >&2; } | true", "sh", SUPERVISOR]).env_clear();
    let done = finish(shell, SOON);
    until("the status", SOON, || !done.stderr.is_empty());
    assert_eq!(done.stderr.trim(), "0", "{done:?}");
}
