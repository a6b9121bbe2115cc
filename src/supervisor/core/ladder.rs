//! The stop ladder: how hard a program is asked to end, by how long it has been asked.

use std::time::Duration;

/// A rung of the stop ladder, from the gentlest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// Wait for the sessions to end (SIGTERM to a postmaster).
    Smart,
    /// End the sessions, then a checkpoint (SIGINT to a postmaster).
    Fast,
    /// End at once; the next start recovers (SIGQUIT to a postmaster).
    Immediate,
    /// SIGKILL of the whole tree.
    Kill,
}

/// How a program is stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ladder {
    /// The rung to begin with.
    pub first: Rung,
    /// Whether it knows [`Rung::Immediate`] (a postmaster does).
    pub immediate: bool,
    /// How long a stop may take.
    pub budget: Duration,
}

/// PostgreSQL kills its own children 5 s into an immediate shutdown: the rung must come well before ours.
const IMMEDIATE_BEFORE_END: Duration = Duration::from_secs(12);
/// What the kernel and the reaping may take after SIGKILL.
const KILL_BEFORE_END: Duration = Duration::from_secs(3);

/// How long after the request `rung` is reached; `None` for one that the ladder does not have.
///
/// A program without an immediate rung has its whole budget before it is killed: it may take it all to end in order. A
/// budget that is too short for the fixed margins is divided in proportion.
#[must_use]
pub fn rung_at(ladder: &Ladder, rung: Rung) -> Option<Duration> {
    let budget = ladder.budget;
    let kill = if ladder.immediate { kill_before(budget) } else { budget };
    let immediate = budget.saturating_sub(IMMEDIATE_BEFORE_END.min(budget / 4 * 3));
    if rung == ladder.first {
        return Some(Duration::ZERO);
    }
    if rung < ladder.first {
        return None;
    }
    match rung {
        Rung::Smart => None,
        // Sessions get half of the time that is left before they are ended the hard way.
        Rung::Fast => Some(if ladder.immediate { immediate / 2 } else { kill / 2 }),
        Rung::Immediate => ladder.immediate.then_some(immediate),
        Rung::Kill => Some(kill),
    }
}

/// When to kill, of this much time, so that all is over when it is.
pub(super) fn kill_before(budget: Duration) -> Duration {
    budget.saturating_sub(KILL_BEFORE_END.min(budget / 4))
}

/// The rung that a program stands on `elapsed` after it was asked to end.
#[must_use]
pub fn rung(ladder: &Ladder, elapsed: Duration) -> Rung {
    [Rung::Kill, Rung::Immediate, Rung::Fast, Rung::Smart]
        .into_iter()
        .find(|&rung| rung_at(ladder, rung).is_some_and(|at| at <= elapsed))
        .unwrap_or(ladder.first)
}

/// The next harder rung that the ladder has.
#[must_use]
pub(super) fn harder(ladder: &Ladder, than: Rung) -> Rung {
    [Rung::Fast, Rung::Immediate]
        .into_iter()
        .find(|&rung| rung > than && rung_at(ladder, rung).is_some())
        .unwrap_or(Rung::Kill)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ladder(first: Rung, immediate: bool, budget: f64) -> Ladder {
        Ladder { first, immediate, budget: Duration::from_secs_f64(budget) }
    }

    #[test]
    fn the_rung_follows_the_time() {
        let engine = ladder(Rung::Fast, true, 45.0);
        let smart = ladder(Rung::Smart, true, 45.0);
        let short = ladder(Rung::Fast, true, 4.0);
        let command = ladder(Rung::Fast, false, 10.0);
        let killed = ladder(Rung::Kill, true, 45.0);
        for (ladder, elapsed, wanted) in [
            (&engine, 0.0, Rung::Fast),
            (&engine, 32.9, Rung::Fast),
            (&engine, 33.0, Rung::Immediate),
            (&engine, 41.9, Rung::Immediate),
            (&engine, 42.0, Rung::Kill),
            (&smart, 0.0, Rung::Smart),
            (&smart, 16.4, Rung::Smart),
            (&smart, 16.5, Rung::Fast),
            (&smart, 33.0, Rung::Immediate),
            (&short, 0.9, Rung::Fast),
            (&short, 1.0, Rung::Immediate),
            (&short, 3.0, Rung::Kill),
            (&command, 9.9, Rung::Fast),
            (&command, 10.0, Rung::Kill),
            (&killed, 0.0, Rung::Kill),
        ] {
            assert_eq!(
                rung(ladder, Duration::from_secs_f64(elapsed)),
                wanted,
                "{ladder:?} after {elapsed} s"
            );
        }
    }

    #[test]
    fn no_time_at_all_is_a_kill() {
        assert_eq!(rung(&ladder(Rung::Fast, true, 0.0), Duration::ZERO), Rung::Kill);
    }

    #[test]
    fn harder_skips_what_the_ladder_lacks() {
        assert_eq!(harder(&ladder(Rung::Smart, true, 45.0), Rung::Smart), Rung::Fast);
        assert_eq!(harder(&ladder(Rung::Fast, true, 45.0), Rung::Fast), Rung::Immediate);
        assert_eq!(harder(&ladder(Rung::Fast, false, 45.0), Rung::Fast), Rung::Kill);
        assert_eq!(harder(&ladder(Rung::Fast, true, 45.0), Rung::Kill), Rung::Kill);
    }
}
