//! The C programs of the bench, compiled at each run.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the compiled programs are.
#[derive(Debug, Clone)]
pub struct Tools {
    /// Notes the moment and becomes the init.
    pub stamp: PathBuf,
    /// What the inits start.
    pub probe: PathBuf,
    /// The least that an init can do.
    pub limit: PathBuf,
    /// A server executable that only notes signals.
    pub server: PathBuf,
}

impl Tools {
    /// Compiles them, static, so that no dynamic linker is measured.
    pub fn build() -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench");
        std::fs::create_dir_all(&folder).unwrap();
        let compile = |name: &str| {
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("benches/init/c/{name}.c"));
            let program = folder.join(name);
            let status = Command::new("gcc")
                .args(["-O2", "-Wall", "-static", "-o"])
                .arg(&program)
                .arg(&source)
                .status()
                .unwrap_or_else(|error| {
                    panic!("bench: cannot run gcc: {error}; scripts/setup bench installs it")
                });
            assert!(status.success(), "bench: gcc could not compile {}", source.display());
            program
        };
        Self {
            stamp: compile("stamp"),
            probe: compile("probe"),
            limit: compile("limit"),
            server: compile("server"),
        }
    }
}
