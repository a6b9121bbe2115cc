//! What is looked at, beside the files, to tell whether the engine would start.

use std::collections::BTreeMap;
use std::time::Duration;

use super::start;
use crate::engine::sql::literal;
use crate::manager::cause::Cause;
use crate::manager::program;
use crate::manager::site::Site;

/// The parameter of libraries that are loaded at the start.
pub(super) const PRELOAD: &str = "shared_preload_libraries";
/// It reads one file.
const WITHIN: Duration = Duration::from_secs(15);

/// What the primary of a standby has; nothing of a primary.
///
/// # Errors
/// The engine does not answer, or its `pg_controldata` cannot be run.
pub(super) fn floors(site: &mut Site, runs: bool) -> Result<BTreeMap<&'static str, u64>, Cause> {
    let standby = if runs {
        site.plain_session()?.row("select pg_catalog.pg_is_in_recovery()")?.truth(0)
    } else {
        let signal = site.data_dir.join("standby.signal");
        site.as_owner(|| signal.exists())?
    };
    if !standby {
        return Ok(BTreeMap::new());
    }
    let tool = site.bin_dir()?.join("pg_controldata");
    let data_dir = site.data_dir.to_string_lossy();
    let said = program::run(site, &tool, &["-D", &data_dir], WITHIN)?;
    Ok(start::floors(&said.stdout))
}

/// Which of a list of libraries the server's machine does not have, as far as it can be told: where they are looked for
/// in more than one folder nothing is said.
///
/// # Errors
/// The engine does not answer.
pub(super) fn missing_libraries(site: &mut Site, list: &str) -> Result<Vec<String>, Cause> {
    let session = site.plain_session()?;
    let folder = "select setting, pg_catalog.current_setting('dynamic_library_path') from pg_catalog.pg_config \
                  where name operator(pg_catalog.=) 'PKGLIBDIR'";
    let row = session.row(folder)?;
    if row.text(1) != "$libdir" {
        return Ok(Vec::new());
    }
    let mut missing = Vec::new();
    for name in start::libraries(list) {
        let mut path = match name.strip_prefix("$libdir/") {
            Some(rest) => format!("{}/{rest}", row.text(0)),
            None if name.contains('/') => name.clone(),
            None => format!("{}/{name}", row.text(0)),
        };
        if !path.ends_with(".so") {
            path.push_str(".so");
        }
        let there = format!("select (pg_catalog.pg_stat_file({}, true)).size is not null", literal(&path));
        if !session.row(&there)?.truth(0) {
            missing.push(name);
        }
    }
    Ok(missing)
}
