//! The child of PID 1 that touches the data directory, as the engine's user.
//!
//! PID 1 must not hang with a disk and must not work as root among files of the engine's user; so all of that is done
//! here, in a process that ends with one verdict. The steps and their order stand in [`errand`].

mod atomic;
mod blockers;
mod bootstrap;
mod child;
mod conf_files;
mod database;
mod errand;
mod evidence;
mod executables;
pub mod failpoint;
mod first_boot;
mod halt;
mod inherited;
mod initdb;
mod installation;
mod interrupt;
mod keeper;
mod knock;
mod listing;
mod lock_file;
mod log_link;
mod nss;
mod orphans;
mod place;
mod preflight;
mod promote;
pub mod protocol;
mod prune;
mod record;
mod recovery;
mod report;
mod resolve;
mod roles;
mod root;
mod scripts;
mod server;
mod sockets;
mod stage;
mod vigil;
mod wal_dir;
mod work;

use std::io::{self, Read};

use rustix::process::{Resource, Rlimit, setrlimit, umask};

use interrupt::Interrupt;
use protocol::{KEEPER_FD, Order, REPORT_FD, Verdict};
use report::Reporter;
use work::Work;

pub(in crate::supervisor) use resolve::{only_root_changes, walk};

/// First boot failed, or the child itself.
const EX_SOFTWARE: u8 = 70;
/// The data directory cannot be served.
const EX_CONFIG: u8 = 78;
/// No order is longer.
const ORDER_MAX: u64 = 4 << 20;

/// Runs the child: reads the order, does it, reports. The result is the exit status: 0, 70 or 78.
pub fn main() -> u8 {
    match run() {
        Ok(status) => status,
        Err(error) => {
            eprintln!("polar-supervisor prepare: {error}; this command is for polar-supervisor itself");
            EX_SOFTWARE
        }
    }
}

fn run() -> io::Result<u8> {
    // Before anything is opened, so that no descriptor of ours can have these numbers.
    let socket = inherited::take(REPORT_FD)?;
    let keeper = inherited::take(KEEPER_FD).ok();
    let interrupt = Interrupt::install(rustix::process::getppid())?;
    umask(rustix::fs::Mode::from_raw_mode(0o077));
    // Passwords pass through this process and its children. 1 is the kernel's word for no core, also where it pipes them to a
    // program, for which 0 does not count; where not even a byte is allowed it stays so.
    let core = |limit| setrlimit(Resource::Core, Rlimit { current: Some(limit), maximum: Some(limit) });
    core(1).or_else(|_| core(0))?;
    let mut text = String::new();
    io::stdin().lock().take(ORDER_MAX).read_to_string(&mut text)?;
    let order: Order = serde_json::from_str(&text)?;
    let report = Reporter::over(socket);
    let work = Work { order: &order, report: &report, interrupt: &interrupt };
    let verdict = errand::run(work, keeper.filter(|_| order.keeper));
    let status = match &verdict {
        Verdict::Failed { .. } => EX_SOFTWARE,
        Verdict::Refused { .. } => EX_CONFIG,
        Verdict::Start(_)
        | Verdict::Adopt { .. }
        | Verdict::Locked
        | Verdict::Wait { .. }
        | Verdict::Learnt(_)
        | Verdict::Done => 0,
    };
    report.verdict(verdict)?;
    Ok(status)
}
