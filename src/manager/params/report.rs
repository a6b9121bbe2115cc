//! `params get` and `params diff`: what parameters are, where that comes from, what it shadows, and where files and
//! server differ.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::name::shown;
use super::rows::{self, Setting};
use super::validate;
use crate::engine::conf::{self, Found, Layer, Trace};
use crate::manager::cause::Cause;
use crate::manager::refusal::Shown;
use crate::manager::site::Site;

/// A setting in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// `cluster`, `main`, `included` or `alter_system`.
    pub layer: &'static str,
    /// The file.
    pub file: String,
    /// Its line, counted from 1.
    pub line: usize,
    /// What it says; secrets are not shown.
    pub value: String,
}

/// A parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// The value that runs; `None`: the engine does not run, or does not know it.
    pub value: Option<String>,
    /// Where the running value comes from, in the server's words.
    pub source: Option<String>,
    /// What counts of the files.
    pub set: Option<Place>,
    /// What that shadows, the strongest first.
    pub shadows: Vec<Place>,
    /// Whether what the files say waits for a restart.
    pub pending_restart: bool,
}

/// Where files and server differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The parameter.
    pub name: String,
    /// The value that runs.
    pub running: String,
    /// What the files say.
    pub files: Option<Place>,
    /// Why they differ.
    pub why: String,
}

impl From<&Found> for Place {
    fn from(found: &Found) -> Self {
        let layer = match found.layer {
            Layer::Cluster => "cluster",
            Layer::Main => "main",
            Layer::Included => "included",
            Layer::Auto => "alter_system",
            Layer::CommandLine => "command_line",
        };
        let value = shown(&found.name, &found.value);
        Place { layer, file: found.file.display().to_string(), line: found.line, value }
    }
}

fn trace(site: &Site) -> Result<Trace, Cause> {
    site.as_owner(|| conf::trace(&site.data_dir, &[], None))
}

/// These parameters, or all that a file sets.
///
/// # Errors
/// The engine runs and does not answer, or knows no such parameter.
pub fn get(site: &mut Site, names: &[String]) -> Result<Vec<Entry>, Cause> {
    let trace = trace(site)?;
    let mut wanted: Vec<String> = names.to_vec();
    if wanted.is_empty() {
        let all: BTreeSet<String> = trace.found.iter().map(|found| found.name.to_ascii_lowercase()).collect();
        wanted.extend(all);
    }
    let running = match site.shown()? {
        Shown::Up => Some(rows::of(site.plain_session()?, &wanted)?),
        Shown::Down => None,
    };
    let unknown = |name: &&String| {
        running.as_ref().is_some_and(|running| !running.contains_key(*name)) && trace.winner(name).is_none()
    };
    if let Some(name) = names.iter().find(unknown) {
        let what = format!("the engine knows no parameter {name}");
        return Err(Cause::invalid("unknown_parameter", what, "look at the names in pg_settings"));
    }
    Ok(wanted.iter().map(|name| entry(name, &trace, running.as_ref())).collect())
}

fn entry(name: &str, trace: &Trace, running: Option<&BTreeMap<String, Setting>>) -> Entry {
    let setting = running.and_then(|running| running.get(name));
    let mut places: Vec<Place> = trace.of(name).rev().map(Place::from).collect();
    let set = if places.is_empty() { None } else { Some(places.remove(0)) };
    Entry {
        name: setting.map_or_else(|| name.to_owned(), |setting| setting.name.clone()),
        value: setting.map(|setting| shown(name, &setting.shown)),
        source: setting.map(|setting| setting.source.clone()),
        set,
        shadows: places,
        pending_restart: setting.is_some_and(|setting| setting.pending_restart),
    }
}

/// Where the files and the running server differ.
///
/// # Errors
/// The engine does not run, or does not answer.
pub fn diff(site: &mut Site) -> Result<Vec<Difference>, Cause> {
    let trace = trace(site)?;
    let running = rows::all(site.plain_session()?)?;
    let mut differences = Vec::new();
    for (name, setting) in &running {
        let winner = trace.winner(name);
        let same = match winner {
            Some(found) => {
                setting.setting == found.value || setting.kind.same(&found.value, &setting.setting)
            }
            // The files say nothing: what came from a file is of one that has changed.
            None => setting.source != "configuration file" && !setting.pending_restart,
        };
        if same || (winner.is_some() && is_same_to_engine(site, setting)?) {
            continue;
        }
        differences.push(Difference {
            name: setting.name.clone(),
            running: shown(name, &setting.shown),
            files: winner.map(Place::from),
            why: why(setting, winner).to_owned(),
        });
    }
    Ok(differences)
}

/// Text may be spelled in many ways that the engine alone can tell to be one.
fn is_same_to_engine(site: &Site, setting: &Setting) -> Result<bool, Cause> {
    let path = site.data_dir.join("postgresql.conf");
    let value = validate::value(site, &setting.name, &path, &path)?;
    Ok(value.is_ok_and(|value| value == setting.setting || setting.kind.same(&value, &setting.setting)))
}

fn why(setting: &Setting, winner: Option<&Found>) -> &'static str {
    if setting.pending_restart {
        "waits for a restart"
    } else if setting.is_overridden() {
        "the engine's command line or environment counts more"
    } else if setting.is_masked() {
        "set for the role or the database, which counts more"
    } else if winner.is_none() {
        "taken out of the files, which were not read since: polarctl params refresh"
    } else {
        "the files were not read since: polarctl params refresh"
    }
}
