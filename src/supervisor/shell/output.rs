//! Where the output of programs goes.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;

use tokio::task::{JoinHandle, spawn_local};

use super::Shell;
use super::capture::{Capture, Form};
use super::lines::Lines;
use super::logger;
use crate::config::{self, Kind};
use crate::control::protocol::Line;
use crate::supervisor::core::Id;

/// How many pipes of one program are read at once: that of its run, and those that processes of earlier runs still have
/// open.
const PIPES: usize = 8;

/// The output of one program, over all its runs.
#[derive(Debug, Default)]
pub(crate) struct Outlet {
    lines: Lines,
    readers: VecDeque<JoinHandle<()>>,
}

impl Outlet {
    /// The last lines: so many, or all that are kept. Of what goes into a file only the last ones of each run.
    pub(crate) fn lines(&self, last: Option<usize>) -> Vec<Line> {
        self.lines.last(last)
    }

    /// Every further line.
    pub(crate) fn follow(&self) -> tokio::sync::mpsc::Receiver<Line> {
        self.lines.follow()
    }

    /// How many lines were dropped because nobody took them.
    pub(crate) fn dropped(&self) -> u64 {
        self.lines.dropped()
    }

    /// Reads a pipe until the last process that has it open has gone; whether one of an earlier run was given up.
    fn read(&mut self, capture: Capture) -> bool {
        self.readers.retain(|reader| !reader.is_finished());
        self.readers.push_back(spawn_local(capture.pump_all()));
        let surplus = if self.readers.len() > PIPES { self.readers.pop_front() } else { None };
        surplus.inspect(JoinHandle::abort).is_some()
    }
}

impl Shell {
    /// What the next run of a program writes to (`None`: our own output), and what we see of it.
    ///
    /// # Errors
    /// No descriptor left.
    pub(super) fn open_output(&mut self, id: Id) -> io::Result<(Option<Capture>, Option<OwnedFd>)> {
        let Some(program) = self.programs.get_mut(id.0) else { return Err(io::ErrorKind::NotFound.into()) };
        let name = program.config.name.clone();
        let form = match &program.config.output {
            config::Output::Inherit if !matches!(program.config.kind, Kind::Postgres(_)) => {
                return Ok((None, None));
            }
            config::Output::Inherit => Form::Plain,
            config::Output::Prefix => Form::Prefix(name),
            config::Output::Json => Form::Json(name),
            config::Output::File(file) => {
                let (lines, file) = (program.outlet.lines.clone(), file.clone());
                return Ok((None, Some(self.writer.pipe(&name, lines, file)?)));
            }
        };
        let capture = Capture::new(self.stdout.clone(), form, program.outlet.lines.clone())?;
        Ok((Some(capture.0), Some(capture.1)))
    }

    /// The same for a small child that works for a program.
    pub(super) fn open_errand_output(&mut self, id: Id) -> io::Result<(Capture, OwnedFd)> {
        let Some(program) = self.programs.get(id.0) else { return Err(io::ErrorKind::NotFound.into()) };
        let name = program.config.name.clone();
        let form = match &program.config.output {
            config::Output::Inherit | config::Output::File(_) => Form::Plain,
            config::Output::Prefix => Form::Prefix(name),
            config::Output::Json => Form::Json(name),
        };
        Capture::new(self.stdout.clone(), form, program.outlet.lines.clone())
    }

    /// Reads what a program's run writes.
    pub(super) fn read_output(&mut self, id: Id, capture: Capture) {
        let Some(program) = self.programs.get_mut(id.0) else { return };
        if program.outlet.read(capture) {
            log::warn!(
                target: &program.config.name,
                "processes of more than {PIPES} runs still have its output open: that of the oldest is read no further"
            );
        }
    }

    /// Appends a line to a file, by the writer; `line` has no newline.
    pub(super) fn append(&mut self, to: &config::OutputFile, line: &str) {
        self.writer.append(to, line);
    }

    /// SIGUSR2: files that somebody has moved are opened again.
    pub(super) fn reopen_files(&mut self) {
        if self.writer.reopen() {
            log::info!(target: logger::SELF, "log files are opened again");
        } else {
            log::info!(target: logger::SELF, "no log file of ours is open: nothing to reopen");
        }
    }
}
