//! The files by which the parts of a pod know each other (`ins_*` in the data directory), each the old or the changed one
//! after a crash.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use serde_json::json;

use super::Install;
use crate::engine::stage::rename_to_nothing;
use crate::manager::cause::Cause;
use crate::manager::site::Site;
use crate::manager::user;

/// Says `done` once an installation is complete: the engine's supervisor waits for it.
pub(super) const STEP: &str = "ins_install_step";
/// What it says.
pub(super) const DONE: &str = "done";
/// The number of the instance.
pub(super) const LOGIC_ID: &str = "ins_logic_id";
/// The kind of its storage, and that number again.
pub(super) const CONTEXT: &str = "ins_ctx";
/// The end of the name of one that is being written. It begins with `ins_`, too, so that a rest of it is nobody's file.
const UNFINISHED: &str = ".unfinished";
/// More is not read of one.
const LONGEST: u64 = 4096;
/// The most digits of an instance's number.
const DIGITS: usize = 20;

/// The marker's name and text, of those that the installation has.
pub(super) fn wanted(install: &Install) -> Vec<(&'static str, String)> {
    let Some(id) = &install.logic_id else { return Vec::new() };
    let context = json!({ "storage_type": install.storage.word(), "ins_logic_id": id });
    vec![(LOGIC_ID, id.clone()), (CONTEXT, context.to_string())]
}

/// # Errors
/// It is no number.
pub(super) fn checked_id(id: &str) -> Result<(), Cause> {
    if !id.is_empty() && id.len() <= DIGITS && id.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(());
    }
    let shown: String = id.chars().take(40).collect();
    let what = format!("{shown:?} is no number of an instance");
    Err(Cause::invalid("usage", what, format!("give a number of at most {DIGITS} digits")))
}

/// What a file of the data directory says; `None`: it is not there. Called as the engine's user.
///
/// # Errors
/// It cannot be read.
pub(super) fn read(data_dir: &Path, name: &str) -> io::Result<Option<String>> {
    let opened = options().read(true).open(data_dir.join(name));
    let file = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Writes one, durably.
///
/// # Errors
/// It could not be; the old one is then still there.
pub(super) fn write(site: &Site, name: &str, text: &str) -> Result<(), Cause> {
    let path = site.data_dir.join(name);
    let written: io::Result<()> = site.as_owner(|| {
        replace(&path, &site.data_dir.join(format!("{name}{UNFINISHED}")), text.as_bytes(), 0o644)
    })?;
    written.map_err(|error| Cause::of_file(&path, error))
}

/// Replaces a file as a whole by way of another name beside it, which is ours alone.
///
/// # Errors
/// It could not be done; nothing is left of it.
pub(super) fn replace(path: &Path, unfinished: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let written = remove(unfinished).and_then(|()| {
        write_whole(unfinished, bytes, mode)?;
        fs::rename(unfinished, path)
    });
    if written.is_err() {
        // The first error is the one to tell.
        let _ = remove(unfinished);
    }
    written?;
    sync_folder(path)
}

fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = options().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Removes a file that may not be there.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes the name of `path` durable.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Makes the lock file, with the words that `polarctl lock` has in one: by them `polarctl unlock` removes it. One that is
/// there is left as it is.
///
/// # Errors
/// It could not be made.
pub(super) fn lock(site: &Site) -> Result<(), Cause> {
    let path = site.lock_file.as_path();
    let words = json!({
        "kind": "maintenance", "reason": "left by polarctl install --lock", "owner": user::own(),
        "since": jiff::Timestamp::now().to_string(),
    });
    let folder = path.parent().unwrap_or(Path::new("/"));
    let made = fs::metadata(folder).and_then(|meta| {
        user::acting_as((meta.uid(), meta.gid()), || {
            // A name that nobody takes for data, should we be killed before the end.
            let unfinished = path.with_file_name(format!("ins_lock{UNFINISHED}"));
            remove(&unfinished)?;
            let made = write_whole(&unfinished, words.to_string().as_bytes(), 0o644)
                .and_then(|()| rename_to_nothing(&unfinished, path));
            remove(&unfinished)?;
            match made {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
                _ => sync_folder(path),
            }
        })?
    });
    made.map_err(|error| Cause::of_file(path, error))
}

/// Neither a link nor a pipe in the place of a file is followed or waited for.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK);
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manager::install::Storage;

    #[test]
    fn the_contract() {
        let mut install = Install::default();
        assert_eq!(wanted(&install), []);
        install.logic_id = Some("1000".to_owned());
        install.storage = Storage::FcSan;
        let wanted = wanted(&install);
        assert_eq!(wanted[0], (LOGIC_ID, "1000".to_owned()));
        let context: serde_json::Value = serde_json::from_str(&wanted[1].1).unwrap();
        assert_eq!(
            (wanted[1].0, context),
            (CONTEXT, json!({ "storage_type": "fcsan", "ins_logic_id": "1000" }))
        );
        for id in ["", "-1", "1 ", "1\n", "x", "\u{0661}", "123456789012345678901", "0'1"] {
            assert_eq!(checked_id(id).unwrap_err().code(), "usage", "{id:?}");
        }
        assert!(checked_id("00123").is_ok());
    }

    #[test]
    fn one_is_the_old_or_the_changed_one() {
        let dir = tempfile::tempdir().unwrap();
        let site = Site::new(dir.path().to_owned());
        assert_eq!(read(dir.path(), STEP).unwrap(), None);
        fs::write(dir.path().join("ins_install_step.unfinished"), "of one that was killed").unwrap();
        write(&site, STEP, "a").unwrap();
        write(&site, STEP, DONE).unwrap();
        assert_eq!(read(dir.path(), STEP).unwrap().as_deref(), Some(DONE));
        lock(&site).unwrap();
        let words = fs::read(&site.lock_file).unwrap();
        lock(&site).unwrap();
        assert_eq!(fs::read(&site.lock_file).unwrap(), words, "one that is there is left as it is");
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&words).unwrap()["kind"], "maintenance");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        fs::remove_file(dir.path().join(STEP)).unwrap();
        fs::create_dir(dir.path().join(STEP)).unwrap();
        assert!(write(&site, STEP, "x").is_err() && read(dir.path(), STEP).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left of it");
    }
}
