//! Disks of an instance and the lock against a full one, as they are called and shown.

use serde_json::Value;

use super::desk::Desk;
use crate::ctl::cli::disk::{DiskVerb, ExpandArgs};
use crate::ctl::cli::instance::{DoArgs, InstanceArgs};
use crate::ctl::cli::{ChangeArgs, DISKFULL, LockArgs, UnlockArgs};
use crate::ctl::evidence::bytes;
use crate::ctl::failure::{Exit, Failure};
use crate::ctl::screen::{Colour, Table};
use crate::manager::disk::{self, Expand};
use crate::manager::diskfull::{Lock, Unlock};

/// What is shown of them for a lock.
const OF_LOCK: &str = "--kind diskfull";

/// Does it.
///
/// # Errors
/// It was not done.
pub(crate) fn run(desk: &mut Desk<'_>, verb: DiskVerb) -> Result<(), Failure> {
    match verb {
        DiskVerb::Status(args) => status(desk, &args),
        DiskVerb::Expand(ExpandArgs { from, to, unlock, change }) => {
            let expand = Expand { from, to, unlock };
            desk.change(&expand, "", &change, |seen| serde_json::json!({ "data_dir": seen.space }))
        }
    }
}

/// `lock --kind diskfull`.
///
/// # Errors
/// It was not done.
pub(crate) fn lock_diskfull(desk: &mut Desk<'_>, args: LockArgs) -> Result<(), Failure> {
    one_alone(desk, "lock", args.change.program.as_deref())?;
    let how = how(args.change, args.dry_run);
    let lock = Lock { reason: args.reason, until: args.until };
    desk.change(&lock, OF_LOCK, &how, |_| Value::from(DISKFULL))
}

/// `unlock --kind diskfull`.
///
/// # Errors
/// It was not done.
pub(crate) fn unlock_diskfull(desk: &mut Desk<'_>, args: UnlockArgs) -> Result<(), Failure> {
    one_alone(desk, "unlock", args.change.program.as_deref())?;
    desk.change(&Unlock, OF_LOCK, &how(args.change, args.dry_run), |_| Value::from(DISKFULL))
}

/// Fails where several engines are meant: each has a disk of its own.
fn one_alone(desk: &Desk<'_>, verb: &str, program: Option<&str>) -> Result<(), Failure> {
    if desk.count(verb, program)? <= 1 {
        return Ok(());
    }
    let text = format!(
        "{verb} {OF_LOCK}: there are several engines; polarctl status names them: polarctl {verb} NAME {OF_LOCK}"
    );
    Err(Failure::new(Exit::Usage, "usage", text))
}

fn how(change: ChangeArgs, dry_run: bool) -> DoArgs {
    DoArgs { instance: InstanceArgs { program: change.program, timeout: change.wait.timeout }, dry_run }
}

fn status(desk: &mut Desk<'_>, args: &InstanceArgs) -> Result<(), Failure> {
    let log_dir = desk.log_dir().to_owned();
    let status = desk.read("disk status", args, |site| disk::status(site, &log_dir))?;
    if desk.screen.json {
        desk.screen.document(&status)?;
        return Ok(());
    }
    let mut table = Table::new(&["PLACE", "FREE", "USED", "TOTAL", "BYTES FREE", "PATH"]);
    for place in &status.places {
        let cell = |read: fn(&disk::Space) -> u64| {
            place.space.as_ref().map_or("-".to_owned(), |space| bytes(read(space)))
        };
        let free = place.space.map_or_else(|| "-".to_owned(), |space| space.free.to_string());
        table.row(vec![
            (place.name.clone(), None),
            (cell(|space| space.free), None),
            (cell(|space| space.used), None),
            (cell(|space| space.total), None),
            (free, None),
            (place.path.display().to_string(), Some(Colour::Grey)),
        ]);
    }
    let mut text = table.render(desk.screen);
    if let Some(length) = status.wal_bytes {
        text.push_str(&format!("the write-ahead log has {} ({length} bytes)\n", bytes(length)));
    }
    for slot in status.slots.iter().flatten() {
        let reader = if slot.active { "read" } else { "read by nobody" };
        text.push_str(&format!(
            "slot {} ({}, {reader}) holds back {} ({} bytes)\n",
            slot.name,
            slot.kind,
            bytes(slot.held_bytes),
            slot.held_bytes
        ));
    }
    desk.screen.text(&text)?;
    let troubles = status.places.iter().filter_map(|place| Some((place, place.trouble.as_ref()?)));
    troubles.for_each(|(place, why)| {
        desk.screen.note(&format!("{}: {}: {why}", place.name, place.path.display()))
    });
    status.notes.iter().for_each(|note| desk.screen.note(note));
    Ok(())
}
