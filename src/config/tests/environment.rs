//! Variables over the file.

use std::time::Duration;

use super::super::form::Form;
use super::super::keys::{KEYS, Key, Preset, RIVALS, Section};
use super::keys::{OTHER, base, least};
use super::*;

fn with(text: &str, pairs: &[(&str, &str)]) -> Config {
    read("s.toml", Some(text), &env(pairs)).unwrap_or_else(|mistakes| panic!("{pairs:?}\n{mistakes}"))
}

fn against(text: &str, pairs: &[(&str, &str)]) -> Mistake {
    let all = read("s.toml", Some(text), &env(pairs)).expect_err("a mistake").0;
    assert_eq!(all.len(), 1, "{pairs:?}\n{all:#?}");
    assert_eq!((all[0].file.as_str(), all[0].line), (ENVIRONMENT, None));
    assert!(!all[0].to_string().contains('\n'));
    all[0].clone()
}

/// The variable of a key.
fn variable(key: &Key) -> String {
    let section = key.section.title().replace("program.NAME", "engine").replace('.', "_").to_uppercase();
    format!("POLAR_{section}_{}", key.name.to_uppercase())
}

/// A file that goes with the key as a variable.
fn beside(key: &Key) -> String {
    let rival = RIVALS.iter().any(|rivals| rivals.contains(&(key.section, key.name)));
    match (key.section, key.name) {
        (Section::Program, "kind") => String::new(),
        _ if rival => least(key.sorts[0]) + OTHER,
        _ => base(key) + OTHER,
    }
}

#[test]
fn each_key_has_a_variable() {
    for key in KEYS {
        let name = variable(key);
        let (wrong, entry) = match key.form {
            Form::Limits => ("many", "_NOFILE"),
            Form::Variables => ("x\0", "_TZ"),
            Form::Parameters => ("x\ny", "_JIT"),
            _ => ("?\0", ""),
        };
        let text = beside(key);
        let name = format!("{name}{entry}");
        let mistake = against(&text, &[(&name, wrong)]);
        assert_eq!(mistake.key, name);
        assert!(mistake.what.contains("allowed: ") || mistake.what.contains("unit"), "{mistake}");
        // What must be given has no default, and an empty variable gives nothing.
        if key.default(key.sorts[0]) == Preset::Required && key.name != "kind" {
            continue;
        }
        // An empty variable counts as unset.
        assert_eq!(with(&text, &[(&name, "")]), good(&text));
        // The default, written as a variable, changes nothing.
        if let Preset::Is(default) = key.default(key.sorts[0]) {
            let default = default.replace("<data_dir>", "/data").replace("<log_dir>", "/log");
            if !key.form.is_table() {
                assert_eq!(with(&text, &[(&name, default.trim_matches('"'))]), good(&text), "{name}");
            }
        }
    }
}

#[test]
fn each_misspelt_variable_is_told_its_nearest() {
    for key in KEYS.iter().filter(|key| !key.form.is_table()) {
        let right = variable(key);
        let text = match key.default(key.sorts[0]) {
            Preset::Required if key.section == Section::Program => least(key.sorts[0]),
            _ => beside(key),
        };
        let mistake = against(&text, &[(&format!("{right}X"), "1")]);
        assert_eq!(mistake.key, format!("{right}X"));
        assert_eq!(mistake.near, Some(right.clone()));
        assert!(mistake.what.contains(&format!("did you mean `{right}`?")), "{mistake}");
    }
    let mistake = against("", &[("POLAR_ENGINE_RLIMITS_NOFIL", "1")]);
    assert_eq!(mistake.near.as_deref(), Some("POLAR_ENGINE_RLIMITS_NOFILE"));
    // The keys of other kinds are not offered.
    let known = against("", &[("POLAR_ENGINE_X", "1")]).what;
    assert!(
        known.contains("DATA_DIR") && known.contains("LIVE_ENGINE") && !known.contains("READY_"),
        "{known}"
    );
}

#[test]
fn nested_keys_over_the_file() {
    let text = "[program.job]\nkind = 'oneshot'\ncommand = ['x']\n[program.pfsd]\nkind = 'command'\ncommand = ['x']\n\
                ready = { exec = ['a', 'b'], timeout = '40s' }\noutput = { file = 'a.log', keep = 3 }\n";
    let pfsd = |pairs: &[(&str, &str)]| {
        let config = with(text, pairs);
        let program = config.programs.iter().find(|program| program.name == "pfsd").expect("pfsd").clone();
        let ready = program.kind.command().expect("a command").ready.clone().expect("ready");
        (program, ready)
    };
    let (program, ready) = pfsd(&[
        ("POLAR_PFSD_READY_TIMEOUT", "5s"),
        ("POLAR_PFSD_LIVE_TCP", "localhost:5"),
        ("POLAR_PFSD_OUTPUT_SIZE", "1GiB"),
        ("POLAR_PFSD_COMMAND", "[\"a\", \"b,c\"]"),
        ("POLAR_PFSD_AFTER", "job"),
        ("POLAR_PFSD_STOP_SIGNAL", "INT"),
    ]);
    assert_eq!(
        ready,
        Ready { check: Check::Exec(vec!["a".into(), "b".into()]), timeout: Duration::from_secs(5) }
    );
    let live = program.live.expect("live");
    assert_eq!((live.check, live.failures), (Check::Tcp("127.0.0.1:5".parse().expect("an address")), 3));
    assert_eq!(program.needs.after, ["job"]);
    let command = program.kind.command().expect("a command");
    assert_eq!((command.command.as_slice(), command.stop_signal), (["a".into(), "b,c".into()].as_slice(), 2));
    let Output::File(file) = program.output else { panic!("{:?}", program.output) };
    assert_eq!((file.file.as_path(), file.size, file.keep), (Path::new("/log/a.log"), 1 << 30, 3));
    // What can be given once only takes the place of the file's.
    let (program, ready) = pfsd(&[("POLAR_PFSD_READY_NOTIFY", "3"), ("POLAR_PFSD_OUTPUT", "json")]);
    assert_eq!(ready, Ready { check: Check::NotifyFd(3), timeout: Duration::from_secs(40) });
    assert_eq!(program.output, Output::Json);
    let (program, _) = pfsd(&[("POLAR_PFSD_OUTPUT_FILE", "/b")]);
    assert!(matches!(program.output, Output::File(file) if file.file == Path::new("/b") && file.keep == 3));
    let both = [("POLAR_PFSD_OUTPUT", "json"), ("POLAR_PFSD_OUTPUT_FILE", "x")];
    let said = against(text, &both).to_string();
    assert!(said.contains("POLAR_PFSD_OUTPUT_FILE: `file` is given together with `output`"), "{said}");
    let said = against("", &[("POLAR_ENGINE_READY_TIMEOUT", "5s")]).to_string();
    assert!(said.contains("POLAR_ENGINE_READY_TIMEOUT: `ready` is no table of kind \"postgres\""), "{said}");
    let said = against("", &[("POLAR_ENGINE_LIVE_PERIOD", "5s")]).to_string();
    assert!(said.contains("`live` has no check; allowed: one of `exec`, `tcp`, `engine`"), "{said}");
    assert_eq!(
        with("", &[("POLAR_ENGINE_LIVE_ENGINE", "true")]).programs[0]
            .live
            .as_ref()
            .map(|live| live.check.clone()),
        Some(Check::Engine)
    );
}

#[test]
fn health_and_metrics_by_a_variable() {
    let config = with("", &[("POLAR_SERVE_LISTEN", "[::]:9188")]);
    assert_eq!(config.serve, Some(Serve { listen: "[::]:9188".parse().expect("an address") }));
    assert_eq!(config.programs.len(), 2);
    // A program may have the one engine's variables beside it.
    let config = with(
        "[program.a]\nkind = 'oneshot'\ncommand = ['x']\n[program.db]",
        &[("POLAR_DB_KIND", "postgres"), ("PGDATA", "/x")],
    );
    assert_eq!(config.programs[1].kind.engine().expect("an engine").data_dir, Path::new("/x"));
}

#[test]
fn values_of_each_sort() {
    let config = with(
        "",
        &[
            ("POLAR_SUPERVISOR_LOG_LEVEL", "debug"),
            ("POLAR_ENGINE_PORT", " 5433 "),
            ("POLAR_ENGINE_REQUIRE_MOUNT", "true"),
            ("POLAR_ENGINE_SOCKET_DIR", "/a, /b"),
            ("POLAR_ENGINE_GROUPS", "disk"),
            ("POLAR_ENGINE_INITDB_ARGS", "[\"--locale=C\", \"a,b\"]"),
            ("POLAR_ENGINE_UMASK", "0027"),
            ("POLAR_ENGINE_RESTART_POLICY", "never"),
            ("POLAR_ENGINE_RESTART_GIVE_UP_AFTER", "3"),
            ("POLAR_ENGINE_PARAMETERS_SHARED_BUFFERS", "256MB"),
            ("POLAR_ENGINE_PARAMETERS_AUTO_EXPLAIN.LOG_ANALYZE", "on"),
            ("POLAR_ENGINE_RLIMITS_CORE", "unlimited"),
            ("POLAR_ENGINE_ENVIRONMENT_TZ", "UTC"),
            ("POLAR_ENGINE_KIND", "postgres"),
        ],
    );
    let program = &config.programs[0];
    let engine = engine(&config);
    assert_eq!(config.supervisor.log_level, LogLevel::Debug);
    assert_eq!((engine.port, engine.require_mount), (5433, true));
    assert_eq!(engine.socket_dir, [Path::new("/a"), Path::new("/b")]);
    assert_eq!(engine.initdb_args, ["--locale=C", "a,b"]);
    assert_eq!(program.process.groups, ["disk"]);
    assert_eq!(program.process.umask, Some(0o027));
    assert_eq!((program.restart.policy, program.restart.give_up_after), (RestartPolicy::Never, 3));
    assert_eq!(engine.parameters["shared_buffers"], "256MB");
    assert_eq!(engine.parameters["auto_explain.log_analyze"], "on");
    assert_eq!(program.process.rlimits.get("nofile"), None, "nothing is limited that nobody asked for");
    assert_eq!(program.process.rlimits["core"], u64::MAX);
    assert_eq!(program.process.environment["TZ"], "UTC");
}

#[test]
fn precedence() {
    let file =
        "[program.engine]\nkind = 'postgres'\ndata_dir = '/file'\nport = 1\nparameters = { a = 1, b = 1 }";
    let place = |text: &str, pairs: &[(&str, &str)]| {
        let config = with(text, pairs);
        (engine(&config).data_dir.to_string_lossy().into_owned(), engine(&config).port)
    };
    let own = [("POLAR_ENGINE_DATA_DIR", "/own"), ("POLAR_ENGINE_PORT", "3")];
    let twins = [("PGDATA", "/pgdata"), ("POLARDB_PORT", "2")];
    assert_eq!(place("", &[]), ("/data".into(), 5432));
    assert_eq!(place(file, &[]), ("/file".into(), 1));
    assert_eq!(place(file, &twins), ("/pgdata".into(), 2));
    assert_eq!(place(file, &[twins, own].concat()), ("/own".into(), 3));
    assert_eq!(place(file, &[own, twins].concat()), ("/own".into(), 3));
    assert_eq!(place(file, &[("PGDATA", ""), ("POLARDB_PORT", "")]), ("/file".into(), 1));
    assert_eq!(place(file, &[("PGDATA", "/a"), ("PGDATA", "/b")]), ("/b".into(), 1));
    // What nobody uses is not held against anybody.
    assert_eq!(place(file, &[own.as_slice(), &[("PGDATA", "relative")]].concat()), ("/own".into(), 3));
    let config = with(file, &[("POLAR_ENGINE_PARAMETERS_B", "2"), ("POLAR_ENGINE_PARAMETERS_C", "3")]);
    let parameters: Vec<&str> = engine(&config).parameters.values().map(String::as_str).collect();
    assert_eq!(parameters, ["1", "2", "3"]);
}

#[test]
fn the_variable_of_a_bad_value_is_named() {
    for (name, value, wanted) in [
        ("PGDATA", "data", "environment: PGDATA: `data_dir` is \"data\"; allowed: an absolute path"),
        (
            "POLARDB_PORT",
            "five",
            "environment: POLARDB_PORT: `port` is \"five\"; allowed: an integer, 1 to 65535",
        ),
        ("POLARDB_PORT", "70000", "POLARDB_PORT: `port` is 70000;"),
        ("POLAR_ENGINE_STOP_TIMEOUT", "60", "give a unit: \"60s\""),
        (
            "POLAR_ENGINE_STOP_TIMEOUT",
            "60s",
            "POLAR_ENGINE_STOP_TIMEOUT: `stop_timeout` is \"60s\", longer than",
        ),
        (
            "POLAR_ENGINE_RLIMITS",
            "1",
            "`rlimits` is a table; give its entries one by one, as POLAR_ENGINE_RLIMITS_<NAME>",
        ),
        ("POLAR_ENGINE_SOCKET_DIR", "[1", "`socket_dir` is \"[1\"; allowed: "),
        ("POLAR_ENGINE_SOCKET_DIR", ",", "`socket_dir` is empty; allowed: "),
        (
            "POLAR_ENGINE_PARAMETERS_PORT",
            "1",
            "POLAR_ENGINE_PARAMETERS_PORT: `port` may not be set here: use the key `port`",
        ),
        ("POLAR_ENGINE_LOG_LINK", "/data/base", "POLAR_ENGINE_LOG_LINK: `log_link`"),
        ("POLAR_ENGINE_RESTART", "always", "environment: POLAR_ENGINE_RESTART: unknown variable"),
        ("POLAR_SUPERVISOR_\n", "x", "environment: POLAR_SUPERVISOR_\\n: unknown variable"),
    ] {
        let said = against("", &[(name, value)]).to_string();
        assert!(said.contains(wanted), "{said}\n{wanted}");
    }
}

#[test]
fn variables_of_somebody_else_are_ignored() {
    let pairs = [
        ("POLAR_FAILPOINT", "x"),
        ("POLAR_DB_PORT", "x"),
        ("POLAR_", "x"),
        ("POLAR_ENGINE", "x"),
        ("PORT", "x"),
    ];
    assert_eq!(with("", &pairs), good(""));
}

#[test]
fn several_programs_and_their_variables() {
    let two = "[program.db]\nkind = 'postgres'\n[program.db-restart]\nkind = 'postgres'\ndata_dir = '/b'\nlog_link = '/log/b'\n";
    let pairs = [
        ("POLAR_DB_PORT", "1"),
        ("POLAR_DB_RESTART_PORT", "2"),
        ("POLAR_DB_RESTART_POLICY", "never"),
        // They would be true of both engines.
        ("PGDATA", "/x"),
        ("POLARDB_PORT", "7"),
    ];
    let config = with(two, &pairs);
    let seen: Vec<_> = config
        .programs
        .iter()
        .map(|program| {
            let postgres = program.kind.engine().expect("an engine");
            (program.name.as_str(), postgres.port, program.restart.policy)
        })
        .collect();
    assert_eq!(seen, [("db", 1, RestartPolicy::Never), ("db-restart", 2, RestartPolicy::Always)]);
    let folders: Vec<_> = config
        .programs
        .iter()
        .map(|program| {
            let postgres = program.kind.engine().expect("an engine");
            postgres.data_dir.to_str().expect("UTF-8")
        })
        .collect();
    assert_eq!(folders, ["/data", "/b"]);
    // Where both would take a variable, the longer name does.
    let two = two.replace("db-restart", "db_parameters");
    let config = with(&two, &[("POLAR_DB_PARAMETERS_USER", "pg"), ("POLAR_DB_PORT", "1")]);
    let users: Vec<_> = config.programs.iter().map(|program| program.process.user.as_deref()).collect();
    assert_eq!(users, [Some("postgres"), Some("pg")]);
    // A kind may come from the environment, too.
    with("[program.db]", &[("POLAR_DB_KIND", "postgres")]);
}

#[test]
fn mistakes_of_file_and_environment_come_together() {
    let text = "[supervisor]\nlog_level = 'x'\n";
    let pairs = env(&[("POLAR_ENGINE_PORT", "x"), ("POLAR_SUPERVISOR_X", "x")]);
    let all = read("s.toml", Some(text), &pairs).expect_err("mistakes").0;
    let places: Vec<_> = all.iter().map(|mistake| mistake.key.as_str()).collect();
    assert_eq!(places, ["supervisor.log_level", "POLAR_ENGINE_PORT", "POLAR_SUPERVISOR_X"]);
}

#[test]
fn a_pod_of_polardb_stack_has_a_file_of_its_own() {
    use crate::config::{DEFAULT_FILE, default_file};
    let dir = tempfile::tempdir().unwrap();
    let stack = dir.path().join("stack.toml");
    let of = |value: &str| {
        let env = [("host_data_dir".to_owned(), value.to_owned())];
        default_file(&env, &stack).to_owned()
    };
    let usual = std::path::PathBuf::from(DEFAULT_FILE);
    assert_eq!(of("/disk1/data"), usual, "an image that has none");
    std::fs::write(&stack, "").unwrap();
    assert_eq!((of("/disk1/data"), of("")), (stack.clone(), usual.clone()));
    assert_eq!(default_file(&[], &stack), usual);
}
