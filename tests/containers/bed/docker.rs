//! The command line of Docker.

use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// No command of a test takes longer, the build of an image on a slow mirror included.
const DEADLINE: &str = "900";

/// How a command ended.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Done {
    /// Standard output without the last newline; panics unless the command succeeded.
    #[track_caller]
    pub fn success(self) -> String {
        assert_eq!(self.code, 0, "a command failed: {self:#?}");
        self.stdout.trim_end_matches('\n').to_owned()
    }
}

/// Runs a command to its end; of a death by the deadline the status is 124.
pub fn run(command: &mut Command) -> Done {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    Done {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// `docker` with these arguments.
pub fn docker<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Done {
    run(Command::new("timeout").args(["-k", "5", DEADLINE, "docker"]).args(arguments))
}

/// Compose, whichever of its two forms is here; none is said by the caller.
pub fn compose() -> Option<Command> {
    static FORM: OnceLock<Option<&'static [&'static str]>> = OnceLock::new();
    let form = FORM.get_or_init(|| {
        let forms: [&'static [&'static str]; 2] = [&["docker", "compose"], &["docker-compose"]];
        forms.into_iter().find(|form| {
            let asked = Command::new(form[0]).args(&form[1..]).arg("version").output();
            asked.is_ok_and(|output| output.status.success())
        })
    });
    form.map(|form| {
        let mut command = Command::new("timeout");
        command.args(["-k", "5", DEADLINE]).args(form);
        command
    })
}
