//! How a standby reaches its primary: a connection string without the password, and the file that holds that.

use super::Primary;
use crate::manager::cause::Cause;

/// The file of the password, in the data directory, which is where a server works.
pub(super) const PASS_FILE: &str = "ins_passfile";
/// The longest of a host or a user's name, in bytes.
const LONGEST: usize = 255;

/// # Errors
/// It can be nobody's address, name or password here.
pub(super) fn checked(primary: &Primary) -> Result<(), Cause> {
    for (what, text) in [("host", &primary.host), ("user", &primary.user)] {
        let refuse = |why: &str| {
            let next = "give the address of the primary and a role that may replicate";
            Err(Cause::invalid("usage", format!("the primary's {what} {why}"), next))
        };
        if text.is_empty() {
            return refuse("is empty");
        }
        if text.len() > LONGEST {
            return refuse(&format!("has more than {LONGEST} bytes"));
        }
        if text.contains(char::is_control) {
            return refuse("has a line end or another control character in it");
        }
    }
    if primary.port == 0 {
        return Err(Cause::invalid("usage", "the primary's port is 0", "give its port"));
    }
    let ends_line = |text: &str| text.contains(['\n', '\r']);
    if primary.password.as_ref().is_some_and(|password| ends_line(password.text())) {
        let what = "the primary's password has a line end in it, which no password file can hold";
        return Err(Cause::invalid("bad_password", what, "give the role another password"));
    }
    Ok(())
}

/// The words of a connection, without the password; `pass_file` is where that is.
pub(super) fn words(primary: &Primary, pass_file: Option<&str>) -> String {
    let mut words = vec![
        ("host", primary.host.clone()),
        ("port", primary.port.to_string()),
        ("user", primary.user.clone()),
        ("connect_timeout", "10".to_owned()),
    ];
    if let Some(slot) = &primary.slot {
        words.push(("application_name", slot.to_string()));
    }
    if let Some(file) = pass_file {
        words.push(("passfile", file.to_owned()));
    }
    let words: Vec<String> = words.iter().map(|(name, value)| format!("{name}={}", quoted(value))).collect();
    words.join(" ")
}

/// libpq, "Connection Strings": quotes and backslashes are escaped by a backslash.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// Text of the password file; `None`: there is no password.
pub(super) fn pass_file(primary: &Primary) -> Option<String> {
    let password = primary.password.as_ref()?.text();
    // libpq, "The Password File". The role is left open: nothing else connects by this file.
    Some(format!("*:*:*:*:{}\n", password.replace('\\', "\\\\").replace(':', "\\:")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manager::account::Password;
    use crate::manager::replica::{Kind, Name};

    fn primary(host: &str, user: &str, password: &str) -> Primary {
        let password = (!password.is_empty()).then(|| Password::read(password.as_bytes()).unwrap());
        Primary { host: host.to_owned(), port: 5432, user: user.to_owned(), password, slot: None }
    }

    #[test]
    fn a_connection_in_words() {
        let mut plain = primary("10.0.0.1", "replicator", "");
        assert_eq!(words(&plain, None), "host=10.0.0.1 port=5432 user=replicator connect_timeout=10");
        plain.slot = Some(Name::new(Kind::Standby, "7", "a-b").unwrap());
        assert_eq!(
            words(&plain, Some(PASS_FILE)),
            "host=10.0.0.1 port=5432 user=replicator connect_timeout=10 application_name=standby_7_a_b passfile=ins_passfile"
        );
        let odd = primary("/a b", r"it's \ host=evil", "");
        assert_eq!(words(&odd, None), r"host='/a b' port=5432 user='it\'s \\ host=evil' connect_timeout=10");
    }

    #[test]
    fn a_password_in_its_file() {
        assert_eq!(pass_file(&primary("h", "u", "")), None);
        let odd = primary("h", "u", r"a:b\c 'd%");
        assert_eq!(pass_file(&odd).unwrap(), "*:*:*:*:a\\:b\\\\c 'd%\n");
    }

    #[test]
    fn what_is_refused() {
        let long = "x".repeat(1 << 20);
        assert!(checked(&primary("h", "\u{1f418}'\\%", "p")).is_ok());
        for (host, user) in [("", "u"), ("h", ""), ("h\n", "u"), ("h", "u\0"), (&long, "u"), ("h", &long)] {
            assert_eq!(checked(&primary(host, user, "p")).unwrap_err().code(), "usage");
        }
        assert_eq!(checked(&primary("h", "u", "a\nb")).unwrap_err().code(), "bad_password");
        assert_eq!(checked(&Primary { port: 0, ..primary("h", "u", "p") }).unwrap_err().code(), "usage");
    }
}
