//! `recovery.conf`: what it asks for, and how an engine that does not know it is told the same.
//!
//! Engines before 12 read the file themselves. One of 12 or later refuses to start beside it and wants an empty file by a
//! telling name ([`Mode::signal`]), and parameters among its others. ClusterManager writes it for all of them, `=` inside
//! of a value as `\=`; both ways of writing are read.

use std::collections::BTreeMap;

use super::conf::{Line, parse_line};
use super::guc::boolean;

/// Its name in the data directory.
pub const FILE: &str = "recovery.conf";
/// The promoted: with [`FILE`] gone, this asks for a primary. Engines of 12 and later remove it as they start.
pub const DONE: &str = "recovery.done";
/// The first release that does not read [`FILE`].
pub const FIRST_WITHOUT: u32 = 12;
/// A longer file is nobody's `recovery.conf`.
pub const LONGEST: u64 = 1 << 20;
/// What a signal file says that was made from a [`FILE`]; the engine does not read it. One that somebody else makes says
/// something else, or nothing.
pub const MARK: &str = "# Made by polar-supervisor from recovery.conf.\n";
/// Where recovery ends. Of these one counts, the last; and none that an earlier recovery has left may, for at its target
/// a standby can become a primary by itself.
pub const TARGETS: [&str; 5] = [
    "recovery_target",
    "recovery_target_lsn",
    "recovery_target_name",
    "recovery_target_time",
    "recovery_target_xid",
];
/// What makes a standby follow somebody.
pub const FOLLOWS: [&str; 2] = ["primary_conninfo", "primary_slot_name"];

/// The others that are the same parameters in 11 and later.
const OTHERS: [&str; 7] = [
    "archive_cleanup_command",
    "recovery_end_command",
    "recovery_min_apply_delay",
    "recovery_target_action",
    "recovery_target_inclusive",
    "recovery_target_timeline",
    "restore_command",
];

/// What an engine is asked to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// A standby with storage of its own.
    Standby,
    /// A PolarDB node that reads the shared storage of its primary.
    Replica,
    /// A primary, once it has replayed what its archive holds.
    Recovery,
}

impl Mode {
    /// All of them.
    pub const ALL: [Mode; 3] = [Mode::Standby, Mode::Replica, Mode::Recovery];

    /// The file by which an engine of 12 or later is told.
    #[must_use]
    pub fn signal(self) -> &'static str {
        match self {
            Mode::Standby => "standby.signal",
            Mode::Replica => "replica.signal",
            Mode::Recovery => "recovery.signal",
        }
    }
}

/// What a `recovery.conf` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// What the engine is to be.
    pub mode: Mode,
    /// The parameters, in the order in which the engine must come upon them: an empty target that follows one which is
    /// set is an error to it.
    pub settings: Vec<(&'static str, String)>,
}

/// Why a `recovery.conf` cannot be followed. No value is in it: they may be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{line}: {what}")]
pub struct Mistake {
    /// Its line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

/// Reads it for an engine of this release.
///
/// # Errors
/// The first line that says nothing an engine of 11 would take, or nothing that this one has an equal to.
pub fn read(bytes: &[u8], major: u32, polardb: bool) -> Result<Asked, Mistake> {
    let mut settings = BTreeMap::new();
    let (mut standby, mut replica) = (None, None);
    let mut target = None;
    let mut last = 1;
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        last = index + 1;
        let mistake = |what: String| Mistake { line: last, what };
        let text = std::str::from_utf8(line).map_err(|_| mistake("it is not UTF-8".to_owned()))?;
        if text.contains('\0') {
            return Err(mistake("a NUL is in it".to_owned()));
        }
        let (name, value) = match parse_line(text) {
            Line::Blank => continue,
            Line::Setting { name, value } => (name.to_ascii_lowercase(), value),
            Line::Include { .. } => return Err(mistake("an include is not followed".to_owned())),
            Line::Broken(why) => return Err(mistake(why)),
        };
        let on = || match boolean(&value) {
            Some(true) => Ok(Some(last)),
            Some(false) => Ok(None),
            None => Err(mistake(format!("{name} is neither on nor off"))),
        };
        match name.as_str() {
            "standby_mode" => standby = on()?,
            "polar_replica" => replica = on()?,
            "polar_datamax_mode" => {
                return Err(mistake(format!("no engine of version {major} can be a DataMax node")));
            }
            "trigger_file" if major < 16 => _ = settings.insert("promote_trigger_file", value),
            "trigger_file" => {
                return Err(mistake(format!("an engine of version {major} heeds no trigger file")));
            }
            _ => {
                let mut known = TARGETS.iter().chain(&FOLLOWS).chain(&OTHERS);
                let Some(known) = known.find(|known| **known == name) else {
                    return Err(mistake(format!("{name} is no parameter of recovery.conf")));
                };
                if TARGETS.contains(known) && !value.is_empty() {
                    target = Some(*known);
                }
                settings.insert(known, value);
            }
        }
    }
    let mistake = |line, what: &str| Err(Mistake { line, what: what.to_owned() });
    let mode = match (standby, replica) {
        (Some(one), Some(other)) => {
            return mistake(one.max(other), "standby_mode and polar_replica are both on");
        }
        (_, Some(line)) if !polardb => {
            return mistake(line, "polar_replica is on, and this engine is no PolarDB");
        }
        (_, Some(_)) => Mode::Replica,
        (Some(_), _) => Mode::Standby,
        _ if settings.get("restore_command").is_some_and(|command| !command.is_empty()) => Mode::Recovery,
        _ => {
            return mistake(
                last,
                "up to its end neither standby_mode nor polar_replica is on, nor is there a restore_command",
            );
        }
    };
    let (mut chosen, mut ordered) = (None, Vec::new());
    for name in TARGETS {
        let value = settings.remove(name);
        if target == Some(name) {
            chosen = value.map(|value| (name, value));
        } else {
            ordered.push((name, String::new()));
        }
    }
    ordered.extend(chosen);
    ordered.extend(settings);
    Ok(Asked { mode, settings: ordered })
}

/// A signal file that lies in the data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal {
    /// Which one.
    pub mode: Mode,
    /// Whether it was made from a `recovery.conf`.
    pub ours: bool,
}

/// What is to become of the signal files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// They stay as they are.
    Leave,
    /// This one is made, the others are removed.
    Make(Mode, Vec<Mode>),
    /// These are removed: the node is to be a primary.
    Promote(Vec<Mode>),
    /// A primary is asked for, or something else than this one which somebody else has made: who is right cannot be told.
    Foreign(Mode),
}

/// Decides. A node becomes a primary only by a word of somebody's for just that: a [`DONE`] that came after what made it a
/// standby, and then only what was made here is taken back.
#[must_use]
pub fn verdict(asked: Option<Mode>, done: bool, signals: &[Signal]) -> Verdict {
    let foreign = signals.iter().find(|signal| !signal.ours && asked != Some(signal.mode));
    let ours =
        signals.iter().map(|signal| signal.mode).filter(|mode| asked != Some(*mode)).collect::<Vec<_>>();
    match (asked, foreign) {
        (None, _) if !done || signals.is_empty() => Verdict::Leave,
        (_, Some(signal)) => Verdict::Foreign(signal.mode),
        (Some(mode), None) => Verdict::Make(mode, ours),
        (None, None) => Verdict::Promote(ours),
    }
}

#[cfg(test)]
mod tests;
