//! All verbs against one engine in one state.

use std::collections::BTreeMap;
use std::fs;

use super::verbs::{LOCKED, PG, STATES, Says, State, VERBS, Verb};
use crate::bed::{Ctl, Ran};
use crate::engine::Engine;

/// Files of a data directory that say who asks, and not what is.
const PASSING: [&str; 3] = ["ins_request", "postmaster.pid", "postmaster.opts"];

/// The files of a data directory that verbs write: all that lie in it beside its folders.
pub fn files(engine: &Engine) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(engine.data()).unwrap().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    let named = files.map(|entry| (entry.file_name().into_string().unwrap(), entry.path()));
    let lasting = named.filter(|(name, _)| !PASSING.contains(&name.as_str()));
    lasting.map(|(name, path)| (name, fs::read(path).unwrap())).collect()
}

/// Runs every verb. What one of them may have made does not stay: the lock file.
pub fn every_verb(engine: &Engine, column: usize, timeout: &str) {
    for verb in VERBS.iter().chain([&PG]) {
        fs::remove_file(engine.data().join("ins_lock")).ok();
        if column == LOCKED {
            engine.ctl("lock --no-wait").success();
        }
        let before = files(engine);
        one(engine, verb, column, timeout);
        if verb.says[column] != Says::Done {
            assert!(files(engine) == before, "{}: no file is changed where it is refused", verb.line);
        }
    }
}

fn one(engine: &Engine, verb: &Verb, column: usize, timeout: &str) {
    let state = STATES[column];
    let line = verb.line;
    let of = |form: &str| -> Ctl {
        if line.starts_with("pg ") {
            // Two seconds are libpq's least.
            return engine.command(&format!("{form} {line}")).env("PGCONNECT_TIMEOUT", "2");
        }
        let limit = if line.starts_with("health") { "" } else { timeout };
        engine.command(&format!("{form} {line} {limit}"))
    };
    let ran = of("--output json").ran();
    match verb.says[column] {
        Says::Done => {
            assert_eq!(ran.code, 0, "{line} on one that is {}: {ran:?}", state.name);
            if !line.starts_with("pg ") {
                ran.json();
            }
        }
        Says::Refused => {
            let message = refused(line, state, &ran);
            // For people it is the same, in one line.
            let told = of("").ran();
            assert_eq!((told.code, told.stdout.as_str()), (state.exit, ""), "{line}: {told:?}");
            assert_eq!(told.stderr, format!("polarctl: {message}\n"), "{line}");
        }
        Says::Theirs => {
            let json = ran.json();
            assert_eq!(
                (ran.code, json["error"]["code"].as_str()),
                (1, Some("locked_by_other")),
                "{line}: {json}"
            );
            assert!(
                json["error"]["message"].as_str().unwrap().contains("--force"),
                "what to do next: {json}"
            );
        }
        Says::Probe => {
            let json = ran.json();
            assert_eq!((ran.code, json["engines"][0]["code"].as_str()), (3, Some(state.word)), "{ran:?}");
            assert!(json["engines"][0]["trouble"].as_str().unwrap().contains("; "), "{json}");
        }
        Says::Psql => {
            assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{line}: {ran:?}");
            assert!(ran.stderr.starts_with("psql: error: "), "{ran:?}");
        }
    }
}

/// That it is said what was tried, what happened and what to do next; the message.
fn refused(line: &str, state: State, ran: &Ran) -> String {
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (state.exit, ""),
        "{line} on one that is {}: {ran:?}",
        state.name
    );
    let json = ran.json();
    assert_eq!(json["error"]["code"], state.word, "{line}: {json}");
    assert_eq!(json["error"]["exit"], state.exit, "{line}: {json}");
    let message = json["error"]["message"].as_str().unwrap().to_owned();
    let verb: Vec<&str> = line.split(' ').take(2).take_while(|word| !word.starts_with('-')).collect();
    assert!(message.starts_with(&verb.join(" ")), "what was tried: {message}");
    let (happened, next) = message.rsplit_once("; ").unwrap_or_else(|| panic!("what to do next: {message}"));
    assert!(
        happened.contains(": the engine ") || happened.contains(": this instance "),
        "what happened: {message}"
    );
    assert!(next.len() > 20, "what to do next: {message}");
    message
}
