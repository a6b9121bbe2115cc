//! Stop, start and restart, as the predecessor's callers mean them: by the lock file, whoever made it, and within the time
//! that a caller waits. SIGKILL is the supervisor's alone, and no other process is touched.

use std::path::Path;
use std::time::Instant;

use rustix::process::Signal;

use super::Work;
use super::report::Report;
use crate::control::client::{Client, Trouble};
use crate::control::protocol::{Code, Mode, Op};
use crate::ctl::alone::Lonely;
use crate::ctl::by_volume::{look, words};
use crate::ctl::change::wait_for;
use crate::ctl::cli::{StopMode, WaitArgs};
use crate::ctl::failure::{Exit, Failure};
use crate::ctl::keeper::{self, Keeper};
use crate::ctl::lock::lock_files;
use crate::ctl::lock_file::{self, Done, Found};
use crate::ctl::place::{Reach, Volume, engines_or};
use crate::ctl::wait::{Goal, Look, until_done};
use crate::engine::greeting::is_left;
use crate::engine::pidfile;
use crate::manager::site::socket_path;
use crate::manager::task::{IS_SERVER_RUNNING, Stop};
use crate::manager::{Site, user};
use crate::supervisor::alone;

/// The limit of time of a stop, as it passes.
struct Clock {
    begin: Instant,
    stop: Stop,
    /// Whether it is for a restart: then a lock that goes meanwhile says that somebody else has finished one.
    restart: bool,
}

impl Clock {
    fn left(&self) -> WaitArgs {
        let timeout = self.stop.within.saturating_sub(self.begin.elapsed());
        WaitArgs { wait: true, no_wait: false, timeout }
    }
}

impl Work<'_> {
    /// Locks, and waits for the engine's end.
    ///
    /// # Errors
    /// It could not be locked, or did not end in time; the lock holds all the same.
    pub(super) fn stop(&self, stop: Stop, kind: &str) -> Result<Report, Failure> {
        self.lock_and_wait(&Clock { begin: Instant::now(), stop, restart: false }, kind)
    }

    fn lock_and_wait(&self, clock: &Clock, kind: &str) -> Result<Report, Failure> {
        let mode = clock.stop.mode;
        let mut report = Report::nothing();
        match self.place.reach(&self.tried, None)? {
            Reach::Supervisor(mut client) => {
                let files = lock_files(&mut client, &self.tried, None)?;
                let before = engines_or(&mut client, &self.tried, None)?;
                for (_, file) in &files {
                    self.lock(file, kind, &mut report)?;
                }
                if before.iter().all(|status| status.pid.is_none()) {
                    report.line = Some(already_down());
                } else {
                    report.steps.push("stop the engine".to_owned());
                }
                // A mode that is harder than the supervisor's own is told while the lock keeps the engine down.
                if mode == Mode::Immediate {
                    for pid in before.iter().filter_map(|status| status.pid) {
                        let data_dirs = before.iter().filter_map(|status| status.engine.as_ref());
                        data_dirs.for_each(|engine| self.press(Path::new(&engine.data_dir), pid, mode));
                    }
                }
                wait_for(
                    &mut client,
                    self.screen,
                    &clock.left(),
                    &self.tried,
                    Goal::Locked,
                    &[],
                    |client| {
                        let gone = |file: &Path| matches!(lock_file::look(file), Ok(Found::Absent));
                        if clock.restart && files.iter().all(|(_, file)| gone(file)) {
                            return Ok(Vec::new());
                        }
                        engines_or(client, &self.tried, None)
                    },
                )?;
            }
            Reach::Volumes(volumes, _) => {
                for volume in &volumes {
                    self.lock(&volume.lock_file, kind, &mut report)?;
                }
                for volume in &volumes {
                    self.end(volume, clock, &mut report, Self::end_locked)?;
                }
            }
        }
        Ok(report)
    }

    /// Removes the lock, whoever made it. The engine is neither started nor waited for: its supervisor sees to that.
    ///
    /// # Errors
    /// The lock could not be removed.
    pub(super) fn start(&self) -> Result<Report, Failure> {
        let mut report = Report::nothing();
        match self.place.reach(&self.tried, None)? {
            Reach::Supervisor(mut client) => {
                for (_, file) in lock_files(&mut client, &self.tried, None)? {
                    self.unlock(&file, &mut report)?;
                }
                // What a stop without a lock has left is over, too.
                let op = Op::Start { program: None };
                client.ask::<()>(&op).map_err(|trouble| Failure::of_trouble(&self.tried, trouble))?;
            }
            Reach::Volumes(volumes, _) => {
                for volume in &volumes {
                    self.unlock(&volume.lock_file, &mut report)?;
                }
            }
        }
        Ok(report)
    }

    /// Locks, waits for the engine's end, unlocks.
    ///
    /// # Errors
    /// It did not end in time; the lock holds then, and the next call goes on.
    pub(super) fn restart(&self, stop: Stop) -> Result<Report, Failure> {
        let clock = Clock { begin: Instant::now(), stop, restart: true };
        let mut report = self.lock_and_wait(&clock, "maintenance")?;
        let started = self.start()?;
        report.steps.extend(started.steps);
        report.notes.extend(started.notes);
        report.line = None;
        Ok(report)
    }

    /// Stops the engine and leaves no lock file: of a container that ends, or for a moment. Where the supervisor can be
    /// asked it remembers the stop until its container starts again.
    ///
    /// # Errors
    /// It did not end in time, or cannot be reached from here.
    pub(super) fn clean_up(&self, stop: Stop) -> Result<Report, Failure> {
        let clock = Clock { begin: Instant::now(), stop, restart: false };
        let mut report = Report::nothing();
        match self.place.reach(&self.tried, None)? {
            Reach::Supervisor(client) => self.ask(client, &clock, &mut report)?,
            Reach::Volumes(volumes, _) => {
                for volume in &volumes {
                    self.end(volume, &clock, &mut report, Self::end_unlocked)?;
                }
            }
        }
        Ok(report)
    }

    /// Has the supervisor stop its engines.
    fn ask(&self, mut client: Client, clock: &Clock, report: &mut Report) -> Result<(), Failure> {
        let mode = Some(clock.stop.mode);
        match client.ask::<()>(&Op::Stop { program: None, mode }) {
            // Its container ends: it stops them by itself.
            Err(Trouble::Refused(refusal)) if refusal.code == Code::ShuttingDown => {}
            asked => asked.map_err(|trouble| Failure::of_trouble(&self.tried, trouble))?,
        }
        let waited =
            wait_for(&mut client, self.screen, &clock.left(), &self.tried, Goal::Down, &[], |client| {
                engines_or(client, &self.tried, None)
            });
        match waited {
            // It does not end before its engines have.
            Err(failure) if failure.exit == Exit::NoSupervisor => {}
            waited => waited?,
        }
        report.steps.push("have the supervisor stop the engine until its container starts again".to_owned());
        Ok(())
    }

    /// Makes a lock file; one that is there will do, whoever made it.
    fn lock(&self, file: &Path, kind: &str, report: &mut Report) -> Result<(), Failure> {
        let lock = words(kind, Some(format!("polarctl {}", self.tried)), None);
        let failed = |error| Failure::of_file(&self.tried, file, &error);
        if lock_file::look(file).map_err(failed)? == Found::Absent
            && lock_file::make(file, &lock, false).map_err(failed)? == Done::Yes
        {
            report.steps.push(format!("make {}", file.display()));
        }
        Ok(())
    }

    fn unlock(&self, file: &Path, report: &mut Report) -> Result<(), Failure> {
        let failed = |error| Failure::of_file(&self.tried, file, &error);
        let Found::Present(there) = lock_file::look(file).map_err(failed)? else { return Ok(()) };
        if lock_file::remove(file, &user::own(), "", true).map_err(failed)? == Done::Yes {
            report.steps.push(format!("remove {} ({})", file.display(), lock_file::in_words(&there)));
        }
        Ok(())
    }

    /// Ends the engine of a volume, by `kept` where a supervisor keeps it.
    fn end(
        &self,
        volume: &Volume,
        clock: &Clock,
        report: &mut Report,
        kept: impl FnOnce(&Self, &Volume, &Clock, &mut Report) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if is_down(volume)? {
            report.line = Some(already_down());
            return Ok(());
        }
        match keeper::of(volume)? {
            Keeper::Absent => self.end_alone(volume, clock)?,
            Keeper::There | Keeper::Unknown(_) => kept(self, volume, clock, report)?,
        }
        report.steps.push("stop the engine".to_owned());
        Ok(())
    }

    /// The supervisor of a locked volume stops the engine by itself.
    fn end_locked(&self, volume: &Volume, clock: &Clock, report: &mut Report) -> Result<(), Failure> {
        self.harder(volume, clock, report);
        self.wait_down(volume, clock)
    }

    /// A supervisor asks the engine by its own mode. A harder one is told to the engine itself, where it is in sight.
    fn harder(&self, volume: &Volume, clock: &Clock, report: &mut Report) {
        let mode = clock.stop.mode;
        if mode != Mode::Immediate {
            return;
        }
        match postmaster(volume) {
            Some(process) => self.send(process, mode),
            None => report.notes.push(
                "the engine is out of sight: its supervisor stops it by its own mode, harder as the time passes"
                    .to_owned(),
            ),
        }
    }

    /// Ends an engine that nobody keeps.
    fn end_alone(&self, volume: &Volume, clock: &Clock) -> Result<(), Failure> {
        let left = clock.left();
        let lonely = Lonely::new(self.place, self.screen, volume, &left, "stop")?;
        match lonely.stop(Some(stop_mode(clock.stop.mode))) {
            // Nothing that can be seen lives there, and nobody holds its socket.
            Err(_) if is_down(volume)? => Ok(()),
            ended => ended,
        }
    }

    /// Where no lock tells the supervisor the engine itself is asked.
    fn end_unlocked(&self, volume: &Volume, clock: &Clock, report: &mut Report) -> Result<(), Failure> {
        let Some(process) = postmaster(volume) else {
            let text = format!(
                "{}: a supervisor keeps {}, and neither its socket nor the engine is in sight from here: call it in the \
                 engine's container, or stop the engine by lock_stop_instance",
                self.tried,
                volume.data_dir.display()
            );
            return Err(Failure::failed("not_proved", text));
        };
        self.send(process, clock.stop.mode);
        until_done(self.screen, &clock.left(), &self.tried, || {
            let ended = !alone::lives(process) || is_down(volume)?;
            let waits = || Look::Waiting(format!("process {} is still there", process.0));
            Ok(if ended { Look::Done } else { waits() })
        })?;
        report.notes.push(
            "the supervisor's socket is not in reach: it was not asked, and starts the engine again"
                .to_owned(),
        );
        Ok(())
    }

    fn wait_down(&self, volume: &Volume, clock: &Clock) -> Result<(), Failure> {
        until_done(self.screen, &clock.left(), &self.tried, || {
            Ok(match look(volume)? {
                _ if is_down(volume)? => Look::Done,
                Found::Absent if clock.restart => Look::Done,
                Found::Absent => Look::Hopeless("somebody has removed the lock meanwhile".to_owned()),
                Found::Present(_) => {
                    let file = volume.data_dir.join("postmaster.pid");
                    Look::Waiting(format!("{} is still there, and the lock holds", file.display()))
                }
            })
        })
    }

    /// Asks a postmaster of this pid, where it is in sight and of this data directory.
    fn press(&self, data_dir: &Path, pid: i32, mode: Mode) {
        if let Some(process) = in_sight(data_dir, pid) {
            self.send(process, mode);
        }
    }

    /// That it could not be asked is said; it is waited for all the same, for its supervisor asks it.
    fn send(&self, process: (i32, u64), mode: Mode) {
        let signal = match mode {
            Mode::Smart => Signal::TERM,
            Mode::Fast => Signal::INT,
            Mode::Immediate => Signal::QUIT,
        };
        if let Err(error) = alone::signal(process, signal) {
            self.screen.note(&format!("{}: asking process {}: {error}", self.tried, process.0));
        }
    }
}

fn stop_mode(mode: Mode) -> StopMode {
    match mode {
        Mode::Smart => StopMode::Smart,
        Mode::Fast => StopMode::Fast,
        Mode::Immediate => StopMode::Immediate,
    }
}

/// ClusterManager takes a stop that says so for done, whatever its exit status is.
fn already_down() -> String {
    format!("no server runs. {IS_SERVER_RUNNING}")
}

/// The postmaster of a volume, where it is a process of this pid namespace.
fn postmaster(volume: &Volume) -> Option<(i32, u64)> {
    in_sight(&volume.data_dir, pidfile::read(&volume.data_dir).ok()??.pid)
}

/// The process of this pid, where it is the postmaster of a data directory. With the rights of that one's owner: where a
/// process works root is not told without the capability SYS_PTRACE.
fn in_sight(data_dir: &Path, pid: i32) -> Option<(i32, u64)> {
    let looked = Site::new(data_dir.to_owned()).as_owner(|| alone::postmaster_here(data_dir, pid));
    looked.ok().flatten()
}

/// Whether no engine runs: there is no pid file, or one of a server that had its socket in the data directory, and nobody
/// holds that any more. Nothing is said to a server, for one that hangs would take the time of its stop.
fn is_down(volume: &Volume) -> Result<bool, Failure> {
    let file = pidfile::read(&volume.data_dir)
        .map_err(|error| Failure::of_file("looking at the data directory", &volume.data_dir, &error))?;
    let Some(file) = file else { return Ok(true) };
    let port =
        Some(file).filter(|file| file.status.is_some_and(|status| status != pidfile::Status::Starting));
    let port = port.and_then(|file| file.port);
    Ok(port.is_some_and(|port| is_left(&socket_path(&volume.data_dir, port))))
}
