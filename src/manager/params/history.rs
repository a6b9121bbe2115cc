//! What was changed by whom: a line of JSON a change, in the data directory, where it stays with the instance.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::name::shown;
use crate::manager::cause::Cause;
use crate::manager::log::Appender;
use crate::manager::operation::Call;
use crate::manager::site::Site;

/// Its file; a first boot takes a name that begins so for nobody's data.
const NAME: &str = "ins_params_history";
const LOCK: &str = "ins_params_history.lock";
/// When it turns over, in bytes, and how many full ones are kept: some ten thousand changes, and a bound.
const SIZE: u64 = 1 << 20;
const KEEP: u32 = 1;
/// How long another process may hold it.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest value that is kept, in characters.
const VALUE_MAX: usize = 1000;

/// One change of one parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When, in RFC 3339.
    pub at: String,
    /// Names the request.
    pub request: String,
    /// Who.
    pub caller: String,
    /// The parameter.
    pub name: String,
    /// What `postgresql.conf` said before; `None`: nothing. Secrets are not kept.
    pub old: Option<String>,
    /// What it says since.
    pub new: Option<String>,
}

impl Record {
    pub(super) fn new(call: &Call, name: &str, old: Option<&str>, new: Option<&str>) -> Self {
        let kept = |value: &str| shown(name, value).chars().take(VALUE_MAX).collect();
        Record {
            at: Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            request: call.request.clone(),
            caller: call.caller.clone(),
            name: name.to_owned(),
            old: old.map(kept),
            new: new.map(kept),
        }
    }
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(NAME)
}

/// Adds changes; in words, why that failed: the changes themselves hold.
pub(super) fn add(site: &Site, records: &[Record]) -> Option<String> {
    let path = path(&site.data_dir);
    let mut appender = Appender::new(path.clone(), SIZE, KEEP, PATIENCE).locked_by(LOCK);
    let added = records.iter().try_for_each(|record| {
        let line = serde_json::to_string(record).map_err(io::Error::other)?;
        appender.append(&format!("{line}\n"))
    });
    added.err().map(|error| format!("{}: the change is not in the history: {error}", path.display()))
}

/// All changes that are on record, the oldest first; lines that are none are passed over.
///
/// # Errors
/// The files cannot be read.
pub fn read(site: &Site) -> Result<Vec<Record>, Cause> {
    let mut records = Vec::new();
    let newest = path(&site.data_dir);
    for path in [newest.with_file_name(format!("{NAME}.1")), newest] {
        let read = site.as_owner(|| fs::read(&path))?;
        match read {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                records.extend(text.lines().filter_map(|line| serde_json::from_str::<Record>(line).ok()));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Cause::of_file(&path, error)),
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let site = Site::new(dir.path().to_owned());
        assert_eq!(read(&site).unwrap(), []);
        let call = Call { request: "r\n1".into(), caller: "root".into(), dry_run: false };
        let records = [
            Record::new(&call, "work_mem", Some("1MB\n'"), Some("2MB")),
            Record::new(&call, "primary_conninfo", None, Some("password=secret")),
        ];
        assert_eq!(add(&site, &records), None);
        let text = fs::read_to_string(path(dir.path())).unwrap();
        assert!(text.lines().count() == 2 && !text.contains("password=secret"), "{text}");
        fs::write(path(dir.path()), format!("garbage\n{text}")).unwrap();
        assert_eq!(read(&site).unwrap(), records);
        let nowhere = Site::new(dir.path().join("absent"));
        assert!(add(&nowhere, &records).unwrap().contains("not in the history"));
    }
}
