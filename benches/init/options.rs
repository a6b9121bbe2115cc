//! What the caller chose.

use std::path::PathBuf;
use std::time::Duration;

/// What the caller chose, by variables of the environment.
#[derive(Debug, Clone)]
pub struct Options {
    /// `ONLY`: names of measures, by commas or blanks; empty: all.
    pub only: Vec<String>,
    /// `PEERS`: names of inits, by commas or blanks; empty: all.
    pub peers: Vec<String>,
    /// `ROUNDS`: rounds of a cheap measure; dear ones have a part of that.
    pub rounds: usize,
    /// `IDLE`: how long the inits are watched while they have nothing to do.
    pub idle: Duration,
    /// `SUPERVISOR`: our program; `make bench` gives the static one.
    pub supervisor: PathBuf,
    /// `POLARCTL`: our command line, if there is one.
    pub polarctl: Option<PathBuf>,
}

impl Options {
    /// Reads them; the error is for people.
    pub fn read() -> Result<Self, String> {
        let text = |key: &str| std::env::var(key).ok().filter(|value| !value.trim().is_empty());
        let list = |key: &str| {
            let value = text(key).unwrap_or_default();
            value.split([',', ' ']).filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>()
        };
        let number = |key: &str, default: usize| match text(key) {
            None => Ok(default),
            Some(value) => match value.trim().parse() {
                Ok(number) if number > 0 => Ok(number),
                _ => Err(format!("{key} is '{value}'; it is a whole number, 1 or more")),
            },
        };
        let supervisor =
            text("SUPERVISOR").map_or_else(|| env!("CARGO_BIN_EXE_polar-supervisor").into(), PathBuf::from);
        let absolute =
            |path: PathBuf| path.canonicalize().map_err(|why| format!("{}: {why}", path.display()));
        let only = list("ONLY");
        let known: Vec<&str> = crate::measure::ALL.iter().map(|measure| measure.name).collect();
        for name in &only {
            if !known.contains(&name.as_str()) {
                return Err(format!("ONLY names '{name}'; the measures are: {}", known.join(" ")));
            }
        }
        Ok(Self {
            only,
            peers: list("PEERS"),
            rounds: number("ROUNDS", 20)?,
            idle: Duration::from_secs(number("IDLE", 30)? as u64),
            supervisor: absolute(supervisor)?,
            polarctl: text("POLARCTL").map(PathBuf::from).and_then(|path| path.canonicalize().ok()),
        })
    }

    /// Rounds of a measure that does one `part`th of them, at least one.
    pub fn rounds_by(&self, part: usize) -> usize {
        (self.rounds / part).max(1)
    }

    /// Whether this run is one that docs/benchmarks.md may show: all of it, with rounds enough for a median.
    pub fn whole(&self) -> bool {
        self.only.is_empty() && self.peers.is_empty() && self.rounds >= 10
    }
}
