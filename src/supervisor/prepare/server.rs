//! The temporary server of a first boot: no TCP, a socket in a folder that only the engine's user can enter.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use super::atomic;
use super::child::{self, Breed, Running};
use super::executables::Engine;
use super::halt::{Outcome, Trying, failed, trouble};
use super::keeper::Keeper;
use super::nss::Names;
use super::sockets;
use super::stage::Stage;
use super::work::{Work, random_name};
use crate::engine::control;
use crate::engine::pidfile::{Status, parse};

/// The running server.
pub(super) struct Server {
    running: Running,
    pgdata: PathBuf,
    sockets: PrivateFolder,
    port: u16,
}

/// A folder of mode 0700, removed when dropped.
struct PrivateFolder {
    path: PathBuf,
}

impl PrivateFolder {
    /// In the stage, unless its path is too long for a socket or its file system has none.
    fn make(work: Work<'_>, stage: &Stage) -> Outcome<Self> {
        let name = format!("polar-{}", random_name().trying("read", Path::new("/dev/urandom"))?);
        let mut problems = Vec::new();
        for path in [stage.path.join("s"), work.order.run_dir.join(&name), PathBuf::from("/tmp").join(&name)]
        {
            let made = DirBuilder::new().mode(0o700).create(&path).and_then(|()| {
                let folder = PrivateFolder { path: path.clone() };
                sockets::try_out(&folder.path).map(|()| folder)
            });
            match made {
                Ok(folder) => return Ok(folder),
                Err(error) => problems.push(format!("{}: {error}", path.display())),
            }
        }
        Err(failed(
            format!("no place for the private socket of first boot: {}", problems.join("; ")),
            "make run_dir writable for the engine's user, or give the container a /tmp",
        ))
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        // Best effort: what is left in it is a socket of a dead server.
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl Server {
    /// Starts it and waits until it is ready.
    pub(super) fn start(
        work: Work<'_>,
        stage: &Stage,
        engine: &Engine,
        keeper: &Keeper,
        names: &Names,
    ) -> Outcome<Self> {
        let sockets = PrivateFolder::make(work, stage)?;
        let (pgdata, port) = (stage.pgdata(), work.order.engine.port);
        let hba = stage.path.join("hba");
        atomic::replace(&hba, b"local all all trust\n", 0o600).trying("write", &hba)?;
        let mut command = work.engine_command(&engine.server, &names.variables);
        // Ours come last, and the last one counts.
        command.current_dir(&stage.path).arg("-D").arg(&pgdata).args(&work.order.options);
        for (name, value) in [
            ("data_directory", pgdata.as_os_str()),
            ("hba_file", hba.as_os_str()),
            ("ident_file", pgdata.join("pg_ident.conf").as_os_str()),
            ("unix_socket_directories", sockets.path.as_os_str()),
            ("unix_socket_permissions", "0700".as_ref()),
            ("unix_socket_group", "".as_ref()),
            ("listen_addresses", "".as_ref()),
            ("external_pid_file", stage.path.join("pid").as_os_str()),
            ("logging_collector", "off".as_ref()),
            ("log_destination", "stderr".as_ref()),
            ("archive_mode", "off".as_ref()),
            ("ssl", "off".as_ref()),
            ("synchronous_standby_names", "".as_ref()),
            ("default_transaction_read_only", "off".as_ref()),
            ("restart_after_crash", "off".as_ref()),
        ] {
            let mut setting = std::ffi::OsString::from(format!("{name}="));
            setting.push(value);
            command.arg("-c").arg(setting);
        }
        command.arg("-p").arg(port.to_string());
        child::quiet(&mut command);
        let running = child::spawn(command, "the temporary server", Breed::Server, Some(keeper.lock()))?;
        let mut server = Server { running, pgdata, sockets, port };
        server.until_ready(work)?;
        Ok(server)
    }

    fn until_ready(&mut self, work: Work<'_>) -> Outcome<()> {
        let path = self.pgdata.join("postmaster.pid");
        let own = i32::try_from(self.running.id()).unwrap_or(0);
        loop {
            if let Some(status) = self.running.ended()? {
                return Err(failed(
                    format!(
                        "the temporary server of first boot ended with {}: its own message is above",
                        child::describe(status)
                    ),
                    "mend what it complains of (parameters, conf_template, memory) and start again",
                ));
            }
            let ready = fs::read(&path)
                .ok()
                .and_then(|content| parse(&content).ok())
                .is_some_and(|file| file.pid == own && file.status == Some(Status::Ready));
            if ready {
                return Ok(());
            }
            work.interrupt.nap(Duration::from_millis(20))?;
        }
    }

    /// The variables by which a client finds it.
    pub(super) fn connect(&self, command: &mut Command, user: &str, database: &str) {
        command
            .env("PGHOST", &self.sockets.path)
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", user)
            .env("PGDATABASE", database)
            .env("PGDATA", &self.pgdata);
        // These would lead elsewhere, or ask for a password.
        for name in ["PGHOSTADDR", "PGSERVICE", "PGPASSWORD", "PGPASSFILE", "PGSSLMODE", "PGOPTIONS"] {
            command.env_remove(name);
        }
    }

    /// Stops it in order.
    ///
    /// # Errors
    /// Failed when it does not end with 0, or its control file does not say so.
    pub(super) fn stop(mut self, work: Work<'_>) -> Outcome<()> {
        self.running.signal(Signal::INT)?;
        let status = self.running.wait(work.interrupt, None)?;
        let path = self.pgdata.join("global/pg_control");
        let control = fs::read(&path).trying("read", &path)?;
        let orderly = control::parse(&control).is_ok_and(|control| control.state.is_orderly());
        if !status.success() || !orderly {
            return Err(failed(
                format!(
                    "the temporary server of first boot did not stop in order: {}",
                    child::describe(status)
                ),
                "look at its messages above and start again",
            ));
        }
        // It holds the arguments of the temporary server.
        match fs::remove_file(self.pgdata.join("postmaster.opts")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(trouble("remove", self.pgdata.join("postmaster.opts").display(), error))
            }
            _ => Ok(()),
        }
    }
}
