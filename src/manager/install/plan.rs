//! What is to be done: a table of what was seen and what was asked for.

use std::path::Path;

use super::database::{in_words, missing_part};
use super::seen::{Seen, role_of};
use super::stage::Found;
use super::{Install, Role, Step, Storage, conninfo, folders, markers, parameters};
use crate::engine::bootstrap::initdb_args_mistakes;
use crate::engine::datadir::Contents;
use crate::manager::cause::Cause;
use crate::manager::operation::Plan;
use crate::manager::tablespace::checked_location;

/// Names of somebody's files that a refusal tells.
const NAMES_MAX: usize = 5;
/// How long all arguments of initdb may be together, in bytes.
const ARGUMENTS_MAX: usize = 16 * 1024;

/// The parameters, once all that was asked for is sound.
///
/// # Errors
/// It can be no installation, or is one of a later version.
pub(super) fn checked(install: &Install) -> Result<Vec<(String, String)>, Cause> {
    supported(install)?;
    let parameters = parameters::checked(&install.parameters)?;
    if let Some(id) = &install.logic_id {
        markers::checked_id(id)?;
    }
    if let Role::Standby(primary) = &install.role {
        conninfo::checked(primary)?;
    }
    if let Some(dir) = &install.tablespace_dir {
        checked_location(&dir.to_string_lossy())?;
    }
    if let Some(ssl) = &install.ssl {
        ssl.checked()?;
    }
    if !install.log_dir.is_absolute() {
        let what = format!("the folder of log files {:?} is no absolute path", install.log_dir);
        return Err(Cause::invalid("usage", what, "give an absolute path"));
    }
    let usage = |what: String| Err(Cause::invalid("usage", what, "give others"));
    if install.initdb_args.iter().any(|word| word.contains('\0')) {
        return usage("an argument for initdb has a NUL in it".to_owned());
    }
    if install.initdb_args.iter().map(String::len).sum::<usize>() > ARGUMENTS_MAX {
        return usage(format!("the arguments for initdb have more than {ARGUMENTS_MAX} bytes"));
    }
    let mistakes = initdb_args_mistakes("the arguments for initdb", &install.initdb_args);
    if !mistakes.is_empty() {
        return usage(mistakes.join("; "));
    }
    Ok(parameters)
}

/// What is of a later version is refused before anything else.
fn supported(install: &Install) -> Result<(), Cause> {
    let part = match (&install.role, install.storage) {
        (Role::ReadOnly, _) => "a read-only node on shared storage (PFS: polar-replica-initdb.sh)",
        (Role::DataMax, _) => "a datamax node (a log without data)",
        _ if install.dma => "a node of a DMA cluster (polar_dma_init_meta)",
        _ if install.tde => "encrypted data (TDE: polar_cluster_passphrase_command)",
        (_, Storage::FcSan) => "shared storage on a SAN (PFS: polar-initdb.sh)",
        (_, Storage::PolarStore) => "shared storage on PolarStore (PFS: polar-initdb.sh)",
        (Role::ReadWrite | Role::Standby(_), Storage::Local) => return Ok(()),
    };
    Err(missing_part(part))
}

/// Decides.
///
/// # Errors
/// Nothing may be installed here.
pub(super) fn plan(install: &Install, seen: &Seen) -> Result<Plan<Step>, Cause> {
    let mut plan = Plan::default();
    if seen.done {
        if seen.contents != Contents::Database {
            return Err(done_without_database(seen));
        }
        let left = seen.stages.iter().filter(|stage| !stage.held && (stage.emptied || !stage.complete));
        plan.steps.extend(left.map(|stage| Step::Discard(stage.name.clone())));
        return Ok(plan);
    }
    let steps = &mut plan.steps;
    refuse(seen)?;
    if let Some(role) = seen.role.as_ref().filter(|role| *role != role_of(install)) {
        return Err(Cause::invalid(
            "other_role",
            format!("an installation of another role ({role}) has got as far as to the database"),
            format!("call install as it was called, with the role {role}"),
        ));
    }
    if seen.to_own {
        steps.push(Step::Own { user: seen.user.2.clone() });
    }
    let dead = seen.stages.iter().filter(|stage| !stage.complete);
    steps.extend(dead.map(|stage| Step::Discard(stage.name.clone())));
    if seen.logs {
        steps.push(Step::Logs(folders::logs_of(&install.log_dir)));
    }
    if seen.ours.is_none() {
        steps.push(Step::Make { how: in_words(install) });
    }
    if seen.contents != Contents::Database {
        steps.push(Step::Promote);
    }
    if seen.unconfigured {
        steps.push(Step::Configure);
    }
    if install.lock && !seen.locked {
        steps.push(Step::Lock);
    }
    steps.extend(seen.unmarked.iter().map(|name| Step::Mark(name)));
    if !seen.ssl {
        steps.push(Step::Ssl);
    }
    if let Some(dir) = install.tablespace_dir.as_ref().filter(|_| seen.tablespace) {
        steps.push(Step::Tablespace(dir.clone()));
    }
    steps.push(Step::Done);
    plan.notes = seen.given.notes(install);
    Ok(plan)
}

/// What stands against an installation.
fn refuse(seen: &Seen) -> Result<(), Cause> {
    let data_dir = seen.data_dir.display();
    if seen.pid_file && seen.listens.is_some()
        || seen.contents == Contents::Database && seen.listens.is_some()
    {
        let what = format!(
            "an engine lives on {data_dir}: it listens on {}",
            seen.listens.as_deref().unwrap_or_default()
        );
        return Err(Cause::invalid("living_engine", what, "stop it, or give the volume of another instance"));
    }
    if seen.contents == Contents::Database && seen.ours.is_none() {
        let what = format!(
            "{data_dir} holds a database that no installation has made, and {} does not say done",
            markers::STEP
        );
        let next = "to have it served as it is: polarctl start, or under init = \"wait\" write done into that file \
                    yourself; to install another one give an empty volume";
        return Err(Cause::invalid("database_there", what, next));
    }
    if seen.pid_file {
        let what = format!(
            "{data_dir} has a postmaster.pid: an engine runs, or was killed, on the database of an installation that is \
             not done"
        );
        return Err(Cause::invalid("living_engine", what, "see who started it, and stop it"));
    }
    if let Contents::Foreign { names } = &seen.contents {
        let shown: Vec<&str> = names.iter().take(NAMES_MAX).map(String::as_str).collect();
        let more = names.len().saturating_sub(NAMES_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let what = format!(
            "{data_dir} is neither empty nor a database: it holds {}{more}. Such a directory is never initialized, wiped \
             or moved",
            shown.join(", ")
        );
        return Err(Cause::invalid(
            "foreign",
            what,
            "give an empty volume, or move these files away yourself",
        ));
    }
    if let Some(who) = &seen.first_boot {
        return Err(first_boot(who, &seen.data_dir));
    }
    if let Some(place) = &seen.listens {
        let what = format!("something listens on {place} already");
        return Err(Cause::invalid("living_engine", what, "stop it, or choose another port"));
    }
    if seen.to_own && !seen.may_own {
        let what = format!("{data_dir} is to be given to {}", seen.user.2);
        return Err(Cause::NotPermitted(what));
    }
    let strange = |stage: &&Found| stage.complete && Some(&stage.name) != seen.ours.as_ref();
    if let Some(stage) = seen.stages.iter().find(strange) {
        let what = format!("what lies in {data_dir} does not fit the complete stage {} there", stage.name);
        let next = "look at both, and restore the volume from a backup if in doubt";
        return Err(Cause::invalid("bad_stage", what, next));
    }
    Ok(())
}

/// That a supervisor makes a database there by itself.
pub(super) fn first_boot(who: &str, data_dir: &Path) -> Cause {
    let next = "set init = \"wait\" in the engine container's supervisor.toml, which has others install; or leave the \
                volume to that first boot";
    Cause::invalid("first_boot", format!("{who} on {}", data_dir.display()), next)
}

fn done_without_database(seen: &Seen) -> Cause {
    let what = format!(
        "{} of {} says done, and there is no database: nothing is made in its place",
        markers::STEP,
        seen.data_dir.display()
    );
    let next = "mount the right volume or restore a backup; to begin with an empty one remove that file";
    Cause::invalid("done_without_database", what, next)
}

#[cfg(test)]
mod tests;
