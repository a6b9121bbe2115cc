//! Why no image was built.

use std::io;
use std::path::PathBuf;

use crate::config::Mistakes;

/// Why no image was built: what happened ([`Display`](std::fmt::Display)), a word for programs ([`Cause::code`]), and
/// what to do next ([`Cause::next`]).
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The file says what cannot be.
    #[error("{0}")]
    Config(Mistakes),
    /// An image was asked for that is not in the file.
    #[error("there is no image {id}{hint}")]
    UnknownId {
        /// What was asked for.
        id: String,
        /// What was meant, perhaps.
        hint: String,
        /// What is there.
        known: String,
    },
    /// No image is enabled.
    #[error("no image is enabled")]
    NothingEnabled,
    /// A file that is needed is not there.
    #[error("there is no {}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What to do.
        next: &'static str,
    },
    /// A file could not be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// Another builder works in this folder.
    #[error("another build runs in {}", folder.display())]
    Busy {
        /// The folder.
        folder: PathBuf,
    },
    /// There is no such program.
    #[error("there is no program {0} on PATH")]
    NoProgram(String),
    /// Docker's daemon does not answer.
    #[error("the Docker daemon does not answer: {0}")]
    NoDaemon(String),
    /// Docker's daemon is not for this user.
    #[error("the Docker daemon is not for this user: {0}")]
    NotPermitted(String),
    /// A manager's engine is not built, and not there.
    #[error(
        "{manager} is built on {engine}, which is not built by this run, and this machine has no image {name}"
    )]
    NoEngine {
        /// The manager.
        manager: String,
        /// The engine.
        engine: String,
        /// The name of its image.
        name: String,
    },
    /// A repository could not be fetched.
    #[error("{id}: {url}, branch {branch}: {said}")]
    Fetch {
        /// The image.
        id: String,
        /// The repository.
        url: String,
        /// Its branch.
        branch: String,
        /// The last of what git said.
        said: String,
    },
    /// The template is not in the repository.
    #[error("{id}: the repository has no file {template}")]
    NoTemplate {
        /// The image.
        id: String,
        /// Its path.
        template: String,
    },
    /// A step ended with an error.
    #[error("{id}: {line} ended with {status}; the last of {}:\n{said}", log.display())]
    Step {
        /// The image.
        id: String,
        /// What was run.
        line: String,
        /// How it ended.
        status: String,
        /// All that it said.
        log: PathBuf,
        /// The last of it.
        said: String,
    },
    /// A signal ended the run.
    #[error("interrupted at {during}; built and left: {}", if built.is_empty() { "nothing".to_owned() } else { built.join(", ") })]
    Interrupted {
        /// What was done then.
        during: String,
        /// What was complete.
        built: Vec<String>,
    },
}

impl Cause {
    /// A file could not be read or written.
    pub(super) fn of_file(path: impl Into<PathBuf>, error: io::Error) -> Cause {
        Cause::File { path: path.into(), error }
    }

    /// A word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Cause::Config(_) => "bad_configuration",
            Cause::UnknownId { .. } => "unknown_image",
            Cause::NothingEnabled => "nothing_enabled",
            Cause::Missing { .. } => "missing",
            Cause::File { .. } => "file",
            Cause::Busy { .. } => "busy",
            Cause::NoProgram(_) => "no_program",
            Cause::NoDaemon(_) => "no_daemon",
            Cause::NotPermitted(_) => "not_permitted",
            Cause::NoEngine { .. } => "no_engine_image",
            Cause::Fetch { .. } => "fetch",
            Cause::NoTemplate { .. } => "no_template",
            Cause::Step { .. } => "step",
            Cause::Interrupted { .. } => "interrupted",
        }
    }

    /// What to do next.
    #[must_use]
    pub fn next(&self) -> String {
        let text = match self {
            Cause::Config(_) => "docs/images.md tells all keys",
            Cause::UnknownId { known, .. } => return format!("known: {known}"),
            Cause::NothingEnabled => "set enable: true, or name one: --only ID",
            Cause::Missing { next, .. } => next,
            Cause::File { error, .. } => match error.kind() {
                io::ErrorKind::NotFound => "see that the path is as it should be, or name it: -f FILE",
                io::ErrorKind::StorageFull => "free space on that disk; the old file is as it was",
                _ => "see that the path is as it should be, then try again",
            },
            Cause::Busy { .. } => "wait until it has ended",
            Cause::NoProgram(name) => {
                return format!("install {name}; docs/images.md says which versions will do");
            }
            Cause::NoDaemon(_) => "start it (systemctl start docker), or say where it is: DOCKER_HOST",
            Cause::NotPermitted(_) => "do it as root, or as a member of the group docker",
            Cause::NoEngine { engine, .. } => {
                return format!(
                    "build it in the same run (--only {engine} --only ..., or enable: true), or pull it"
                );
            }
            Cause::Fetch { said, .. } => of_git(said),
            Cause::NoTemplate { .. } => "engine_config_template is a path in the repository at that branch",
            Cause::Step { said, .. } => of_docker(said),
            Cause::Interrupted { .. } => {
                "call it again: what is complete is not built twice, and no result was written"
            }
        };
        text.to_owned()
    }
}

/// What to do by what git says.
fn of_git(said: &str) -> &'static str {
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if says(&["Could not resolve", "Failed to connect", "Connection", "timed out", "unreachable"]) {
        "there is no network to that host; see to the network or the proxy (https_proxy), or take engine_packages"
    } else if says(&["Remote branch", "couldn't find remote ref"]) {
        "engine_branch is a branch or a tag of that repository: git ls-remote tells them"
    } else if says(&["could not read Username", "Authentication failed", "Permission denied", "not found"]) {
        "see that the address is right; a private repository needs git's credential helper or an ssh agent"
    } else {
        "see what git says; rm -r .image/source has it cloned anew"
    }
}

/// What to do by what Docker says.
fn of_docker(said: &str) -> &'static str {
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if says(&["denied:", "unauthorized", "authentication required", "no basic auth"]) {
        "docker login, or see that the registry is yours to write"
    } else if says(&[
        "no such host",
        "Temporary failure",
        "Could not resolve",
        "connection refused",
        "i/o timeout",
    ]) {
        "there is no network to that host; see to the network or the proxy"
    } else if says(&["no space left on device"]) {
        "free space where Docker has its images: docker system prune"
    } else {
        "mend that and call it again; no result was written"
    }
}
