//! `synchronous_standby_names`: one name more, one less (grammar: `src/backend/replication/syncrep_gram.y`).

/// What a value consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Names {
    /// What stands before the list, such as `FIRST 1` or `ANY 2`; empty for a bare list.
    how: String,
    names: Vec<String>,
}

/// The value with this name in it; `None`: it is there. `Err`: it is not to be read.
pub(super) fn with(value: &str, name: &str) -> Result<Option<String>, ()> {
    let mut all = parse(value).ok_or(())?;
    if all.names.iter().any(|known| is_same(known, name)) {
        return Ok(None);
    }
    all.names.push(name.to_owned());
    Ok(Some(all.text()))
}

/// The value without this name; `None`: it is not there. `Err`: it is not to be read.
pub(super) fn without(value: &str, name: &str) -> Result<Option<String>, ()> {
    let mut all = parse(value).ok_or(())?;
    let before = all.names.len();
    all.names.retain(|known| !is_same(known, name));
    if all.names.len() == before {
        return Ok(None);
    }
    if all.names.is_empty() {
        return Ok(Some(String::new()));
    }
    Ok(Some(all.text()))
}

/// Names are compared without regard to case; a quoted one may be ours.
fn is_same(written: &str, name: &str) -> bool {
    written.trim_matches('"').eq_ignore_ascii_case(name)
}

impl Names {
    fn text(&self) -> String {
        let list = self.names.join(", ");
        if self.how.is_empty() { list } else { format!("{} ({list})", self.how) }
    }
}

/// `a, b`, `FIRST 1 (a, b)`, `ANY 1 (a, b)` or `1 (a, b)`; names in double quotes may hold anything.
fn parse(value: &str) -> Option<Names> {
    let value = value.trim();
    if value.is_empty() {
        return Some(Names { how: String::new(), names: Vec::new() });
    }
    let (how, list) = match value.split_once('(') {
        Some((how, rest)) if !how.contains('"') => (how.trim(), rest.trim_end().strip_suffix(')')?),
        _ => ("", value),
    };
    let mut names = vec![String::new()];
    let mut quoted = false;
    for c in list.chars() {
        if c == '"' {
            quoted = !quoted;
        }
        if c == ',' && !quoted {
            names.push(String::new());
        } else {
            names.last_mut()?.push(c);
        }
    }
    let names: Vec<String> = names.iter().map(|name| name.trim().to_owned()).collect();
    (!quoted && names.iter().all(|name| !name.is_empty())).then(|| Names { how: how.to_owned(), names })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_more_and_one_less() {
        let table = [
            ("", "a"),
            ("b", "b, a"),
            ("b, \"C,d\"", "b, \"C,d\", a"),
            ("FIRST 2 (b)", "FIRST 2 (b, a)"),
            ("any 1 ( b ,c )", "any 1 (b, c, a)"),
            ("*", "*, a"),
        ];
        for (before, after) in table {
            assert_eq!(with(before, "a"), Ok(Some(after.to_owned())), "{before}");
            assert_eq!(with(after, "A"), Ok(None), "{after}");
            let back = without(after, "a").unwrap().unwrap();
            assert_eq!(parse(&back), parse(before), "{back}");
        }
        assert_eq!(without("b", "a"), Ok(None));
        assert_eq!(without("FIRST 1 (a)", "a"), Ok(Some(String::new())));
        for broken in ["a,", "FIRST 1 (a", "\"a"] {
            assert_eq!(with(broken, "b"), Err(()), "{broken}");
        }
    }
}
