//! Accounts of an instance.
//!
//! | module | what it does |
//! |---|---|
//! | `privilege` | the classes of PolarDB Stack, and the attributes that they are made of |
//! | `password` | a password, and whether a verifier is one of it |
//! | `role` | what the server says of a role |
//! | `make` | `account create` and `alter` |
//! | `remove` | `account drop` |

mod make;
mod password;
mod privilege;
mod remove;
mod role;

pub use make::{Make, Seen as MakeSeen, Step as MakeStep};
pub use password::Password;
pub use privilege::Privilege;
pub use remove::Remove;
pub use role::{Role, list};

use super::cause::Cause;

/// The longest name, in bytes (PostgreSQL's `NAMEDATALEN` less its end): what is longer it cuts off without a word.
const NAME_MAX: usize = 63;

/// Fails for a name that no account of people's can have, and no tablespace.
///
/// # Errors
/// It is none.
pub(super) fn checked_name(name: &str) -> Result<(), Cause> {
    let refuse = |what: String| Err(Cause::invalid("bad_name", what, "choose another name"));
    let shown: String = name.chars().take(80).collect();
    match name {
        "" => refuse("the name is empty".to_owned()),
        _ if name.contains('\0') => refuse("the name has a NUL in it".to_owned()),
        _ if name.len() > NAME_MAX => {
            refuse(format!("{shown:?} has {} bytes; {NAME_MAX} are the most", name.len()))
        }
        "public" | "none" => refuse(format!("{shown:?} is a word of PostgreSQL's own")),
        _ if name.starts_with("pg_") => {
            refuse(format!("{shown:?}: names that begin with pg_ are PostgreSQL's own"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in
            ["app", "a b", "it's", "\"; drop role postgres; --", "\u{1f418}", "a\nb", "-x", &"x".repeat(63)]
        {
            assert!(checked_name(name).is_ok(), "{name:?}");
        }
        for name in ["", "a\0b", "pg_app", "public", "none", &"x".repeat(64), &"x".repeat(1 << 20)] {
            assert_eq!(checked_name(name).unwrap_err().code(), "bad_name");
        }
    }
}
