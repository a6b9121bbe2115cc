//! What files mean, what they may not say, and the way back.

use std::time::Duration;

use super::*;

/// A file with every key off its default.
const FULL: &str = r#"
[supervisor]
run_dir = "/run/x"
log_dir = "/logs/"
log_level = "trace"
log_format = "json"
stop_timeout = "2m"
[serve]
listen = "localhost:9188"
[program.db]
kind = "postgres"
before = ["pool"]
after = ["job"]
output = "json"
live = { engine = true, period = "1s", timeout = "200ms", failures = 1 }
follow_engine_log = false
bin_dir = "/opt/pg/bin"
data_dir = "//var//lib/./db/"
user = "pg"
groups = ["disk", "ssl-cert"]
port = 6000
socket_dir = "/tmp/s"
init = "wait"
require_mount = true
lock_file = "/var/lock/db"
lock_poll = "250ms"
log_link = "/logs/db"
log_keep = "0s"
conf_template = "/etc/t \"quoted\" \\ 'x'"
initdb_args = ["-k", "--locale=de_DE.UTF-8 \"x\""]
init_scripts = "/scripts"
stop_mode = "smart"
stop_timeout = "1m30s"
critical = false
umask = "0027"
nice = -5
oom_score_adj = -900
[program.db.rlimits]
core = "unlimited"
nofile = 0
[program.db.environment]
TZ = "UTC"
_x = "line\nline \"'\\ é"
[program.db.parameters]
Shared_Buffers = "256MB"
max_connections = 0x64
random_page_cost = 1.1
jit = false
fsync = true
auto_explain.log_min_duration = "5s"
"a.b.c" = ""
archive_command = "cp \"%p\" 'x"
[program.db.restart]
policy = "on-failure"
min_backoff = "1s"
max_backoff = "1h"
clean_exit_delay = "0s"
reset_after = "5m"
give_up_after = 0
on_give_up = "stay"
[program.job]
kind = "oneshot"
command = ["/bin/job", "", "a b"]
restart.policy = "always"
output = { file = "job//x.log", size = "64KiB", keep = 0 }
stop_signal = "KILL"
kill_reach = "main"
user = "root"
critical = true
[program.pool]
kind = "command"
command = ["pool"]
working_dir = "/srv/"
requires = ["db", "job"]
bound = true
ready = { exec = ["true"], timeout = "1m" }
live = { exec = ["true", "é\"\n"] }
stop_signal = "SIGUSR1"
kill_reach = "group"
output = "inherit"
[program.pool-a]
kind = "command"
command = ["pool"]
ready.tcp = "[::1]:5432"
live.tcp = "0.0.0.0:1"
output.file = "/var/log/a"
[program.pool-b]
kind = "command"
command = ["pool"]
ready.notify = "sd"
[program.pool-c]
kind = "command"
command = ["pool"]
ready.notify = 3
"#;

/// A program of each kind with nothing given that has a default.
const LEAST: &str = "[program.db]\nkind = 'postgres'\n[program.job]\nkind = 'oneshot'\ncommand = ['x']\n\
                     [program.pool]\nkind = 'command'\ncommand = ['x']\n";

fn again(config: &Config) -> Config {
    good(&to_toml(config))
}

#[test]
fn the_defaults() {
    let config = read("f", None, &[]).expect("built in");
    assert_eq!(config, good(""));
    assert_eq!(config, good("[program.engine]\nkind = 'postgres'"));
    assert_eq!(again(&config), config);
    let program = &config.programs[0];
    let engine = engine(&config);
    assert_eq!((program.name.as_str(), program.stop_timeout), ("engine", Duration::from_secs(45)));
    assert_eq!(program.process.user.as_deref(), Some("postgres"));
    assert_eq!(program.process.rlimits, std::collections::BTreeMap::new());
    assert_eq!((engine.data_dir.as_path(), engine.port), (Path::new("/data"), 5432));
    assert_eq!(engine.socket_dir, [Path::new("/data"), Path::new("/var/run/postgresql")]);
    assert_eq!(engine.lock_file, Path::new("/data/ins_lock"));
    assert_eq!(engine.log_link, Path::new("/log/pg_log"));
    assert_eq!(engine.initdb_args, ["--data-checksums", "--encoding=UTF8", "--locale=C"]);
    assert_eq!(program.restart.give_up_after, 10);
    assert_eq!(engine.log_keep, Duration::from_secs(7 * 86_400));
}

/// Each line with the beginning of its section's name, which is the same for programs of one kind in these files.
fn lines(text: &str) -> Vec<(String, String)> {
    let mut section = String::new();
    text.lines()
        .map(|line| {
            if line.starts_with('[') {
                section = line.split(['-', ']']).next().unwrap_or_default().to_owned();
            }
            (section.clone(), line.to_owned())
        })
        .collect()
}

#[test]
fn every_key_off_its_default_comes_back() {
    let config = good(FULL);
    let text = to_toml(&config);
    assert_eq!(good(&text), config, "{text}");
    let defaults = lines(&to_toml(&good(LEAST)));
    let given = lines(&text);
    for key in super::super::keys::KEYS {
        let (line, table) = (format!("{} = ", key.name), format!(".{}]", key.name));
        let mut own = given.iter().filter(|(_, at)| at.starts_with(&line) || at.ends_with(&table));
        // The `before` of one is the `after` of the other.
        let off = key.name == "before" || own.any(|at| key.name == "kind" || !defaults.contains(at));
        assert!(off, "{}\n{text}", key.name);
    }
    let db = config.programs[0].kind.engine().expect("an engine");
    let pool = config.programs.iter().find(|program| program.name == "pool").expect("pool");
    assert_eq!(
        (pool.needs.after.len(), pool.needs.requires.len()),
        (0, 2),
        "what is required is waited for anyway"
    );
    assert_eq!(db.data_dir, Path::new("/var/lib/db"));
    assert_eq!(db.data_dir.to_string_lossy(), "/var/lib/db", "extra slashes are dropped");
    let parameter = |name: &str| db.parameters[name].as_str();
    assert_eq!(parameter("shared_buffers"), "256MB");
    assert_eq!(parameter("max_connections"), "100");
    assert_eq!(parameter("random_page_cost"), "1.1");
    assert_eq!((parameter("jit"), parameter("fsync")), ("off", "on"));
    assert_eq!(parameter("auto_explain.log_min_duration"), "5s");
    assert_eq!(parameter("archive_command"), "cp \"%p\" 'x");
    assert_eq!(
        config.programs[0].process.rlimits,
        [("core".to_owned(), u64::MAX), ("nofile".to_owned(), 0)].into()
    );
    assert_eq!(config.programs[0].process.umask, Some(0o027));
}

#[test]
fn paths_follow_the_folders_they_default_to() {
    let config =
        good("[supervisor]\nlog_dir = '/l'\n[program.engine]\nkind = 'postgres'\ndata_dir = '/d\"\\x'");
    let engine = engine(&config);
    assert_eq!(engine.socket_dir[0], Path::new("/d\"\\x"));
    assert_eq!(engine.lock_file, Path::new("/d\"\\x/ins_lock"));
    assert_eq!(engine.log_link, Path::new("/l/pg_log"));
    assert_eq!(again(&config), config);
}

#[test]
fn less_time_for_all_is_less_time_for_each() {
    let config = good("[supervisor]\nstop_timeout = '20s'");
    assert_eq!(config.programs[0].stop_timeout, Duration::from_secs(20));
    assert_eq!(again(&config), config);
}

#[test]
fn all_mistakes_of_a_file_are_said() {
    let text = "[supervisor]\nlog_levl = 'info'\nstop_timeout = 50\n[serve]\nlisten = 1\n\
                [program.engine]\nport = 0\nuser = 'root'\n[program.engine.restart]\npolcy = 'always'\npolicy = 'sometimes'\n";
    let said: Vec<String> = mistakes(text).iter().map(ToString::to_string).collect();
    let begins = [
        "s.toml:2: supervisor.log_levl: unknown key; did you mean `log_level`? allowed keys here: run_dir, log_dir, ",
        "s.toml:3: supervisor.stop_timeout: `stop_timeout` is 50, which has no unit; give a unit: \"50s\"",
        "s.toml:5: serve.listen: `listen` is 1; allowed: an address and a port like \"127.0.0.1:5432\"",
        "s.toml:6: program.engine.kind: `kind` is missing; allowed: \"postgres\", \"command\", \"oneshot\"",
        "s.toml:7: program.engine.port: `port` is 0; allowed: an integer, 1 to 65535",
        "s.toml:10: program.engine.restart.polcy: unknown key; did you mean `policy`? allowed keys here: policy, ",
        "s.toml:11: program.engine.restart.policy: `policy` is \"sometimes\"; allowed: \"always\", \"on-failure\", \"never\"",
    ];
    assert_eq!(said.len(), begins.len(), "{said:#?}");
    for (said, begin) in said.iter().zip(begins) {
        assert!(said.starts_with(begin), "{said}\n{begin}");
    }
}

#[test]
fn single_mistakes_and_what_is_said() {
    let program = "[program.engine]\nkind = 'postgres'\n";
    let db = |name: &str, rest: &str| format!("[program.{name}]\nkind = 'postgres'\n{rest}\n");
    let both = |one: &str, other: &str| db("a", one) + &db("b", other);
    for (text, wanted) in [
        ("port = 1".to_owned(), "s.toml:1: port: unknown section; the key belongs into [program.NAME]"),
        ("[supervisr]".to_owned(), "s.toml:1: supervisr: unknown section; did you mean `supervisor`?"),
        ("supervisor = 5".to_owned(), "`supervisor` is 5; allowed: a table, written as [supervisor]"),
        ("[[supervisor]]".to_owned(), "`supervisor` is a list; allowed: a table, written as [supervisor]"),
        ("program = 'non'".to_owned(), "`program` is \"non\"; allowed: a table, written as [program.NAME]"),
        ("program = 5".to_owned(), "allowed: a table, written as [program.NAME]"),
        ("[program]".to_owned(), "s.toml:1: program: no program is named; write `[program.engine]`"),
        ("[program]\nport = 5".to_owned(), "the key `port` belongs into [program.NAME]"),
        (
            "[[program.engine]]".to_owned(),
            "`engine` is a list; allowed: a table, written as [program.engine]",
        ),
        (
            "[program.engine]\nkind = 'comand'".to_owned(),
            "`kind` is \"comand\"; allowed: \"postgres\", \"command\", \"oneshot\"; did you mean `command`?",
        ),
        (
            "[srve]".to_owned(),
            "s.toml:1: srve: unknown section; did you mean `serve`? allowed here: [supervisor], [serve]",
        ),
        ("serve = 'x'".to_owned(), "`serve` is \"x\"; allowed: a table, written as [serve]"),
        ("[serve]\nlisen = 'x'".to_owned(), "s.toml:2: serve.lisen: unknown key; did you mean `listen`?"),
        (db("serve", ""), "\"serve\" is taken by a section"),
        (
            format!("{program}user = 'root'"),
            "s.toml:3: program.engine.user: `user` is \"root\"; allowed: the name of a user; for kind \"postgres\" other than \"root\", for an engine never runs as root",
        ),
        (
            "[program.engine]".to_owned(),
            "s.toml:1: program.engine.kind: `kind` is missing; allowed: \"postgres\"",
        ),
        (db("Engine", ""), "\"Engine\" is no name of a program; allowed: lower-case letters"),
        (db("\"\"", ""), "program.\"\": \"\" is no name of a program"),
        (db("\"a.b\"", ""), "\"a.b\" is no name of a program"),
        (db(&"a".repeat(33), ""), "at most 32"),
        (db("supervisor", ""), "\"supervisor\" is taken by a section"),
        (
            format!("{program}restart = 'always'"),
            "`restart` is \"always\"; allowed: a table, written as [program.engine.restart]",
        ),
        (
            format!("{program}policy = 'always'"),
            "program.engine.policy: unknown key; it belongs into [program.NAME.restart]",
        ),
        (format!("{program}log_dir = '/x'"), "it belongs into [supervisor]"),
        (
            format!("{program}rlimits = {{ nofil = 1 }}"),
            "s.toml:3: program.engine.rlimits.nofil: unknown limit; did you mean `nofile`?",
        ),
        (format!("{program}\"a\\nb\" = 1"), "s.toml:3: program.engine.\"a\\nb\": unknown key"),
        (format!("{program}stop_mode = 'fats'"), "did you mean `fast`?"),
        (format!("{program}parameters.port = 5433"), "`port` may not be set here: use the key `port`"),
        (
            format!("{program}initdb_args = ['-D', '/x']"),
            "not -D: first boot gives its own; use the key `data_dir`",
        ),
        (format!("{program}lock_file = '/{}'", "x".repeat(2000)), "x...\"; allowed: an absolute path"),
        (format!("{program}lock_poll = '5'"), "`lock_poll` is \"5\", which has no unit; give a unit: \"5s\""),
        ("[supervisor]\nrun_dir = '/".to_owned() + &"x".repeat(91) + "'", "of at most 91 bytes"),
        // Spans and paths against each other.
        (
            format!("{program}stop_timeout = '1m'"),
            "s.toml:3: program.engine.stop_timeout: `stop_timeout` is \"60s\", longer than a shutdown of all programs may take: \"50s\", its default; raise `stop_timeout` of [supervisor]",
        ),
        (format!("[supervisor]\nstop_timeout = '20s'\n{program}stop_timeout = '30s'"), "\"20s\"; raise"),
        (
            format!("{program}restart.min_backoff = '1m'"),
            "s.toml:3: program.engine.restart.min_backoff: `min_backoff` (\"60s\") is longer than `max_backoff` (\"30s\")",
        ),
        (
            format!("{program}restart = {{ max_backoff = '1s', min_backoff = '2s' }}"),
            "restart.max_backoff: `min_backoff`",
        ),
        (
            format!("{program}log_link = '/data'"),
            "`log_link` (\"/data\") is `data_dir` (\"/data\") or a folder above it",
        ),
        (format!("{program}log_link = '/log'"), "is `log_dir`"),
        (
            format!("{program}log_link = '/data/base'"),
            "could take the place of the database's own files; allowed there: \"/data/pg_log\"",
        ),
        (format!("{program}lock_file = '/data/'"), "`lock_file` (\"/data\") is `data_dir`"),
        (format!("{program}lock_file = '/run'"), "`lock_file` (\"/run\") is `run_dir`"),
        (format!("{program}lock_file = '/log/pg_log'"), "are in each other's way"),
        (format!("{program}data_dir = '/run'"), "`data_dir` (\"/run\") holds `run_dir`"),
        // Engines side by side.
        (
            both("", "port = 5433"),
            "s.toml:4: program.b.data_dir: the programs \"a\" and \"b\" have the same `data_dir` (\"/data\")",
        ),
        (both("", "data_dir = '/data/b'\nport = 5433"), "inside of the other's (\"/data\", \"/data/b\")"),
        (both("", "data_dir = '/b'\nport = 5433"), "have the same `log_link` (\"/log/pg_log\")"),
        (
            both("", "data_dir = '/b'\nlog_link = '/log/b'"),
            "have the same `port` (5432) and share a folder of `socket_dir` (\"/var/run/postgresql\")",
        ),
        (
            both("", "data_dir = '/b'\nlog_link = '/log/b'\nport = 5433\nlock_file = '/data/ins_lock'"),
            "s.toml:9: program.b.lock_file: the programs \"a\" and \"b\" have the same `lock_file`",
        ),
        (
            both("", "data_dir = '/b'\nlog_link = '/data/base'\nport = 5433"),
            "is inside of the other's `data_dir`",
        ),
        (
            db("a-b", "") + &db("a_b", "data_dir = '/b'\nlog_link = '/log/b'\nport = 1"),
            "share their variables POLAR_A_B_...",
        ),
    ] {
        let said = mistake(&text);
        assert!(said.contains(wanted), "{text}\n{said}");
        assert!(!said.contains('\n') && said.starts_with("s.toml:"), "{said}");
    }
}

#[test]
fn what_may_stand_side_by_side() {
    let two = "[program.a]\nkind = 'postgres'\n[program.b]\nkind = 'postgres'\ndata_dir = '/b'\nlog_link = '/log/b'\n";
    let apart = format!("{two}port = 5433");
    assert_eq!(good(&apart).programs.len(), 2);
    assert_eq!(again(&good(&apart)), good(&apart));
    good(&format!("{two}socket_dir = '/b'"));
    let names: Vec<String> = good(&apart).programs.into_iter().map(|program| program.name).collect();
    assert_eq!(names, ["a", "b"]);
    good("[program.a]\nkind = 'postgres'\nlog_link = '/data/pg_log'");
}

#[test]
fn no_secret_is_shown() {
    for text in [
        "environment = 'hunter2'",
        "environment.A = 'hunter2\\u0000'",
        "environment = { A = ['hunter2'] }",
        "parameters = 'hunter2'",
        "parameters.primary_conninfo = \"password=hunter2\\n\"",
        "parameters.port = 'hunter2'",
    ] {
        let text = format!(
            "[program.engine]\nkind = 'postgres'\n{}",
            text.replace("'hunter2\\u0000'", "\"hunter2\\u0000\"")
        );
        let said = mistake(&text);
        assert!(!said.contains("hunter2"), "{said}");
    }
    let said = mistake("[program.engine]\nkind = 'postgres'\nenvironment.A = 'hunter2");
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn no_toml_is_one_mistake() {
    let said = mistake("[supervisor]\nrun_dir = \nlog_dir = \n");
    assert!(said.starts_with("s.toml:2: no valid TOML: "), "{said}");
    assert!(mistake("a = 1\na = 2").starts_with("s.toml:2: no valid TOML: duplicate key"));
}

#[test]
fn files_that_cannot_be_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("s.toml");
    let said = |path: &Path| {
        let mistakes = load(Source::File(path), &[]).expect_err("unreadable").0;
        assert_eq!(mistakes.len(), 1);
        mistakes[0].to_string()
    };
    assert!(said(&path).contains("s.toml: cannot be read: there is no such file; give --config"));
    assert!(said(folder.path()).contains("cannot be read: it is a directory"));
    std::fs::write(&path, b"# good\n# \xff\n").expect("written");
    assert!(said(&path).contains("s.toml:2: not UTF-8"));
    std::fs::write(&path, vec![b'#'; 2 << 20]).expect("written");
    assert!(said(&path).contains("longer than 1048576 bytes"));
    std::fs::write(&path, "[supervisor]\nlog_level = 'debug'\n").expect("written");
    let config = load(Source::File(&path), &[]).expect("good");
    assert_eq!(config.supervisor.log_level, LogLevel::Debug);
    assert!(
        unreadable(&io::Error::from(io::ErrorKind::PermissionDenied)).contains("permission denied; make")
    );
}

#[test]
fn the_default_file_may_be_missing_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("supervisor.toml");
    assert_eq!(load_default(&path, &[]).expect("built in"), good(""));
    std::os::unix::fs::symlink("nowhere", &path).expect("a link");
    assert!(load_default(&path, &[]).is_err(), "a link to nothing");
    std::fs::remove_file(&path).expect("removed");
    std::fs::write(&path, "[supervisor]\nlog_level = 'nothing'").expect("written");
    assert!(load_default(&path, &[]).is_err());
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("pipe");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    let (tell, told) = std::sync::mpsc::channel();
    let (source, port) = (path.clone(), path.display().to_string());
    std::thread::spawn(move || {
        let _ = tell.send(crate::config::load(crate::config::Source::File(&source), &[]));
        let port_file = [("POLARDB_PORT_FILE".to_owned(), port)];
        let _ = tell.send(crate::config::load(crate::config::Source::File("/dev/null".as_ref()), &port_file));
    });
    for _ in 0..2 {
        let answer = told.recv_timeout(std::time::Duration::from_secs(20)).expect("an answer");
        let said = answer.expect_err("no configuration").to_string();
        assert!(said.contains("not a regular file"), "{said}");
    }
}
