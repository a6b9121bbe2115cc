//! Names of slots: `replica_<custins_id>_<unique_name>` and `standby_...`, which callers of the predecessor and
//! ClusterManager make in the same way. A replica calls itself by it, too (`application_name`).

use std::fmt;

use serde::Serialize;

use crate::manager::cause::Cause;

/// The longest name, in bytes (PostgreSQL's `NAMEDATALEN` less its end).
const NAME_MAX: usize = 63;

/// What kind of replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A read-only node on the same shared storage: synchronous.
    Replica,
    /// A node with storage of its own: asynchronous.
    Standby,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Replica => "replica",
            Kind::Standby => "standby",
        }
    }
}

/// The name of a replica and its slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// Its kind.
    pub kind: Kind,
    text: String,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Name {
    /// Of a replica of this kind. A hyphen of the unique name becomes an underscore.
    ///
    /// # Errors
    /// No slot can have that name.
    pub fn new(kind: Kind, custins_id: &str, unique_name: &str) -> Result<Self, Cause> {
        let refuse = |what: String| {
            let next = "an id has digits and lower-case letters, a unique name underscores and hyphens too";
            Err(Cause::invalid("usage", what, next))
        };
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let shown = |text: &str| text.chars().take(60).collect::<String>();
        if custins_id.is_empty() || !custins_id.chars().all(plain) {
            return refuse(format!("--custins-id {:?} cannot be part of a slot's name", shown(custins_id)));
        }
        let unique = unique_name.replace('-', "_");
        if unique.is_empty() || !unique.chars().all(plain) {
            return refuse(format!("--unique-name {:?} cannot be part of a slot's name", shown(unique_name)));
        }
        let text = format!("{}_{custins_id}_{unique}", kind.word());
        if text.len() > NAME_MAX {
            return refuse(format!("the slot's name has {} bytes; {NAME_MAX} are the most", text.len()));
        }
        Ok(Name { kind, text })
    }

    /// The kind that a slot's name tells; `None`: of somebody else.
    pub(super) fn kind_of(slot: &str) -> Option<Kind> {
        [Kind::Replica, Kind::Standby]
            .into_iter()
            .find(|kind| slot.strip_prefix(kind.word()).is_some_and(|rest| rest.starts_with('_')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let name = |kind, id: &str, unique: &str| Name::new(kind, id, unique).map(|name| name.to_string());
        assert_eq!(name(Kind::Replica, "1000", "1001").unwrap(), "replica_1000_1001");
        assert_eq!(name(Kind::Standby, "1000", "a-b-7").unwrap(), "standby_1000_a_b_7");
        for (id, unique) in [
            ("", "a"),
            ("1", ""),
            ("1", "A"),
            ("1", "a'b"),
            ("1;", "a"),
            ("1-2", "a"),
            ("1", "a b"),
            ("1", "a\n"),
            ("1", "\u{fc}"),
            ("1", &"x".repeat(60)),
            ("1", &"x".repeat(1 << 20)),
        ] {
            assert_eq!(name(Kind::Replica, id, unique).unwrap_err().code(), "usage", "{id} {unique}");
        }
        assert_eq!(Name::kind_of("standby_1_a"), Some(Kind::Standby));
        assert_eq!(Name::kind_of("replicas"), None);
    }
}
