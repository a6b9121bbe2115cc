//! The descriptors that PID 1 hands to the child.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::path::Path;

use rustix::io::{FdFlags, fcntl_setfd};

/// Takes ownership of an inherited descriptor and marks it close-on-exec.
///
/// # Errors
/// When the descriptor is not open, or is one of the standard three.
pub(super) fn take(number: RawFd) -> io::Result<OwnedFd> {
    if number <= 2 || std::fs::symlink_metadata(Path::new("/proc/self/fd").join(number.to_string())).is_err()
    {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("descriptor {number} was not handed over"),
        ));
    }
    // SAFETY: the descriptor is open (looked up above; the process has one thread), it was opened by PID 1 for this
    // process, and `main` takes each number once, before it opens anything itself.
    #[allow(unsafe_code, reason = "std offers no safe way to own a descriptor that was inherited by number")]
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    fcntl_setfd(&descriptor, FdFlags::CLOEXEC)?;
    Ok(descriptor)
}
