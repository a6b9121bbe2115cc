//! What was typed, before it is checked: values with their lines.

use toml::de::{DeTable, DeValue};

use super::mistake;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    /// From 1; `None` outside of a file.
    pub(super) line: Option<usize>,
    pub(super) value: Raw,
}

/// One entry of a table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) node: Node,
}

/// A value as typed.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Raw {
    Text(String),
    /// `None` where it does not fit; with its text.
    Integer(Option<i64>, String),
    Float(String),
    Flag(bool),
    Moment(String),
    List(Vec<Node>),
    Table(Vec<Entry>),
}

impl Raw {
    /// How a message shows it.
    pub(super) fn shown(&self) -> String {
        match self {
            Raw::Text(text) => mistake::quoted(text),
            Raw::Integer(_, text) | Raw::Float(text) | Raw::Moment(text) => mistake::cut(text),
            Raw::Flag(flag) => flag.to_string(),
            Raw::List(_) => "a list".to_owned(),
            Raw::Table(_) => "a table".to_owned(),
        }
    }

    /// How a message shows a value that may be a secret.
    pub(super) fn sort(&self) -> &'static str {
        match self {
            Raw::Text(_) => "a string",
            Raw::Integer(..) => "an integer",
            Raw::Float(_) => "a number",
            Raw::Flag(_) => "true or false",
            Raw::Moment(_) => "a point in time",
            Raw::List(_) => "a list",
            Raw::Table(_) => "a table",
        }
    }
}

/// Reads a file. The error is what TOML's grammar has against it, and the line.
pub(super) fn file(text: &str) -> Result<Vec<Entry>, (Option<usize>, String)> {
    let lines = Lines::of(text);
    let (root, errors) = DeTable::parse_recoverable(text);
    // The parser reports in the order of its passes; the first in the text is the one whose mending mends the others.
    match errors.iter().min_by_key(|error| error.span().map_or(usize::MAX, |span| span.start)) {
        None => Ok(entries(root.get_ref(), Some(&lines))),
        Some(error) => Err((error.span().map(|span| lines.at(span.start)), error.message().to_owned())),
    }
}

/// Reads a value alone, such as a list in a variable.
pub(super) fn value(text: &str) -> Option<Raw> {
    DeValue::parse(text).ok().map(|value| raw(value.get_ref(), None))
}

/// Where the lines of a text begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Lines {
        Lines(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1).collect())
    }

    /// The line, from 1, of a byte.
    fn at(&self, byte: usize) -> usize {
        self.0.partition_point(|begin| *begin <= byte) + 1
    }
}

/// Without `lines` (a value alone) no entry has a line.
fn entries(table: &DeTable<'_>, lines: Option<&Lines>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = table
        .iter()
        .map(|(name, value)| {
            let line = lines.map(|lines| lines.at(name.span().start));
            let node = Node { line, value: raw(value.get_ref(), lines) };
            Entry { name: name.get_ref().to_string(), node }
        })
        .collect();
    entries.sort_by_key(|entry| entry.node.line);
    entries
}

fn raw(value: &DeValue<'_>, lines: Option<&Lines>) -> Raw {
    match value {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Integer(integer) => {
            Raw::Integer(i64::from_str_radix(integer.as_str(), integer.radix()).ok(), integer.to_string())
        }
        DeValue::Float(float) => Raw::Float(float.as_str().to_owned()),
        DeValue::Boolean(flag) => Raw::Flag(*flag),
        DeValue::Datetime(moment) => Raw::Moment(moment.to_string()),
        DeValue::Array(list) => Raw::List(
            list.iter()
                .map(|item| {
                    let line = lines.map(|lines| lines.at(item.span().start));
                    Node { line, value: raw(item.get_ref(), lines) }
                })
                .collect(),
        ),
        DeValue::Table(table) => Raw::Table(entries(table, lines)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_the_keys() {
        let entries = file("a = 1\n\n[b]\nc = [\n 2,\n]\r\nd.e = 0x10\n").expect("valid");
        let lines = |entry: &Entry| (entry.name.clone(), entry.node.line);
        assert_eq!(
            entries.iter().map(lines).collect::<Vec<_>>(),
            [("a".into(), Some(1)), ("b".into(), Some(3))]
        );
        let Raw::Table(inner) = &entries[1].node.value else { panic!("a table") };
        assert_eq!(
            inner.iter().map(lines).collect::<Vec<_>>(),
            [("c".into(), Some(4)), ("d".into(), Some(7))]
        );
        let Raw::List(list) = &inner[0].node.value else { panic!("a list") };
        assert_eq!(list[0].line, Some(5));
        let Raw::Table(deep) = &inner[1].node.value else { panic!("a table") };
        assert_eq!(deep[0].node.value, Raw::Integer(Some(16), "0x10".into()));
    }

    #[test]
    fn a_syntax_error_has_its_line() {
        for (text, line) in [("a = 1\nb = \n", 2), ("a = 1\na = 2\n", 2), ("[x", 1), ("a = \"\nb", 1)] {
            let (found, what) = file(text).expect_err(text);
            assert_eq!(found, Some(line), "{text}: {what}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_and_not_a_crash() {
        for text in [
            format!("a = {}", "[".repeat(200_000)),
            format!("{} = 1", vec!["a"; 200_000].join(".")),
            format!("[{}]", vec!["a"; 200_000].join(".")),
            (0..2000).map(|_| "{a=").fold(String::from("a="), |text, part| text + part),
        ] {
            assert!(file(&text).is_err());
        }
    }

    #[test]
    fn numbers_with_underscores_and_signs() {
        assert_eq!(value("1_000"), Some(Raw::Integer(Some(1000), "1000".into())));
        assert_eq!(value("+5"), Some(Raw::Integer(Some(5), "+5".into())));
        assert_eq!(value("99999999999999999999"), Some(Raw::Integer(None, "99999999999999999999".into())));
    }
}
