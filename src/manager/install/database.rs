//! Making the database in a stage: by initdb, or as a copy of the primary.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::stage::Stage;
use super::{Install, Primary, Role, conninfo, markers};
use crate::engine::datadir::lacking;
use crate::engine::datadir::{Pieces, major_version};
use crate::engine::flavor::{is_polardb, parse_version};
use crate::engine::record;
use crate::engine::stage::PREFIX;
use crate::manager::cause::Cause;
use crate::manager::program::{self, Ended, Order};
use crate::manager::site::Site;

/// The predecessor's limit of an initdb. A copy has none: it takes as long as its size does.
const INITDB: Duration = Duration::from_secs(600);
/// A question for a version.
const ASK: Duration = Duration::from_secs(30);
/// A standby is made by a signal file from here on; before, `recovery.conf` did it.
const SIGNAL_FILES: u32 = 12;
/// So much of a program's words is told.
const WORDS_MAX: usize = 2000;
/// And so many lines: the cause stands above what it brought about.
const LINES_MAX: usize = 12;
/// The password file of the copy, in the stage.
const PASS_FILE: &str = "passfile";
/// What a primary has for itself in its data directory and a copy of it does not keep: other folders of logs, sockets,
/// what names it in its pod, what its own installation left.
const OF_THE_PRIMARY: [&str; 3] = ["ins_", ".s.PGSQL.", PREFIX];
/// Its logs.
const LOGS: [&str; 2] = ["log", "pg_log"];
/// What neither is copied nor missed: a file system's own folder, and who started the primary last.
const NOT_COPIED: [&str; 2] = ["lost+found", record::FILE];

/// In words, for the plan.
pub(super) fn in_words(install: &Install) -> String {
    match &install.role {
        Role::Standby(primary) => {
            let slot = primary.slot.as_ref().map(|slot| format!(" by slot {slot}")).unwrap_or_default();
            let host: String = primary.host.escape_debug().collect();
            format!("pg_basebackup from {host}:{}{slot}", primary.port)
        }
        _ => "initdb".to_owned(),
    }
}

/// Makes it.
///
/// # Errors
/// The program is not there, or failed.
pub(super) fn make(install: &Install, site: &Site, stage: &Stage) -> Result<(), Cause> {
    let bin_dir = site.bin_dir()?;
    let polardb = is_polardb(&bin_dir);
    match &install.role {
        Role::Standby(_) if polardb => {
            Err(missing_part("a standby of PolarDB (polar_basebackup and its shared part)"))
        }
        Role::Standby(primary) => {
            let program = bin_dir.join("pg_basebackup");
            if version(site, &program)? < SIGNAL_FILES {
                return Err(missing_part("a standby of an engine before 12 (recovery.conf)"));
            }
            copy(primary, site, stage, &program)?;
            strip(site, stage)
        }
        _ => {
            let program = bin_dir.join("initdb");
            let major = version(site, &program)?;
            let mut arguments: Vec<OsString> =
                ["--encoding=UTF8", "--locale=C", "--data-checksums"].map(OsString::from).to_vec();
            arguments.extend(install.initdb_args.iter().map(OsString::from));
            arguments.extend(ours(major, polardb, &install.initdb_args).into_iter().map(OsString::from));
            arguments.extend([OsString::from("-D"), stage.pgdata().into()]);
            let order = Order {
                program: &program,
                arguments,
                environment: Vec::new(),
                directory: &stage.path,
                within: Some(INITDB),
            };
            judge(
                &program,
                &program::carry_out(site, &order)?,
                "mend what it complains of and call install again",
            )
        }
    }?;
    whole(site, stage)
}

/// That a kind of installation is no part of this version. Nothing was changed.
pub(super) fn missing_part(what: &str) -> Cause {
    Cause::invalid(
        "missing_part",
        format!("{what} is no part of this version; nothing was changed"),
        "install a primary (rw) or, on PostgreSQL, a standby, on local storage",
    )
}

/// The arguments of initdb that are not for others to choose; the last of several of a kind counts.
fn ours(major: u32, polardb: bool, given: &[String]) -> Vec<&'static str> {
    // All is synced at once, before the stage is marked complete.
    let mut arguments =
        vec!["--username=postgres", "--auth-local=peer", "--auth-host=scram-sha-256", "--no-sync"];
    if major >= 14 {
        arguments.push("--no-instructions");
    }
    // PolarDB makes segments of 1 GB, which takes 5 s.
    if polardb && !given.iter().any(|word| word.starts_with("--wal-segsize")) {
        arguments.push("--wal-segsize=16");
    }
    arguments
}

fn version(site: &Site, program: &Path) -> Result<u32, Cause> {
    let ended = program::run(site, program, &["--version"], ASK)?;
    parse_version(&ended.stdout).ok_or_else(|| {
        let what = format!("{} does not tell its version: {}", program.display(), last_words(&ended.stderr));
        Cause::invalid("no_engine", what, "install the engine's package again, or set bin_dir")
    })
}

fn copy(primary: &Primary, site: &Site, stage: &Stage, program: &Path) -> Result<(), Cause> {
    let pass_file = stage.path.join(PASS_FILE);
    let mut environment = Vec::new();
    if let Some(text) = conninfo::pass_file(primary) {
        let written: io::Result<()> = site.as_owner(|| {
            markers::replace(&pass_file, &stage.path.join("unfinished"), text.as_bytes(), 0o600)
        })?;
        written.map_err(|error| Cause::of_file(&pass_file, error))?;
        environment.push(("PGPASSFILE", pass_file.clone().into()));
    }
    // Its words about progress go through a pipe to us: it ends when we do.
    let mut arguments: Vec<OsString> =
        ["-X", "stream", "-c", "fast", "--no-sync", "--no-password", "--progress", "-d"]
            .map(OsString::from)
            .to_vec();
    arguments.push(conninfo::words(primary, None).into());
    if let Some(slot) = &primary.slot {
        arguments.extend([OsString::from("-S"), slot.to_string().into()]);
    }
    arguments.extend([OsString::from("-D"), stage.pgdata().into()]);
    let order = Order { program, arguments, environment, directory: &stage.path, within: None };
    let next = "see that the primary runs and lets the role replicate from here (replica create on the primary makes \
                slot, role and rule), then call install again";
    judge(program, &program::carry_out(site, &order)?, next)
}

/// Takes out of a copy what is the primary's alone: `ins_install_step` among it, which would say `done`.
fn strip(site: &Site, stage: &Stage) -> Result<(), Cause> {
    let pgdata = stage.pgdata();
    let stripped: io::Result<()> = site.as_owner(|| {
        for entry in fs::read_dir(&pgdata)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let whole = LOGS.iter().chain(&NOT_COPIED).any(|known| *known == name);
            if !whole && !OF_THE_PRIMARY.iter().any(|mark| name.starts_with(mark)) {
                continue;
            }
            match entry.file_type()?.is_dir() {
                true => fs::remove_dir_all(entry.path())?,
                false => fs::remove_file(entry.path())?,
            }
        }
        Ok(())
    })?;
    stripped.map_err(|error| Cause::of_file(&pgdata, error))
}

/// Whether all is there that a database needs.
fn whole(site: &Site, stage: &Stage) -> Result<(), Cause> {
    let pgdata = stage.pgdata();
    let pieces = site.as_owner(|| {
        let version = fs::read_to_string(pgdata.join("PG_VERSION")).unwrap_or_default();
        Pieces {
            pg_version: major_version(&version).is_some(),
            pg_control: pgdata.join("global/pg_control").is_file(),
            postgresql_conf: pgdata.join("postgresql.conf").is_file(),
            shared_storage: false,
        }
    })?;
    let missing: Vec<String> = lacking(pieces).iter().map(ToString::to_string).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let what = format!("the database that was made has no {}", missing.join(", no "));
    Err(Cause::invalid(
        "incomplete",
        what,
        "a primary whose configuration is elsewhere: give a template of postgresql.conf",
    ))
}

fn judge(program: &Path, ended: &Ended, next: &str) -> Result<(), Cause> {
    if ended.status.success() {
        return Ok(());
    }
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let what = format!("{name} ended with {}: {}", ended.status, last_words(&ended.stderr));
    let code = if name == "initdb" { "initdb_failed" } else { "basebackup_failed" };
    Err(Cause::invalid(code, what, next))
}

/// The last lines of a program, without those of its progress.
fn last_words(stderr: &str) -> String {
    let lines = stderr.split(['\n', '\r']).map(str::trim);
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty() && !line.contains(" kB (")).collect();
    let text = lines.iter().rev().take(LINES_MAX).rev().copied().collect::<Vec<_>>().join("; ");
    let skip = text.chars().count().saturating_sub(WORDS_MAX);
    text.chars().skip(skip).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_of_initdb() {
        assert!(ours(15, false, &[]).contains(&"--no-instructions"));
        assert!(!ours(13, false, &[]).contains(&"--no-instructions"));
        assert!(!ours(15, false, &[]).contains(&"--wal-segsize=16"));
        assert!(ours(15, true, &[]).contains(&"--wal-segsize=16"));
        assert!(!ours(15, true, &["--wal-segsize=64".to_owned()]).contains(&"--wal-segsize=16"));
    }

    #[test]
    fn what_a_program_said_last() {
        let text = "    0/23456 kB (0%), 0/1 tablespace\r23456/23456 kB (100%), 1/1 tablespace\n\
                    pg_basebackup: error: could not write: No space left on device\npg_basebackup: removing\n";
        let expected =
            "pg_basebackup: error: could not write: No space left on device; pg_basebackup: removing";
        assert_eq!(last_words(text), expected);
        assert_eq!(last_words(&"x".repeat(1 << 20)).len(), WORDS_MAX);
    }
}
