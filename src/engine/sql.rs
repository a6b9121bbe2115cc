//! Quoting for SQL. Both functions take any text but one with a NUL in it, which no SQL can carry: callers refuse it.

/// A name as an identifier, always in double quotes.
pub fn ident_quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as a literal. One with a backslash takes the `E''` form, which means the same whatever
/// `standard_conforming_strings` says.
pub fn literal(value: &str) -> String {
    let doubled = value.replace('\'', "''");
    if value.contains('\\') {
        format!("E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(ident_quote("user"), r#""user""#);
        assert_eq!(ident_quote(r#"a"; DROP"#), r#""a""; DROP""#);
        assert_eq!(ident_quote(r"a\b'c"), r#""a\b'c""#);
    }

    #[test]
    fn literals() {
        assert_eq!(literal(""), "''");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"a\b"), r"E'a\\b'");
        assert_eq!(literal(r"\'; DROP"), r"E'\\''; DROP'");
    }
}
