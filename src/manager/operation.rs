//! The shape of every operation that changes something: look, plan, carry out, look again.

use std::fmt;

use super::cause::Cause;
use super::site::Site;
use super::turn::{self, Turn};

/// What a plan consists of, in order, and what people should know beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan<S> {
    /// What is to be done; nothing where all is as it was asked for.
    pub steps: Vec<S>,
    /// What people should know: what it cannot do, what remains to be done by others.
    pub notes: Vec<String>,
}

impl<S> Default for Plan<S> {
    fn default() -> Self {
        Plan { steps: Vec::new(), notes: Vec::new() }
    }
}

/// An operation on an instance.
pub trait Operation {
    /// What it finds out before it decides.
    type Seen;
    /// One thing to do, shown to people; it never shows a secret.
    type Step: fmt::Display;

    /// Its name, as it is typed: `params set`.
    fn name(&self) -> &'static str;

    /// Waits for those before it, and keeps others out until the end of the value.
    ///
    /// # Errors
    /// Another operation did not end in time.
    fn turn(&self, site: &Site, who: &str, waiting: &mut dyn FnMut(&str)) -> Result<Turn, Cause> {
        turn::take(site, who, waiting)
    }

    /// Finds out how things are; changes nothing.
    ///
    /// # Errors
    /// It could not be found out.
    fn look(&self, site: &mut Site) -> Result<Self::Seen, Cause>;

    /// Decides what is to be done: pure.
    ///
    /// # Errors
    /// What was asked for cannot be, or must not.
    fn plan(&self, seen: &Self::Seen) -> Result<Plan<Self::Step>, Cause>;

    /// Does it: all steps, in order. What it cannot finish it takes back.
    ///
    /// # Errors
    /// Why not.
    fn carry_out(&self, steps: &[Self::Step], seen: &Self::Seen, site: &mut Site) -> Result<(), Cause>;

    /// Whether it took effect, by what was seen before and what is seen after: nothing is left to do.
    ///
    /// # Errors
    /// [`Cause::Unconfirmed`] with what is left.
    fn confirm(&self, _before: &Self::Seen, after: &Self::Seen) -> Result<Vec<String>, Cause> {
        let left = self.plan(after)?;
        if left.steps.is_empty() {
            return Ok(left.notes);
        }
        let left: Vec<String> = left.steps.iter().map(ToString::to_string).collect();
        Err(Cause::Unconfirmed(format!("still to do: {}", left.join("; "))))
    }
}

/// How an operation was called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Call {
    /// Names the request, in the log and to who waits for it.
    pub request: String,
    /// Who calls.
    pub caller: String,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// What came of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome<T> {
    /// Whether anything was changed.
    pub changed: bool,
    /// What was done, or with `--dry-run` would have been.
    pub steps: Vec<String>,
    /// What people should know.
    pub notes: Vec<String>,
    /// How things are in the end.
    pub seen: T,
}

/// Runs an operation as `site.call` has it; `waiting` is told for whom it waits, where another one is under way.
///
/// # Errors
/// Why it was not done.
pub fn run<O: Operation>(
    operation: &O,
    site: &mut Site,
    waiting: &mut dyn FnMut(&str),
) -> Result<Outcome<O::Seen>, Cause> {
    site.purpose = operation.name();
    if site.call.dry_run {
        let seen = operation.look(site)?;
        let plan = operation.plan(&seen)?;
        return Ok(Outcome { changed: false, steps: shown(&plan), notes: plan.notes, seen });
    }
    let who = format!("{} by {}, request {}", operation.name(), site.call.caller, site.call.request);
    let _turn = operation.turn(site, &who, waiting)?;
    let mut seen = operation.look(site)?;
    let mut plan = operation.plan(&seen)?;
    let mut overtaken = false;
    loop {
        if plan.steps.is_empty() {
            return Ok(Outcome { changed: false, steps: Vec::new(), notes: plan.notes, seen });
        }
        match operation.carry_out(&plan.steps, &seen, site) {
            Err(cause) if !overtaken && is_overtaken(&cause) => overtaken = true,
            done => break done?,
        }
        seen = operation.look(site)?;
        plan = operation.plan(&seen)?;
    }
    let after = operation.look(site)?;
    let mut notes = operation.confirm(&seen, &after)?;
    notes.append(&mut site.remarks);
    Ok(Outcome { changed: true, steps: shown(&plan), notes, seen: after })
}

/// Whether things changed between look and deed: the server still ends what a caller that was killed has begun. SQLSTATE:
/// duplicate_object, undefined_object, and unique_violation where the other one has not committed yet.
fn is_overtaken(cause: &Cause) -> bool {
    matches!(cause, Cause::Sql { code, .. } if ["42710", "42704", "23505"].contains(&code.as_str()))
}

fn shown<S: fmt::Display>(plan: &Plan<S>) -> Vec<String> {
    plan.steps.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Brings a number to 3 by steps of `reach`.
    struct Count {
        number: Cell<u32>,
        works: bool,
        /// How often another one is faster.
        overtaken: Cell<u32>,
    }

    impl Operation for Count {
        type Seen = u32;
        type Step = &'static str;

        fn name(&self) -> &'static str {
            "count"
        }

        fn look(&self, _: &mut Site) -> Result<u32, Cause> {
            Ok(self.number.get())
        }

        fn plan(&self, seen: &u32) -> Result<Plan<&'static str>, Cause> {
            Ok(Plan { steps: if *seen == 3 { vec![] } else { vec!["count to 3"] }, notes: vec![] })
        }

        fn carry_out(&self, _: &[&'static str], _: &u32, _: &mut Site) -> Result<(), Cause> {
            if self.overtaken.get() > 0 {
                self.overtaken.set(self.overtaken.get() - 1);
                let message = "it exists".to_owned();
                return Err(Cause::Sql { code: "42710".to_owned(), message, detail: None });
            }
            if self.works {
                self.number.set(3);
            }
            Ok(())
        }
    }

    fn ran(count: &Count, dry_run: bool) -> Result<Outcome<u32>, Cause> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("PG_VERSION"), "15\n").unwrap();
        let mut site = Site::new(dir.path().to_owned());
        site.call.dry_run = dry_run;
        run(count, &mut site, &mut |_| {})
    }

    #[test]
    fn said_done_and_done_twice() {
        let count = Count { number: Cell::new(1), works: true, overtaken: Cell::new(0) };
        let said = ran(&count, true).unwrap();
        assert_eq!(
            (said.changed, said.steps.as_slice(), said.seen),
            (false, &["count to 3".to_owned()][..], 1)
        );
        let done = ran(&count, false).unwrap();
        assert_eq!((done.changed, done.steps.len(), done.seen), (true, 1, 3));
        let twice = ran(&count, false).unwrap();
        assert_eq!((twice.changed, twice.steps.len(), twice.seen), (false, 0, 3));
    }

    #[test]
    fn what_does_not_show_was_not_done() {
        let count = Count { number: Cell::new(1), works: false, overtaken: Cell::new(0) };
        let cause = ran(&count, false).unwrap_err();
        assert!(cause.to_string().ends_with("still to do: count to 3"), "{cause}");
    }

    #[test]
    fn what_was_overtaken_is_looked_at_again_once() {
        let count = |times| Count { number: Cell::new(1), works: true, overtaken: Cell::new(times) };
        assert_eq!(ran(&count(1), false).unwrap().seen, 3);
        assert_eq!(ran(&count(2), false).unwrap_err().code(), "sql");
    }
}
