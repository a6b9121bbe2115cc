//! `polarctl` at an instance.

use std::ffi::OsStr;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::command::{Done, PATH, as_user, finish};
use super::instance::Instance;
use super::machine::Account;
use super::wait::BOOT;

/// The program under test.
const POLARCTL: &str = env!("CARGO_BIN_EXE_polarctl");

impl Instance {
    /// `polarctl` as root, with the words of this line.
    pub fn ctl(&self, line: &str) -> Done {
        finish(self.ctl_command(line), BOOT)
    }

    /// The same, to be run by the test.
    pub fn ctl_command(&self, line: &str) -> Command {
        let mut command = Command::new(POLARCTL);
        command.env_clear().env("PATH", PATH).current_dir("/").stdin(Stdio::null());
        command.arg("--config").arg(self.path("supervisor.toml")).args(line.split_whitespace());
        command
    }

    /// [`Self::ctl`] as another user.
    pub fn ctl_as(&self, user: Account, line: &str) -> Done {
        let mut command = as_user(user, POLARCTL);
        command.arg("--config").arg(self.path("supervisor.toml")).args(line.split_whitespace());
        finish(command, BOOT)
    }

    /// [`Self::ctl`] where the folder of the socket is another, empty one.
    pub fn ctl_without_socket(&self, line: &str) -> Done {
        finish(self.ctl_without_socket_command(line), BOOT)
    }

    /// The same, to be run by the test.
    pub fn ctl_without_socket_command(&self, line: &str) -> Command {
        let inner = self.ctl_command(line);
        let mut command = Command::new("unshare");
        command.env_clear().env("PATH", PATH).env("RUN", self.path("run")).stdin(Stdio::null());
        command.args(["--mount", "sh", "-c", "mount -t tmpfs tmpfs \"$RUN\" && exec \"$@\"", "sh"]);
        command.arg(inner.get_program()).args(inner.get_args());
        command
    }

    /// What `polarctl ... --output json` prints.
    pub fn ctl_json(&self, line: &str) -> Value {
        let text = self.ctl(&format!("{line} --output json")).success();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// `polarctl` whose output is read while it runs.
    pub fn ctl_follow(&self, line: &str) -> Child {
        let mut command = self.ctl_command(line);
        command.stdout(Stdio::piped()).spawn().expect("polarctl")
    }
}

/// The condition of this name, of what `polarctl explain PROGRAM` prints as JSON.
pub fn condition(explanation: &Value, name: &str) -> Value {
    let conditions = explanation["conditions"].as_array().expect("conditions");
    let found = conditions.iter().find(|condition| condition["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {explanation}")).clone()
}

/// A child that ends with the value.
#[derive(Debug)]
pub struct Ended(pub Child);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The path of `polarctl`, for a command line.
pub fn polarctl() -> &'static OsStr {
    OsStr::new(POLARCTL)
}
