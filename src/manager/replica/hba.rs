//! Whether `pg_hba.conf` lets a role stream from somewhere, by what the server makes of the file, and the line that does.

use std::net::IpAddr;

use crate::manager::cause::Cause;
use crate::manager::session::Session;

/// A rule of the file, as the server reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    line: String,
    kind: String,
    databases: Vec<String>,
    users: Vec<String>,
    address: String,
    method: String,
}

/// What the rules come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// This line lets it in.
    Allowed(String),
    /// This line turns it away, before any other can let it in.
    Rejected(String),
    /// None is about it.
    Missing,
}

/// All rules over TCP, in their order; and what in the file is none.
///
/// # Errors
/// As [`Session::query`].
pub(super) fn rules(session: &mut Session) -> Result<(Vec<Rule>, Vec<String>), Cause> {
    let rows = session.query(
        "select line_number, type, array_to_json(database), array_to_json(user_name), address, netmask, auth_method, error \
         from pg_hba_file_rules order by line_number",
    )?;
    let list = |text: &str| serde_json::from_str(text).unwrap_or_default();
    let mut rules = Vec::new();
    let mut mistakes = Vec::new();
    for row in &rows {
        if let Some(error) = row.get(7) {
            mistakes.push(format!("line {}: {error}", row.text(0)));
        } else {
            rules.push(Rule {
                line: row.text(0).to_owned(),
                kind: row.text(1).to_owned(),
                databases: list(row.text(2)),
                users: list(row.text(3)),
                address: address_of(row.text(4), row.text(5)),
                method: row.text(6).to_owned(),
            });
        }
    }
    Ok((rules, mistakes))
}

/// An address that covers all others is `all`.
fn address_of(address: &str, netmask: &str) -> String {
    match (address, netmask) {
        ("0.0.0.0", "0.0.0.0") => "all".to_owned(),
        (address, "" | "255.255.255.255") => address.to_owned(),
        (address, mask) => format!("{address}/{}", bits(mask)),
    }
}

fn bits(mask: &str) -> u32 {
    match mask.parse() {
        Ok(IpAddr::V4(mask)) => mask.to_bits().count_ones(),
        Ok(IpAddr::V6(mask)) => mask.to_bits().count_ones(),
        Err(_) => 0,
    }
}

/// What the rules come to for a role that streams from an address: the first that matches counts.
pub(super) fn verdict(rules: &[Rule], role: &str, address: &str) -> Verdict {
    let matches = |rule: &&Rule| {
        rule.kind.starts_with("host")
            && rule.databases.iter().any(|database| database == "replication")
            && rule.users.iter().any(|user| user == "all" || user == role)
            && (rule.address == "all" || rule.address == address)
    };
    match rules.iter().find(matches) {
        Some(rule) if rule.method == "reject" => Verdict::Rejected(rule.line.clone()),
        Some(rule) => Verdict::Allowed(rule.line.clone()),
        None => Verdict::Missing,
    }
}

/// The line that lets a role stream from an address, with a password.
pub(super) fn line(role: &str, address: &str) -> String {
    format!("host replication \"{}\" {address} scram-sha-256", role.replace('"', "\"\""))
}

/// An address as the file takes it: `all`, an address with or without a mask, a host's name.
///
/// # Errors
/// It is none.
pub(super) fn checked_address(address: &str) -> Result<(), Cause> {
    let (host, mask) = address.split_once('/').map_or((address, None), |(host, mask)| (host, Some(mask)));
    let longest = match host.parse() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => 0,
    };
    let good = match mask {
        Some(mask) => longest > 0 && mask.parse::<u8>().is_ok_and(|mask| mask <= longest),
        None => {
            !host.is_empty()
                && host.len() < 254
                && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-:".contains(c))
        }
    };
    if good {
        return Ok(());
    }
    let shown: String = address.chars().take(60).collect();
    Err(Cause::invalid(
        "usage",
        format!("--address {shown:?} is none"),
        "write all, 10.0.0.0/8, 10.0.0.7/32 or a host's name",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(kind: &str, database: &str, user: &str, address: &str, method: &str) -> Rule {
        Rule {
            line: "7".to_owned(),
            kind: kind.to_owned(),
            databases: vec![database.to_owned()],
            users: vec![user.to_owned()],
            address: address.to_owned(),
            method: method.to_owned(),
        }
    }

    #[test]
    fn the_first_rule_counts() {
        let allowed = Verdict::Allowed("7".to_owned());
        let rejected = Verdict::Rejected("7".to_owned());
        let table = [
            (vec![rule("host", "replication", "all", "all", "scram-sha-256")], allowed.clone()),
            (vec![rule("host", "replication", "r", "10.0.0.0/8", "md5")], allowed.clone()),
            (vec![rule("host", "replication", "r", "192.168.0.0/16", "md5")], Verdict::Missing),
            // "all" is every database and no replication.
            (vec![rule("host", "all", "all", "all", "trust")], Verdict::Missing),
            (vec![rule("local", "replication", "all", "", "trust")], Verdict::Missing),
            (vec![rule("host", "replication", "postgres", "all", "reject")], Verdict::Missing),
            (
                vec![
                    rule("host", "replication", "all", "all", "reject"),
                    rule("host", "replication", "all", "all", "md5"),
                ],
                rejected,
            ),
        ];
        for (rules, expected) in table {
            assert_eq!(verdict(&rules, "r", "10.0.0.0/8"), expected, "{rules:?}");
        }
    }

    #[test]
    fn addresses_and_lines() {
        assert_eq!(address_of("0.0.0.0", "0.0.0.0"), "all");
        assert_eq!(address_of("10.0.0.0", "255.0.0.0"), "10.0.0.0/8");
        assert_eq!(address_of("fe80::", "ffff::"), "fe80::/16");
        assert_eq!(address_of("all", ""), "all");
        for address in ["all", "10.0.0.7", "10.0.0.0/8", "::1/128", "db.example.com", "samenet"] {
            assert!(checked_address(address).is_ok(), "{address}");
        }
        for address in ["", "10.0.0.0/33", "a b", "a\nhost all all all trust", "x/8", "#", "\"all\""] {
            assert!(checked_address(address).is_err(), "{address:?}");
        }
        assert_eq!(line("re\"pl", "all"), "host replication \"re\"\"pl\" all scram-sha-256");
    }
}
