//! The nodes of a cluster, as callers describe them: the primary that a standby follows, and names of slots.

use serde_json::{Map, Value};

use super::environment::{Environment, bad, missing, scalar};
use crate::manager::account::Password;
use crate::manager::cause::Cause;
use crate::manager::install::Primary;
use crate::manager::replica::{Kind, Name};

/// The variable that describes all nodes.
const CLUSTER: &str = "cluster_custins_info";
/// The class of the account that replicates.
const REPLICATOR: &str = "15";

/// The primary of a standby: the first node of `polardb_mpd_rw`.
pub(super) fn primary(environment: &Environment, slot: Option<Name>) -> Result<Primary, Cause> {
    let cluster = environment.required_object(CLUSTER)?;
    let node = cluster
        .get("polardb_mpd_rw")
        .and_then(Value::as_object)
        .and_then(|nodes| nodes.values().next())
        .ok_or_else(|| bad(CLUSTER, "has no node in polardb_mpd_rw, which a standby follows"))?;
    let hosts = node.get("hostins").and_then(Value::as_object).into_iter().flat_map(Map::values);
    let addressed = |host: &Value| Some((scalar(host.get("ins_ip")?)?, scalar(host.get("port")?)?));
    let (host, port) = hosts
        .filter_map(addressed)
        .next()
        .ok_or_else(|| bad(CLUSTER, "tells of no ins_ip and port of the primary (hostins)"))?;
    let port = port.parse().map_err(|_| bad(CLUSTER, "names a port of the primary that is none"))?;
    let accounts = node.get("accounts").and_then(Value::as_object);
    let (user, password) =
        accounts.into_iter().flatten().find_map(|(name, account)| replicator(name, account)).ok_or_else(
            || bad(CLUSTER, "has no account of priviledge_type 15, as which a standby streams"),
        )?;
    let password = password.filter(|text| !text.is_empty()).map(|text| as_password(&text)).transpose()?;
    Ok(Primary { host, port, user, password, slot })
}

/// Name and password of an account that replicates.
fn replicator(name: &str, account: &Value) -> Option<(String, Option<String>)> {
    if scalar(account.get("priviledge_type")?)? != REPLICATOR {
        return None;
    }
    let user = account.get("account").and_then(scalar).unwrap_or_else(|| name.to_owned());
    Some((user, account.get("password").and_then(scalar)))
}

/// A password to the letter: of what is read from a file the last line end is none of it.
pub(super) fn as_password(text: &str) -> Result<Password, Cause> {
    let end: &[u8] = if text.ends_with('\n') { b"\n" } else { b"" };
    Password::read(std::io::Read::chain(text.as_bytes(), end))
}

/// The slot of the installation itself, where its parts are named.
pub(super) fn own_slot(environment: &Environment) -> Result<Option<Name>, Cause> {
    let own = environment.text("custins_id")?;
    let id = own.map_or_else(|| environment.text("cust_ins_id"), |id| Ok(Some(id)))?;
    match (id, environment.text("slot_unique_name")?) {
        (Some(id), Some(unique)) => name(Kind::Standby, id, unique, "slot_unique_name").map(Some),
        _ => Ok(None),
    }
}

/// The slot that is made or dropped: of the node `current_ins` where the topology is told, else of `ro_custins_current`.
pub(super) fn slot(environment: &Environment) -> Result<Name, Cause> {
    let Some(topology) = environment.object("ins_topology_4_replication")? else {
        let node = environment.required_object("ro_custins_current")?;
        return of_node(Kind::Replica, &node, "ro_custins_current");
    };
    let node = environment.required_object("current_ins")?;
    let id =
        node.get("custins_id").and_then(scalar).ok_or_else(|| bad("current_ins", "has no custins_id"))?;
    let kind = topology.iter().find(|(_, nodes)| holds(nodes, &id)).map(|(kind, _)| kind.as_str());
    let kind = match kind {
        Some("polardb_mpd_rw" | "polardb_mpd_ro") => Kind::Replica,
        Some("polardb_mpd_standby") => Kind::Standby,
        Some(_) => {
            return Err(bad("ins_topology_4_replication", "has the node under a type that has no slot"));
        }
        None => {
            return Err(bad("ins_topology_4_replication", "does not have the node of current_ins"));
        }
    };
    of_node(kind, &node, "current_ins")
}

fn of_node(kind: Kind, node: &Map<String, Value>, variable: &str) -> Result<Name, Cause> {
    let word = |key: &str| {
        let found = node.get(key).and_then(scalar).filter(|text| !text.is_empty());
        found.ok_or_else(|| match node.is_empty() {
            true => missing(variable),
            false => bad(variable, &format!("has no {key}")),
        })
    };
    name(kind, &word("custins_id")?, &word("slot_unique_name")?, variable)
}

fn name(kind: Kind, id: &str, unique: &str, variable: &str) -> Result<Name, Cause> {
    Name::new(kind, id, unique).map_err(|_| {
        let what = "makes no name of a slot: kind, custins_id and slot_unique_name together have at most 63 lower-case \
                    letters, digits, underscores and, in the last, hyphens";
        bad(variable, what)
    })
}

/// Whether a node of this id is there, at whatever depth: nodes of a standby cluster lie one level deeper.
fn holds(value: &Value, id: &str) -> bool {
    let Value::Object(object) = value else { return false };
    object.get("custins_id").and_then(scalar).as_deref() == Some(id)
        || object.iter().any(|(key, value)| (key == id && value.is_object()) || holds(value, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        let mut environment = Environment::default();
        variables.iter().for_each(|(name, value)| environment.set(name, *value));
        environment
    }

    #[test]
    fn names_of_slots() {
        let of = |variables: &[(&str, &str)]| slot(&environment(variables)).map(|name| name.to_string());
        let ro = r#"{"pod_name":"p","custins_id":1001,"slot_unique_name":"a-b"}"#;
        assert_eq!(of(&[("ro_custins_current", ro)]).unwrap(), "replica_1001_a_b");
        let topology = r#"{"polardb_mpd_rw":{"1":{"custins_id":"1000"}},
            "polardb_mpd_standby":{"2":{"polardb_mpd_rw":{"1001":{}}}},"polardb_mpd_datamax":{"3":{"custins_id":"7"}}}"#;
        let newer = |id: &str| {
            let node = format!(r#"{{"custins_id":"{id}","slot_unique_name":"x"}}"#);
            of(&[("ins_topology_4_replication", topology), ("current_ins", &node)])
        };
        assert_eq!(newer("1000").unwrap(), "replica_1000_x");
        assert_eq!(newer("1001").unwrap(), "standby_1001_x");
        for id in ["7", "8"] {
            assert_eq!(newer(id).unwrap_err().code(), "bad_variable", "{id}");
        }
        for hostile in [
            "{",
            "[]",
            r#"{"custins_id":"1","slot_unique_name":"a'; drop table t; --"}"#,
            r#"{"custins_id":"1"}"#,
        ] {
            assert_eq!(
                of(&[("ro_custins_current", hostile)]).unwrap_err().code(),
                "bad_variable",
                "{hostile}"
            );
        }
        assert_eq!(of(&[]).unwrap_err().code(), "missing_variable");
        let parts = [("cust_ins_id", "1000"), ("slot_unique_name", "1001")];
        assert_eq!(own_slot(&environment(&parts)).unwrap().unwrap().to_string(), "standby_1000_1001");
        assert_eq!(own_slot(&environment(&parts[..1])).unwrap(), None);
    }

    #[test]
    fn the_primary_of_a_standby() {
        let cluster = r#"{"polardb_mpd_rw":{"1000":{"accounts":{"aurora":{"priviledge_type":7,"account":"aurora","password":"x"},
            "r":{"priviledge_type":15,"account":"replicator","password":"geheim"}},
            "hostins":{"1001":{"role":"master","port":3001,"ins_ip":"10.0.0.1"}}}}}"#;
        let found = primary(&environment(&[(CLUSTER, cluster)]), None).unwrap();
        assert_eq!((found.host.as_str(), found.port, found.user.as_str()), ("10.0.0.1", 3001, "replicator"));
        assert!(found.password.is_some() && !format!("{found:?}").contains("geheim"));
        for broken in
            ["{}", r#"{"polardb_mpd_rw":{}}"#, r#"{"polardb_mpd_rw":7}"#, "[1]", &cluster.replace("15", "1")]
        {
            let cause = primary(&environment(&[(CLUSTER, broken)]), None).unwrap_err();
            assert_eq!(cause.code(), "bad_variable", "{broken}");
            assert!(!cause.to_string().contains("geheim"));
        }
        assert_eq!(primary(&environment(&[(CLUSTER, "\"\"")]), None).unwrap_err().code(), "missing_variable");
    }

    #[test]
    fn a_password_is_taken_to_the_letter() {
        for text in ["a\n", "a\r\n", "a\n\n", " a ", "'\\%\u{1f418}"] {
            // A file that holds it ends with one line end more.
            let of_file = Password::read(format!("{text}\n").as_bytes()).unwrap();
            assert_eq!(as_password(text).unwrap(), of_file, "{text:?}");
        }
        assert_ne!(as_password("a\r").unwrap(), as_password("a").unwrap());
        assert_ne!(as_password("a\n").unwrap(), as_password("a").unwrap());
        assert_ne!(as_password("a\r\n").unwrap(), as_password("a").unwrap());
    }
}
