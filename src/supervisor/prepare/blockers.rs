//! What keeps the engine from stopping, by the titles of its children.

use super::work::Work;
use crate::supervisor::procfs;

/// So many sessions are named; the rest is counted.
const SESSIONS_MAX: usize = 10;
/// Children that hold up a shutdown: they write, send or archive WAL, or write the checkpoint.
const AUXILIARY: [&str; 4] = ["archiver", "checkpointer", "walsender", "walwriter"];
/// Children that end at once when they are told, and that no shutdown waits for.
const HARMLESS: [&str; 12] = [
    "autovacuum",
    "background writer",
    "bgwriter",
    "io worker",
    "logger",
    "logical replication",
    "parallel worker",
    "slotsync",
    "startup",
    "stats collector",
    "walreceiver",
    "walsummarizer",
];

/// What a child of the postmaster is.
#[derive(Debug, PartialEq, Eq)]
enum Child {
    /// A client's session.
    Session,
    /// One of [`AUXILIARY`].
    Auxiliary,
    /// Anything else.
    Other,
}

/// Notes what blocks, a line each.
pub(super) fn tell(work: Work<'_>, postmaster: i32) {
    let mut sessions = Vec::new();
    let mut others = Vec::new();
    for pid in procfs::pids() {
        if procfs::stat(pid).is_none_or(|stat| stat.parent != postmaster) {
            continue;
        }
        let title = procfs::title(pid);
        match kind(&title) {
            Child::Session => sessions.push((pid, title)),
            Child::Auxiliary => others.push((pid, title)),
            Child::Other => {}
        }
    }
    let more = sessions.len().saturating_sub(SESSIONS_MAX);
    for (pid, title) in sessions.iter().take(SESSIONS_MAX) {
        work.report.note(format!("still there: session {pid}, {title}"));
    }
    if more > 0 {
        work.report.note(format!("still there: {more} more sessions"));
    }
    for (pid, title) in &others {
        work.report.note(format!("still there: process {pid}, {title}"));
    }
    if sessions.is_empty() && others.is_empty() {
        work.report.note(format!("the postmaster {postmaster} has no child that it would wait for"));
    }
}

/// Titles are `postgres: [CLUSTER: ]WHAT`, PolarDB's `postgres(5432): primary: WHAT`.
fn kind(title: &str) -> Child {
    let Some((_, what)) = title.split_once(": ") else { return Child::Other };
    if AUXILIARY.iter().any(|name| what.contains(name)) {
        return Child::Auxiliary;
    }
    if HARMLESS.iter().any(|name| what.contains(name)) || what.is_empty() {
        return Child::Other;
    }
    Child::Session
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_told_apart_by_their_titles() {
        for (title, expected) in [
            ("postgres: app shop 10.0.0.1(4711) idle in transaction", Child::Session),
            ("postgres: main: app shop [local] SELECT", Child::Session),
            ("postgres: archiver archiving 000000010000000000000003", Child::Auxiliary),
            ("postgres(5432): primary: checkpointer", Child::Auxiliary),
            ("postgres: walsender repl 10.0.0.2(1) streaming 0/3000060", Child::Auxiliary),
            ("postgres: background writer", Child::Other),
            ("postgres: logger", Child::Other),
            ("postgres: autovacuum launcher", Child::Other),
            ("", Child::Other),
        ] {
            assert_eq!(kind(title), expected, "{title}");
        }
    }
}
