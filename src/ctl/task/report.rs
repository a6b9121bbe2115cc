//! What came of a task.

use crate::ctl::screen::harmless;

/// What came of a task that was done.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// What was done.
    pub(super) steps: Vec<String>,
    /// What people should know.
    pub(super) notes: Vec<String>,
    /// A line that a caller reads, to the letter.
    pub(super) line: Option<String>,
    /// Whether it only was to tell something.
    told: bool,
}

impl Report {
    /// There was nothing to do.
    pub(super) fn nothing() -> Self {
        Self::default()
    }

    /// This was to be told.
    pub(super) fn told(line: Option<String>) -> Self {
        Report { line, told: true, ..Self::default() }
    }

    /// This was done.
    pub(super) fn step(step: impl Into<String>) -> Self {
        Report { steps: vec![step.into()], ..Self::default() }
    }

    /// These were done, and people should know that.
    pub(super) fn of(steps: Vec<String>, notes: Vec<String>) -> Self {
        Report { steps, notes, ..Self::default() }
    }

    /// For `manager.log`.
    pub(super) fn words(&self) -> String {
        let mut words = match (self.told, self.steps.is_empty()) {
            (true, _) => "done".to_owned(),
            (_, true) => "nothing to do".to_owned(),
            _ => format!("done: {}", self.steps.join("; ")),
        };
        for note in &self.notes {
            words.push_str(&format!("; note: {note}"));
        }
        words
    }

    /// For standard output.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for step in &self.steps {
            text.push_str(&format!("done: {}\n", harmless(step)));
        }
        for note in &self.notes {
            text.push_str(&format!("note: {}\n", harmless(note)));
        }
        match &self.line {
            Some(line) => text.push_str(&format!("{line}\n")),
            None if self.steps.is_empty() && !self.told => text.push_str("nothing to do\n"),
            None => {}
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_the_log_and_for_callers() {
        let mut report = Report::step("a\u{1b}[31m");
        report.notes.push("b".to_owned());
        assert_eq!(report.words(), "done: a\u{1b}[31m; note: b");
        assert_eq!(report.text().lines().count(), 2);
        assert!(!report.text().contains('\u{1b}'));
        assert_eq!(Report::nothing().text(), "nothing to do\n");
        assert_eq!(Report::nothing().words(), "nothing to do");
        let told = Report::told(Some("\\u0001{}\\u0001".to_owned()));
        assert_eq!((told.text().as_str(), told.words().as_str()), ("\\u0001{}\\u0001\n", "done"));
    }
}
