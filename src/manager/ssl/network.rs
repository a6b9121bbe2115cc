//! Whether the engine's TCP port is ours to ask: in a network of its own another server may have the same address here.

use std::collections::BTreeSet;
use std::fs;

use crate::manager::cause::Cause;
use crate::manager::site::Site;

/// The kernel's tables of TCP sockets, in which those that listen come first.
const TABLES: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];
/// So much of each is read, in bytes.
const LONGEST: usize = 1 << 18;
/// The kernel's word for one that listens.
const LISTENS: &str = "0A";

/// Whether the engine and this process see the same socket listen on a port.
///
/// # Errors
/// The engine does not answer.
pub(super) fn is_shared(site: &mut Site, port: u16) -> Result<bool, Cause> {
    let session = site.session()?;
    for table in TABLES {
        let own = fs::read_to_string(table).unwrap_or_default();
        let read = format!("select pg_read_file('{table}', 0, {LONGEST}, true)");
        let theirs = session.row(&read)?;
        if !listeners(&own, port).is_disjoint(&listeners(theirs.text(0), port)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The numbers of the sockets that listen on a port; no two of a machine have the same.
fn listeners(table: &str, port: u16) -> BTreeSet<&str> {
    let end = format!(":{port:04X}");
    let mut numbers = BTreeSet::new();
    for line in table.lines() {
        let mut fields = line.split_whitespace();
        let (address, state) = (fields.nth(1).unwrap_or_default(), fields.nth(1));
        if let Some(number) = fields.nth(5).filter(|_| address.ends_with(&end) && state == Some(LISTENS)) {
            numbers.insert(number);
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
   0: 00000000:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000   101        0 12345 1 0 100 0 0 10 0\n\
   1: 0100007F:1538 0100007F:9999 01 00000000:00000000 00:00000000 00000000   101        0 12346 1 0 20 4 30 10 -1\n\
   2: 0100007F:0BB9 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12347 1 0 100 0 0 10 0\n";
        assert_eq!(listeners(table, 5432), BTreeSet::from(["12345"]));
        assert_eq!(listeners(table, 3001), BTreeSet::from(["12347"]));
        assert!(listeners(table, 1).is_empty() && listeners("", 5432).is_empty());
    }
}
