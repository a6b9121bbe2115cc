//! The number that names a database and all its copies.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::time::Duration;

use super::cause::Cause;
use super::program;
use super::refusal::Shown;
use super::site::Site;
use crate::engine::control;

/// How long `pg_controldata` may take: on shared storage it reads by way of the storage's daemon.
const WITHIN: Duration = Duration::from_secs(30);
/// All that is read of a control file, in bytes (PostgreSQL's `PG_CONTROL_FILE_SIZE`).
const CONTROL_SIZE: u64 = 8192;

/// The system identifier, whatever the engine does: it never changes. A PolarDB node on shared storage has no control
/// file of its own; its engine is asked, or the engine's own `pg_controldata`.
///
/// # Errors
/// It is not to be found out.
pub fn system_identifier(site: &mut Site) -> Result<u64, Cause> {
    let path = site.data_dir.join("global/pg_control");
    let read: io::Result<Vec<u8>> = site.as_owner(|| {
        let mut bytes = Vec::new();
        File::open(&path)?.take(CONTROL_SIZE).read_to_end(&mut bytes)?;
        Ok(bytes)
    })?;
    match read {
        Ok(bytes) => control::parse(&bytes).map(|control| control.system_identifier).map_err(|malformed| {
            let next = "see what became of the volume; a backup holds another copy";
            Cause::invalid("bad_control_file", format!("{}: {malformed}", path.display()), next)
        }),
        Err(error) if error.kind() == ErrorKind::NotFound && site.shown()? == Shown::Up => {
            let row = site.session()?.row("select system_identifier from pg_catalog.pg_control_system()")?;
            row.text(0).parse().map_err(|_| no_number(row.text(0)))
        }
        Err(error) if error.kind() == ErrorKind::NotFound && site.data_dir.join("PG_VERSION").exists() => {
            by_pg_controldata(site)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Err(Cause::NoInstance {
            data_dir: site.data_dir.clone(),
            why: format!("{error}: {}", path.display()),
        }),
        Err(error) => Err(Cause::of_file(&path, error)),
    }
}

fn by_pg_controldata(site: &Site) -> Result<u64, Cause> {
    let tool = site.bin_dir()?.join("pg_controldata");
    let data_dir = site.data_dir.to_string_lossy();
    let ended = program::run(site, &tool, &["-D", &data_dir], WITHIN)?;
    parse(&ended.stdout).ok_or_else(|| {
        let said = ended.stderr.lines().last().unwrap_or("it said nothing of it").to_owned();
        Cause::invalid(
            "no_control_file",
            format!("{}: {said}", tool.display()),
            "start the engine, then ask again",
        )
    })
}

fn parse(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Database system identifier:"))?;
    line.trim().parse().ok()
}

fn no_number(text: &str) -> Cause {
    Cause::invalid("no_control_file", format!("the engine answered {text:?}"), "see the engine's log")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pg_controldata_says() {
        let text = "pg_control version number:            1300\nDatabase system identifier:           7424213423423423423\n";
        assert_eq!(parse(text), Some(7_424_213_423_423_423_423));
        assert_eq!(parse("pg_controldata: fatal"), None);
    }
}
