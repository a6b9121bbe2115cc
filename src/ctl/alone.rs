//! Start and stop of an engine that no supervisor keeps.
//!
//! `start` is the keeper of the data directory until the engine has its pid file: it takes the lock that a supervisor would
//! hold, has the same child prove that no postmaster lives there, and starts the engine as the owner of the data
//! directory. A supervisor that comes later adopts the engine. `stop` leaves no lock file behind.

use std::fs::OpenOptions;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::by_volume::{look, shown};
use super::cli::{StopMode, WaitArgs};
use super::failure::{Exit, Failure};
use super::instance::of_cause;
use super::lock_file::{self, Found};
use super::place::{Place, Volume};
use super::screen::{Screen, harmless};
use super::volume::Shown;
use super::wait::{Look, until_done};
use crate::manager::{Site, turn, user};
use crate::supervisor::alone::{Alone, Postmaster, lives};
use crate::supervisor::core::{Ladder, Rung, rung};
use crate::supervisor::prepare::protocol::{Errand, Start, Verdict};

/// What the engine writes before its own log takes over.
const OUTPUT: &str = "polarctl_start.log";
/// How long a process may be about to end.
const ENDING: Duration = Duration::from_secs(1);
/// How soon it is asked again.
const AGAIN: Duration = Duration::from_millis(50);
/// So much of its end is told, in bytes.
const TAIL: u64 = 2000;

/// One engine, and how it is called.
pub(crate) struct Lonely<'a> {
    screen: Screen,
    volume: &'a Volume,
    wait: &'a WaitArgs,
    tried: String,
    site: Site,
    alone: Alone,
    until: Instant,
}

impl<'a> Lonely<'a> {
    /// The engine of this volume; `verb` is what is to be done.
    ///
    /// # Errors
    /// It is not this user's to start and stop, or nobody's.
    pub(crate) fn new(
        place: &Place,
        screen: Screen,
        volume: &'a Volume,
        wait: &'a WaitArgs,
        verb: &str,
    ) -> Result<Self, Failure> {
        let tried = format!("{verb} of {}", volume.title());
        let mut site = place.site(volume.clone());
        site.patience.turn = wait.timeout;
        let owner = site.owner().map_err(|cause| of_cause(&tried, &cause))?;
        let own = nix::unistd::geteuid();
        let (name, data_dir) = (user::name_of(owner.0), volume.data_dir.display());
        if owner.0 == 0 {
            let text = format!(
                "{tried}: {data_dir} belongs to root, and an engine never runs as root; give it to the engine's user"
            );
            return Err(Failure::failed("owner", text));
        }
        if !own.is_root() && own.as_raw() != owner.0 {
            let text = format!(
                "{tried}: {data_dir} belongs to {name}; do it as root or as {name} (in a container: docker exec -u root)"
            );
            return Err(Failure::new(Exit::NotPermitted, "not_permitted", text));
        }
        let (config, run_dir) = place.engine(volume)?;
        let alone = Alone::new(config, owner, &run_dir)
            .map_err(|no_user| Failure::failed("owner", format!("{tried}: {no_user}")))?;
        // A time that no clock can tell is no limit.
        let until = Instant::now().checked_add(wait.timeout);
        let until = until.unwrap_or_else(|| Instant::now() + Duration::from_secs(1 << 30));
        Ok(Lonely { screen, volume, wait, tried, site, alone, until })
    }

    /// The turn of this process; without a database there is none to take.
    ///
    /// # Errors
    /// There is no database, or another operation did not end in time.
    pub(crate) fn turn(&self) -> Result<turn::Turn, Failure> {
        let who = format!("{} by {} (process {})", self.tried, user::own(), std::process::id());
        turn::take(&self.site, &who, &mut |who| self.screen.note(&format!("waits for {who}")))
            .map_err(|cause| of_cause(&self.tried, &cause))
    }

    /// Refuses where a lock file is.
    ///
    /// # Errors
    /// One is there.
    pub(crate) fn unlocked(&self) -> Result<(), Failure> {
        match look(self.volume)? {
            Found::Absent => Ok(()),
            Found::Present(lock) => {
                let text = format!(
                    "{}: {} is there, {}; it holds the engine down: polarctl unlock --no-wait, then start it",
                    self.tried,
                    lock.file,
                    lock_file::in_words(&lock)
                );
                Err(Failure::failed("locked", text))
            }
        }
    }

    fn left(&self) -> WaitArgs {
        WaitArgs { timeout: self.until.saturating_duration_since(Instant::now()), ..self.wait.clone() }
    }

    fn ask(&mut self, errand: Errand) -> Result<Verdict, Failure> {
        let mut last = String::new();
        let screen = self.screen;
        let asked = self.alone.ask(errand, self.until, &mut |text| {
            text.clone_into(&mut last);
            screen.note(text);
        });
        match asked.map_err(|error| Failure::failed("prepare", format!("{}: {error}", self.tried)))? {
            Some(verdict) => Ok(verdict),
            None => {
                let text = format!(
                    "{}: after {} s it is not proved that nothing lives there; nothing was changed (longer: --timeout 5m). \
                     {last}",
                    self.tried,
                    self.wait.timeout.as_secs_f32()
                );
                Err(Failure::new(Exit::TimedOut, "timed_out", text))
            }
        }
    }

    /// Asks again for a moment where nothing is proved: of a process that is about to end nothing can be read.
    fn settled(&mut self, errand: &Errand) -> Result<Verdict, Failure> {
        let end = Instant::now() + ENDING;
        loop {
            match self.ask(errand.clone())? {
                Verdict::Wait { .. } if Instant::now() < end => std::thread::sleep(AGAIN),
                verdict => return Ok(verdict),
            }
        }
    }

    fn not_done(&self, verdict: Verdict) -> Failure {
        match verdict {
            Verdict::Locked => self.unlocked().err().unwrap_or_else(|| {
                Failure::failed("locked", format!("{}: a lock file came; try again", self.tried))
            }),
            Verdict::Wait { cause } => Failure::failed(
                "not_proved",
                format!(
                    "{}: {cause}; where the engine runs in another container it is stopped there, and polarctl lock holds it \
                     down from its next supervisor on",
                    self.tried
                ),
            ),
            Verdict::Refused { cause, remedy } | Verdict::Failed { cause, remedy } => {
                Failure::failed("refused", format!("{}: {cause}; {remedy}", self.tried))
            }
            other => Failure::failed(
                "prepare",
                format!("{}: an answer that nobody expected: {other:?}", self.tried),
            ),
        }
    }

    /// What `start` would do.
    ///
    /// # Errors
    /// Why it would not be done.
    pub(crate) fn would_start(mut self) -> Result<Option<String>, Failure> {
        self.unlocked()?;
        match self.settled(&Errand::Find)? {
            Verdict::Adopt { .. } => Ok(None),
            Verdict::Done => Ok(Some(format!(
                "start the engine of {} as {}",
                self.volume.data_dir.display(),
                self.alone.user()
            ))),
            other => Err(self.not_done(other)),
        }
    }

    /// What `stop` would do.
    ///
    /// # Errors
    /// Why it would not be done.
    pub(crate) fn would_stop(mut self) -> Result<Option<String>, Failure> {
        match self.settled(&Errand::Find)? {
            Verdict::Adopt { pid, .. } => {
                Ok(Some(format!("stop the engine of {}, process {pid}", self.volume.data_dir.display())))
            }
            Verdict::Done => Ok(None),
            other => Err(self.not_done(other)),
        }
    }

    /// `start`.
    ///
    /// # Errors
    /// Why it was not done.
    pub(crate) fn start(mut self) -> Result<(), Failure> {
        self.unlocked()?;
        match self.settled(&Errand::PrepareAlone)? {
            Verdict::Start(start) => self.launch(&start),
            Verdict::Adopt { pid, start_ticks } => self.running((pid, start_ticks)),
            other => Err(self.not_done(other)),
        }
    }

    /// It runs: it is waited for.
    fn running(mut self, process: (i32, u64)) -> Result<(), Failure> {
        self.alone.release();
        if self.wait.no_wait {
            return Ok(());
        }
        until_done(self.screen, &self.left(), &self.tried, || {
            Ok(match shown(self.volume)? {
                Shown::Ready(_) => Look::Done,
                _ if !lives(process) => Look::Hopeless(format!("process {} has ended; try again", process.0)),
                Shown::Busy(pid, why) => Look::Waiting(format!("process {pid} does not serve: {why}")),
                Shown::Down => Look::Waiting("it is on its way down".to_owned()),
            })
        })
    }

    fn launch(mut self, start: &Start) -> Result<(), Failure> {
        let of_start = |error: io::Error| Failure::failed("start", format!("{}: {error}", self.tried));
        let output = self.output().map_err(of_start)?;
        let postmaster = self.alone.launch(start, output).map_err(of_start)?;
        // So that a supervisor of this container knows its file should it be dead by then.
        let record = Errand::Record { postmaster: postmaster.pid(), stale: start.stale_pid_file };
        self.ask(record)?;
        // From here on its own file keeps others away, and a supervisor that comes adopts it, however long it recovers.
        self.alone.release();
        if self.wait.no_wait {
            self.say_alone();
            return Ok(());
        }
        let (pid, mut ended) = (postmaster.pid(), None);
        until_done(self.screen, &self.left(), &self.tried, || {
            if let Some(how) = postmaster.ended() {
                ended = Some(how);
                return Ok(Look::Hopeless(String::new()));
            }
            Ok(match shown(self.volume)? {
                Shown::Ready(ready) if ready == pid => Look::Done,
                Shown::Busy(_, why) => Look::Waiting(format!("process {pid} does not serve: {why}")),
                Shown::Down | Shown::Ready(_) => {
                    Look::Waiting(format!("process {pid} has made no postmaster.pid"))
                }
            })
        })
        .map_err(|failure| match &ended {
            Some(how) => self.has_ended(postmaster, how),
            None => failure,
        })?;
        self.say_alone();
        Ok(())
    }

    fn say_alone(&self) {
        self.screen.note(&format!(
            "no supervisor keeps {}: it ends with this container, and nobody starts it again; its first words are in {}",
            self.volume.title(),
            self.output_path().display()
        ));
    }

    fn has_ended(&self, postmaster: Postmaster, how: &str) -> Failure {
        let words = self.last_words();
        let text = format!(
            "{}: process {} ended {how} before it was ready; mend what it says and try again:\n{words}",
            self.tried,
            postmaster.pid()
        );
        Failure::failed("not_done", text.trim_end())
    }

    fn output_path(&self) -> PathBuf {
        self.volume.data_dir.join(OUTPUT)
    }

    /// Where it writes until its own log takes over: a pipe would have no reader, and fail the commands that it runs.
    fn output(&self) -> io::Result<OwnedFd> {
        let path = self.output_path();
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600).custom_flags(flags());
        let opened = self.site.as_owner(|| {
            let file = options.open(&path)?;
            file.set_len(0)?;
            Ok::<_, io::Error>(file)
        });
        match opened.map_err(|cause| io::Error::other(cause.to_string()))? {
            Ok(file) => Ok(file.into()),
            // A full disk, say.
            Err(error) => {
                self.screen.note(&format!("{}: {error}; what the engine says first is lost", path.display()));
                Ok(OpenOptions::new().write(true).open("/dev/null")?.into())
            }
        }
    }

    fn last_words(&self) -> String {
        let read = || {
            let mut file = OpenOptions::new().read(true).custom_flags(flags()).open(self.output_path())?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
            let mut bytes = Vec::new();
            file.take(TAIL).read_to_end(&mut bytes)?;
            Ok::<_, io::Error>(String::from_utf8_lossy(&bytes).into_owned())
        };
        let text = self.site.as_owner(read).ok().and_then(Result::ok).unwrap_or_default();
        text.lines().map(harmless).collect::<Vec<_>>().join("\n")
    }

    /// `stop`: at `mode` first, harder as the time runs out, and never with SIGKILL.
    ///
    /// # Errors
    /// Why it was not done.
    pub(crate) fn stop(mut self, mode: Option<StopMode>) -> Result<(), Failure> {
        let found = self.settled(&Errand::Find)?;
        self.alone.release();
        let process = match found {
            Verdict::Adopt { pid, start_ticks } => (pid, start_ticks),
            Verdict::Done => return Ok(()),
            other => return Err(self.not_done(other)),
        };
        let first = match mode {
            Some(StopMode::Smart) => Rung::Smart,
            Some(StopMode::Immediate) => Rung::Immediate,
            Some(StopMode::Fast) | None => Rung::Fast,
        };
        let ladder = Ladder { first, immediate: true, budget: self.wait.timeout };
        let begin = Instant::now();
        let (left, mut sent) = (self.left(), None);
        let (screen, tried, no_wait) = (self.screen, self.tried.clone(), self.wait.no_wait);
        until_done(screen, &left, &tried, || {
            if !lives(process) {
                return Ok(Look::Done);
            }
            let rung = rung(&ladder, begin.elapsed()).min(Rung::Immediate);
            if sent != Some(rung) {
                let (word, signal) = match rung {
                    Rung::Smart => ("smart", Signal::TERM),
                    Rung::Fast => ("fast", Signal::INT),
                    Rung::Immediate | Rung::Kill => ("immediate", Signal::QUIT),
                };
                if sent.is_some() {
                    screen
                        .note(&format!("process {} is still there: it is stopped by mode {word}", process.0));
                }
                sent = Some(rung);
                self.alone
                    .signal(process, signal)
                    .map_err(|error| Failure::failed("signal", format!("{tried}: {error}")))?;
            }
            Ok(if no_wait {
                Look::Done
            } else {
                Look::Waiting(format!("process {} is still there", process.0))
            })
        })
    }
}

/// Neither a link nor a pipe in its place is followed or waited for.
fn flags() -> i32 {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    i32::try_from(flags.bits()).unwrap_or_default()
}
