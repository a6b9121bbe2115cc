//! Named places where a first boot, or the following of a `recovery.conf`, stops and waits to be ended, for the tests (cargo feature `failpoints`).

use super::halt::Outcome;
use super::interrupt::Interrupt;

/// Every name, in the order in which a first boot passes them.
pub const NAMES: &[&str] = &[
    "before-initdb",
    "after-initdb",
    "after-conf",
    "server-started",
    "after-roles",
    "before-script",
    "after-scripts",
    "server-stopped",
    "before-complete",
    "after-complete",
    "mid-promotion",
    "before-pg-version",
    "after-promotion",
];

/// Those of a `recovery.conf` that is followed, in their order, and that of the way back.
pub const OF_RECOVERY: &[&str] =
    &["recovery-set", "recovery-signalled", "recovery-kept", "recovery-followed", "recovery-unfollowed"];

/// Stops here when `POLAR_FAILPOINT` is `name`: says so on standard error, makes the file named by
/// `POLAR_FAILPOINT_FILE`, and waits to be interrupted or killed, or for the file named by
/// `POLAR_FAILPOINT_GO`. Passes when that file is there already, so that a
/// first boot of the same PID 1 can go on where the one before was ended.
#[cfg(feature = "failpoints")]
pub(super) fn failpoint(name: &str, interrupt: &Interrupt) -> Outcome<()> {
    debug_assert!(NAMES.contains(&name) || OF_RECOVERY.contains(&name));
    if std::env::var_os("POLAR_FAILPOINT").is_none_or(|wanted| wanted != name) {
        return Ok(());
    }
    if let Some(file) = std::env::var_os("POLAR_FAILPOINT_FILE") {
        match std::fs::OpenOptions::new().write(true).create_new(true).open(file) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(()),
            // The test waits for this file; one that cannot be made is a test that fails.
            _ => {}
        }
    }
    eprintln!("failpoint {name}");
    let go = std::env::var_os("POLAR_FAILPOINT_GO").map(std::path::PathBuf::from);
    while !go.as_ref().is_some_and(|go| go.exists()) {
        interrupt.pause(std::time::Duration::from_millis(20))?;
    }
    Ok(())
}

/// Does nothing: the feature `failpoints` is off.
#[cfg(not(feature = "failpoints"))]
#[allow(clippy::unnecessary_wraps, reason = "the same signature as with the feature on")]
pub(super) fn failpoint(_name: &str, _interrupt: &Interrupt) -> Outcome<()> {
    Ok(())
}
