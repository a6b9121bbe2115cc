//! What is left of a run: files, and whether our own has a value everywhere.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::peer::OURS;
use crate::table::Table;

/// The folder of what is built.
pub fn target() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

/// Writes the files. What rots shows here: a run in which our own has no value in some table is a failure.
pub fn leave(files: &[(PathBuf, String)], tables: &[Table]) -> ExitCode {
    for (file, content) in files {
        if let Err(error) = std::fs::write(file, content) {
            eprintln!("bench: cannot write {}: {error}", file.display());
            return ExitCode::FAILURE;
        }
        eprintln!("bench: wrote {}", file.display());
    }
    let lost: Vec<&str> = tables
        .iter()
        .filter(|table| table.rows.iter().any(|row| row.peer == OURS && row.samples.median().is_none()))
        .map(|table| table.name.as_str())
        .collect();
    if lost.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("bench: no value of our own in: {}", lost.join(" "));
    ExitCode::FAILURE
}
