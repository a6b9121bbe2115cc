//! Operations on an instance, as they are called and shown.
//!
//! | module | what it does |
//! |---|---|
//! | `desk` | the way of each from the command line and back, and its line in `manager.log` |
//! | `account` | accounts |
//! | `replica` | replicas |
//! | `ssl` | TLS |
//! | `tablespace` | tablespaces |
//! | `install` | what an empty volume needs |
//! | `engine_user` | the uid of the engine's user |
//! | `params` | parameters |
//! | `disk` | disks, and the lock against a full one |
//! | `small` | those of a few lines: the system identifier, the log's switch, psql |

mod account;
mod desk;
mod disk;
mod engine_user;
mod install;
mod params;
mod replica;
mod small;
mod ssl;
mod tablespace;

use super::cli::instance::{InstanceVerb, WalVerb};
use super::failure::{Exit, Failure};
use super::place::Place;
use super::screen::Screen;
pub(crate) use desk::{Desk, of_cause};
pub(crate) use disk::{lock_diskfull, unlock_diskfull};

/// Does it.
///
/// # Errors
/// It was not done.
pub(crate) fn run(place: &Place, screen: Screen, verb: InstanceVerb) -> Result<Exit, Failure> {
    let mut desk = Desk::new(place, screen);
    match verb {
        InstanceVerb::Install(args) => install::run(&mut desk, &args)?,
        InstanceVerb::EngineUser(args) => engine_user::run(&mut desk, &args)?,
        InstanceVerb::Replica(verb) => replica::run(&mut desk, verb)?,
        InstanceVerb::Account(verb) => account::run(&mut desk, verb)?,
        InstanceVerb::Disk(verb) => disk::run(&mut desk, verb)?,
        InstanceVerb::Params(verb) => params::run(&mut desk, verb)?,
        InstanceVerb::Ssl(verb) => ssl::run(&mut desk, verb)?,
        InstanceVerb::Tablespace(verb) => tablespace::run(&mut desk, verb)?,
        InstanceVerb::SystemIdentifier(args) => small::system_identifier(&mut desk, &args)?,
        InstanceVerb::Wal(WalVerb::Switch(args)) => small::wal_switch(&mut desk, &args)?,
        InstanceVerb::Pg(args) => return small::pg(&mut desk, &args),
    }
    Ok(Exit::Done)
}
