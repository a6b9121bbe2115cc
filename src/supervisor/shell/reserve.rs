//! Memory that is ours before a machine runs out of it: a PID 1 that cannot allocate aborts, and takes all with it.

use std::hint::black_box;

/// A block: below the size from which glibc's malloc maps each one by itself (128 KiB), and gives it back to the system.
const BLOCK: usize = 64 * 1024;
/// So many blocks are free for later: a few times what PID 1 uses.
const BLOCKS: usize = 48;
/// So much of the stack is there from the beginning.
const STACK: usize = 256 * 1024;

/// Grows the heap and the stack to more than is ever needed. Of pages that are not used only addresses are taken.
pub(crate) fn take() {
    let mut blocks: Vec<Vec<u8>> = (0..BLOCKS).map(|_| black_box(Vec::with_capacity(BLOCK))).collect();
    // The last one, on top of the heap, stays: malloc gives back what is free at the top.
    if let Some(last) = blocks.pop() {
        std::mem::forget(last);
    }
    drop(blocks);
    touch_stack();
}

#[inline(never)]
fn touch_stack() {
    let stack = [0_u8; STACK];
    black_box(&stack);
}
