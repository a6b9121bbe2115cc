//! The processes of a run: its main process, all that descends from it, and what is left when it has ended.

use std::collections::BTreeSet;
use std::path::Path;

use crate::engine::title::{is_backend, is_postmaster, is_server};
use crate::supervisor::procfs::{Stat, cwd, living, name, title, uid};

/// The living processes that descend from `main`, or are in its session, `main` itself included.
pub(crate) fn members(main: i32) -> Vec<Stat> {
    family(main, &living())
}

fn family(main: i32, all: &[Stat]) -> Vec<Stat> {
    let mut family: BTreeSet<i32> =
        all.iter().filter(|p| p.pid == main || p.session == main).map(|p| p.pid).collect();
    loop {
        let before = family.len();
        let children: Vec<i32> = all.iter().filter(|p| family.contains(&p.parent)).map(|p| p.pid).collect();
        family.extend(children);
        if family.len() == before {
            return all.iter().filter(|p| family.contains(&p.pid)).copied().collect();
        }
    }
}

/// What is left of a run whose main process has ended.
#[derive(Debug, Clone)]
pub(crate) struct Ended<'a> {
    /// The main process that was.
    pub(crate) main: i32,
    /// When it ended, in clock ticks since boot: what started later is no leftover.
    pub(crate) at_ticks: u64,
    /// The directory that an engine and all its backends work in.
    pub(crate) working_dir: Option<&'a Path>,
    /// The user that they run as.
    pub(crate) uid: u32,
}

/// The living processes that `ended` has left behind.
///
/// Orphans of ours (of this process, which is their reaper) count when they work in the run's directory: an engine's
/// backends have sessions of their own. Nobody's `tar` or `pg_dump` of that directory is one. Root without CAP_SYS_PTRACE (a default container) may not read that directory;
/// then a backend's title and the engine's user tell. A backend whose parent is its reaper is a dead postmaster's, so
/// should it be another engine's after all, it is one that has to end as well.
///
/// A postmaster is never a leftover: it is somebody else's, who starts the engine while the death of ours is on its way
/// to us.
pub(crate) fn leftovers(ended: &Ended<'_>, known: &BTreeSet<i32>) -> Vec<Stat> {
    let me = std::process::id().cast_signed();
    let all = living();
    let orphan = |p: &Stat| {
        p.parent == me
            && !known.contains(&p.pid)
            && p.start_ticks <= ended.at_ticks
            && (p.session == ended.main
                || ended.working_dir.filter(|_| is_server(&name(p.pid))).is_some_and(
                    |dir| match cwd(p.pid) {
                        Some(cwd) => cwd == dir && !is_postmaster(&title(p.pid)),
                        None => uid(p.pid) == Some(ended.uid) && is_backend(&title(p.pid)),
                    },
                ))
    };
    all.iter().filter(|p| orphan(p)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32, session: i32) -> Stat {
        Stat { pid, state: 'S', parent, session, start_ticks: 1 }
    }

    #[test]
    fn a_family_is_descendants_and_session() {
        let all = [
            process(1, 0, 1),
            process(10, 1, 10),
            process(11, 10, 11),
            process(12, 11, 12),
            process(13, 1, 10),
            process(20, 1, 20),
            process(21, 20, 20),
        ];
        let pids: Vec<i32> = family(10, &all).iter().map(|p| p.pid).collect();
        assert_eq!(pids, [10, 11, 12, 13]);
        assert!(family(99, &all).is_empty());
    }
}
