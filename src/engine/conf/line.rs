//! One line of a configuration file, by the rules of PostgreSQL's scanner (`src/backend/utils/misc/guc-file.l`).

/// The kinds of include directives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Include {
    /// `include`: the file must exist.
    File,
    /// `include_if_exists`.
    FileIfExists,
    /// `include_dir`: every `*.conf` in it, sorted by name.
    Dir,
}

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// Nothing, or a comment.
    Blank,
    /// `name = value`, the value without quotes and escapes, the name as typed.
    Setting {
        /// Parameter name.
        name: String,
        /// Its value.
        value: String,
    },
    /// An include directive.
    Include {
        /// Which one.
        kind: Include,
        /// File or folder, as written.
        path: String,
    },
    /// Nothing that PostgreSQL would accept; the text says why.
    Broken(String),
}

/// Reads one line, without its line end.
///
/// A superset of what PostgreSQL takes: the predecessor of this program wrote values as in Java's properties, with a
/// backslash before `=` and `:`, and without quotes where PostgreSQL wants them. Both are read.
pub fn parse_line(line: &str) -> Line {
    let rest = skip_space(line);
    if at_end(rest) {
        return Line::Blank;
    }
    let name_end = rest.find(|c: char| !(is_word(c) || c == '.')).unwrap_or(rest.len());
    let (name, rest) = rest.split_at(name_end);
    if !is_parameter_name(name) {
        return Line::Broken("it does not begin with the name of a parameter".to_owned());
    }
    let rest = skip_space(rest);
    let rest = skip_space(rest.strip_prefix('=').unwrap_or(rest));
    let taken = match rest.strip_prefix('\'') {
        Some(rest) => quoted(rest),
        None => bare(rest),
    };
    let (value, rest) = match taken {
        Ok(taken) => taken,
        Err(why) => return Line::Broken(format!("{name}: {why}")),
    };
    if !at_end(skip_space(rest)) {
        return Line::Broken(format!("{name}: something stands behind the value"));
    }
    let kind = match name.to_ascii_lowercase().as_str() {
        "include" => Include::File,
        "include_if_exists" => Include::FileIfExists,
        "include_dir" => Include::Dir,
        _ => return Line::Setting { name: name.to_owned(), value },
    };
    Line::Include { kind, path: value }
}

/// Where the value of a setting stands in its line, its quotes included: byte offsets. `None`: it is no setting.
pub(super) fn value_range(line: &str) -> Option<std::ops::Range<usize>> {
    let Line::Setting { name, .. } = parse_line(line) else { return None };
    let rest = skip_space(skip_space(line).strip_prefix(&name)?);
    let rest = skip_space(rest.strip_prefix('=').unwrap_or(rest));
    let (_, after) = match rest.strip_prefix('\'') {
        Some(rest) => quoted(rest).ok()?,
        None => bare(rest).ok()?,
    };
    Some(line.len() - rest.len()..line.len() - after.len())
}

/// A value as it is best written: without quotes where PostgreSQL's scanner takes it so for certain (an integer with or
/// without a unit, a plain word), else by [`quote`].
pub fn written(value: &str) -> String {
    let digits = value.trim_start_matches(|c: char| c.is_ascii_digit());
    let integer = digits.len() < value.len() && digits.chars().all(|c| c.is_ascii_alphabetic());
    let word = value.starts_with(|c: char| c.is_ascii_alphabetic())
        && value.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if integer || word { value.to_owned() } else { quote(value) }
}

/// Whether a word has the form of a parameter name (`work_mem`, `polar_vfs.localfs_mode`).
pub fn is_parameter_name(name: &str) -> bool {
    name.split('.').all(|part| {
        part.chars().all(is_word) && part.starts_with(|c: char| is_word(c) && !c.is_ascii_digit())
    })
}

/// A value as PostgreSQL reads it back from a configuration file: in single quotes, with quotes and backslashes
/// doubled. Line ends become `\n` and `\r`, so that a value never makes a second line.
pub fn quote(value: &str) -> String {
    let mut quoted = String::with_capacity(value.len() + 2);
    quoted.push('\'');
    for c in value.chars() {
        match c {
            '\'' => quoted.push_str("''"),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            c => quoted.push(c),
        }
    }
    quoted.push('\'');
    quoted
}

/// PostgreSQL takes every byte above 127 for a letter.
fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r')
}

fn skip_space(text: &str) -> &str {
    text.trim_start_matches(is_space)
}

fn at_end(text: &str) -> bool {
    text.is_empty() || text.starts_with('#')
}

/// The rest of a quoted value, the opening quote being taken already.
fn quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\'' => match rest.as_str().strip_prefix('\'') {
                Some(after) => {
                    value.push('\'');
                    rest = after.chars();
                }
                None => return Ok((value, rest.as_str())),
            },
            '\\' => {
                let (c, after) = escape(rest.as_str()).ok_or("a quote is not closed")?;
                value.push(c);
                rest = after.chars();
            }
            c => value.push(c),
        }
    }
    Err("a quote is not closed")
}

/// What stands behind a backslash in a quoted value (PostgreSQL's `DeescapeQuotedString`).
fn escape(text: &str) -> Option<(char, &str)> {
    let digits = text.bytes().take(3).take_while(|b| (b'0'..=b'7').contains(b)).count();
    if digits > 0 {
        let (octal, rest) = text.split_at(digits);
        let code = u32::from_str_radix(octal, 8).ok()?;
        // PostgreSQL keeps the low byte. One above 127 is a part of a character there; it is read as Latin-1 here.
        return Some((char::from_u32(code & 0xff)?, rest));
    }
    let mut chars = text.chars();
    let c = match chars.next()? {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        other => other,
    };
    Some((c, chars.as_str()))
}

/// A value without quotes.
fn bare(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut rest = text;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '#' => break,
            c if is_space(c) => break,
            '\'' => return Err("a quote stands in the middle of the value"),
            '=' => return Err("an equals sign stands in a value without quotes"),
            '\\' => value.push(chars.next().ok_or("a backslash ends the line")?),
            c => value.push(c),
        }
        rest = chars.as_str();
    }
    if value.is_empty() { Err("it has no value") } else { Ok((value, rest)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn setting(name: &str, value: &str) -> Line {
        Line::Setting { name: name.to_owned(), value: value.to_owned() }
    }

    #[test]
    fn settings() {
        let table = [
            ("port = 5432", "port", "5432"),
            ("port=5432", "port", "5432"),
            ("port 5432", "port", "5432"),
            ("  port\t=\t5432 \r", "port", "5432"),
            ("port=5432#comment", "port", "5432"),
            ("port'5432'", "port", "5432"),
            ("Work_Mem = 4MB\t\t# min 64kB", "Work_Mem", "4MB"),
            ("polar_vfs.localfs_mode = on", "polar_vfs.localfs_mode", "on"),
            ("a = ''", "a", ""),
            ("a = 'it''s # no comment' # one", "a", "it's # no comment"),
            (r"a = 'it\'s \\ \t\n\101\60 \q'", "a", "it's \\ \t\nA0 q"),
            (
                "log_filename = 'postgresql-%Y-%m-%d_%H%M%S.log'",
                "log_filename",
                "postgresql-%Y-%m-%d_%H%M%S.log",
            ),
            ("random_page_cost = 1.1", "random_page_cost", "1.1"),
            ("vacuum_freeze = -1", "vacuum_freeze", "-1"),
            // The predecessor's way of writing.
            (r"primary_conninfo='host\=10.0.0.1 port\=5432'", "primary_conninfo", "host=10.0.0.1 port=5432"),
            (r"polar_datadir=file-dio\:///shared", "polar_datadir", "file-dio:///shared"),
            ("unix_socket_directories=/data", "unix_socket_directories", "/data"),
        ];
        for (line, name, value) in table {
            assert_eq!(parse_line(line), setting(name, value), "{line}");
        }
    }

    #[test]
    fn blanks() {
        for line in ["", " \t\r", "# port = 1", "  #"] {
            assert_eq!(parse_line(line), Line::Blank, "{line:?}");
        }
    }

    #[test]
    fn includes() {
        let table = [
            ("include 'a.conf'", Include::File, "a.conf"),
            ("INCLUDE_IF_EXISTS = b.conf", Include::FileIfExists, "b.conf"),
            ("include_dir='conf.d'", Include::Dir, "conf.d"),
        ];
        for (line, kind, path) in table {
            assert_eq!(parse_line(line), Line::Include { kind, path: path.to_owned() }, "{line}");
        }
    }

    #[test]
    fn broken() {
        for line in [
            "port",
            "port =",
            "= 5",
            "5 = 5",
            "a..b = 1",
            ".a = 1",
            "a = 'open",
            "a = 'open\\'",
            "a = 'open\\",
            "a = 1 2",
            "a = '1' x",
            "a = b'c'",
            "a = b=c",
            "a == 1",
            "a = b\\",
            "a = # nothing",
        ] {
            assert!(matches!(parse_line(line), Line::Broken(_)), "{line:?}: {:?}", parse_line(line));
        }
    }

    #[test]
    fn where_the_value_stands() {
        let table = [
            ("port = 5432", Some("5432")),
            ("\tport=5432# one", Some("5432")),
            ("port '54''32\\'' # two", Some("'54''32\\''")),
            ("port 'a' # two\r", Some("'a'")),
            (r"polar_datadir=file-dio\:///shared ", Some(r"file-dio\:///shared")),
            ("include 'a'", None),
            ("# port = 1", None),
            ("port = ", None),
        ];
        for (line, expected) in table {
            assert_eq!(value_range(line).map(|range| &line[range]), expected, "{line}");
        }
        let forms =
            [("8MB", "8MB"), ("on", "on"), ("1a2", "'1a2'"), ("", "''"), ("-1", "'-1'"), ("0.5", "'0.5'")];
        for (value, form) in forms {
            assert_eq!(written(value), form);
        }
    }

    #[test]
    fn quoting() {
        assert_eq!(quote("it's"), "'it''s'");
        assert_eq!(quote(r"a\b"), r"'a\\b'");
        assert_eq!(quote("a\nport = 1"), r"'a\nport = 1'");
    }

    proptest! {
        #[test]
        fn any_line(line: String) {
            let _ = parse_line(&line);
        }

        #[test]
        fn any_line_of_telling_characters(line in r#"[a-b.=' \\#0-9\t\r\n$ü]{0,24}"#) {
            let _ = parse_line(&line);
        }

        #[test]
        fn what_is_written_is_read_back(value in r#"([^\x00]|['\\=#\n\r 0-9a-z]){0,20}"#) {
            let line = format!("x={} # c", written(&value));
            prop_assert_eq!(parse_line(&line), setting("x", &value));
            prop_assert_eq!(line[value_range(&line).unwrap()].to_owned(), written(&value));
        }

        #[test]
        fn what_is_quoted_is_read_back(value in r#"([^\x00]|['\\=#\n\r 0-9]){0,40}"#) {
            let line = format!("x = {}", quote(&value));
            prop_assert!(!line.contains('\n'));
            prop_assert_eq!(parse_line(&line), setting("x", &value));
            prop_assert_eq!(parse_line(&format!("x={} # c", quote(&value))), setting("x", &value));
        }
    }
}
