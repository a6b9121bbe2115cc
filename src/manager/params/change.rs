//! `params set` and `params unset`: what is asked for, and its steps.

use std::collections::BTreeMap;
use std::fmt;

use super::look::Seen;
use super::name::shown;
use super::{apply, look, plan};
use crate::manager::cause::Cause;
use crate::manager::operation::{Operation, Plan};
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

impl Operation for Change {
    type Seen = Seen;
    type Step = Step;

    fn name(&self) -> &'static str {
        self.name
    }

    fn look(&self, site: &mut Site) -> Result<Seen, Cause> {
        look::look(self, site)
    }

    fn plan(&self, seen: &Seen) -> Result<Plan<Step>, Cause> {
        plan::plan(self, seen)
    }

    fn carry_out(&self, steps: &[Step], seen: &Seen, site: &mut Site) -> Result<(), Cause> {
        apply::carry_out(steps, seen, site)
    }
}
