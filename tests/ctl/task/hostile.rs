//! A text stays a text, in every variable that holds one.

use super::{command, done, task};
use crate::engine::Engine;

/// Quotes, backslashes, what a shell, SQL or a configuration file would run or end, and nothing that ends a C string.
const HOSTILE: [&str; 9] = [
    "it's",
    "\"; drop role postgres; --",
    "'; drop role postgres; --",
    "a\\'b\\",
    "%s%n%d",
    "a\nport = 1\n",
    "$(touch /tmp/polar_task_evil)`id`",
    "\u{1f418}\u{202e}\t",
    "-x",
];

#[test]
fn in_names_and_passwords() {
    let engine = Engine::up_on_tcp();
    for text in HOSTILE {
        let variables = [("srv_opr_user_name", text), ("srv_opr_password", text), ("srv_opr_privilege", "1")];
        let ran = task(&engine, "account", "create", &variables);
        assert_eq!(ran.code, 0, "{text:?}: {ran:?}");
        assert!(engine.logs_in(text, text), "{text:?}");
        done(&engine, "account", "delete", &[("srv_opr_user_name", text)]);
    }
    assert_eq!(engine.sql("select count(*) from pg_roles where oid > 16000"), "0");
    assert_eq!(engine.sql("select rolsuper from pg_roles where rolname = 'postgres'"), "t");
    // The longest that an environment takes.
    let long = "x".repeat(100_000);
    for (name, password) in
        [(long.as_str(), "p"), ("a", long.as_str()), ("pg_monitor", "p"), ("postgres", "p")]
    {
        let variables =
            [("srv_opr_user_name", name), ("srv_opr_password", password), ("srv_opr_privilege", "1")];
        let ran = task(&engine, "account", "create", &variables);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.stderr.len() < 1000 && ran.stdout.is_empty(), "{}", ran.stderr.len());
    }
    assert!(!std::path::Path::new("/tmp/polar_task_evil").exists());
    let log = engine.manager_log();
    let of_tasks = log.iter().filter(|line| !line.contains(" - pg - "));
    assert!(of_tasks.clone().all(|line| line.contains(" - task account/")), "one line a task: {log:?}");
    assert_eq!(of_tasks.count(), 2 * HOSTILE.len() + 4);
}

#[test]
fn in_parameters() {
    let engine = Engine::up();
    for text in HOSTILE {
        let quoted = format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''").replace('\n', "\\n"));
        for value in [text, &quoted] {
            // Of a value that begins with a quote only a whole one is one.
            if value == text && text.starts_with('\'') {
                continue;
            }
            let params = serde_json::json!({ "search_path": value }).to_string();
            let ran = task(&engine, "update_conf", "update", &[("params", &params)]);
            assert!(ran.code <= 1, "{ran:?}");
            assert_eq!(engine.sql("show port"), "5432");
        }
        let value = serde_json::json!({ "restore_command": quoted }).to_string();
        done(&engine, "update_conf", "update", &[("params", &value)]);
        assert_eq!(
            engine.sql("select setting from pg_settings where name = 'restore_command'"),
            text.trim_end()
        );
    }
    for name in HOSTILE {
        let params = serde_json::json!({ name: "1" }).to_string();
        assert_eq!(task(&engine, "update_conf", "update", &[("params", &params)]).code, 1, "{name:?}");
    }
    assert_eq!(engine.sql("select count(*) from pg_file_settings where error is not null"), "0");
}

#[test]
fn in_names_of_slots_and_tablespaces() {
    let engine = Engine::up();
    for text in HOSTILE {
        let node = serde_json::json!({ "custins_id": text, "slot_unique_name": "a" }).to_string();
        assert_eq!(task(&engine, "replica", "create_replication", &[("ro_custins_current", &node)]).code, 1);
        let node = serde_json::json!({ "custins_id": "1", "slot_unique_name": text }).to_string();
        let ran = task(&engine, "replica", "create_replication", &[("ro_custins_current", &node)]);
        assert_eq!(ran.code == 0, text == "-x", "{text:?}: hyphens become underscores: {ran:?}");
        let space = serde_json::json!({ "tablespace_name": "t", "tablespace_path": text }).to_string();
        assert_eq!(
            task(&engine, "hostins_ops", "create_tablespace", &[("create_tablespace_env", &space)]).code,
            1
        );
        let place = engine.log_dir().join("space");
        let space = serde_json::json!({ "tablespace_name": text, "tablespace_path": place }).to_string();
        done(&engine, "hostins_ops", "create_tablespace", &[("create_tablespace_env", &space)]);
        let found = engine.sql("select spcname from pg_tablespace where oid > 16000");
        assert_eq!(found, text.trim_end(), "to the letter");
        engine.sql(&format!("drop tablespace \"{}\"", text.replace('"', "\"\"")));
    }
    assert_eq!(engine.sql("select string_agg(slot_name, ' ') from pg_replication_slots"), "replica_1__x");
}

#[test]
fn in_the_id_of_the_request() {
    let engine = Engine::down();
    let text = "a\nb - INFO - \u{1b}[31m".to_owned() + &"x".repeat(5000);
    command(&engine, "init_ins", "initdb", &[]).env("request_id", text).ran().success();
    let log = engine.manager_log();
    assert_eq!(log.len(), 1);
    assert!(log[0].len() < 400 && log[0].contains("a\\nb - INFO - \\u{1b}[31m"), "{}", log[0]);
}
