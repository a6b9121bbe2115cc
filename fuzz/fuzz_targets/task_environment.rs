//! The variables of a task of any names and bytes: it is read or refused, in a line that people can read, and nothing of a
//! password is in that.
//!
//! `cargo +nightly fuzz run task_environment`
#![no_main]

use libfuzzer_sys::fuzz_target;
use polardb_manager::manager::task::{Environment, PAIRS, read};

/// The longest reason, in bytes: what is repeated of a variable is cut.
const REASON_MAX: usize = 4000;

fuzz_target!(|input: (u8, Vec<(String, Vec<u8>)>)| {
    let (chosen, variables) = input;
    let pair = &PAIRS[usize::from(chosen) % PAIRS.len()];
    let mut environment = Environment::default();
    for (name, value) in variables {
        environment.set(&name, value);
    }
    environment.set("srv_opr_type", pair.kind.unwrap_or_default());
    environment.set("srv_opr_action", pair.action);
    environment.set("srv_opr_password", "a secret of 21 bytes.");
    let shown = match read(pair.script, &environment) {
        Ok(asked) => {
            assert_ne!(asked.port, Some(0));
            format!("{asked:?}")
        }
        Err(cause) => {
            let reason = cause.to_string();
            assert!(!reason.contains('\n') && reason.len() < REASON_MAX, "{reason}");
            reason
        }
    };
    assert!(!shown.contains("a secret of 21 bytes."), "{shown}");
});
