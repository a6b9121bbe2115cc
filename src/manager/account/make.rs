//! `account create` and `account alter`: a role with what its class is made of, and a password's verifier.

use std::fmt;

use super::checked_name;
use super::password::Password;
use super::privilege::{Attributes, NEAREST, Privilege, SETTINGS};
use super::role::{self, Role};
use crate::engine::sql::{ident_quote, literal};
use crate::manager::cause::Cause;
use crate::manager::operation::{Operation, Plan};
use crate::manager::random;
use crate::manager::site::Site;

/// What PolarDB's accounts work with.
const EXTENSIONS: [&str; 2] = ["polar_vfs", "polar_monitor"];

/// `account create` or `account alter`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Make {
    /// The account's name.
    pub name: String,
    /// The class that it is to be of.
    pub privilege: Option<Privilege>,
    /// Its password.
    pub password: Option<Password>,
    /// Whether one that is not there is made.
    pub create: bool,
}

/// One thing to do.
#[derive(Clone, PartialEq, Eq)]
pub enum Step {
    /// Make the role.
    Create(Attributes),
    /// Change its attributes.
    Alter(Attributes),
    /// Store a verifier of its password.
    Password(String),
    /// Set its sessions to something.
    Set(&'static str, &'static str),
    /// Make it a member of a role.
    Grant(&'static str),
    /// Make an extension, in each database that PolarDB's tools look into.
    Extension(String),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Create(attributes) => write!(f, "create the role: {}", attributes.words(true)),
            Step::Alter(attributes) => write!(f, "alter the role: {}", attributes.words(true)),
            Step::Password(_) => f.write_str("store a SCRAM verifier of the password"),
            Step::Set(name, value) => write!(f, "set {name} to {value} for the role"),
            Step::Grant(role) => write!(f, "grant {role} to the role"),
            Step::Extension(name) => write!(f, "create extension {name}"),
        }
    }
}

/// No verifier is printed.
impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What is found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The role, where it is there.
    pub role: Option<Role>,
    /// Whether the engine has PolarDB's attribute.
    polar: bool,
    /// Of [`EXTENSIONS`] those that could be made and are not.
    extensions: Vec<String>,
    /// For a verifier that is to be stored.
    salt: [u8; 16],
}

impl Operation for Make {
    type Seen = Seen;
    type Step = Step;

    fn name(&self) -> &'static str {
        if self.create { "account create" } else { "account alter" }
    }

    fn look(&self, site: &mut Site) -> Result<Seen, Cause> {
        checked_name(&self.name)?;
        let session = site.session()?;
        session.require_primary()?;
        let column = role::polar_column(session)?;
        let role = role::of_name(session, column.as_deref(), &self.name)?;
        let wanted = EXTENSIONS.map(literal).join(", ");
        let rows = session.query(&format!(
            "select name from pg_available_extensions where name in ({wanted}) and installed_version is null"
        ))?;
        let salt = random::bytes().map_err(|error| Cause::of_file("/dev/urandom".as_ref(), error))?;
        let extensions = rows.iter().map(|row| row.text(0).to_owned()).collect();
        Ok(Seen { role, polar: column.is_some(), extensions, salt })
    }

    fn plan(&self, seen: &Seen) -> Result<Plan<Step>, Cause> {
        let mut plan = Plan::default();
        match &seen.role {
            Some(role)
                if role.is_bootstrap() && self.privilege.is_some_and(|it| it != Privilege::Replicator) =>
            {
                let what = format!(
                    "{} is the superuser that everything here works by; it keeps its attributes",
                    self.name
                );
                return Err(Cause::invalid(
                    "bad_name",
                    what,
                    "alter its password alone, or choose another account",
                ));
            }
            None if !self.create => {
                let next = "polarctl account list shows who is there; polarctl account create makes it";
                return Err(Cause::invalid("no_such_account", "there is no account of this name", next));
            }
            _ => {}
        }
        self.plan_attributes(seen, &mut plan);
        if let Some(password) = &self.password {
            let stored = seen.role.as_ref().and_then(|role| role.verifier.as_deref());
            if !stored.is_some_and(|stored| password.is_of(stored)) {
                plan.steps.push(Step::Password(password.verifier(&seen.salt)));
            }
        } else if seen.role.as_ref().is_none_or(|role| role.verifier.is_none()) {
            plan.notes.push("it has no password, so nobody can log in as it by TCP".to_owned());
        }
        if self.create {
            plan.steps.extend(seen.extensions.iter().cloned().map(Step::Extension));
        }
        Ok(plan)
    }

    /// One transaction, but for the extensions, which belong to databases.
    fn carry_out(&self, steps: &[Step], seen: &Seen, site: &mut Site) -> Result<(), Cause> {
        let statements: Vec<String> =
            steps.iter().filter_map(|step| self.statement(step, seen.polar)).collect();
        let session = site.session()?;
        if !statements.is_empty() {
            // Where pg_stat_statements counts utility statements it would keep the verifier.
            session.query("set pg_stat_statements.track_utility = off")?;
            session.query(&statements.join("; "))?;
        }
        for step in steps {
            if let Step::Extension(name) = step {
                site.in_each_database(&["postgres", "polardb_admin"], &extension_statement(name))?;
            }
        }
        Ok(())
    }
}

impl Make {
    fn plan_attributes(&self, seen: &Seen, plan: &mut Plan<Step>) {
        let Some(privilege) = self.privilege else { return };
        let attributes = privilege.attributes(seen.polar);
        match &seen.role {
            None => plan.steps.push(Step::Create(attributes)),
            Some(role) if role.attributes != attributes => {
                plan.steps.push(Step::Alter(attributes));
            }
            Some(_) => {}
        }
        if privilege.has_settings() {
            let has = |name: &str, value: &str| {
                let settings = seen.role.iter().flat_map(|role| &role.settings);
                settings
                    .filter_map(|setting| setting.split_once('='))
                    .any(|(known, is)| known.eq_ignore_ascii_case(name) && is == value)
            };
            let missing = SETTINGS.iter().filter(|(name, value)| !has(name, value));
            plan.steps.extend(missing.map(|(name, value)| Step::Set(name, value)));
        }
        if privilege == Privilege::PolarSuperuser && !seen.polar {
            let has = |role: &str| seen.role.iter().flat_map(|role| &role.member_of).any(|name| name == role);
            plan.steps.extend(NEAREST.iter().filter(|role| !has(role)).map(|role| Step::Grant(role)));
            plan.notes.push(format!(
                "this engine has no polar_superuser; the nearest is a role that makes roles and databases, replicates, and is a \
                 member of {}",
                NEAREST.join(" and ")
            ));
        }
    }

    fn statement(&self, step: &Step, polar: bool) -> Option<String> {
        let name = ident_quote(&self.name);
        Some(match step {
            Step::Create(attributes) => format!("create role {name} with {}", attributes.words(polar)),
            Step::Alter(attributes) => format!("alter role {name} with {}", attributes.words(polar)),
            Step::Password(verifier) => format!("alter role {name} with password {}", literal(verifier)),
            Step::Set(setting, value) => format!("alter role {name} set {setting} to {}", literal(value)),
            Step::Grant(role) => format!("grant {role} to {name}"),
            Step::Extension(_) => return None,
        })
    }
}

fn extension_statement(name: &str) -> String {
    format!("create extension if not exists {}", ident_quote(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(privilege: u8, create: bool) -> Make {
        let privilege = Some(Privilege::of_number(privilege).unwrap());
        Make {
            name: "a\"b".into(),
            privilege,
            password: Some(Password::read(&b"geheim"[..]).unwrap()),
            create,
        }
    }

    fn nobody() -> Seen {
        Seen { role: None, polar: false, extensions: vec![], salt: [7; 16] }
    }

    #[test]
    fn statements_are_quoted_and_hold_no_password() {
        let make = make(1, true);
        let plan = make.plan(&nobody()).unwrap();
        let statements: Vec<String> =
            plan.steps.iter().filter_map(|step| make.statement(step, false)).collect();
        assert_eq!(
            statements[0],
            "create role \"a\"\"b\" with NOSUPERUSER CREATEROLE CREATEDB NOREPLICATION LOGIN"
        );
        assert!(
            statements[1].starts_with("alter role \"a\"\"b\" with password 'SCRAM-SHA-256$4096:"),
            "{statements:?}"
        );
        let shown: Vec<String> = plan.steps.iter().map(ToString::to_string).collect();
        assert!(!format!("{shown:?}{statements:?}").contains("geheim"));
        assert!(!shown.concat().contains("SCRAM-SHA-256"), "{shown:?}");
    }

    #[test]
    fn on_polardb() {
        let seen = Seen { polar: true, extensions: vec!["polar_vfs".into()], ..nobody() };
        let make = make(6, true);
        let plan = make.plan(&seen).unwrap();
        let words: Vec<String> = plan.steps.iter().map(ToString::to_string).collect();
        assert_eq!(
            words,
            [
                "create the role: NOSUPERUSER NOCREATEROLE NOCREATEDB REPLICATION LOGIN POLAR_SUPERUSER",
                "store a SCRAM verifier of the password",
                "create extension polar_vfs",
            ]
        );
        assert_eq!(plan.notes, Vec::<String>::new());
    }

    #[test]
    fn who_is_not_there_is_not_altered() {
        assert_eq!(make(1, false).plan(&nobody()).unwrap_err().code(), "no_such_account");
    }
}
