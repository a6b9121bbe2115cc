//! What is wrong with a configuration, said so that it can be mended from the message alone.

use std::fmt;

/// How many characters of an offending value are shown.
const SHOWN: usize = 80;
/// A name longer than this is no misspelling of a known one; it keeps the comparison cheap, too.
const LONGEST_MISSPELLING: usize = 64;

/// Everything that is wrong with a configuration. `Display`: one line a mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// One mistake. `Display`: one line, `FILE:LINE: KEY: WHAT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The file, or [`ENVIRONMENT`].
    pub file: String,
    /// The line, from 1; `None` where there is none (a variable, a default, a file that cannot be read).
    pub line: Option<usize>,
    /// The dotted key, or the name of the variable; empty where the file as a whole is meant.
    pub key: String,
    /// What was found, and what is allowed.
    pub what: String,
    /// The known name that a misspelt one is nearest to.
    pub near: Option<String>,
}

/// What [`Mistake::file`] says of a value that came from the environment.
pub const ENVIRONMENT: &str = "environment";

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escaped(&self.file))?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", cut(&escaped(&self.key)))?;
        }
        write!(f, ": {}", escaped(&self.what))
    }
}

impl Mistake {
    /// A mistake about a file as a whole.
    pub(super) fn of_file(file: &str, line: Option<usize>, what: String) -> Mistake {
        Mistake { file: file.to_owned(), line, key: String::new(), what, near: None }
    }
}

/// Where a value was given, for the messages about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) file: String,
    pub(super) line: Option<usize>,
    pub(super) key: String,
}

impl Origin {
    /// A mistake about what was given here.
    pub(super) fn mistake(&self, what: String) -> Mistake {
        Mistake { file: self.file.clone(), line: self.line, key: self.key.clone(), what, near: None }
    }
}

/// Control characters (a newline, an escape sequence of the terminal) written out, so that a message stays one line.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        // U+2028 and U+2029 end a line for some readers of logs.
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// The beginning of a long text.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// A text as a value in a message: quoted, on one line, not too long.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", cut(&escaped(text)))
}

/// The candidate that `name` probably is a misspelling of.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > LONGEST_MISSPELLING {
        return None;
    }
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let name = plain(name);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&name, &plain(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A message of three parts: what is wrong, a hint (or nothing), and what else there is to know.
pub(super) fn hinted(what: &str, hint: &str, rest: &str) -> String {
    let gap = if hint.ends_with('?') { "" } else { ";" };
    format!("{what}{hint}{gap} {rest}")
}

/// "; did you mean `x`?" or nothing.
pub(crate) fn did_you_mean(near: Option<&str>) -> String {
    near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_with_its_place() {
        let mut mistake = Origin { file: "s.toml".into(), line: Some(12), key: "program.engine.a\nb".into() }
            .mistake("is \"a\nb\u{1b}[0m\"".into());
        assert_eq!(mistake.to_string(), r#"s.toml:12: program.engine.a\nb: is "a\nb\u{1b}[0m""#);
        mistake.line = None;
        mistake.key.clear();
        assert_eq!(mistake.to_string(), r#"s.toml: is "a\nb\u{1b}[0m""#);
    }

    #[test]
    fn several_mistakes_are_as_many_lines() {
        let one = Mistake::of_file("f", Some(1), "a".into());
        let two = Mistake::of_file("f", Some(2), "b".into());
        assert_eq!(Mistakes(vec![one, two]).to_string(), "f:1: a\nf:2: b");
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        assert_eq!(quoted(&"é".repeat(80)), format!("\"{}\"", "é".repeat(80)));
        assert_eq!(quoted(&"é".repeat(81)), format!("\"{}...\"", "é".repeat(80)));
    }

    #[test]
    fn the_nearest_name() {
        let names = ["policy", "min_backoff", "max_backoff", "port", "nice", "user"];
        for (typed, wanted) in [
            ("polcy", Some("policy")),
            ("Policy", Some("policy")),
            ("max-backoff", Some("max_backoff")),
            ("mn_backoff", Some("min_backoff")),
            ("ucer", Some("user")),
            ("resu", None),
            ("", None),
            ("completely_else", None),
        ] {
            assert_eq!(nearest(typed, names), wanted, "{typed}");
        }
        assert_eq!(nearest(&"policy".repeat(100_000), names), None);
    }
}
