//! What comes from tasks and from the watch thread, and what becomes of it.

use super::Shell;
use super::control::Asked;
use super::probe::Ask;
use super::program::Note;
use super::watch::Seen;
use crate::supervisor::core::{Event, Id, Phase, Run};
use crate::supervisor::prepare::protocol::{Memo, Report};

/// What comes from tasks and from the watch thread.
#[derive(Debug)]
pub(super) enum Input {
    Seen(Seen),
    /// The prepare child has said something.
    Reported(Id, Run),
    /// An adopted process has ended.
    Gone(Id, Run),
    /// What was learnt about an engine's executables.
    Learnt(Id, Memo),
    /// A client of the control socket asks for something.
    Asked(Asked),
    /// Events wait for the journal.
    Journal,
    /// A command is ready.
    Ready(Id, Run),
    /// A check needs a process.
    Check(Ask),
    /// Nobody waits for this check's process any more.
    EndCheck(i32),
    /// A program has failed its `live` checks, and why.
    Unwell(Id, Run, String),
    /// An engine's log files are to be followed again.
    Follow(Id),
    /// The writer of log files is to be looked after.
    Writer,
}

impl From<Seen> for Input {
    fn from(seen: Seen) -> Self {
        Input::Seen(seen)
    }
}

impl Shell {
    pub(super) fn take_input(&mut self, input: Input) {
        match input {
            Input::Seen(Seen::Lock(id, lock)) => self.events.push_back(Event::Lock(id, lock)),
            Input::Seen(Seen::PidFile(id, pid)) => {
                let ours =
                    self.programs.get(id.0).and_then(|program| program.main.as_ref()).map(|main| main.pid);
                self.events.push_back(Event::PidFile(id, pid.is_some() && pid != ours));
                if let Some((theirs, ours)) = pid.zip(ours).filter(|(theirs, ours)| theirs != ours) {
                    self.see_usurper(id, theirs, ours);
                }
            }
            Input::Seen(Seen::Ready(id, run)) | Input::Ready(id, run) => self.is_ready(id, run),
            Input::Seen(Seen::Standby(id, run, standby)) => {
                self.events.push_back(Event::Standby(id, run, standby));
            }
            Input::Seen(Seen::Note(id, text)) => log::warn!(target: self.name(id), "{text}"),
            Input::Reported(id, run) => self.take_reports(id, run),
            Input::Learnt(id, memo) => self.learnt(id, memo),
            Input::Check(ask) => self.start_check(ask),
            Input::EndCheck(pid) => self.end_check(pid),
            Input::Unwell(id, run, why) => self.events.push_back(Event::Unwell(id, run, why)),
            Input::Follow(id) => self.follow_again(id),
            Input::Writer => self.see_to_writer(),
            Input::Asked(asked) => self.control.take(asked),
            Input::Journal => self.write_journal(),
            Input::Gone(id, run) => {
                // If it had been given to us as an orphan, its status is here.
                self.reap();
                self.adopted_gone(id, run);
            }
        }
    }

    pub(super) fn take_reports(&mut self, id: Id, run: Run) {
        let Some(program) = self.programs.get_mut(id.0) else { return };
        let name = program.config.name.clone();
        let Some(errand) = program.errand.as_mut().filter(|errand| errand.run == run) else { return };
        let mut notes = Vec::new();
        for (report, descriptor) in errand.reports.take() {
            match report {
                // Without it nothing may start: a lock that nobody holds keeps nobody out.
                Report::Keeper => program.keeper = descriptor,
                Report::Initializing => self.events.push_back(Event::Initializing(id, run)),
                Report::Note { warning, about, text } => {
                    let level = if warning { log::Level::Warn } else { log::Level::Info };
                    log::log!(target: &name, level, "{text}");
                    notes.push(Note { warning, about, text });
                }
                Report::Verdict(verdict) => errand.verdict = Some(verdict),
            }
        }
        notes.into_iter().for_each(|note| program.remember(note));
    }

    /// The pid file names another process than the engine that serves: two postmasters are on the same data. PostgreSQL
    /// looks after its pid file once a minute, and ends itself; until the other one has done so too, none is started.
    fn see_usurper(&mut self, id: Id, theirs: i32, ours: i32) {
        let up = self.state.program(id).is_some_and(|program| matches!(program.phase, Phase::Up { .. }));
        // Before it is ready the file may still be the one that a dead postmaster left.
        let Some(program) = self.programs.get_mut(id.0).filter(|_| up) else { return };
        program.usurped = true;
        log::error!(
            target: &program.config.name,
            "TWO SERVERS ON ONE DATA DIRECTORY: {} names process {theirs}, and process {ours} serves. Somebody has \
             started another one without a supervisor, perhaps in another container: stop it at once, it destroys the data",
            program.engine().map(|engine| engine.data_dir.join("postmaster.pid")).unwrap_or_default().display()
        );
    }
}
