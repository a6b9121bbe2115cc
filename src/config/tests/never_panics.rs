//! Whatever the text and the environment: a configuration that comes back the same, or mistakes of one line each.

use proptest::prelude::*;

use super::super::keys::KEYS;
use super::*;

fn hold(text: &str, env: &[(String, String)]) {
    match read("s.toml", Some(text), env) {
        Ok(config) => assert_eq!(good(&to_toml(&config)), config, "{text}"),
        Err(mistakes) => {
            assert!(!mistakes.0.is_empty());
            for mistake in mistakes.0 {
                assert!(!mistake.to_string().contains('\n'), "{mistake}");
            }
        }
    }
}

/// Values, good and bad, as TOML.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9]{1,20}",
        "\"[a-z0-9/.-]{0,12}\"",
        "\"/[a-z]{1,6}\"",
        "\"[0-9]{1,3}(ms|s|m|h|d)\"",
        any::<String>().prop_map(|text| toml::Value::String(text).to_string()),
        any::<bool>().prop_map(|flag| flag.to_string()),
        "\\[(\"/?[a-z]{0,4}\",){0,3}\\]",
        "\\{ ?([a-z_]{1,8} = \"[a-z]{0,5}\")? ?\\}",
        Just("\"always\"".to_owned()),
        Just("{ nofile = 5, core = \"unlimited\" }".to_owned()),
        Just("{ exec = [\"x\"], timeout = \"5s\" }".to_owned()),
        Just("{ file = \"x\", size = \"1MiB\" }".to_owned()),
        proptest::sample::select(vec![
            "[\"b\"]",
            "[\"engine\"]",
            "\"localhost:1\"",
            "\"sd\"",
            "\"INT\"",
            "\"64KiB\"",
            "\"x.log\""
        ])
        .prop_map(str::to_owned),
    ]
}

/// A key of the table with a value, in its section or another.
fn line() -> impl Strategy<Value = String> {
    let titles = [
        "supervisor",
        "serve",
        "program.engine",
        "program.engine.restart",
        "program.engine.ready",
        "program.engine.live",
        "program.engine.output",
        "program.b",
        "program",
        "x",
    ];
    (0..KEYS.len(), proptest::sample::select(titles.to_vec()), value())
        .prop_map(|(key, title, value)| format!("{title}.{} = {value}\n", KEYS[key].name))
}

fn variable() -> impl Strategy<Value = (String, String)> {
    let known = (0..KEYS.len()).prop_map(|key| KEYS[key].name.to_uppercase());
    let name = prop_oneof![
        (
            proptest::sample::select(vec![
                "POLAR_SUPERVISOR_",
                "POLAR_SERVE_",
                "POLAR_ENGINE_",
                "POLAR_ENGINE_RESTART_",
                "POLAR_ENGINE_LIVE_",
                "POLAR_ENGINE_READY_",
                "POLAR_ENGINE_OUTPUT_",
            ]),
            known
        )
            .prop_map(|(begin, end)| format!("{begin}{end}")),
        "POLAR_(ENGINE|SUPERVISOR)?_?(PARAMETERS|RLIMITS|ENVIRONMENT|RESTART)?_?\\PC{0,8}",
        Just("PGDATA".to_owned()),
        Just("POLARDB_PORT".to_owned()),
        any::<String>(),
    ];
    (name, prop_oneof![any::<String>(), "/[a-z]{0,8}", "[0-9]{1,6}", "\\[.{0,9}", "[0-9]{1,3}(s|m)"])
}

/// The lines of a command or a one-shot, all of them good.
fn command() -> impl Strategy<Value = String> {
    let check = prop_oneof![
        "exec = \\[\"[a-z ]{1,5}\"(, \"[a-z]{0,3}\"){0,3}\\]",
        "tcp = \"(localhost|127\\.0\\.0\\.1|\\[::1\\]):[1-9][0-9]{0,3}\"",
    ];
    let ready = prop_oneof![check.clone(), Just("notify = \"sd\"".to_owned()), "notify = [3-9]"];
    let output = prop_oneof![
        Just("\"json\"".to_owned()),
        Just("\"inherit\"".to_owned()),
        Just("\"prefix\"".to_owned())
    ];
    let span = "[1-9][0-9]{0,2}(s|m|h)";
    (any::<bool>(), check, ready, output, span, "(SIG)?(INT|USR1|KILL|WINCH)", 1u32..).prop_map(
        |(lasting, live, ready, output, span, signal, failures)| {
            let checks = format!(
                "ready = {{ {ready}, timeout = '{span}' }}\nlive = {{ {live}, period = '{span}', failures = {} }}\n",
                failures % 1_000_000 + 1
            );
            let (kind, checks) = if lasting { ("command", checks) } else { ("oneshot", String::new()) };
            format!("kind = '{kind}'\ncommand = ['x']\n{checks}output = {output}\nstop_signal = '{signal}'\n")
        },
    )
}

proptest! {
    #[test]
    fn on_any_text(text in any::<String>()) {
        hold(&text, &[]);
    }

    #[test]
    fn on_text_of_keys(lines in proptest::collection::vec(line(), 0..8), kind in 0usize..4) {
        let begin = [
            "",
            "program.engine.kind = \"postgres\"\n",
            "program.engine.kind = \"command\"\nprogram.engine.command = [\"x\"]\n",
            "program.engine.kind = \"oneshot\"\nprogram.engine.command = [\"x\"]\n",
        ];
        hold(&format!("{}{}", begin[kind], lines.concat()), &[]);
    }

    #[test]
    fn on_any_environment(env in proptest::collection::vec(variable(), 0..6)) {
        hold("", &env);
    }

    #[test]
    fn what_is_accepted_comes_back(
        path in "/[^\\p{C}/]{1,20}",
        text in "[^\0]{0,30}",
        setting in "\\PC{0,30}",
        name in "[a-z_][a-z0-9_$]{0,8}(\\.[a-z_]{1,5})?",
        number in 1u16..,
    ) {
        prop_assume!(path != "/.." && path != "/." && path != "/run" && path != "/log");
        let mut config = good("");
        let Kind::Postgres(postgres) = &mut config.programs[0].kind else { panic!("no engine") };
        prop_assume!(name != "port" && name != "include");
        postgres.conf_template = Some(path.clone().into());
        postgres.port = number;
        postgres.parameters.insert(name, setting);
        config.programs[0].process.environment.insert("A".to_owned(), text);
        prop_assert_eq!(good(&to_toml(&config)), config);
    }

    #[test]
    fn what_is_accepted_of_commands_comes_back(programs in proptest::collection::btree_map("[a-d]", command(), 1..4)) {
        let all: Vec<&String> = programs.keys().collect();
        let mut text = String::new();
        for (place, (name, lines)) in programs.iter().enumerate() {
            let earlier: Vec<String> = all[..place].iter().map(|name| format!("'{name}'")).collect();
            let later: Vec<String> = all[place + 1..].iter().map(|name| format!("'{name}'")).collect();
            text += &format!("[program.{name}]\n{lines}after = [{}]\nbefore = [{}]\n", earlier.join(","), later.join(","));
        }
        let config = good(&text);
        prop_assert_eq!(good(&to_toml(&config)), config);
    }
}
