//! The lock against a full disk, as it is called.

use serde_json::Value;

use super::desk::Desk;
use crate::ctl::cli::instance::{DoArgs, InstanceArgs};
use crate::ctl::cli::{ChangeArgs, DISKFULL, LockArgs, UnlockArgs};
use crate::ctl::failure::Failure;
use crate::manager::diskfull::{Lock, Unlock};

/// What is shown of them for a lock.
const OF_LOCK: &str = "--kind diskfull";

/// `lock --kind diskfull`.
///
/// # Errors
/// It was not done.
pub(crate) fn lock_diskfull(desk: &mut Desk<'_>, args: LockArgs) -> Result<(), Failure> {
    let how = how(args.change, args.dry_run);
    let lock = Lock { reason: args.reason, until: args.until };
    desk.change(&lock, OF_LOCK, &how, |_| Value::from(DISKFULL))
}

/// `unlock --kind diskfull`.
///
/// # Errors
/// It was not done.
pub(crate) fn unlock_diskfull(desk: &mut Desk<'_>, args: UnlockArgs) -> Result<(), Failure> {
    desk.change(&Unlock, OF_LOCK, &how(args.change, args.dry_run), |_| Value::from(DISKFULL))
}

fn how(change: ChangeArgs, dry_run: bool) -> DoArgs {
    DoArgs { instance: InstanceArgs { program: change.program, timeout: change.wait.timeout }, dry_run }
}
