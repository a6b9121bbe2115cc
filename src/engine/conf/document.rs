//! A configuration file whose settings are changed and whose other bytes are not.

use super::line::{Line, parse_line, value_range, written};

/// A file, line by line. Bytes that are no UTF-8 are kept, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Each with its line end.
    lines: Vec<Vec<u8>>,
}

/// Where a setting is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    /// In place of the value of its last line here; at the end where it has none.
    InPlace,
    /// At the end, for something that this file includes further down would win over its line; the lines that it has
    /// here become comments.
    AtEnd,
}

impl Document {
    /// Takes a file apart; putting it together again yields the same bytes.
    pub fn parse(bytes: &[u8]) -> Self {
        Document { lines: bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect() }
    }

    /// The file.
    pub fn bytes(&self) -> Vec<u8> {
        self.lines.concat()
    }

    /// The value of a parameter's last line, in whatever case its name is written.
    pub fn get(&self, name: &str) -> Option<String> {
        self.lines.iter().rev().find_map(|line| setting(line, name))
    }

    /// Sets a parameter. The line keeps its form, its comment, and no quotes where it has none and needs none; one that
    /// is added is `name=value`, the form that callers of the predecessor search for.
    ///
    /// A value cannot hold a NUL: callers refuse it.
    pub fn set(&mut self, name: &str, value: &str, place: Where) {
        let last = self.lines.iter().rposition(|line| setting(line, name).is_some());
        if let (Where::InPlace, Some(line)) = (place, last.and_then(|index| self.lines.get_mut(index))) {
            if setting(line, name).as_deref() != Some(value) {
                exchange(line, value);
            }
            return;
        }
        for line in self.lines.iter_mut().filter(|line| setting(line, name).is_some()) {
            line.insert(0, b'#');
        }
        if let Some(line) = self.lines.last_mut()
            && !line.ends_with(b"\n")
        {
            line.push(b'\n');
        }
        self.lines.push(format!("{name}={}\n", written(value)).into_bytes());
    }

    /// Takes all lines of a parameter out; how many there were.
    pub fn unset(&mut self, name: &str) -> usize {
        let before = self.lines.len();
        self.lines.retain(|line| setting(line, name).is_none());
        before - self.lines.len()
    }
}

/// The value where a line sets this parameter.
fn setting(line: &[u8], name: &str) -> Option<String> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    match parse_line(&String::from_utf8_lossy(line)) {
        Line::Setting { name: found, value } if found.eq_ignore_ascii_case(name) => Some(value),
        _ => None,
    }
}

/// Puts another value into a line that is a setting.
fn exchange(line: &mut Vec<u8>, value: &str) {
    // A character a byte: PostgreSQL's scanner, too, takes every byte above 127 for a letter.
    let end = if line.ends_with(b"\n") { line.len() - 1 } else { line.len() };
    let text: String = line.iter().take(end).map(|byte| char::from(*byte)).collect();
    let Some(range) = value_range(&text) else { return };
    let count = |upto: usize| text.get(..upto).map_or(0, |text| text.chars().count());
    let mut put = written(value).into_bytes();
    // A quote parts a name from its value (`port'5432'`), a plain word does not.
    if !text.get(..range.start).is_some_and(|before| before.ends_with([' ', '\t', '\r', '='])) {
        put.insert(0, b'=');
    }
    line.splice(count(range.start)..count(range.end), put);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(text: &str, name: &str, value: &str, place: Where) -> String {
        let mut document = Document::parse(text.as_bytes());
        document.set(name, value, place);
        assert_eq!(document.get(name).as_deref(), Some(value));
        String::from_utf8(document.bytes()).unwrap()
    }

    #[test]
    fn in_place() {
        let table = [
            ("port=5432\n", "port=1\n"),
            ("a = b # c\n\tPort\t= '5432'\t# d\r\nx", "a = b # c\n\tPort\t= 1\t# d\r\nx"),
            // The last one counts; the others are somebody's.
            ("port = 1\nport = 2", "port = 1\nport = 1"),
            ("# port = 1\n", "# port = 1\nport=1\n"),
            ("a = 2", "a = 2\nport=1\n"),
            ("", "port=1\n"),
            (r"port=\:\=1", "port=1"),
            ("port'5432' # c", "port=1 # c"),
            (r"port\5432", "port=1"),
        ];
        for (before, after) in table {
            assert_eq!(set(before, "port", "1", Where::InPlace), after, "{before}");
        }
        let same = "port = '1'";
        assert_eq!(set(same, "port", "1", Where::InPlace), same, "what it says already is not touched");
    }

    #[test]
    fn at_the_end() {
        let before = "port = 1 # one\ninclude 'more.conf'\n Port=2\n";
        assert_eq!(
            set(before, "port", "x y", Where::AtEnd),
            "#port = 1 # one\ninclude 'more.conf'\n# Port=2\nport='x y'\n"
        );
    }

    #[test]
    fn taken_out() {
        let mut document = Document::parse(b"port = 1\n# port = 2\nPORT=3\nsport = 4\n");
        assert_eq!((document.unset("port"), document.unset("port")), (2, 0));
        assert_eq!(document.bytes(), b"# port = 2\nsport = 4\n");
    }

    #[test]
    fn the_predecessors_form() {
        let text = "#\n#Thu Jan 01 00:00:00 UTC 2026\nport=3001\nprimary_conninfo='host\\=10.0.0.1 port\\=1'\n\
                    polar_datadir=file-dio\\:///shared\nport=3002\n";
        let document = Document::parse(text.as_bytes());
        assert_eq!(document.get("port").as_deref(), Some("3002"), "the last duplicate");
        assert_eq!(document.get("primary_conninfo").as_deref(), Some("host=10.0.0.1 port=1"));
        assert_eq!(document.get("polar_datadir").as_deref(), Some("file-dio:///shared"));
        assert_eq!(document.bytes(), text.as_bytes());
    }

    #[test]
    fn bytes_that_are_no_text_are_kept() {
        let mut document = Document::parse(b"a = '\xe4' # \xfc\nb = 1 # \xfc\n");
        document.set("b", "zwei w\u{f6}rter", Where::InPlace);
        assert_eq!(document.bytes(), b"a = '\xe4' # \xfc\nb = 'zwei w\xc3\xb6rter' # \xfc\n");
    }

    proptest! {
        #[test]
        fn any_file_is_put_together_again(bytes: Vec<u8>) {
            prop_assert_eq!(Document::parse(&bytes).bytes(), bytes);
        }

        #[test]
        fn one_setting_changes_and_nothing_else(
            lines in proptest::collection::vec(
                prop_oneof![r#"[a-b=' \\#0-9\t\r$ü]{0,16}"#, "(a|b|A) ?= ?'?[a-z0-9]{1,4}'?( # c)?", Just("include 'x'".to_owned())],
                0..8,
            ),
            value in r#"([^\x00]|['\\=#\n\r 0-9]){0,12}"#,
            at_end: bool,
        ) {
            let text = lines.join("\n");
            let before = Document::parse(text.as_bytes());
            let mut after = before.clone();
            after.set("a", &value, if at_end { Where::AtEnd } else { Where::InPlace });
            let after = Document::parse(&after.bytes());
            prop_assert_eq!(after.get("a"), Some(value));
            prop_assert_eq!(after.get("b"), before.get("b"));
            // All but the lines of the setting are there, in their order.
            let others = |document: &Document| -> Vec<Vec<u8>> {
                let bare = |line: &Vec<u8>| line.strip_suffix(b"\n").unwrap_or(line).to_vec();
                document.lines.iter().filter(|line| setting(line, "a").is_none()).map(bare).collect()
            };
            let mut kept = others(&after).into_iter();
            for line in others(&before) {
                prop_assert!(kept.any(|other| other == line), "{:?} is lost", line);
            }
            let mut unset = after;
            unset.unset("a");
            prop_assert_eq!(unset.get("a"), None);
        }
    }
}
