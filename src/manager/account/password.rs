//! A password: read from where nobody else sees it, and gone from here as a verifier.

use std::fmt;
use std::io::{self, Read};

use base64ct::{Base64, Encoding};

use crate::engine::scram::{ITERATIONS, verifier};
use crate::manager::cause::Cause;

/// The longest password, in bytes. Ours to choose: clients and poolers cut off or refuse what is much longer.
const LONGEST: usize = 1024;

/// A password. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

impl Password {
    /// Reads one to the end; one line end behind it is no part of it.
    ///
    /// # Errors
    /// It cannot be read, or can be nobody's password.
    pub fn read(from: impl Read) -> Result<Self, Cause> {
        let mut bytes = Vec::new();
        let read = from.take(LONGEST as u64 + 3).read_to_end(&mut bytes);
        read.map_err(|error: io::Error| {
            Cause::invalid("bad_password", format!("it cannot be read: {error}"), "see where it comes from")
        })?;
        let text = bytes
            .strip_suffix(b"\n")
            .map_or(bytes.as_slice(), |text| text.strip_suffix(b"\r").unwrap_or(text));
        let refuse = |what: &str| {
            Err(Cause::invalid("bad_password", format!("the password {what}"), "choose another one"))
        };
        match std::str::from_utf8(text) {
            Err(_) => refuse("is no UTF-8"),
            Ok("") => refuse("is empty"),
            Ok(text) if text.contains('\0') => refuse("has a NUL in it"),
            Ok(text) if text.len() > LONGEST => refuse(&format!("has more than {LONGEST} bytes")),
            Ok(text) => Ok(Password(text.to_owned())),
        }
    }

    /// It itself, for who has to show it to another server.
    pub(in crate::manager) fn text(&self) -> &str {
        &self.0
    }

    /// A verifier of it with this salt.
    pub(super) fn verifier(&self, salt: &[u8; 16]) -> String {
        verifier(&self.0, salt, ITERATIONS)
    }

    /// Whether a stored verifier is one of it. One of another kind (md5) counts as none: it is to be replaced.
    pub(super) fn is_of(&self, stored: &str) -> bool {
        let parts = || {
            let (rounds, rest) = stored.strip_prefix("SCRAM-SHA-256$")?.split_once(':')?;
            let (salt, _) = rest.split_once('$')?;
            let salt: [u8; 16] = Base64::decode_vec(salt).ok()?.try_into().ok()?;
            Some((rounds.parse::<u32>().ok()?, salt))
        };
        parts().is_some_and(|(rounds, salt)| rounds > 0 && verifier(&self.0, &salt, rounds) == stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Password, Cause> {
        Password::read(bytes)
    }

    #[test]
    fn one_line_end_is_no_part_of_it() {
        for (bytes, text) in [
            (&b"secret"[..], "secret"),
            (b"secret\n", "secret"),
            (b"secret\r\n", "secret"),
            (b"two\n\n", "two\n"),
            (b" \xf0\x9f\x90\x98 ' \\ %s\"", " \u{1f418} ' \\ %s\""),
        ] {
            assert_eq!(read(bytes).unwrap(), Password(text.to_owned()));
        }
        assert!(read(&[b'x'; 1024]).is_ok());
        for bytes in [&b""[..], b"\n", b"a\0b", b"\xff", &[b'x'; 1025], &vec![b'x'; 1 << 20]] {
            assert_eq!(read(bytes).unwrap_err().code(), "bad_password");
        }
        assert_eq!(format!("{:?}", read(b"secret").unwrap()), "Password");
    }

    #[test]
    fn a_verifier_is_known_again() {
        let password = read(b"pencil").unwrap();
        let stored = password.verifier(&[7; 16]);
        assert!(password.is_of(&stored) && !read(b"pencils").unwrap().is_of(&stored));
        for other in ["", "md5abc", "SCRAM-SHA-256$0:x$y:z", "SCRAM-SHA-256$4096:AAAA$y:z"] {
            assert!(!password.is_of(other), "{other}");
        }
    }
}
