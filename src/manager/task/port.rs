//! The port that a caller means. What the data volume says counts more: it names the server that is really there.

use serde_json::Value;

use super::environment::{Environment, bad, scalar};
use crate::manager::cause::Cause;

/// The port by `srv_opr_host_ip`, else `srv_opr_hosts`, else `port`; `None`: none of them names one.
pub(super) fn meant(environment: &Environment) -> Result<Option<u16>, Cause> {
    if let Some(found) = environment.json("srv_opr_host_ip")? {
        let found = found.get("access_port").map(|ports| first("srv_opr_host_ip", ports));
        if let Some(port) = found.transpose()?.flatten() {
            return Ok(Some(port));
        }
    }
    if let Some(hosts) = environment.json("srv_opr_hosts")? {
        let host = hosts.get(0).unwrap_or(&hosts);
        let found = host.get("access_port").map(|ports| first("srv_opr_hosts", ports));
        if let Some(port) = found.transpose()?.flatten() {
            return Ok(Some(port));
        }
    }
    of_port(environment)
}

/// That of `port`: a number, or of the instance `ins_id` (of the only one where that is not named).
pub(super) fn of_port(environment: &Environment) -> Result<Option<u16>, Cause> {
    let of_instances = match environment.json("port")? {
        None => return Ok(None),
        Some(Value::Object(of_instances)) => of_instances,
        Some(number) => return first("port", &number),
    };
    let named = environment.text("ins_id")?.and_then(|id| of_instances.get(id));
    let only = || of_instances.values().next().filter(|_| of_instances.len() == 1);
    let Some(ports) = named.or_else(only) else { return Ok(None) };
    first("port", ports.get("access_port").unwrap_or(ports))
}

/// A port, or the first of a list of them.
fn first(name: &str, ports: &Value) -> Result<Option<u16>, Cause> {
    let port = match ports {
        Value::Array(all) => match all.first() {
            None => return Ok(None),
            Some(port) => port,
        },
        Value::Object(_) | Value::Null => return Ok(None),
        port => port,
    };
    let number = scalar(port).and_then(|text| text.trim().parse::<u16>().ok()).filter(|port| *port > 0);
    number.map(Some).ok_or_else(|| bad(name, "names a port that is none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Option<u16>, Cause> {
        let mut environment = Environment::default();
        variables.iter().for_each(|(name, value)| environment.set(name, *value));
        meant(&environment)
    }

    #[test]
    fn where_it_stands() {
        let (ip, hosts) = ("srv_opr_host_ip", "srv_opr_hosts");
        for (variables, expected) in [
            (vec![], None),
            (vec![(ip, r#"{"access_port":[3001],"link":[1],"perf_port":[2]}"#)], Some(3001)),
            (vec![(ip, "{}"), (hosts, r#"[{"access_port":[3002]}]"#)], Some(3002)),
            (vec![(ip, "{}"), (hosts, "[]"), ("port", "3003")], Some(3003)),
            (vec![(ip, ""), ("port", r#"{"7":{"access_port":[3004]}}"#)], Some(3004)),
            (
                vec![("ins_id", "8"), ("port", r#"{"7":{"access_port":[1]},"8":{"access_port":["3005"]}}"#)],
                Some(3005),
            ),
            (vec![("ins_id", "9"), ("port", r#"{"7":{"access_port":[1]},"8":{"access_port":[2]}}"#)], None),
            (vec![(ip, r#"{"access_port":3006}"#)], Some(3006)),
            (vec![(ip, r#"{"access_port":[]}"#)], None),
            (vec![(ip, r#"{"access_port":null}"#)], None),
            // What comes later is not looked at.
            (vec![(ip, r#"{"access_port":[3007]}"#), (hosts, "{")], Some(3007)),
        ] {
            assert_eq!(of(&variables).unwrap(), expected, "{variables:?}");
        }
    }

    #[test]
    fn what_is_none() {
        for variables in [
            [("srv_opr_host_ip", "{")],
            [("srv_opr_hosts", "[{")],
            [("port", "{\"1\"")],
            [("port", "0")],
            [("port", "65536")],
            [("port", "-1")],
            [("port", "\"3001; drop\"")],
            [("srv_opr_host_ip", r#"{"access_port":[true]}"#)],
        ] {
            assert_eq!(of(&variables).unwrap_err().code(), "bad_variable", "{variables:?}");
        }
    }
}
