//! The link through which people and callers find the engine's log folder.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use super::protocol::Order;
use super::work::{Work, random_name, stamp};
use crate::engine::conf;
use crate::engine::stage::rename_to_nothing;

/// What became of the link.
#[derive(Debug, PartialEq, Eq)]
enum Aim {
    /// It was right.
    Right,
    /// There was none.
    Made,
    /// It led elsewhere.
    Replaced(PathBuf),
    /// A file or folder was in its place, and is at this path.
    MovedAside(PathBuf),
}

/// Where the link should lead: the engine's `log_directory`, or what it will be after a first boot.
pub(super) fn target(order: &Order, data_dir: &Path, initialized: bool) -> PathBuf {
    if !initialized {
        let given = order.engine.parameters.get("log_directory").map_or("pg_log", String::as_str);
        return data_dir.join(given);
    }
    let (settings, _) = conf::read(data_dir, &order.options);
    match settings.get("log_directory") {
        Some(folder) => data_dir.join(folder),
        // The engine's own default: PolarDB's is pg_log.
        None if data_dir.join("pg_log").is_dir() => data_dir.join("pg_log"),
        None => data_dir.join("log"),
    }
}

/// Makes the log folder, `target`, then the link to it. Failures are warnings.
pub(super) fn keep(work: Work<'_>, target: &Path) {
    if let Err(error) = DirBuilder::new().recursive(true).mode(0o700).create(target) {
        work.report.warn(format!("cannot make the log folder {}: {error}", target.display()));
    }
    aim_and_tell(work, &work.order.engine.log_link, target);
}

/// Makes `link` lead to `target`, and tells what was done.
pub(super) fn aim_and_tell(work: Work<'_>, link: &Path, target: &Path) {
    let (shown, to) = (link.display(), target.display());
    match aim(link, target) {
        Ok(Aim::Right) => {}
        Ok(Aim::Made) => work.report.note(format!("made the log link {shown} -> {to}")),
        Ok(Aim::Replaced(old)) => work.report.note(format!("the log link {shown} led to {}: set to {to}", old.display())),
        Ok(Aim::MovedAside(aside)) => work.report.warn(format!(
            "{shown} was no link: it is at {} and the log link is in its place",
            aside.display()
        )),
        Err(error) => work.report.warn(format!(
            "cannot make the log link {shown} -> {to}: {error}; make its folder writable for {}, or set log_link in \
             supervisor.toml to a place that is. The log itself is written to {to}",
            work.user()
        )),
    }
}

fn aim(link: &Path, target: &Path) -> io::Result<Aim> {
    let same_place =
        || matches!((fs::canonicalize(link), fs::canonicalize(target)), (Ok(one), Ok(other)) if one == other);
    let was = match fs::symlink_metadata(link) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Aim::Made,
        Err(error) => return Err(error),
        Ok(found) if found.is_symlink() => {
            let old = fs::read_link(link)?;
            if old == target || same_place() {
                return Ok(Aim::Right);
            }
            Aim::Replaced(old)
        }
        // The engine writes there by itself: its log_directory is a link to this very folder.
        Ok(_) if same_place() => return Ok(Aim::Right),
        Ok(_) => Aim::MovedAside(move_aside(link)?),
    };
    let (Some(folder), Some(name)) = (link.parent(), link.file_name()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    let unfinished = folder.join(format!(".{}.{}", name.to_string_lossy(), random_name()?));
    symlink(target, &unfinished)?;
    fs::rename(&unfinished, link).inspect_err(|_| {
        // Best effort: the rename's error is the one to tell.
        let _ = fs::remove_file(&unfinished);
    })?;
    Ok(was)
}

/// Gives a file or folder a name that nothing has.
fn move_aside(path: &Path) -> io::Result<PathBuf> {
    let stamp = stamp();
    for attempt in 0..100 {
        let suffix = if attempt == 0 { String::new() } else { format!("-{attempt}") };
        let mut aside = path.as_os_str().to_owned();
        aside.push(format!(".{stamp}{suffix}"));
        let aside = PathBuf::from(aside);
        match rename_to_nothing(path, &aside) {
            Ok(()) => return Ok(aside),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::from(io::ErrorKind::AlreadyExists))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place {
        _dir: tempfile::TempDir,
        link: PathBuf,
        target: PathBuf,
    }

    fn place() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("data/pg_log")).unwrap();
        fs::create_dir(root.join("log")).unwrap();
        Place { link: root.join("log/pg_log"), target: root.join("data/pg_log"), _dir: dir }
    }

    fn names(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn a_missing_link_is_made_and_a_right_one_left_alone() {
        let place = place();
        assert_eq!(aim(&place.link, &place.target).unwrap(), Aim::Made);
        assert_eq!(aim(&place.link, &place.target).unwrap(), Aim::Right);
        assert_eq!(fs::read_link(&place.link).unwrap(), place.target);
        assert_eq!(names(place.link.parent().unwrap()), 1);
    }

    #[test]
    fn a_wrong_or_dangling_link_is_replaced() {
        let place = place();
        symlink("/nowhere", &place.link).unwrap();
        assert_eq!(aim(&place.link, &place.target).unwrap(), Aim::Replaced("/nowhere".into()));
        assert_eq!(fs::canonicalize(&place.link).unwrap(), place.target);
    }

    #[test]
    fn a_real_folder_or_file_is_moved_aside_whole() {
        for folder in [true, false] {
            let place = place();
            if folder {
                fs::create_dir(&place.link).unwrap();
                fs::write(place.link.join("old.log"), "x").unwrap();
            } else {
                fs::write(&place.link, "x").unwrap();
            }
            let Aim::MovedAside(aside) = aim(&place.link, &place.target).unwrap() else {
                panic!("not aside")
            };
            let kept = if folder { aside.join("old.log") } else { aside };
            assert_eq!(fs::read_to_string(kept).unwrap(), "x");
            assert_eq!(fs::canonicalize(&place.link).unwrap(), place.target);
        }
    }

    #[test]
    fn a_real_folder_that_the_engine_logs_into_is_left_alone() {
        let place = place();
        fs::create_dir(&place.link).unwrap();
        fs::remove_dir(&place.target).unwrap();
        symlink(&place.link, &place.target).unwrap();
        assert_eq!(aim(&place.link, &place.target).unwrap(), Aim::Right);
        assert!(fs::symlink_metadata(&place.link).unwrap().is_dir());
    }
}
