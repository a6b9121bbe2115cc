//! What keeps an engine from starting that `postgres -C` does not look at: parameters that do not go together, libraries
//! that are not there, and a standby that has less than its primary.
//!
//! The rules are those of `PostmasterMain` (`src/backend/postmaster/postmaster.c`) and of `CheckRequiredParameterValues`
//! (`src/backend/access/transam/xlogrecovery.c`).

use std::collections::BTreeMap;

/// Parameters whose rules concern connections.
const CONNECTIONS: [&str; 2] = ["max_connections", "superuser_reserved_connections"];
/// Parameters whose rules concern the log.
const LOG: [&str; 3] = ["wal_level", "archive_mode", "max_wal_senders"];
/// What a standby must have at least as much of as its primary had, and the words of `pg_controldata` for it.
const FLOORS: [(&str, &str); 5] = [
    ("max_connections", "max_connections setting:"),
    ("max_worker_processes", "max_worker_processes setting:"),
    ("max_wal_senders", "max_wal_senders setting:"),
    ("max_prepared_transactions", "max_prepared_xacts setting:"),
    ("max_locks_per_transaction", "max_locks_per_xact setting:"),
];

/// The parameters whose values are needed to judge a change of these.
pub(super) fn needed<'a>(changed: impl Iterator<Item = &'a String> + Clone) -> Vec<&'static str> {
    let touches = |group: &[&str]| changed.clone().any(|name| group.contains(&name.as_str()));
    let mut needed = Vec::new();
    if touches(&CONNECTIONS) {
        needed.extend(CONNECTIONS);
    }
    if touches(&LOG) {
        needed.extend(LOG);
    }
    needed
}

/// Whether what a standby must have is among these.
pub(super) fn has_floor(name: &str) -> bool {
    FLOORS.iter().any(|(known, _)| *known == name)
}

/// What the primary had, by what `pg_controldata` prints.
pub(super) fn floors(controldata: &str) -> BTreeMap<&'static str, u64> {
    let floor =
        |words: &str| controldata.lines().find_map(|line| line.strip_prefix(words)?.trim().parse().ok());
    FLOORS.iter().filter_map(|(name, words)| Some((*name, floor(words)?))).collect()
}

/// Why an engine with these values would not start; `floors` of a standby.
///
/// # Errors
/// The engine's own words, or like them.
pub(super) fn check(
    values: &BTreeMap<String, String>,
    floors: &BTreeMap<&'static str, u64>,
) -> Result<(), String> {
    let number = |name: &str| values.get(name).and_then(|value| value.parse::<u64>().ok());
    if let (Some(all), Some(reserved)) = (number("max_connections"), number("superuser_reserved_connections"))
        && reserved >= all
    {
        return Err(format!(
            "superuser_reserved_connections ({reserved}) must be less than max_connections ({all})"
        ));
    }
    if values.get("wal_level").is_some_and(|level| level == "minimal") {
        if values.get("archive_mode").is_some_and(|mode| mode != "off") {
            return Err("WAL archival cannot be enabled when wal_level is minimal".to_owned());
        }
        if number("max_wal_senders").is_some_and(|senders| senders > 0) {
            return Err(
                "WAL streaming (max_wal_senders > 0) requires wal_level replica or logical".to_owned()
            );
        }
    }
    for (name, floor) in floors {
        if number(name).is_some_and(|value| value < *floor) {
            return Err(format!(
                "{name} of a standby must not be less than its primary's, which is {floor}: lower it there first, and restart that"
            ));
        }
    }
    Ok(())
}

/// The names of a list of libraries, such as `shared_preload_libraries` holds.
pub(super) fn libraries(list: &str) -> Vec<String> {
    let names = list.split(',').map(|name| name.trim().trim_matches('"').to_owned());
    names.filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(pairs: &[(&str, &str)], floors: &[(&'static str, u64)]) -> Result<(), String> {
        let values = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        check(&values, &floors.iter().copied().collect())
    }

    #[test]
    fn what_goes_together() {
        let table: [(&[(&str, &str)], bool); 8] = [
            (&[], true),
            (&[("max_connections", "10"), ("superuser_reserved_connections", "3")], true),
            (&[("max_connections", "3"), ("superuser_reserved_connections", "3")], false),
            (&[("wal_level", "minimal"), ("archive_mode", "off"), ("max_wal_senders", "0")], true),
            (&[("wal_level", "minimal"), ("archive_mode", "on"), ("max_wal_senders", "0")], false),
            (&[("wal_level", "minimal"), ("archive_mode", "off"), ("max_wal_senders", "10")], false),
            (&[("wal_level", "replica"), ("archive_mode", "on"), ("max_wal_senders", "10")], true),
            (&[("work_mem", "1")], true),
        ];
        for (pairs, good) in table {
            assert_eq!(checked(pairs, &[]).is_ok(), good, "{pairs:?}");
        }
        assert!(checked(&[("max_connections", "99")], &[("max_connections", 100)]).is_err());
        assert!(checked(&[("max_connections", "100")], &[("max_connections", 100)]).is_ok());
    }

    #[test]
    fn what_is_asked_for() {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<String>>();
        assert_eq!(needed(names(&["work_mem"]).iter()), Vec::<&str>::new());
        assert_eq!(needed(names(&["max_connections", "work_mem"]).iter()), CONNECTIONS);
        assert_eq!(needed(names(&["archive_mode"]).iter()), LOG);
        assert_eq!(libraries(" a, \"b c\",,$libdir/d "), ["a", "b c", "$libdir/d"]);
    }

    #[test]
    fn what_pg_controldata_says() {
        let text = "wal_level setting:                    replica\nmax_connections setting:              100\n\
                    max_prepared_xacts setting:           5\n";
        assert_eq!(
            floors(text),
            BTreeMap::from([("max_connections", 100), ("max_prepared_transactions", 5)])
        );
    }
}
