//! The processes of a run: its main process, all that descends from it, and what is left when it has ended.
//!
//! An orphan is given to us, so what a run leaves behind is found among our own children: one list of the kernel's, and not
//! all processes of the machine.

use std::collections::BTreeSet;
use std::path::Path;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process_group};

use crate::engine::title::{is_backend, is_postmaster, is_server};
use crate::supervisor::procfs::{Stat, cwd, has_variable, living, name, own_children, stat, title, uid};

/// Of `all` living processes those that descend from `main`, or are in its session, `main` itself included, without who is
/// `spared`.
pub(crate) fn members(main: i32, all: &[Stat], spared: impl Fn(i32) -> bool) -> Vec<Stat> {
    without(family(&[main], all, |process| process.session == main), all, main, spared)
}

/// Of `all` living processes those of the group that `leader` made, without who is `spared`.
pub(crate) fn group<'a>(
    leader: i32,
    all: impl FnOnce() -> &'a [Stat],
    spared: impl Fn(i32) -> bool,
) -> Vec<Stat> {
    // Asked first, for it costs nothing.
    if Pid::from_raw(leader).is_none_or(|group| test_kill_process_group(group) == Err(Errno::SRCH)) {
        return Vec::new();
    }
    let all = all();
    let group = all.iter().filter(|process| process.group == leader).copied().collect();
    without(group, all, leader, spared)
}

/// Whether a process is a postmaster, which no end of a command's processes may reach: its own stop only is orderly.
pub(crate) fn is_engine(pid: i32) -> bool {
    is_server(&name(pid)) && is_postmaster(&title(pid))
}

/// `some` without who is `spared` and all that descends from it; `main` never is.
fn without(mut some: Vec<Stat>, all: &[Stat], main: i32, spared: impl Fn(i32) -> bool) -> Vec<Stat> {
    let spared: Vec<i32> = some.iter().map(|p| p.pid).filter(|&pid| pid != main && spared(pid)).collect();
    if !spared.is_empty() {
        let spared: BTreeSet<i32> = family(&spared, all, |_| false).iter().map(|p| p.pid).collect();
        some.retain(|process| !spared.contains(&process.pid));
    }
    some
}

/// The roots, what else is `of_it`, and all that descends from those.
fn family(roots: &[i32], all: &[Stat], of_it: impl Fn(&Stat) -> bool) -> Vec<Stat> {
    let mut family: BTreeSet<i32> =
        all.iter().filter(|p| roots.contains(&p.pid) || of_it(p)).map(|p| p.pid).collect();
    loop {
        let before = family.len();
        let children: Vec<i32> = all.iter().filter(|p| family.contains(&p.parent)).map(|p| p.pid).collect();
        family.extend(children);
        if family.len() == before {
            return all.iter().filter(|p| family.contains(&p.pid)).copied().collect();
        }
    }
}

/// Our own children, those that nobody of ours has made included.
pub(crate) fn children() -> Vec<i32> {
    let me = std::process::id().cast_signed();
    own_children().unwrap_or_else(|| {
        living().into_iter().filter(|process| process.parent == me).map(|process| process.pid).collect()
    })
}

/// A main process that has ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    /// It.
    pub(crate) main: i32,
    /// When, in clock ticks since boot: what started later is no leftover.
    pub(crate) at_ticks: u64,
}

impl Ended {
    /// Those that live and are not younger than the end.
    fn living_of<'a>(&'a self, orphans: &'a [i32]) -> impl Iterator<Item = Stat> + 'a {
        let orphans = orphans.iter().filter_map(|&pid| stat(pid));
        orphans.filter(|process| process.lives() && process.start_ticks <= self.at_ticks)
    }
}

/// The living processes that an engine has left behind, of these `orphans`.
///
/// They count when they work in the run's directory, `working_dir`: an engine's backends have sessions of their own.
/// Nobody's `tar` or `pg_dump` of that directory is one. Root without CAP_SYS_PTRACE (a default container) may not read
/// that directory; then a backend's title and the engine's user tell. A backend whose parent is its reaper is a dead
/// postmaster's, so should it be another engine's after all, it is one that has to end as well.
///
/// A postmaster is never a leftover: it is somebody else's, who starts the engine while the death of ours is on its way
/// to us.
pub(crate) fn engine_leftovers(
    ended: &Ended,
    orphans: &[i32],
    working_dir: Option<&Path>,
    user: u32,
) -> Vec<Stat> {
    let works_there = |p: &Stat| {
        working_dir.filter(|_| is_server(&name(p.pid))).is_some_and(|dir| match cwd(p.pid) {
            Some(cwd) => cwd == dir && !is_postmaster(&title(p.pid)),
            None => uid(p.pid) == Some(user) && is_backend(&title(p.pid)),
        })
    };
    ended.living_of(orphans).filter(|p| p.session == ended.main || works_there(p)).collect()
}

/// Of `all` living processes those of the group that a command made, without who is `spared`.
pub(crate) fn group_leftovers<'a>(
    ended: &Ended,
    all: impl FnOnce() -> &'a [Stat],
    spared: impl Fn(i32) -> bool,
) -> Vec<Stat> {
    group(ended.main, all, spared)
        .into_iter()
        .filter(|process| process.start_ticks <= ended.at_ticks)
        .collect()
}

/// The living processes that a command has left behind, of these `orphans`, and what of `all` descends from them: those of
/// its session, and a daemon that has left it and bears the run's `mark` in its environment. Root without CAP_SYS_PTRACE may
/// not read the environment of another user's process: such a daemon is not seen. Who is `spared` is no leftover.
pub(crate) fn tree_leftovers<'a>(
    ended: &Ended,
    orphans: &[i32],
    all: impl FnOnce() -> &'a [Stat],
    mark: &str,
    spared: impl Fn(i32) -> bool,
) -> Vec<Stat> {
    let left: Vec<i32> = ended
        .living_of(orphans)
        .filter(|p| p.session == ended.main || has_variable(p.pid, mark) == Some(true))
        .map(|p| p.pid)
        .collect();
    if left.is_empty() {
        return Vec::new();
    }
    let all = all();
    without(family(&left, all, |_| false), all, ended.main, spared)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32, session: i32) -> Stat {
        Stat { pid, state: 'S', parent, group: session, session, start_ticks: 1 }
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
        let pids = |main: i32| -> Vec<i32> {
            family(&[main], &all, |p| p.session == main).iter().map(|p| p.pid).collect()
        };
        assert_eq!(pids(10), [10, 11, 12, 13]);
        assert!(pids(99).is_empty());
    }

    #[test]
    fn who_is_spared_goes_with_all_that_descends_from_it() {
        // 11 has been adopted by us and is in the session still; 12 and 13 are its children, 14 is its sister.
        let all = [
            process(10, 1, 10),
            process(11, 1, 10),
            process(12, 11, 12),
            process(13, 12, 10),
            process(14, 10, 14),
            process(15, 14, 10),
        ];
        let rest = |spared: &[i32]| -> Vec<i32> {
            let some = family(&[10], &all, |p| p.session == 10);
            without(some, &all, 10, |pid| spared.contains(&pid)).iter().map(|p| p.pid).collect()
        };
        assert_eq!(rest(&[]), [10, 11, 12, 13, 14, 15]);
        assert_eq!(rest(&[11]), [10, 14, 15]);
        assert_eq!(rest(&[10, 12, 14]), [10, 11]);
    }

    #[test]
    fn a_child_is_among_our_own_and_its_group_is_found() {
        use std::os::unix::process::CommandExt;
        let mut child = std::process::Command::new("sleep").arg("1000").process_group(0).spawn().unwrap();
        let pid = child.id().cast_signed();
        let all = living();
        assert_eq!(group(pid, || &all, |_| false).iter().map(|p| p.pid).collect::<Vec<_>>(), [pid]);
        assert_eq!(group(pid, || &all, |other| other != pid).len(), 1, "who leads it is not spared");
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(group(pid, || panic!("there is no such group"), |_| false), []);
    }
}
