//! `polarctl`: the command line of operators.
//!
//! | module | what it does |
//! |---|---|
//! | [`cli`] | what may be typed |
//! | `place` | where the supervisor, the data and the logs are |
//! | `status`, `explain`, `health`, `events`, `logs` | the verbs that read |
//! | `change`, `lock` | the verbs that change, by the supervisor; `by_volume`: by the data volume alone |
//! | `without`, `keeper`, `alone` | start and stop without a supervisor in reach: whether one is there at all, and where none is |
//! | `instance` | operations on an instance ([`crate::manager`]): how they are called and shown |
//! | `task` | the predecessor's tasks, asked for by variables of the environment |
//! | `image` | builds images ([`crate::image`]): how far it is, and what came of it |
//! | `wait` | what counts as done |
//! | `lock_file`, `volume` | the lock file; what a data directory shows of its engine |
//! | `evidence`, `sql` | what `explain` sees by itself: lock, disk, ownership, version; slots and transactions |
//! | `tail` | the end of a file, and what is added, over its rotation |
//! | `pages` | completions and manual pages |
//! | `screen`, `time`, `failure` | how results and errors are printed |

mod alone;
mod by_volume;
mod change;
pub mod cli;
mod events;
mod evidence;
mod explain;
mod failure;
mod health;
mod image;
mod instance;
mod keeper;
mod lock;
mod lock_file;
mod logs;
mod pages;
mod place;
mod screen;
mod sql;
mod status;
mod tail;
mod task;
mod time;
mod volume;
mod wait;
mod without;

use clap::Parser;

use cli::{Cli, Verb};
use failure::{Exit, Failure};
use place::Place;
use screen::Screen;

use crate::supervisor;

/// Does what the command line says; the exit status.
#[must_use]
pub fn main() -> u8 {
    // The child of `start` where no supervisor is: nobody types this.
    if std::env::args_os().nth(1).is_some_and(|word| word == supervisor::alone::CHILD) {
        return supervisor::prepare::main();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let screen = Screen::new(cli.output);
    let exit = match run(screen, cli) {
        Ok(exit) => exit,
        // Whoever reads has seen enough.
        Err(failure) if failure.reader_gone => Exit::Done,
        Err(failure) => {
            if !screen.json || screen.document(&failure.json()).is_err() {
                screen.note(&failure.message);
            }
            failure.exit
        }
    };
    exit as u8
}

fn run(screen: Screen, cli: Cli) -> Result<Exit, Failure> {
    match &cli.verb {
        Verb::Completions { shell } => return pages::completions(screen, *shell).map(done),
        Verb::Man { verb, dir } => return pages::man(screen, verb.as_deref(), dir.as_deref()).map(done),
        Verb::Image(verb) => return image::run(screen, verb).map(done),
        _ => {}
    }
    if let Verb::Task { cm } = cli.verb {
        return Ok(task::run(cli.place, screen, cm));
    }
    let place = &Place::find(cli.place)?;
    match cli.verb {
        Verb::Status { program, watch } => status::run(place, screen, program.as_deref(), watch).map(done),
        Verb::Explain { program } => explain::run(place, screen, program.as_deref()).map(done),
        Verb::Start(args) => change::start(place, screen, &args).map(done),
        Verb::Stop(args) => change::stop(place, screen, &args).map(done),
        Verb::Restart(args) => change::restart(place, screen, &args).map(done),
        Verb::Reload(args) => change::reload(place, screen, &args).map(done),
        Verb::Lock(args) => lock::lock(place, screen, args).map(done),
        Verb::Unlock(args) => lock::unlock(place, screen, args).map(done),
        Verb::Events { follow, lines } => events::run(place, screen, follow, lines).map(done),
        Verb::Logs { program, follow, lines } => {
            logs::run(place, screen, program.as_deref(), follow, lines).map(done)
        }
        Verb::Health { live, sql, .. } => health::run(place, screen, live, sql),
        Verb::Instance(verb) => instance::run(place, screen, verb),
        Verb::Serve { listen } => serve(place, listen).map(done),
        Verb::Image(_) | Verb::Completions { .. } | Verb::Man { .. } | Verb::Task { .. } => Ok(Exit::Done),
    }
}

fn serve(place: &Place, listen: Option<std::net::SocketAddr>) -> Result<(), Failure> {
    let listen = listen.or_else(|| place.listen()).ok_or_else(|| {
        let text =
            "serve: no address to listen on: --listen 127.0.0.1:9188, or [serve] listen in the configuration";
        Failure::new(Exit::Usage, "usage", text)
    })?;
    crate::serve::run(place.socket().to_owned(), listen, lock_file::fill_in)
        .map_err(|error| Failure::failed("serve", format!("serve: {error:#}")))
}

fn done(_: ()) -> Exit {
    Exit::Done
}

/// A wrong command line, or what `--help` and `--version` print.
fn usage(error: &clap::Error) -> u8 {
    let wrong = error.use_stderr();
    if wrong && wants_json(std::env::args_os()) {
        let failure = Failure::new(Exit::Usage, "usage", error.render().to_string().trim_end());
        let _ = Screen::new(cli::Form::Json).document(&failure.json());
    } else {
        // A reader that has gone is no failure.
        let _ = error.print();
    }
    if wrong { Exit::Usage as u8 } else { Exit::Done as u8 }
}

/// Whether a command line that could not be read asks for JSON all the same.
fn wants_json(args: impl Iterator<Item = std::ffi::OsString>) -> bool {
    let mut before = std::ffi::OsString::new();
    args.into_iter().any(|arg| {
        let found = arg == "--output=json" || (before == "--output" && arg == "json");
        before = arg;
        found
    })
}
