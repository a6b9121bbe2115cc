//! Each task that is done on a real engine, twice.

use polardb_manager::manager::task::{PAIRS, Pair, Script, Task};

use super::{command, done, refused, task, with};
use crate::bed::until;
use crate::cells::files;
use crate::engine::Engine;

/// ClusterManager's, with an empty `srv_opr_host_ip`.
const BY_HOSTS: [(&str, &str); 2] =
    [("srv_opr_hosts", r#"[{"access_port":[5432]}]"#), ("srv_opr_host_ip", "{}")];

#[test]
fn what_is_missing_changes_nothing_and_names_the_part() {
    let engine = Engine::up();
    let before = files(&engine);
    let mut count = 0;
    for Pair { kind, action, task: of, .. } in &PAIRS {
        let Task::Missing(part) = of else { continue };
        let reason =
            refused(task(&engine, kind.unwrap_or_default(), action, &[("pitr_fetch_logs_env", "{")]));
        assert!(
            reason.contains(&format!("it needs {part}")) && reason.contains("nothing was changed"),
            "{reason}"
        );
        count += 1;
    }
    assert_eq!((count, engine.manager_log().len()), (14, 14), "one line each");
    assert_eq!(files(&engine), before);
    for (variables, part) in [
        (vec![("storage_type", "fcsan"), ("service_type", "polardb_mpd_rw")], "PFS"),
        (vec![("service_type", "polardb_mpd_rw")], "PFS"),
        (vec![("storage_type", "local"), ("service_type", "polardb_mpd_ro")], "PFS"),
        (vec![("storage_type", "local"), ("service_type", "polardb_mpd_datamax")], "datamax"),
        (vec![("storage_type", "local"), ("service_type", "polardb_mpd_rw"), ("dma_role", "master")], "DMA"),
        (vec![("storage_type", "local"), ("service_type", "polardb_mpd_rw"), ("tde_enable", "true")], "TDE"),
        (vec![("storage_type", "fcsan"), ("service_type", "polardb_mpd_standby")], "PFS"),
    ] {
        let reason = refused(task(&engine, "hostins_ops", "setup_install_instance", &variables));
        assert!(reason.contains(part) && reason.contains("no part of this version"), "{reason}");
    }
    assert_eq!(files(&engine), before);
    assert!(!engine.data().join("ins_install_turn").exists());
}

#[test]
fn what_asks_for_nothing() {
    let engine = Engine::down();
    assert_eq!(done(&engine, "init_ins", "initdb", &[]), "nothing to do\n");
    assert!(refused(task(&engine, "init_ins", "other", &[])).contains("no task has type"));
}

#[test]
fn accounts() {
    let engine = Engine::up_on_tcp();
    let variables = |name, privilege, password| {
        [
            ("srv_opr_host_ip", r#"{"access_port":[3001]}"#),
            ("srv_opr_user_name", name),
            ("srv_opr_privilege", privilege),
            ("srv_opr_password", password),
        ]
    };
    for (name, privilege, password) in
        [("aurora", "7", "it's %s\\"), ("replicator", "15", "geheim"), ("shop", "1", "x"), ("six", "6", "y")]
    {
        let first = done(&engine, "account", "create", &variables(name, privilege, password));
        assert!(first.contains("done: create the role"), "{first}");
        assert!(engine.logs_in(name, password), "{name}");
        let second = done(&engine, "account", "create", &variables(name, privilege, password));
        assert!(!second.contains("done: "), "{second}");
    }
    let aurora = done(&engine, "account", "create", &variables("aurora", "7", "it's %s\\"));
    assert!(aurora.contains("polar_vfs and polar_monitor are PolarDB's"), "{aurora}");
    assert!(aurora.contains("the caller names port 3001, and the engine of"), "{aurora}");
    assert_eq!(
        engine.sql("select rolsuper and rolreplication from pg_roles where rolname = 'replicator'"),
        "t"
    );
    let modified = done(&engine, "account", "modify", &variables("shop", "1", "another"));
    assert!(modified.contains("verifier"), "{modified}");
    assert!(engine.logs_in("shop", "another") && !engine.logs_in("shop", "x"));
    done(&engine, "account", "modify", &variables("made", "1", "z"));
    for _ in 0..2 {
        done(&engine, "account", "delete", &[("srv_opr_user_name", "made")]);
    }
    assert_eq!(engine.sql("select count(*) from pg_roles where rolname = 'made'"), "0");
}

#[test]
fn slots() {
    let primary = Engine::up();
    let ro = [
        ("service_type", "polardb_mpd_rw"),
        ("ro_custins_current", r#"{"pod_name":"p-1","custins_id":"1001","slot_unique_name":"a-b"}"#),
        ("current_ins", r#"{"pod_name":"p","custins_id":"1000","slot_unique_name":"x"}"#),
    ];
    let standby = [
        ("ins_topology_4_replication", r#"{"polardb_mpd_standby":{"7":{"custins_id":7}}}"#),
        ("current_ins", r#"{"custins_id":7,"slot_unique_name":"s"}"#),
    ];
    assert!(done(&primary, "replica", "create_replication", &ro).contains("replica_1001_a_b"));
    assert!(done(&primary, "replica", "create_replication", &standby).contains("standby_7_s"));
    assert_eq!(done(&primary, "replica", "create_replication", &ro), "nothing to do\n");
    let slots = "select string_agg(slot_name, ' ' order by 1) from pg_replication_slots";
    assert_eq!(primary.sql(slots), "replica_1001_a_b standby_7_s");
    assert_eq!(primary.sql("show synchronous_standby_names"), "", "no commit waits for it");
    // A standby has slots of its own.
    let second = Engine::standby_of(&primary);
    assert!(done(&second, "replica", "create_replication", &ro).contains("create"));
    assert!(done(&second, "replica", "remove_replication", &ro).contains("drop"));
    for variables in [&ro[..], &standby[..]] {
        assert!(done(&primary, "replica", "remove_replication", variables).contains("drop"));
        assert_eq!(done(&primary, "replica", "remove_replication", variables), "nothing to do\n");
    }
    assert_eq!(primary.sql("select count(*) from pg_replication_slots"), "0");
}

#[test]
fn health() {
    let mut engine = Engine::up();
    for action in ["hostins_check", "service_check"] {
        assert_eq!(done(&engine, "health_check", action, &BY_HOSTS), "The instance is healthy!\n");
    }
    engine.stop();
    assert!(refused(task(&engine, "health_check", "hostins_check", &BY_HOSTS)).contains("does not run"));
    let recovering = Engine::recovering();
    let reason = refused(task(&recovering, "health_check", "hostins_check", &[]));
    assert!(reason.contains("the database system is starting up"), "the driver's words: {reason}");
}

#[test]
fn the_lock_against_a_full_disk() {
    let engine = Engine::up();
    engine.sql("create role app login");
    let write = || {
        let mut psql = engine.psql();
        psql.args(["-c", "set role app", "-c", "create temp table t()"])
            .env("PGOPTIONS", "")
            .output()
            .unwrap()
    };
    assert!(write().status.success());
    let read_only = "select setconfig from pg_db_role_setting where setdatabase = 0 and setrole = 0";
    for _ in 0..2 {
        done(&engine, "lock_ins", "lock_ins_diskfull", &BY_HOSTS);
        assert!(engine.sql(read_only).contains("default_transaction_read_only=on"));
    }
    for _ in 0..2 {
        done(&engine, "lock_ins", "unlock_ins_diskfull", &BY_HOSTS);
        assert!(!engine.sql(read_only).contains("read_only"));
    }
    let of_cm = |action| {
        let ctl = engine.command("task --cm");
        with(ctl, &[("srv_opr_type", "node"), ("srv_opr_action", action), ("port", "5432")]).ran().success()
    };
    of_cm("lock-ins-diskfull");
    assert!(engine.sql(read_only).contains("default_transaction_read_only=on"));
    of_cm("unlock-ins-diskfull");
    assert!(!engine.sql(read_only).contains("read_only"));
    assert!(engine.manager_log().iter().any(|line| line.contains(" - task node/lock-ins-diskfull - done: ")));
}

#[test]
fn parameters() {
    let mut engine = Engine::up();
    let update = |engine: &Engine, params: &str, reload: &str| {
        let variables = [("params", params), ("reload_instance", reload), ("cluster_custins_info", "{")];
        task(engine, "update_conf", "update", &variables)
    };
    engine.sql("alter system set work_mem = '5MB'");
    engine.sql("alter system set primary_conninfo = 'host=kept'");
    let first = update(
        &engine,
        r#"{"work_mem":"'8MB'","log_statement":"all","polar_hostid":"2","max_conn":"1"}"#,
        "",
    )
    .success();
    assert!(first.starts_with("done: set log_statement, work_mem\n"), "{first}");
    assert_eq!(engine.sql("show work_mem"), "8MB", "also over what ALTER SYSTEM said");
    assert!(engine.read("postgresql.auto.conf").contains("host=kept"), "of others it stays");
    assert_eq!(update(&engine, r#"{"work_mem":"8MB"}"#, "True").success(), "nothing to do\n");
    assert_eq!(update(&engine, r#"{"polar_hostid":2}"#, "True").success(), "nothing to do\n");
    let unread = update(&engine, r#"{"work_mem":"9MB"}"#, "False").success();
    assert!(unread.contains("was not told"), "{unread}");
    assert_eq!(
        (engine.sql("show work_mem").as_str(), engine.read("postgresql.conf").contains("9MB")),
        ("8MB", true)
    );
    let waits = update(&engine, r#"{"max_connections":"14"}"#, "True").success();
    assert!(waits.contains("note: max_connections waits for a restart\n"), "no value is told: {waits}");
    // The server shows none while nothing is archived.
    update(&engine, r#"{"archive_command":"'cp %p /archive'"}"#, "True").success();
    for (params, why) in [
        (r#"{"work_mem":"many"}"#, "work_mem"),
        (r#"{"no_such_parameter":"1"}"#, "no_such_parameter"),
        (r#"{"include":"/etc/passwd"}"#, "include"),
    ] {
        let before = files(&engine);
        assert!(refused(update(&engine, params, "True")).contains(why));
        assert_eq!(files(&engine), before);
    }
    engine.stop();
    let down = update(&engine, r#"{"work_mem":"10MB"}"#, "True").success();
    assert!(down.contains("the engine does not run; it starts with what the files say"), "{down}");
    engine.start();
    assert_eq!(engine.sql("show work_mem"), "10MB");
}

#[test]
fn storage_and_the_log() {
    let mut engine = Engine::up();
    assert!(done(&engine, "hostins_ops", "grow_pfs", &[]).contains("nothing"));
    let position = "select pg_walfile_name(pg_current_wal_insert_lsn())";
    engine.sql("create table t as select generate_series(1, 1000)");
    let before = engine.sql(position);
    assert!(done(&engine, "hostins_ops", "generate_new_wal", &BY_HOSTS).contains("end segment"));
    assert!(engine.sql(position) > before);
    let identifier = engine.sql("select system_identifier from pg_control_system()");
    let told = format!("Database system identifier:           {identifier}\n");
    assert_eq!(
        done(&engine, "hostins_ops", "get_system_identifier", &[("service_type", "polardb_mpd_rw")]),
        told
    );
    let of_ro = [("service_type", "polardb_mpd_ro")];
    assert!(refused(task(&engine, "hostins_ops", "get_system_identifier", &of_ro)).contains("primary"));
    let place = engine.log_dir().join("pg_tmp");
    let text = format!(r#"{{"tablespace_name":"polar_tmp","tablespace_path":"{}"}}"#, place.display());
    let variables = [("create_tablespace_env", text.as_str())];
    assert!(done(&engine, "hostins_ops", "create_tablespace", &variables).contains("create the tablespace"));
    assert_eq!(done(&engine, "hostins_ops", "create_tablespace", &variables), "nothing to do\n");
    assert_eq!(engine.sql("select count(*) from pg_tablespace where spcname = 'polar_tmp'"), "1");
    engine.stop();
    assert!(done(&engine, "hostins_ops", "grow_pfs", &[]).contains("does not run"));
    assert_eq!(done(&engine, "hostins_ops", "get_system_identifier", &[]), told);
}

#[test]
fn the_files_of_the_log_agent() {
    let engine = Engine::down();
    let variables = [
        ("srv_opr_type", "hostins_ops"),
        ("srv_opr_action", "setup_logagent_config"),
        ("base_collect_path", "/sys/fs/cgroup/"),
        ("pod_collect_path", "/kubepods/burstable/pod1/2"),
        ("ins_name", "pc-1"),
        ("access_port", "3001"),
        ("phy_ins_id", "1000"),
    ];
    // The folder is the machine's: this test has one of its own.
    let script = "mount -t tmpfs tmpfs /home && \"$@\" && \"$@\" && cat /home/pgsql/data/insinfo && \
                  printf 'name:' && cat /home/pgsql/data/insname && find /home -type f | wc -l";
    let mut unshare = std::process::Command::new("unshare");
    unshare.args(["--mount", "sh", "-c", script, "sh", env!("CARGO_BIN_EXE_polarctl"), "task", "--data-dir"]);
    unshare.arg(engine.data()).env("POLAR_SUPERVISOR_LOG_DIR", engine.log_dir()).envs(variables);
    let output = unshare.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "done: write /home/pgsql/data/insinfo\ndone: write /home/pgsql/data/insname\nnothing to do\n\
         [insinfo]\nbase_collect_path = /sys/fs/cgroup/\npod_collect_path = /kubepods/burstable/pod1/2\nins_name = pc-1\n\
         port = 3001\ncontainer_mount_path = \nhost_mount_path = \nname:pc-12\n"
    );
}

#[test]
fn a_recovery_conf() {
    let engine = Engine::up();
    let conf = r#"{"standby_mode":"'on'","primary_slot_name":"'standby_1_a'","primary_conninfo":"'host=10.0.0.1 port=3001 user=r password=geheim-9'"}"#;
    let build = |text: &str| task(&engine, "hostins_ops", "build_recovery", &[("recovery_conf", text)]);
    let first = build(conf).success();
    assert!(first.starts_with("done: write recovery.conf\n") && !first.contains("geheim"), "{first}");
    assert_eq!(build(conf).success(), "nothing to do\n");
    assert!(engine.read("recovery.conf").contains("password=geheim-9"));
    use std::os::unix::fs::MetadataExt;
    let meta = std::fs::metadata(engine.data().join("recovery.conf")).unwrap();
    assert_eq!((meta.uid(), meta.mode() & 0o777), (crate::engine::postgres().0, 0o600));
    let before = engine.read("recovery.conf");
    for text in [r#"{"standby_mode":"perhaps"}"#, r#"{"evil":"1"}"#, "{}", r#"{"standby_mode":"on\nport=1"}"#]
    {
        assert!(!refused(build(text)).contains("geheim"));
    }
    assert_eq!(engine.read("recovery.conf"), before);
}

#[test]
fn tls() {
    let engine = Engine::up();
    let dir = engine.dir.path();
    let mut openssl = std::process::Command::new("openssl");
    openssl
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=db", "-keyout"]);
    openssl.arg(dir.join("key")).arg("-out").arg(dir.join("crt"));
    assert!(openssl.output().unwrap().status.success());
    let (key, cert) = (
        std::fs::read_to_string(dir.join("key")).unwrap(),
        std::fs::read_to_string(dir.join("crt")).unwrap(),
    );
    let variables = [("ssl_key", key.as_str()), ("ssl_cert", cert.as_str())];
    done(&engine, "hostins_ops", "enable_ssl", &variables);
    assert!(done(&engine, "hostins_ops", "enable_ssl", &variables).ends_with("nothing to do\n"));
    assert_eq!((engine.sql("show ssl").as_str(), engine.read("server.key").as_str()), ("on", key.as_str()));
    for wrong in
        [vec![("ssl_key", key.as_str())], vec![("ssl_key", cert.as_str()), ("ssl_cert", cert.as_str())]]
    {
        refused(task(&engine, "hostins_ops", "enable_ssl", &wrong));
    }
    for _ in 0..2 {
        done(&engine, "hostins_ops", "disable_ssl", &[]);
    }
    assert_eq!(engine.sql("show ssl"), "off");
    let log = engine.manager_log().join("\n");
    let middle = key.lines().nth(3).unwrap();
    assert!(!log.contains(middle) && !log.contains("BEGIN"), "no key in {log}");
}

#[test]
fn every_pair_that_is_done_has_its_test() {
    let tests = [include_str!("operations.rs"), include_str!("engine.rs"), include_str!("installation.rs")];
    for Pair { action, task: of, script, .. } in &PAIRS {
        let named = tests.iter().any(|text| text.contains(&format!("\"{action}\"")));
        assert!(named || matches!(of, Task::Missing(_)), "{action}");
        assert!(*script == Script::Main || action.contains('-'));
    }
}

#[test]
fn a_caller_that_has_gone_makes_nothing_fail() {
    let engine = Engine::up();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let variables = [("srv_opr_user_name", "late"), ("srv_opr_privilege", "1"), ("srv_opr_password", "p")];
    let mut child =
        command(&engine, "account", "create", &variables).spawn_to(writer, std::process::Stdio::null());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    until("the role", || engine.sql("select count(*) from pg_roles where rolname = 'late'") == "1");
    assert!(engine.manager_log().last().unwrap().contains("- done: create the role"));
}
