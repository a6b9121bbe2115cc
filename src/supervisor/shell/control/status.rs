//! How it stands: what the core says, and what the shell knows beside it.

use crate::config::{self, Output, OutputFile};
use crate::control::protocol::{Engine, LastExit, Lock, Status, Supervisor};
use crate::supervisor::core::{self, Id, Kind, Report};
use crate::supervisor::shell::Shell;
use crate::supervisor::shell::history::{Moment, Seen, by_name, code_and_signal, rfc3339};
use crate::supervisor::shell::logger;
use crate::supervisor::shell::program::Program;

/// The journal's name in `log_dir`.
const JOURNAL: &str = "events.jsonl";
/// When it is full, in bytes.
const JOURNAL_SIZE: u64 = 1024 * 1024;
/// How many full ones are kept.
const JOURNAL_KEEP: u32 = 3;

impl Shell {
    /// The status of these programs, which come in their order.
    pub(super) fn statuses(&self, ids: &[Id]) -> Vec<Status> {
        let now = self.now();
        let reports = core::report(&self.state, now).into_iter();
        reports
            .filter(|(id, _)| ids.binary_search(id).is_ok())
            .filter_map(|(id, report)| Some(self.status_of(id, report, self.programs.get(id.0)?)))
            .collect()
    }

    fn status_of(&self, id: Id, report: Report, program: &Program) -> Status {
        let history = self.control.history.borrow();
        let last_exit = report.last_exit.map(|exit| {
            let (code, signal) = code_and_signal(exit.end);
            let at = history.exit_at(id).unwrap_or(self.begun_at.wall);
            LastExit { code, signal, class: exit.class.name().into(), at: rfc3339(at) }
        });
        let engine = program.engine();
        Status {
            name: report.name,
            kind: kind(report.kind).into(),
            state: report.state.into(),
            reason: report.reason.map(Into::into),
            pid: program.main.as_ref().map(|main| main.pid),
            since: rfc3339(history.since(id).unwrap_or(self.begun_at.wall)),
            restarts: report.restarts,
            failures: report.failures,
            last_exit,
            ready: report.ready,
            adopted: report.adopted,
            standby: report.standby,
            lock: engine
                .filter(|_| report.locked)
                .map(|engine| Lock { file: engine.lock_file.display().to_string(), ..Lock::default() }),
            starts_in: report.starts_in.map(|time| time.as_secs_f64()),
            ends: by_name(&report.ends),
            downtime: history.downtime(id, self.now()),
            start_seconds: report.start_took.map(|time| time.as_secs_f64()),
            stop_seconds: report.stop_took.map(|time| time.as_secs_f64()),
            dropped_lines: program.outlet.dropped(),
            engine: engine.map(|engine| engine_of(engine, program)),
            output_file: match &program.config.output {
                Output::File(file) => Some(file.file.display().to_string()),
                Output::Inherit | Output::Prefix | Output::Json => None,
            },
        }
    }

    pub(super) fn supervisor(&self) -> Supervisor {
        Supervisor {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            since: rfc3339(self.begun_at.wall),
            shutting_down: self.state.shutdown.is_some(),
            orphans_reaped: self.orphans_reaped,
            dropped_lines: self.stdout.dropped(),
            journal: Some(self.journal().file.display().to_string()),
        }
    }

    /// The file of the events.
    fn journal(&self) -> OutputFile {
        OutputFile { file: self.supervisor.log_dir.join(JOURNAL), size: JOURNAL_SIZE, keep: JOURNAL_KEEP }
    }

    /// Hands the events that wait to the writer.
    pub(in crate::supervisor::shell) fn write_journal(&mut self) {
        let (lines, lost) = self.control.history.borrow_mut().take_waiting();
        let journal = self.journal();
        for some in lines {
            self.append(&journal, &some);
        }
        if lost > 0 {
            log::warn!(target: logger::SELF, "{lost} events are not in the journal: there were too many at once");
        }
    }

    /// Both clocks.
    pub(in crate::supervisor::shell) fn moment(&self) -> Moment {
        Moment::at(self.now())
    }

    /// Something that happened to PID 1 itself.
    pub(in crate::supervisor::shell) fn remember(&self, text: String) {
        self.control.history.borrow_mut().note(self.moment(), None, "supervisor", text);
    }

    /// Has the history see what has changed in this turn.
    pub(in crate::supervisor::shell) fn observe(&self) {
        let mut history = self.control.history.borrow_mut();
        for (place, known) in self.state.programs.iter().enumerate() {
            let id = Id(place);
            let Some(glance) = core::glance(&self.state, self.state.now, id) else { continue };
            let main = self.programs.get(place).and_then(|program| program.main.as_ref());
            let seen = Seen { glance, pid: main.map(|main| main.pid), last_exit: known.last_exit };
            history.observe(|| self.moment(), id, &known.spec.name, seen);
        }
        if let Some(shutdown) = &self.state.shutdown {
            history.ending(
                || self.moment(),
                || match &shutdown.gave_up {
                    Some(gave_up) => format!("program {}: {}", self.name(gave_up.id), gave_up.text),
                    None => "asked to stop: programs end in order".into(),
                },
            );
        }
    }
}

/// The kind as the configuration names it.
fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Engine => "postgres",
        Kind::Command => "command",
        Kind::Oneshot => "oneshot",
    }
}

fn engine_of(engine: &config::Postgres, program: &Program) -> Engine {
    Engine {
        data_dir: engine.data_dir.display().to_string(),
        lock_file: engine.lock_file.display().to_string(),
        log_link: engine.log_link.display().to_string(),
        socket_dir: engine.socket_dir.iter().map(|folder| folder.display().to_string()).collect(),
        port: engine.port,
        user: program.user.name.clone().or_else(|| Some(program.user.uid.to_string())),
    }
}
