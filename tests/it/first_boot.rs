//! An empty data directory becomes a served database: what is in it, and what each variable asks for.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::common::{Builder, Exit, Instance, Signal, pg_bin, postgres_user};

/// A first boot with these variables, waited for.
fn booted(variables: &[(&str, &str)]) -> Instance {
    let mut builder = Instance::builder();
    for (key, value) in variables {
        builder = builder.env(key, *value);
    }
    let mut instance = builder.start();
    instance.ready();
    instance
}

/// A first boot that has to be refused: with 78, before anything is made, and with each of `texts` in the message.
fn refused(builder: Builder, texts: &[&str]) {
    let mut instance = builder.start();
    assert_eq!(instance.wait(), Exit::Code(78));
    for text in texts {
        assert!(instance.log().contains(text), "no {text:?} in the log");
    }
    assert_eq!(names(&instance.path("data")), [""; 0], "an empty data directory stays empty");
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Whether role `role` gets in over TCP by `password` and by nothing else.
fn assert_password(instance: &Instance, role: &str, database: &str, password: &str) {
    assert_eq!(instance.tcp(role, database, Some(password), "select current_user").success(), role);
    for wrong in [None, Some("wrong"), Some("")] {
        assert!(!instance.tcp(role, database, wrong, "select 1").status.success(), "got in by {wrong:?}");
    }
    let verifier = instance.sql(&format!("select rolpassword from pg_authid where rolname = '{role}'"));
    assert!(verifier.starts_with("SCRAM-SHA-256$"), "{verifier}");
}

#[test]
fn no_variable_is_needed() {
    let instance = booted(&[]);
    assert!(instance.log().contains("NEW database initialized"));

    let data = fs::metadata(instance.path("data")).unwrap();
    let user = postgres_user();
    assert_eq!((data.mode() & 0o7777, data.uid(), data.gid()), (0o700, user.uid, user.gid));
    let made = names(&instance.path("data"));
    assert!(!made.iter().any(|name| name.starts_with(".init-")), "a stage is left: {made:?}");
    let conf = fs::read_to_string(instance.path("data/postgresql.conf")).unwrap();
    let port = format!("port={}", instance.spec.port.number());
    let port_line = conf.lines().map(|line| line.replace(' ', "")).any(|line| line.starts_with(&port));
    assert!(port_line, "callers grep the port in postgresql.conf: {conf}");

    for (name, value) in [
        ("data_checksums", "on"),
        ("server_encoding", "UTF8"),
        ("lc_collate", "C"),
        ("logging_collector", "on"),
        ("log_directory", "pg_log"),
        ("log_filename", "postgresql-%Y-%m-%d_%H%M%S.log"),
        ("password_encryption", "scram-sha-256"),
        ("shared_buffers", "16MB"),
    ] {
        // The locale's categories are settings up to release 15 only.
        let shown = instance.try_sql(&format!("show {name}"));
        assert!(
            shown == Ok(value.to_owned()) || (name == "lc_collate" && shown.is_err()),
            "{name}: {shown:?}"
        );
    }
    assert_eq!(instance.sql("select string_agg(rolname, ' ') from pg_roles where rolcanlogin"), "postgres");
    assert_eq!(
        instance
            .sql("select string_agg(datname, ' ' order by datname) from pg_database where not datistemplate"),
        "postgres"
    );
    assert_eq!(
        instance.sql(
            "select count(*) from pg_hba_file_rules where type = 'host' and auth_method <> 'scram-sha-256'"
        ),
        "0"
    );
    assert!(
        !instance.tcp("postgres", "postgres", None, "select 1").status.success(),
        "in without a password"
    );
}

#[test]
fn the_engine_is_no_root_and_gets_a_short_environment() {
    let mut instance = booted(&[("POSTGRES_PASSWORD", "s3cret-word"), ("SOMETHING_ELSE", "x")]);
    let user = postgres_user();
    let postmaster = instance.postmaster();
    assert_eq!(postmaster.uid, user.uid);
    let status = fs::read_to_string(format!("/proc/{}/status", postmaster.pid)).unwrap();
    for clean in ["SigBlk:\t0000000000000000", "CapEff:\t0000000000000000"] {
        assert!(status.contains(clean), "{clean} in {status}");
    }
    let environment = postmaster.environment();
    assert!(!environment.values().any(|value| value.contains("s3cret-word")), "{environment:?}");
    assert!(!environment.contains_key("SOMETHING_ELSE"), "{environment:?}");
    let postmasters_files = postmaster.descriptors();
    let data = instance.path("data");
    assert!(
        !postmasters_files.values().any(|target| *target == data),
        "the keeper's lock went to the postmaster"
    );
    instance.until("PID 1 and who follows the engine's log to be all that is not the engine's", |it| {
        let processes = it.processes();
        let others: Vec<_> = processes.iter().filter(|process| process.name != "postgres").collect();
        others.len() == 2 && others.iter().filter(|other| other.uid == user.uid).count() == 1
    });
}

#[test]
fn postgres_password() {
    let odd = " pa'ss\"w\\o$rd % é ";
    let instance = booted(&[("POSTGRES_PASSWORD", odd)]);
    assert_password(&instance, "postgres", "postgres", odd);
}

#[test]
fn postgres_user_is_a_superuser_beside_postgres() {
    let instance = booted(&[("POSTGRES_USER", "Al-ice"), ("POSTGRES_PASSWORD", "word")]);
    assert_password(&instance, "Al-ice", "Al-ice", "word");
    assert_eq!(instance.sql("select rolsuper from pg_roles where rolname = 'Al-ice'"), "t");
    assert_eq!(instance.sql("select rolpassword is null from pg_authid where rolname = 'postgres'"), "t");
    assert_eq!(
        instance.sql("select pg_get_userbyid(datdba) from pg_database where datname = 'Al-ice'"),
        "Al-ice"
    );
}

#[test]
fn postgres_db() {
    let instance = booted(&[("POSTGRES_DB", "we\"b 'shop")]);
    assert_eq!(instance.sql_in("we\"b 'shop", "select current_database()"), "we\"b 'shop");
}

#[test]
fn postgres_user_and_db() {
    let instance =
        booted(&[("POSTGRES_USER", "alice"), ("POSTGRES_DB", "shop"), ("POSTGRES_PASSWORD", "word")]);
    assert_password(&instance, "alice", "shop", "word");
    assert_eq!(
        instance.sql("select pg_get_userbyid(datdba) from pg_database where datname = 'shop'"),
        "alice"
    );
    assert!(
        instance.try_sql_in("alice", "select 1").is_err(),
        "a database beside the one that was asked for"
    );
}

#[test]
fn postgres_as_the_user_is_the_one_that_is_there() {
    let instance =
        booted(&[("POSTGRES_USER", "postgres"), ("POSTGRES_DB", "postgres"), ("POSTGRES_PASSWORD", "word")]);
    assert_password(&instance, "postgres", "postgres", "word");
}

#[test]
fn postgres_initdb_args() {
    let instance = booted(&[("POSTGRES_INITDB_ARGS", "--wal-segsize=1 --locale='C.UTF-8'")]);
    assert_eq!(instance.sql("show wal_segment_size"), "1MB");
    assert_eq!(instance.sql("select datcollate from pg_database where datname = 'postgres'"), "C.UTF-8");
    assert_eq!(instance.sql("show data_checksums"), "on", "the configured arguments hold too");
}

#[test]
fn postgres_initdb_waldir() {
    let builder = Instance::builder();
    let wal = builder.dir.folder("wal");
    let mut instance = builder.env("POSTGRES_INITDB_WALDIR", &wal).start();
    instance.ready();
    assert_eq!(fs::read_link(instance.path("data/pg_wal")).unwrap(), wal);
    let segment = instance.sql("select pg_walfile_name(pg_current_wal_lsn())");
    assert!(names(&wal).contains(&segment));
    instance.restart();
    instance.ready();
}

#[test]
fn postgres_host_auth_method() {
    let instance = booted(&[("POSTGRES_HOST_AUTH_METHOD", "trust")]);
    assert_eq!(instance.tcp("postgres", "postgres", None, "select 1").success(), "1");
}

#[test]
fn polardb_variables() {
    let instance = booted(&[
        ("POLARDB_USER", "polar"),
        ("POLARDB_PASSWORD", "bear"),
        ("POLARDB_DB", "pole"),
        ("POLARDB_PORT", ""),
    ]);
    assert_password(&instance, "polar", "pole", "bear");
}

#[test]
fn polardb_port() {
    let builder = Instance::builder().set("program.engine.port", 1);
    let port = builder.port.number().to_string();
    let mut instance = builder.env("POLARDB_PORT", &port).start();
    instance.ready();
    assert_eq!(instance.sql("show port"), port);
}

#[test]
fn each_variable_has_a_twin_that_names_a_file() {
    let builder = Instance::builder();
    let wal = builder.dir.folder("wal");
    let mut instance = builder
        .env_file("POSTGRES_USER_FILE", "alice\n")
        .env_file("POSTGRES_PASSWORD_FILE", "from a file\n")
        .env_file("POSTGRES_DB_FILE", "shop")
        .env_file("POSTGRES_INITDB_ARGS_FILE", "--wal-segsize=1\n")
        .env_file("POSTGRES_INITDB_WALDIR_FILE", &format!("{}\n", wal.display()))
        .env_file("POSTGRES_HOST_AUTH_METHOD_FILE", "password\n")
        .start();
    instance.ready();
    assert_password(&instance, "alice", "shop", "from a file");
    assert_eq!(instance.sql("show wal_segment_size"), "1MB");
    assert_eq!(fs::read_link(instance.path("data/pg_wal")).unwrap(), wal);
    assert_ne!(instance.sql("select count(*) from pg_hba_file_rules where auth_method = 'password'"), "0");
}

#[test]
fn polardb_twins() {
    let builder = Instance::builder().set("program.engine.port", 1);
    let port = builder.port.number();
    let mut instance = builder
        .env_file("POLARDB_USER_FILE", "polar\n")
        .env_file("POLARDB_PASSWORD_FILE", "bear\r\n")
        .env_file("POLARDB_DB_FILE", "pole\n")
        .env_file("POLARDB_PORT_FILE", &format!("{port}\n"))
        .start();
    instance.ready();
    assert_password(&instance, "polar", "pole", "bear");
}

#[test]
fn a_variable_and_its_twin_together_are_refused() {
    for name in [
        "POSTGRES_PASSWORD",
        "POSTGRES_USER",
        "POSTGRES_DB",
        "POSTGRES_INITDB_ARGS",
        "POSTGRES_INITDB_WALDIR",
        "POSTGRES_HOST_AUTH_METHOD",
        "POLARDB_USER",
        "POLARDB_PASSWORD",
        "POLARDB_DB",
        "POLARDB_PORT",
    ] {
        let twin = format!("{name}_FILE");
        refused(Instance::builder().env(name, "1234").env_file(&twin, "1234"), &[name, &twin]);
    }
}

#[test]
fn a_twin_whose_file_is_not_there_is_refused() {
    refused(
        Instance::builder().env("POSTGRES_PASSWORD_FILE", "/no/such/secret"),
        &["POSTGRES_PASSWORD_FILE", "/no/such/secret"],
    );
}

#[test]
fn an_initdb_argument_that_is_ours_is_refused() {
    refused(
        Instance::builder().env("POSTGRES_INITDB_ARGS", "--pgdata=/elsewhere"),
        &["POSTGRES_INITDB_ARGS"],
    );
}

#[test]
fn an_auth_method_that_is_none_is_refused() {
    refused(Instance::builder().env("POSTGRES_HOST_AUTH_METHOD", "tru\nst"), &["POSTGRES_HOST_AUTH_METHOD"]);
}

#[test]
fn lost_and_found_is_no_content() {
    let builder = Instance::builder();
    // As mkfs makes it: root's, and closed to the engine's user.
    let found = builder.dir.path("data/lost+found");
    fs::create_dir(&found).unwrap();
    fs::set_permissions(&found, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let mut instance = builder.start();
    instance.ready();
    assert!(found.is_dir());
    instance.restart();
    instance.ready();
}

#[test]
fn a_database_is_there_after_a_restart_and_made_once() {
    let mut instance = booted(&[("POSTGRES_PASSWORD", "first")]);
    instance.sql("create table kept (n int)");
    let identity = instance.sql("select system_identifier from pg_control_system()");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    assert_eq!(fs::metadata(instance.path("data/postmaster.pid")).ok().map(|meta| meta.len()), None);

    // A later boot takes no notice of the variables: the password is that of the first.
    let mut instance = instance.change(|builder| builder.env("POSTGRES_PASSWORD", "second"));
    instance.boot();
    instance.ready();
    assert!(!instance.log().contains("NEW database initialized"));
    assert_eq!(instance.sql("select system_identifier from pg_control_system()"), identity);
    assert_eq!(instance.sql("select count(*) from kept"), "0");
    assert_password(&instance, "postgres", "postgres", "first");
}

#[test]
fn any_uid_will_do() {
    let mut instance = Instance::builder().account(54_321, 54_322).start();
    instance.until("the engine to listen", Instance::accepts_tcp);
    assert_eq!(instance.postmaster().uid, 54_321);
    assert_eq!(fs::metadata(instance.path("data/PG_VERSION")).unwrap().uid(), 54_321);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn never_shown_anywhere_is_the_password() {
    let word = "hush-hush-4711";
    let mut instance = Instance::builder()
        .set("supervisor.log_level", "trace")
        .set("program.engine.parameters.log_statement", "all")
        .set("program.engine.parameters.log_min_duration_statement", "0")
        .env("POSTGRES_USER", "alice")
        .env("POSTGRES_PASSWORD", word)
        .script("10.sql", "select 1;\n")
        .start();
    // As fast as can be, what each process of the instance shows to everybody.
    instance.until("the first boot to end", |it| {
        for process in it.processes() {
            assert!(!process.command.contains(word), "{process:?}");
        }
        it.accepts_tcp()
    });
    instance.ready();
    assert_password(&instance, "alice", "alice", word);
    assert!(!instance.log_of_all_boots().contains(word));
    for entry in fs::read_dir(instance.path("data/pg_log")).unwrap() {
        let text = fs::read(entry.unwrap().path()).unwrap();
        assert!(!String::from_utf8_lossy(&text).contains(word));
    }
    let grep =
        std::process::Command::new("grep").arg("-rlF").arg(word).arg(instance.path("")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&grep.stdout), "", "files that hold the password");
}

#[test]
fn bin_dir_is_taken_at_its_word() {
    let bin = pg_bin();
    let mut instance = Instance::builder().set("program.engine.bin_dir", bin.to_str().unwrap()).start();
    instance.ready();
    assert!(instance.postmaster().command.starts_with(bin.to_str().unwrap()));
    drop(instance);
    refused(Instance::builder().set("program.engine.bin_dir", "/no/such/bin"), &["/no/such/bin"]);
}
