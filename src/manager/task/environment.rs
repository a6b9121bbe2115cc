//! The variables of a task. Each is read where it matters: one that nobody needs may hold anything.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

use serde_json::{Map, Value};

use crate::manager::cause::Cause;

/// The longest value that is taken, in bytes.
const LONGEST: usize = 1 << 20;
/// The predecessor's word for yes.
const YES: &str = "True";

/// Variables by name. They may hold secrets, so no value is ever printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, Vec<u8>>);

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Environment {
    /// That of this process; a name that is no UTF-8 is nobody's.
    #[must_use]
    pub fn of_process() -> Self {
        let named = |(name, value): (OsString, OsString)| {
            Some((name.into_string().ok()?, value.into_encoded_bytes()))
        };
        Environment(std::env::vars_os().filter_map(named).collect())
    }

    /// Sets a variable.
    pub fn set(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// A variable's bytes; `None`: it is not there, or empty.
    pub(super) fn bytes(&self, name: &str) -> Result<Option<&[u8]>, Cause> {
        match self.0.get(name) {
            None => Ok(None),
            Some(value) if value.is_empty() => Ok(None),
            Some(value) if value.len() > LONGEST => {
                Err(bad(name, &format!("has {} bytes; {LONGEST} are the most", value.len())))
            }
            Some(value) => Ok(Some(value)),
        }
    }

    /// A variable's text; `None`: it is not there, or empty.
    ///
    /// # Errors
    /// It is too long, or no UTF-8.
    pub fn text(&self, name: &str) -> Result<Option<&str>, Cause> {
        let bytes = self.bytes(name)?;
        bytes.map(|bytes| std::str::from_utf8(bytes).map_err(|_| bad(name, "is no UTF-8"))).transpose()
    }

    /// The same, of one that has to be there.
    pub(super) fn required(&self, name: &str) -> Result<&str, Cause> {
        self.text(name)?.ok_or_else(|| missing(name))
    }

    /// Whether it says yes; `otherwise` where it is not there.
    pub(super) fn says_yes(&self, name: &str, otherwise: bool) -> Result<bool, Cause> {
        Ok(self.text(name)?.map_or(otherwise, |text| text == YES))
    }

    /// A variable's JSON; `None`: it is not there, or as good as empty (`""`, `null`).
    pub(super) fn json(&self, name: &str) -> Result<Option<Value>, Cause> {
        let Some(text) = self.text(name)?.filter(|text| !text.trim().is_empty()) else { return Ok(None) };
        let value: Value =
            serde_json::from_str(text).map_err(|error| bad(name, &format!("is no JSON: {error}")))?;
        Ok(match value {
            Value::Null => None,
            Value::String(text) if text.is_empty() => None,
            value => Some(value),
        })
    }

    /// A variable's JSON object; `None`: as in [`Environment::json`].
    pub(super) fn object(&self, name: &str) -> Result<Option<Map<String, Value>>, Cause> {
        match self.json(name)? {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(object)),
            Some(_) => Err(bad(name, "is no JSON object")),
        }
    }

    /// The same, of one that has to be there.
    pub(super) fn required_object(&self, name: &str) -> Result<Map<String, Value>, Cause> {
        self.object(name)?.ok_or_else(|| missing(name))
    }
}

/// A variable that holds something else than it should.
pub(super) fn bad(name: &str, what: &str) -> Cause {
    let next = "nothing was changed; correct it and call again (docs/polardb-stack.md)";
    Cause::invalid("bad_variable", format!("the variable {name} {what}"), next)
}

/// A variable that has to be there and is not.
pub(super) fn missing(name: &str) -> Cause {
    let next = "nothing was changed; set it and call again (docs/polardb-stack.md)";
    Cause::invalid("missing_variable", format!("the variable {name} is not set, or empty"), next)
}

/// A word or number of JSON as text.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_what_is_empty_and_what_is_no_json() {
        let mut environment = Environment::default();
        for empty in ["", " ", "\"\"", "null"] {
            environment.set("a", empty);
            assert!(environment.json("a").unwrap().is_none(), "{empty:?}");
        }
        assert_eq!(environment.required("b").unwrap_err().code(), "missing_variable");
        assert_eq!(environment.required_object("b").unwrap_err().code(), "missing_variable");
        environment.set("a", "{}");
        assert_eq!(environment.object("a").unwrap(), Some(Map::new()));
        let deep = "[".repeat(100_000);
        for wrong in ["{", "{'a': 1}", "secret", "{\"a\": 1} x", "\u{1f418}", &deep] {
            environment.set("a", wrong);
            let cause = environment.object("a").unwrap_err();
            assert_eq!(cause.code(), "bad_variable", "{wrong}");
            assert!(cause.to_string().len() < 200 && !cause.to_string().contains("secret"), "{cause}");
        }
        environment.set("a", "[1]");
        assert_eq!(environment.object("a").unwrap_err().code(), "bad_variable");
        for wrong in [vec![0xff, 0xfe], vec![b'x'; LONGEST + 1]] {
            environment.set("a", wrong);
            assert_eq!(environment.text("a").unwrap_err().code(), "bad_variable");
            assert_eq!(environment.json("a").unwrap_err().code(), "bad_variable");
        }
        environment.set("a", "x".repeat(LONGEST));
        assert!(environment.text("a").is_ok());
    }

    #[test]
    fn only_the_word_of_the_predecessor_is_a_yes() {
        let mut environment = Environment::default();
        assert!(environment.says_yes("a", true).unwrap() && !environment.says_yes("a", false).unwrap());
        for (text, yes) in [("True", true), ("true", false), ("False", false), ("1", false)] {
            environment.set("a", text);
            assert_eq!(environment.says_yes("a", !yes).unwrap(), yes, "{text}");
        }
    }

    #[test]
    fn no_value_is_printed() {
        let mut environment = Environment::default();
        environment.set("srv_opr_password", "geheim");
        assert_eq!(format!("{environment:?}"), "{\"srv_opr_password\"}");
    }
}
