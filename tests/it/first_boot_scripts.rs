//! The scripts of first boot: each kind, their order, their failures, and that nobody else is let in meanwhile.

use std::fs;
use std::time::Duration;

use crate::common::{Exit, Instance, Signal};

/// Waits for `$DIR/run/NAME`, and says by `$DIR/run/waiting` that it does.
fn wait_for(instance_dir: &std::path::Path, name: &str) -> String {
    let run = instance_dir.join("run");
    let run = run.display();
    format!("#!/bin/sh\ntouch {run}/waiting\nwhile [ ! -e {run}/{name} ]; do sleep 0.02; done\n")
}

#[test]
fn each_kind_runs_once_in_the_order_of_the_names() {
    let insert = |n: u32| format!("insert into ran values ({n});\n");
    let psql = |n: u32| {
        format!(
            "psql -v ON_ERROR_STOP=1 --username \"$POSTGRES_USER\" --dbname \"$POSTGRES_DB\" -c 'insert into ran values ({n})'\n"
        )
    };
    let mut instance = Instance::builder()
        .env("POSTGRES_USER", "alice")
        .env("POSTGRES_DB", "shop")
        .env("POSTGRES_PASSWORD", "word")
        .script("10.sql", "create table ran (n int, k serial);\ninsert into ran values (10);\n")
        .packed_script("20.sql.gz", "gzip", &insert(20))
        .packed_script("30.sql.xz", "xz", &insert(30))
        .packed_script("40.sql.zst", "zstd", &insert(40))
        .executable_script("50.sh", format!("#!/bin/sh -e\n{}", psql(50)))
        .script("60.sh", psql(60))
        .script("70.txt", "no script at all")
        .script("80.sql~", "drop table ran;")
        .start();
    instance.ready();
    assert_eq!(
        instance.sql_in("shop", "select string_agg(n::text, ' ' order by k) from ran"),
        "10 20 30 40 50 60"
    );
    // They are the named user's work.
    assert_eq!(instance.sql_in("shop", "select tableowner from pg_tables where tablename = 'ran'"), "alice");
    for ignored in ["70.txt", "80.sql~"] {
        assert!(instance.log().contains(ignored), "{ignored} is not said to be ignored");
    }

    instance.restart();
    instance.ready();
    assert_eq!(instance.sql_in("shop", "select count(*) from ran"), "6", "a second boot runs them again");
}

#[test]
fn without_variables_they_run_in_postgres() {
    let mut instance = Instance::builder()
        .script("1.sql", "create table here (n int);\n")
        .executable_script("2.sh", "#!/bin/sh -e\npsql -v ON_ERROR_STOP=1 -c 'create table there (n int)'\n")
        .start();
    instance.ready();
    assert_eq!(instance.sql("select count(*) from pg_tables where tablename in ('here', 'there')"), "2");
}

#[test]
fn a_shell_script_is_the_engine_users_and_its_output_is_logged() {
    let mut instance = Instance::builder()
        .executable_script("1.sh", "#!/bin/sh\necho \"I am $(id -un)\"\necho \"on stderr\" >&2\n")
        .start();
    instance.ready();
    assert!(instance.log().contains("I am postgres"));
    assert!(instance.log().contains("on stderr"));
}

#[test]
fn no_folder_of_scripts_is_no_mistake() {
    let builder = Instance::builder();
    let mut instance = builder.set("program.engine.init_scripts", "/no/such/folder").start();
    instance.ready();
}

/// A script that fails ends the first boot with 70; mended, the next boot begins again, and what is served has each
/// script's work once.
fn fails_then_resumes(name: &str, executable: bool, broken: &str, mended: &str) {
    let builder = Instance::builder()
        .script("10.sql", "create table ran (n int);\ninsert into ran values (10);\n")
        .script("90.sql", "insert into ran values (90);\n");
    let put = |builder: crate::common::Builder, content: &str| {
        if executable { builder.executable_script(name, content) } else { builder.script(name, content) }
    };
    let mut instance = put(builder, broken).start();
    assert_eq!(instance.wait(), Exit::Code(70));
    assert!(instance.log().contains(name), "the script that failed is not named");
    assert!(!instance.path("data/PG_VERSION").exists());
    // A boot with the same mistake fails the same way: it is not taken for a database.
    instance.boot();
    assert_eq!(instance.wait(), Exit::Code(70));

    let mut instance = instance.change(|builder| put(builder, mended));
    instance.boot();
    instance.ready();
    assert_eq!(instance.sql("select string_agg(n::text, ' ' order by n) from ran"), "10 50 90");
    let left = fs::read_dir(instance.path("data")).unwrap().flatten();
    let stages: Vec<_> =
        left.filter(|entry| entry.file_name().to_string_lossy().starts_with(".init-")).collect();
    assert!(stages.is_empty(), "{stages:?}");
}

#[test]
fn a_sql_script_that_fails() {
    let mended = "insert into ran values (50);\n";
    fails_then_resumes("50.sql", false, "insert into ran values (50);\nselect no_such_thing;\n", mended);
}

#[test]
fn an_executable_script_that_fails() {
    let mended = "#!/bin/sh\npsql -c 'insert into ran values (50)'\n";
    fails_then_resumes("50.sh", true, "#!/bin/sh\npsql -c 'insert into ran values (50)'\nexit 3\n", mended);
}

#[test]
fn a_sourced_script_that_fails() {
    let mended = "psql -c 'insert into ran values (50)'\n";
    fails_then_resumes("50.sh", false, "psql -c 'insert into ran values (50)'\nfalse\ntrue\n", mended);
}

#[test]
fn a_packed_script_that_is_damaged() {
    let builder = Instance::builder().script("50.sql.gz", "this is not gzip");
    let mut instance = builder.start();
    assert_eq!(instance.wait(), Exit::Code(70));
    assert!(instance.log().contains("50.sql.gz"));
}

#[test]
fn a_script_that_cannot_be_executed() {
    let builder = Instance::builder().executable_script("50.sh", "#!/no/such/interpreter\n");
    let mut instance = builder.start();
    assert_eq!(instance.wait(), Exit::Code(70));
    assert!(instance.log().contains("50.sh"));
}

#[test]
fn nobody_gets_in_before_the_end() {
    let builder = Instance::builder().env("POSTGRES_PASSWORD", "word");
    let script = wait_for(&builder.dir.path(""), "go");
    let mut instance =
        builder.executable_script("1.sh", script).script("2.sql", "select pg_sleep(0.5);\n").start();
    instance.until("the script to run", |it| {
        assert!(!it.accepts() && !it.accepts_tcp());
        it.path("run/waiting").exists()
    });
    // The engine runs all right, for the scripts alone: on no port, and on a socket elsewhere.
    assert!(instance.engine_runs());
    let sockets = fs::read_dir(instance.path("sock")).unwrap().count();
    assert_eq!(sockets, 0, "something in the public socket folder");
    assert!(!instance.path("data/PG_VERSION").exists());
    assert!(!instance.path("data/postmaster.pid").exists());
    let begin = std::time::Instant::now();
    while begin.elapsed() < Duration::from_millis(300) {
        assert!(!instance.accepts() && !instance.accepts_tcp());
    }
    fs::write(instance.path("run/go"), "").unwrap();
    instance.until("the end of first boot", |it| {
        let open = it.accepts() || it.accepts_tcp();
        assert!(!open || it.path("data/PG_VERSION").exists(), "open before the database is in place");
        open
    });
    instance.ready();
}

#[test]
fn t01_sigterm_during_a_script_ends_soon_and_the_next_boot_completes() {
    let builder =
        Instance::builder().script("1.sql", "create table ran (n int);\ninsert into ran values (1);\n");
    let script = wait_for(&builder.dir.path(""), "go");
    let mut instance =
        builder.executable_script("2.sh", script).script("3.sql", "insert into ran values (3);\n").start();
    instance.until("the script to run", |it| it.path("run/waiting").exists());
    instance.signal(Signal::SIGTERM);
    // Asked to stop, and all ended in order or were killed.
    let exit = instance.wait_within(Duration::from_secs(5));
    assert!(matches!(exit, Exit::Code(0 | 1)), "{exit:?}");
    assert!(!instance.path("data/PG_VERSION").exists());

    fs::write(instance.path("run/go"), "").unwrap();
    instance.boot();
    instance.ready();
    assert_eq!(instance.sql("select string_agg(n::text, ' ' order by n) from ran"), "1 3");
}

#[test]
fn t02_sigkill_during_a_script_and_the_next_boot_completes() {
    let builder =
        Instance::builder().script("1.sql", "create table ran (n int);\ninsert into ran values (1);\n");
    let script = wait_for(&builder.dir.path(""), "go");
    let mut instance =
        builder.executable_script("2.sh", script).script("3.sql", "insert into ran values (3);\n").start();
    instance.until("the script to run", |it| it.path("run/waiting").exists());
    instance.kill9();
    fs::write(instance.path("run/go"), "").unwrap();
    instance.boot();
    instance.ready();
    assert_eq!(instance.sql("select string_agg(n::text, ' ' order by n) from ran"), "1 3");
}
