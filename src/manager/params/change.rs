//! `params set` and `params unset`: what is found out, and what is decided.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::apply;
use super::name::{is_node_specific, shown};
use super::rows::{self, Setting};
use super::validate::{self, Verdict};
use super::{evidence, start};
use crate::engine::conf::{self, Candidate, Document, Layer, Trace, Where};
use crate::engine::flavor;
use crate::manager::cause::Cause;
use crate::manager::operation::{Operation, Plan};
use crate::manager::refusal::Shown;
use crate::manager::site::Site;

/// What a parameter is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// This value.
    Set(String),
    /// Whatever it is where `postgresql.conf` says nothing of it.
    Unset,
}

/// Whose parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// This node's, in its own `postgresql.conf`.
    Node,
    /// Those of all nodes of a PolarDB cluster, by ALTER SYSTEM FOR CLUSTER.
    Cluster,
}

/// `params set` or `params unset`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// By name, in lower case.
    pub wishes: BTreeMap<String, Wish>,
    /// Whose.
    pub scope: Scope,
    /// Whether what ALTER SYSTEM says of them is taken back.
    pub over_alter_system: bool,
    /// Its name, as it is typed.
    pub name: &'static str,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Write a line of `postgresql.conf`.
    Write {
        /// The parameter.
        name: String,
        /// What the file says of it.
        old: Option<String>,
        /// What it is to say.
        new: Option<String>,
    },
    /// Take back what ALTER SYSTEM says.
    Release {
        /// The parameter.
        name: String,
        /// What it says.
        old: String,
    },
    /// Have all nodes of a cluster told.
    Cluster {
        /// The parameter.
        name: String,
        /// What it is to be.
        new: Option<String>,
    },
    /// Have the engine read its files, and confirm that it did.
    Reload,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |name: &str, value: &Option<String>| {
            value.as_ref().map_or_else(|| "(nothing)".to_owned(), |value| shown(name, value))
        };
        match self {
            Step::Write { name, old, new } => {
                write!(f, "postgresql.conf: {name}: {} -> {}", word(name, old), word(name, new))
            }
            Step::Release { name, old } => {
                write!(f, "ALTER SYSTEM RESET {name}, which says {}", shown(name, old))
            }
            Step::Cluster { name, new } => write!(f, "all nodes: {name} = {}", word(name, new)),
            Step::Reload => f.write_str("reload, confirmed by the engine"),
        }
    }
}

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
    floors: BTreeMap<&'static str, u64>,
    /// Libraries that are to be loaded at the start and are not there.
    missing: Vec<String>,
}

impl Operation for Change {
    type Seen = Seen;
    type Step = Step;

    fn name(&self) -> &'static str {
        self.name
    }

    fn look(&self, site: &mut Site) -> Result<Seen, Cause> {
        // Before anything is read or run: an engine that hangs or is on its way up or down is not changed.
        let running = match site.shown()? {
            Shown::Up => {
                let names: Vec<String> = self.wishes.keys().cloned().collect();
                Some(rows::of(site.plain_session()?, &names)?)
            }
            Shown::Down => None,
        };
        self.permit(running.as_ref())?;
        let path = site.data_dir.join("postgresql.conf");
        let before = site.as_owner(|| std::fs::read(&path))?.map_err(|error| Cause::of_file(&path, error))?;
        let (after, trace) = site.as_owner(|| self.edited(&site.data_dir, &before))?;
        let candidate = if after == before { None } else { Some(apply::candidate(site, &path, &after)?) };
        let conf = candidate.as_ref().map_or(path.as_path(), Candidate::path);
        let verdict = self.ask_engine(site, conf, &path, running.as_ref())?;
        let polardb = site.bin_dir().is_ok_and(|dir| flavor::is_polardb(&dir));
        let floors = if self.wishes.keys().any(|name| start::has_floor(name)) {
            evidence::floors(site, running.is_some())?
        } else {
            BTreeMap::new()
        };
        let missing = match (self.wishes.get(evidence::PRELOAD), running.is_some()) {
            (Some(Wish::Set(list)), true) => evidence::missing_libraries(site, list)?,
            _ => Vec::new(),
        };
        Ok(Seen { path, before, after, candidate, trace, running, verdict, polardb, floors, missing })
    }

    fn plan(&self, seen: &Seen) -> Result<Plan<Step>, Cause> {
        if self.scope == Scope::Cluster {
            return self.cluster_plan(seen);
        }
        let start = seen.verdict.as_ref().map_err(Clone::clone);
        let start = start.and_then(|values| start::check(values, &seen.floors)).and_then(|()| {
            let what = || format!("there is no library {}", seen.missing.join(", "));
            if seen.missing.is_empty() { Ok(()) } else { Err(what()) }
        });
        if let Err(words) = start {
            let next = "correct it: nothing was changed";
            return Err(Cause::invalid(
                "invalid_value",
                format!("the engine would not start: {words}"),
                next,
            ));
        }
        let mut plan = Plan::default();
        let (before, after) = (Document::parse(&seen.before), Document::parse(&seen.after));
        for (name, wish) in &self.wishes {
            let (old, new) = (before.get(name), after.get(name));
            if old != new {
                plan.steps.push(Step::Write { name: name.clone(), old, new });
            }
            self.look_at_shadows(seen, name, wish, &mut plan)?;
        }
        let unsettled = self.wishes.keys().any(|name| !seen.is_settled(name));
        if seen.running.is_none() {
            plan.notes.push("the engine does not run; it starts with what the files say".to_owned());
        } else if !plan.steps.is_empty() || unsettled {
            plan.steps.push(Step::Reload);
        }
        plan.notes.extend(seen.waiting());
        Ok(plan)
    }

    fn carry_out(&self, steps: &[Step], seen: &Seen, site: &mut Site) -> Result<(), Cause> {
        apply::carry_out(steps, seen, site)
    }
}

impl Change {
    /// What can be said without the engine's help: the file does not matter.
    fn permit(&self, running: Option<&BTreeMap<String, Setting>>) -> Result<(), Cause> {
        for (name, wish) in &self.wishes {
            if self.scope == Scope::Cluster && is_node_specific(name) {
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
    fn edited(&self, data_dir: &Path, before: &[u8]) -> (Vec<u8>, Trace) {
        let mut document = Document::parse(before);
        if self.scope == Scope::Node {
            for (name, wish) in &self.wishes {
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
        &self,
        site: &Site,
        conf: &Path,
        path: &Path,
        running: Option<&BTreeMap<String, Setting>>,
    ) -> Result<Result<BTreeMap<String, String>, String>, Cause> {
        let mut values = BTreeMap::new();
        // An extension's own parameter is known to nobody where no file sets it and no library is loaded.
        let known =
            |name: &str| !name.contains('.') && running.is_none_or(|running| running.contains_key(name));
        let asked = |(name, wish): &(&String, &Wish)| matches!(wish, Wish::Set(_)) || known(name);
        let mut names: Vec<&str> = self.wishes.iter().filter(asked).map(|(name, _)| name.as_str()).collect();
        if names.is_empty() {
            // One that is always there tells whether the files hold at all.
            names.push("port");
        }
        names.extend(
            start::needed(self.wishes.keys()).iter().filter(|name| !self.wishes.contains_key(**name)),
        );
        for name in names {
            let verdict: Verdict = validate::value(site, name, conf, path)?;
            match verdict {
                Ok(value) => values.insert(name.to_owned(), value),
                Err(words) => return Ok(Err(self.without_secrets(&words))),
            };
        }
        Ok(Ok(values))
    }

    /// The engine repeats a value that it refuses.
    fn without_secrets(&self, words: &str) -> String {
        let mut words = words.to_owned();
        for (name, wish) in &self.wishes {
            if let Wish::Set(value) = wish
                && shown(name, value) != *value
            {
                words = words.replace(value.as_str(), &shown(name, value));
            }
        }
        words
    }

    /// What would keep the file's value from counting.
    fn look_at_shadows(
        &self,
        seen: &Seen,
        name: &str,
        wish: &Wish,
        plan: &mut Plan<Step>,
    ) -> Result<(), Cause> {
        let setting = seen.running.as_ref().and_then(|running| running.get(name));
        if setting.is_some_and(Setting::is_overridden) && *wish != Wish::Unset {
            let what = format!(
                "{name} is set by the engine's {}, which counts more than any file",
                setting.map_or("", |setting| &setting.source)
            );
            return Err(Cause::invalid("shadowed", what, "change how the engine is started"));
        }
        let auto = seen.trace.winner(name).filter(|found| found.layer == Layer::Auto);
        if let Some(found) = auto {
            let shown = shown(name, &found.value);
            if self.over_alter_system {
                plan.steps.push(Step::Release { name: name.to_owned(), old: found.value.clone() });
            } else if *wish == Wish::Unset {
                plan.notes.push(format!("{name}: postgresql.auto.conf (ALTER SYSTEM) still says {shown}; --over-alter-system takes that back too"));
            } else {
                let what = format!(
                    "{name}: postgresql.auto.conf (ALTER SYSTEM) says {shown}, which counts more than postgresql.conf"
                );
                return Err(Cause::invalid("shadowed", what, "--over-alter-system takes that back"));
            }
        } else if let Some(found) = seen.trace.winner(name).filter(|found| found.layer != Layer::Main)
            && *wish == Wish::Unset
        {
            plan.notes.push(format!(
                "{name}: {}:{} says {}",
                found.file.display(),
                found.line,
                shown(name, &found.value)
            ));
        }
        if let Some(setting) = setting.filter(|setting| setting.is_masked()) {
            plan.notes.push(format!("{name}: for this role or database something else counts (ALTER ROLE or ALTER DATABASE ... SET; source: {})", setting.source));
        }
        if setting.is_none() && seen.running.is_some() {
            plan.notes.push(format!("{name}: no library that is loaded knows it"));
        }
        Ok(())
    }

    fn cluster_plan(&self, seen: &Seen) -> Result<Plan<Step>, Cause> {
        if !seen.polardb {
            let what = "a scope of all nodes is PolarDB's (ALTER SYSTEM FOR CLUSTER), and this is PostgreSQL";
            return Err(Cause::invalid(
                "no_cluster_scope",
                what,
                "set it on each node: leave --scope cluster out",
            ));
        }
        let Some(running) = &seen.running else {
            return Err(Cause::invalid(
                "not_running",
                "the scope of all nodes needs the engine",
                "polarctl start",
            ));
        };
        let mut plan = Plan::default();
        for (name, wish) in &self.wishes {
            let found = seen.trace.of(name).find(|found| found.layer == Layer::Cluster);
            let new = match wish {
                Wish::Set(value) => Some(value.clone()),
                Wish::Unset => None,
            };
            if found.map(|found| &found.value) != new.as_ref() {
                plan.steps.push(Step::Cluster { name: name.clone(), new });
            }
            if let Some(winner) = seen.trace.winner(name).filter(|winner| winner.layer > Layer::Cluster) {
                plan.notes.push(format!(
                    "{name}: on this node {}:{} counts more",
                    winner.file.display(),
                    winner.line
                ));
            }
            if running.get(name).is_some_and(|setting| setting.context == "postmaster") {
                plan.notes.push(format!("{name} takes effect at each node's restart"));
            }
        }
        Ok(plan)
    }
}

impl Seen {
    /// Whether what runs is what the files say, as far as it may be before a restart.
    fn is_settled(&self, name: &str) -> bool {
        let Some(setting) = self.running.as_ref().and_then(|running| running.get(name)) else { return true };
        if setting.pending_restart || setting.is_masked() || setting.is_overridden() {
            return true;
        }
        let Some(expected) = self.verdict.as_ref().ok().and_then(|values| values.get(name)) else {
            return true;
        };
        // What a library that only the server has loaded would make of the text, this one cannot.
        *expected == setting.setting || setting.kind.same(expected, &setting.setting)
    }

    /// Parameters that wait for a restart, with both values.
    pub(super) fn waiting(&self) -> Vec<String> {
        let settings =
            self.running.iter().flat_map(BTreeMap::values).filter(|setting| setting.pending_restart);
        let text = |setting: &Setting| {
            let next = self.trace.winner(&setting.name).map_or(setting.boot.as_str(), |found| &found.value);
            let name = &setting.name;
            format!(
                "{name} waits for a restart: {} runs, {} comes",
                shown(name, &setting.shown),
                shown(name, next)
            )
        };
        settings.map(text).collect()
    }
}
