//! What the server says of a role.

use serde::Serialize;

use super::privilege::{Attributes, NEAREST, Privilege};
use crate::engine::sql::{ident_quote, literal};
use crate::manager::cause::Cause;
use crate::manager::session::{Row, Session};
use crate::manager::site::Site;

/// The superuser that initdb makes, whose number never changes (PostgreSQL's `BOOTSTRAP_SUPERUSERID`).
const BOOTSTRAP: u32 = 10;

/// A role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// The class that it is of, if it is of one.
    pub privilege: Option<Privilege>,
    /// The attributes that classes are made of.
    pub attributes: Attributes,
    /// What is stored of its password: `scram`, `md5`, `none`.
    pub password: &'static str,
    /// Until when the password holds.
    pub valid_until: Option<String>,
    /// How many sessions it has, the one that asks not counted.
    pub sessions: u32,
    #[serde(skip)]
    pub(super) number: u32,
    #[serde(skip)]
    pub(super) verifier: Option<String>,
    /// What its sessions are set to, as `name=value`.
    #[serde(skip)]
    pub(super) settings: Vec<String>,
    /// The roles that it is a member of.
    #[serde(skip)]
    pub(super) member_of: Vec<String>,
}

impl Role {
    /// Whether it is the superuser that initdb made, by which everything here works.
    pub(super) fn is_bootstrap(&self) -> bool {
        self.number == BOOTSTRAP
    }
}

/// The column of PolarDB's attribute, where the engine has it.
///
/// # Errors
/// As [`Session::query`].
pub(super) fn polar_column(session: &mut Session) -> Result<Option<String>, Cause> {
    let sql = "select attname from pg_attribute where attrelid = 'pg_authid'::regclass and attname like '%polar%super%'";
    Ok(session.query(sql)?.first().map(|row| row.text(0).to_owned()))
}

/// The roles that a condition on `r` (of `pg_authid`) is true of.
pub(super) fn select(session: &mut Session, polar: Option<&str>, which: &str) -> Result<Vec<Role>, Cause> {
    let polar = polar.map_or_else(|| "false".to_owned(), |column| format!("r.{}", ident_quote(column)));
    let sql = format!(
        "select r.rolname, r.oid, r.rolsuper, r.rolcreaterole, r.rolcreatedb, r.rolreplication, r.rolcanlogin, {polar}, \
         r.rolpassword, r.rolvaliduntil, \
         (select count(*) from pg_stat_activity a where a.usesysid = r.oid and a.pid <> pg_backend_pid() \
         and a.backend_type in ('client backend', 'walsender')), \
         (select array_to_json(setconfig) from pg_db_role_setting s where s.setrole = r.oid and s.setdatabase = 0), \
         (select json_agg(g.rolname) from pg_auth_members m join pg_authid g on g.oid = m.roleid where m.member = r.oid) \
         from pg_authid r where {which} order by r.rolname"
    );
    Ok(session.query(&sql)?.iter().map(role).collect())
}

/// The role of a name.
pub(super) fn of_name(session: &mut Session, polar: Option<&str>, name: &str) -> Result<Option<Role>, Cause> {
    Ok(select(session, polar, &format!("r.rolname = {}", literal(name)))?.into_iter().next())
}

fn role(row: &Row) -> Role {
    let attributes = Attributes {
        superuser: row.truth(2),
        create_role: row.truth(3),
        create_db: row.truth(4),
        replication: row.truth(5),
        login: row.truth(6),
        polar_superuser: row.truth(7),
    };
    let list = |column: usize| -> Vec<String> {
        row.get(column).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    };
    let member_of = list(12);
    let nearest = NEAREST.iter().all(|role| member_of.iter().any(|name| name == role));
    let verifier = row.get(8).map(str::to_owned);
    Role {
        name: row.text(0).to_owned(),
        privilege: Privilege::of(attributes, nearest),
        attributes,
        password: match verifier.as_deref() {
            None => "none",
            Some(text) if text.starts_with("SCRAM-SHA-256$") => "scram",
            Some(_) => "md5",
        },
        valid_until: row.get(9).map(str::to_owned),
        sessions: row.text(10).parse().unwrap_or(0),
        number: row.text(1).parse().unwrap_or(0),
        verifier,
        settings: list(11),
        member_of,
    }
}

/// All accounts; the roles of PostgreSQL's own (`pg_...`) are none.
///
/// # Errors
/// The engine does not answer.
pub fn list(site: &mut Site) -> Result<Vec<Role>, Cause> {
    let session = site.session()?;
    let polar = polar_column(session)?;
    select(session, polar.as_deref(), "r.rolname !~ '^pg_'")
}
