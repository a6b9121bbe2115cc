//! Memory that is ours before a machine runs out of it: a PID 1 that cannot allocate aborts, and takes all with it.
//! Only addresses are taken: they are what a limit and the kernel's bookkeeping may refuse. A page costs memory once it
//! is used.

use std::hint::black_box;

use nix::libc;

/// So much of the heap is free for later, in bytes: a few times what PID 1 uses.
const HEAP: usize = 3 * 1024 * 1024;
/// So much of the stack is there from the beginning.
const STACK: usize = 256 * 1024;
/// The size of a page; where pages are larger what is used of the stack here stays.
const PAGE: usize = 4096;

/// Grows the heap and the stack to more than is ever needed.
pub(crate) fn take() {
    // glibc maps a block as large as this one by itself, and takes the freeing of it for the sign that such blocks come
    // and go: from here on they are cut from the heap, which keeps up to twice as much at its end. Two pages are used.
    for _ in 0..2 {
        drop(black_box(Vec::<u8>::with_capacity(HEAP)));
    }
    take_stack();
}

/// The compiler touches each page of a large frame, so that the stack reaches as far; what lies in them is nothing.
#[inline(never)]
fn take_stack() {
    let mut stack = [0_u8; STACK];
    let stack = black_box(&mut stack);
    let skip = stack.as_ptr().align_offset(PAGE);
    let whole = stack.get_mut(skip..).and_then(|rest| {
        let length = rest.len() / PAGE * PAGE;
        rest.get_mut(..length)
    });
    if let Some(pages) = whole.filter(|pages| !pages.is_empty()) {
        // Without success the pages stay: they do no harm.
        #[allow(unsafe_code, reason = "the pages are all of this one array, which is borrowed for writing")]
        unsafe {
            libc::madvise(pages.as_mut_ptr().cast(), pages.len(), libc::MADV_DONTNEED);
        }
    }
    black_box(&stack);
}
