//! Variables that are missing or hold something else than they should: nothing is changed, and the variable is named.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::{command, done, refused, task, with};
use crate::cells::files;
use crate::engine::Engine;

/// A task, what it needs, and of these the variables of JSON.
type Needs = (&'static str, &'static str, &'static [(&'static str, &'static str)], &'static [&'static str]);

const NEEDS: [Needs; 9] = [
    (
        "account",
        "create",
        &[("srv_opr_user_name", "a"), ("srv_opr_password", "geheim-7"), ("srv_opr_privilege", "1")],
        &["srv_opr_host_ip", "srv_opr_hosts", "port"],
    ),
    ("account", "delete", &[("srv_opr_user_name", "a")], &["srv_opr_host_ip"]),
    ("update_conf", "update", &[("params", "{\"work_mem\":\"8MB\"}")], &["params", "srv_opr_host_ip"]),
    (
        "replica",
        "create_replication",
        &[("ro_custins_current", "{\"custins_id\":1,\"slot_unique_name\":\"a\"}")],
        &["ro_custins_current", "ins_topology_4_replication"],
    ),
    (
        "replica",
        "remove_replication",
        &[
            ("ins_topology_4_replication", "{\"polardb_mpd_rw\":{\"1\":{}}}"),
            ("current_ins", "{\"custins_id\":1,\"slot_unique_name\":\"a\"}"),
        ],
        &["current_ins", "ins_topology_4_replication"],
    ),
    (
        "hostins_ops",
        "create_tablespace",
        &[("create_tablespace_env", "{\"tablespace_name\":\"a\",\"tablespace_path\":\"/tmp/a\"}")],
        &["create_tablespace_env"],
    ),
    ("hostins_ops", "enable_ssl", &[("ssl_key", "k"), ("ssl_cert", "c")], &[]),
    ("hostins_ops", "setup_logagent_config", &[("ins_name", "a")], &[]),
    ("hostins_ops", "build_recovery", &[("recovery_conf", "{\"standby_mode\":\"on\"}")], &["recovery_conf"]),
];

#[test]
fn each_variable_missing_empty_or_malformed() {
    let engine = Engine::up();
    let before = files(&engine);
    for (kind, action, variables, json) in NEEDS {
        for (name, _) in variables {
            let rest: Vec<_> = variables.iter().filter(|(other, _)| other != name).copied().collect();
            for given in [rest.clone(), [&rest[..], &[(*name, "")]].concat()] {
                let reason = refused(task(&engine, kind, action, &given));
                // Without the topology the older form counts.
                let named = if *name == "ins_topology_4_replication" { "ro_custins_current" } else { name };
                assert!(
                    reason.contains(&format!("the variable {named} is not set")),
                    "{action} {name}: {reason}"
                );
            }
        }
        for name in json {
            for text in ["{", "[1,", "{'a': 1}", "True", "\u{1f418}", "geheim-7"] {
                let ran = task(&engine, kind, action, &[variables, &[(*name, text)][..]].concat());
                let reason = refused(ran);
                assert!(
                    reason.contains(&format!("the variable {name} ")),
                    "{action} {name} {text}: {reason}"
                );
                assert!(!reason.contains("geheim"), "{reason}");
            }
        }
    }
    for (name, kind) in [
        ("mycnf_dict", "polardb_mpd_rw"),
        ("port", "polardb_mpd_rw"),
        ("create_tablespace_env", "polardb_mpd_rw"),
        ("cluster_custins_info", "polardb_mpd_standby"),
    ] {
        let install = [("service_type", kind), ("storage_type", "local")];
        let reason = refused(task(
            &engine,
            "hostins_ops",
            "setup_install_instance",
            &[&install[..], &[(name, "{")]].concat(),
        ));
        assert!(reason.contains(&format!("the variable {name} is no JSON")), "{reason}");
    }
    let reason = refused(task(&engine, "hostins_ops", "setup_install_instance", &[]));
    assert!(reason.contains("the variable service_type is not set"), "{reason}");
    assert_eq!(files(&engine), before);
    assert_eq!(engine.sql("select count(*) from pg_roles where rolname = 'a'"), "0");
}

#[test]
fn json_that_nobody_needs_stops_nothing() {
    let engine = Engine::down();
    let broken: Vec<(&str, &str)> = [
        "srv_opr_host_ip",
        "srv_opr_hosts",
        "port",
        "cluster_custins_info",
        "mycnf_dict",
        "params",
        "current_ins",
    ]
    .map(|name| (name, "{"))
    .to_vec();
    done(&engine, "", "lock_stop_instance", &broken);
    done(&engine, "", "unlock_start_instance", &broken);
    done(&engine, "hostins_ops", "get_system_identifier", &broken);
    done(&engine, "hostins_ops", "query_installation_progress", &broken);
}

#[test]
fn pairs_that_are_none() {
    let engine = Engine::up();
    let before = files(&engine);
    for (kind, action) in [
        ("", ""),
        ("account", ""),
        ("account", "drop"),
        ("account", "stop_instance"),
        ("", "stop_instance"),
        ("hostins_ops", "create"),
        ("Account", "create"),
        ("health_check", "custins_check"),
        ("node", "lock-ins-diskfull"),
        ("hostins_ops", "stop_instance\n"),
        ("\u{1f418}'\\", "%s$(reboot)"),
    ] {
        let reason = refused(task(&engine, kind, action, &[]));
        assert!(reason.contains("no task has") || reason.contains("srv_opr_action is not set"), "{reason}");
    }
    let cm = with(
        engine.command("task --cm"),
        &[("srv_opr_type", "lock_ins"), ("srv_opr_action", "lock_ins_diskfull")],
    );
    assert!(refused(cm.ran()).contains("no task has"));
    let long = "x".repeat(100_000);
    let reason = refused(task(&engine, &long, &long, &[]));
    assert!(reason.len() < 1000, "{}", reason.len());
    let ran =
        command(&engine, "account", "create", &[]).env("srv_opr_user_name", OsStr::from_bytes(b"\xff")).ran();
    assert!(refused(ran).contains("srv_opr_user_name is no UTF-8"));
    assert_eq!(files(&engine), before);
    assert_eq!(engine.ctl("task stop_instance").code, 2, "a task has no arguments");
}
