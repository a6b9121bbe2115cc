//! How PolarDB's file system grows: command lines and SQL. First the device grows, by whoever owns it; then, on one
//! machine, what was added is formatted; then each node is told, replicas first and the primary last.

use crate::engine::conf::Settings;
use crate::engine::sql::{ident_quote, literal};

/// PolarDB's file system consists of chunks of so many gigabytes (documentation of PolarDB-FileSystem, `growfs`).
const CHUNK: u64 = 10;
/// The schema of the function that tells a node. One of this name that is not the extension's is somebody else's.
pub(super) const FUNCTION: &str = "select n.nspname from pg_proc p join pg_namespace n on n.oid = p.pronamespace \
    join pg_depend d on d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e' \
    join pg_extension e on d.refclassid = 'pg_extension'::regclass and e.oid = d.refobjid \
    where p.proname = 'polar_vfs_disk_expansion' and e.extname = 'polar_vfs'";
/// The cluster of a storage whose configuration names none.
const CLUSTER: &str = "disk";

/// A shared storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Storage {
    /// The device, as pfs and the engine call it.
    pub(super) disk: String,
    cluster: String,
}

impl Storage {
    /// That of a configuration; `None`: data lies on a local file system.
    pub(super) fn of(settings: &Settings) -> Option<Self> {
        let filled = |name: &str| settings.get(name).filter(|value| !value.is_empty());
        let on = |name: &str| {
            filled(name).is_some_and(|value| {
                matches!(value.to_ascii_lowercase().as_str(), "on" | "true" | "1" | "yes")
            })
        };
        let folder = filled("polar_datadir")?;
        // `file-dio://` is a folder, whatever else is set.
        if folder.contains("://") && !folder.starts_with("pfsd://") || on("polar_vfs.localfs_mode") {
            return None;
        }
        let cluster = filled("polar_storage_cluster_name").unwrap_or(CLUSTER);
        Some(Storage { disk: filled("polar_disk_name")?.to_owned(), cluster: cluster.to_owned() })
    }

    /// The command that shows how full it is.
    pub(super) fn info(&self) -> Vec<String> {
        self.command(&["info"])
    }

    /// The command that formats what was added, sizes in gigabytes.
    ///
    /// # Errors
    /// The sizes are none of such a file system.
    pub(super) fn grow(&self, from: u64, to: u64) -> Result<Vec<String>, String> {
        if !from.is_multiple_of(CHUNK) || !to.is_multiple_of(CHUNK) || from == 0 {
            return Err(format!("sizes are multiples of {CHUNK} GB, and {from} GB or {to} GB is none"));
        }
        if to <= from {
            return Err(format!("{to} GB is not larger than {from} GB"));
        }
        Ok(self.command(&["growfs", "-o", &(from / CHUNK).to_string(), "-n", &(to / CHUNK).to_string()]))
    }

    fn command(&self, words: &[&str]) -> Vec<String> {
        let all =
            ["pfs", "-C", &self.cluster].into_iter().chain(words.iter().copied()).chain([self.disk.as_str()]);
        all.map(str::to_owned).collect()
    }

    /// The statement that tells a node, by the function in this schema; it answers `t`.
    pub(super) fn tell(&self, schema: &str) -> String {
        format!("select {}.polar_vfs_disk_expansion({})", ident_quote(schema), literal(&self.disk))
    }
}

/// A size in gigabytes: a whole number, with `GB` or without.
///
/// # Errors
/// It is none.
pub fn gigabytes(text: &str) -> Result<u64, String> {
    let number = text.strip_suffix("GB").unwrap_or(text).trim_end();
    let sound = |number: &u64| *number > 0 && *number <= u64::MAX >> 30;
    number.parse().ok().filter(sound).ok_or_else(|| "write a size such as 40GB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::conf;

    fn storage(text: &str) -> Option<Storage> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("postgresql.conf"), text).unwrap();
        Storage::of(&conf::read(dir.path(), &[]).0)
    }

    #[test]
    fn what_lies_on_pfs() {
        let found = storage("polar_datadir='/nvme1n1/data'\npolar_disk_name='nvme1n1'\n").unwrap();
        assert_eq!(found, Storage { disk: "nvme1n1".into(), cluster: "disk".into() });
        let found =
            storage("polar_datadir='pfsd:///a/data'\npolar_disk_name='a'\npolar_storage_cluster_name='c'\n");
        assert_eq!(found.unwrap().cluster, "c");
        for text in [
            "",
            "polar_disk_name='nvme1n1'\n",
            "polar_datadir='file-dio:///disk1'\npolar_disk_name='home'\n",
            "polar_datadir='/disk1'\npolar_disk_name='home'\npolar_vfs.localfs_mode=on\n",
        ] {
            assert_eq!(storage(text), None, "{text}");
        }
    }

    #[test]
    fn command_lines_and_sql() {
        let it = Storage { disk: "mapper_it's".into(), cluster: "disk".into() };
        let line = |from, to| it.grow(from, to).map(|words| words.join(" "));
        assert_eq!(line(20, 40).unwrap(), "pfs -C disk growfs -o 2 -n 4 mapper_it's");
        assert_eq!(it.info().join(" "), "pfs -C disk info mapper_it's");
        assert_eq!(it.tell("public"), "select \"public\".polar_vfs_disk_expansion('mapper_it''s')");
        for (from, to) in [(20, 25), (15, 30), (20, 20), (40, 20), (0, 20)] {
            assert!(line(from, to).is_err(), "{from} {to}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!((gigabytes("40GB"), gigabytes("40"), gigabytes("40 GB")), (Ok(40), Ok(40), Ok(40)));
        for text in ["", "GB", "0", "-1", "40MB", "4.5GB", "17179869184", "99999999999999999999999"] {
            assert!(gigabytes(text).is_err(), "{text}");
        }
    }
}
