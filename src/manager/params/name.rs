//! Names of parameters, and what may be shown of their values.

use crate::engine::conf::is_parameter_name;
use crate::manager::cause::Cause;

/// The longest value that is taken, in bytes: no parameter needs more, and a file of many megabytes is read by every
/// process that starts.
const VALUE_MAX: usize = 1 << 20;

/// What one node has for itself. `ALTER SYSTEM FOR CLUSTER` of PolarDB validates nothing: it would store these for all
/// nodes, and break each at its next start.
const NODE_SPECIFIC: [&str; 26] = [
    "cluster_name",
    "config_file",
    "data_directory",
    "external_pid_file",
    "hba_file",
    "ident_file",
    "listen_addresses",
    "polar_datadir",
    "polar_disk_name",
    "polar_hostid",
    "polar_replica",
    "polar_storage_cluster_name",
    "polar_vfs.logic_ins_id",
    "port",
    "primary_conninfo",
    "primary_slot_name",
    "promote_trigger_file",
    "recovery_target",
    "recovery_target_action",
    "recovery_target_lsn",
    "recovery_target_name",
    "recovery_target_time",
    "recovery_target_timeline",
    "recovery_target_xid",
    "restore_command",
    "unix_socket_directories",
];

/// Values that may hold a password or lead to a key.
const SECRET: [&str; 5] = ["conninfo", "passphrase", "secret", "dma_repl", "ldap"];

/// Whether a parameter belongs to one node alone.
pub(super) fn is_node_specific(name: &str) -> bool {
    NODE_SPECIFIC.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// A value as people and logs may see it.
#[must_use]
pub fn shown(name: &str, value: &str) -> String {
    let name = name.to_ascii_lowercase();
    if !value.is_empty() && SECRET.iter().any(|word| name.contains(word)) {
        return "(not shown)".to_owned();
    }
    value.to_owned()
}

/// A name, in lower case as PostgreSQL compares it.
///
/// # Errors
/// It is none.
pub fn checked_name(name: &str) -> Result<String, Cause> {
    // Bytes above 127 are letters to PostgreSQL's scanner, and no parameter has one.
    if is_parameter_name(name) && name.is_ascii() && name.len() < 128 {
        return Ok(name.to_ascii_lowercase());
    }
    let shown: String = name.chars().take(60).collect();
    let next = "a name has letters, digits, underscores, and a dot behind the name of an extension";
    Err(Cause::invalid("usage", format!("{shown:?} is no name of a parameter"), next))
}

/// Name and value of `NAME=VALUE`.
///
/// # Errors
/// It is not of that form, or no file can hold the value.
pub fn assignment(text: &str) -> Result<(String, String), Cause> {
    let Some((name, value)) = text.split_once('=') else {
        let shown: String = text.chars().take(60).collect();
        return Err(Cause::invalid(
            "usage",
            format!("{shown:?} has no ="),
            "write NAME=VALUE, such as work_mem=8MB",
        ));
    };
    let name = checked_name(name.trim_matches([' ', '\t']))?;
    if value.contains('\0') {
        let next = "leave it out; no configuration file can hold one";
        return Err(Cause::invalid("usage", format!("the value of {name} has a NUL in it"), next));
    }
    if value.len() > VALUE_MAX {
        let what = format!("the value of {name} has {} bytes; {VALUE_MAX} are the most", value.len());
        return Err(Cause::invalid("usage", what, "make it shorter"));
    }
    Ok((name, value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments() {
        let ok = |text: &str| assignment(text).unwrap();
        assert_eq!(ok("work_mem=8MB"), ("work_mem".into(), "8MB".into()));
        assert_eq!(ok("Work_Mem = 8MB"), ("work_mem".into(), " 8MB".into()));
        assert_eq!(ok("a.b=x=y\nport=1"), ("a.b".into(), "x=y\nport=1".into()));
        assert_eq!(ok("a="), ("a".into(), String::new()));
        for text in ["work_mem", "=1", "a b=1", "a\n=1", "a'=1", "1a=1", "ä=1", "a=\0", "#a=1", "a..b=1"] {
            assert_eq!(assignment(text).unwrap_err().code(), "usage", "{text:?}");
        }
        assert!(assignment(&format!("a={}", "x".repeat(VALUE_MAX))).is_ok());
        assert!(assignment(&format!("a={}", "x".repeat(VALUE_MAX + 1))).is_err());
    }

    #[test]
    fn what_is_not_shown() {
        assert_eq!(shown("primary_conninfo", "host=a password=b"), "(not shown)");
        assert_eq!(shown("ssl_passphrase_command", "cat /key"), "(not shown)");
        assert_eq!(shown("work_mem", "8MB"), "8MB");
        assert_eq!(shown("primary_conninfo", ""), "");
    }

    #[test]
    fn the_list_is_sorted() {
        assert!(NODE_SPECIFIC.is_sorted());
        assert!(is_node_specific("PORT") && !is_node_specific("work_mem"));
    }
}
