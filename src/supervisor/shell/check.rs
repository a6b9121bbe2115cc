//! The processes of checks: made and reaped here, like all others.

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::sync::oneshot;

use super::Shell;
use super::probe::{Ask, Child, Found, Job, Running};
use super::program::Role;
use super::spawn::{Group, Launch, NotMade, Stdin, in_words, spawn};
use crate::supervisor::core::{End, Id};
use crate::supervisor::prepare::protocol::{Errand, Report, Verdict};

impl Shell {
    /// Makes the process that a check needs, unless the run that it is about has ended meanwhile.
    pub(super) fn start_check(&mut self, ask: Ask) {
        let Ask { id, run, job, started } = ask;
        let main = self.programs.get(id.0).and_then(|program| program.main.as_ref());
        if main.is_none_or(|main| main.run != run) {
            return;
        }
        let made = match job {
            Job::Command(command) => self.launch_check(id, &command).map(|pid| (pid, None)),
            Job::Knock => self.launch_errand(id, Errand::Knock).map(|(pid, reports)| (pid, Some(reports))),
        };
        let (pid, reports) = match made {
            Ok(made) => made,
            Err(error) => {
                let _ = started.send(Err(in_words(&error)));
                return;
            }
        };
        let (found, answer) = oneshot::channel();
        self.processes.insert(pid, Role::Check(id));
        self.checks.insert(pid, Running { found, reports });
        // Where nobody takes it, it ends with the word.
        let _ = started.send(Ok((Child::new(pid, self.tell.clone()), answer)));
    }

    fn launch_check(&mut self, id: Id, argv: &[String]) -> std::io::Result<i32> {
        let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
        let program = self.programs.get(id.0).ok_or_else(missing)?;
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let nowhere = rustix::fs::open("/dev/null", flags, Mode::empty())?;
        let launched = spawn(Launch {
            argv,
            environment: Some(program.environment()),
            user: program.drops.then_some(&program.user),
            process: Some(&program.config.process),
            stdin: Stdin::Null,
            output: Some(nowhere),
            descriptors: Vec::new(),
            mask: self.signals.inherited_mask(),
            group: Group::Session,
            working_dir: program.config.kind.command().map(|command| command.working_dir.as_path()),
            lenient: false,
        });
        launched.map(|launched| launched.pid.as_raw()).map_err(NotMade::into)
    }

    /// A check's process was reaped: who waits for it learns what it found.
    pub(super) fn check_ended(&mut self, pid: i32, end: End) {
        let Some(Running { found, reports }) = self.checks.remove(&pid) else { return };
        // What it has left in the background would come to be as many as there are checks.
        if let Some(group) = Pid::from_raw(pid) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = found.send(match reports {
            None if end == End::Code(0) => Ok(()),
            None => Err(end.to_string()),
            Some(reports) => verdict(reports.take().into_iter().map(|(report, _)| report))
                .unwrap_or_else(|| Err(format!("the child that looks ended without a verdict ({end})"))),
        });
    }
}

fn verdict(reports: impl Iterator<Item = Report>) -> Option<Found> {
    reports
        .filter_map(|report| match report {
            Report::Verdict(Verdict::Done) => Some(Ok(())),
            Report::Verdict(
                Verdict::Failed { cause, .. } | Verdict::Refused { cause, .. } | Verdict::Wait { cause },
            ) => Some(Err(cause)),
            _ => None,
        })
        .last()
}
