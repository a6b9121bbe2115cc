//! Mistakes in `supervisor.toml` and in the environment, through the program itself: each said once, with its place and
//! the way out, status 78, and nothing touched.

use std::fs;
use std::path::Path;

use polardb_manager::config;

use crate::common::{Done, Exit, Instance, Plain, Snapshot, TestDir, postgres_user};

/// A key: its name, a value of a wrong type, and a value of the right type that is not allowed.
type Row = (&'static str, &'static str, &'static str);

/// Every key, by section.
#[rustfmt::skip]
const KEYS: &[(&str, &[Row])] = &[
    ("supervisor", &[
        ("run_dir", "1", "\"run\""),
        ("log_dir", "true", "\"/\""),
        ("log_level", "3", "\"loud\""),
        ("log_format", "[]", "\"xml\""),
        ("stop_timeout", "true", "\"10ms\""),
    ]),
    ("serve", &[
        ("listen", "9188", "\"db:9188\""),
    ]),
    ("program.engine", &[
        ("kind", "1", "\"mysql\""),
        ("command", "\"sleep 1\"", "[]"),
        ("working_dir", "[]", "\"tmp\""),
        ("before", "\"other\"", "[\"other\"]"),
        ("after", "1", "[\"Engine\"]"),
        ("requires", "{}", "[\"\"]"),
        ("bound", "1", "\"yes\""),
        ("bin_dir", "false", "\"bin\""),
        ("data_dir", "7", "\"/data/../etc\""),
        ("user", "26", "\"root\""),
        ("groups", "\"disk\"", "[\"two words\"]"),
        ("port", "\"5432\"", "65536"),
        ("socket_dir", "1", "[]"),
        ("init", "true", "\"sometimes\""),
        ("require_mount", "\"yes\"", "1"),
        ("lock_file", "[]", "\"lock\""),
        ("lock_poll", "5.0", "\"5ms\""),
        ("log_link", "1", "\"\""),
        ("log_keep", "[]", "\"1 fortnight\""),
        ("follow_engine_log", "\"true\"", "1"),
        ("conf_template", "{}", "\"sample\""),
        ("initdb_args", "\"--locale=C\"", "[\"--pgdata=/x\"]"),
        ("init_scripts", "0", "\"./initdb.d\""),
        ("stop_mode", "1", "\"slow\""),
        ("stop_signal", "15", "\"SIGSTOP\""),
        ("stop_timeout", "false", "\"-1s\""),
        ("kill_reach", "1", "\"all\""),
        ("critical", "\"true\"", "0"),
        ("output", "true", "\"file\""),
        ("umask", "77", "\"0777\""),
        ("nice", "\"0\"", "20"),
        ("oom_score_adj", "0.5", "1001"),
        ("rlimits", "20000", "{ nofile = -1 }"),
        ("environment", "[]", "{ 1A = \"x\" }"),
        ("parameters", "\"shared_buffers=1GB\"", "{ \"a b\" = 1 }"),
    ]),
    ("program.engine.restart", &[
        ("policy", "true", "\"sometimes\""),
        ("min_backoff", "1.5", "\"fast\""),
        ("max_backoff", "true", "\"0s\""),
        ("clean_exit_delay", "[]", "\"-1s\""),
        ("reset_after", "{}", "\"1x\""),
        ("give_up_after", "\"10\"", "-1"),
        ("on_give_up", "1", "\"die\""),
    ]),
    ("program.engine.ready", &[
        ("exec", "\"true\"", "[\"\"]"),
        ("tcp", "5432", "\"127.0.0.1\""),
        ("notify", "true", "\"systemd\""),
        ("timeout", "[]", "\"1ms\""),
    ]),
    ("program.engine.live", &[
        ("exec", "{}", "[]"),
        ("tcp", "[]", "\"localhost:0\""),
        ("engine", "\"true\"", "1"),
        ("period", "1.5", "\"0s\""),
        ("timeout", "true", "\"never\""),
        ("failures", "\"3\"", "0"),
    ]),
    ("program.engine.output", &[
        ("file", "1", "\"../x.log\""),
        ("size", "1.5", "\"1B\""),
        ("keep", "\"15\"", "-1"),
    ]),
];

/// A program of a kind that has the key, up to the key itself.
fn program(section: &str, key: &str) -> String {
    let own = ["command", "working_dir", "stop_signal", "kill_reach"];
    let command = own.contains(&key) || ["program.engine.ready", "program.engine.output"].contains(&section);
    let mut text = format!("[program.engine]\nkind = \"{}\"\n", if command { "command" } else { "postgres" });
    if command && key != "command" {
        text.push_str("command = [\"sleep\", \"60\"]\n");
    }
    if section != "program.engine" {
        text.push_str(&format!("[{section}]\n"));
    }
    text.push_str(match (section, key) {
        ("program.engine.ready", "timeout") => "exec = [\"true\"]\n",
        ("program.engine.live", "period" | "timeout" | "failures") => "tcp = \"[::1]:1\"\n",
        ("program.engine.output", "size" | "keep") => "file = \"x.log\"\n",
        _ => "",
    });
    text
}

/// A file, and the verbs that read it.
struct File {
    dir: TestDir,
}

impl File {
    fn new() -> Self {
        Self { dir: TestDir::new() }
    }

    fn path(&self) -> String {
        self.dir.path("supervisor.toml").to_str().unwrap().to_owned()
    }

    fn check(&self, content: &str) -> Done {
        self.dir.file("supervisor.toml", content, 0o644);
        Plain::new(["--config", &self.path(), "check"]).run()
    }

    /// The lines that both `check` and `run` say about a file that is refused.
    fn refused(&self, content: &str) -> Vec<String> {
        let checked = self.check(content);
        assert_eq!((checked.code(), checked.stdout.as_str()), (78, ""), "{content}\n{checked:?}");
        let run = Plain::new(["--config", &self.path(), "run"]).run();
        assert_eq!((run.code(), run.stdout.as_str()), (78, ""), "{content}\n{run:?}");
        assert_eq!(run.stderr, checked.stderr);
        checked.stderr.lines().map(str::to_owned).collect()
    }

    /// The one line about a file with one mistake, which has to begin with the file, this line and this key.
    fn refused_once(&self, content: &str, line: usize, key: &str) -> String {
        let said = self.refused(content);
        assert_eq!(said.len(), 1, "{content}\n{said:#?}");
        let place = format!("{}:{line}: {key}", self.path());
        assert!(said[0].starts_with(&place), "{content}\n{place}\n{}", said[0]);
        said[0].clone()
    }
}

/// A file that gives one key in a section, written so, and the line that the key is on.
fn one_key(section: &str, key: &str, written: &str, value: &str) -> (String, usize) {
    let mut text = String::from("# one key\n");
    match section {
        "supervisor" | "serve" => text.push_str(&format!("[{section}]\n")),
        _ if key == "kind" => text.push_str("[program.engine]\n"),
        _ => text.push_str(&program(section, key)),
    }
    text.push_str(&format!("{written} = {value}\n"));
    let line = text.lines().count();
    (text, line)
}

#[test]
fn the_table_here_has_every_key_of_the_reference() {
    let mut known = Vec::new();
    for line in config::reference().lines() {
        if let Some(title) = line.strip_prefix("### `[") {
            known.push((title.trim_end_matches("]`").replace("NAME", "engine"), Vec::new()));
        } else if let Some(row) = line.strip_prefix("| `") {
            let name = row.split('`').next().unwrap();
            known.last_mut().unwrap().1.push(name.to_owned());
        }
    }
    let here: Vec<(String, Vec<String>)> = KEYS
        .iter()
        .map(|(section, keys)| {
            ((*section).to_owned(), keys.iter().map(|(name, ..)| (*name).to_owned()).collect())
        })
        .collect();
    assert_eq!(here, known);
}

#[test]
fn every_key_with_a_wrong_type_or_a_wrong_value() {
    let file = File::new();
    for (section, keys) in KEYS {
        for (key, wrong_type, wrong_value) in *keys {
            for value in [wrong_type, wrong_value] {
                let (content, line) = one_key(section, key, key, value);
                let said = file.refused_once(&content, line, &format!("{section}.{key}"));
                assert!(said.contains("allowed"), "does not say what is allowed: {said}");
            }
        }
    }
}

#[test]
fn every_key_misspelt_names_the_one_that_is_meant() {
    let file = File::new();
    for (section, keys) in KEYS {
        for (key, ..) in *keys {
            let misspelt = format!("{}{}", &key[..1], &key[2..]);
            let (content, line) = one_key(section, key, &misspelt, "\"x\"");
            let said = file.refused_once(&content, line, &format!("{section}.{misspelt}: "));
            assert!(said.contains(&format!("did you mean `{key}`?")), "{misspelt}: {said}");
            assert!(said.contains("allowed"), "does not list what is allowed: {said}");
        }
    }
}

#[test]
fn a_span_without_a_unit_is_told_how_to_get_one() {
    let file = File::new();
    let said = file.refused_once("[supervisor]\nstop_timeout = 45\n", 2, "supervisor.stop_timeout");
    assert!(said.contains("give a unit: \"45s\""), "{said}");
}

#[test]
fn every_mistake_of_a_file_and_of_the_environment_is_said_at_once() {
    let file = File::new();
    let content = "[supervisr]\n\n[supervisor]\nlog_level = \"loud\"\nport = 1\n\n[program.engine]\n\
                   kind = \"postgres\"\nport = 0\nuser = \"root\"\n\n[program.engine.restart]\npolcy = \"always\"\n";
    let said = file.refused(content);
    let places = [
        (1, "supervisr", "did you mean `supervisor`?"),
        (4, "supervisor.log_level", "\"info\""),
        (5, "supervisor.port", "[program.NAME]"),
        (9, "program.engine.port", "1 to 65535"),
        (10, "program.engine.user", "never runs as root"),
        (13, "program.engine.restart.polcy", "did you mean `policy`?"),
    ];
    assert_eq!(said.len(), places.len(), "{said:#?}");
    for (said, (line, key, way_out)) in said.iter().zip(places) {
        assert!(said.starts_with(&format!("{}:{line}: {key}: ", file.path())), "{said}");
        assert!(said.contains(way_out), "{said}");
    }
    let done = Plain::new(["--config", &file.path(), "check"]).env("POLAR_ENGINE_NICE", "nice").run();
    assert_eq!(done.stderr.lines().count(), places.len() + 1);
    let last = done.stderr.lines().last().unwrap();
    assert!(last.starts_with("environment: POLAR_ENGINE_NICE: ") && last.contains("-20 to 19"), "{last}");
}

#[test]
fn text_that_is_no_toml_is_told_by_its_line() {
    let file = File::new();
    for (content, line) in [
        ("[supervisor]\nlog_level = info\n", 2),
        ("[supervisor\n", 1),
        ("a = 1\na = 2\n", 2),
        ("[supervisor]\n\nlog_level = \"info\n", 3),
    ] {
        let said = file.refused(content);
        assert_eq!(said.len(), 1, "{said:#?}");
        assert!(said[0].starts_with(&format!("{}:{line}: no valid TOML: ", file.path())), "{}", said[0]);
    }
}

#[test]
fn a_file_that_is_missing_or_no_text() {
    let dir = TestDir::new();
    dir.file("binary", [b'a', b'\n', 0xff, 0xfe], 0o644);
    dir.file("huge", vec![b'#'; 2 << 20], 0o644);
    for (name, cause, way_out) in [
        ("missing.toml", "there is no such file", "leave --config out"),
        ("data", "it is a directory", "name the file in it"),
        ("huge", "longer than", "check the path"),
        ("binary", ":2: not UTF-8", "save the file as UTF-8"),
    ] {
        let path = dir.path(name).to_str().unwrap().to_owned();
        for verb in ["check", "run"] {
            let done = Plain::new(["--config", &path, verb]).run();
            assert_eq!((done.code(), done.stdout.as_str()), (78, ""), "{done:?}");
            assert_eq!(done.stderr.lines().count(), 1, "{done:?}");
            assert!(done.stderr.starts_with(&path), "{done:?}");
            assert!(done.stderr.contains(cause) && done.stderr.contains(way_out), "{done:?}");
        }
    }
}

#[test]
fn a_file_that_the_user_may_not_read() {
    let user = postgres_user();
    let builder = Instance::builder().without_config().account(user.uid, user.gid);
    let file = builder.dir.path("secret.toml");
    fs::write(&file, "").unwrap();
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let mut instance = builder.arg("--config").arg(&file).arg("run").start();
    assert_eq!(instance.wait(), Exit::Code(78));
    let log = instance.log();
    assert!(log.starts_with(file.to_str().unwrap()) && log.contains("permission denied"), "{log}");
}

#[test]
fn variables_override_the_file_and_are_checked_as_it_is() {
    let file = File::new();
    file.check("[program.engine]\nkind = \"postgres\"\nport = 1\ndata_dir = \"/file\"\n");
    let path = file.path();
    let with = |pairs: &[(&str, &str)]| {
        let plain = Plain::new(["--config", &path, "check"]);
        pairs.iter().fold(plain, |plain, (key, value)| plain.env(key, value)).run()
    };
    for (pairs, wanted) in [
        (&[("POLAR_ENGINE_PORT", "5433")][..], "\nport = 5433\n"),
        (&[("POLARDB_PORT", "5434")], "\nport = 5434\n"),
        (&[("POLARDB_PORT", "5434"), ("POLAR_ENGINE_PORT", "5433")], "\nport = 5433\n"),
        (&[("PGDATA", "/variable")], "\ndata_dir = \"/variable\"\n"),
        (&[("POLAR_ENGINE_PORT", "")], "\nport = 1\n"),
        (&[("POLAR_SUPERVISOR_LOG_FORMAT", "json")], "\nlog_format = \"json\"\n"),
        (&[("POLAR_ENGINE_RESTART_GIVE_UP_AFTER", "3")], "\ngive_up_after = 3\n"),
        (&[("POLAR_ENGINE_SOCKET_DIR", "/a,/b")], "\nsocket_dir = [\"/a\", \"/b\"]\n"),
        (&[("POLAR_ENGINE_RLIMITS_NOFILE", "7")], "\nrlimits = { nofile = 7 }\n"),
        (&[("POLAR_ENGINE_PARAMETERS_WORK_MEM", "9MB")], "\n\"work_mem\" = \"9MB\"\n"),
    ] {
        let done = with(pairs);
        assert_eq!((done.code(), done.stderr.as_str()), (0, ""), "{pairs:?}");
        assert!(done.stdout.contains(wanted), "{pairs:?}: {}", done.stdout);
    }
    for (key, value, way_out) in [
        ("POLAR_ENGINE_PORT", "many", "1 to 65535"),
        ("POLARDB_PORT", "0", "1 to 65535"),
        ("PGDATA", "relative", "an absolute path"),
        ("POLAR_ENGINE_PROT", "1", "did you mean `POLAR_ENGINE_PORT`?"),
        ("POLAR_SUPERVISOR_LOGLEVEL", "info", "did you mean `POLAR_SUPERVISOR_LOG_LEVEL`?"),
        ("POLAR_ENGINE_RESTART_POLICY", "ever", "\"on-failure\""),
        ("POLAR_ENGINE_RLIMITS_NOFILES", "1", "did you mean `nofile`?"),
        ("POLAR_ENGINE_ENVIRONMENT", "x", "POLAR_ENGINE_ENVIRONMENT_<NAME>"),
        ("POLAR_ENGINE_CRITICAL", "yes", "true, false"),
    ] {
        let done = with(&[(key, value)]);
        assert_eq!((done.code(), done.stdout.as_str()), (78, ""), "{key}: {done:?}");
        assert_eq!(done.stderr.lines().count(), 1, "{done:?}");
        assert!(done.stderr.starts_with(&format!("environment: {key}: ")), "{done:?}");
        assert!(done.stderr.contains(way_out), "{done:?}");
    }
}

#[test]
fn a_port_from_a_file() {
    let dir = TestDir::new();
    let good = dir.file("port", "5435\n", 0o644);
    let secret = dir.file("password", "hunter2\n", 0o644);
    let missing = dir.path("missing");
    let with = |file: &Path| Plain::new(["check"]).env("POLARDB_PORT_FILE", file);
    assert!(with(&good).run().success().contains("\nport = 5435\n"));
    for (plain, way_out) in [
        (with(&good).env("POLARDB_PORT", "5434"), "set one of the two"),
        (with(&missing), "name a file that holds the port"),
        (with(&secret), "1 to 65535"),
    ] {
        let done = plain.run();
        assert_eq!((done.code(), done.stdout.as_str()), (78, ""), "{done:?}");
        assert!(done.stderr.starts_with("environment: POLARDB_PORT_FILE: "), "{done:?}");
        assert!(done.stderr.contains(way_out) && !done.stderr.contains("hunter2"), "{done:?}");
    }
}

#[test]
fn no_message_shows_what_may_be_a_secret() {
    let file = File::new();
    let content = "[program.engine]\nkind = \"postgres\"\n[program.engine.environment]\n\"A-B\" = \"hunter2\"\n\
                   [program.engine.parameters]\nprimary_conninfo = \"hunter2\\n\"\n";
    let said = file.refused(content).join("\n");
    assert!(said.lines().count() == 2 && !said.contains("hunter2"), "{said}");
}

/// The effective configuration of a file, which has to be one that means the same.
fn effective(file: &File, content: &str) -> String {
    let first = file.check(content).success();
    let second = file.check(&first).success();
    assert_eq!(first, second);
    first
}

#[test]
fn what_check_prints_means_the_same() {
    let file = File::new();
    // What is off unless given, given; beside an engine as it is by default.
    let defaults = effective(
        &file,
        "serve.listen = \"[::]:9188\"\n[program.engine]\nkind = \"postgres\"\nlive.engine = true\n\
         [program.pool]\nkind = \"command\"\ncommand = [\"pool\"]\nready.exec = [\"true\"]\noutput.file = \"x\"\n\
         live.tcp = \"localhost:1\"\n[program.sd]\nkind = \"command\"\ncommand = [\"sd\"]\nready.notify = \"sd\"\n",
    );
    for (section, keys) in KEYS {
        let own = ["engine", "pool"].map(|name| format!("[{}]\n", section.replace("engine", name)));
        assert!(own.iter().any(|title| defaults.contains(title)), "{section} is not in {defaults}");
        // These have no default, or are said otherwise.
        let unset = ["bin_dir", "conf_template", "umask", "nice", "oom_score_adj", "parameters", "before"];
        for (key, ..) in keys.iter().filter(|(key, ..)| !unset.contains(key)) {
            assert!(defaults.contains(&format!("\n{key} = ")), "{key} is not in {defaults}");
        }
    }
    let given = effective(
        &file,
        "[supervisor]\nlog_level = \"debug\"\nstop_timeout = \"2m30s\"\n[program.two]\nkind = \"postgres\"\n\
         data_dir = \"/two \\\"quoted\\\"\"\nport = 5433\nlog_link = \"/log/two\"\numask = \"0027\"\nnice = -5\n\
         rlimits = { core = \"unlimited\", nofile = 1 }\nenvironment = { A = \"b = 'c'\" }\ninit = \"wait\"\n\
         [program.two.parameters]\nauto_explain.log_analyze = true\nwork_mem = \"8MB\"\n\
         [program.one]\nkind = \"postgres\"\nlock_poll = \"0s\"\n[program.one.restart]\npolicy = \"never\"\n",
    );
    for wanted in [
        "log_level = \"debug\"",
        "stop_timeout = \"2m30s\"",
        "umask = \"0027\"",
        "core = \"unlimited\"",
        "\"auto_explain.log_analyze\" = \"on\"",
        "lock_poll = \"0s\"",
        "policy = \"never\"",
    ] {
        assert!(given.contains(wanted), "{wanted} is not in {given}");
    }
}

/// A PID 1 without `--config` whose `/etc` is empty but for what `setup` makes.
fn without_file(setup: &str) -> (Exit, String) {
    let builder = Instance::builder().without_config().arg("check");
    let mut instance = builder.setup("mount -t tmpfs tmpfs /etc").setup(setup).start();
    (instance.wait(), instance.log())
}

#[test]
fn without_any_file_the_built_in_defaults_hold() {
    let (exit, printed) = without_file(":");
    assert_eq!(exit, Exit::Code(0), "{printed}");
    assert_eq!(printed, File::new().check("").stdout);
}

#[test]
fn the_file_in_its_usual_place_is_found_and_a_dangling_link_there_is_no_absence() {
    let (exit, printed) = without_file(
        "mkdir /etc/polardb; printf '[supervisor]\\nlog_dir = \"/l\"\\n' > /etc/polardb/supervisor.toml",
    );
    assert_eq!(exit, Exit::Code(0), "{printed}");
    assert!(printed.contains("log_dir = \"/l\"\n"), "{printed}");
    let (exit, said) = without_file("mkdir /etc/polardb; ln -s /nowhere /etc/polardb/supervisor.toml");
    assert_eq!(exit, Exit::Code(78), "{said}");
    assert!(said.starts_with("/etc/polardb/supervisor.toml: cannot be read: "), "{said}");
}

#[test]
fn a_bad_configuration_changes_nothing_on_disk() {
    let builder = Instance::builder().set("program.engine.stop_mode", "slow").arg("run");
    let folders = ["data", "log", "run", "sock", "initdb.d"].map(|name| builder.dir.path(name));
    let before = folders.each_ref().map(|folder| Snapshot::of(folder));
    let mut instance = builder.start();
    assert_eq!(instance.wait(), Exit::Code(78));
    for (before, folder) in before.iter().zip(&folders) {
        before.assert_same(folder);
    }
    let log = instance.log();
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(log.contains("program.engine.stop_mode: ") && log.contains("\"immediate\""), "{log}");
    assert!(!Path::new(&folders[2]).join("supervisor.sock").exists());
}
