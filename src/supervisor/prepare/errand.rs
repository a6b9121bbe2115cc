//! The errands of the child, and the order of the steps of the main one.

use std::os::fd::OwnedFd;
use std::path::Path;

use super::blockers;
use super::bootstrap::Variables;
use super::conf_files;
use super::database;
use super::evidence::{self, Leftover};
use super::executables::{self, Engine};
use super::first_boot::FirstBoot;
use super::halt::{Halt, Outcome, Trying, refused, trouble, wait};
use super::installation;
use super::keeper::{self, Keeper};
use super::knock;
use super::listing;
use super::lock_file;
use super::log_link;
use super::nss::{self, Names};
use super::orphans;
use super::place;
use super::preflight;
use super::protocol::{Errand, Start, Verdict};
use super::prune;
use super::record;
use super::recovery;
use super::root;
use super::sockets;
use super::stage;
use super::vigil;
use super::work::Work;
use crate::config::Init;
use crate::engine::datadir::{Contents, datadir_verdict};
use crate::supervisor::procfs;

/// Names of somebody's files that a refusal tells.
const NAMES_MAX: usize = 5;

/// Does the errand.
pub(super) fn run(work: Work<'_>, keeper: Option<OwnedFd>) -> Verdict {
    let mut in_first_boot = false;
    let result = match &work.order.errand {
        Errand::Prepare | Errand::PrepareAlone => prepare(work, keeper, &mut in_first_boot),
        Errand::Search | Errand::Find => search(work, keeper),
        Errand::Learn => become_engine_user(work).and_then(|_| executables::learn(work)).map(Verdict::Learnt),
        Errand::Prune => prune_errand(work),
        Errand::Knock => become_engine_user(work).and_then(|_| knock::knock(work)).map(|()| Verdict::Done),
        Errand::Record { postmaster, stale } => become_engine_user(work)
            .and_then(|_| record::keep(work, *postmaster, *stale).map(|()| Verdict::Done)),
        Errand::Blockers { postmaster } => become_engine_user(work).map(|_| {
            blockers::tell(work, *postmaster);
            Verdict::Done
        }),
        Errand::Signal { targets, signal } => become_engine_user(work).map(|_| {
            if let Some(signal) = rustix::process::Signal::from_named_raw(*signal) {
                // One that is gone needs none.
                targets.iter().for_each(|&(pid, ticks)| _ = procfs::signal(pid, ticks, signal));
            }
            Verdict::Done
        }),
    };
    match result {
        Ok(verdict) => verdict,
        Err(Halt::Verdict(verdict)) => *verdict,
        // PID 1 asked for it, because of a stop or of the lock file.
        Err(Halt::Interrupted) if lock_file::exists(&work.order.engine.lock_file) => Verdict::Locked,
        Err(Halt::Interrupted) => Verdict::Wait { cause: "stopped before the end, as asked".to_owned() },
        // Nothing is wrong with the database or its scripts: the machine has no room for a process or a descriptor.
        Err(Halt::Trouble(trouble)) if in_first_boot && !trouble.no_room => {
            Verdict::Failed { cause: format!("first boot: {}", trouble.cause), remedy: trouble.remedy }
        }
        Err(Halt::Trouble(trouble)) if trouble.passing => {
            Verdict::Wait { cause: format!("{}: {}", trouble.cause, trouble.remedy) }
        }
        Err(Halt::Trouble(trouble)) => Verdict::Refused { cause: trouble.cause, remedy: trouble.remedy },
    }
}

/// Root's part, then the engine's user for good. The variables of first boot come along where root read them.
fn become_engine_user(work: Work<'_>) -> Outcome<Option<Variables>> {
    let user = &work.order.user;
    let mut variables = None;
    if rustix::process::geteuid().is_root() {
        if work.order.errand == Errand::Prepare {
            variables = root::act(work)?;
        }
        root::drop_privileges(user)?;
    }
    let uid = rustix::process::geteuid().as_raw();
    if uid != user.uid || rustix::process::getuid().as_raw() != user.uid {
        return Err(refused(
            format!("this runs as uid {uid}, and the engine is to run as {}", work.user()),
            "start the container as root or as that user (--user), or set user in supervisor.toml",
        ));
    }
    work.interrupt
        .follow_parent()
        .map_err(|error| trouble("ask for a signal at the end of", "PID 1", error))?;
    Ok(variables)
}

/// Waits while somebody else may be between the stop and the start of a `pg_ctl restart`, such as the second of two in
/// a row: each end of a server writes the control file, ours was the first of them.
fn leave_room(work: Work<'_>, data_dir: &Path) -> Outcome<()> {
    let Some(room) = work.order.room_for_pg_ctl else { return Ok(()) };
    let written = std::fs::metadata(data_dir.join("global/pg_control")).and_then(|file| file.modified());
    // Not there (shared storage), or from the future (the clock was set back): nothing to go by.
    let age = written.ok().and_then(|at| at.elapsed().ok());
    if age.is_some_and(|age| age < room) {
        return Err(wait(
            "somebody else's server has just ended, and may be about to start again".to_owned(),
        ));
    }
    Ok(())
}

/// Somebody else's postmaster is taken over, and where it is not wanted stopped, by the keeper of the directory alone.
fn search(work: Work<'_>, inherited: Option<OwnedFd>) -> Outcome<Verdict> {
    become_engine_user(work)?;
    let configured = &work.order.engine.data_dir;
    let data_dir = std::fs::canonicalize(configured).trying("resolve", configured)?;
    let keeper = keeper::take(work, &data_dir, inherited)?;
    // One that lives is told by the verdict that comes in the place of an answer.
    match work.order.errand {
        Errand::Find => evidence::find(work, &data_dir, keeper.locked)?,
        _ => evidence::search(work, &data_dir)?,
    }
    Ok(Verdict::Done)
}

fn prune_errand(work: Work<'_>) -> Outcome<Verdict> {
    become_engine_user(work)?;
    let data_dir =
        std::fs::canonicalize(&work.order.engine.data_dir).trying("resolve", &work.order.engine.data_dir)?;
    prune::prune(work, &log_link::target(work.order, &data_dir, true));
    Ok(Verdict::Done)
}

fn prepare(work: Work<'_>, inherited: Option<OwnedFd>, in_first_boot: &mut bool) -> Outcome<Verdict> {
    let lock = &work.order.engine.lock_file;
    // Before root changes an owner or makes a folder, too.
    lock_file::look(lock)?;
    work.report.about("ownership");
    let variables = become_engine_user(work)?;
    let data_dir = place::data_dir(work)?;
    work.report.about("keeper");
    let keeper = keeper::take(work, &data_dir, inherited)?;
    if alone(work) && !keeper.locked {
        return Err(refused(
            format!("the file system of {} cannot lock: a supervisor may be there", data_dir.display()),
            "start the container whose supervisor keeps it",
        ));
    }
    lock_file::look(lock)?;
    work.interrupt.check()?;
    work.report.about("version");
    let engine = executables::find(work)?;
    // Who waits for an installation waits for its last word anyway.
    if work.order.engine.init != Init::Wait {
        installation::look(&data_dir)?;
    }
    let listing = listing::of(keeper.lock(), &data_dir, lock).trying("list", &data_dir)?;
    let contents = datadir_verdict(&listing);
    if let Contents::Foreign { names } = &contents {
        return Err(foreign(&data_dir, names));
    }
    work.report.about("user");
    let names = nss::names(work)?;
    if contents != Contents::Database {
        may_initialize(work, &data_dir)?;
        *in_first_boot = true;
        work.report.initializing();
        work.report.about("first_boot");
        let first = FirstBoot { work, data_dir: &data_dir, engine: &engine, keeper: &keeper, names: &names };
        match contents {
            Contents::Resume { stage } => first.resume(&stage)?,
            _ => first.run(variables)?,
        }
        *in_first_boot = false;
    }
    serve(work, &data_dir, &engine, &keeper, names)
}

/// Whether this is no supervisor's child, and nobody's who stays.
fn alone(work: Work<'_>) -> bool {
    work.order.errand == Errand::PrepareAlone
}

fn foreign(data_dir: &Path, names: &[String]) -> Halt {
    let shown: Vec<&str> = names.iter().take(NAMES_MAX).map(String::as_str).collect();
    let more = names.len().saturating_sub(NAMES_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    refused(
        format!(
            "{} is neither empty nor a database: it holds {}{more}. Such a directory is never initialized, wiped or moved",
            data_dir.display(),
            shown.join(", ")
        ),
        "set data_dir (or PGDATA) to an empty directory, such as a folder in it, or move these files away yourself",
    )
}

fn may_initialize(work: Work<'_>, data_dir: &Path) -> Outcome<()> {
    match work.order.engine.init {
        Init::Auto => Ok(()),
        Init::Wait => Err(wait(format!(
            "init = \"wait\": {} holds no database yet; somebody else makes it and writes \"done\" to ins_install_step",
            data_dir.display()
        ))),
        Init::Never => Err(refused(
            format!("init = \"never\", and {} holds no database", data_dir.display()),
            "mount the volume that holds it, restore a backup, or set init = \"auto\"",
        )),
    }
}

/// Everything between a database and its start.
fn serve(
    work: Work<'_>,
    data_dir: &Path,
    engine: &Engine,
    keeper: &Keeper,
    names: Names,
) -> Outcome<Verdict> {
    work.report.about("version");
    let settings = database::check(work, data_dir, engine)?;
    work.report.about("sockets");
    let alone = alone(work);
    let sockets = match settings.get("unix_socket_directories") {
        named if alone => sockets::configured(data_dir, named.unwrap_or_default()),
        _ => sockets::tried(work)?,
    };
    let pid_file = data_dir.join("postmaster.pid");
    work.report.about("pid_file");
    let leftover = evidence::look(work, data_dir, keeper.locked)?;
    let mut judged = vigil::stamp(&pid_file);
    work.report.about("orphans");
    orphans::end_first_boot(work, data_dir)?;
    orphans::end_backends(work, data_dir)?;
    stage::discard_refuse(work, data_dir);
    work.report.about("pid_file");
    let mut environment = names.variables;
    let mut excused = None;
    match leftover {
        Leftover::Nothing => leave_room(work, data_dir)?,
        Leftover::Unrelated(pid) => {
            // PostgreSQL takes any living process for the owner of its lock files but itself, its parent and this one.
            environment.push(("PG_GRANDPARENT_PID".to_owned(), pid.to_string()));
            excused = Some(pid);
        }
        Leftover::Unusable(why) => {
            evidence::move_aside(work, data_dir, &why)?;
            judged = None;
        }
    }
    let port = settings.get("port").and_then(|port| port.trim().parse().ok()).unwrap_or(5432);
    evidence::socket_locks(work, &sockets, port, excused);
    work.report.about("recovery");
    recovery::follow(work, data_dir, engine)?;
    if !alone {
        work.report.about("configuration");
        conf_files::write(work, data_dir, engine.polardb, &sockets)?;
        conf_files::tell_port(work, &settings);
        work.report.about("log");
        let logs = log_link::target(work.order, data_dir, true);
        log_link::keep(work, &logs);
        prune::prune(work, &logs);
        work.report.about("preflight");
        if work.order.first {
            preflight::look(work, data_dir, &settings);
        }
        work.report.about("last_exit");
        if let Some(failure) = &work.order.last_failure {
            preflight::after_failure(work, failure, data_dir, &logs, engine, &environment)?;
        }
    }
    // What came meanwhile: another server's pid file, a lock, a stop.
    if vigil::stamp(&pid_file) != judged {
        return Err(wait(format!("{} has changed while the start was prepared", pid_file.display())));
    }
    lock_file::look(&work.order.engine.lock_file)?;
    work.interrupt.check()?;
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let mut argv = vec![text(&engine.server), "-D".to_owned(), text(data_dir)];
    argv.extend(work.order.options.iter().cloned());
    Ok(Verdict::Start(Start {
        argv,
        environment,
        data_dir: text(data_dir),
        memo: engine.memo.clone(),
        unclean: database::unclean(data_dir),
        stale_pid_file: judged,
    }))
}
