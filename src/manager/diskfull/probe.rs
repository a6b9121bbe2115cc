//! A write as a normal user, which the engine refuses where the lock holds. It would change nothing where it is not.

use super::setting::READ_ONLY;
use crate::engine::sql::{ident_quote, literal};
use crate::manager::cause::Cause;
use crate::manager::site::Site;

/// A role that is no superuser, people's own first (PostgreSQL has some itself), and what its sessions in this database
/// begin with: what is set for the role in the database counts more than for the role, that more than for the database, and
/// that more than for all.
const ROLE: &str = "select r.rolname, (select substr(c, strpos(c, '=') + 1) from pg_catalog.pg_db_role_setting s \
    cross join unnest(s.setconfig) c where c like 'default_transaction_read_only=%' and s.setrole in (0, r.oid) \
    and s.setdatabase in (0, (select oid from pg_catalog.pg_database where datname = current_database())) \
    order by s.setrole = 0, s.setdatabase = 0 limit 1) \
    from pg_catalog.pg_roles r where not r.rolsuper order by r.rolcanlogin desc, r.oid desc limit 1";
/// That a transaction is read-only is looked at before the rights on the table are. It deletes nothing.
const WRITE: &str = "delete from pg_catalog.pg_class where false";

/// Tries a write as a normal user.
///
/// # Errors
/// It was not refused, or no session came about.
pub(super) fn refused(site: &Site, polar: bool) -> Result<(), Cause> {
    let mut session = site.another_session()?;
    let role = session.row(ROLE)?;
    if !polar {
        let begins = literal(role.get(1).unwrap_or("off"));
        session.query(&format!("set {READ_ONLY} = {begins}"))?;
    }
    session.query(&format!("set session authorization {}", ident_quote(role.text(0))))?;
    match session.query(WRITE) {
        // What the server says of a transaction that is read-only.
        Err(Cause::Standby) => Ok(()),
        Err(Cause::NotPermitted(_)) | Ok(_) => {
            let what =
                format!("a write as {}, who is no superuser, was not refused for being one", role.text(0));
            Err(Cause::Unconfirmed(what))
        }
        Err(cause) => Err(cause),
    }
}
