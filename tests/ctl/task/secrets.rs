//! No secret comes into a log, onto standard output or into an error, whether the task is done or not.

use std::fs;

use super::task;
use crate::bed::Ran;
use crate::engine::Engine;

const SECRET: &str = "geheim-4711";

/// All that a task can leave behind for others to read.
fn clean(engine: &Engine, ran: &Ran) {
    let log = engine.manager_log().join("\n");
    for text in [&ran.stdout, &ran.stderr, &log] {
        assert!(!text.contains(SECRET) && !text.contains("SCRAM-SHA-256$"), "{text}");
    }
    // Of a parameter that changes the engine itself tells the value.
    let of_the_engine = engine.server_log();
    let lines = of_the_engine.lines().filter(|line| !line.contains("LOG:  parameter "));
    for line in lines {
        assert!(!line.contains(SECRET) && !line.contains("SCRAM-SHA-256$"), "{line}");
    }
    let history = fs::read_to_string(engine.data().join("ins_params_history")).unwrap_or_default();
    assert!(!history.contains(SECRET), "{history}");
}

#[test]
fn in_each_task_that_is_given_one() {
    let mut engine = Engine::down();
    let conf = engine.read("postgresql.conf");
    engine.write("postgresql.conf", format!("{conf}log_statement=all\nlog_min_duration_statement=0\n"));
    engine.start();
    let cluster = format!(
        r#"{{"polardb_mpd_rw":{{"1":{{"accounts":{{"r":{{"priviledge_type":15,"account":"r","password":"{SECRET}"}}}},
            "hostins":{{"2":{{"port":1,"ins_ip":"127.0.0.1"}}}}}}}}}}"#
    );
    let params = |name: &str| format!(r#"{{"{name}":"'password={SECRET}'"}}"#);
    let (conninfo, passphrase, unknown) =
        (params("primary_conninfo"), params("ssl_passphrase_command"), params("no_such_parameter"));
    let recovery = format!(r#"{{"standby_mode":"on","primary_conninfo":"'host=a password={SECRET}'"}}"#);
    let mistaken = format!(r#"{{"standby_mode":"{SECRET}"}}"#);
    let malformed = format!("{{\"password\": \"{SECRET}\"");
    let pem = format!("-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n-----END RSA PRIVATE KEY-----\n");
    let create = |privilege: &'static str| {
        vec![("srv_opr_user_name", "app"), ("srv_opr_password", SECRET), ("srv_opr_privilege", privilege)]
    };
    let standby = vec![
        ("storage_type", "local"),
        ("service_type", "polardb_mpd_standby"),
        ("cluster_custins_info", cluster.as_str()),
    ];
    for (kind, action, variables) in [
        ("account", "create", create("7")),
        ("account", "create", create("18")),
        ("account", "modify", create("1")),
        ("update_conf", "update", vec![("params", conninfo.as_str())]),
        ("update_conf", "update", vec![("params", passphrase.as_str())]),
        ("update_conf", "update", vec![("params", unknown.as_str())]),
        ("update_conf", "update", vec![("params", malformed.as_str())]),
        ("hostins_ops", "setup_install_instance", standby.clone()),
        ("hostins_ops", "setup_install_instance", vec![("cluster_custins_info", malformed.as_str())]),
        ("hostins_ops", "grow_pfs", standby),
        ("hostins_ops", "build_recovery", vec![("recovery_conf", recovery.as_str())]),
        ("hostins_ops", "build_recovery", vec![("recovery_conf", mistaken.as_str())]),
        ("hostins_ops", "enable_ssl", vec![("ssl_key", pem.as_str()), ("ssl_cert", pem.as_str())]),
        ("hostins_ops", "fetch_archive_log_from_source", vec![("pitr_fetch_logs_env", malformed.as_str())]),
        ("no_such", "task", create("1")),
    ] {
        let ran = task(&engine, kind, action, &variables);
        assert!(ran.code <= 1, "{ran:?}");
        clean(&engine, &ran);
    }
    assert!(engine.read("recovery.conf").contains(SECRET), "it is where it belongs");
    assert_eq!(engine.sql("select count(*) from pg_roles where rolname = 'app'"), "1");
    assert_eq!(engine.manager_log().len(), 15, "one line each");
}
