//! One program at a time: its output goes into a log, and line by line to who watches; a signal ends it.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::plan::Line;

/// How often it is looked whether a signal came.
const LOOK: Duration = Duration::from_millis(50);
/// How long a program has to end by itself once it was told to: mmdebstrap removes what it has unpacked.
const GRACE: Duration = Duration::from_secs(10);
/// How long the output of a program is waited for that has ended: what it left behind may hold it open.
const DRAIN: Duration = Duration::from_secs(1);
/// So many of its last lines are kept for people.
const LAST: usize = 15;
/// The longest line that is kept, in bytes.
const LINE_MAX: usize = 2000;

/// Whether a signal asks for the end.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// One that SIGINT, SIGTERM and SIGHUP set.
    ///
    /// # Errors
    /// The kernel refuses the handlers.
    pub fn by_signals() -> io::Result<Stop> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        let stop = Stop::default();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&stop.0))?;
        }
        Ok(stop)
    }

    /// Whether it is asked for.
    #[must_use]
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why a program did not do it.
#[derive(Debug)]
pub enum Ended {
    /// There is no such program.
    NoProgram,
    /// It could not be run, or its log not be written.
    Io(io::Error),
    /// It ended with an error: how, and the last of what it said.
    Failed(String, String),
    /// A signal to us ended it.
    Interrupted,
}

/// A program in this folder, with nothing to read and nobody to ask: what it would ask on a terminal is an error.
fn command(line: &Line, folder: &Path) -> Command {
    let mut command = Command::new(line.program());
    command.args(line.0.get(1..).unwrap_or_default()).current_dir(folder).stdin(Stdio::null());
    // Its words are read by us, too.
    command.env("LC_ALL", "C").env("GIT_TERMINAL_PROMPT", "0");
    if std::env::var_os("GIT_SSH_COMMAND").is_none() {
        command.env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes");
    }
    // A Ctrl-C is for us, who then end it in order.
    command.process_group(0);
    command
}

/// Runs it to its end; all it says is added to the log, and each line given to `watch`.
///
/// # Errors
/// It did not do it.
pub fn run(
    line: &Line,
    folder: &Path,
    log: &mut File,
    stop: &Stop,
    watch: &mut dyn FnMut(&str),
) -> Result<(), Ended> {
    writeln!(log, "$ {line}").map_err(Ended::Io)?;
    let (reader, writer) = io::pipe().map_err(Ended::Io)?;
    let mut command = command(line, folder);
    command.stdout(writer.try_clone().map_err(Ended::Io)?).stderr(writer);
    let spawned = command.spawn();
    // Its copies of the pipe's end.
    drop(command);
    let mut child = spawned.map_err(of_spawn)?;
    let parts = read_on(reader);
    let mut last = Last::default();
    let mut told: Option<Instant> = None;
    let mut ended: Option<(ExitStatus, Instant)> = None;
    let mut open = true;
    loop {
        match parts.recv_timeout(LOOK) {
            Ok(part) => {
                log.write_all(&part).map_err(|error| broken(&mut child, error))?;
                last.take(&part, watch);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) if open => open = false,
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(LOOK),
        }
        if let Some((_, since)) = ended {
            if !open || since.elapsed() > DRAIN {
                break;
            }
            continue;
        }
        if stop.asked() {
            let since = *told.get_or_insert_with(|| {
                signal(&child, Signal::SIGINT);
                Instant::now()
            });
            if since.elapsed() > GRACE {
                signal(&child, Signal::SIGKILL);
            }
        }
        ended = child.try_wait().map_err(Ended::Io)?.map(|status| (status, Instant::now()));
    }
    let status = ended.map(|(status, _)| status);
    match status {
        _ if told.is_some() => Err(Ended::Interrupted),
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(Ended::Failed(how(status), last.text())),
        None => Err(Ended::Interrupted),
    }
}

/// What a short look-up prints, without blanks around it; of one that fails, the last that it said.
///
/// # Errors
/// It did not do it.
pub fn answer(line: &Line, folder: &Path) -> Result<String, Ended> {
    let output = command(line, folder).output().map_err(of_spawn)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    let mut last = Last::default();
    last.take(&output.stderr, &mut |_| {});
    Err(Ended::Failed(how(output.status), last.text()))
}

fn of_spawn(error: io::Error) -> Ended {
    if error.kind() == ErrorKind::NotFound { Ended::NoProgram } else { Ended::Io(error) }
}

/// The log cannot be written: what runs is not left behind.
fn broken(child: &mut Child, error: io::Error) -> Ended {
    signal(child, Signal::SIGKILL);
    let _ = child.wait();
    Ended::Io(error)
}

/// To all of its group; one that has gone needs none.
fn signal(child: &Child, signal: Signal) {
    if let Ok(pid) = i32::try_from(child.id()) {
        let _ = killpg(Pid::from_raw(pid), signal);
    }
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("status {code}"),
        (None, Some(number)) => format!("signal {number}"),
        (None, None) => "an unknown status".to_owned(),
    }
}

fn read_on(mut reader: io::PipeReader) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut part = vec![0; 16 << 10];
        while let Ok(read @ 1..) = reader.read(&mut part) {
            let Some(read) = part.get(..read) else { return };
            if sender.send(read.to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The last lines of an output.
#[derive(Debug, Default)]
struct Last {
    lines: VecDeque<String>,
    open: Vec<u8>,
}

impl Last {
    fn take(&mut self, part: &[u8], watch: &mut dyn FnMut(&str)) {
        for byte in part {
            // A line of progress ends with a carriage return.
            if matches!(byte, b'\n' | b'\r') {
                self.close(watch);
            } else if self.open.len() < LINE_MAX {
                self.open.push(*byte);
            }
        }
    }

    fn close(&mut self, watch: &mut dyn FnMut(&str)) {
        let text = plain(&String::from_utf8_lossy(&self.open)).trim_end().to_owned();
        self.open.clear();
        if text.is_empty() {
            return;
        }
        watch(&text);
        if self.lines.len() == LAST {
            self.lines.pop_front();
        }
        self.lines.push_back(text);
    }

    fn text(mut self) -> String {
        self.close(&mut |_| {});
        let lines: Vec<String> = self.lines.into();
        if lines.is_empty() { "(it said nothing)".to_owned() } else { lines.join("\n") }
    }
}

/// A line without the colours that Docker gives to what a build says on standard error.
fn plain(line: &str) -> String {
    let mut parts = line.split("\x1b[");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // A sequence ends with its first byte from @ on (ECMA-48).
        text.extend(part.chars().skip_while(|c| !('@'..='~').contains(c)).skip(1));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, stop: &Stop) -> (Result<(), Ended>, String, Vec<String>) {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("log");
        let mut seen = Vec::new();
        let line = Line::of(&["sh", "-c", script]);
        let mut watch = |line: &str| {
            seen.push(line.to_owned());
            if line == "stop" {
                stop.0.store(true, Ordering::Relaxed);
            }
        };
        let done = run(&line, folder.path(), &mut File::create(&path).unwrap(), stop, &mut watch);
        (done, std::fs::read_to_string(path).unwrap(), seen)
    }

    #[test]
    fn output_goes_to_the_log_and_by_lines_to_who_watches() {
        let (done, log, seen) = sh("echo a; echo b >&2; printf 'c\\rd'", &Stop::default());
        assert!(done.is_ok(), "{done:?}");
        assert_eq!(log.lines().skip(1).collect::<Vec<_>>(), ["a", "b", "c\rd"]);
        assert_eq!(seen, ["a", "b", "c"]);
    }

    #[test]
    fn the_last_lines_of_one_that_fails() {
        let (done, log, _) = sh("seq 100; exit 3", &Stop::default());
        let Err(Ended::Failed(how, said)) = done else { panic!("{done:?}") };
        assert_eq!(how, "status 3");
        assert_eq!(said.lines().collect::<Vec<_>>(), (86..=100).map(|n| n.to_string()).collect::<Vec<_>>());
        assert_eq!(log.lines().count(), 101);
        let (done, ..) = sh("kill -9 $$", &Stop::default());
        assert!(matches!(done, Err(Ended::Failed(how, _)) if how == "signal 9"));
    }

    #[test]
    fn a_line_without_its_colours() {
        for (line, text) in
            [("a", "a"), ("\x1b[91mE: b\x1b[0m", "E: b"), ("\x1b[0m\x1b[1;31mc", "c"), ("\x1b[", "")]
        {
            assert_eq!(plain(line), text);
        }
    }

    #[test]
    fn what_it_leaves_behind_is_not_waited_for() {
        let begin = Instant::now();
        let (done, ..) = sh("sleep 300 & echo $!", &Stop::default());
        assert!(done.is_ok() && begin.elapsed() < Duration::from_secs(100), "{done:?}");
    }

    #[test]
    fn a_signal_ends_it_in_order() {
        let (done, log, _) =
            sh("trap 'echo cleaned; exit 1' INT; echo stop; while :; do sleep 0.1; done", &Stop::default());
        assert!(matches!(done, Err(Ended::Interrupted)), "{done:?}");
        assert!(log.contains("cleaned"), "{log}");
    }

    #[test]
    fn what_a_look_up_prints() {
        let folder = Path::new("/");
        assert_eq!(answer(&Line::of(&["echo", "a"]), folder).unwrap(), "a");
        assert!(matches!(answer(&Line::of(&["no-such-program-anywhere"]), folder), Err(Ended::NoProgram)));
        let failed = answer(&Line::of(&["sh", "-c", "echo why >&2; exit 1"]), folder);
        assert!(matches!(failed, Err(Ended::Failed(_, said)) if said == "why"));
    }
}
