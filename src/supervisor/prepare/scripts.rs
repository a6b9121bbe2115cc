//! The scripts of a first boot: run once, in the order of their names, against the temporary server.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use rustix::fs::{Access, access};

use super::child::{self, Breed};
use super::executables::Engine;
use super::failpoint::failpoint;
use super::halt::{Outcome, failed};
use super::keeper::Keeper;
use super::nss::Names;
use super::roles::psql;
use super::server::Server;
use super::stage::Stage;
use super::work::Work;
use crate::engine::bootstrap::Bootstrap;

/// How a script is run, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Shell,
    Sql,
    /// SQL behind a program that unpacks to standard output.
    Packed(&'static [&'static str]),
    Other,
}

fn kind(name: &str) -> Kind {
    const GZIP: &[&str] = &["gunzip", "-c"];
    const XZ: &[&str] = &["xz", "-dc"];
    const ZSTD: &[&str] = &["zstd", "-dc"];
    for (suffix, kind) in [
        (".sh", Kind::Shell),
        (".sql", Kind::Sql),
        (".sql.gz", Kind::Packed(GZIP)),
        (".sql.xz", Kind::Packed(XZ)),
        (".sql.zst", Kind::Packed(ZSTD)),
    ] {
        if name.ends_with(suffix) {
            return kind;
        }
    }
    Kind::Other
}

/// What a script gets.
pub(super) struct Stageplay<'a> {
    pub(super) stage: &'a Stage,
    pub(super) server: &'a Server,
    pub(super) engine: &'a Engine,
    pub(super) psql: &'a Path,
    pub(super) keeper: &'a Keeper,
    pub(super) names: &'a Names,
    pub(super) bootstrap: &'a Bootstrap,
}

/// The scripts in the folder, sorted by the bytes of their names; none where there is no folder.
///
/// # Errors
/// Failed when the folder cannot be read.
pub(super) fn find(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let cannot = |error: io::Error| {
        failed(
            format!("cannot read the folder of init scripts {}: {error}", folder.display()),
            "make it readable for the engine's user, or set init_scripts in supervisor.toml to another folder",
        )
    };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(cannot(error)),
    };
    let mut scripts = Vec::new();
    for entry in entries {
        let path = entry.map_err(cannot)?.path();
        // Volumes of Kubernetes keep their machinery in hidden names.
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !hidden && !path.is_dir() {
            scripts.push(path);
        }
    }
    scripts.sort();
    Ok(scripts)
}

/// Runs them.
///
/// # Errors
/// Failed at the first script that fails.
pub(super) fn run(work: Work<'_>, play: &Stageplay<'_>, scripts: &[PathBuf]) -> Outcome<()> {
    for script in scripts {
        failpoint("before-script", work.interrupt)?;
        let name = script.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let status = match kind(&name) {
            Kind::Shell => shell(work, play, script)?,
            Kind::Sql => {
                let mut command = play.psql(work);
                command.arg("-f").arg(script);
                child::run(command, &name, Breed::Script, Some(play.keeper.lock()), work.interrupt)?
            }
            Kind::Packed(unpack) => packed(work, play, unpack, script)?,
            Kind::Other => {
                work.report.note(format!(
                    "ignored {}: neither .sh, .sql, .sql.gz, .sql.xz nor .sql.zst",
                    script.display()
                ));
                continue;
            }
        };
        if !status.success() {
            return Err(failed(
                format!("the init script {} failed: {}", script.display(), child::describe(status)),
                "correct it and start again: first boot begins anew, on an empty data directory",
            ));
        }
        work.report.note(format!("ran {}", script.display()));
    }
    Ok(())
}

fn shell(work: Work<'_>, play: &Stageplay<'_>, script: &Path) -> Outcome<ExitStatus> {
    let run = |mut command: Command| {
        play.environment(work, &mut command);
        child::run(
            command,
            &script.display().to_string(),
            Breed::Script,
            Some(play.keeper.lock()),
            work.interrupt,
        )
    };
    if access(script, Access::EXEC_OK).is_ok() {
        return run(Command::new(script));
    }
    let bash = ["/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash"]
        .into_iter()
        .find(|file| Path::new(file).exists());
    let mut command = match bash {
        Some(bash) => {
            let mut command = Command::new(bash);
            command.args(["-eo", "pipefail"]);
            command
        }
        None => {
            let mut command = Command::new("/bin/sh");
            command.arg("-e");
            command
        }
    };
    command.arg(script);
    run(command)
}

/// Both programs must succeed: a file that is cut short is no success of `psql`.
fn packed(work: Work<'_>, play: &Stageplay<'_>, unpack: &[&str], script: &Path) -> Outcome<ExitStatus> {
    let Some((program, arguments)) = unpack.split_first() else {
        return Err(failed("no program to unpack", ""));
    };
    let mut command = Command::new(program);
    play.environment(work, &mut command);
    child::quiet(&mut command);
    command.args(arguments).arg(script).stdout(Stdio::piped());
    let mut unpacker = child::spawn(command, program, Breed::Script, Some(play.keeper.lock()))?;
    let mut command = play.psql(work);
    child::quiet(&mut command);
    if let Some(stdout) = unpacker.stdout() {
        command.stdin(Stdio::from(stdout));
    }
    command.args(["-f", "-"]);
    // The command holds our copy of the pipe's end: dropped at the end of the spawn, so that a psql that ends early ends
    // the unpacker too.
    let mut reader = child::spawn(command, "psql", Breed::Script, Some(play.keeper.lock()))?;
    let read = reader.wait(work.interrupt, None)?;
    let unpacked = unpacker.wait(work.interrupt, None)?;
    Ok(if read.success() { unpacked } else { read })
}

impl Stageplay<'_> {
    /// `psql` in the database and as the role that the variables name.
    fn psql(&self, work: Work<'_>) -> Command {
        let mut command = psql(Command::new(self.psql));
        self.environment(work, &mut command);
        command
    }

    /// All that we inherited, the engine's own on top, and how to reach the temporary server.
    fn environment(&self, work: Work<'_>, command: &mut Command) {
        let user = self.bootstrap.role.as_ref().map_or("postgres", |role| role.name.as_str());
        let database = self.bootstrap.database.as_deref().unwrap_or("postgres");
        let order = work.order;
        command.env("HOME", &order.user.home);
        if let Some(name) = &self.names.user {
            command.env("USER", name).env("LOGNAME", name);
        }
        command.envs(order.environment.iter().map(|(name, value)| (name, value)));
        command.envs(self.names.variables.iter().map(|(name, value)| (name, value)));
        command.env("PATH", path_with(&self.engine.bin_dir, &work.path_variable()));
        command.env("POSTGRES_USER", user).env("POSTGRES_DB", database);
        self.server.connect(command, user, database);
        command.current_dir(&self.stage.path);
    }
}

/// The engine's programs come first.
fn path_with(bin_dir: &Path, path: &OsStr) -> OsString {
    let folders = std::iter::once(bin_dir.to_owned()).chain(std::env::split_paths(path));
    std::env::join_paths(folders).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_go_by_the_end_of_the_name() {
        for (name, expected) in [
            ("10-a.sh", Kind::Shell),
            ("a.sql", Kind::Sql),
            ("a.sql.gz", Kind::Packed(&["gunzip", "-c"])),
            ("a.sql.xz", Kind::Packed(&["xz", "-dc"])),
            ("a.sql.zst", Kind::Packed(&["zstd", "-dc"])),
            ("a.gz", Kind::Other),
            ("README", Kind::Other),
            ("a.SQL", Kind::Other),
        ] {
            assert_eq!(kind(name), expected, "{name}");
        }
    }

    #[test]
    fn scripts_are_sorted_by_bytes_and_hidden_names_left_out() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.sql", "B.sql", "10.sh", "9.sh", ".hidden.sql"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        fs::create_dir(dir.path().join("folder.sql")).unwrap();
        let names: Vec<String> = find(dir.path())
            .unwrap()
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["10.sh", "9.sh", "B.sql", "b.sql"]);
        assert!(find(&dir.path().join("none")).unwrap().is_empty());
        assert!(find(&dir.path().join("b.sql")).is_err());
    }
}
