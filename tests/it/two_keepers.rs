//! Two containers on one data directory: at no time two postmasters.
//!
//! These take minutes, for PostgreSQL's own look at its pid file takes place once in one or two.

use std::fs;
use std::time::{Duration, Instant};

use crate::common::{Builder, Exit, Instance, Process, Signal, pg_bin, until};
use crate::stale;

/// Longer than two minutes and a bit.
const LONG: Duration = Duration::from_secs(160);

/// A container that runs PostgreSQL itself as PID 1, as images without a supervisor do.
fn unsupervised(builder: Builder) -> Builder {
    let run = format!(
        "#!/bin/sh\nexec setpriv --reuid=postgres --regid=postgres --init-groups {}/postgres -D \"$DATA\" $OPTIONS\n",
        pg_bin().display()
    );
    builder.stand_in(&run)
}

/// Options that keep a postmaster's socket and port out of sight of the other container.
fn hidden(builder: Builder) -> Builder {
    builder
        .setup("mkdir -p /run/hidden && mount -t tmpfs -o mode=1777 tmpfs /run/hidden")
        .env("OPTIONS", "-c listen_addresses= -c unix_socket_directories=/run/hidden")
}

fn data_env(builder: Builder) -> Builder {
    let data = builder.dir.path("data");
    builder.env("DATA", data)
}

/// A supervisor over the data directory of another instance.
fn beside(other: &Instance) -> Builder {
    let data = other.path("data");
    Instance::builder().set("program.engine.data_dir", data.to_str().unwrap())
}

/// The postmaster as PID 1 itself, or as its children.
fn postmasters(instance: &Instance) -> Vec<Process> {
    let (pid1, mut all) = (instance.pid1(), instance.processes());
    all.retain(|it| it.name == "postgres" && it.state != 'Z');
    let unsupervised = all.iter().any(|it| it.pid == pid1);
    all.retain(|it| if unsupervised { it.pid == pid1 } else { it.parent == pid1 });
    all
}

/// Runs a statement inside, over the hidden socket.
fn inside(instance: &Instance, statement: &str) -> String {
    let port = instance.spec.port.number().to_string();
    let arguments =
        ["-X", "-h", "/run/hidden", "-p", &port, "-U", "postgres", "-d", "postgres", "-Atc", statement];
    instance.pg("psql", arguments).success()
}

#[test]
fn a_second_supervisor_is_refused_and_the_first_serves_on() {
    let mut first = Instance::builder().with_database().start();
    first.ready();
    first.sql("create table kept (n int)");
    let postmaster = first.postmaster().pid;
    let mut second = beside(&first).build();
    let begin = Instant::now();
    let mut rows = 0;
    while begin.elapsed() < Duration::from_secs(90) {
        second.boot();
        assert_eq!(second.wait(), Exit::Code(78));
        assert!(second.log().contains("another supervisor keeps the data directory"), "{}", second.log());
        assert!(!second.log().contains("started, process"), "{}", second.log());
        first.sql(&format!("insert into kept values ({rows})"));
        rows += 1;
    }
    assert_eq!(first.postmaster().pid, postmaster);
    // The other order: the second comes up once the first is gone, and the first is refused then.
    first.kill9();
    second.boot();
    until("the second to serve", LONG, || first.try_sql("select 1").is_ok());
    assert_eq!(first.sql("select count(*) from kept"), rows.to_string());
    assert!(!second.log().contains("125 s"), "{}", second.log());
    first.boot();
    assert_eq!(first.wait(), Exit::Code(78));
    assert_eq!(first.sql("select count(*) from kept"), rows.to_string());
}

#[test]
fn an_unsupervised_postmaster_that_answers_is_let_be_until_it_is_gone() {
    let mut first = unsupervised(data_env(Instance::builder().with_database())).start();
    first.ready();
    first.sql("create table kept as select 7 as n");
    let mut second = beside(&first).start();
    second.wait_log("something accepts on");
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!((postmasters(&first).len(), postmasters(&second).len()), (1, 0));
    first.sql("insert into kept values (8)");
    assert_eq!(first.stop(Signal::SIGINT), Exit::Code(0));
    second.until("the second to serve", |_| first.try_sql("select 1").is_ok());
    assert_eq!(first.sql("select sum(n) from kept"), "15");
    assert_eq!(postmasters(&second).len(), 1);
}

#[test]
fn an_unsupervised_postmaster_out_of_sight_is_noticed_by_its_look_at_the_file() {
    let mut first = unsupervised(hidden(data_env(Instance::builder().with_database()))).start();
    first.until("the first to serve", |it| it.pid_file_line(7).is_some_and(|status| status == "ready"));
    inside(&first, "create table kept as select 7 as n");
    let postmaster = postmasters(&first)[0].pid;
    let mut second = beside(&first).start();
    second.wait_log("starting after 125 s");
    until("a sign of life", LONG, || {
        assert_eq!(postmasters(&second).len(), 0);
        second.log().contains("has looked after it")
    });
    // It goes on watching, and the first goes on serving.
    second.wait_log_count("starting after 125 s", 2);
    assert_eq!(postmasters(&first)[0].pid, postmaster);
    inside(&first, "insert into kept values (8)");
    assert_eq!(first.stop(Signal::SIGINT), Exit::Code(0));
    second.until("the second to serve", |_| first.try_sql("select 1").is_ok());
    assert_eq!(first.sql("select sum(n) from kept"), "15");
}

#[test]
fn an_unsupervised_postmaster_that_was_killed_is_taken_for_dead_after_two_minutes() {
    let mut first = unsupervised(hidden(data_env(Instance::builder().with_database()))).start();
    first.until("the first to serve", |it| it.pid_file_line(7).is_some_and(|status| status == "ready"));
    inside(&first, "create table kept as select 7 as n");
    first.kill9();
    let begin = Instant::now();
    let second = beside(&first).start();
    until("the second to serve", LONG, || first.try_sql("select 1").is_ok());
    let took = begin.elapsed();
    assert!(took > Duration::from_secs(120), "{took:?}");
    assert!(second.log().contains("nobody has looked after it for 125 s"), "{}", second.log());
    assert_eq!(first.sql("select sum(n) from kept"), "7");
}

/// What PostgreSQL itself does when somebody starts it beside a supervised one; it knows of no lock. Ours ends by its own
/// look at the pid file, which names another; dying it removes that file, whosever it is, so that the other one ends by
/// its look. Ours, started again meanwhile, is the one that stays.
#[test]
fn an_unsupervised_postmaster_that_comes_second_is_outlived_by_ours() {
    let mut first = Instance::builder().with_database().start();
    first.ready();
    first.sql("create table kept as select 7 as n");
    stale::record(&first);
    let data = first.path("data");
    let mut second = unsupervised(hidden(Instance::builder())).env("DATA", &data).start();
    until("the second to take the pid file over", LONG, || {
        fs::read_to_string(data.join("postmaster.pid")).is_ok_and(|text| text.contains("/run/hidden"))
    });
    let begin = Instant::now();
    until("the word to the people", LONG, || first.log().contains("TWO SERVERS ON ONE DATA DIRECTORY"));
    until("the end of ours", LONG, || first.log().contains("ended by itself"));
    println!("two postmasters for {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(130));
    until("the end of the other", LONG, || {
        // Ours has removed its pid file: until it has missed that, nothing starts beside it.
        assert!(second.exit().is_some() || postmasters(&first).is_empty());
        second.exit().is_some()
    });
    println!("the other one is gone after {:?}", begin.elapsed());
    until("our next start", LONG, || first.try_sql("select 1").is_ok());
    assert_eq!(first.sql("select n from kept"), "7");
    assert_eq!(postmasters(&first).len(), 1);
}
