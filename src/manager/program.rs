//! Running a program of the engine: as the engine's user, within a limit of time, its words kept.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::unistd::Uid;

use super::cause::Cause;
use super::site::Site;

/// How often its end is looked for.
const POLL: Duration = Duration::from_millis(2);

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its status.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// A program to be run.
#[derive(Debug)]
pub struct Order<'a> {
    /// Its file.
    pub program: &'a Path,
    /// Its arguments, none of which may be a secret: every user of the machine sees them.
    pub arguments: Vec<OsString>,
    /// Its environment beside `PATH` and `LC_ALL=C`, for its words are read.
    pub environment: Vec<(&'static str, OsString)>,
    /// Where it works.
    pub directory: &'a Path,
    /// When it is killed; `None`: never.
    pub within: Option<Duration>,
}

/// Runs a program with these arguments, in the root directory and with no environment of its own.
///
/// # Errors
/// As those of [`carry_out`].
pub fn run(site: &Site, program: &Path, arguments: &[&str], within: Duration) -> Result<Ended, Cause> {
    let arguments = arguments.iter().map(OsString::from).collect();
    let (directory, within) = (Path::new("/"), Some(within));
    carry_out(site, &Order { program, arguments, environment: Vec::new(), directory, within })
}

/// Runs a program.
///
/// # Errors
/// It could not be run, or did not end in time and was killed.
pub fn carry_out(site: &Site, order: &Order<'_>) -> Result<Ended, Cause> {
    let (uid, gid) = site.owner()?;
    let program = order.program;
    let mut command = Command::new(program);
    command.args(&order.arguments).env_clear().env("LC_ALL", "C").current_dir(order.directory);
    command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.envs(order.environment.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if Uid::effective().is_root() && uid != 0 {
        command.uid(uid).gid(gid);
    }
    let failed = |error| Cause::of_file(program, error);
    let mut child = command.spawn().map_err(failed)?;
    // Both are read at once: one that is full would hold the program up.
    let (stdout, stderr) = (reader(child.stdout.take()), reader(child.stderr.take()));
    let status = match order.within {
        None => child.wait().map_err(failed)?,
        Some(within) => ended(&mut child, within)
            .map_err(failed)?
            .ok_or_else(|| Cause::Hung { within, what: format!("the end of {}", program.display()) })?,
    };
    Ok(Ended { status, stdout: text(stdout), stderr: text(stderr) })
}

fn ended(child: &mut Child, within: Duration) -> io::Result<Option<ExitStatus>> {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if begin.elapsed() > within {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(POLL);
    }
}

fn reader(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read until then is what there is.
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

fn text(reader: JoinHandle<Vec<u8>>) -> String {
    String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> (tempfile::TempDir, Site) {
        let dir = tempfile::tempdir().unwrap();
        let site = Site::new(dir.path().to_owned());
        (dir, site)
    }

    #[test]
    fn words_and_status() {
        let (_dir, site) = site();
        let script = "head -c 300000 /dev/zero; echo words >&2; exit 3";
        let ended = run(&site, Path::new("/bin/sh"), &["-c", script], Duration::from_secs(30)).unwrap();
        assert_eq!(
            (ended.status.code(), ended.stdout.len(), ended.stderr.as_str()),
            (Some(3), 300_000, "words\n")
        );
    }

    #[test]
    fn one_that_does_not_end_is_ended() {
        let (_dir, site) = site();
        let cause = run(&site, Path::new("/bin/sleep"), &["100"], Duration::from_millis(20)).unwrap_err();
        assert_eq!(cause.code(), "hung");
        assert_eq!(run(&site, Path::new("/no/such"), &[], Duration::ZERO).unwrap_err().code(), "file");
    }
}
