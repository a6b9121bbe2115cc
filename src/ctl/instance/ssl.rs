//! `ssl`: TLS, as it is called and shown.

use serde_json::json;

use super::desk::{Desk, of_cause};
use crate::ctl::cli::ssl::{FilesArgs, SslVerb};
use crate::ctl::failure::Failure;
use crate::manager::ssl::{Given, Pem, Ssl};
use crate::manager::{Cause, Operation, secret};

/// Does it.
///
/// # Errors
/// It was not done.
pub(crate) fn run(desk: &mut Desk<'_>, verb: SslVerb) -> Result<(), Failure> {
    // It reads keys.
    secret::leave_no_core();
    let (ssl, change) = match verb {
        SslVerb::Disable(change) => (Ssl { on: false, given: None }, change),
        SslVerb::Enable { files, change } => {
            let mut ssl = Ssl { on: true, given: None };
            ssl.given = given(&files).map_err(|cause| {
                desk.record(ssl.name(), &Err(&cause), "");
                of_cause(ssl.name(), &cause)
            })?;
            (ssl, change)
        }
    };
    let on = ssl.on;
    desk.change(&ssl, "", &change, |seen| json!({ "ssl": on, "shown_by": seen.shown_by() }))
}

/// What of the files is given.
///
/// # Errors
/// One cannot be read.
pub(super) fn given(files: &FilesArgs) -> Result<Option<Given>, Cause> {
    let (Some(certificate), Some(key)) = (&files.cert, &files.key) else { return Ok(None) };
    let authority = files.ca.as_deref().map(Pem::read).transpose()?;
    Ok(Some(Given { certificate: Pem::read(certificate)?, key: Pem::read(key)?, authority }))
}
