//! The titles that the engine's processes give themselves, as `/proc/PID/cmdline` shows them to everybody.

use super::flavor::SERVERS;

/// Whether this is the title of a postmaster's child: `postgres: checkpointer`, PolarDB `postgres(5432): primary:
/// checkpointer`. A postmaster, a standalone backend and a child that was forked a moment ago keep their arguments.
#[must_use]
pub fn is_backend(title: &str) -> bool {
    let Some(rest) = SERVERS.iter().find_map(|server| title.strip_prefix(server)) else { return false };
    let rest = match rest.strip_prefix('(') {
        Some(port) => port.trim_start_matches(|character: char| character.is_ascii_digit()).strip_prefix(')'),
        None => Some(rest),
    };
    rest.is_some_and(|rest| rest.starts_with(": "))
}

/// Whether `/proc/PID/comm` is that of a server, postmaster or backend. Unlike the title it is read without waiting for
/// the memory of a process that may hang at a disk.
#[must_use]
pub fn is_server(comm: &str) -> bool {
    SERVERS.contains(&comm.trim_end())
}

/// Whether this is the command line of a server that is no postmaster's child: a postmaster, a standalone backend, a
/// child that was forked a moment ago.
#[must_use]
pub fn is_postmaster(title: &str) -> bool {
    let program = title.split(' ').next().and_then(|program| program.rsplit('/').next()).unwrap_or_default();
    SERVERS.contains(&program) && !is_backend(title)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_are_told_by_their_titles() {
        for (title, expected) in [
            ("postgres: checkpointer", true),
            ("postgres: app shop 10.0.0.1(4711) idle", true),
            ("postgres(5432): primary: checkpointer", true),
            ("polar-postgres: walwriter", true),
            ("/usr/lib/postgresql/15/bin/postgres -D /data", false),
            ("postgres -D /data", false),
            ("postgres --single -D /data", false),
            ("postgres(x): y", false),
            ("", false),
        ] {
            assert_eq!(is_backend(title), expected, "{title}");
        }
    }

    #[test]
    fn postmasters_are_told_by_their_command() {
        for (title, expected) in [
            ("/usr/lib/postgresql/15/bin/postgres -D /data", true),
            ("postgres -D /data", true),
            ("/u01/polardb_pg/bin/polar-postgres -D /data", true),
            ("postgres: checkpointer", false),
            ("postgres(5432): primary: checkpointer", false),
            ("sh -c exec postgres -D /data", false),
            ("/usr/lib/postgresql/15/bin/pg_ctl start", false),
            ("", false),
        ] {
            assert_eq!(is_postmaster(title), expected, "{title}");
        }
    }
}
