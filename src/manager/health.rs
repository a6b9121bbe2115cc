//! Whether an instance answers `select 1`, and why it does not.

use std::time::{Duration, Instant};

use super::cause::Cause;
use super::site::Site;

/// Asks it, by a session that is begun for this; how long all of it took.
///
/// # Errors
/// Why it does not answer.
pub fn check(site: &mut Site) -> Result<Duration, Cause> {
    let begin = Instant::now();
    let answer = site.session()?.row("select 1")?;
    if answer.text(0) != "1" {
        return Err(Cause::Unconfirmed(format!("the engine answered {:?} to select 1", answer.text(0))));
    }
    Ok(begin.elapsed())
}
