//! The texts by which callers tell what came of a task. They are part of the contract, to the letter.

use serde_json::json;

use crate::manager::install::Progress;

/// What `pg_ctl` says of a server that is down: callers take a stop that says so for done.
pub const IS_SERVER_RUNNING: &str = "Is server running?";
/// Begins and ends the progress of an installation: these six characters, no control character.
const MARKER: &str = "\\u0001";

/// The line of `pg_controldata` that callers search for `system identifier:[ ]*(\d+)`.
#[must_use]
pub fn identifier(number: u64) -> String {
    format!("Database system identifier:           {number}")
}

/// How far an installation is, between two markers. What would end the text early or is a quote to one of its readers is
/// taken out of the message.
#[must_use]
pub fn progress(progress: &Progress) -> String {
    let plain = |c: char| if c.is_control() || "\\'\"".contains(c) { ' ' } else { c };
    let message: String = progress.message().chars().map(plain).collect();
    format!("{MARKER}{}{MARKER}", json!({ "status": progress.word(), "message": message }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_progress_is_read_back_whatever_its_message() {
        for message in ["initdb", "it's \"so\"", "\\u0001 \u{1} \n", "\u{1f418} %s {}"] {
            let text = progress(&Progress::Running { message: message.to_owned() });
            let parts: Vec<&str> = text.split(MARKER).collect();
            assert_eq!((parts.len(), parts[0], parts[2]), (3, "", ""), "{text}");
            let object: serde_json::Value = serde_json::from_str(parts[1]).unwrap();
            assert_eq!(object["status"], "running");
            assert!(object["message"].is_string() && !parts[1].contains(['\'', '\n']), "{text}");
        }
        assert!(progress(&Progress::Succeeded).starts_with("\\u0001{\""));
    }

    #[test]
    fn the_identifier_as_pg_controldata_tells_it() {
        assert_eq!(identifier(7), "Database system identifier:           7");
    }
}
