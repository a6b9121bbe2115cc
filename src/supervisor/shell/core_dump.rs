//! PID 1 leaves no core dump: its environment may hold the passwords of first boot.
//!
//! By the limit of core files, and not by making the process undumpable, which would give its files in `/proc` to root and
//! take away what PID 1 reads of itself as another user. The limit is one byte: a file of that size is none, and where
//! the kernel pipes dumps to a program (`|` in core_pattern, for which a limit of 0 does not count) 1 is its word for none
//! (core(5), do_coredump). What PID 1 starts gets back the limit that it had itself.

use std::sync::OnceLock;

use nix::libc;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The kernel's word for none.
const NONE: u64 = 1;

/// What we were started with: the limit in force, and the highest that it may be set to.
static INHERITED: OnceLock<[u64; 2]> = OnceLock::new();

/// Has this process leave no core from here on.
pub(crate) fn forbid() {
    let found = getrlimit(Resource::Core);
    let number = |limit: Option<u64>| limit.unwrap_or(libc::RLIM_INFINITY);
    let _ = INHERITED.set([number(found.current), number(found.maximum)]);
    // Where not even a byte is allowed there is no file, either.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(NONE), maximum: found.maximum });
}

/// The limit that is to be given back to what we start; `None`: ours was never changed.
pub(super) fn inherited() -> Option<(libc::__rlimit_resource_t, [u64; 2])> {
    INHERITED.get().map(|limit| (libc::RLIMIT_CORE, *limit))
}
