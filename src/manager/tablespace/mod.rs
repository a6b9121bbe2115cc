//! `tablespace create`: a tablespace, and the folder that it is in.

mod folder;

use std::fmt;
use std::path::Path;

use folder::Folder;
pub(super) use folder::checked as checked_location;

use super::account::checked_name;
use super::cause::Cause;
use super::operation::{Operation, Plan};
use super::session::Session;
use super::site::Site;
use crate::engine::sql::{ident_quote, literal};

/// What is longer `pg_basebackup` in tar format cannot take, in bytes.
const TAR_MAX: usize = 99;

/// `tablespace create`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Create {
    /// Its name.
    pub name: String,
    /// The folder that it is in, as the engine sees it.
    pub location: String,
    /// The role that it belongs to; of one that is made, else the superuser's.
    pub owner: Option<String>,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Make the folder.
    MakeFolder(String),
    /// Make the tablespace.
    Create {
        /// Its name.
        name: String,
        /// Where it is.
        location: String,
        /// Whose it is.
        owner: Option<String>,
    },
    /// Give it to a role.
    Give {
        /// Its name.
        name: String,
        /// The role.
        owner: String,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::MakeFolder(location) => {
                write!(f, "make the folder {location} as the engine's user, mode 0700")
            }
            Step::Create { name, location, owner } => {
                write!(f, "create the tablespace {} at {location}", ident_quote(name))?;
                owner.as_ref().map_or(Ok(()), |owner| write!(f, ", owner {}", ident_quote(owner)))
            }
            Step::Give { name, owner } => {
                write!(f, "give the tablespace {} to {}", ident_quote(name), ident_quote(owner))
            }
        }
    }
}

/// What is found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The location as the engine keeps it.
    location: String,
    /// The tablespace of this name: where it is and whose.
    there: Option<(String, String)>,
    /// The tablespace that is at this location.
    other: Option<String>,
    /// Whether the role is there that it is to belong to.
    owner_known: bool,
    /// What is here of the folder; only where there is no tablespace.
    here: Option<Folder>,
    /// How many entries the engine sees in it; `None`: it sees no folder.
    engine_sees: Option<u64>,
    /// Who streams from this instance.
    standbys: Vec<String>,
}

impl Seen {
    /// Where the tablespace is.
    #[must_use]
    pub fn location(&self) -> &str {
        &self.location
    }

    /// Whose it is; `None`: there is none.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        self.there.as_ref().map(|(_, owner)| owner.as_str())
    }
}

impl Operation for Create {
    type Seen = Seen;
    type Step = Step;

    fn name(&self) -> &'static str {
        "tablespace create"
    }

    fn look(&self, site: &mut Site) -> Result<Seen, Cause> {
        checked_name(&self.name)?;
        self.owner.as_deref().map_or(Ok(()), checked_name)?;
        let location = folder::checked(&self.location)?;
        let session = site.session()?;
        session.require_primary()?;
        let rows = session.query(&format!(
            "select t.spcname, pg_tablespace_location(t.oid), pg_get_userbyid(t.spcowner) from pg_tablespace t \
             where t.spcname = {} or pg_tablespace_location(t.oid) = {}",
            literal(&self.name),
            literal(&location)
        ))?;
        let there = rows.iter().find(|row| row.text(0) == self.name);
        let there = there.map(|row| (row.text(1).to_owned(), row.text(2).to_owned()));
        let other = rows.iter().find(|row| row.text(0) != self.name).map(|row| row.text(0).to_owned());
        let owner_known = match &self.owner {
            None => true,
            Some(owner) => {
                let sql = format!("select from pg_roles where rolname = {}", literal(owner));
                !session.query(&sql)?.is_empty()
            }
        };
        let standbys = "select distinct application_name from pg_stat_replication \
                        where application_name <> 'pg_basebackup' order by 1";
        let standbys = session.query(standbys)?.iter().map(|row| row.text(0).to_owned()).collect();
        let mut seen = Seen { location, there, other, owner_known, here: None, engine_sees: None, standbys };
        if seen.there.is_none() && seen.other.is_none() {
            let path = Path::new(&seen.location);
            let own = session.row("select current_setting('data_directory')")?;
            if path.starts_with(own.text(0)) {
                return Err(folder::within(path));
            }
            seen.engine_sees = engine_sees(session, &seen.location)?;
            seen.here = Some(folder::look(site, path)?);
        }
        Ok(seen)
    }

    fn plan(&self, seen: &Seen) -> Result<Plan<Step>, Cause> {
        let mut plan = Plan::default();
        let name = &self.name;
        if let Some(owner) = self.owner.as_ref().filter(|_| !seen.owner_known) {
            let next = "create it: polarctl account create";
            return Err(Cause::invalid("no_such_role", format!("there is no role {owner:?}"), next));
        }
        if let Some((location, owner)) = &seen.there {
            if *location != seen.location {
                let what = format!("the tablespace {name:?} is at {location}, and not at {}", seen.location);
                return Err(Cause::invalid("other_location", what, "give its own place, or another name"));
            }
            if let Some(wanted) = self.owner.as_ref().filter(|wanted| *wanted != owner) {
                plan.steps.push(Step::Give { name: name.clone(), owner: wanted.clone() });
            }
            return Ok(plan);
        }
        if let Some(other) = &seen.other {
            let what = format!("{} is the place of the tablespace {other:?}", seen.location);
            return Err(Cause::invalid("in_use", what, "give another folder"));
        }
        if seen.makes_folder()? {
            plan.steps.push(Step::MakeFolder(seen.location.clone()));
        }
        let (location, owner) = (seen.location.clone(), self.owner.clone());
        plan.steps.push(Step::Create { name: name.clone(), location, owner });
        if seen.location.len() > TAR_MAX {
            plan.notes.push(format!(
                "a location of more than {TAR_MAX} bytes: pg_basebackup in tar format does not take it"
            ));
        }
        if !seen.standbys.is_empty() {
            plan.notes.push(format!(
                "each standby needs an empty folder {} of its own, or its recovery stops there: {}",
                seen.location,
                seen.standbys.join(", ")
            ));
        }
        Ok(plan)
    }

    fn carry_out(&self, steps: &[Step], _: &Seen, site: &mut Site) -> Result<(), Cause> {
        let mut made = None;
        let done = steps.iter().try_for_each(|step| match step {
            Step::MakeFolder(location) => {
                folder::make(site, Path::new(location))?;
                made = Some(location);
                let sees = engine_sees(site.session()?, location)?;
                sees.map(drop).ok_or_else(|| unseen(location))
            }
            Step::Create { name, location, owner } => {
                let owner = owner.as_ref().map(|owner| format!("owner {} ", ident_quote(owner)));
                let owner = owner.unwrap_or_default();
                let (name, location) = (ident_quote(name), literal(location));
                site.session()?
                    .query(&format!("create tablespace {name} {owner}location {location}"))
                    .map(drop)
            }
            Step::Give { name, owner } => {
                let (name, owner) = (ident_quote(name), ident_quote(owner));
                site.session()?.query(&format!("alter tablespace {name} owner to {owner}")).map(drop)
            }
        });
        if let (Err(_), Some(location)) = (&done, made) {
            folder::unmake(site, Path::new(location));
        }
        done
    }
}

impl Seen {
    /// Whether the folder is to be made. Files of the engine may be in another container: what it sees counts, and what
    /// is here tells more.
    fn makes_folder(&self) -> Result<bool, Cause> {
        let location = &self.location;
        let refuse = |what: String, next: &str| {
            Err(Cause::invalid("bad_location", format!("{location} {what}"), next))
        };
        match (self.here.as_ref().unwrap_or(&Folder::Nowhere), self.engine_sees) {
            (Folder::Other(what), _) => {
                refuse(what.clone(), "give an empty folder of the engine's user, or one that is not there")
            }
            (_, Some(entries)) if entries > 0 => {
                refuse("is not empty where the engine runs".to_owned(), "give an empty folder")
            }
            (_, Some(_)) => Ok(false),
            (Folder::Fits, None) => Err(unseen(location)),
            (Folder::Absent, None) => Ok(true),
            (Folder::Nowhere, None) => {
                refuse("is in no folder that is there".to_owned(), "make the folder around it first")
            }
        }
    }
}

fn unseen(location: &str) -> Cause {
    let what = format!("{location} is here, and the engine sees no such folder");
    let next = "mount it into the engine's container at the same place, or do it from there";
    Cause::invalid("bad_location", what, next)
}

/// How many entries the engine sees in a folder; `None`: it sees no folder.
fn engine_sees(session: &mut Session, location: &str) -> Result<Option<u64>, Cause> {
    let location = literal(location);
    if !session.row(&format!("select (pg_stat_file({location}, true)).isdir"))?.truth(0) {
        return Ok(None);
    }
    let count = session.row(&format!("select count(*) from pg_ls_dir({location})"))?;
    Ok(Some(count.text(0).parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(here: Folder, engine_sees: Option<u64>) -> Seen {
        Seen {
            location: "/t".into(),
            there: None,
            other: None,
            owner_known: true,
            here: Some(here),
            engine_sees,
            standbys: Vec::new(),
        }
    }

    #[test]
    fn what_is_to_be_done_by_what_is_here_and_what_the_engine_sees() {
        let create = Create { name: "t".into(), location: "/t".into(), owner: None };
        for (here, sees, steps) in [
            (Folder::Absent, None, Some(2)),
            (Folder::Fits, Some(0), Some(1)),
            // The engine's container has folders of its own.
            (Folder::Absent, Some(0), Some(1)),
            (Folder::Nowhere, Some(0), Some(1)),
            (Folder::Nowhere, None, None),
            (Folder::Fits, None, None),
            (Folder::Fits, Some(1), None),
            (Folder::Other("is no folder".into()), Some(0), None),
        ] {
            let plan = create.plan(&seen(here.clone(), sees));
            assert_eq!(plan.map(|plan| plan.steps.len()).ok(), steps, "{here:?} {sees:?}");
        }
    }

    #[test]
    fn one_that_is_there() {
        let create = Create { name: "t".into(), location: "/t".into(), owner: Some("app".into()) };
        let there = |location: &str, owner: &str| Seen {
            there: Some((location.into(), owner.into())),
            ..seen(Folder::Fits, Some(0))
        };
        assert_eq!(create.plan(&there("/t", "app")).unwrap().steps, []);
        assert_eq!(create.plan(&there("/t", "x")).unwrap().steps.len(), 1);
        assert_eq!(create.plan(&there("/u", "app")).unwrap_err().code(), "other_location");
        let other = Seen { other: Some("u".into()), ..seen(Folder::Fits, Some(0)) };
        assert_eq!(create.plan(&other).unwrap_err().code(), "in_use");
        let nobody = Seen { owner_known: false, ..there("/t", "x") };
        assert_eq!(create.plan(&nobody).unwrap_err().code(), "no_such_role");
    }
}
