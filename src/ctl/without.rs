//! Start, stop and restart without a supervisor in reach: where one keeps the data directory it goes by the lock file,
//! and where none does this process starts and stops the engine itself.

use std::time::{Duration, Instant};

use super::alone::Lonely;
use super::by_volume;
use super::cli::{StopMode, WaitArgs};
use super::failure::Failure;
use super::keeper::{self, Keeper};
use super::lock::say;
use super::lock_file::Found;
use super::place::{Place, Volume};
use super::screen::Screen;

/// How soon a supervisor takes the directory once a lock is gone: it looks every 5 s where nobody tells it (`lock_poll`).
const COMES: Duration = Duration::from_secs(7);
/// How often it is looked meanwhile.
const POLL: Duration = Duration::from_millis(20);

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// `start`.
    Start,
    /// `stop`, and how the engine is asked to end at first.
    Stop(Option<StopMode>),
    /// `restart`, the same.
    Restart(Option<StopMode>),
}

/// What is done to what, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) place: &'a Place,
    pub(crate) screen: Screen,
    pub(crate) change: Change,
    pub(crate) wait: &'a WaitArgs,
    pub(crate) dry_run: bool,
}

impl Call<'_> {
    /// Does it, or says what would be done; `why` no supervisor is in reach, where one was asked for.
    ///
    /// # Errors
    /// It was not done.
    pub(crate) fn run(self, volumes: &[Volume], why: Option<&str>) -> Result<(), Failure> {
        let (mut kept, mut unkept) = (Vec::new(), Vec::new());
        for volume in volumes {
            match keeper::of(volume)? {
                Keeper::Absent => unkept.push(volume.clone()),
                Keeper::There => kept.push(volume.clone()),
                Keeper::Unknown(reason) => {
                    self.screen.note(&format!(
                        "whether a supervisor keeps {} cannot be told: {reason}; so it goes by the lock file alone, and no \
                         engine is started from here",
                        volume.title()
                    ));
                    kept.push(volume.clone());
                }
            }
        }
        if self.dry_run {
            let mut steps = self.by_file(&kept)?;
            for volume in &unkept {
                steps.extend(self.by_itself(volume)?);
            }
            return say(self.screen, &steps);
        }
        if !kept.is_empty() {
            by_volume::say_so(self.screen, why);
            self.change_by_file(&kept)?;
        }
        for volume in &unkept {
            if self.change == Change::Start && self.unlocked(volume)? {
                continue;
            }
            let lonely = self.lonely(volume)?;
            let _turn = lonely.turn()?;
            // One may have come while another operation had its turn.
            match keeper::of(volume)? {
                Keeper::Absent => self.change_itself(volume, lonely)?,
                Keeper::There | Keeper::Unknown(_) => self.change_by_file(std::slice::from_ref(volume))?,
            }
        }
        by_volume::show(self.screen, volumes)
    }

    /// One that has found a lock at its own start keeps nothing yet: it takes the directory as soon as it notices that the
    /// lock is gone. Whether the engine is in its hands.
    fn unlocked(self, volume: &Volume) -> Result<bool, Failure> {
        if !by_volume::unlocked_by_start(volume)? {
            return Ok(false);
        }
        if self.wait.no_wait {
            return Ok(true);
        }
        let begin = Instant::now();
        while keeper::of(volume)? == Keeper::Absent {
            if begin.elapsed() > COMES.min(self.wait.timeout) {
                return Ok(false);
            }
            std::thread::sleep(POLL);
        }
        by_volume::wait_up(self.screen, std::slice::from_ref(volume), self.wait)?;
        Ok(true)
    }

    fn change_by_file(self, volumes: &[Volume]) -> Result<(), Failure> {
        if matches!(self.change, Change::Stop(Some(_)) | Change::Restart(Some(_))) {
            self.screen.note(
                "--mode has no effect by the lock file: the supervisor asks the engine by its stop_mode",
            );
        }
        match self.change {
            Change::Start => by_volume::start(self.screen, volumes, self.wait),
            Change::Stop(_) => by_volume::stop(self.screen, volumes, self.wait),
            Change::Restart(_) => by_volume::restart(self.screen, volumes, self.wait),
        }
    }

    fn lonely<'a>(&'a self, volume: &'a Volume) -> Result<Lonely<'a>, Failure> {
        let verb = match self.change {
            Change::Start => "start",
            Change::Stop(_) => "stop",
            Change::Restart(_) => "restart",
        };
        Lonely::new(self.place, self.screen, volume, self.wait, verb)
    }

    fn change_itself(self, volume: &Volume, lonely: Lonely<'_>) -> Result<(), Failure> {
        match self.change {
            Change::Start => lonely.start(),
            Change::Stop(mode) => {
                lonely.stop(mode)?;
                self.screen.note(&format!(
                    "no supervisor keeps {}: one that comes starts it, unless polarctl lock holds it down",
                    volume.title()
                ));
                Ok(())
            }
            Change::Restart(mode) => {
                lonely.unlocked()?;
                lonely.stop(mode)?;
                self.lonely(volume)?.start()
            }
        }
    }

    /// What would be done by this process.
    fn by_itself(self, volume: &Volume) -> Result<Vec<String>, Failure> {
        let lonely = self.lonely(volume)?;
        Ok(match self.change {
            Change::Start => match by_volume::would_unlock(volume)? {
                Some(step) => vec![step],
                None => lonely.would_start()?.into_iter().collect(),
            },
            Change::Stop(_) => lonely.would_stop()?.into_iter().collect(),
            Change::Restart(_) => {
                lonely.unlocked()?;
                let started = format!("start the engine of {}", volume.data_dir.display());
                lonely.would_stop()?.into_iter().chain([started]).collect()
            }
        })
    }

    /// What would be done by the lock file.
    fn by_file(self, volumes: &[Volume]) -> Result<Vec<String>, Failure> {
        let mut steps = Vec::new();
        for volume in volumes {
            let (file, name) = (volume.lock_file.display(), volume.title());
            let locked = by_volume::look(volume)? != Found::Absent;
            match self.change {
                Change::Start => steps.extend(by_volume::would_unlock(volume)?),
                Change::Stop(_) if !locked => {
                    steps.push(format!("make {file}, by which {name} stops and stays down"));
                }
                Change::Stop(_) => {}
                Change::Restart(_) => steps.push(format!("make {file} until {name} is down, then remove it")),
            }
        }
        Ok(steps)
    }
}
