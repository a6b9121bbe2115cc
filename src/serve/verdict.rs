//! What is seen means to a probe. Pure.
//!
//! | probe | passes | so that an orchestrator |
//! |---|---|---|
//! | startup | each engine has been ready once since the supervisor started, or is held down by a lock or a person | waits for first boot and recovery |
//! | live | the supervisor answers, and no engine has given up | never kills a recovery, nor what is down on purpose |
//! | ready | each engine runs, is ready, and takes a connection; no shutdown is under way | sends clients only where they are served |

use std::collections::BTreeMap;

use serde::Serialize;

use super::look::{Answer, Seen};
use crate::control::protocol::{LastExit, Status};

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Probe {
    /// `/startupz`
    Startup,
    /// `/livez`
    Live,
    /// `/readyz`
    Ready,
}

/// The answer to a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Verdict {
    /// What was asked.
    pub(super) probe: Probe,
    /// Whether it passes.
    pub(super) ok: bool,
    /// What concerns no engine alone: the supervisor does not answer, or is ending.
    pub(super) reason: Option<String>,
    /// The engines.
    pub(super) engines: Vec<Part>,
}

/// One engine's part in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Part {
    /// Its name.
    pub(super) name: String,
    /// Whether it passes.
    pub(super) ok: bool,
    /// How it stands.
    pub(super) text: String,
}

/// Whether engines take connections, by name; `Err`: why not.
pub(super) type Greetings = BTreeMap<String, Result<(), String>>;

/// The engines among the programs; sidecars count for no probe.
pub(super) fn engines(answer: &Answer) -> impl Iterator<Item = &Status> {
    answer.programs.iter().filter(|program| program.kind == "postgres")
}

/// Whether an engine is worth a connection.
pub(super) fn runs(engine: &Status) -> bool {
    engine.state == "running" && engine.ready
}

/// Judges. `greetings` count for [`Probe::Ready`] alone; an engine that is missing there has not been asked.
pub(super) fn judge(probe: Probe, seen: &Seen, greetings: &Greetings) -> Verdict {
    let answer = match seen {
        Ok(answer) => answer,
        Err(cause) => {
            let reason = Some(format!("the supervisor does not answer: {cause}"));
            return Verdict { probe, ok: false, reason, engines: Vec::new() };
        }
    };
    let part = |engine: &Status| {
        let (ok, text) = match probe {
            Probe::Startup => (has_started(engine), describe(engine)),
            Probe::Live => (engine.state != "failed", describe(engine)),
            Probe::Ready if !runs(engine) => (false, describe(engine)),
            Probe::Ready => match greetings.get(&engine.name) {
                Some(Ok(())) => (true, "running, takes connections".to_owned()),
                Some(Err(cause)) => (false, format!("running, takes no connection: {cause}")),
                None => (false, "running, takes no connection: it was not asked".to_owned()),
            },
        };
        Part { name: engine.name.clone(), ok, text }
    };
    let parts: Vec<Part> = engines(answer).map(part).collect();
    let ending = probe == Probe::Ready && answer.supervisor.shutting_down;
    let reason = ending.then(|| "the supervisor is shutting down".to_owned());
    Verdict { probe, ok: !ending && parts.iter().all(|part| part.ok), reason, engines: parts }
}

/// Held down on purpose is no failure to start: a startup probe that fails ends the container.
fn has_started(engine: &Status) -> bool {
    let held = matches!(engine.reason.as_deref(), Some("locked" | "stopped" | "shutdown"));
    engine.ready || engine.start_seconds.is_some() || engine.lock.is_some() || held
}

/// How a program stands, in a few words.
fn describe(program: &Status) -> String {
    let mut text = program.state.clone();
    if let Some(reason) =
        program.reason.as_ref().filter(|reason| program.lock.is_none() || *reason != "locked")
    {
        text.push_str(&format!(", {reason}"));
    }
    if let Some(lock) = &program.lock {
        text.push_str(&format!(", locked by {}", lock.file));
    }
    if program.state == "running" && !program.ready {
        text.push_str(", not ready");
    }
    if let Some(pause) = program.starts_in {
        text.push_str(&format!(", starts again in {pause:.1} s"));
    }
    if matches!(program.state.as_str(), "backoff" | "failed") {
        text.push_str(&format!(", failures in a row: {}", program.failures));
        if let Some(exit) = &program.last_exit {
            text.push_str(&format!(", last end: {}", end(exit)));
        }
    }
    text
}

fn end(exit: &LastExit) -> String {
    let class = exit.class.replace('_', " ");
    match (exit.code, exit.signal) {
        (Some(code), _) => format!("{class} (exit status {code})"),
        (None, Some(signal)) => format!("{class} (signal {signal})"),
        (None, None) => class,
    }
}

impl Verdict {
    /// The path of the probe.
    fn path(&self) -> &'static str {
        match self.probe {
            Probe::Startup => "startupz",
            Probe::Live => "livez",
            Probe::Ready => "readyz",
        }
    }

    /// For people: `ok`, or what is wrong, one line each; `verbose`: what is right, too.
    pub(super) fn text(&self, verbose: bool) -> String {
        let mut text = String::new();
        for part in self.engines.iter().filter(|part| verbose || !part.ok) {
            let mark = if part.ok { "+" } else { "-" };
            text.push_str(&format!("[{mark}] {}: {}\n", part.name, part.text));
        }
        if let Some(reason) = &self.reason {
            text.push_str(&format!("[-] {reason}\n"));
        }
        if verbose && self.engines.is_empty() && self.reason.is_none() {
            text.push_str("[+] no program of kind postgres is configured\n");
        }
        match (self.ok, verbose) {
            (true, false) => text.push_str("ok\n"),
            (true, true) => text.push_str(&format!("{}: ok\n", self.path())),
            (false, _) => text.push_str(&format!("{}: failed\n", self.path())),
        }
        text
    }
}

#[cfg(test)]
mod tests;
