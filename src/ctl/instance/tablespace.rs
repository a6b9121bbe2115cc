//! `tablespace`: tablespaces, as they are called and shown.

use serde_json::json;

use super::desk::Desk;
use crate::ctl::cli::tablespace::TablespaceVerb;
use crate::ctl::failure::Failure;
use crate::manager::tablespace::Create;

/// Does it.
///
/// # Errors
/// It was not done.
pub(crate) fn run(desk: &mut Desk<'_>, verb: TablespaceVerb) -> Result<(), Failure> {
    let TablespaceVerb::Create { name, location, owner, change } = verb;
    let create = Create { name, location, owner };
    let shown = &create.name;
    desk.change(
        &create,
        shown,
        &change,
        |seen| json!({ "name": shown, "location": seen.location(), "owner": seen.owner() }),
    )
}
