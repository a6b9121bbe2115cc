//! `replica`: replicas of an instance, as they are called and shown.

use serde_json::json;

use super::account::read_password;
use super::desk::{Desk, of_cause};
use crate::ctl::cli::instance::InstanceArgs;
use crate::ctl::cli::replica::{KindArg, NameArgs, ReplicaVerb};
use crate::ctl::evidence::bytes;
use crate::ctl::failure::Failure;
use crate::ctl::screen::{Colour, Table};
use crate::manager::Cause;
use crate::manager::replica::{self, Kind, Make, Name, Remove};

/// Does it.
///
/// # Errors
/// It was not done.
pub(crate) fn run(desk: &mut Desk<'_>, verb: ReplicaVerb) -> Result<(), Failure> {
    match verb {
        ReplicaVerb::Create { name, role, password, address, change } => {
            let asked = checked(&name).and_then(|name| Ok((name, read_password(&password)?)));
            let (name, password) = asked.map_err(|cause| refused(desk, "replica create", &cause))?;
            let make = Make { name, role, password, address };
            let subject = make.name.to_string();
            desk.change(&make, &subject, &change, |seen| json!({ "name": subject, "slot": seen.slot }))
        }
        ReplicaVerb::Drop { name, change } => {
            let name = checked(&name).map_err(|cause| refused(desk, "replica drop", &cause))?;
            let subject = name.to_string();
            desk.change(
                &Remove { name },
                &subject,
                &change,
                |seen| json!({ "name": subject, "slot": seen.slot }),
            )
        }
        ReplicaVerb::List(args) => list(desk, &args),
    }
}

fn checked(args: &NameArgs) -> Result<Name, Cause> {
    let kind = match args.kind {
        KindArg::Replica => Kind::Replica,
        KindArg::Standby => Kind::Standby,
    };
    Name::new(kind, &args.custins_id, &args.unique_name)
}

fn refused(desk: &mut Desk<'_>, name: &str, cause: &Cause) -> Failure {
    desk.record(name, &Err(cause), "");
    of_cause(name, cause)
}

fn list(desk: &mut Desk<'_>, args: &InstanceArgs) -> Result<(), Failure> {
    let slots = desk.read("replica list", args, replica::list)?;
    if desk.screen.json {
        desk.screen.document(&slots)?;
        return Ok(());
    }
    let mut table = Table::new(&["SLOT", "STATE", "SYNC", "BEHIND", "HOLDS BACK", "WAL"]);
    for slot in slots {
        let size = |size: Option<u64>| size.map_or_else(|| "-".to_owned(), bytes);
        let word = |word: Option<String>| word.unwrap_or_else(|| "-".to_owned());
        let state = if slot.active { word(slot.state) } else { "nobody streams".to_owned() };
        let colour = if slot.active { Colour::Green } else { Colour::Yellow };
        table.row(vec![
            (slot.name, None),
            (state, Some(colour)),
            (word(slot.sync), None),
            (size(slot.behind), None),
            (size(slot.held_back), None),
            (word(slot.wal_status), None),
        ]);
    }
    desk.screen.text(&table.render(desk.screen))?;
    Ok(())
}
