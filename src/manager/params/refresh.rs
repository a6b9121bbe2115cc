//! `params refresh`: has the engine read its files as they stand.

use super::reload;
use super::rows;
use super::validate;
use crate::engine::conf;
use crate::manager::cause::Cause;
use crate::manager::operation::{Operation, Plan};
use crate::manager::params::name::shown;
use crate::manager::site::Site;

/// `params refresh`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refresh;

/// What is found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// When the engine has read its files last.
    loaded: String,
    /// Why the engine would not start with them.
    refusal: Option<String>,
    /// What waits for a restart, with both values.
    waiting: Vec<String>,
    /// What in the files does not hold.
    mistakes: Vec<String>,
}

impl Operation for Refresh {
    type Seen = Seen;
    type Step = &'static str;

    fn name(&self) -> &'static str {
        "params refresh"
    }

    fn look(&self, site: &mut Site) -> Result<Seen, Cause> {
        let session = site.plain_session()?;
        let loaded =
            session.row("select pg_catalog.pg_conf_load_time()::pg_catalog.text")?.text(0).to_owned();
        let settings = rows::of(session, &[])?;
        let mistakes = reload::mistakes(session)?.into_iter().map(|mistake| mistake.text).collect();
        let path = site.data_dir.join("postgresql.conf");
        let refusal = validate::value(site, "port", &path, &path)?.err();
        let trace = site.as_owner(|| conf::trace(&site.data_dir, &[], None))?;
        let waiting = settings.values().map(|setting| {
            let next = trace.winner(&setting.name).map_or(setting.boot.as_str(), |found| &found.value);
            let name = &setting.name;
            format!(
                "{name} waits for a restart: {} runs, {} comes",
                shown(name, &setting.shown),
                shown(name, next)
            )
        });
        Ok(Seen { loaded, refusal, waiting: waiting.collect(), mistakes })
    }

    fn plan(&self, seen: &Seen) -> Result<Plan<&'static str>, Cause> {
        if let Some(words) = &seen.refusal {
            let what = format!("the engine would not start with its files as they stand: {words}");
            return Err(Cause::invalid("invalid_value", what, "correct the files: they were not read"));
        }
        Ok(Plan { steps: vec!["reload, confirmed by the engine"], notes: seen.waiting.clone() })
    }

    fn carry_out(&self, _: &[&'static str], _: &Seen, site: &mut Site) -> Result<(), Cause> {
        reload::reload(site.plain_session()?).map(|_| ())
    }

    fn confirm(&self, before: &Seen, after: &Seen) -> Result<Vec<String>, Cause> {
        if !after.mistakes.is_empty() {
            let what = format!("the engine did not take: {}", after.mistakes.join("; "));
            return Err(Cause::invalid("refused", what, "correct these lines; all others are in effect"));
        }
        if after.loaded == before.loaded {
            return Err(Cause::Unconfirmed("the engine has not read its files".to_owned()));
        }
        Ok(after.waiting.clone())
    }
}
