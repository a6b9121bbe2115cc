//! A line of the log: time, level, request, operation, outcome.

use std::fmt::Write as _;

use jiff::Timestamp;

/// The longest word of a line, in characters; what is longer is cut, and that is shown.
const WORD_MAX: usize = 200;
/// The longest outcome, in characters.
const OUTCOME_MAX: usize = 4000;

/// How serious it is, in the words of the predecessor's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// It was done.
    Info,
    /// It was not done.
    Error,
}

/// What a line says; none of it may be a secret.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// When.
    pub at: Timestamp,
    /// How serious it is.
    pub level: Level,
    /// Names the request.
    pub request: &'a str,
    /// The operation, as it is typed: `params set`.
    pub operation: &'a str,
    /// What came of it.
    pub outcome: &'a str,
}

impl Line<'_> {
    /// `time - LEVEL - request - operation - outcome`, with its line end. The order, and ` - ` between, are those of the
    /// predecessor's log.
    #[must_use]
    pub fn text(&self) -> String {
        let level = match self.level {
            Level::Info => "INFO",
            Level::Error => "ERROR",
        };
        format!(
            "{} - {level} - {} - {} - {}\n",
            self.at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ"),
            one_line(self.request, WORD_MAX),
            one_line(self.operation, WORD_MAX),
            one_line(self.outcome, OUTCOME_MAX),
        )
    }
}

/// A text in which nothing ends a line or commands a terminal.
fn one_line(text: &str, longest: usize) -> String {
    let mut line = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == longest {
            let _ = write!(line, "... ({} bytes)", text.len());
            break;
        }
        match c {
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            '\\' => line.push_str("\\\\"),
            // U+2028 and U+2029 end a line in the eyes of some readers.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                let _ = write!(line, "\\u{{{:x}}}", u32::from(c));
            }
            c => line.push(c),
        }
    }
    if line.is_empty() { "-".to_owned() } else { line }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(request: &str, outcome: &str) -> String {
        let at = "2026-01-31T12:00:00.5Z".parse().unwrap();
        Line { at, level: Level::Info, request, operation: "params set", outcome }.text()
    }

    #[test]
    fn the_form_of_a_line() {
        assert_eq!(
            line("7f", "done: work_mem = 8MB"),
            "2026-01-31T12:00:00.500Z - INFO - 7f - params set - done: work_mem = 8MB\n"
        );
        assert_eq!(
            line("", "a\nb\r\t\\n\u{1b}[31m\0 %s 🐘"),
            "2026-01-31T12:00:00.500Z - INFO - - - params set - a\\nb\\r\\t\\\\n\\u{1b}[31m\\u{0} %s 🐘\n"
        );
    }

    #[test]
    fn a_megabyte_is_cut() {
        let text = line("7f", &"x".repeat(1 << 20));
        assert!(text.len() < 5000 && text.ends_with("x... (1048576 bytes)\n"), "{}", text.len());
    }

    proptest! {
        #[test]
        fn any_text_is_one_line(request: String, outcome: String) {
            let text = line(&request, &outcome);
            prop_assert_eq!(text.lines().count(), 1);
            prop_assert!(text.ends_with('\n') && !text.trim_end_matches('\n').contains(char::is_control));
        }
    }
}
