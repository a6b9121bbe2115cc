//! The data directory's place: there, mounted, reachable.

use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::halt::{Outcome, Trying, refused};
use super::protocol::User;
use super::resolve::obstacle;
use super::work::Work;

/// The data directory with every link resolved; made if it is missing.
///
/// # Errors
/// Refused when it cannot be reached, is no directory, or is on the container's own file system although a mount is
/// required.
pub(super) fn data_dir(work: Work<'_>) -> Outcome<PathBuf> {
    let configured = &work.order.engine.data_dir;
    let resolved = match fs::canonicalize(configured) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if work.order.engine.require_mount {
                return Err(no_mount(configured, "does not exist"));
            }
            make(work, configured)?;
            fs::canonicalize(configured)
        }
        other => other,
    };
    let resolved = resolved.map_err(|error| unreachable_for(work, configured, &error))?;
    let found = fs::metadata(&resolved).map_err(|error| unreachable_for(work, &resolved, &error))?;
    if !found.is_dir() {
        return Err(refused(
            format!("the data directory {} is not a directory", configured.display()),
            "set data_dir in supervisor.toml, or PGDATA, to a directory",
        ));
    }
    if work.order.engine.require_mount && !is_volume(&resolved).trying("look at", &resolved)? {
        return Err(no_mount(&resolved, "is on the container's own file system"));
    }
    if let Some(obstacle) = obstacle(&resolved) {
        // A database of another owner gets a better answer further on, if it can be seen at all.
        return Err(refused(
            format!("{} cannot reach the data directory {}: {obstacle}", work.user(), resolved.display()),
            way_in(work, &resolved, &found),
        ));
    }
    Ok(resolved)
}

fn no_mount(path: &Path, what: &str) -> super::halt::Halt {
    refused(
        format!("require_mount is set, but {} {what}: no volume is mounted there", path.display()),
        "mount the volume, or set require_mount = false if the data may vanish with the container",
    )
}

fn way_in(work: Work<'_>, path: &Path, found: &Metadata) -> String {
    if found.uid() == work.order.user.uid {
        return "give the engine's user access to that folder, or move the data directory elsewhere"
            .to_owned();
    }
    format!(
        "{}; or move the data directory elsewhere",
        change_owner(&work.order.user, path, found.uid(), found.gid())
    )
}

/// The way out where a directory belongs to `uid`:`gid`, and not to the engine's user.
pub(super) fn change_owner(user: &User, path: &Path, uid: u32, gid: u32) -> String {
    // An engine never runs as root.
    let as_owner =
        if uid == 0 { String::new() } else { format!("; or run as its owner (--user {uid}:{gid})") };
    format!(
        "with every container of it stopped: chown -R {}:{} {}{as_owner}",
        user.uid,
        user.gid,
        path.display()
    )
}

/// Whether a directory, whose path holds no link, is on a volume, as opposed to the container's own file system.
pub(super) fn is_volume(path: &Path) -> io::Result<bool> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    Ok(fs::metadata("/")?.dev() != fs::metadata(path)?.dev() || below_a_mount(&mounts, path))
}

fn unreachable_for(work: Work<'_>, path: &Path, error: &io::Error) -> super::halt::Halt {
    let obstacle = obstacle(path).map(|obstacle| format!(": {obstacle}")).unwrap_or_default();
    refused(
        format!("{} cannot reach the data directory {}: {error}{obstacle}", work.user(), path.display()),
        "give the engine's user x permission on every folder of the path, or move the data directory elsewhere",
    )
}

fn make(work: Work<'_>, path: &Path) -> Outcome<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| {
        refused(
            format!(
                "the data directory {} does not exist and {} cannot make it: {error}",
                path.display(),
                work.user()
            ),
            "make it and give it to the engine's user, or mount a volume there",
        )
    })?;
    work.report.note(format!("made the data directory {}", path.display()));
    Ok(())
}

/// Whether `path` is, or lies below, the place of a mount other than `/`, by proc(5) `/proc/PID/mountinfo` (field 5, with
/// blanks as `\040`). A volume may be a folder of the very file system that holds the container.
fn below_a_mount(mountinfo: &str, path: &Path) -> bool {
    mountinfo
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|place| {
            place.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
        })
        .any(|place| place != "/" && path.starts_with(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_found_by_its_place() {
        let mounts = "1 0 8:1 / / rw - ext4 /dev/sda rw\n2 1 8:1 /v /data rw - ext4 /dev/sda rw\n\
                      3 1 8:1 /w /a\\040b rw - ext4 /dev/sda rw\n";
        for (path, expected) in [
            ("/data", true),
            ("/data/pg", true),
            ("/database", false),
            ("/a b/c", true),
            ("/", false),
            ("/srv", false),
        ] {
            assert_eq!(below_a_mount(mounts, Path::new(path)), expected, "{path}");
        }
    }
}
