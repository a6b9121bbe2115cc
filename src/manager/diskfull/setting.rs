//! What roles and databases begin their sessions with: `default_transaction_read_only` in `pg_db_role_setting`.

use super::record::Entry;
use crate::engine::sql::{ident_quote, literal};
use crate::manager::cause::Cause;
use crate::manager::session::Session;

/// The parameter.
pub(super) const READ_ONLY: &str = "default_transaction_read_only";

/// What is set for a role, a database, both or all (0 stands for all).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// The database's number.
    pub(super) database: u32,
    /// The role's number.
    pub(super) role: u32,
    /// Their names.
    pub(super) names: (String, String),
    /// Whether the role is a superuser.
    pub(super) superuser: bool,
    /// The value.
    pub(super) value: String,
}

/// One that is to be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    names: (String, String),
    old: Option<String>,
    /// `None`: what is set is taken out.
    value: Option<String>,
    entry: Entry,
}

impl Put {
    /// What is kept of it.
    pub(super) fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Whether it is for normal users.
    pub(super) fn locks(&self) -> bool {
        self.value.as_deref().is_some_and(is_on)
    }

    fn whose(&self) -> String {
        let (database, role) = &self.names;
        match (database.as_str(), role.as_str()) {
            ("", "") => "all roles".to_owned(),
            (database, "") => format!("database {database}"),
            ("", role) => format!("role {role}"),
            (database, role) => format!("role {role} in database {database}"),
        }
    }

    /// What is changed, for people.
    pub(super) fn words(&self) -> String {
        let word = |value: &Option<String>| value.clone().unwrap_or_else(|| "(nothing)".to_owned());
        format!("{}: {READ_ONLY}: {} -> {}", self.whose(), word(&self.old), word(&self.value))
    }

    /// The statement.
    pub(super) fn statement(&self) -> String {
        let (database, role) = (ident_quote(&self.names.0), ident_quote(&self.names.1));
        let whose = match (self.names.0.is_empty(), self.names.1.is_empty()) {
            (true, true) => "role all".to_owned(),
            (false, true) => format!("database {database}"),
            (true, false) => format!("role {role}"),
            (false, false) => format!("role {role} in database {database}"),
        };
        match &self.value {
            Some(value) => format!("alter {whose} set {READ_ONLY} = {}", literal(value)),
            None => format!("alter {whose} reset {READ_ONLY}"),
        }
    }
}

/// Whether PostgreSQL takes a text for true.
pub(super) fn is_on(value: &str) -> bool {
    let value = value.to_ascii_lowercase();
    let short = |word: &str| !value.is_empty() && word.starts_with(&value);
    short("true") || short("yes") || value == "on" || value == "1"
}

/// All that is set.
///
/// # Errors
/// As [`Session::query`].
pub(super) fn all(session: &mut Session) -> Result<Vec<Setting>, Cause> {
    let rows = session.query(&format!(
        "select s.setdatabase, s.setrole, d.datname, r.rolname, r.rolsuper, substr(c, strpos(c, '=') + 1) \
         from pg_db_role_setting s cross join unnest(s.setconfig) c left join pg_database d on d.oid = s.setdatabase \
         left join pg_roles r on r.oid = s.setrole where c like '{READ_ONLY}=%' order by 1, 2"
    ))?;
    let setting = |row: &crate::manager::session::Row| Setting {
        database: row.text(0).parse().unwrap_or(0),
        role: row.text(1).parse().unwrap_or(0),
        names: (row.text(2).to_owned(), row.text(3).to_owned()),
        superuser: row.truth(4),
        value: row.text(5).to_owned(),
    };
    Ok(rows.iter().map(setting).collect())
}

/// Superusers who can begin a session, by number and name.
///
/// # Errors
/// As [`Session::query`].
pub(super) fn superusers(session: &mut Session) -> Result<Vec<(u32, String)>, Cause> {
    let rows =
        session.query("select oid, rolname from pg_roles where rolsuper and rolcanlogin order by oid")?;
    Ok(rows.iter().map(|row| (row.text(0).parse().unwrap_or(0), row.text(1).to_owned())).collect())
}

/// What is to be set so that normal users begin read-only and superusers do not. A superuser for whom somebody has set
/// something keeps that.
pub(super) fn to_lock(settings: &[Setting], superusers: &[(u32, String)]) -> Vec<Put> {
    let mut puts = Vec::new();
    if !settings.iter().any(|it| (it.database, it.role) == (0, 0)) {
        let entry = Entry { database: 0, role: 0, was: None, put: "on".to_owned() };
        puts.push(Put { names: Default::default(), old: None, value: Some("on".to_owned()), entry });
    }
    for it in settings.iter().filter(|it| !it.superuser && !is_on(&it.value)) {
        let entry =
            Entry { database: it.database, role: it.role, was: Some(it.value.clone()), put: "on".to_owned() };
        let old = Some(it.value.clone());
        puts.push(Put { names: it.names.clone(), old, value: Some("on".to_owned()), entry });
    }
    for (number, name) in superusers {
        if !settings.iter().any(|it| (it.database, it.role) == (0, *number)) {
            let entry = Entry { database: 0, role: *number, was: None, put: "off".to_owned() };
            let names = (String::new(), name.clone());
            puts.push(Put { names, old: None, value: Some("off".to_owned()), entry });
        }
    }
    puts
}

/// What is to be set so that all is as it was; what somebody has changed meanwhile stays.
pub(super) fn to_unlock(settings: &[Setting], before: &[Entry]) -> Vec<Put> {
    let put = |entry: &Entry| {
        let found = settings.iter().find(|it| (it.database, it.role) == (entry.database, entry.role))?;
        (found.value == entry.put).then(|| Put {
            names: found.names.clone(),
            old: Some(found.value.clone()),
            value: entry.was.clone(),
            entry: entry.clone(),
        })
    };
    before.iter().filter_map(put).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(database: u32, role: u32, superuser: bool, value: &str) -> Setting {
        let name = |prefix: &str, number: u32| {
            if number == 0 { String::new() } else { format!("{prefix}{number}") }
        };
        let names = (name("d", database), name("r", role));
        Setting { database, role, names, superuser, value: value.to_owned() }
    }

    fn statements(puts: &[Put]) -> Vec<String> {
        puts.iter().map(|put| put.statement().replace(READ_ONLY, "ro")).collect()
    }

    #[test]
    fn what_is_true() {
        for value in ["on", "ON", "1", "t", "tru", "true", "y", "yes"] {
            assert!(is_on(value), "{value}");
        }
        for value in ["", "off", "0", "f", "o", "no", "truely"] {
            assert!(!is_on(value), "{value}");
        }
    }

    #[test]
    fn normal_users_begin_read_only_and_superusers_do_not() {
        let superusers = [(10, "postgres".to_owned()), (11, "it's".to_owned())];
        assert_eq!(
            statements(&to_lock(&[], &superusers)),
            [
                "alter role all set ro = 'on'",
                r#"alter role "postgres" set ro = 'off'"#,
                r#"alter role "it's" set ro = 'off'"#
            ]
        );
        let settings = [
            setting(0, 0, false, "off"),
            setting(0, 10, true, "on"),
            setting(0, 20, false, "no"),
            setting(0, 21, false, "yes"),
            setting(7, 0, false, "off"),
            setting(7, 20, false, "off"),
            setting(7, 11, true, "on"),
        ];
        let puts = to_lock(&settings, &superusers);
        assert_eq!(
            statements(&puts),
            [
                "alter role all set ro = 'on'",
                r#"alter role "r20" set ro = 'on'"#,
                r#"alter database "d7" set ro = 'on'"#,
                r#"alter role "r20" in database "d7" set ro = 'on'"#,
                r#"alter role "it's" set ro = 'off'"#
            ]
        );
        assert_eq!(puts.iter().filter(|put| put.locks()).count(), 4);
    }

    #[test]
    fn all_is_as_it_was_but_for_what_somebody_has_changed_meanwhile() {
        let entry = |role: u32, was: Option<&str>, put: &str| Entry {
            database: 0,
            role,
            was: was.map(str::to_owned),
            put: put.to_owned(),
        };
        let before = [
            entry(0, None, "on"),
            entry(10, None, "off"),
            entry(20, Some("no"), "on"),
            entry(21, Some("off"), "on"),
            entry(22, Some("off"), "on"),
        ];
        // Role 21 was dropped, or its setting was; role 22 has got another one.
        let settings = [
            setting(0, 0, false, "on"),
            setting(0, 10, true, "off"),
            setting(0, 20, false, "on"),
            setting(0, 22, false, "off"),
        ];
        assert_eq!(
            statements(&to_unlock(&settings, &before)),
            ["alter role all reset ro", r#"alter role "r10" reset ro"#, r#"alter role "r20" set ro = 'no'"#]
        );
    }
}
