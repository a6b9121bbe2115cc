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
    ]
}

/// A key of the table with a value, in its section or another.
fn line() -> impl Strategy<Value = String> {
    let titles = ["supervisor", "program.engine", "program.engine.restart", "program.b", "program", "x"];
    (0..KEYS.len(), proptest::sample::select(titles.to_vec()), value())
        .prop_map(|(key, title, value)| format!("{title}.{} = {value}\n", KEYS[key].name))
}

fn variable() -> impl Strategy<Value = (String, String)> {
    let known = (0..KEYS.len()).prop_map(|key| KEYS[key].name.to_uppercase());
    let name = prop_oneof![
        (
            proptest::sample::select(vec!["POLAR_SUPERVISOR_", "POLAR_ENGINE_", "POLAR_ENGINE_RESTART_"]),
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

proptest! {
    #[test]
    fn on_any_text(text in any::<String>()) {
        hold(&text, &[]);
    }

    #[test]
    fn on_text_of_keys(lines in proptest::collection::vec(line(), 0..8), kind in any::<bool>()) {
        let kind = if kind { "program.engine.kind = \"postgres\"\n" } else { "" };
        hold(&format!("{kind}{}", lines.concat()), &[]);
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
}
