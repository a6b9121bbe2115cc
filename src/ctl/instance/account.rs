//! `account`: accounts of an instance, as they are called and shown.

use std::fs::File;
use std::io;

use serde_json::json;

use super::desk::{Desk, of_cause};
use crate::ctl::cli::account::{AccountVerb, PasswordArgs};
use crate::ctl::cli::instance::{DoArgs, InstanceArgs};
use crate::ctl::failure::Failure;
use crate::ctl::screen::{Colour, Table};
use crate::manager::account::{self, Make, Password, Privilege, Remove};
use crate::manager::{Cause, Operation, secret};

/// Does it.
///
/// # Errors
/// It was not done.
pub(crate) fn run(desk: &mut Desk<'_>, verb: AccountVerb) -> Result<(), Failure> {
    match verb {
        AccountVerb::Create { name, privilege, password, change } => {
            let privilege = Privilege::of_number(privilege).map(Some);
            make(
                desk,
                Make { name, privilege: None, password: None, create: true },
                privilege,
                &password,
                &change,
            )
        }
        AccountVerb::Alter { name, privilege, password, change } => {
            let privilege = privilege.map(Privilege::of_number).transpose();
            make(
                desk,
                Make { name, privilege: None, password: None, create: false },
                privilege,
                &password,
                &change,
            )
        }
        AccountVerb::Drop { name, change } => {
            let remove = Remove { name };
            desk.change(&remove, &remove.name, &change, |_| json!({ "name": remove.name }))
        }
        AccountVerb::List(args) => list(desk, &args),
    }
}

fn make(
    desk: &mut Desk<'_>,
    make: Make,
    privilege: Result<Option<Privilege>, Cause>,
    password: &PasswordArgs,
    change: &DoArgs,
) -> Result<(), Failure> {
    let asked = privilege.and_then(|privilege| Ok((privilege, read_password(password)?)));
    let asked = asked.and_then(|asked| match asked {
        (None, None) => {
            let next = "give --privilege N, --password-file FILE or --password-stdin";
            Err(Cause::invalid("usage", "nothing is to be changed", next))
        }
        asked => Ok(asked),
    });
    let (privilege, password) = asked.map_err(|cause| {
        desk.record(make.name(), &Err(&cause), &make.name);
        of_cause(make.name(), &cause)
    })?;
    let make = Make { privilege, password, ..make };
    desk.change(&make, &make.name, change, |seen| json!({ "account": seen.role }))
}

/// The password that is asked for, where one is.
///
/// # Errors
/// It cannot be read, or can be nobody's password.
pub(super) fn read_password(args: &PasswordArgs) -> Result<Option<Password>, Cause> {
    secret::leave_no_core();
    if args.password_stdin {
        return Password::read(io::stdin().lock()).map(Some);
    }
    let Some(path) = &args.password_file else { return Ok(None) };
    let file = File::open(path).map_err(|error| Cause::of_file(path, error))?;
    Password::read(file).map(Some)
}

fn list(desk: &mut Desk<'_>, args: &InstanceArgs) -> Result<(), Failure> {
    let roles = desk.read("account list", args, account::list)?;
    if desk.screen.json {
        desk.screen.document(&roles)?;
        return Ok(());
    }
    let mut table = Table::new(&["NAME", "PRIVILEGE", "PASSWORD", "VALID UNTIL", "SESSIONS", "ATTRIBUTES"]);
    for role in roles {
        let privilege = role.privilege.map_or_else(|| "-".to_owned(), |privilege| privilege.to_string());
        let weak = role.password == "md5";
        table.row(vec![
            (role.name, None),
            (privilege, None),
            (role.password.to_owned(), weak.then_some(Colour::Yellow)),
            (role.valid_until.unwrap_or_else(|| "-".to_owned()), None),
            (role.sessions.to_string(), None),
            (role.attributes.words(true), Some(Colour::Grey)),
        ]);
    }
    desk.screen.text(&table.render(desk.screen))?;
    Ok(())
}
