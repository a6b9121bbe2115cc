//! Operations of a few lines.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use super::desk::{Desk, of_cause};
use crate::ctl::cli::instance::{DoArgs, InstanceArgs, PgArgs};
use crate::ctl::failure::{Exit, Failure};
use crate::manager::refusal::Shown;
use crate::manager::session::SUPERUSER;
use crate::manager::{Cause, Site, identity, wal};

/// Within which psql gives up connecting, in seconds, unless the environment has another limit.
const CONNECT: &str = "3";

/// `system-identifier`.
///
/// # Errors
/// It is not to be found out.
pub(crate) fn system_identifier(desk: &mut Desk<'_>, args: &InstanceArgs) -> Result<(), Failure> {
    let number = desk.read("system-identifier", args, identity::system_identifier)?;
    if desk.screen.json {
        // As text: many readers of JSON cannot hold a number of 64 bits.
        desk.screen.document(&json!({ "system_identifier": number.to_string() }))?;
    } else {
        desk.screen.text(&format!("{number}\n"))?;
    }
    Ok(())
}

/// `wal switch`.
///
/// # Errors
/// It was not done.
pub(crate) fn wal_switch(desk: &mut Desk<'_>, args: &DoArgs) -> Result<(), Failure> {
    desk.change(&wal::Switch, "", args, |seen| json!({ "file": seen.file, "offset": seen.offset }))
}

/// `pg`: becomes psql.
///
/// # Errors
/// The engine does not run, or there is no psql.
pub(crate) fn pg(desk: &mut Desk<'_>, args: &PgArgs) -> Result<Exit, Failure> {
    let instance = InstanceArgs { program: args.program.clone(), timeout: Duration::from_secs(30) };
    let tried = "pg";
    let site = desk.site(tried, &instance)?;
    let ready = prepared(&site);
    desk.record(tried, &ready.as_ref().map(|_| "psql is started".to_owned()), "");
    let (psql, folder, port) = ready.map_err(|cause| of_cause(tried, &cause))?;
    let mut command = Command::new(&psql);
    command.arg("-h").arg(folder).args(["-p", &port.to_string(), "-U", SUPERUSER]);
    if std::env::var_os("PGCONNECT_TIMEOUT").is_none() {
        command.env("PGCONNECT_TIMEOUT", CONNECT);
    }
    // Its own default is the name of the user.
    if std::env::var_os("PGDATABASE").is_none() {
        command.env("PGDATABASE", "postgres");
    }
    let error = command.args(&args.arguments).exec();
    Err(Failure::of_file(tried, &psql, &error))
}

/// psql, and the folder and port of the socket.
fn prepared(site: &Site) -> Result<(PathBuf, PathBuf, u16), Cause> {
    let seen = site.seen()?;
    if seen.shown() == Shown::Down {
        return Err(seen.down());
    }
    let (folder, port) = site.socket()?;
    let beside = site.bin_dir().map(|dir| dir.join("psql")).ok().filter(|psql| psql.is_file());
    // Else whatever PATH finds.
    Ok((beside.unwrap_or_else(|| "psql".into()), folder, port))
}
