//! A certificate that vouches for itself, made by the program `openssl`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::pem::{Block, Pem, blocks};
use crate::manager::cause::Cause;
use crate::manager::program;
use crate::manager::site::Site;

/// It takes a tenth of a second; a machine without entropy longer.
const WITHIN: Duration = Duration::from_secs(30);
/// How long it holds.
pub(super) const DAYS: &str = "3650";

/// The program, where it is installed.
pub(super) fn openssl() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("openssl")).find(|file| file.is_file())
}

/// The name in it: this machine's.
pub(super) fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    // RFC 5280 gives a common name 64 characters.
    let name: String = name.trim().chars().filter(plain).take(64).collect();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

/// A certificate and its key, of which none is seen by others: they come by a pipe. `key`: one that is there, for which
/// it is made.
///
/// # Errors
/// There is no `openssl`, or it made none.
pub(super) fn make(site: &Site, host: &str, key: Option<&Path>) -> Result<(Pem, Option<Pem>), Cause> {
    let openssl = openssl().ok_or_else(absent)?;
    let subject = format!("/CN={host}");
    let mut arguments = vec!["req", "-x509", "-sha256", "-days", DAYS, "-subj", &subject];
    let path = key.map(Path::to_string_lossy);
    match &path {
        Some(path) => arguments.extend(["-key", path]),
        None => arguments.extend(["-newkey", "rsa:2048", "-nodes", "-keyout", "-"]),
    }
    let ended = program::run(site, &openssl, &arguments, WITHIN)?;
    let found = blocks(&ended.stdout);
    let pem = |block: &Block<'_>| Pem(format!("{}\n", block.whole).into_bytes());
    let certificate = found.iter().find(|block| !block.is_key()).map(pem);
    let made = found.iter().find(|block| block.is_key()).map(pem);
    match certificate {
        Some(certificate) if ended.status.success() && (key.is_some() || made.is_some()) => {
            Ok((certificate, made))
        }
        _ => {
            let said = ended.stderr.lines().next_back().unwrap_or("it said nothing").to_owned();
            let what = format!("{} made no certificate: {said}", openssl.display());
            Err(Cause::invalid("no_certificate", what, NEXT))
        }
    }
}

/// That there is no such program.
pub(super) fn absent() -> Cause {
    let what = "there is no certificate, and no program openssl to make one";
    Cause::invalid("no_openssl", what, NEXT)
}

const NEXT: &str = "give a certificate and its key: --cert FILE --key FILE";
