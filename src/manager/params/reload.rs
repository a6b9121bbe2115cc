//! Having the server read its files, and its own word that it did.

use std::time::{Duration, Instant};

use crate::manager::cause::Cause;
use crate::manager::session::Session;
use crate::manager::site::Site;

/// It takes milliseconds; a postmaster that is busy forking may need longer.
const WITHIN: Duration = Duration::from_secs(10);
/// How often it is asked.
const POLL: Duration = Duration::from_millis(3);

/// When this session, and so the postmaster before it, has read the files last.
const LOADED: &str = "select pg_catalog.pg_conf_load_time()::pg_catalog.text";
/// What of the files does not hold. That a change waits for a restart is no mistake; where it consists in a line that was
/// taken out, what the view tells of it names neither file nor parameter.
const MISTAKES: &str = "select f.sourcefile, f.sourceline, f.name, f.error from pg_catalog.pg_file_settings f \
    where f.error is not null and f.sourcefile is not null and not exists (select from pg_catalog.pg_settings s \
    where s.name operator(pg_catalog.=) f.name and s.pending_restart) order by f.seqno";

/// A mistake in the files, as the server sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mistake {
    /// The parameter; `None` where the line is none.
    pub(super) name: Option<String>,
    /// Where it stands and what is wrong, in words.
    pub(super) text: String,
}

/// Has the server read its files and waits until it did; what in them does not hold.
///
/// The postmaster reads them first and then tells its children, of whom the session's server process is one: when that
/// one has read them, the postmaster has.
///
/// # Errors
/// It did not read them in time, or the session failed.
pub(super) fn reload(session: &mut Session) -> Result<Vec<Mistake>, Cause> {
    let before = session.row(LOADED)?;
    session.row("select pg_catalog.pg_reload_conf()")?;
    let begin = Instant::now();
    while session.row(LOADED)? == before {
        let mistakes = mistakes(session)?;
        // With a line that is none, nothing of the files is read.
        if mistakes.iter().any(|mistake| mistake.name.is_none()) {
            return Ok(mistakes);
        }
        if begin.elapsed() > WITHIN {
            let within = WITHIN.as_secs();
            return Err(Cause::Unconfirmed(format!("the engine has not read its files within {within} s")));
        }
        std::thread::sleep(POLL);
    }
    mistakes(session)
}

/// Has the server read its files, confirmed; what in them does not hold is passed over.
///
/// # Errors
/// It did not read them in time, or no session comes about.
pub fn reload_files(site: &mut Site) -> Result<(), Cause> {
    reload(site.plain_session()?).map(|_| ())
}

/// What in the files does not hold.
///
/// # Errors
/// As [`Session::query`].
pub(super) fn mistakes(session: &mut Session) -> Result<Vec<Mistake>, Cause> {
    let rows = session.query(MISTAKES)?;
    let mistake = |row: &crate::manager::session::Row| {
        let name = row.get(2).map(str::to_ascii_lowercase);
        let what = row.get(2).map(|name| format!("{name}: ")).unwrap_or_default();
        let text = format!("{}:{}: {what}{}", row.text(0), row.text(1), row.text(3));
        Mistake { name, text }
    };
    Ok(rows.iter().map(mistake).collect())
}
