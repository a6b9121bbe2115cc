//! A first boot that is ended at any point, by a stop, a kill or a lock: the next one converges. The database that is
//! served has each script's work once, and nobody was let in before.

use std::fs;
use std::time::{Duration, Instant};

use polardb_manager::supervisor::prepare::failpoint;

use crate::common::{BOOT, Builder, Exit, Instance, Process, Random, Signal, until};

/// T01: how soon PID 1 has ended after it was asked to, first boot or not.
const SOON_ENDED: Duration = Duration::from_secs(2);

/// A first boot with a script of each sort: SQL that would fail if it ran twice, and a shell that leaves a trace outside
/// of the database each time that it runs.
fn first_boot() -> Builder {
    let builder = Instance::builder().env("POSTGRES_PASSWORD", "word");
    let ran = builder.dir.path("run/ran");
    builder
        .script("1.sql", "create table ran (n int primary key);\ninsert into ran values (1);\n")
        .executable_script(
            "2.sh",
            format!(
                "#!/bin/sh -e\necho 2 >> {}\npsql -v ON_ERROR_STOP=1 -c 'insert into ran values (2)'\n",
                ran.display()
            ),
        )
        .script("3.sql", "insert into ran values (3);\n")
}

/// Nobody can connect, since first boot is not over.
fn assert_closed(instance: &Instance) {
    assert!(!instance.accepts() && !instance.accepts_tcp(), "open before the end of first boot");
    assert_eq!(
        fs::read_dir(instance.path("sock")).unwrap().count(),
        0,
        "something in the public socket folder"
    );
}

/// Waits for the end of first boot, and sees that what is served is one complete first boot.
///
/// Killed in the milliseconds between the first postmaster's pid file and the record of its start, the next boot has to
/// wait for 125 s: nothing else proves that the file is a dead one's.
fn converges(instance: &mut Instance) {
    let begin = Instant::now();
    until("the end of first boot", BOOT + Duration::from_secs(125), || {
        let open = instance.accepts() || instance.accepts_tcp();
        let whole = instance.path("data/PG_VERSION").exists();
        assert!(whole || !open, "open before the database is in place");
        let waits = || instance.log().contains("no record of a supervisor tells who wrote it");
        assert!(
            open || begin.elapsed() < BOOT || waits(),
            "waited {BOOT:?} in vain for the end of first boot"
        );
        open
    });
    instance.ready();
    assert_eq!(instance.sql("select string_agg(n::text, ' ' order by n) from ran"), "1 2 3");
    assert_eq!(instance.tcp("postgres", "postgres", Some("word"), "select 1").success(), "1");
    assert_eq!(stages(instance), [""; 0], "a stage is left");
    assert_eq!(instance.control_state(), "in production");
    assert_eq!(instance.zombies(), []);
}

/// The stages in the data directory.
fn stages(instance: &Instance) -> Vec<String> {
    let names = fs::read_dir(instance.path("data")).unwrap().flatten();
    let names = names.map(|entry| entry.file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(".init-")).collect()
}

/// How often the script that leaves a trace has run, in all first boots together.
fn traces(instance: &Instance) -> usize {
    fs::read_to_string(instance.path("run/ran")).unwrap_or_default().lines().count()
}

/// Asks PID 1 to stop and sees that it ends in order, and soon.
fn ends_in_order_and_soon(instance: &mut Instance) {
    let begin = Instant::now();
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    assert!(begin.elapsed() < SOON_ENDED, "it took {:?}", begin.elapsed());
}

/// Whether the first boot is past the point where its stage is complete: from there on it is finished, not begun again.
fn is_complete_at(point: &str) -> bool {
    let place = |name| failpoint::NAMES.iter().position(|known| *known == name).expect("a failpoint");
    place(point) >= place("after-complete")
}

/// A first boot that stands at a failpoint.
fn at(point: &str) -> Instance {
    let mut instance = first_boot().failpoint(point).start();
    instance.at_failpoint();
    assert_closed(&instance);
    assert_eq!(instance.path("data/PG_VERSION").exists(), point == "after-promotion");
    instance
}

/// The next boot, without the failpoint.
fn boots_again(instance: Instance, point: &str) {
    let before = traces(&instance);
    let mut instance = instance.change(|builder| builder.without_env().env("POSTGRES_PASSWORD", "word"));
    instance.boot();
    converges(&mut instance);
    assert_eq!(
        traces(&instance),
        before + usize::from(!is_complete_at(point)),
        "runs of the script at {point}"
    );
    instance.restart();
    converges(&mut instance);
}

fn sigterm(point: &str) {
    let mut instance = at(point);
    ends_in_order_and_soon(&mut instance);
    assert_closed(&instance);
    boots_again(instance, point);
}

fn sigkill(point: &str) {
    let mut instance = at(point);
    instance.kill9();
    assert_closed(&instance);
    boots_again(instance, point);
}

fn lock(point: &str) {
    let mut instance = at(point);
    let (init, before) = (instance.pid1(), traces(&instance));
    instance.set_lock();
    instance.wait_log("locked: ");
    instance.stays_down();
    assert_closed(&instance);
    assert_eq!(stages(&instance).len(), usize::from(is_complete_at(point)), "stages at {point}");
    // The environment of this PID 1 still names the failpoint: its file says that it was passed.
    fs::write(instance.path("run/failpoint"), "").unwrap();
    instance.remove_lock();
    converges(&mut instance);
    assert_eq!(instance.pid1(), init);
    assert_eq!(
        traces(&instance),
        before + usize::from(!is_complete_at(point)),
        "runs of the script at {point}"
    );
}

macro_rules! at_each_failpoint {
    ($($name:ident = $point:literal,)*) => {
        $(mod $name {
            #[test]
            fn t01_sigterm() {
                super::sigterm($point);
            }

            #[test]
            fn t02_sigkill() {
                super::sigkill($point);
            }

            #[test]
            fn t13_lock() {
                super::lock($point);
            }
        })*

        #[test]
        fn no_failpoint_is_left_out() {
            assert_eq!(failpoint::NAMES, [$($point),*]);
        }
    };
}

at_each_failpoint! {
    before_initdb = "before-initdb",
    after_initdb = "after-initdb",
    after_conf = "after-conf",
    server_started = "server-started",
    after_roles = "after-roles",
    before_script = "before-script",
    after_scripts = "after-scripts",
    server_stopped = "server-stopped",
    before_complete = "before-complete",
    after_complete = "after-complete",
    mid_promotion = "mid-promotion",
    before_pg_version = "before-pg-version",
    after_promotion = "after-promotion",
}

/// The end of a first boot that a stop interrupts, and the next one, which completes.
fn stopped_then_completes(mut instance: Instance) {
    ends_in_order_and_soon(&mut instance);
    assert_closed(&instance);
    assert!(!instance.path("data/PG_VERSION").exists());
    fs::write(instance.path("run/go"), "").unwrap();
    instance.boot();
    converges(&mut instance);
}

#[test]
fn t01_sigterm_during_initdb() {
    let mut instance = first_boot().start();
    let mut initdb: Option<Process> = None;
    instance.until("initdb", |it| {
        initdb = it.processes().into_iter().find(|process| process.name == "initdb");
        initdb.is_some()
    });
    // Frozen, so that it is not over before the stop comes.
    initdb.unwrap().signal(Signal::SIGSTOP);
    stopped_then_completes(instance);
}

/// A second script that waits for `run/go`, having said so by `run/waiting`; `trap` is what it does about SIGTERM.
fn waiting_in_the_second_script(trap: &str) -> Instance {
    let builder = first_boot();
    let run = builder.dir.path("run");
    let run = run.display();
    let wait = format!("touch {run}/waiting\nwhile [ ! -e {run}/go ]; do sleep 0.02; done\n");
    let insert = "psql -v ON_ERROR_STOP=1 -c 'insert into ran values (2)'\n";
    let mut instance =
        builder.executable_script("2.sh", format!("#!/bin/sh -e\n{trap}\n{insert}{wait}")).start();
    instance.until("the second script", |it| it.path("run/waiting").exists());
    instance
}

#[test]
fn t01_sigterm_during_the_second_script_of_three() {
    stopped_then_completes(waiting_in_the_second_script(""));
}

#[test]
fn t01_sigterm_during_a_script_that_does_not_heed_it() {
    stopped_then_completes(waiting_in_the_second_script("trap '' TERM INT HUP QUIT"));
}

#[test]
fn t01_sigterm_during_the_temporary_servers_stop() {
    let builder = first_boot();
    let go = builder.dir.path("run/go");
    // With a frozen checkpointer the stop does not end. pg_stat_activity names its process.
    let freeze = format!(
        "#!/bin/sh -e\n[ -e {} ] || kill -STOP $(psql -Atc \"select pid from pg_stat_activity where backend_type = 'checkpointer'\")\n",
        go.display()
    );
    let mut instance = builder.executable_script("4.sh", freeze).start();
    instance.wait_log("received fast shutdown request");
    stopped_then_completes(instance);
}

/// Kills PID 1 at random points of five first boots: of the same directories, so that the next begins on what the kill
/// left, or on nothing where the first boot was over.
fn killed_at_random() {
    let mut random = Random::new();
    let begin = Instant::now();
    let mut instance = first_boot().start();
    converges(&mut instance);
    // A little longer than a first boot takes at the machine's present load.
    let longest = begin.elapsed().mul_f64(1.1);
    for _ in 0..5 {
        let mut instance = first_boot().start();
        let moment = random.within(longest);
        eprintln!("killed after {moment:?} of {longest:?}");
        std::thread::sleep(moment);
        instance.kill9();
        instance.boot();
        converges(&mut instance);
    }
}

macro_rules! killed_at_random_points {
    ($($name:ident)*) => { $(#[test] fn $name() { killed_at_random(); })* };
}

// Twenty points all together.
killed_at_random_points! {
    t02_sigkill_at_random_points_1
    t02_sigkill_at_random_points_2
    t02_sigkill_at_random_points_3
    t02_sigkill_at_random_points_4
}

#[test]
fn t02_sigkill_again_and_again() {
    let mut random = Random::new();
    let mut instance = first_boot().start();
    for _ in 0..6 {
        let moment = random.within(Duration::from_secs(1));
        eprintln!("killed after {moment:?}");
        std::thread::sleep(moment);
        instance.kill9();
        instance.boot();
    }
    converges(&mut instance);
}

#[test]
fn what_an_unfinished_first_boot_left_is_not_served() {
    // The stage is a whole database by then, but for the mark of its journal.
    let mut instance = at("before-complete");
    instance.kill9();
    let left = stages(&instance);
    assert_eq!(left.len(), 1);
    let marker = instance.path("data").join(&left[0]).join("pgdata/marker");
    fs::write(marker, "").unwrap();
    let mut instance = instance.change(|builder| builder.without_env().env("POSTGRES_PASSWORD", "word"));
    instance.boot();
    converges(&mut instance);
    assert!(!instance.path("data/marker").exists());
    until("PID 1 to have said so", BOOT, || instance.log().contains("a first boot did not end"));
}
