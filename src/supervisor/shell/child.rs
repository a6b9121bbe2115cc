//! What stands between the fork and the program.
//!
//! A fork copies the page tables of PID 1, and each page that PID 1 touches afterwards is copied, too: two thirds of the
//! time of a start. So where it can be, the child *borrows* PID 1's memory until it executes its program, as that of
//! vfork(2) does. Unlike with vfork PID 1 goes on meanwhile, so that a disk that hangs holds up nobody. That is safe since
//!
//! * the child has a stack of its own, and what it reads was made before and is kept until the child is known to need it no
//!   more ([`Loan`]);
//! * it makes system calls by itself, without the C library, whose `errno` it would share with PID 1;
//! * it never becomes another user meanwhile (one who may look into a process of his would see PID 1's memory), and does
//!   not set its oom_score_adj (the kernel would set that of all who share the memory): such a child is forked;
//! * it dumps no core, with which an older kernel ends all who share the memory. (Where the kernel kills such a child for
//!   want of memory it kills PID 1 along, whose memory it is: it is as likely as that of PID 1 itself.)

use std::cell::Cell;
use std::ffi::{CString, c_char, c_int, c_long, c_void};
use std::fmt;
use std::io;
use std::os::fd::RawFd;
use std::ptr::null;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::libc;
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::unistd::Pid;

/// Enough for a few calls deep of functions that hold a few numbers each, also as a debugger wants them, in bytes.
const STACK: usize = 32 * 1024;

/// What the child does between fork and exec; all its memory was made before the fork.
pub(super) struct Child {
    /// Whether it gets a process group and our terminal, instead of a session of its own.
    pub(super) foreground: bool,
    pub(super) descriptors: Vec<(RawFd, RawFd)>,
    /// Where it tells what was refused, and what failed.
    pub(super) news: RawFd,
    pub(super) mask: SigSet,
    pub(super) ids: Option<(u32, u32, Vec<u32>)>,
    pub(super) working_dir: Option<CString>,
    pub(super) umask: Option<u32>,
    pub(super) nice: Option<i32>,
    pub(super) oom_score_adj: Option<CString>,
    /// Each with the limit in force, and the highest that it may be set to.
    pub(super) rlimits: Vec<(libc::__rlimit_resource_t, [u64; 2])>,
    pub(super) image: Image,
}

/// What execve(2) is given, made before the fork.
pub(super) struct Image {
    /// Where the program may be; the first that is there counts.
    pub(super) places: Vec<CString>,
    pub(super) arguments: Vec<CString>,
    pub(super) environment: Vec<CString>,
    /// Whether a file that is no program is a script for sh.
    pub(super) lenient: bool,
}

/// What a child that has our memory needs of it: kept until it is known to have a memory of its own, or to have ended.
pub(super) struct Loan {
    child: Child,
    pointers: Pointers,
    signals: Vec<(c_int, usize)>,
    stack: Vec<u8>,
}

/// What the child calls execve(2) with.
struct Pointers {
    arguments: Vec<*const c_char>,
    /// The same for sh, but for the script's place, which is put in second.
    shell: Vec<Cell<*const c_char>>,
    environment: Vec<*const c_char>,
}

impl fmt::Debug for Loan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Loan")
    }
}

/// Strings as the kernel wants them: pointers, and a null one behind the last.
fn pointers<'a>(strings: impl IntoIterator<Item = &'a CString>) -> Vec<*const c_char> {
    strings.into_iter().map(|string| string.as_ptr()).chain([null()]).collect()
}

impl Child {
    /// Whether it may have our memory for the time being.
    fn may_borrow(&self) -> bool {
        BORROWS
            && !REFUSED.load(Ordering::Relaxed)
            && !self.foreground
            && self.ids.is_none()
            && self.oom_score_adj.is_none()
    }

    /// Makes the process; what it still needs of our memory, if anything, is to be kept until its news end.
    ///
    /// # Errors
    /// EAGAIN or ENOMEM when the machine has no room for one.
    #[allow(unsafe_code, reason = "the child calls nothing but system calls on memory made before the fork")]
    pub(super) fn fork(self) -> io::Result<(Pid, Option<Box<Loan>>)> {
        let mut borrows = self.may_borrow();
        let image = &self.image;
        let pointers = Pointers {
            arguments: pointers(&image.arguments),
            shell: pointers(image.arguments.first().into_iter().chain(&image.arguments))
                .into_iter()
                .map(Cell::new)
                .collect(),
            environment: pointers(&image.environment),
        };
        let signals = dispositions(borrows);
        let mut loan = Box::new(Loan { child: self, pointers, signals, stack: Vec::with_capacity(STACK) });
        let top = loan.stack.as_mut_ptr().wrapping_add(STACK);
        let mut before = SigSet::empty();
        // Until it is its own program, the child would answer a signal with our handler.
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before))?;
        let given: *mut c_void = (&raw const *loan).cast_mut().cast();
        let mut made = -1;
        if borrows {
            // SAFETY: the stack is the child's alone, and it and the loan live until the child has left our memory.
            made = unsafe { libc::clone(enter, top.cast(), libc::CLONE_VM | libc::SIGCHLD, given) };
            // A machine that is emulated has no processes of this kind.
            let error = io::Error::last_os_error().raw_os_error();
            if made == -1 && matches!(error, Some(libc::EINVAL | libc::ENOSYS | libc::EPERM)) {
                REFUSED.store(true, Ordering::Relaxed);
                borrows = false;
            }
        }
        if made == -1 && !borrows {
            // SAFETY: between fork and exec there are system calls only.
            made = unsafe { libc::fork() };
            if made == 0 {
                enter(given);
            }
        }
        let error = io::Error::last_os_error();
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
        if made == -1 { Err(error) } else { Ok((Pid::from_raw(made), borrows.then_some(loan))) }
    }
}

/// Whether this machine has refused to let a child borrow.
static REFUSED: AtomicBool = AtomicBool::new(false);

/// What is to become of signals: those that are not ignored, with what answers them.
///
/// Our own handlers must not answer in a child, and the execution resets them, too; but a signal may have come meanwhile
/// for the program. A child that has our memory may not dump it.
fn dispositions(borrows: bool) -> Vec<(c_int, usize)> {
    /// The signals that make a core (signal(7)).
    const CORE: [c_int; 10] = [
        libc::SIGQUIT,
        libc::SIGILL,
        libc::SIGTRAP,
        libc::SIGABRT,
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGSEGV,
        libc::SIGXCPU,
        libc::SIGXFSZ,
        libc::SIGSYS,
    ];
    /// Handlers are made before the first start and stay.
    static OURS: OnceLock<Vec<(c_int, usize)>> = OnceLock::new();
    let ours = OURS.get_or_init(|| {
        let found = (1..=libc::SIGSYS).map(|signal| (signal, handler(signal)));
        found.filter(|&(_, handler)| handler != libc::SIG_IGN).collect()
    });
    let mut changed: Vec<_> = ours
        .iter()
        .filter_map(|&(signal, handler)| match borrows && CORE.contains(&signal) {
            true => Some((signal, end_at_once as *const () as usize)),
            false => (handler != libc::SIG_DFL).then_some((signal, libc::SIG_DFL)),
        })
        .collect();
    // Rust ignores it in us, and what is ignored stays so in a new program.
    changed.push((libc::SIGPIPE, libc::SIG_DFL));
    changed
}

/// What answers a signal in us.
#[allow(unsafe_code, reason = "no safe call tells it without changing it")]
fn handler(signal: c_int) -> usize {
    // SAFETY: asks only, into memory of our own.
    unsafe {
        let mut found = std::mem::zeroed::<libc::sigaction>();
        match libc::sigaction(signal, null(), &raw mut found) {
            0 => found.sa_sigaction,
            _ => libc::SIG_DFL,
        }
    }
}

/// The first function of the child.
#[allow(unsafe_code, reason = "the child calls nothing but system calls on memory made before the fork")]
extern "C" fn enter(loan: *mut c_void) -> c_int {
    // SAFETY: it is the loan that `fork` has made, which stays until this process has left our memory.
    let loan = unsafe { &*loan.cast_const().cast::<Loan>() };
    let (step, errno) = loan.become_it();
    // Nobody may listen any more to one that is late.
    set_handler(libc::SIGPIPE, libc::SIG_IGN);
    let errno = errno.to_ne_bytes();
    let [a, b, c, d] = errno;
    tell(loan.child.news, &[step]);
    tell(loan.child.news, &[a, b, c, d]);
    end(127)
}

/// Errno of a failed call.
type Failed = c_int;

impl Loan {
    /// Becomes the program, and otherwise returns: the step that failed, and errno.
    fn become_it(&self) -> (u8, Failed) {
        match self.prepare() {
            Err(failed) => failed,
            Ok(()) => (b'X', self.execute()),
        }
    }

    fn prepare(&self) -> Result<(), (u8, Failed)> {
        let child = &self.child;
        let step = |step: u8| move |failed: Failed| (step, failed);
        if child.foreground {
            call(libc::SYS_setpgid, [0; 4]).map_err(step(b'M'))?;
            take_terminal();
        } else {
            call(libc::SYS_setsid, [0; 4]).map_err(step(b'M'))?;
        }
        // What we inherited ourselves without knowing must not reach a program.
        let every = [3, libc::c_uint::MAX as usize, libc::CLOSE_RANGE_CLOEXEC as usize, 0];
        let _ = call(libc::SYS_close_range, every);
        for &(source, target) in &child.descriptors {
            call(libc::SYS_dup3, [source as usize, target as usize, 0, 0]).map_err(step(b'M'))?;
        }
        if let Some(value) = &child.oom_score_adj
            && set_oom_score_adj(value).is_err()
        {
            tell(child.news, b"o");
        }
        if let Some(nice) = child.nice {
            let of_this_process = [libc::PRIO_PROCESS as usize, 0, nice as usize, 0];
            if call(libc::SYS_setpriority, of_this_process).is_err() {
                tell(child.news, b"n");
            }
        }
        for (resource, limit) in &child.rlimits {
            if call(libc::SYS_prlimit64, [0, *resource as usize, address(limit), 0]).is_err() {
                tell(child.news, b"r");
            }
        }
        if let Some((uid, gid, groups)) = &child.ids {
            let groups = [groups.len(), groups.as_ptr() as usize, 0, 0];
            call(libc::SYS_setgroups, groups).map_err(step(b'U'))?;
            call(libc::SYS_setgid, [*gid as usize, 0, 0, 0]).map_err(step(b'U'))?;
            call(libc::SYS_setuid, [*uid as usize, 0, 0, 0]).map_err(step(b'U'))?;
        }
        if let Some(dir) = &child.working_dir {
            call(libc::SYS_chdir, [dir.as_ptr() as usize, 0, 0, 0]).map_err(step(b'E'))?;
        }
        if let Some(umask) = child.umask {
            let _ = call(libc::SYS_umask, [umask as usize, 0, 0, 0]);
        }
        for &(signal, handler) in &self.signals {
            set_handler(signal, handler);
        }
        // Last, so that no signal finds the process half made.
        let mask: *const libc::sigset_t = child.mask.as_ref();
        let mask = [libc::SIG_SETMASK as usize, mask as usize, 0, SIGNALS_BYTES];
        call(libc::SYS_rt_sigprocmask, mask).map_err(step(b'M'))?;
        Ok(())
    }

    /// Returns errno where no place holds a program that can be run.
    fn execute(&self) -> Failed {
        let Pointers { arguments, shell, environment } = &self.pointers;
        let run = |place: *const c_char, arguments: usize| {
            let program = [place as usize, arguments, environment.as_ptr() as usize, 0];
            call(libc::SYS_execve, program).err().unwrap_or(0)
        };
        let mut said = libc::ENOENT;
        for place in &self.child.image.places {
            let why = run(place.as_ptr(), arguments.as_ptr() as usize);
            if why == libc::ENOEXEC && self.child.image.lenient {
                if let Some(script) = shell.get(1) {
                    script.set(place.as_ptr());
                }
                let _ = run(c"/bin/sh".as_ptr(), shell.as_ptr() as usize);
            }
            match why {
                // A later place may hold it; if none does, that it may not be run here says more.
                libc::EACCES => said = why,
                libc::ENOENT | libc::ENOTDIR if said == libc::EACCES => {}
                libc::ENOENT | libc::ENOTDIR => said = why,
                _ => return why,
            }
        }
        said
    }
}

/// How many bytes of a signal set the kernel knows.
const SIGNALS_BYTES: usize = 8;

fn address<T>(of: &T) -> usize {
    &raw const *of as usize
}

/// Not on every terminal; a background process that asks for it would be stopped by SIGTTOU.
fn take_terminal() {
    set_handler(libc::SIGTTOU, libc::SIG_IGN);
    if let Ok(group) = call(libc::SYS_getpgid, [0; 4]) {
        let group = group as libc::pid_t;
        let _ = call(libc::SYS_ioctl, [0, libc::TIOCSPGRP as usize, address(&group), 0]);
    }
    set_handler(libc::SIGTTOU, libc::SIG_DFL);
}

fn set_oom_score_adj(value: &CString) -> Result<(), Failed> {
    let path = c"/proc/self/oom_score_adj".as_ptr() as usize;
    let flags = (libc::O_WRONLY | libc::O_CLOEXEC) as usize;
    let file = call(libc::SYS_openat, [libc::AT_FDCWD as usize, path, flags, 0])?;
    call(libc::SYS_write, [file, value.as_ptr() as usize, value.as_bytes().len(), 0]).map(|_| ())
}

fn tell(news: RawFd, bytes: &[u8]) {
    let _ = call(libc::SYS_write, [news as usize, bytes.as_ptr() as usize, bytes.len(), 0]);
}

/// Ends this process, without anything of our memory being looked at again.
fn end(status: usize) -> ! {
    loop {
        let _ = call(libc::SYS_exit_group, [status, 0, 0, 0]);
    }
}

/// Answers a signal that would dump the memory.
extern "C" fn end_at_once(signal: c_int) {
    end(128 + signal as usize)
}

/// A handler as rt_sigaction(2) has it, of which no field but the first differs between the machines that borrow.
#[repr(C)]
struct Action {
    handler: usize,
    flags: usize,
    restorer: usize,
    mask: u64,
}

/// x86-64 calls no handler without a place to return to; ours do not return.
const SA_RESTORER: usize = 0x0400_0000;

fn set_handler(signal: c_int, handler: usize) {
    // Of machines without `restorer` the mask lies in its place, and is empty likewise.
    let flags = if cfg!(target_arch = "x86_64") { SA_RESTORER } else { 0 };
    let action = Action { handler, flags, restorer: 0, mask: 0 };
    let _ = call(libc::SYS_rt_sigaction, [signal as usize, address(&action), 0, SIGNALS_BYTES]);
}

/// Whether [`call`] leaves the C library's `errno` alone, without which no memory can be shared. (scripts/layout traces by
/// valgrind, which does not follow a child that borrows.)
const BORROWS: bool = cfg!(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(layout)));

/// A system call.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "the C library would write its errno, which may be PID 1's")]
#[inline(always)]
fn call(number: c_long, [a, b, c, d]: [usize; 4]) -> Result<usize, Failed> {
    let result: isize;
    // SAFETY: the kernel's calling convention; what the numbers point to is said where they are made.
    unsafe {
        std::arch::asm!("syscall", inlateout("rax") number as isize => result, in("rdi") a, in("rsi") b,
            in("rdx") c, in("r10") d, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    answer(result)
}

/// A system call.
#[cfg(target_arch = "aarch64")]
#[allow(unsafe_code, reason = "the C library would write its errno, which may be PID 1's")]
#[inline(always)]
fn call(number: c_long, [a, b, c, d]: [usize; 4]) -> Result<usize, Failed> {
    let result: isize;
    // SAFETY: the kernel's calling convention; what the numbers point to is said where they are made.
    unsafe {
        std::arch::asm!("svc 0", in("x8") number, inlateout("x0") a => result, in("x1") b, in("x2") c,
            in("x3") d, options(nostack));
    }
    answer(result)
}

/// A system call, of a child that has a memory of its own.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
#[allow(unsafe_code, reason = "between fork and exec only plain system calls are safe")]
fn call(number: c_long, [a, b, c, d]: [usize; 4]) -> Result<usize, Failed> {
    // SAFETY: what the numbers point to is said where they are made.
    match unsafe { libc::syscall(number, a, b, c, d) } {
        -1 => Err(io::Error::last_os_error().raw_os_error().unwrap_or(0)),
        result => Ok(result as usize),
    }
}

/// The kernel's answer: what it gives, or, below zero, an errno.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn answer(result: isize) -> Result<usize, Failed> {
    if result < 0 { Err(-result as Failed) } else { Ok(result as usize) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_signal_dumps_a_memory_that_is_ours() {
        let ends = end_at_once as *const () as usize;
        let of = |borrows: bool, signal: c_int| {
            let found = dispositions(borrows).into_iter().find(|&(known, _)| known == signal);
            found.map(|(_, handler)| handler)
        };
        for signal in [libc::SIGQUIT, libc::SIGABRT, libc::SIGSEGV, libc::SIGSYS, libc::SIGXFSZ] {
            assert_eq!(of(true, signal), Some(ends), "{signal}");
            assert_ne!(of(false, signal), Some(ends), "{signal}");
        }
        // Rust handles it, to tell of an overflow of the stack.
        assert_eq!(of(false, libc::SIGSEGV), Some(libc::SIG_DFL));
        assert_eq!((of(true, libc::SIGTERM), of(true, libc::SIGPIPE)), (None, Some(libc::SIG_DFL)));
    }
}
