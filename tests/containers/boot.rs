//! The first boot in a container, and the second.

use crate::bed::Bed;

#[test]
fn an_empty_volume_becomes_a_database_that_a_second_container_serves_again() {
    let Some(bed) = Bed::take(1) else { return };
    let (data, log) = (bed.volume("data"), bed.volume("log"));
    let first = bed.engine("first").mount(&data, "/data").mount(&log, "/log").serving();
    first.said("NEW database initialized in /data (version 15, port 5432)");
    first.health_is("healthy");
    assert_eq!(first.sql("create table kept (n int); insert into kept values (7); table kept"), "7");
    // As a user of the volume finds it later.
    assert_eq!(first.sh("stat -c '%U %a' /data"), "postgres 700");
    assert_eq!(first.stop(), 0);
    first.remove();
    let second = bed.engine("second").mount(&data, "/data").mount(&log, "/log").serving();
    assert_eq!(second.sql("table kept"), "7");
    let logs = second.logs();
    assert!(!logs.contains("NEW database") && logs.contains("ready after"), "{logs}");
    assert_eq!(second.stop(), 0);
}

#[test]
fn with_no_option_at_all_it_serves() {
    let Some(bed) = Bed::take(1) else { return };
    let engine = bed.engine("plain").serving();
    assert_eq!(engine.sql("select 1"), "1");
    // It listens, and nobody from outside gets in where no password is set.
    let address = engine.at("/NetworkSettings/IPAddress");
    let ask = ["psql", "-h", address.as_str().unwrap(), "-U", "postgres", "-wc", "select 1"];
    let refused = engine.exec(&ask);
    assert!(refused.code != 0 && refused.stderr.contains("no password supplied"), "{refused:?}");
    let mounts = engine.at("/Mounts");
    let mut places: Vec<&str> =
        mounts.as_array().unwrap().iter().map(|mount| mount["Destination"].as_str().unwrap()).collect();
    places.sort_unstable();
    assert_eq!(places, ["/data", "/log"], "volumes of their own");
}

#[test]
fn variables_make_a_user_and_a_database_that_are_reached_from_another_container() {
    let Some(bed) = Bed::take(2) else { return };
    let engine = bed
        .engine("vars")
        .env("POSTGRES_USER", "app")
        .env("POSTGRES_PASSWORD", "s3 cr'et")
        .env("POSTGRES_DB", "shop")
        .env("POSTGRES_INITDB_ARGS", "--locale=en_US.UTF-8")
        .serving();
    assert_eq!(engine.sql("select rolsuper from pg_roles where rolname = 'app'"), "t");
    assert_eq!(engine.sql("select datcollate from pg_database where datname = 'shop'"), "en_US.UTF-8");
    let address = engine.at("/NetworkSettings/IPAddress");
    let ask = |name: &str, password: &str| {
        let words =
            ["psql", "-h", address.as_str().unwrap(), "-U", "app", "-XAtc", "select current_user", "shop"];
        bed.engine(name).env("PGPASSWORD", password).command(&words).run()
    };
    assert_eq!(ask("right", "s3 cr'et").success(), "app");
    let refused = ask("wrong", "other");
    assert!(refused.stderr.contains("password authentication failed"), "{refused:?}");
    assert!(!engine.logs().contains("s3 cr'et"), "the secret is in the log: {}", engine.logs());
    assert_eq!(engine.sh("grep -rs \"s3 cr'et\" /data /log | wc -l"), "0");
}

#[test]
fn secrets_come_from_files() {
    let Some(bed) = Bed::take(2) else { return };
    let password = bed.file("password", "from-a-file\n");
    let engine = bed
        .engine("secret")
        .mount(&password, "/run/secrets/password:ro")
        .env("POSTGRES_PASSWORD_FILE", "/run/secrets/password")
        .serving();
    let address = engine.at("/NetworkSettings/IPAddress");
    let words = ["psql", "-h", address.as_str().unwrap(), "-U", "postgres", "-XAtc", "select 1"];
    let done = bed.engine("ask").env("PGPASSWORD", "from-a-file").command(&words).run();
    assert_eq!(done.success(), "1");
    let both = bed
        .engine("both")
        .env("POSTGRES_PASSWORD", "a")
        .env("POSTGRES_PASSWORD_FILE", "/run/secrets/password")
        .run();
    assert_ne!(both.code, 0);
    assert!(both.stderr.contains("POSTGRES_PASSWORD_FILE"), "{both:?}");
}

#[test]
fn init_scripts_run_once_in_their_order() {
    let Some(bed) = Bed::take(1) else { return };
    bed.file("scripts/10-table.sql", "create table t (n int);");
    bed.file("scripts/20-rows.sh", "psql -U postgres -c 'insert into t values (1)'\n");
    let data = bed.volume("data");
    let with = |name: &str| {
        bed.engine(name)
            .mount(&data, "/data")
            .mount(bed.path().join("scripts"), "/docker-entrypoint-initdb.d:ro")
            .serving()
    };
    let first = with("first");
    assert_eq!(first.sql("select count(*) from t"), "1");
    assert_eq!(first.stop(), 0);
    let second = with("second");
    assert_eq!(second.sql("select count(*) from t"), "1");
}

#[test]
fn a_script_that_fails_ends_the_container_with_70_and_the_corrected_one_begins_anew() {
    let Some(bed) = Bed::take(1) else { return };
    let script = bed.file("scripts/10.sql", "create table t (n int); select broken;");
    let data = bed.volume("data");
    let with = |name: &str| {
        bed.engine(name)
            .mount(&data, "/data")
            .mount(bed.path().join("scripts"), "/docker-entrypoint-initdb.d:ro")
    };
    let failed = with("failed").run();
    assert_eq!(failed.code, 70, "{failed:?}");
    assert!(failed.stderr.contains("10.sql"), "{failed:?}");
    std::fs::write(script, "create table t (n int);").unwrap();
    let engine = with("corrected").serving();
    assert_eq!(engine.sql("select count(*) from t"), "0");
}

#[test]
fn read_only_with_a_tmpfs_over_run_it_serves() {
    let Some(bed) = Bed::take(1) else { return };
    let engine = bed.engine("ro").with("--read-only --tmpfs /run").serving();
    assert_eq!(engine.sql("select 1"), "1");
    assert_ne!(engine.exec(&["touch", "/etc/x"]).code, 0, "it is read-only");
    assert!(engine.healthy_by("health --live"));
    // What needs a temporary folder of the engine's own has it in the data directory.
    assert_eq!(
        engine.sql(
            "create table big as select generate_series(1, 100000) n; select count(distinct n) from big"
        ),
        "100000"
    );
    engine.health_is("healthy");
    assert!(!engine.logs().contains("ERROR"), "{}", engine.logs());
    assert_eq!(engine.stop(), 0);
}

#[test]
fn read_only_without_a_tmpfs_it_serves_and_says_what_is_missing() {
    let Some(bed) = Bed::take(1) else { return };
    let engine = bed.engine("ro").with("--read-only").start();
    engine.said("there is no control socket");
    crate::bed::until("an answer by the socket on the volume", || {
        let words = ["psql", "-h", "/data", "-U", "postgres", "-XAtc", "select 1"];
        engine.exec(&words).code == 0
    });
    engine.said("Read-only file system");
    assert_eq!(engine.stop(), 0);
}
