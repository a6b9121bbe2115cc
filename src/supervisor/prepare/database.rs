//! Whether an initialized data directory can be served.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::executables::Engine;
use super::halt::{Outcome, Trying, refused, trouble, wait};
use super::place::change_owner;
use super::work::Work;
use crate::config::Init;
use crate::engine::conf::Settings;
use crate::engine::datadir::{Piece, Pieces, lacking, major_version, on_shared_storage};
use crate::engine::defaults::{DEFAULTS_FILE, INITDB_FILE};
use crate::engine::{conf, control};

/// Checks owner, mode, version and pieces of the database in `data_dir`; the configuration as it is read on the way.
///
/// # Errors
/// Refused, or a wait for whoever installs the database.
pub(super) fn check(work: Work<'_>, data_dir: &Path, engine: &Engine) -> Outcome<Settings> {
    owner(work, data_dir)?;
    regular(data_dir)?;
    installed(work, data_dir)?;
    version(data_dir, engine)?;
    let (settings, warnings) = conf::read(data_dir, &work.order.options);
    pieces(data_dir, engine, &settings)?;
    one_place(data_dir, &settings)?;
    mode(work, data_dir)?;
    if work.order.first {
        for warning in warnings {
            work.report.warn(warning);
        }
    }
    Ok(settings)
}

fn owner(work: Work<'_>, data_dir: &Path) -> Outcome<()> {
    let user = &work.order.user;
    let found = fs::metadata(data_dir).trying("look at", data_dir)?;
    let control =
        fs::symlink_metadata(data_dir.join("PG_VERSION")).trying("look at", &data_dir.join("PG_VERSION"))?;
    for (what, uid, gid) in [("", found.uid(), found.gid()), ("/PG_VERSION", control.uid(), control.gid())] {
        if uid != user.uid {
            return Err(refused(
                format!(
                    "{}{what} belongs to {uid}:{gid}, but the engine runs as {}",
                    data_dir.display(),
                    work.user()
                ),
                change_owner(user, data_dir, uid, gid),
            ));
        }
    }
    Ok(())
}

/// The engine, and this child, would wait for ever to open a named pipe; links to files elsewhere are fine.
fn regular(data_dir: &Path) -> Outcome<()> {
    const OPENED: [&str; 10] = [
        "PG_VERSION",
        "global/pg_control",
        "ins_install_step",
        "pg_hba.conf",
        "pg_ident.conf",
        "polar_settings.conf",
        "postgresql.auto.conf",
        "postgresql.conf",
        DEFAULTS_FILE,
        INITDB_FILE,
    ];
    for path in OPENED.iter().map(|name| data_dir.join(name)) {
        if fs::metadata(&path).is_ok_and(|found| !found.is_file()) {
            return Err(refused(
                format!("{} is no regular file: to open it could take for ever", path.display()),
                "move it away; if it was a part of the database, restore it from a backup",
            ));
        }
    }
    Ok(())
}

/// In a pod of PolarDB Stack somebody else makes the database and says so in a file.
fn installed(work: Work<'_>, data_dir: &Path) -> Outcome<()> {
    if work.order.engine.init != Init::Wait {
        return Ok(());
    }
    let step = data_dir.join("ins_install_step");
    let text = fs::read_to_string(&step).unwrap_or_default();
    if text.trim() == "done" {
        return Ok(());
    }
    let says = if text.trim().is_empty() { "nothing".to_owned() } else { format!("{:?}", text.trim()) };
    Err(wait(format!("init = \"wait\": the installation is not done: {} says {says}", step.display())))
}

fn version(data_dir: &Path, engine: &Engine) -> Outcome<()> {
    let file = data_dir.join("PG_VERSION");
    let text = fs::read_to_string(&file).trying("read", &file)?;
    let Some(major) = major_version(&text) else {
        return Err(refused(
            format!(
                "{} does not hold a version: {:?}",
                file.display(),
                text.chars().take(40).collect::<String>()
            ),
            "restore the database from a backup; nothing was changed",
        ));
    };
    if major == engine.memo.major {
        return Ok(());
    }
    Err(refused(
        format!(
            "the database in {} is of major version {major}, but {} is of version {}",
            data_dir.display(),
            engine.server.display(),
            engine.memo.major
        ),
        format!(
            "use an image of version {major}, or move the database to version {} with pg_upgrade",
            engine.memo.major
        ),
    ))
}

fn pieces(data_dir: &Path, engine: &Engine, settings: &Settings) -> Outcome<()> {
    let conf = settings
        .get("config_file")
        .map_or_else(|| data_dir.join("postgresql.conf"), |path| data_dir.join(path));
    let found = Pieces {
        pg_version: true,
        pg_control: data_dir.join("global/pg_control").is_file(),
        postgresql_conf: conf.is_file(),
        shared_storage: engine.polardb && on_shared_storage(settings),
    };
    let missing = lacking(found);
    // Without a configuration nothing says whether the control file lies on shared storage.
    if missing.contains(&Piece::PostgresqlConf) {
        return Err(refused(
            format!("{} is missing, and the engine does not start without it", conf.display()),
            "restore it from a backup, or copy it into the data directory: a configuration under /etc (as Debian's \
             packages keep it) is only used with the engine option -c config_file=FILE",
        ));
    }
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
    Err(refused(
        format!("{} is a database, but {} is missing", data_dir.display(), names.join(", ")),
        "restore it from a backup; nothing was changed",
    ))
}

/// The lock, the pid file and all checks are those of `data_dir`: another one must not slip in behind them.
fn one_place(data_dir: &Path, settings: &Settings) -> Outcome<()> {
    let Some(other) = settings.get("data_directory") else { return Ok(()) };
    if fs::canonicalize(data_dir.join(other)).is_ok_and(|other| other == data_dir) {
        return Ok(());
    }
    Err(refused(
        format!("the configuration in {} sets data_directory to another place, {other}", data_dir.display()),
        "remove data_directory from postgresql.conf, or set data_dir in supervisor.toml to that place",
    ))
}

/// PostgreSQL starts only with 0700, or 0750 where initdb was told `--allow-group-access`.
fn mode(work: Work<'_>, data_dir: &Path) -> Outcome<()> {
    let found = fs::metadata(data_dir).trying("look at", data_dir)?.mode() & 0o7777;
    let group_reads =
        || fs::symlink_metadata(data_dir.join("PG_VERSION")).is_ok_and(|version| version.mode() & 0o040 != 0);
    if found == 0o700 || (found == 0o750 && group_reads()) {
        return Ok(());
    }
    match fs::set_permissions(data_dir, Permissions::from_mode(0o700)) {
        Ok(()) => work.report.note(format!("{} had mode {found:04o}: set to 0700", data_dir.display())),
        // The engine minds these bits alone, and refuses to start.
        Err(error) if found & 0o027 != 0 => {
            return Err(trouble("set mode 0700 on", data_dir.display(), error));
        }
        Err(_) => {}
    }
    Ok(())
}

/// Whether the control file says that the last end was not orderly. Without a readable one (shared storage) nothing is
/// known, and that is no sign of a crash.
pub(super) fn unclean(data_dir: &Path) -> bool {
    fs::read(data_dir.join("global/pg_control"))
        .ok()
        .and_then(|bytes| control::parse(&bytes).ok())
        .is_some_and(|control| !control.state.is_orderly())
}
