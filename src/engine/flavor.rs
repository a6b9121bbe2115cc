//! Where the engine's executables are, and which engine that is.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Where PolarDB's own build puts its executables.
const POLARDB_BIN: &str = "/u01/polardb_pg/bin";
/// Where Debian's packages put theirs, a folder a major version.
const DEBIAN_ROOT: &str = "/usr/lib/postgresql";
/// Names of the server's executable; PolarDB 11 has the first.
pub const SERVERS: [&str; 2] = ["polar-postgres", "postgres"];

/// No folder with the engine's executables was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no engine found: looked at {}", looked_at.join("; "))]
pub struct NotFound {
    /// Each place that was looked at, and what is wrong with it.
    pub looked_at: Vec<String>,
}

impl NotFound {
    /// What to do.
    pub const REMEDY: &str =
        "install PostgreSQL or PolarDB, or set bin_dir to the folder of postgres and initdb";
}

/// The folder of `postgres`, `initdb` and the rest, the first of: the configured one, the one that `postgres` of
/// `path_variable` (the form of `PATH`) really lies in, PolarDB's own, the one of Debian's newest package.
///
/// # Errors
/// Each place that was looked at. A configured folder without a server is an error at once: something else than what
/// was asked for must not be started.
pub fn find_bin_dir(configured: Option<&Path>, path_variable: &str) -> Result<PathBuf, NotFound> {
    find_below(configured, path_variable, Path::new(POLARDB_BIN), Path::new(DEBIAN_ROOT))
}

fn find_below(
    configured: Option<&Path>,
    path_variable: &str,
    polardb: &Path,
    debian: &Path,
) -> Result<PathBuf, NotFound> {
    if let Some(dir) = configured {
        if has_server(dir) {
            return Ok(dir.to_owned());
        }
        let there = SERVERS.iter().any(|name| dir.join(name).exists());
        let why = if there { "postgres there is not executable" } else { "no postgres there" };
        return Err(NotFound { looked_at: vec![format!("bin_dir {} ({why})", dir.display())] });
    }
    let mut looked_at = Vec::new();
    // Some machines link postgres alone into a folder of PATH: the others stand beside what the link leads to.
    for dir in path_variable.split(':').filter(|dir| dir.starts_with('/')) {
        let Some(server) =
            SERVERS.iter().map(|name| Path::new(dir).join(name)).find(|file| is_executable(file))
        else {
            continue;
        };
        let real = fs::canonicalize(&server).unwrap_or(server);
        match real.parent() {
            Some(parent) if is_executable(&parent.join("initdb")) => return Ok(parent.to_owned()),
            _ => looked_at.push(format!("{} (no initdb beside it)", real.display())),
        }
    }
    if looked_at.is_empty() {
        looked_at.push(format!("PATH {path_variable} (no postgres there)"));
    }
    if has_server(polardb) {
        return Ok(polardb.to_owned());
    }
    looked_at.push(format!("{} (no postgres there)", polardb.display()));
    if let Some(dir) = newest(debian) {
        return Ok(dir);
    }
    looked_at.push(format!("{}/<version>/bin (no postgres there)", debian.display()));
    Err(NotFound { looked_at })
}

/// `<root>/<number>/bin` of the highest number that has a server and initdb.
fn newest(root: &Path) -> Option<PathBuf> {
    let versions = fs::read_dir(root).ok()?.filter_map(|entry| {
        let name = entry.ok()?.file_name();
        let number: u32 = name.to_str()?.parse().ok()?;
        let dir = root.join(&name).join("bin");
        (has_server(&dir) && is_executable(&dir.join("initdb"))).then_some((number, dir))
    });
    versions.max_by_key(|(number, _)| *number).map(|(_, dir)| dir)
}

fn has_server(dir: &Path) -> bool {
    is_executable(&server_executable(dir))
}

fn is_executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// The server's executable: `polar-postgres` where it exists, else `postgres`.
pub fn server_executable(bin_dir: &Path) -> PathBuf {
    let polar = bin_dir.join("polar-postgres");
    if polar.is_file() { polar } else { bin_dir.join("postgres") }
}

/// Whether the executables are PolarDB's: `--version` says the same as stock PostgreSQL, but only PolarDB brings
/// `polar-initdb.sh`.
pub fn is_polardb(bin_dir: &Path) -> bool {
    bin_dir.join("polar-initdb.sh").is_file()
}

/// The major version in what `postgres --version` prints: the first number outside of parentheses.
pub fn parse_version(text: &str) -> Option<u32> {
    let mut depth = 0_usize;
    let outside: String = text
        .chars()
        .filter(|c| {
            match c {
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                _ => return depth == 0,
            }
            false
        })
        .collect();
    let word = outside.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let digits = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
    word.split_at(digits).0.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn programs(dir: &Path, names: &[&str]) {
        fs::create_dir_all(dir).unwrap();
        for name in names {
            fs::write(dir.join(name), "").unwrap();
            fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    #[test]
    fn the_folders_in_their_order() {
        let root = tempfile::tempdir().unwrap();
        // The folder of temporary files may itself be reached through a link.
        let root = fs::canonicalize(root.path()).unwrap();
        let (polardb, debian) = (root.join("polardb"), root.join("debian"));
        let (links, bare, own) = (root.join("links"), root.join("bare"), root.join("own"));
        let path = format!("relative:{}:{}", bare.display(), links.display());
        let find = |configured: Option<&Path>| find_below(configured, &path, &polardb, &debian);

        let error = find(None).unwrap_err().to_string();
        for place in ["PATH relative:", "polardb", "debian/<version>/bin"] {
            assert!(error.contains(place), "{error}");
        }

        for version in ["9", "15", "16", "17", "snapshot"] {
            let all: &[&str] = if version == "17" { &["psql"] } else { &["postgres", "initdb"] };
            programs(&debian.join(version).join("bin"), all);
        }
        assert_eq!(find(None), Ok(debian.join("16/bin")));

        programs(&polardb, &["polar-postgres", "initdb"]);
        assert_eq!(find(None), Ok(polardb.clone()));

        // postgres without initdb is passed over; a link is followed to where initdb is.
        programs(&bare, &["postgres"]);
        assert_eq!(find(None), Ok(polardb.clone()));
        fs::create_dir_all(&links).unwrap();
        symlink(debian.join("15/bin/postgres"), links.join("postgres")).unwrap();
        assert_eq!(find(None), Ok(debian.join("15/bin")));

        assert!(find(Some(&own)).unwrap_err().to_string().contains("own (no postgres there)"));
        programs(&own, &["postgres"]);
        assert_eq!(find(Some(&own)), Ok(own.clone()));
    }

    #[test]
    fn a_file_that_cannot_be_run_is_no_server() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("postgres"), "").unwrap();
        assert!(find_bin_dir(Some(dir.path()), "").is_err());
    }

    #[test]
    fn polardb() {
        let dir = tempfile::tempdir().unwrap();
        programs(dir.path(), &["postgres"]);
        assert!(!is_polardb(dir.path()));
        assert_eq!(server_executable(dir.path()), dir.path().join("postgres"));
        programs(dir.path(), &["polar-postgres", "polar-initdb.sh"]);
        assert!(is_polardb(dir.path()));
        assert_eq!(server_executable(dir.path()), dir.path().join("polar-postgres"));
    }

    #[test]
    fn versions() {
        let table = [
            ("postgres (PostgreSQL) 15.8 (Debian 15.8-0+deb12u1)\n", Some(15)),
            ("postgres (PostgreSQL) 17beta1", Some(17)),
            ("polar-postgres (PolarDB V11 (build 3)) 11.9", Some(11)),
            ("postgres (PostgreSQL) 9.6.24", Some(9)),
            ("postgres (PostgreSQL 15)", None),
            ("", None),
            ("))((15", None),
            ("postgres 99999999999", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse_version(text), expected, "{text:?}");
        }
    }
}
