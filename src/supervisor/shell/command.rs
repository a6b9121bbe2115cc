//! Starting commands and one-shots, and when they count as ready.

use std::rc::Rc;

use rustix::io::Errno;
use tokio::task::spawn_local;

use super::capture::Capture;
use super::news::Pending;
use super::notify::{self, Line, Socket};
use super::probe::{self, Prober};
use super::program::{Main, Role, Task};
use super::spawn::{Group, Launch, Launched, NotMade, Stdin, Step, begin, in_words};
use super::{Input, Shell, logger, memory};
use crate::config::{Check, Kind};
use crate::supervisor::core::{Class, End, Event, Id, Phase, Run, What};
use crate::supervisor::procfs;

/// The shell's statuses for a command that could not be run.
const NOT_FOUND: i32 = 127;
const NOT_EXECUTABLE: i32 = 126;

/// The program of `[serve]`, where no folder is named.
const POLARCTL: &str = "polarctl";

/// So many commands are on their way to their programs at once; each holds a descriptor of ours meanwhile.
const AT_ONCE: usize = 16;

/// A command that is on its way to its program.
#[derive(Debug)]
pub(super) struct Starting {
    id: Id,
    run: Run,
    pending: Pending,
    word: Word,
    capture: Option<Capture>,
    memory_kills: Option<u64>,
}

/// How a command tells that it is ready, where it tells by itself.
#[derive(Debug)]
enum Word {
    None,
    Socket(Socket),
    Line(Line),
}

/// The program of this name in the folder of our own executable, if there is one: it is of our own version, whatever
/// else is in `PATH`.
fn beside_ourselves(name: &str) -> Option<String> {
    let place = std::env::current_exe().ok()?.parent()?.join(name);
    place.is_file().then(|| place.to_str().map(str::to_owned))?
}

impl Shell {
    /// Begins to start a command. Many are started together, and each waits for its turn of a processor:
    /// [`Shell::finish_starts`] waits for all of them.
    pub(super) fn start_command(&mut self, id: Id, run: Run) {
        let begun = match self.begin_command(id, run) {
            // Those that are under way hold descriptors.
            Err(not_made) if no_room(&not_made) && !self.starting.is_empty() => {
                self.finish_starts();
                self.begin_command(id, run)
            }
            begun => begun,
        };
        match begun {
            Ok(begun) => self.starting.push_back(begun),
            Err(not_made) => self.not_started(id, run, &not_made),
        }
        if self.starting.len() >= AT_ONCE {
            self.finish_start();
        }
    }

    /// Waits until all commands that are on their way run their programs, or cannot.
    pub(super) fn finish_starts(&mut self) {
        while !self.starting.is_empty() {
            self.finish_start();
        }
    }

    fn finish_start(&mut self) {
        let Some(Starting { id, run, pending, word, capture, memory_kills }) = self.starting.pop_front()
        else {
            return;
        };
        let launched = match pending.wait() {
            Ok(launched) => launched,
            Err(not_made) => return self.not_started(id, run, &not_made),
        };
        let pid = launched.pid.as_raw();
        if let Some(program) = self.programs.get_mut(id.0) {
            program.main = Some(Main {
                run,
                pid,
                from: 0,
                capture: capture.clone(),
                pidfd: None,
                memory_kills,
                ready: None,
                live: None,
                late: None,
            });
        }
        if let Some(capture) = capture {
            self.read_output(id, capture);
        }
        self.processes.insert(pid, Role::Of(id, run, What::Main));
        for what in &launched.refused {
            log::warn!(target: self.name(id), "the kernel refused {what}; going on without");
        }
        self.say_started(id, run, launched);
        self.await_ready(id, run, word);
    }

    fn not_started(&mut self, id: Id, run: Run, not_made: &NotMade) {
        if no_room(not_made) {
            return self.events.push_back(Event::SpawnFailed(id, run, in_words(&not_made.error)));
        }
        let end = self.say_not_made(id, not_made);
        self.events.push_back(Event::Ended(id, run, end, Class::CannotRun));
    }

    /// Says why a program could not be run; the end that this is.
    pub(super) fn say_not_made(&self, id: Id, not_made: &NotMade) -> End {
        let missing = matches!(
            (not_made.step, not_made.error.kind()),
            (Step::Execute, std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
        );
        let why = self.explain_not_made(id, not_made);
        log::error!(target: self.name(id), "{why}");
        if let Some(program) = self.programs.get(id.0) {
            program.findings.ends(&why);
        }
        End::Code(if missing { NOT_FOUND } else { NOT_EXECUTABLE })
    }

    /// Says that a main process runs its program, as soon as it does. One that is late to that is no more waited for here:
    /// its end, or that of its news, tells what has become of it.
    pub(super) fn say_started(&mut self, id: Id, run: Run, launched: Launched) {
        let (pid, name) = (launched.pid, self.name(id).to_owned());
        let Some(news) = launched.late.map(Rc::new) else {
            return log::info!(target: &name, "started, process {pid}");
        };
        log::warn!(
            target: &name,
            "process {pid} does not come to run its program: the disk of its working directory or of its executable does not \
             answer"
        );
        // The next one may hang likewise.
        logger::flush();
        let Some(program) = self.programs.get_mut(id.0) else { return };
        let ready = matches!(&program.config.kind, Kind::Command(command) if command.ready.is_none());
        let Some(main) = program.main.as_mut() else { return };
        let (tell, heard) = (self.tell.clone(), Rc::clone(&news));
        let task = spawn_local(async move {
            heard.end().await;
            // One that was killed on its way has ended without a word.
            if heard.failure().is_none() && procfs::has_memory(pid.as_raw()) {
                log::info!(target: &name, "started, process {pid}");
                if ready {
                    let _ = tell.send(Input::Ready(id, run));
                }
            }
        });
        main.late = Some((news, Task(task.abort_handle())));
    }

    fn explain_not_made(&self, id: Id, not_made: &NotMade) -> String {
        let program = self.programs.get(id.0);
        let command = program.and_then(|program| program.config.kind.command());
        let path = command.and_then(|command| command.command.first()).map_or("", String::as_str);
        let error = &not_made.error;
        match not_made.step {
            Step::Make => format!("cannot run {path}: {error}"),
            Step::User => format!(
                "cannot run {path} as its user: {error}; give the container the capabilities SETUID and SETGID, or leave \
                 out the keys user and groups"
            ),
            Step::Enter => {
                let dir = command.map(|command| command.working_dir.display().to_string());
                format!(
                    "cannot run {path} in {}: {error}; make that folder, or set the key working_dir to another one",
                    dir.unwrap_or_default()
                )
            }
            Step::Execute => {
                let remedy = match error.kind() {
                    std::io::ErrorKind::NotFound => {
                        "it, or the interpreter that its first line names, is not there: correct the key command, or \
                         install it in the image"
                    }
                    std::io::ErrorKind::PermissionDenied => {
                        "its user may not execute it: chmod +x, or another user"
                    }
                    _ if error.raw_os_error() == Some(nix::libc::ENOEXEC) => {
                        "it is no program of this machine, and no script that begins with #!"
                    }
                    _ => "correct the key command",
                };
                format!("cannot run {path}: {error}: {remedy}")
            }
        }
    }

    fn begin_command(&mut self, id: Id, run: Run) -> Result<Starting, NotMade> {
        let missing = || std::io::Error::from(std::io::ErrorKind::InvalidInput);
        let (capture, output) = self.open_output(id)?;
        let program = self.programs.get_mut(id.0).ok_or_else(missing)?;
        program.findings.renew();
        let mut environment = program.environment();
        let mark = program.mark(run);
        environment.extend(mark.split_once('=').map(|(name, value)| (name.into(), value.into())));
        let command = program.config.kind.command().ok_or_else(missing)?;
        let mut descriptors = Vec::new();
        let word = match command.ready.as_ref().map(|ready| &ready.check) {
            Some(Check::NotifySystemd) => {
                let (socket, address) = Socket::new()?;
                environment.push(("NOTIFY_SOCKET".into(), address));
                Word::Socket(socket)
            }
            Some(Check::NotifyFd(number)) => {
                let (line, theirs) = Line::new()?;
                descriptors.push((theirs, *number));
                Word::Line(line)
            }
            _ => Word::None,
        };
        let memory_kills = *self.memory_kills.get_or_init(memory::kills);
        let mut argv = command.command.clone();
        if let Some(word) = argv.first_mut().filter(|word| *word == POLARCTL) {
            *word = beside_ourselves(word).unwrap_or_else(|| word.clone());
        }
        let pending = begin(&Launch {
            argv: &argv,
            environment: Some(environment),
            user: program.drops.then_some(&program.user),
            process: Some(&program.config.process),
            stdin: Stdin::Null,
            output,
            descriptors,
            mask: self.signals.inherited_mask(),
            group: Group::Session,
            working_dir: Some(&command.working_dir),
            lenient: false,
        })?;
        Ok(Starting { id, run, pending, word, capture, memory_kills })
    }

    /// Sees to it that the core learns when a command is ready; of a one-shot its end tells.
    fn await_ready(&mut self, id: Id, run: Run, word: Word) {
        let prober = self.prober(id, run);
        let tell = self.tell.clone();
        let Some(program) = self.programs.get_mut(id.0) else { return };
        let Kind::Command(command) = &program.config.kind else { return };
        let user = program.user.uid;
        let Some(main) = program.main.as_mut() else { return };
        let pid = main.pid;
        let ready = move || _ = tell.send(Input::Ready(id, run));
        let task = match (word, command.ready.as_ref()) {
            (Word::Socket(socket), _) => spawn_local(notify::listen(socket, pid, user, ready)),
            (Word::Line(line), _) => spawn_local(notify::read(line, prober.name, ready)),
            (Word::None, Some(wanted)) => {
                spawn_local(probe::until_ready(prober, wanted.check.clone(), wanted.timeout, ready))
            }
            // Who waits for its start tells.
            (Word::None, None) if main.late.is_some() => return,
            (Word::None, None) => return self.is_ready(id, run),
        };
        main.ready = Some(Task(task.abort_handle()));
    }

    fn prober(&self, id: Id, run: Run) -> Prober {
        let findings = self.programs.get(id.0).map(|program| program.findings.clone()).unwrap_or_default();
        Prober { id, run, name: self.name(id).to_owned(), tell: self.tell.clone(), findings }
    }

    /// The main process is ready: from here on its `live` checks run. Said once more it changes nothing, or who says it
    /// again and again would never be checked.
    pub(super) fn is_ready(&mut self, id: Id, run: Run) {
        let awaited = self.state.program(id).is_some_and(
            |known| matches!(known.phase, Phase::Starting { run: current, .. } if current == run),
        );
        if !awaited {
            return;
        }
        self.events.push_back(Event::Ready(id, run));
        let Some(program) = self.programs.get_mut(id.0) else { return };
        program.last_failure = None;
        if program.main.as_ref().is_some_and(|main| main.live.is_none()) {
            self.look_after(id, run);
        }
    }

    /// Begins the `live` checks of a run that is ready, as they are configured.
    pub(super) fn look_after(&mut self, id: Id, run: Run) {
        let prober = self.prober(id, run);
        let Some(program) = self.programs.get_mut(id.0) else { return };
        let live = program.config.live.clone();
        let Some(main) = program.main.as_mut().filter(|main| main.run == run) else { return };
        program.findings.life(None);
        main.live = live.map(|live| Task(spawn_local(probe::live(prober, *live)).abort_handle()));
    }
}

/// Whether the machine had no room for it, which time mends.
fn no_room(not_made: &NotMade) -> bool {
    let error = not_made.error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(error, Some(Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE | Errno::INTR))
}
