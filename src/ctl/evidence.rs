//! What `explain` sees of an engine by itself: disk, ownership, version, and over its socket what would hold up a stop.

use std::fs;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::sql;
use super::tail;
use crate::control::protocol::{Condition, Effect, Engine, Status};
use crate::engine::datadir::major_version;
use crate::manager::user::{name_of, uid_of};

/// Less free space than this is worth a warning, in bytes.
const FREE_MIN: u64 = 1 << 30;
/// And less than this part of the file system, in percent.
const FREE_PERCENT: u64 = 5;

fn condition(name: &str, effect: Effect, text: impl Into<String>) -> Condition {
    Condition { name: name.to_owned(), effect, text: text.into() }
}

/// All of it.
pub(crate) fn of_engine(engine: &Engine, status: &Status) -> Vec<Condition> {
    let data = Path::new(&engine.data_dir);
    let mut conditions = vec![ownership(data, engine.user.as_deref(), status.pid.is_some())];
    conditions.push(version(data));
    conditions.push(disk("disk", data));
    if let Some(logs) = Path::new(&engine.log_link).parent()
        && device(logs) != device(data)
    {
        conditions.push(disk("log_disk", logs));
    }
    if status.pid.is_some() && status.state != "initializing" {
        conditions.extend(sql::conditions(engine));
    }
    conditions
}

fn device(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|meta| meta.dev())
}

fn unknown(name: &str, path: &Path, error: &io::Error) -> Condition {
    condition(name, Effect::Unknown, format!("{} cannot be looked at from here: {error}", path.display()))
}

/// The engine refuses a directory of another user, or one that others may enter.
fn ownership(data: &Path, user: Option<&str>, runs: bool) -> Condition {
    const NAME: &str = "ownership";
    let meta = match fs::metadata(data) {
        Ok(meta) => meta,
        Err(error) => return unknown(NAME, data, &error),
    };
    let (owner, mode) = (name_of(meta.uid()), meta.mode() & 0o7777);
    let seen = format!("{} belongs to {owner}, mode {mode:04o}", data.display());
    let hurts = if runs { Effect::Warns } else { Effect::Blocks };
    // An empty one of root's becomes the engine's at its first boot.
    if let Some(user) = user
        && uid_of(user).is_some_and(|uid| uid != meta.uid())
    {
        let first_boot = meta.uid() == 0 && !data.join("PG_VERSION").exists();
        let effect = if first_boot { Effect::Allows } else { hurts };
        let text = if first_boot {
            format!("{seen}; it becomes {user}'s at the first boot")
        } else {
            format!("{seen}, and the engine runs as {user}: chown -R {user} {}", data.display())
        };
        return condition(NAME, effect, text);
    }
    // A wrong mode is mended at each start.
    condition(NAME, Effect::Allows, seen)
}

fn version(data: &Path) -> Condition {
    const NAME: &str = "version";
    let path = data.join("PG_VERSION");
    let mut text = String::new();
    match tail::open(&path).and_then(|file| file.take(64).read_to_string(&mut text)) {
        Ok(_) => match major_version(&text) {
            Some(major) => condition(NAME, Effect::Allows, format!("the data is of major version {major}")),
            None => condition(
                NAME,
                Effect::Warns,
                format!("{} holds no version: {:?}", path.display(), text.trim()),
            ),
        },
        Err(error) if error.kind() == ErrorKind::NotFound && data.is_dir() => {
            condition(NAME, Effect::Allows, "there is no database yet (no PG_VERSION)")
        }
        Err(error) => unknown(NAME, &path, &error),
    }
}

fn disk(name: &str, path: &Path) -> Condition {
    let found = match rustix::fs::statvfs(path) {
        Ok(found) => found,
        Err(error) => return unknown(name, path, &error.into()),
    };
    let unit = found.f_frsize.max(1);
    let (free, size) = (found.f_bavail.saturating_mul(unit), found.f_blocks.saturating_mul(unit));
    let effect = if is_scarce(free, size) { Effect::Warns } else { Effect::Allows };
    let advice = match effect {
        Effect::Warns => "; a full disk ends the engine: make room",
        _ => "",
    };
    let text = format!("{} free of {} at {}{advice}", bytes(free), bytes(size), path.display());
    condition(name, effect, text)
}

fn is_scarce(free: u64, size: u64) -> bool {
    free < FREE_MIN || free / FREE_PERCENT < size / 100
}

/// Bytes for people.
pub(crate) fn bytes(count: u64) -> String {
    let units = ["GiB", "MiB", "KiB"].into_iter().zip([1_u64 << 30, 1 << 20, 1 << 10]);
    for (unit, size) in units {
        if count >= size {
            let tenths = count / (size / 10).max(1);
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
    }
    format!("{count} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_much_is_scarce() {
        const GIB: u64 = 1 << 30;
        for (free, size, scarce) in
            [(GIB - 1, GIB, true), (GIB, GIB, false), (4 * GIB, 100 * GIB, true), (5 * GIB, 100 * GIB, false)]
        {
            assert_eq!(is_scarce(free, size), scarce, "{free} of {size}");
        }
        assert_eq!(
            (bytes(0), bytes(1536), bytes(5 * GIB)),
            ("0 bytes".into(), "1.5 KiB".into(), "5.0 GiB".into())
        );
    }

    #[test]
    fn of_a_data_directory() {
        let dir = tempfile::tempdir().unwrap();
        let own = name_of(nix::unistd::geteuid().as_raw());
        let effect = |condition: Condition| condition.effect;
        assert_eq!(effect(ownership(dir.path(), Some(&own), true)), Effect::Allows);
        assert_eq!(effect(ownership(dir.path(), None, true)), Effect::Allows);
        assert_eq!(effect(ownership(&dir.path().join("absent"), None, true)), Effect::Unknown);
        assert_eq!(effect(version(dir.path())), Effect::Allows);
        fs::write(dir.path().join("PG_VERSION"), "15\n").unwrap();
        assert!(version(dir.path()).text.contains("15"));
        for (runs, expected) in [(true, Effect::Warns), (false, Effect::Blocks)] {
            let other = ownership(dir.path(), Some("4000000000"), runs);
            assert_eq!(other.effect, expected);
            assert!(other.text.contains("chown"), "{}", other.text);
        }
        fs::write(dir.path().join("PG_VERSION"), "what").unwrap();
        assert_eq!(effect(version(dir.path())), Effect::Warns);
        assert_eq!(effect(version(&dir.path().join("absent"))), Effect::Unknown);
        assert!(disk("disk", dir.path()).text.contains("free of"));
        assert_eq!(effect(disk("disk", &dir.path().join("absent"))), Effect::Unknown);
    }
}
