//! What git knows: this repository, and the engines'.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use super::cause::Cause;
use super::child::{Ended, Stop, answer, run};
use super::config::Image;
use super::name::for_tag;
use super::plan::{self, Checkout, Engine, Files, Line};

/// What says the version: the file that PostgreSQL's own build has, and PolarDB's.
const CONFIGURE: &str = "configure";
/// So much of it is read, in bytes; the version stands within the first hundredth.
const CONFIGURE_MAX: u64 = 256 << 10;
/// A template of a configuration file is not longer, in bytes.
const TEMPLATE_MAX: u64 = 4 << 20;

/// Which state of its sources the folder has; nothing where git does not know.
#[must_use]
pub(super) fn own(folder: &Path) -> Option<Checkout> {
    let ask = |words: &[&str]| git(folder, words).ok().filter(|answer| !answer.is_empty());
    let source = ask(&["remote", "get-url", "origin"]).map_or_else(String::new, |url| without_user(&url));
    let branch = ask(&["rev-parse", "--abbrev-ref", "HEAD"])?;
    let (commit, date) = head(folder).ok()?;
    Some(Checkout { source, branch, commit, date })
}

/// Who builds, as git has it.
#[must_use]
pub(super) fn email(folder: &Path) -> Option<String> {
    git(folder, &["config", "user.email"]).ok().filter(|email| !email.is_empty())
}

fn git(folder: &Path, words: &[&str]) -> Result<String, Ended> {
    let mut line = Line::of(&["git"]);
    line.0.extend(words.iter().map(|word| (*word).to_owned()));
    answer(&line, folder)
}

/// The commit that is checked out, and its day in UTC.
fn head(folder: &Path) -> Result<(String, String), Ended> {
    let commit = git(folder, &["rev-parse", "HEAD"])?;
    let seconds = git(folder, &["show", "--no-patch", "--format=%ct", "HEAD"])?;
    let time = seconds.parse().ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    Ok((commit, time.map_or_else(|| "0".to_owned(), |time| time.strftime("%Y%m%d").to_string())))
}

/// An address without who reads it: the image shows it to all.
fn without_user(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}/{path}")
}

/// Makes the clone as the repository is; where there is none, makes it as a whole.
///
/// # Errors
/// The program's own.
pub(super) fn fetch(
    folder: &Path,
    files: &Files,
    (url, branch): (&str, &str),
    log: &mut File,
    stop: &Stop,
    watch: &mut dyn FnMut(&str),
) -> Result<(), Ended> {
    let clone = folder.join(&files.clone);
    if clone.join(".git").exists() {
        for line in plan::update(branch, &files.clone) {
            run(&line, folder, log, stop, watch)?;
        }
        return Ok(());
    }
    // Killed in the middle it leaves nothing that looks like one.
    let unfinished = format!("{}.unfinished", files.clone);
    for path in [folder.join(&unfinished), clone.clone()] {
        remove(&path).map_err(Ended::Io)?;
    }
    if let Some(parent) = clone.parent() {
        fs::create_dir_all(parent).map_err(Ended::Io)?;
    }
    for line in plan::clone(url, branch, &unfinished) {
        run(&line, folder, log, stop, watch)?;
    }
    fs::rename(folder.join(unfinished), clone).map_err(Ended::Io)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Which state of an engine's sources a clone has.
///
/// # Errors
/// git does not say.
pub(super) fn engine(clone: &Path, url: &str, branch: &str) -> Result<Engine, Ended> {
    let (commit, date) = head(clone)?;
    let mut text = Vec::new();
    let read =
        File::open(clone.join(CONFIGURE)).and_then(|file| file.take(CONFIGURE_MAX).read_to_end(&mut text));
    let version = read.ok().and_then(|_| package_version(&String::from_utf8_lossy(&text)));
    let checkout = Checkout { source: url.to_owned(), branch: branch.to_owned(), commit, date };
    Ok(Engine { version: version.unwrap_or_else(|| "0".to_owned()), checkout })
}

/// What `configure` says of the version, as a part of a tag.
fn package_version(configure: &str) -> Option<String> {
    let value = configure.lines().find_map(|line| line.strip_prefix("PACKAGE_VERSION="))?;
    Some(for_tag(value.trim_matches(['\'', '"', ' '])))
}

/// Copies the template of a configuration file to where the build finds it.
///
/// # Errors
/// The repository has none, or it leads out of it, or it could not be copied.
pub(super) fn template(folder: &Path, image: &Image, files: &Files, from: &str) -> Result<(), Cause> {
    let Some(to) = &files.template else { return Ok(()) };
    let missing = || Cause::NoTemplate { id: image.id.clone(), template: from.to_owned() };
    let clone = folder.join(&files.clone);
    // A link in a repository may name any file of this machine.
    let root = fs::canonicalize(&clone).map_err(|error| Cause::of_file(&clone, error))?;
    let real = fs::canonicalize(clone.join(from)).map_err(|_| missing())?;
    if !real.starts_with(&root) || !real.is_file() {
        return Err(missing());
    }
    let mut text = Vec::new();
    let read = File::open(&real).and_then(|file| file.take(TEMPLATE_MAX).read_to_end(&mut text));
    read.map_err(|error| Cause::of_file(&real, error))?;
    let to = folder.join(to);
    let parent = to.parent().map_or(Ok(()), fs::create_dir_all);
    parent.and_then(|()| fs::write(&to, text)).map_err(|error| Cause::of_file(to, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_for_all_to_see() {
        for (url, shown) in [
            ("https://me:secret@host/a/b.git", "https://host/a/b.git"),
            ("https://host/a@b", "https://host/a@b"),
            ("git@host:a/b.git", "git@host:a/b.git"),
            ("ssh://git@host", "ssh://host/"),
        ] {
            assert_eq!(without_user(url), shown);
        }
    }

    #[test]
    fn the_version_of_an_engine() {
        for (text, version) in [
            ("a\nPACKAGE_VERSION='15.8'\n", Some("15.8")),
            ("PACKAGE_VERSION=\"11.9 beta\"\n", Some("11.9-beta")),
            ("PACKAGE_NAME=x\n", None),
        ] {
            assert_eq!(package_version(text).as_deref(), version);
        }
    }
}
