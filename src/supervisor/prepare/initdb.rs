//! The database in the stage, as initdb makes it, with our configuration.

use std::fs;
use std::io;
use std::path::Path;

use super::atomic;
use super::child::{self, Breed};
use super::conf_files;
use super::executables::Engine;
use super::halt::{Outcome, Trying, failed, refused};
use super::keeper::Keeper;
use super::nss::Names;
use super::stage::Stage;
use super::work::Work;
use crate::engine::access;
use crate::engine::bootstrap::Bootstrap;
use crate::engine::defaults::{INITDB_FILE, first_boot_conf};

/// Runs initdb.
pub(super) fn run(
    work: Work<'_>,
    stage: &Stage,
    wal_dir: Option<&Path>,
    engine: &Engine,
    keeper: &Keeper,
    names: &Names,
    bootstrap: &Bootstrap,
) -> Outcome<()> {
    let program = engine.bin_dir.join("initdb");
    let mut command = work.engine_command(&program, &names.variables);
    // Whatever works in the stage is known for a part of this first boot.
    command.current_dir(&stage.path);
    command.args(&work.order.engine.initdb_args).args(&bootstrap.initdb_args);
    command.args(arguments(engine, &work.order.engine.initdb_args, &bootstrap.initdb_args));
    command.arg("-D").arg(stage.pgdata());
    if let Some(wal_dir) = wal_dir {
        command.arg("--waldir").arg(stage.wal(wal_dir));
    }
    let status = child::run(command, "initdb", Breed::Tool, Some(keeper.lock()), work.interrupt)?;
    if status.success() {
        return Ok(());
    }
    Err(failed(
        format!("initdb ended with {}: its own message is above", child::describe(status)),
        "mend what initdb complains of (initdb_args, POSTGRES_INITDB_ARGS, space, access) and start again",
    ))
}

/// The arguments that are not for others to choose; the last of several of a kind counts.
fn arguments(engine: &Engine, configured: &[String], given: &[String]) -> Vec<&'static str> {
    // All is synced at once, before the stage is marked complete.
    let mut arguments =
        vec!["--username=postgres", "--auth-local=peer", "--auth-host=scram-sha-256", "--no-sync"];
    if engine.memo.major >= 14 {
        arguments.push("--no-instructions");
    }
    // PolarDB makes segments of 1 GB, a first boot of 5 s.
    if engine.polardb && !configured.iter().chain(given).any(|word| word.starts_with("--wal-segsize")) {
        arguments.push("--wal-segsize=16");
    }
    arguments
}

/// The template of `postgresql.conf`, where there is one.
///
/// # Errors
/// Refused when it is there and cannot be read.
pub(super) fn template(work: Work<'_>) -> Outcome<Option<String>> {
    let Some(path) = &work.order.engine.conf_template else { return Ok(None) };
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            work.report
                .warn(format!("conf_template {} does not exist: initdb's own is used", path.display()));
            Ok(None)
        }
        Err(error) => Err(refused(
            format!("cannot read conf_template {}: {error}", path.display()),
            format!("make it readable for {}, or remove conf_template from supervisor.toml", work.user()),
        )),
    }
}

/// Writes the configuration files of the database in the stage.
pub(super) fn configure(
    work: Work<'_>,
    stage: &Stage,
    engine: &Engine,
    names: &Names,
    bootstrap: &Bootstrap,
    template: Option<&str>,
    sockets: &[String],
) -> Outcome<()> {
    let pgdata = stage.pgdata();
    let path = pgdata.join("postgresql.conf");
    let initdb_conf = fs::read_to_string(&path).trying("read", &path)?;
    let (conf, picks) = first_boot_conf(&initdb_conf, template, work.order.engine.port);
    let method = bootstrap.auth_method.as_deref().unwrap_or(access::DEFAULT_METHOD);
    for (name, text) in [
        ("postgresql.conf", conf),
        (INITDB_FILE, picks),
        ("pg_hba.conf", access::hba(method)),
        ("pg_ident.conf", access::ident(names.user.as_deref())),
    ] {
        let path = pgdata.join(name);
        atomic::replace(&path, text.as_bytes(), 0o600).trying("write", &path)?;
    }
    if method == "trust" {
        work.report.warn("POSTGRES_HOST_AUTH_METHOD=trust: anybody who reaches the port is a superuser, without a password");
    }
    conf_files::defaults(work, &pgdata, engine.polardb, sockets)
}
