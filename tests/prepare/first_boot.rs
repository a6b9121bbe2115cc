//! First boot, with its variables and scripts.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use polardb_manager::supervisor::prepare::protocol::Report;

use crate::bed::{Bed, names, postgres_ids};

#[test]
fn an_empty_directory_becomes_a_database_that_starts() {
    let bed = Bed::new();
    fs::create_dir(bed.at("data/lost+found")).unwrap();
    let (start, ran) = bed.start();
    assert_eq!(ran.status.code(), Some(0));
    assert!(ran.noted("NEW database initialized"), "{:?}", ran.notes());
    assert!(ran.reports.contains(&Report::Initializing));
    assert!(ran.had_keeper);
    assert_eq!(start.data_dir, bed.at("data").to_str().unwrap());
    assert!(!start.unclean && start.environment.is_empty());
    let data = bed.at("data");
    let (uid, _) = postgres_ids();
    assert_eq!((data.metadata().unwrap().uid(), data.metadata().unwrap().mode() & 0o7777), (uid, 0o700));
    assert_eq!(data.join("lost+found").metadata().unwrap().uid(), uid);
    assert!(fs::read_to_string(data.join("postgresql.conf")).unwrap().contains("\nport=5432\n"));
    assert!(!bed.names().iter().any(|name| name.starts_with(".init-") || name.starts_with("postmaster.")));
    assert_eq!(bed.serve(&start, "show data_checksums"), "on");
    assert!(!names(&data.join("pg_log")).is_empty(), "the collector writes behind the link");
    assert_eq!(fs::canonicalize(bed.at("log/pg_log")).unwrap(), data.join("pg_log"));

    let (again, ran) = bed.start();
    assert!(!ran.noted("NEW database"), "{:?}", ran.notes());
    assert_eq!(again.argv, start.argv);
}

#[test]
fn variables_make_roles_and_a_database_and_no_password_is_seen() {
    let mut bed = Bed::new();
    bed.variable("POSTGRES_USER", "app");
    bed.variable("POSTGRES_DB", "shop");
    let secret = "Geheim-4711-'\"\\";
    fs::write(bed.at("password"), format!("{secret}\n")).unwrap();
    // Root alone can read it.
    fs::set_permissions(bed.at("password"), fs::Permissions::from_mode(0o400)).unwrap();
    bed.variable("POSTGRES_PASSWORD_FILE", bed.at("password").to_str().unwrap());

    let over = Arc::new(AtomicBool::new(false));
    let watched = Arc::clone(&over);
    let watch = std::thread::spawn(move || {
        let mut seen = Vec::new();
        while !watched.load(Ordering::SeqCst) {
            for name in names(std::path::Path::new("/proc")) {
                let line = fs::read(format!("/proc/{name}/cmdline")).unwrap_or_default();
                let line = String::from_utf8_lossy(&line).into_owned();
                if line.contains("Geheim-4711") || line.contains("SCRAM-SHA-256$") {
                    seen.push(line);
                }
            }
        }
        seen
    });
    let (start, ran) = bed.start();
    over.store(true, Ordering::SeqCst);
    assert_eq!(watch.join().unwrap(), Vec::<String>::new());
    let said = format!("{:?}{}", ran.reports, ran.stderr);
    assert!(!said.contains("Geheim-4711") && !said.contains("SCRAM-SHA-256$"), "{said}");

    let postmaster = bed.postmaster(&start);
    assert_eq!(bed.sql("select rolsuper and rolcanlogin from pg_roles where rolname = 'app'"), "t");
    assert_eq!(bed.sql("select pg_get_userbyid(datdba) from pg_database where datname = 'shop'"), "app");
    assert_eq!(bed.sql("select rolpassword is null from pg_authid where rolname = 'postgres'"), "t");
    // The verifier is that of the password: the engine makes the same one from it.
    assert_eq!(
        bed.sql("select rolpassword like 'SCRAM-SHA-256$4096:%' from pg_authid where rolname = 'app'"),
        "t"
    );
    postmaster.stop();
}

#[test]
fn scripts_of_each_kind_run_in_order_in_the_database() {
    let mut bed = Bed::new();
    bed.variable("POSTGRES_USER", "app");
    bed.variable("INHERITED", "yes");
    bed.script(
        "1.sql",
        "create table ran (name text, who text default current_user); insert into ran values ('1.sql');",
        false,
    );
    bed.script(
        "2.sh",
        "#!/bin/sh\ntest \"$INHERITED\" = yes && psql -qc \"insert into ran values ('2.sh $POSTGRES_USER $POSTGRES_DB')\"\n",
        true,
    );
    bed.script("3.sh", "false | true && exit 3\npsql -qc \"insert into ran values ('3.sh')\"\n", false);
    for (name, packer) in [("4.sql", "gzip"), ("5.sql", "xz"), ("6.sql", "zstd")] {
        bed.script(name, &format!("insert into ran values ('{packer}');"), false);
        let mut command = Command::new(packer);
        command.arg(bed.at("scripts").join(name));
        if packer == "zstd" {
            command.args(["--rm", "-q"]);
        }
        assert!(command.status().unwrap().success());
    }
    bed.script("7.txt", "not a script", false);
    // A script that writes PGDATA into a configuration file means the data directory.
    bed.script(
        "8.sh",
        "#!/bin/sh\necho \"ident_file = '$PGDATA/pg_ident.conf'\" >> \"$PGDATA/postgresql.conf\"\n",
        true,
    );
    let (start, ran) = bed.start();
    assert!(ran.noted("ignored") && ran.noted("7.txt"));
    let postmaster = bed.postmaster(&start);
    let output = Command::new("psql")
        .args([
            "-XAtq",
            "-U",
            "postgres",
            "-d",
            "app",
            "-c",
            "select string_agg(name || ' ' || who, ',') from ran",
            "-h",
        ])
        .arg(bed.at("sock"))
        .output()
        .unwrap();
    let answer = String::from_utf8(output.stdout).unwrap();
    assert_eq!(answer.trim(), "1.sql app,2.sh app app app,3.sh app,gzip app,xz app,zstd app");
    assert_eq!(bed.sql("show ident_file"), bed.at("data/pg_ident.conf").to_str().unwrap());
    postmaster.stop();
}

#[test]
fn a_failing_script_fails_the_first_boot_and_leaves_an_empty_directory() {
    let bed = Bed::new();
    bed.script("1.sql", "create table t();", false);
    bed.script("2.sh", "sleep 300 & exit 7\n", false);
    let ran = bed.run();
    let cause = ran.failure();
    assert!(cause.contains("2.sh") && cause.contains("exit status 7"), "{cause}");
    assert!(bed.names().is_empty(), "{:?}", bed.names());
    bed.script("2.sh", "true", false);
    let (start, _) = bed.start();
    assert_eq!(bed.serve(&start, "select count(*) from t"), "0");
}

#[test]
fn sql_errors_and_damaged_archives_fail() {
    let bed = Bed::new();
    bed.script("1.sql", "select 1; select nonsense; select 2;", false);
    assert!(bed.run().failure().contains("1.sql"));
    fs::remove_file(bed.at("scripts/1.sql")).unwrap();
    bed.script("1.sql.gz", "no gzip", false);
    assert!(bed.run().failure().contains("1.sql.gz"));
    assert!(bed.names().is_empty());
}

#[test]
fn the_write_ahead_log_has_its_own_place() {
    let mut bed = Bed::new();
    bed.variable("POSTGRES_INITDB_WALDIR", bed.at("wal").to_str().unwrap());
    let (start, _) = bed.start();
    assert_eq!(fs::read_link(bed.at("data/pg_wal")).unwrap(), bed.at("wal"));
    let wal = names(&bed.at("wal"));
    assert!(
        wal.iter().any(|name| name.starts_with("0000")) && !wal.iter().any(|name| name.starts_with('.')),
        "{wal:?}"
    );
    assert_eq!(bed.serve(&start, "select 1"), "1");
}

#[test]
fn a_wal_folder_with_something_in_it_is_refused() {
    let mut bed = Bed::new();
    fs::create_dir(bed.at("wal")).unwrap();
    fs::write(bed.at("wal/somebodys"), "").unwrap();
    fs::set_permissions(bed.at("wal"), fs::Permissions::from_mode(0o777)).unwrap();
    bed.variable("POSTGRES_INITDB_WALDIR", bed.at("wal").to_str().unwrap());
    assert!(bed.run().refusal().contains("somebodys"));
    assert_eq!(names(&bed.at("wal")), ["somebodys"]);
    assert!(bed.names().is_empty());
}

#[test]
fn a_template_is_used_and_its_dangers_are_not() {
    let mut bed = Bed::new();
    fs::write(
        bed.at("template"),
        "port = 1\nwork_mem = '7MB'\nsynchronous_standby_names = 'nobody'\nssl = off\n",
    )
    .unwrap();
    bed.order.engine.conf_template = Some(bed.at("template"));
    bed.script("1.sql", "create table t();", false);
    let (start, _) = bed.start();
    assert_eq!(bed.serve(&start, "select current_setting('work_mem') || current_setting('port')"), "7MB5432");
}

#[test]
fn old_stages_are_thrown_away_and_links_are_not_followed() {
    let bed = Bed::new();
    fs::create_dir_all(bed.at("data/.init-0123456789abcdef/pgdata")).unwrap();
    fs::write(bed.at("data/.init-0123456789abcdef/pgdata/PG_VERSION"), "15").unwrap();
    fs::write(bed.at("marks/kept"), "x").unwrap();
    std::os::unix::fs::symlink(bed.at("marks"), bed.at("data/.init-0123456789abcdef/link")).unwrap();
    std::os::unix::fs::symlink(bed.at("marks"), bed.at("data/.init-link")).unwrap();
    let (uid, gid) = postgres_ids();
    assert!(
        Command::new("chown")
            .arg("-R")
            .arg(format!("{uid}:{gid}"))
            .arg(bed.at("data"))
            .status()
            .unwrap()
            .success()
    );
    fs::create_dir(bed.at("data/.init-of-an-operator")).unwrap();
    bed.start();
    assert!(bed.at("marks/kept").exists());
    // No stage is called so: somebody's own folder.
    assert!(bed.at("data/.init-of-an-operator").exists());
    assert!(!bed.at("data/.init-0123456789abcdef").exists());
}

#[test]
fn a_user_without_a_name_is_told_what_is_missing_or_gets_one() {
    let mut bed = Bed::new();
    bed.order.user.uid = 54321;
    bed.order.user.gid = 54321;
    bed.order.user.groups.clear();
    bed.order.user.name = None;
    let ran = bed.run();
    let has_wrapper = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"]
        .iter()
        .any(|folder| std::path::Path::new(folder).join("libnss_wrapper.so").exists());
    if has_wrapper {
        assert!(ran.noted("NEW database initialized"), "{:?}\n{}", ran.reports, ran.stderr);
    } else {
        assert!(ran.refusal().contains("libnss-wrapper"));
    }
}

/// SIGKILL of all at times that no failpoint has: the next boot converges, and the scripts have run once.
#[test]
fn t02_sigkill_at_any_time() {
    for step in 0_u64..8 {
        let mut bed = Bed::new();
        bed.script("1.sql", "create table ran (at text); insert into ran values ('sql');", false);
        bed.script("2.sh", "psql -qc \"insert into ran values ('sh')\"\n", false);
        if step % 2 == 0 {
            bed.variable("POSTGRES_INITDB_WALDIR", bed.at("wal").to_str().unwrap());
        }
        let running = bed.spawn(None);
        std::thread::sleep(Duration::from_millis(60 + 190 * step));
        running.kill_tree();
        let (start, _) = bed.start();
        assert_eq!(bed.serve(&start, "select string_agg(at, ',') from ran"), "sql,sh");
    }
}
