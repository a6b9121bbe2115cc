//! A process that holds a secret leaves no core dump.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Has this process, and what it starts, leave no core from here on. Before the secret is read.
pub fn leave_no_core() {
    let maximum = getrlimit(Resource::Core).maximum;
    // 1 is the kernel's word for none, also where it pipes cores to a program, for which 0 does not count (core(5)). Where
    // not even a byte is allowed there is none.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(1), maximum });
}
