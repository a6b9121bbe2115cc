//! Parameters as callers give them: PolarDB Stack sends values that are quoted already (`'log'`), people send plain ones.

use crate::engine::conf::{Line, parse_line};
use crate::manager::cause::Cause;
use crate::manager::params::checked_name;

/// The longest value that is taken, in bytes.
const VALUE_MAX: usize = 1 << 20;
/// What the predecessor left out: callers send it, and no engine knows it.
const PSEUDO: &str = "max_conn";
/// What names other files than those of this data directory.
const ELSEWHERE: [&str; 5] = ["config_file", "data_directory", "include", "include_dir", "include_if_exists"];

/// Names in lower case and plain values, in order; of several of a name the last one counts.
///
/// # Errors
/// One is none, or none of an installation. Values are never shown: one may be a secret.
pub(in crate::manager) fn checked(given: &[(String, String)]) -> Result<Vec<(String, String)>, Cause> {
    let mut all: Vec<(String, String)> = Vec::new();
    for (name, value) in given {
        let name = checked_name(name)?;
        if name == PSEUDO {
            continue;
        }
        let refuse = |what: &str, next: &str| {
            Err(Cause::invalid("usage", format!("the parameter {name} {what}"), next))
        };
        if ELSEWHERE.contains(&name.as_str()) {
            return refuse("leads to other files than those of this data directory", "leave it out");
        }
        if value.contains('\0') {
            return refuse("has a NUL in its value", "leave it out; no configuration file can hold one");
        }
        if value.len() > VALUE_MAX {
            return refuse(&format!("has a value of more than {VALUE_MAX} bytes"), "make it shorter");
        }
        let Some(value) = plain(value) else {
            let next = "double each single quote inside of it, or give it without quotes";
            return refuse("has a value that begins with a quote and does not end with its own", next);
        };
        all.retain(|(known, _)| *known != name);
        all.push((name, value));
    }
    Ok(all)
}

/// A value without the quotes of a configuration file, where it has any.
fn plain(value: &str) -> Option<String> {
    let trimmed = value.trim_end();
    if !trimmed.starts_with('\'') {
        return Some(value.to_owned());
    }
    // Only of a value that ends with its own quote it matters what stands behind that; behind a comment nothing would.
    let ends = matches!(parse_line(&format!("x={trimmed}x")), Line::Broken(_));
    match parse_line(&format!("x={trimmed}")) {
        Line::Setting { value, .. } if ends => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, value: &str) -> Result<Vec<(String, String)>, Cause> {
        checked(&[(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn values_with_and_without_quotes() {
        for (given, expected) in [
            ("'log'", "log"),
            ("'a b' ", "a b"),
            (" 'a b'", " 'a b'"),
            ("log", "log"),
            ("''", ""),
            ("", ""),
            ("'it''s'", "it's"),
            (r"'a\'b'", "a'b"),
            (r"'file-dio\:///x\=1'", "file-dio:///x=1"),
            ("it's", "it's"),
            ("a\nport=1", "a\nport=1"),
            ("100MB", "100MB"),
            ("# %\u{1f418}\\", "# %\u{1f418}\\"),
        ] {
            let expected = vec![("work_mem".to_owned(), expected.to_owned())];
            assert_eq!(one("Work_Mem", given).unwrap(), expected, "{given:?}");
        }
        let long = "x".repeat(VALUE_MAX + 1);
        for given in ["'log", "'", "'a'b'", "'a' # 'b'", "'a'\nport=1'", "a\0b", &long] {
            let cause = one("work_mem", given).unwrap_err();
            assert_eq!(cause.code(), "usage", "{given:?}");
            assert!(cause.to_string().len() < 200, "no value is shown");
        }
    }

    #[test]
    fn names() {
        assert_eq!(one("max_conn", "1").unwrap(), []);
        for name in ["", "a b", "a\nb", "a=b", "include", "INCLUDE_DIR", "data_directory", "\u{e4}", "a'"] {
            assert_eq!(one(name, "x").unwrap_err().code(), "usage", "{name:?}");
        }
        let twice = [("a", "1"), ("b", "2"), ("A", "3")].map(|(name, value)| (name.into(), value.into()));
        assert_eq!(checked(&twice).unwrap(), [("b".into(), "2".into()), ("a".into(), "3".into())]);
    }
}
