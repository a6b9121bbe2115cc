//! Programs that are no engine, what they need of each other, their checks and their output.

use std::fmt::Write;

use super::*;

/// Commands with these names and lines.
fn commands(programs: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, lines) in programs {
        let _ = writeln!(text, "[program.{name}]\nkind = 'command'\ncommand = ['x']\n{lines}");
    }
    text
}

fn one(lines: &str) -> String {
    commands(&[("a", lines)])
}

#[test]
fn before_is_the_others_after() {
    let config = good(&commands(&[
        ("c", "before = ['a', 'b', 'a']"),
        ("a", "after = ['b', 'b']"),
        ("b", "after = ['c', 'd']\nrequires = ['d']"),
        ("d", "before = ['b']"),
    ]));
    let needs: Vec<_> = config
        .programs
        .iter()
        .map(|program| (program.name.as_str(), program.needs.after.join(" ")))
        .collect();
    assert_eq!(
        needs,
        [("a", "b c".to_owned()), ("b", "c".to_owned()), ("c", String::new()), ("d", String::new())]
    );
    assert_eq!(good(&to_toml(&config)), config);
}

#[test]
fn mistakes_in_needs() {
    for (text, wanted) in [
        (
            commands(&[("a", "after = ['pfds']"), ("pfsd", "")]),
            "s.toml:4: program.a.after: `after` names the unknown program \"pfds\"; did you mean `pfsd`? allowed: names of other programs of this file: pfsd",
        ),
        (
            one("before = ['x y\\']"),
            "program.a.before: `before` names the unknown program \"x y\\\"; allowed: names of other programs of this file: none",
        ),
        (one("requires = ['serve']"), "`requires` names the unknown program \"serve\""),
        (
            one("requires = ['a']"),
            "s.toml:4: program.a.requires: `requires` names the program itself; leave \"a\" out",
        ),
        (one("bound = true"), "s.toml:4: program.a.bound: `bound` without `requires`"),
        (one("bound = true\nrequires = []"), "s.toml:4: program.a.bound: `bound` without `requires`"),
        (
            commands(&[("b", "after = ['a']"), ("a", "requires = ['b']")]),
            "s.toml:8: program.a.requires: the programs wait for each other: \"a\" waits for \"b\" (`requires`), which waits for \"a\" (`after`); take one of these out",
        ),
        (
            commands(&[("b", "after = ['a']\nbefore = ['a']"), ("a", "")]),
            "s.toml:5: program.b.before: the programs wait for each other: \"a\" waits for \"b\" (`before` of \"b\"), which waits for \"a\" (`after`); take",
        ),
        // What only leads to the circle, or away from it, is not named.
        (
            commands(&[
                ("a", "after = ['b']"),
                ("b", "after = ['c']"),
                ("c", "after = ['d', 'e']"),
                ("d", "after = ['b']"),
                ("e", ""),
            ]),
            "s.toml:8: program.b.after: the programs wait for each other: \"b\" waits for \"c\" (`after`), which waits for \"d\" (`after`), which waits for \"b\" (`after`); take",
        ),
    ] {
        let said = mistake(&text);
        assert!(said.contains(wanted), "{text}\n{said}");
    }
    // Two circles are two mistakes, and an engine has needs as others do.
    let two = commands(&[("a", "after = ['b']"), ("b", "after = ['a']"), ("c", "after = ['db']")])
        + "[program.db]\nkind = 'postgres'\nrequires = ['c']\n";
    assert_eq!(mistakes(&two).len(), 2, "{:#?}", mistakes(&two));
}

#[test]
fn the_needs_of_many_programs_are_looked_at_in_time() {
    let began = std::time::Instant::now();
    let name = |number: usize| format!("p{number:03}");
    let circle: String = (0..1000)
        .map(|number| {
            let lines = format!("after = ['{}']", name((number + 1) % 1000));
            commands(&[(&name(number), &lines)])
        })
        .collect();
    let said = mistake(&circle);
    assert!(said.matches("waits for").count() == 1000, "{said}");
    good(&circle.replace("after = ['p000']", ""));
    assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
    let said = mistake(&(circle.replace("after = ['p000']", "") + &commands(&[("x", ""), ("y", "")])));
    assert!(said.contains("program: 1002 programs; at most 1000"), "{said}");
}

#[test]
fn mistakes_in_checks_and_output() {
    let engine = |lines: &str| format!("[program.a]\nkind = 'postgres'\n{lines}\n");
    let job = |lines: &str| format!("[program.a]\nkind = 'oneshot'\ncommand = ['x']\n{lines}\n");
    for (text, wanted) in [
        (
            one("ready = {}"),
            "s.toml:4: program.a.ready: `ready` has no check; allowed: one of `exec`, `tcp`, `notify`",
        ),
        (one("ready.timeout = '5s'"), "s.toml:4: program.a.ready: `ready` has no check"),
        (one("live = {}"), "`live` has no check; allowed: one of `exec`, `tcp`"),
        (engine("live = {}"), "`live` has no check; allowed: one of `exec`, `tcp`, `engine`"),
        (
            one("ready = { exce = ['x'] }"),
            "program.a.ready.exce: unknown key; did you mean `exec`? allowed keys here: exec, tcp, notify, timeout",
        ),
        (
            one("ready = { exec = 'true' }"),
            "`exec` is \"true\"; allowed: a list of strings, the program and its arguments, such as [\"sleep\", \"60\"]",
        ),
        (one("ready = 'notify'"), "`ready` is \"notify\"; allowed: a table, written as [program.a.ready]"),
        (
            one("ready = { exec = ['x'], tcp = '[::1]:1' }"),
            "program.a.ready.tcp: `tcp` is given together with `exec`; give one of the two",
        ),
        (engine("live = { engine = true, tcp = '[::1]:1' }"), "`engine` is given together with `tcp`"),
        (one("ready = { tcp = 'db:5432' }"), "other host names are not resolved, for a static program"),
        (one("live = { notify = 'sd', tcp = '[::1]:1' }"), "program.a.live.notify: unknown key"),
        (
            one("live = { engine = true }"),
            "program.a.live.engine: `engine` is no key of kind \"command\"; kinds that have it: \"postgres\"",
        ),
        (
            engine("ready = { tcp = '[::1]:1' }"),
            "s.toml:3: program.a.ready: `ready` is no table of kind \"postgres\"; kinds that have it: \"command\"",
        ),
        (
            job("ready = { tcp = '[::1]:1' }"),
            "s.toml:4: program.a.ready: `ready` is no table of kind \"oneshot\"",
        ),
        (
            job("[program.a.live]\ntcp = '[::1]:1'"),
            "s.toml:4: program.a.live: `live` is no table of kind \"oneshot\"; kinds that have it: \"postgres\", \"command\"",
        ),
        (
            engine("output = { file = 'x' }"),
            "s.toml:3: program.a.output: `output` of kind \"postgres\" is no file: an engine's log collector writes files of its own (see `log_link`), and PID 1 reads the rest, which tells why an engine ended; allowed: \"inherit\", \"prefix\", \"json\"",
        ),
        (
            one("output = 'file'"),
            "`output` is \"file\"; allowed: \"inherit\", \"prefix\", \"json\", or a table such as { file = \"x.log\" }",
        ),
        (one("output = 'prefx'"), "did you mean `prefix`?"),
        (one("output = 5"), "or a table such as"),
        (
            one("output = {}"),
            "program.a.output.file: `file` is missing; allowed: a path, absolute or below `log_dir`",
        ),
        (
            one("output = { file = 'x', size = 10 }"),
            "`size` is 10, which has no unit; give a unit: \"10MiB\"",
        ),
        (one("output = { file = 'x', sise = '1MiB' }"), "did you mean `size`?"),
        (
            one("stop_signal = 'SIGTREM'"),
            "`stop_signal` is \"SIGTREM\"; did you mean `SIGTERM`? allowed: the name of a signal that can end a program: SIGHUP, ",
        ),
        (one("stop_timeout = '1m'"), "longer than a shutdown of all programs may take"),
        (one("restart.min_backoff = '1m'"), "is longer than `max_backoff`"),
        (
            one("data_dir = '/x'"),
            "`data_dir` is no key of kind \"command\"; kinds that have it: \"postgres\"; leave it out",
        ),
        (
            engine("command = ['x']"),
            "`command` is no key of kind \"postgres\"; kinds that have it: \"command\", \"oneshot\"",
        ),
        (
            one("comand = ['x']"),
            "unknown key; did you mean `command`? allowed keys here: kind, command, working_dir, ",
        ),
        (
            "[program.a]\nkind = 'command'\ncomand = ['x']".to_owned(),
            "s.toml:3: program.a.comand: unknown key; did you mean `command`?",
        ),
        ("[program.a]\nkind = 'oneshot'".to_owned(), "s.toml:1: program.a.command: `command` is missing"),
        (
            engine("stop_sgnal = 'INT'"),
            "unknown key; did you mean `stop_signal`? allowed keys here: kind, before, ",
        ),
        // Files.
        (
            commands(&[("a", "output.file = 'x'"), ("b", "output.file = '/log/x'")]),
            "s.toml:8: program.b.output.file: the programs \"a\" and \"b\" write into the same `file` (\"/log/x\"); name another file",
        ),
        (
            commands(&[("a", "output.file = 'x/y'"), ("b", "output.file = 'x'")]),
            "the `file` of one is a folder of the other's",
        ),
        (
            one("output.file = '/log'"),
            "`file` (\"/log\") is `log_dir` of [supervisor] (\"/log\") or a folder above it",
        ),
        (one("output.file = '/run'"), "is `run_dir` of [supervisor]"),
        (one("output.file = '/run/polardb/supervisor.sock'"), "in the place of the control socket"),
        (one("output.file = 'events.jsonl'"), "in the place of the journal of events"),
        (one("output.file = 'events.jsonl.1'"), "in the place of the journal of events"),
        (
            commands(&[("a", "output.file = '/data/x'")]) + "[program.db]\nkind = 'postgres'",
            "`file` (\"/data/x\") is inside of `data_dir` of \"db\" (\"/data\"); name another file",
        ),
        (
            commands(&[("a", "output.file = 'pg_log/x'")]) + "[program.db]\nkind = 'postgres'",
            "is inside of `log_link` of \"db\"",
        ),
        (
            commands(&[("a", "output.file = '/x'")]) + "[program.db]\nkind = 'postgres'\nlock_file = '/x'",
            "(\"/x\") is `lock_file` of \"db\"",
        ),
    ] {
        let said = mistake(&text);
        assert!(said.contains(wanted), "{text}\n{said}");
    }
    // A kind that nobody knows is one mistake: nothing is said of keys that it may have, or of an engine's paths.
    let unknown = "[program.a]\nkind = 'comand'\ncommand = ['x']\nready.tcp = '[::1]:1'\n[program.db]\nkind = 'postgres'\nafter = ['a']\n";
    assert!(mistake(unknown).contains("`kind` is \"comand\""));
}

#[test]
fn what_is_allowed() {
    good(&one("output.file = 'events.jsonl-of-mine'"));
    good(&one("user = 'root'"));
    good(&one("output.file = '/run/polardb/x.log'"));
    assert_eq!(good("[program.a]\nkind = 'postgres'\nlive.engine = false").programs[0].live, None);
    let lines = "live = { engine = false, tcp = '[::1]:1' }";
    assert!(good(&format!("[program.a]\nkind = 'postgres'\n{lines}")).programs[0].live.is_some());
}

#[test]
fn the_defaults_of_each_kind() {
    let config = good(
        "[program.db]\nkind = 'postgres'\n[program.job]\nkind = 'oneshot'\ncommand = ['x']\n\
         [program.pool]\nkind = 'command'\ncommand = ['x']\n",
    );
    let seen: Vec<_> = config
        .programs
        .iter()
        .map(|program| {
            (
                program.process.user.as_deref(),
                program.restart.policy,
                program.stop_timeout.as_secs(),
                program.critical,
                program.output.clone(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            (Some("postgres"), RestartPolicy::Always, 45, true, Output::Inherit),
            (None, RestartPolicy::OnFailure, 10, false, Output::Prefix),
            (None, RestartPolicy::Always, 10, false, Output::Prefix),
        ]
    );
    for program in &config.programs {
        assert_eq!((&program.needs, &program.live), (&Needs::default(), &None));
        let Some(command) = program.kind.command() else { continue };
        assert_eq!((command.stop_signal, command.kill_reach), (15, KillReach::Tree));
        assert_eq!((command.working_dir.as_path(), &command.ready), (Path::new("/"), &None));
    }
    let text = "[program.a]\nkind = 'command'\ncommand = ['x']\nready.tcp = '[::1]:1'\nlive.exec = ['x']\n";
    let Program { kind: Kind::Command(command), live: Some(live), .. } = good(text).programs.remove(0) else {
        panic!("a command with a check")
    };
    assert_eq!(command.ready.map(|ready| ready.timeout.as_secs()), Some(30));
    assert_eq!((live.period.as_secs(), live.timeout.as_secs(), live.failures), (10, 3, 3));
}

#[test]
fn no_program_at_all() {
    let none = good("program = 'none'");
    assert!(none.programs.is_empty());
    assert_eq!(none.supervisor, good("").supervisor);
    assert_eq!(good(&to_toml(&none)), none);
    let served = good("program = 'none'\n[serve]\nlisten = '127.0.0.1:9188'");
    assert_eq!((served.programs.len(), good(&to_toml(&served))), (1, served.clone()));
    let moved = read("s.toml", Some("program = 'none'"), &env(&[("PGDATA", "/elsewhere")])).unwrap();
    assert_eq!(moved, none, "a variable makes no engine");
}
