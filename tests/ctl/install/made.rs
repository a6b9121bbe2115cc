//! What `install` makes, as it was asked for.

use super::volume::{SMALL, Volume, steps};
use crate::bed::{Ctl, until};
use crate::engine::{Engine, postgres, refused};
use polardb_manager::manager::install::Progress;
use serde_json::{Value, json};
use std::fs::{self};
use std::os::unix::fs::{MetadataExt, chown};
use std::process::{Command, Stdio};

#[test]
fn said_done_and_done_twice() {
    let volume = Volume::new();
    let tmp = volume.log().join("pg_tmp");
    let line = format!(
        "{SMALL} --port 3001 --set log_directory='log' --set max_conn=1 --logic-id 1000 --tablespace-dir {}",
        tmp.display()
    );
    let said = volume.done(&format!("{line} --dry-run"));
    assert_eq!((&said["changed"], volume.names()), (&json!(false), vec![]), "a dry run leaves nothing");
    assert_eq!(volume.progress(), Progress::Absent);
    let done = volume.done(&line);
    assert_eq!(steps(&said), steps(&done));
    assert!(steps(&done).last().unwrap().starts_with("write \"done\""), "{done}");
    assert_eq!(done["result"], json!({ "role": "rw", "user": "postgres", "done": true }));
    assert_eq!((volume.step().as_deref(), volume.progress()), (Some("done"), Progress::Succeeded));
    assert_eq!(volume.read("ins_logic_id"), "1000");
    let context: Value = serde_json::from_str(&volume.read("ins_ctx")).unwrap();
    assert_eq!(context, json!({ "storage_type": "local", "ins_logic_id": "1000" }));
    assert!(volume.stages().is_empty() && !volume.data().join("ins_lock").exists());
    let meta = fs::metadata(volume.data()).unwrap();
    assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o7777), (postgres().0, postgres().1, 0o700));
    assert_eq!(fs::read_link(volume.data().join("log")).unwrap(), volume.log().join("pg_log"));
    for folder in [volume.log().join("pg_log"), tmp] {
        let meta = fs::metadata(folder).unwrap();
        assert_eq!((meta.uid(), meta.mode() & 0o777), (postgres().0, 0o775));
    }
    assert_eq!(fs::metadata(volume.log()).unwrap().uid(), 0, "nothing else is given away");
    assert!(volume.read("postgresql.conf").contains("\nport=3001\n"), "callers search for this line");

    let server = volume.serve();
    assert_eq!(server.sql("show data_checksums"), "on");
    assert_eq!(server.sql("select current_setting('log_directory')"), "log");
    assert_eq!(server.sql("select datcollate from pg_database where datname = 'postgres'"), "C");
    let hba = server.sql("select string_agg(distinct auth_method, ' ') from pg_hba_file_rules");
    assert_eq!(hba, "peer scram-sha-256");
    // Over an engine that serves: it is done, whatever else is asked for.
    let again = volume.done("--port 3002 --lock");
    assert_eq!((&again["changed"], steps(&again)), (&json!(false), vec![]));
    assert!(!volume.data().join("ins_lock").exists());
    let log = fs::read_to_string(volume.log().join("manager.log")).unwrap();
    let outcomes: Vec<&str> = log.lines().map(|line| line.splitn(5, " - ").nth(4).unwrap()).collect();
    assert_eq!(outcomes.len(), 3, "{log}");
    assert!(outcomes[0].starts_with("dry run, would: ") && outcomes[1].starts_with("done: "), "{log}");
    assert_eq!(outcomes[2], "nothing to do");
}

#[test]
fn the_lock_and_the_markers_stand_before_the_last_word() {
    let volume = Volume::new();
    let tmp = volume.log().join("pg_tmp");
    let (cert, key) = (volume.dir.path().join("a.crt"), volume.dir.path().join("a.key"));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=a"]);
    openssl.arg("-keyout").arg(&key).arg("-out").arg(&cert).stderr(Stdio::null());
    assert!(openssl.status().unwrap().success());
    let line = format!(
        "{SMALL} --lock --logic-id 7 --tablespace-dir {} --cert {} --key {}",
        tmp.display(),
        cert.display(),
        key.display()
    );
    let stopped = volume.stopped_at("before-done", &line);
    for name in ["ins_lock", "ins_logic_id", "ins_ctx", "server.crt", "server.key"] {
        assert!(volume.data().join(name).exists(), "{name}");
    }
    assert!(tmp.is_dir() && volume.step().is_none());
    let meta = fs::metadata(volume.data().join("server.key")).unwrap();
    assert_eq!((meta.uid(), meta.mode() & 0o777), (postgres().0, 0o600));
    assert_eq!(stopped.go_on().0, 0);
    assert_eq!(volume.step().as_deref(), Some("done"));
    let mismatched = volume.install(&format!("--cert {0} --key {0}", cert.display()));
    refused(&mismatched, 1, "bad_key");
}

#[test]
fn called_again_otherwise() {
    let volume = Volume::new();
    volume.stopped_at("before-done", &format!("{SMALL} --port 3001 --set work_mem=1MB")).kill();
    let ran = volume.install("--role standby --primary-host 127.0.0.1");
    refused(&ran, 1, "other_role");
    let json = volume.done(&format!("{SMALL} --port 3002 --set work_mem=2MB"));
    assert!(steps(&json).contains(&"write the configuration files as asked for".to_owned()), "{json}");
    assert!(volume.read("postgresql.conf").contains("\nport=3002\n"));
    assert_eq!(volume.serve().sql("show work_mem"), "2MB");
}

#[test]
fn a_configuration_that_the_engine_does_not_take() {
    let volume = Volume::new();
    for setting in ["work_mem=much", "no_such_parameter=1", "max_connections=-1"] {
        let ran = volume.install(&format!("{SMALL} --set {setting}"));
        refused(&ran, 1, "bad_configuration");
        assert!(ran.stdout.contains(setting.split('=').next().unwrap()), "{ran:?}");
        assert_eq!(volume.of_value(), Vec::<String>::new());
    }
    refused(&volume.install("--initdb-arg --no-such-option"), 1, "initdb_failed");
    refused(&volume.install("--initdb-arg=--pgdata=/etc"), 2, "usage");
    assert_eq!(volume.of_value(), Vec::<String>::new());
    volume.done(&format!("{SMALL} --initdb-arg --wal-segsize=1"));
    assert_eq!(volume.serve().sql("show wal_segment_size"), "1MB");
}

#[test]
fn the_nodes_own_rules_and_a_template() {
    let volume = Volume::new();
    let hba = "# the node's\nlocal all all trust\nhost all all 10.0.0.0/8 md5\n";
    fs::write(volume.dir.path().join("pg_hba.conf"), hba).unwrap();
    let template = volume.dir.path().join("postgresql.conf.demo");
    fs::write(&template, "port = 3003\nlog_directory = 'log'\nwork_mem = 3MB # kept\nlisten_addresses=''\n")
        .unwrap();
    let ran = volume.install(&format!(
        "--template {} --set unix_socket_directories=. --set shared_buffers=16MB",
        template.display()
    ));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(volume.read("pg_hba.conf"), hba);
    let conf = volume.read("postgresql.conf");
    assert!(conf.contains("\nport=3003\n") && conf.contains("work_mem = 3MB # kept"), "{conf}");
    assert_eq!(fs::read_link(volume.data().join("log")).unwrap(), volume.log().join("pg_log"));
    assert_eq!(volume.serve().sql("select inet_server_port() is null, current_setting('port')"), "t|3003");
    // What is there and cannot be read is no reason to go on without.
    let volume = Volume::new();
    fs::create_dir(volume.dir.path().join("pg_hba.conf")).unwrap();
    assert_eq!(volume.install(SMALL).code, 1);
    fs::remove_dir(volume.dir.path().join("pg_hba.conf")).unwrap();
    refused(&volume.install("--template /no/such/file"), 1, "file");
    for bytes in [b"port = 1\0\n".to_vec(), b"a = '\xff'".to_vec(), vec![b'#'; 5 << 20]] {
        fs::write(&template, bytes).unwrap();
        refused(&volume.install(&format!("--template {}", template.display())), 1, "file");
        fs::rename(&template, volume.dir.path().join("pg_hba.conf")).unwrap();
        refused(&volume.install(SMALL), 1, "file");
    }
    assert_eq!(volume.of_value(), Vec::<String>::new());
}

#[test]
fn parts_of_a_later_version() {
    let volume = Volume::new();
    for line in ["--role ro", "--role datamax", "--storage fcsan", "--storage polarstore", "--dma", "--tde"] {
        let ran = volume.install(line);
        refused(&ran, 1, "missing_part");
        assert!(ran.stdout.contains("nothing was changed"), "{ran:?}");
        refused(&volume.install(&format!("{line} --dry-run")), 1, "missing_part");
    }
    assert_eq!(volume.names(), Vec::<String>::new());
    assert_eq!(fs::metadata(volume.data()).unwrap().uid(), 0);
}

#[test]
fn as_other_users() {
    let volume = Volume::new();
    let (uid, gid) = postgres();
    let as_user = |uid: u32| {
        Ctl::as_uid(uid, &format!("install {SMALL} --output json"))
            .option("--data-dir", &volume.data())
            .option("--hba-file", &volume.dir.path().join("no"))
            .env("POLAR_SUPERVISOR_LOG_DIR", volume.log())
            .ran()
    };
    assert_eq!(as_user(uid).code, 77, "root's folder");
    chown(volume.data(), Some(uid), Some(gid)).unwrap();
    assert_eq!(as_user(65_534).code, 77, "another user's");
    let ran = as_user(uid);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(volume.serve().sql("select 1"), "1");
    let volume = Volume::new();
    refused(&volume.install("--user root"), 1, "no_user");
    refused(&volume.install("--user no-such-user"), 1, "no_user");
}

/// A primary with a slot and a role for a standby, and what the installation of that is called with.
fn primary(password: &str) -> (Engine, String) {
    let primary = Engine::up_on_tcp();
    let created = primary
        .command("replica create --kind standby --custins-id 7 --unique-name a-b --password-stdin")
        .given(password.as_bytes());
    assert_eq!(created.code, 0, "{created:?}");
    let line = format!(
        "--role standby --primary-host 127.0.0.1 --primary-port {} --custins-id 7 --unique-name a-b --port 3001 \
         --set listen_addresses= --set unix_socket_directories=. --set log_directory=log",
        primary.port()
    );
    (primary, line)
}

#[test]
fn a_standby_streams_from_its_primary() {
    let password = "it's : \\ %s \u{1f418}\"";
    let (primary, line) = primary(password);
    // What is the primary's own is nothing of a copy's.
    for (name, text) in [("ins_install_step", "done"), ("ins_logic_id", "1"), ("ins_ctx", "{}")] {
        primary.write(name, text);
    }
    fs::create_dir(primary.data().join("pg_log")).unwrap();
    chown(primary.data().join("pg_log"), Some(postgres().0), None).unwrap();
    primary.write("pg_log/old.log", "the primary's");
    primary.sql("alter system set primary_conninfo = 'host=old'");
    primary.sql("create table t as select generate_series(1, 1000) as n");
    let volume = Volume::new();
    let wrong = volume.command(&format!("{line} --password-stdin")).given(b"wrong");
    assert_eq!((wrong.code, wrong.json()["error"]["code"].as_str()), (1, Some("basebackup_failed")));
    assert!(wrong.stdout.contains("password authentication failed"), "{wrong:?}");
    assert_eq!(volume.of_value(), Vec::<String>::new());
    let said = volume.command(&format!("{line} --dry-run --password-stdin")).given(password.as_bytes());
    assert!(said.stdout.contains("pg_basebackup from 127.0.0.1"), "{said:?}");
    let done = volume.command(&format!("{line} --password-stdin")).given(password.as_bytes());
    assert_eq!(done.code, 0, "{done:?}");
    assert!(!volume.data().join("ins_logic_id").exists() && !volume.data().join("pg_log").exists());
    assert_eq!(fs::read_link(volume.data().join("log")).unwrap(), volume.log().join("pg_log"));
    let standby = volume.serve();
    assert_eq!(standby.sql("select pg_is_in_recovery(), count(*) from t"), "t|1000");
    let streams = "select count(*) from pg_stat_replication where application_name = 'standby_7_a_b' and state = 'streaming'";
    until("the standby to stream", || primary.sql(streams) == "1");
    assert_eq!(primary.sql("select active from pg_replication_slots where slot_name = 'standby_7_a_b'"), "t");
    primary.sql("insert into t values (1001)");
    until("a row to come", || standby.sql("select count(*) from t") == "1001");
    assert_eq!(standby.sql("show primary_slot_name"), "standby_7_a_b");
    // The password is in one file of the engine's user, and nowhere else.
    let meta = fs::metadata(volume.data().join("ins_passfile")).unwrap();
    assert_eq!((meta.uid(), meta.mode() & 0o777), (postgres().0, 0o600));
    let elsewhere = Command::new("grep")
        .args(["-rlF", "it's :"])
        .args([volume.dir.path(), primary.dir.path()])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(elsewhere.stdout).unwrap(), "");
    let found = volume.read("ins_passfile");
    assert!(found.contains("it's \\: \\\\ %s"), "as libpq wants it");
    for text in [&done.stdout, &done.stderr, &said.stdout, &wrong.stdout] {
        assert!(!text.contains("it's"), "{text}");
    }
}

#[test]
fn a_standby_that_was_killed_and_one_without_its_slot() {
    let (primary, line) = primary("secret");
    let volume = Volume::new();
    let environment = |line: &str| volume.command(line).env("PGPASSWORD", "secret");
    let file = volume.dir.path().join("places/failpoint");
    let mut child =
        environment(&line).env("POLAR_FAILPOINT", "database-made").env("POLAR_FAILPOINT_FILE", &file).spawn();
    until("the copy", || file.exists());
    let words = fs::read(format!("/proc/{}/cmdline", child.id())).unwrap();
    assert!(!String::from_utf8_lossy(&words).contains("secret"));
    child.kill().unwrap();
    child.wait().unwrap();
    let ran = environment(&line).ran();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(volume.serve().sql("select pg_is_in_recovery()"), "t");
    let volume = Volume::new();
    primary.json("replica drop --kind standby --custins-id 7 --unique-name a-b");
    let ran = volume.command(&line).env("PGPASSWORD", "secret").ran();
    refused(&ran, 1, "basebackup_failed");
    assert!(ran.stdout.contains("replication slot") && ran.stdout.contains("replica create"), "{ran:?}");
    assert_eq!(volume.of_value(), Vec::<String>::new());
    refused(&volume.install("--role standby"), 2, "usage");
}
