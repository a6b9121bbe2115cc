//! What is found out for `params set` and `params unset`: the file as it would be, and what the engine makes of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::change::{Change, Scope, Wish};
use super::name::{is_node_specific, shown};
use super::rows::{self, Setting};
use super::validate::{self, Verdict};
use super::{apply, evidence, start};
use crate::engine::conf::{self, Candidate, Document, Layer, Trace, Where};
use crate::engine::flavor;
use crate::manager::cause::Cause;
use crate::manager::refusal::Shown;
use crate::manager::site::Site;

/// What is found out.
#[derive(Debug)]
pub struct Seen {
    /// `postgresql.conf`.
    pub(super) path: PathBuf,
    /// What it holds.
    pub(super) before: Vec<u8>,
    /// What it would hold.
    pub(super) after: Vec<u8>,
    /// That, written beside it; only where it differs.
    pub(super) candidate: Option<Candidate>,
    /// Every setting of every file, with that.
    pub(super) trace: Trace,
    /// What runs; `None`: nothing does.
    pub(super) running: Option<BTreeMap<String, Setting>>,
    /// What the engine would start with, by name; or why it would not start.
    pub(super) verdict: Result<BTreeMap<String, String>, String>,
    /// Whether it is PolarDB.
    pub(super) polardb: bool,
    /// What its primary has, of a standby.
    pub(super) floors: BTreeMap<&'static str, u64>,
    /// Libraries that are to be loaded at the start and are not there.
    pub(super) missing: Vec<String>,
}

/// Finds it out.
///
/// # Errors
/// The engine is not to be asked, or it cannot be what is asked for.
pub(super) fn look(change: &Change, site: &mut Site) -> Result<Seen, Cause> {
    // Before anything is read or run: an engine that hangs or is on its way up or down is not changed.
    let running = match site.shown()? {
        Shown::Up => {
            let names: Vec<String> = change.wishes.keys().cloned().collect();
            Some(rows::of(site.plain_session()?, &names)?)
        }
        Shown::Down => None,
    };
    permit(change, running.as_ref())?;
    let path = site.data_dir.join("postgresql.conf");
    let before = site.as_owner(|| std::fs::read(&path))?.map_err(|error| Cause::of_file(&path, error))?;
    let (after, trace) = site.as_owner(|| edited(change, &site.data_dir, &before))?;
    let candidate = if after == before { None } else { Some(apply::candidate(site, &path, &after)?) };
    let conf = candidate.as_ref().map_or(path.as_path(), Candidate::path);
    let verdict = ask_engine(change, site, conf, &path, running.as_ref())?;
    let polardb = site.bin_dir().is_ok_and(|dir| flavor::is_polardb(&dir));
    let floors = if change.wishes.keys().any(|name| start::has_floor(name)) {
        evidence::floors(site, running.is_some())?
    } else {
        BTreeMap::new()
    };
    let missing = match (change.wishes.get(evidence::PRELOAD), running.is_some()) {
        (Some(Wish::Set(list)), true) => evidence::missing_libraries(site, list)?,
        _ => Vec::new(),
    };
    Ok(Seen { path, before, after, candidate, trace, running, verdict, polardb, floors, missing })
}

/// What can be said without the engine's help: the file does not matter.
fn permit(change: &Change, running: Option<&BTreeMap<String, Setting>>) -> Result<(), Cause> {
    for (name, wish) in &change.wishes {
        if change.scope == Scope::Cluster && is_node_specific(name) {
            let what = format!(
                "{name} belongs to each node alone; for all nodes it would break each at its next start"
            );
            return Err(Cause::invalid(
                "node_specific",
                what,
                "set it on the node: leave --scope cluster out",
            ));
        }
        let Some(running) = running else { continue };
        let Some(setting) = running.get(name) else {
            // One of an extension that is not loaded may be set ahead.
            if name.contains('.') || *wish == Wish::Unset {
                continue;
            }
            let next = "polarctl params get NAME tells what there is; an extension's own has its name and a dot in front";
            return Err(Cause::invalid(
                "unknown_parameter",
                format!("the engine knows no parameter {name}"),
                next,
            ));
        };
        if setting.context == "internal" {
            let what = format!("{name} cannot be set: the engine tells it");
            return Err(Cause::invalid("read_only_parameter", what, "leave it out"));
        }
        let Wish::Set(value) = wish else { continue };
        if let Err(why) = setting.kind.canonical(value) {
            return Err(Cause::invalid(
                "invalid_value",
                format!("{name}: {why}"),
                "correct it: nothing was changed",
            ));
        }
    }
    Ok(())
}

/// `postgresql.conf` as it is to be, and every setting with that.
fn edited(change: &Change, data_dir: &Path, before: &[u8]) -> (Vec<u8>, Trace) {
    let mut document = Document::parse(before);
    if change.scope == Scope::Node {
        for (name, wish) in &change.wishes {
            match wish {
                Wish::Unset => {
                    document.unset(name);
                }
                Wish::Set(value) => {
                    let mut supposed = document.clone();
                    supposed.set(name, value, Where::InPlace);
                    let trace = conf::trace(data_dir, &[], Some(&supposed.bytes()));
                    // Something that is included behind its line would win.
                    let included = trace.of(name).rfind(|found| found.layer < Layer::Auto);
                    if included.is_some_and(|found| found.layer == Layer::Included) {
                        document.set(name, value, Where::AtEnd);
                    } else {
                        document = supposed;
                    }
                }
            }
        }
    }
    let after = document.bytes();
    let trace = conf::trace(data_dir, &[], Some(&after));
    (after, trace)
}

/// What the engine would start with.
fn ask_engine(
    change: &Change,
    site: &Site,
    conf: &Path,
    path: &Path,
    running: Option<&BTreeMap<String, Setting>>,
) -> Result<Result<BTreeMap<String, String>, String>, Cause> {
    let mut values = BTreeMap::new();
    // An extension's own parameter is known to nobody where no file sets it and no library is loaded.
    let known = |name: &str| !name.contains('.') && running.is_none_or(|running| running.contains_key(name));
    let asked = |(name, wish): &(&String, &Wish)| matches!(wish, Wish::Set(_)) || known(name);
    let mut names: Vec<&str> = change.wishes.iter().filter(asked).map(|(name, _)| name.as_str()).collect();
    if names.is_empty() {
        // One that is always there tells whether the files hold at all.
        names.push("port");
    }
    names.extend(
        start::needed(change.wishes.keys()).iter().filter(|name| !change.wishes.contains_key(**name)),
    );
    for name in names {
        let verdict: Verdict = validate::value(site, name, conf, path)?;
        match verdict {
            Ok(value) => values.insert(name.to_owned(), value),
            Err(words) => return Ok(Err(without_secrets(change, &words))),
        };
    }
    Ok(Ok(values))
}

/// The engine repeats a value that it refuses.
fn without_secrets(change: &Change, words: &str) -> String {
    let mut words = words.to_owned();
    for (name, wish) in &change.wishes {
        if let Wish::Set(value) = wish
            && shown(name, value) != *value
        {
            words = words.replace(value.as_str(), &shown(name, value));
        }
    }
    words
}
