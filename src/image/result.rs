//! The names of what was built, a line each, and the same with more as JSON: both whole, or as they were.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

/// An image that was built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Built {
    /// By which the file refers to it.
    pub id: String,
    /// Of which type it is.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Its name, with its tag.
    pub name: String,
    /// What Docker calls it on this machine.
    pub image_id: String,
    /// What registries call it, once it was pushed.
    pub digests: Vec<String>,
    /// Whether this run pushed it.
    pub pushed: bool,
}

/// What a run has built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// In the order in which it was built.
    pub images: Vec<Built>,
}

impl Report {
    /// A name a line.
    #[must_use]
    pub fn names(&self) -> String {
        self.images.iter().map(|image| format!("{}\n", image.name)).collect()
    }
}

/// The twin of a result's file.
#[must_use]
pub fn twin(path: &Path) -> PathBuf {
    beside(path, ".json")
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Writes both.
///
/// # Errors
/// The path at which it failed, and why.
pub fn write(path: &Path, report: &Report) -> Result<(), (PathBuf, io::Error)> {
    let mut json =
        serde_json::to_string_pretty(report).map_err(|error| (twin(path), io::Error::other(error)))?;
    json.push('\n');
    // The list comes last: who sees it finds its twin.
    let files = [(twin(path), json), (path.to_owned(), report.names())];
    for (path, text) in &files {
        prepare(&unfinished(path), text).map_err(|error| {
            for (path, _) in &files {
                let _ = fs::remove_file(unfinished(path));
            }
            (path.clone(), error)
        })?;
    }
    for (path, _) in &files {
        fs::rename(unfinished(path), path).map_err(|error| (path.clone(), error))?;
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| (folder.to_owned(), error))
}

fn unfinished(path: &Path) -> PathBuf {
    beside(path, ".unfinished")
}

fn prepare(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(name: &str) -> Report {
        let (id, name, image_id) = ("a".to_owned(), name.to_owned(), "sha256:1".to_owned());
        Report {
            images: vec![Built { id, kind: "engine", name, image_id, digests: Vec::new(), pushed: false }],
        }
    }

    #[test]
    fn both_or_none() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("r");
        write(&path, &report("a:1")).unwrap();
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        assert_eq!(read(&path), "a:1\n");
        let json: serde_json::Value = serde_json::from_str(&read(&twin(&path))).unwrap();
        assert_eq!(json["images"][0]["type"], "engine");
        // Nothing can be written in the place of the second's.
        fs::create_dir(unfinished(&path)).unwrap();
        let (failed, _) = write(&path, &report("a:2")).unwrap_err();
        assert_eq!(failed, path);
        assert_eq!(read(&path), "a:1\n");
        assert!(read(&twin(&path)).contains("a:1"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }
}
