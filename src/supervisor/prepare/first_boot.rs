//! First boot: the database is made in a stage, and only a complete stage is moved into place.
//!
//! A kill at any point leaves either an unfinished stage, which the next boot throws away, or a complete one, which it
//! moves on. So init scripts have run exactly once in the database that is served, and nobody but them could connect
//! before the end.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, syncfs};

use super::atomic;
use super::bootstrap::Variables;
use super::executables::Engine;
use super::failpoint::failpoint;
use super::halt::{Halt, Outcome, Trying, failed, refused};
use super::initdb;
use super::installation;
use super::keeper::Keeper;
use super::lock_file;
use super::nss::Names;
use super::orphans;
use super::promote;
use super::roles;
use super::scripts::{self, Stageplay};
use super::server::Server;
use super::sockets;
use super::stage::{self, Stage};
use super::wal_dir::{self, WalDir};
use super::work::Work;
use crate::engine::bootstrap::Bootstrap;

/// What a first boot needs.
pub(super) struct FirstBoot<'a> {
    pub(super) work: Work<'a>,
    pub(super) data_dir: &'a Path,
    pub(super) engine: &'a Engine,
    pub(super) keeper: &'a Keeper,
    pub(super) names: &'a Names,
}

impl FirstBoot<'_> {
    /// Moves on a stage that was complete.
    pub(super) fn resume(&self, name: &str) -> Outcome<()> {
        self.work.report.note(format!("going on with the first boot in {name}, which was complete"));
        self.own()?;
        orphans::end_first_boot(self.work, self.data_dir)?;
        promote::promote(self.work, self.data_dir, &Stage { path: self.data_dir.join(name) })?;
        self.tell();
        Ok(())
    }

    /// Makes a database in the empty data directory.
    pub(super) fn run(&self, variables: Option<Variables>) -> Outcome<()> {
        let work = self.work;
        let bootstrap = variables.unwrap_or_else(|| Variables::read(work)).get()?;
        self.own()?;
        let psql = roles::find_psql(work, self.engine)?;
        let template = initdb::template(work)?;
        let scripts = scripts::find(&work.order.engine.init_scripts)?;
        sockets::usable(work)?;
        orphans::end_first_boot(work, self.data_dir)?;
        stage::discard_all(work, self.data_dir)?;
        let wal_dir =
            bootstrap.wal_dir.as_deref().map(|dir| wal_dir::take(work, self.data_dir, dir)).transpose()?;
        lock_file::look(&work.order.engine.lock_file)?;
        let stage = Stage::make(self.data_dir)?;
        // Each side makes its stage before it looks for the other's: so one of them at least sees the other.
        let made = installation::look(self.data_dir).and_then(|()| {
            self.build(&stage, wal_dir.as_ref(), &bootstrap, &psql, template.as_deref(), &scripts)
        });
        if let Err(halt) = made {
            // Every child was ended on the way here; what they left behind goes too.
            if orphans::end_first_boot(work, self.data_dir).is_err() {
                work.report.warn(format!("processes that work in {} cannot be ended", stage.path.display()));
            }
            // A stop has a deadline; a lock has none, and while it holds nothing else would remove the stage.
            let locked = lock_file::exists(&work.order.engine.lock_file);
            let stopping = matches!(halt, Halt::Interrupted) && !locked;
            stage.discard(work, wal_dir.as_ref().map(|wal_dir| wal_dir.path.as_path()), stopping);
            return Err(halt);
        }
        stage.complete(wal_dir.as_ref().map(|wal_dir| wal_dir.path.as_path()))?;
        failpoint("after-complete", work.interrupt)?;
        promote::promote(work, self.data_dir, &stage)?;
        self.tell();
        Ok(())
    }

    fn build(
        &self,
        stage: &Stage,
        wal_dir: Option<&WalDir>,
        bootstrap: &Bootstrap,
        psql: &Path,
        template: Option<&str>,
        scripts: &[PathBuf],
    ) -> Outcome<()> {
        let (work, engine, keeper, names) = (self.work, self.engine, self.keeper, self.names);
        let wal_path = wal_dir.map(|wal_dir| wal_dir.path.as_path());
        failpoint("before-initdb", work.interrupt)?;
        initdb::run(work, stage, wal_path, engine, keeper, names, bootstrap)?;
        failpoint("after-initdb", work.interrupt)?;
        let sockets = sockets::usable(work)?.folders;
        initdb::configure(work, stage, engine, names, bootstrap, template, &sockets)?;
        failpoint("after-conf", work.interrupt)?;
        let server = Server::start(work, stage, engine, keeper, names)?;
        failpoint("server-started", work.interrupt)?;
        roles::make(work, stage, &server, psql, keeper, names, bootstrap)?;
        failpoint("after-roles", work.interrupt)?;
        let play = Stageplay { stage, server: &server, engine, psql, keeper, names, bootstrap };
        scripts::run(work, &play, scripts)?;
        failpoint("after-scripts", work.interrupt)?;
        server.stop(work)?;
        failpoint("server-stopped", work.interrupt)?;
        self.settle(stage)?;
        for folder in [Some(self.data_dir), wal_path].into_iter().flatten() {
            let opened =
                rustix::fs::open(folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                    .trying("open", folder)?;
            syncfs(&opened).trying("sync the file system of", folder)?;
        }
        failpoint("before-complete", work.interrupt)?;
        work.interrupt.check()?;
        lock_file::look(&work.order.engine.lock_file)
    }

    /// The data directory must be the engine's, and closed to others, before anything is put into it.
    fn own(&self) -> Outcome<()> {
        let (data_dir, user) = (self.data_dir, &self.work.order.user);
        let found = fs::metadata(data_dir).trying("look at", data_dir)?;
        if found.uid() != user.uid {
            return Err(refused(
                format!(
                    "{} is empty, but belongs to {}:{} (mode {:04o}), and the engine runs as {}",
                    data_dir.display(),
                    found.uid(),
                    found.gid(),
                    found.mode() & 0o7777,
                    self.work.user()
                ),
                format!(
                    "chown {}:{} {}; or start the container as root, which then does it; or set data_dir to a folder in it",
                    user.uid,
                    user.gid,
                    data_dir.display()
                ),
            ));
        }
        if found.mode() & 0o7777 != 0o700 {
            fs::set_permissions(data_dir, Permissions::from_mode(0o700))
                .trying("set mode 0700 on", data_dir)?;
        }
        Ok(())
    }

    /// The last look before the stage is called complete: what would not survive the move is mended or refused while the
    /// stage can still be thrown away.
    fn settle(&self, stage: &Stage) -> Outcome<()> {
        let pgdata = stage.pgdata();
        let taken = promote::conflicts(&pgdata, self.data_dir)?;
        if !taken.is_empty() {
            return Err(failed(
                format!(
                    "names of the database exist in {} already: {}",
                    self.data_dir.display(),
                    taken.join(", ")
                ),
                "move them elsewhere and start again",
            ));
        }
        let spaces = pgdata.join("pg_tblspc");
        for entry in fs::read_dir(&spaces).trying("list", &spaces)? {
            let link = entry.trying("list", &spaces)?.path();
            if fs::read_link(&link).is_ok_and(|target| target.starts_with(&stage.path)) {
                return Err(failed(
                    "an init script made a tablespace inside of PGDATA, which moves at the end of first boot"
                        .to_owned(),
                    "give the tablespace a folder outside of the data directory",
                ));
            }
        }
        for name in ["postgresql.conf", "postgresql.auto.conf", "pg_hba.conf", "pg_ident.conf"] {
            self.repoint(&pgdata, &pgdata.join(name))?;
        }
        Ok(())
    }

    /// A script that wrote `$PGDATA` into a configuration file meant the data directory, not the stage.
    fn repoint(&self, pgdata: &Path, file: &Path) -> Outcome<()> {
        let Ok(text) = fs::read_to_string(file) else { return Ok(()) };
        let (from, to) = (pgdata.display().to_string(), self.data_dir.display().to_string());
        if !text.contains(&from) {
            return Ok(());
        }
        let mode = fs::metadata(file).trying("look at", file)?.mode() & 0o777;
        atomic::replace(file, text.replace(&from, &to).as_bytes(), mode).trying("write", file)
    }

    fn tell(&self) {
        self.work.report.note(format!(
            "NEW database initialized in {} (version {}, port {})",
            self.data_dir.display(),
            self.engine.memo.major,
            self.work.order.engine.port
        ));
    }
}
