//! The docker command line, and what of it belongs to this run.

use std::process::{Child, Command, Output, Stdio};

/// Whether a daemon answers; the error is for people.
pub fn answers() -> Result<(), String> {
    match Command::new("docker").args(["version", "--format", "{{.Server.Version}}"]).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("docker: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Err(format!("docker does not run: {error}; install it and start its daemon")),
    }
}

/// Runs it; what it has printed, without the last newline.
pub fn run(arguments: &[&str]) -> String {
    let output = output(arguments);
    assert!(
        output.status.success(),
        "docker {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

pub fn output(arguments: &[&str]) -> Output {
    Command::new("docker").args(arguments).stdin(Stdio::null()).output().expect("docker")
}

/// Begins it, and does not wait.
pub fn begin(arguments: &[&str]) -> Child {
    let mut command = Command::new("docker");
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().expect("docker")
}

/// A network of this run's own, in which each peer has an address that is known before its container is.
pub struct Room {
    pub name: String,
    net: String,
}

impl Room {
    pub fn new() -> Self {
        let pid = std::process::id();
        let name = format!("polardb-bench-{pid}");
        // One that is free: other networks of this machine have a claim to theirs.
        for third in 0..200 {
            let net = format!("10.213.{}", (pid + third) % 250);
            let subnet = format!("{net}.0/24");
            if output(&["network", "create", "--subnet", &subnet, &name]).status.success() {
                return Room { name, net };
            }
        }
        panic!("no network could be made: docker network create");
    }

    /// The address of the peer with this number.
    pub fn address(&self, number: usize) -> String {
        format!("{}.{}", self.net, 10 + number)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        output(&["network", "rm", &self.name]);
    }
}

/// A container with its volume; both end with the value.
pub struct Container {
    pub name: String,
    pub volume: String,
}

impl Container {
    pub fn remove(&self) {
        output(&["rm", "--force", "--volumes", &self.name]);
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.remove();
        output(&["volume", "rm", "--force", &self.volume]);
    }
}
