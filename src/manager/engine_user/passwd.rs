//! The line of a user in a passwd file, as bytes: what else is in the file stays as it is.

/// The first user id of PolarDB Stack's instances, and how many there are before they repeat (contract of the
/// predecessor: `logic_ins_id` mod 10000 + 10000).
const FIRST: u32 = 10_000;
const COUNT: u32 = 10_000;
/// How many decimal digits tell a number mod [`COUNT`].
const DIGITS: usize = 4;

/// Why a file has not the line that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Odd {
    /// Nobody is called so.
    #[error("there is no user {0}")]
    Missing(String),
    /// The line is none of a user.
    #[error("the line of user {0} is not of the form name:password:uid:gid:words:home:shell")]
    Broken(String),
    /// Two names for one uid would be one user.
    #[error("the uid {uid} is taken by user {name}")]
    Taken {
        /// Whose it is.
        name: String,
        /// The uid.
        uid: u32,
    },
}

/// The uid of the instance of this number, however long it is; `None`: it is no number.
#[must_use]
pub fn uid_of(logic_id: &str) -> Option<u32> {
    let digits = logic_id.trim();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let last = digits.get(digits.len().saturating_sub(DIGITS)..)?;
    Some(FIRST + last.parse::<u32>().ok()? % COUNT)
}

/// The uid of a user.
///
/// # Errors
/// There is no such user, or the line is broken.
pub(super) fn uid(text: &[u8], name: &str) -> Result<u32, Odd> {
    let line = line_of(text, name).ok_or_else(|| Odd::Missing(name.to_owned()))?;
    uid_of_line(line).ok_or_else(|| Odd::Broken(name.to_owned()))
}

/// The file with the user's line changed to this uid, its group as it is; `None`: it has it.
///
/// # Errors
/// There is no such user, the line is broken, or another user has that uid.
pub(super) fn with_uid(text: &[u8], name: &str, wanted: u32) -> Result<Option<Vec<u8>>, Odd> {
    if uid(text, name)? == wanted {
        return Ok(None);
    }
    let other = lines(text).find(|line| !is_of(line, name) && uid_of_line(line) == Some(wanted));
    if let Some(other) = other {
        let name = String::from_utf8_lossy(fields(other).next().unwrap_or_default()).into_owned();
        return Err(Odd::Taken { name, uid: wanted });
    }
    let mut changed = Vec::with_capacity(text.len() + DIGITS);
    let mut done = false;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        if done || !is_of(line, name) {
            changed.extend_from_slice(line);
            continue;
        }
        done = true;
        for (index, field) in fields(line).enumerate() {
            if index > 0 {
                changed.push(b':');
            }
            changed.extend_from_slice(if index == 2 { b"" } else { field });
            if index == 2 {
                changed.extend_from_slice(wanted.to_string().as_bytes());
            }
        }
    }
    Ok(Some(changed))
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n')
}

fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b':')
}

fn is_of(line: &[u8], name: &str) -> bool {
    fields(line).next() == Some(name.as_bytes())
}

/// Of several lines of a name the first one counts, as for the C library.
fn line_of<'a>(text: &'a [u8], name: &str) -> Option<&'a [u8]> {
    lines(text).find(|line| is_of(line, name))
}

/// Lines of NIS (`+name::::::`) and comments have none.
fn uid_of_line(line: &[u8]) -> Option<u32> {
    let fields: Vec<&[u8]> = fields(line).collect();
    let [name, _, uid, gid, _, _, _] = fields.as_slice() else { return None };
    if name.first().is_none_or(|first| b"+-#".contains(first)) {
        return None;
    }
    let number = |field: &[u8]| std::str::from_utf8(field).ok()?.parse::<u32>().ok();
    number(gid)?;
    number(uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: &str = "root:x:0:0:root:/root:/bin/bash\n\
                         postgres:x:101:104:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash\n\
                         nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";

    fn changed(text: &str, uid: u32) -> Result<Option<String>, Odd> {
        let text = with_uid(text.as_bytes(), "postgres", uid)?;
        Ok(text.map(|text| String::from_utf8(text).unwrap()))
    }

    #[test]
    fn the_rule() {
        for (id, uid) in [
            ("0", Some(10_000)),
            ("1000", Some(11_000)),
            (" 1000\n", Some(11_000)),
            ("9999", Some(19_999)),
            ("10000", Some(10_000)),
            ("123456789012345678901234567890", Some(17_890)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1e3", None),
            ("1000;id", None),
            ("١٠٠٠", None),
        ] {
            assert_eq!(uid_of(id), uid, "{id:?}");
        }
    }

    #[test]
    fn one_field_of_one_line_is_changed() {
        let found = changed(USUAL, 11_000).unwrap().unwrap();
        assert_eq!(found, USUAL.replace(":101:", ":11000:"));
        assert_eq!(changed(&found, 11_000), Ok(None), "twice is once");
        assert_eq!(changed(&found, 101).unwrap().unwrap(), USUAL, "and the way back");
    }

    #[test]
    fn odd_files_stay_as_they_are_elsewhere() {
        let line = "postgres:x:101:104::/var/lib/postgresql:/bin/bash";
        for text in [
            line.to_owned(),
            format!("{line}\n+::::::\n"),
            format!("+postgres::::::\n+@admins:::::\n-evil\n{line}\n+::::::"),
            format!("\n\n# a comment\n{line}\n\n"),
            format!("broken\nalso:broken\npostgresql:x:11001:1::/:/bin/sh\n{line}\n"),
            format!("{line}\npostgres:x:5:5:the second:/:/bin/sh\n"),
            format!("{line}\r\nroot:x:0:0::/root:/bin/sh\r\n"),
            format!("ö:x:1:1:größe:/:/bin/sh\n{line}\n"),
            format!("{}{line}\n{}", "a:x:1:1::/:/bin/sh\n".repeat(100_000), "z".repeat(1 << 20)),
        ] {
            let found = changed(&text, 11_000).unwrap().unwrap();
            let shown: String = text.chars().take(80).collect();
            assert!(found == text.replacen(":x:101:", ":x:11000:", 1), "{shown}");
        }
        let bytes = b"\xff\xfe:x:1:1:\xff:/:/bin/sh\npostgres:x:101:104::/:/bin/sh\n";
        let found = with_uid(bytes, "postgres", 11_000).unwrap().unwrap();
        assert!(found.starts_with(b"\xff\xfe:x:1:1:\xff:/:/bin/sh\npostgres:x:11000:104:"));
    }

    #[test]
    fn what_is_refused() {
        assert_eq!(changed("", 11_000), Err(Odd::Missing("postgres".into())));
        assert_eq!(changed("root:x:0:0::/root:/bin/sh\n", 11_000), Err(Odd::Missing("postgres".into())));
        assert_eq!(changed("+postgres::::::\n", 11_000), Err(Odd::Missing("postgres".into())));
        for line in
            ["postgres", "postgres:x:101", "postgres:x:many:104::/:/bin/sh", "postgres:x:1:2:3:4:5:6:7"]
        {
            assert_eq!(changed(line, 11_000), Err(Odd::Broken("postgres".into())), "{line}");
        }
        let taken = format!("{USUAL}app:x:11000:100::/:/bin/sh\n");
        assert_eq!(changed(&taken, 11_000), Err(Odd::Taken { name: "app".into(), uid: 11_000 }));
    }
}
