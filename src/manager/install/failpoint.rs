//! Named places where an installation stops and waits to be killed, for the tests (cargo feature `failpoints`).

/// Stops here for ever when `POLAR_FAILPOINT` is `name`: makes the file named by `POLAR_FAILPOINT_FILE`, and waits to be
/// killed; or goes on once that file is gone again.
#[cfg(feature = "failpoints")]
pub(super) fn failpoint(name: &str) {
    if std::env::var_os("POLAR_FAILPOINT").is_none_or(|wanted| wanted != name) {
        return;
    }
    let file = std::env::var_os("POLAR_FAILPOINT_FILE").map(std::path::PathBuf::from);
    if let Some(file) = &file {
        // The test waits for this file; one that cannot be made is a test that fails.
        let _ = std::fs::File::create(file);
    }
    while file.as_ref().is_none_or(|file| file.exists()) {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// Does nothing: the feature `failpoints` is off.
#[cfg(not(feature = "failpoints"))]
pub(super) fn failpoint(_name: &str) {}
