//! Writing a changed `postgresql.conf`, having it read, and taking it back where the engine does not take it.

use std::path::Path;
use std::time::Duration;

use super::change::Step;
use super::history::{self, Record};
use super::look::Seen;
use super::reload::{self, Mistake};
use crate::engine::conf::Candidate;
use crate::engine::sql::{ident_quote, literal};
use crate::manager::cause::Cause;
use crate::manager::random;
use crate::manager::site::Site;

/// Begins the last part of a candidate's name.
const TAG: &str = "polarctl-";
/// A candidate lives for seconds: an older one was left by a process that was killed.
const LEFT: Duration = Duration::from_secs(600);

/// A file beside `path` with this content, which is to take its place.
///
/// # Errors
/// It could not be written; the old one is as it was.
pub(super) fn candidate(site: &Site, path: &Path, content: &[u8]) -> Result<Candidate, Cause> {
    let written = site.as_owner(|| {
        sweep(path);
        // No process id: another container has the same ones.
        let tag = random::bytes().map(|bytes| format!("{TAG}{:016x}", u64::from_ne_bytes(bytes)))?;
        Candidate::write(path, content, &tag)
    })?;
    let candidate = written.map_err(|error| Cause::of_file(path, error))?;
    // With our own rights: the owner of a file in the folder may be another one than the folder's.
    candidate.keep_owner().map_err(|error| Cause::of_file(path, error))?;
    Ok(candidate)
}

/// Removes what processes that were killed have left of candidates.
fn sweep(path: &Path) {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return };
    let prefix = format!(".{}.{TAG}", name.to_string_lossy());
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let old = || entry.metadata().and_then(|meta| meta.modified()).ok()?.elapsed().ok();
        if entry.file_name().to_string_lossy().starts_with(&prefix) && old().is_some_and(|age| age > LEFT) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Does the steps; takes back what the engine does not take.
///
/// # Errors
/// It was not done.
pub(super) fn carry_out(steps: &[Step], seen: &Seen, site: &mut Site) -> Result<(), Cause> {
    if let Some(candidate) = &seen.candidate {
        put(site, &seen.path, candidate)?;
    }
    let done = rest(steps, seen, site);
    if let Err(cause) = done {
        take_back(steps, seen, site);
        return Err(cause);
    }
    let records: Vec<Record> = steps.iter().filter_map(|step| record(step, site)).collect();
    // That it is not in the history changes nothing of what was done; the next look at it tells.
    if let Some(trouble) = history::add(site, &records) {
        site.remarks.push(trouble);
    }
    Ok(())
}

/// Replaces a file of the instance by one with this content; owner and mode stay.
///
/// # Errors
/// It could not be; the old one is as it was.
pub fn put_file(site: &Site, path: &Path, content: &[u8]) -> Result<(), Cause> {
    put(site, path, &candidate(site, path, content)?)
}

fn put(site: &Site, path: &Path, candidate: &Candidate) -> Result<(), Cause> {
    site.as_owner(|| candidate.put_in_place())?.map_err(|error| Cause::of_file(path, error))
}

fn rest(steps: &[Step], seen: &Seen, site: &mut Site) -> Result<(), Cause> {
    for step in steps {
        match step {
            Step::Write { .. } => {}
            Step::Release { name, .. } if seen.running.is_some() => {
                site.session()?.query(&format!("alter system reset {}", ident_quote(name)))?;
            }
            Step::Release { name, .. } => {
                let what = format!("{name}: ALTER SYSTEM cannot be taken back while the engine is down");
                return Err(Cause::invalid("not_running", what, "polarctl start, then try again"));
            }
            Step::Cluster { name, new } => {
                site.session()?.query(&cluster_statement(name, new.as_deref()))?;
            }
            Step::Reload => {
                let mistakes = reload::reload(site.plain_session()?)?;
                refuse(steps, &mistakes)?;
            }
        }
    }
    Ok(())
}

/// Fails where the engine did not take one of our lines, or could not read the files at all.
fn refuse(steps: &[Step], mistakes: &[Mistake]) -> Result<(), Cause> {
    let ours = |mistake: &&Mistake| match &mistake.name {
        None => true,
        Some(name) => steps.iter().any(|step| matches!(step, Step::Write { name: ours, .. } if ours == name)),
    };
    let words: Vec<&str> = mistakes.iter().filter(ours).map(|mistake| mistake.text.as_str()).collect();
    if words.is_empty() {
        return Ok(());
    }
    let what = format!("the engine did not take it: {}", words.join("; "));
    Err(Cause::invalid("refused", what, "correct it: all is as it was before"))
}

/// The statement of PolarDB; RELOAD has it take effect on every node.
fn cluster_statement(name: &str, value: Option<&str>) -> String {
    let name = name.split('.').map(ident_quote).collect::<Vec<_>>().join(".");
    match value {
        Some(value) => format!("alter system for cluster reload set {name} = {}", literal(value)),
        None => format!("alter system for cluster reload reset {name}"),
    }
}

/// Puts the old file back and has it read. What fails here is told by the next look: the first cause is the one to tell.
fn take_back(steps: &[Step], seen: &Seen, site: &mut Site) {
    if seen.candidate.is_some() {
        let old = candidate(site, &seen.path, &seen.before);
        let back = old.and_then(|old| put(site, &seen.path, &old));
        if let Err(cause) = back {
            site.remarks.push(format!("the old {} could not be put back: {cause}", seen.path.display()));
        }
    }
    if seen.running.is_none() {
        return;
    }
    for step in steps {
        if let Step::Release { name, old } = step
            && let Ok(session) = site.session()
        {
            let _ = session.query(&format!("alter system set {} = {}", ident_quote(name), literal(old)));
        }
    }
    if let Ok(session) = site.plain_session() {
        let _ = reload::reload(session);
    }
}

/// Takes back what was carried out, where something else showed that the engine does not take it; in the history that is
/// a change like others.
pub fn undo(steps: &[Step], seen: &Seen, site: &mut Site) {
    take_back(steps, seen, site);
    let reversed = steps.iter().filter_map(|step| match step {
        Step::Write { name, old, new } => Some(Record::new(&site.call, name, new.as_deref(), old.as_deref())),
        Step::Release { name, old } => {
            Some(Record::new(&site.call, &format!("{name} (ALTER SYSTEM)"), None, Some(old)))
        }
        Step::Cluster { .. } | Step::Reload => None,
    });
    let records: Vec<Record> = reversed.collect();
    site.remarks.extend(history::add(site, &records));
}

fn record(step: &Step, site: &Site) -> Option<Record> {
    match step {
        Step::Write { name, old, new } => Some(Record::new(&site.call, name, old.as_deref(), new.as_deref())),
        Step::Cluster { name, new } => {
            Some(Record::new(&site.call, &format!("{name} (cluster)"), None, new.as_deref()))
        }
        Step::Release { name, old } => {
            Some(Record::new(&site.call, &format!("{name} (ALTER SYSTEM)"), Some(old), None))
        }
        Step::Reload => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_for_all_nodes() {
        assert_eq!(
            cluster_statement("polar_vfs.x", Some("a'b\\c")),
            r#"alter system for cluster reload set "polar_vfs"."x" = E'a''b\\c'"#
        );
        assert_eq!(
            cluster_statement("work_mem", None),
            r#"alter system for cluster reload reset "work_mem""#
        );
    }
}
