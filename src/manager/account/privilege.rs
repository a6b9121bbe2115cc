//! The classes of accounts of PolarDB Stack, by the numbers that its callers send, and what they are made of.

use std::fmt;

use serde::Serialize;

use crate::manager::cause::Cause;

/// A class of accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Privilege {
    /// 1: makes roles and databases.
    Normal,
    /// 6: PolarDB's attribute between a normal user and a superuser.
    PolarSuperuser,
    /// 7: a superuser, such as `aurora`, by whom PolarDB Stack probes.
    Superuser,
    /// 15: a superuser that replicates, such as `replicator`.
    Replicator,
}

/// The attributes of a role that a class settles; others stay as they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Attributes {
    /// SUPERUSER.
    pub superuser: bool,
    /// CREATEROLE.
    pub create_role: bool,
    /// CREATEDB.
    pub create_db: bool,
    /// REPLICATION.
    pub replication: bool,
    /// LOGIN.
    pub login: bool,
    /// PolarDB's own.
    pub polar_superuser: bool,
}

/// What an engine without the attribute lets come nearest to it: sees all, ends others' sessions.
pub(super) const NEAREST: [&str; 2] = ["pg_monitor", "pg_signal_backend"];

/// What a superuser's sessions are set to, so that the operator's limits for users do not end its work (the predecessor's
/// list; times in milliseconds, `temp_file_limit` in kB).
pub(super) const SETTINGS: [(&str, &str); 7] = [
    ("TimeZone", "UTC"),
    ("DateStyle", "ISO, YMD"),
    ("extra_float_digits", "0"),
    ("lock_timeout", "0"),
    ("statement_timeout", "0"),
    ("temp_file_limit", "10000000"),
    ("idle_in_transaction_session_timeout", "3600000"),
];

impl Privilege {
    /// By its number.
    ///
    /// # Errors
    /// There is no such class.
    pub fn of_number(number: u8) -> Result<Self, Cause> {
        match number {
            1 => Ok(Privilege::Normal),
            6 => Ok(Privilege::PolarSuperuser),
            7 => Ok(Privilege::Superuser),
            15 => Ok(Privilege::Replicator),
            _ => {
                let next = "1 normal, 6 polar_superuser, 7 superuser (aurora), 15 replication superuser (replicator)";
                Err(Cause::invalid("usage", format!("there is no privilege {number}"), next))
            }
        }
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Privilege::Normal => 1,
            Privilege::PolarSuperuser => 6,
            Privilege::Superuser => 7,
            Privilege::Replicator => 15,
        }
    }

    /// What it is made of; `polar`: the engine has PolarDB's attribute.
    #[must_use]
    pub fn attributes(self, polar: bool) -> Attributes {
        let login = Attributes { login: true, ..Attributes::default() };
        match self {
            Privilege::Normal => Attributes { create_role: true, create_db: true, ..login },
            Privilege::PolarSuperuser if polar => {
                Attributes { polar_superuser: true, replication: true, ..login }
            }
            Privilege::PolarSuperuser => {
                Attributes { create_role: true, create_db: true, replication: true, ..login }
            }
            Privilege::Superuser => Attributes { superuser: true, ..login },
            Privilege::Replicator => Attributes { superuser: true, replication: true, ..login },
        }
    }

    /// The class of a role with these attributes; `nearest`: it has the memberships of [`NEAREST`]. `None`: of no class.
    #[must_use]
    pub fn of(attributes: Attributes, nearest: bool) -> Option<Self> {
        match attributes {
            Attributes { login: false, .. } => None,
            Attributes { superuser: true, replication: true, .. } => Some(Privilege::Replicator),
            Attributes { superuser: true, .. } => Some(Privilege::Superuser),
            Attributes { polar_superuser: true, .. } => Some(Privilege::PolarSuperuser),
            Attributes { replication: true, create_role: true, create_db: true, .. } if nearest => {
                Some(Privilege::PolarSuperuser)
            }
            Attributes { create_role: true, create_db: true, replication: false, .. } => {
                Some(Privilege::Normal)
            }
            _ => None,
        }
    }

    /// Whether its sessions are set to [`SETTINGS`].
    pub(super) fn has_settings(self) -> bool {
        matches!(self, Privilege::Superuser | Privilege::Replicator)
    }
}

impl fmt::Display for Privilege {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self {
            Privilege::Normal => "normal",
            Privilege::PolarSuperuser => "polar_superuser",
            Privilege::Superuser => "superuser",
            Privilege::Replicator => "replication superuser",
        };
        write!(f, "{} ({word})", self.number())
    }
}

impl Attributes {
    /// As words of CREATE ROLE and ALTER ROLE; `polar`: the engine has PolarDB's attribute.
    #[must_use]
    pub fn words(&self, polar: bool) -> String {
        let word = |has: bool, word: &str| if has { word.to_owned() } else { format!("NO{word}") };
        let mut words = vec![
            word(self.superuser, "SUPERUSER"),
            word(self.create_role, "CREATEROLE"),
            word(self.create_db, "CREATEDB"),
            word(self.replication, "REPLICATION"),
            word(self.login, "LOGIN"),
        ];
        if polar && self.polar_superuser {
            words.push("POLAR_SUPERUSER".to_owned());
        }
        words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_classes() {
        let words = |number: u8, polar| Privilege::of_number(number).unwrap().attributes(polar).words(polar);
        assert_eq!(words(1, false), "NOSUPERUSER CREATEROLE CREATEDB NOREPLICATION LOGIN");
        assert_eq!(words(6, true), "NOSUPERUSER NOCREATEROLE NOCREATEDB REPLICATION LOGIN POLAR_SUPERUSER");
        assert_eq!(words(6, false), "NOSUPERUSER CREATEROLE CREATEDB REPLICATION LOGIN");
        assert_eq!(words(7, true), "SUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION LOGIN");
        assert_eq!(words(15, false), "SUPERUSER NOCREATEROLE NOCREATEDB REPLICATION LOGIN");
        for number in [0, 2, 18, 255] {
            assert_eq!(Privilege::of_number(number).unwrap_err().code(), "usage");
        }
    }

    #[test]
    fn each_is_found_again_by_its_attributes() {
        for number in [1, 6, 7, 15] {
            for polar in [true, false] {
                let privilege = Privilege::of_number(number).unwrap();
                assert_eq!(
                    Privilege::of(privilege.attributes(polar), true),
                    Some(privilege),
                    "{number} {polar}"
                );
            }
        }
        assert_eq!(Privilege::of(Attributes::default(), true), None);
        assert_eq!(Privilege::of(Attributes { login: true, ..Attributes::default() }, true), None);
    }
}
