//! Why a program is not well, as it was found last: for whoever asks for an explanation.

use std::cell::RefCell;
use std::rc::Rc;

use crate::supervisor::core::Class;

/// No finding is kept longer, in characters.
const LONGEST: usize = 500;

/// The last findings of one program, shared with its checks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Findings(Rc<RefCell<Found>>);

#[derive(Debug, Default)]
struct Found {
    not_ready: Option<String>,
    not_live: Option<String>,
    /// Why the run before this one ended.
    end: Option<String>,
}

impl Findings {
    /// Another run begins.
    pub(crate) fn renew(&self) {
        let mut found = self.0.borrow_mut();
        found.not_live = None;
        if let Some(why) = found.not_ready.take() {
            found.end = Some(why);
        }
    }

    /// What the look whether it is ready has found; `None`: it is.
    pub(crate) fn readiness(&self, why_not: Option<&str>) {
        self.0.borrow_mut().not_ready = why_not.map(bounded);
    }

    /// What the look whether it lives has found; `None`: it does.
    pub(crate) fn life(&self, why_not: Option<&str>) {
        self.0.borrow_mut().not_live = why_not.map(bounded);
    }

    /// Why its run ends, or could not begin.
    pub(crate) fn ends(&self, why: &str) {
        self.0.borrow_mut().end = Some(bounded(why));
    }

    pub(crate) fn not_ready(&self) -> Option<String> {
        self.0.borrow().not_ready.clone()
    }

    pub(crate) fn not_live(&self) -> Option<String> {
        self.0.borrow().not_live.clone()
    }

    /// What is known of the last end beside its class; `runs`: another run has begun.
    pub(crate) fn end(&self, class: Class, runs: bool) -> Option<String> {
        let found = self.0.borrow();
        match class {
            Class::NotReady if runs => found.end.clone(),
            Class::NotReady => found.not_ready.clone(),
            Class::CannotRun | Class::Unwell => found.end.clone(),
            _ => None,
        }
    }
}

fn bounded(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_it_was_not_ready_is_kept_over_the_next_start() {
        let findings = Findings::default();
        findings.readiness(Some(&"é".repeat(2 * LONGEST)));
        let why = findings.end(Class::NotReady, false);
        assert_eq!(why.as_ref().map(|why| why.chars().count()), Some(LONGEST));
        findings.renew();
        assert_eq!((findings.not_ready(), findings.end(Class::NotReady, true)), (None, why));
        assert_eq!(findings.end(Class::Failure, true), None, "that end had another cause");
        findings.readiness(Some("no"));
        findings.readiness(None);
        findings.ends("cannot run /x");
        findings.renew();
        assert_eq!(findings.end(Class::CannotRun, false).as_deref(), Some("cannot run /x"));
    }
}
