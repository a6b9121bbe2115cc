//! What is decided for `params set` and `params unset`.

use std::collections::BTreeMap;

use super::change::{Change, Scope, Step, Wish};
use super::look::Seen;
use super::name::shown;
use super::rows::Setting;
use super::start;
use crate::engine::conf::{Document, Layer};
use crate::manager::cause::Cause;
use crate::manager::operation::Plan;

/// Decides it: pure.
///
/// # Errors
/// It cannot be, or must not.
pub(super) fn plan(change: &Change, seen: &Seen) -> Result<Plan<Step>, Cause> {
    if change.scope == Scope::Cluster {
        return cluster_plan(change, seen);
    }
    let start = seen.verdict.as_ref().map_err(Clone::clone);
    let start = start.and_then(|values| start::check(values, &seen.floors)).and_then(|()| {
        let what = || format!("there is no library {}", seen.missing.join(", "));
        if seen.missing.is_empty() { Ok(()) } else { Err(what()) }
    });
    if let Err(words) = start {
        let next = "correct it: nothing was changed";
        return Err(Cause::invalid("invalid_value", format!("the engine would not start: {words}"), next));
    }
    let mut plan = Plan::default();
    let (before, after) = (Document::parse(&seen.before), Document::parse(&seen.after));
    for (name, wish) in &change.wishes {
        let (old, new) = (before.get(name), after.get(name));
        if old != new {
            plan.steps.push(Step::Write { name: name.clone(), old, new });
        }
        look_at_shadows(change, seen, name, wish, &mut plan)?;
    }
    let unsettled = change.wishes.keys().any(|name| !seen.is_settled(name));
    if seen.running.is_none() {
        plan.notes.push("the engine does not run; it starts with what the files say".to_owned());
    } else if !plan.steps.is_empty() || unsettled {
        plan.steps.push(Step::Reload);
    }
    plan.notes.extend(seen.waiting());
    Ok(plan)
}

/// What would keep the file's value from counting.
fn look_at_shadows(
    change: &Change,
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
        if change.over_alter_system {
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

fn cluster_plan(change: &Change, seen: &Seen) -> Result<Plan<Step>, Cause> {
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
    for (name, wish) in &change.wishes {
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
        // The server shows that in its place where nothing is archived.
        if name == "archive_command" && setting.setting == "(disabled)" {
            return true;
        }
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
