//! `polarctl task`: the predecessor's tasks ([`crate::manager::task`]) done by the operations that there are.
//!
//! | module | what it does |
//! |---|---|
//! | `report` | what came of a task: lines for callers, words for `manager.log` |
//! | `engine` | stop, start, restart |
//! | `operations` | operations on an instance |
//! | `installation` | an installation, and how far it is |
//! | `files` | the files of the log agent, `recovery.conf` |

mod engine;
mod files;
mod installation;
mod operations;
mod report;

use std::path::{Path, PathBuf};

use super::cli::PlaceArgs;
use super::failure::{Exit, Failure};
use super::instance::{Desk, of_cause};
use super::place::{Place, Reach};
use super::screen::{Screen, brief};
use crate::engine::flavor::server_executable;
use crate::manager::task::{self, Environment, Request, STOP_MAX, Script};
use crate::manager::{Call, Site, secret, user};
use report::Report;

/// The longest name of a task that is repeated, in characters.
const NAME_MAX: usize = 120;

/// How a task is done: where, and in whose name.
struct Work<'a> {
    place: &'a Place,
    screen: Screen,
    environment: &'a Environment,
    /// The task, as it is called in errors.
    tried: String,
    request: String,
    log_dir: PathBuf,
    /// The port that the caller means.
    port: Option<u16>,
}

/// Does what the environment asks for; 0, or 1 with the reason on standard error.
pub(crate) fn run(args: PlaceArgs, screen: Screen, cm: bool) -> Exit {
    // Passwords and keys stand in the environment.
    secret::leave_no_core();
    let environment = Environment::of_process();
    match carry_out(in_pod(args, &environment), screen, &environment, cm) {
        Ok(()) => Exit::Done,
        // Whoever called has gone; it was done.
        Err(failure) if failure.reader_gone => Exit::Done,
        Err(failure) => {
            screen.note(&failure.message);
            Exit::Failed
        }
    }
}

fn carry_out(args: PlaceArgs, screen: Screen, environment: &Environment, cm: bool) -> Result<(), Failure> {
    let place = Place::find(args)?;
    let log_dir =
        environment.text("PG_LOG").ok().flatten().map_or_else(|| place.log_dir().to_owned(), PathBuf::from);
    let mut desk = Desk::new(&place, screen).with_log(&log_dir);
    let subject = called(environment);
    let script = if cm { Script::Cm } else { Script::Main };
    let mut work = Work {
        place: &place,
        screen,
        environment,
        tried: format!("task {subject}"),
        request: desk.request().to_owned(),
        log_dir,
        port: None,
    };
    let done = task::read(script, environment)
        .map_err(|cause| of_cause(&work.tried, &cause))
        .and_then(|asked| {
            work.port = asked.port;
            work.done(asked.request)
        })
        .map_err(|failure| said_by(&work.tried, failure));
    desk.record_failure("task", &done.as_ref().map(Report::words), &subject);
    screen.text(&done?.text())?;
    Ok(())
}

/// Begins with the task what another part has to say.
fn said_by(tried: &str, failure: Failure) -> Failure {
    if failure.message.starts_with(tried) {
        return failure;
    }
    Failure { message: format!("{tried}: {}", failure.message), ..failure }
}

/// Type and action as they came, for people.
fn called(environment: &Environment) -> String {
    let word = |name: &str| environment.text(name).ok().flatten().unwrap_or("-");
    brief(&format!("{}/{}", word("srv_opr_type"), word("srv_opr_action")), NAME_MAX)
}

/// The predecessor's word for the data directory counts where nothing else is said, and no supervisor of an engine is there
/// to be asked.
fn in_pod(args: PlaceArgs, environment: &Environment) -> PlaceArgs {
    let text = |name: &str| environment.text(name).ok().flatten();
    let Some(data_dir) = text("PG_DATA").filter(|_| text("PGDATA").is_none()) else { return args };
    if args.data_dir.is_some() || args.socket.is_some() {
        return args;
    }
    let reached = Place::find(args.clone()).and_then(|place| place.reach("task", None));
    match reached {
        Ok(Reach::Supervisor(_)) => args,
        _ => PlaceArgs { data_dir: Some(data_dir.into()), ..args },
    }
}

impl Work<'_> {
    fn done(&self, request: Request) -> Result<Report, Failure> {
        match request {
            Request::Nothing => Ok(Report::nothing()),
            Request::Install(setup) => self.install(*setup),
            Request::Progress => self.progress(),
            Request::LogAgent(agent) => files::log_agent(&self.tried, &agent),
            Request::Recovery(conf) => self.recovery(&conf),
            Request::Stop(stop) => self.stop(stop, "maintenance"),
            Request::Expire(stop) => self.stop(stop, "expired"),
            Request::Start => self.start(),
            Request::Restart(stop) => self.restart(stop),
            Request::Cleanup(stop) => self.clean_up(stop),
            request => self.operate(request),
        }
    }

    /// The instance, as operations see it.
    fn site(&self) -> Result<Site, Failure> {
        let mut site = self.place.instance(&self.tried, None)?;
        let caller = format!("{} (process {})", user::own(), std::process::id());
        site.call = Call { request: self.request.clone(), caller, dry_run: false };
        site.port = site.port.or(self.port);
        site.bin_dir = site.bin_dir.take().or_else(|| self.bin_dir());
        // A caller hangs up after a minute.
        site.patience.turn = STOP_MAX;
        Ok(site)
    }

    /// Where the predecessor's variables say that the engine's executables are, if they are there.
    fn bin_dir(&self) -> Option<PathBuf> {
        ["PG_BASE_DIR", "POLARDB_BASE_DIR"].into_iter().find_map(|name| {
            let folder = Path::new(self.environment.text(name).ok()??).join("bin");
            server_executable(&folder).is_file().then_some(folder)
        })
    }
}
