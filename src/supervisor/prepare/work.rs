//! What every step of the child has at hand.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use super::interrupt::Interrupt;
use super::protocol::Order;
use super::report::Reporter;

/// The order, and the ways to talk and to be stopped.
#[derive(Clone, Copy)]
pub(super) struct Work<'a> {
    /// What PID 1 wants done.
    pub(super) order: &'a Order,
    /// Where notes go.
    pub(super) report: &'a Reporter,
    /// Whether a stop was asked for.
    pub(super) interrupt: &'a Interrupt,
}

impl Work<'_> {
    /// A command with the engine's environment and nothing else, then `extra`, in the folder `/`.
    pub(super) fn engine_command(&self, program: &Path, extra: &[(String, String)]) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(self.order.environment.iter().map(|(name, value)| (name, value)));
        command.envs(extra.iter().map(|(name, value)| (name, value))).current_dir("/");
        command
    }

    /// The `PATH` of the engine, else our own.
    pub(super) fn path_variable(&self) -> OsString {
        let given = self.order.environment.iter().find(|(name, _)| name == "PATH");
        given.map(|(_, value)| value.into()).or_else(|| std::env::var_os("PATH")).unwrap_or_default()
    }

    /// The engine's user, for a person.
    pub(super) fn user(&self) -> String {
        let user = &self.order.user;
        match &user.name {
            Some(name) => format!("{name} (uid {})", user.uid),
            None => format!("uid {}", user.uid),
        }
    }
}

/// Time as it stands in file names: UTC, to the second.
pub(super) fn stamp() -> String {
    jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// `N` random bytes of the kernel.
///
/// # Errors
/// When `/dev/urandom` cannot be read.
pub(super) fn random<const N: usize>() -> std::io::Result<[u8; N]> {
    use std::io::Read;
    let mut bytes = [0; N];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Sixteen random hexadecimal digits, for names that nobody can guess.
///
/// # Errors
/// When `/dev/urandom` cannot be read.
pub(super) fn random_name() -> std::io::Result<String> {
    Ok(format!("{:016x}", u64::from_ne_bytes(random()?)))
}
