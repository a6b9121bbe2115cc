//! The verbs that change or read an instance, and what each says in each state of the engine.

/// What a verb says in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// It does what it does: 0.
    Done,
    /// It is refused, by the exit status and the word of the state.
    Refused,
    /// Somebody else's lock stands: 1.
    Theirs,
    /// As a probe says it: 3, and the word of the state.
    Probe,
    /// psql's own exit status.
    Psql,
}

use Says::{Done, Probe, Psql, Refused, Theirs};

/// The states, in the order of the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// What it is called.
    pub name: &'static str,
    /// The exit status of what is refused in it.
    pub exit: i32,
    /// The word of it.
    pub word: &'static str,
    /// The test that shows it.
    pub test: &'static str,
}

const fn state(name: &'static str, exit: i32, word: &'static str, test: &'static str) -> State {
    State { name, exit, word, test }
}

pub const STOPPED: usize = 0;
pub const LOCKED: usize = 1;
pub const CRASHED: usize = 2;
pub const STARTING: usize = 3;
pub const STANDBY: usize = 4;
pub const OVERLOADED: usize = 5;
pub const HUNG: usize = 6;

/// All states.
pub const STATES: [State; 7] = [
    state("stopped", 3, "not_running", "cells::stopped::every_verb_on_a_stopped_engine"),
    state("locked", 3, "locked", "cells::stopped::every_verb_on_a_locked_engine"),
    state("crashed", 3, "not_running", "cells::stopped::every_verb_on_an_engine_that_was_killed"),
    state("starting", 3, "starting", "cells::starting::every_verb_on_a_starting_engine"),
    state("standby", 1, "standby", "cells::standby::every_verb_on_a_standby"),
    state("overloaded", 1, "overloaded", "cells::overloaded::every_verb_on_an_overloaded_engine"),
    state("hung", 5, "hung", "cells::hung::every_verb_on_a_hung_engine"),
];

/// A verb.
#[derive(Debug, Clone, Copy)]
pub struct Verb {
    /// As it is typed.
    pub line: &'static str,
    /// What it says, by the columns.
    pub says: [Says; STATES.len()],
}

/// What needs a primary.
const PRIMARY: [Says; STATES.len()] = [Refused; STATES.len()];
/// What needs a server.
const SERVER: [Says; STATES.len()] = [Refused, Refused, Refused, Refused, Done, Refused, Refused];
/// What goes by the files where none runs, and by the server where one does.
const FILES: [Says; STATES.len()] = [Done, Done, Refused, Refused, Done, Refused, Refused];
/// What needs no server.
const NOTHING: [Says; STATES.len()] = [Done; STATES.len()];
/// A lock file, of another kind than the one that is there.
const OTHER_KIND: [Says; STATES.len()] = [Done, Theirs, Done, Done, Done, Done, Done];

const fn verb(line: &'static str, says: [Says; STATES.len()]) -> Verb {
    Verb { line, says }
}

/// All verbs but those that change the state itself: `start`, `stop`, `restart` and `install`.
pub const VERBS: [Verb; 27] = [
    verb("account create app --privilege 7", PRIMARY),
    verb("account alter app --privilege 7", PRIMARY),
    verb("account drop app", PRIMARY),
    verb("account list", SERVER),
    verb("replica create --kind replica --custins-id 1 --unique-name a", PRIMARY),
    verb("replica drop --kind replica --custins-id 1 --unique-name a", PRIMARY),
    verb("replica list", SERVER),
    verb("params get work_mem", FILES),
    verb("params set work_mem=9MB", FILES),
    verb("params unset work_mem", FILES),
    verb("params refresh", SERVER),
    verb("params diff", SERVER),
    verb("params history", NOTHING),
    verb("lock --kind diskfull", SERVER),
    verb("unlock --kind diskfull", SERVER),
    verb("lock --kind expired --no-wait", OTHER_KIND),
    verb("unlock --kind expired --no-wait", OTHER_KIND),
    verb("lock --kind maintenance --no-wait", NOTHING),
    verb("unlock --kind maintenance --no-wait", NOTHING),
    verb("disk status", NOTHING),
    verb("disk expand", FILES),
    verb("tablespace create t --location /nowhere/t", PRIMARY),
    verb("ssl enable", FILES),
    verb("ssl disable", FILES),
    verb("wal switch", PRIMARY),
    verb("system-identifier", NOTHING),
    verb("health --sql", [Probe, Probe, Probe, Probe, Done, Probe, Probe]),
];

/// psql takes all that stands behind it, and has no `--timeout`.
pub const PG: Verb = verb("pg -XAtc select(1)", [Refused, Refused, Psql, Psql, Done, Psql, Psql]);

/// What undoes each other: with one of a pair done, the other one has something to do.
pub const PAIRS: [(&str, &str); 8] = [
    ("account create app --privilege 7", "account drop app"),
    ("account alter clerk --privilege 7", "account alter clerk --privilege 1"),
    (
        "replica create --kind replica --custins-id 1 --unique-name a",
        "replica drop --kind replica --custins-id 1 --unique-name a",
    ),
    ("params set work_mem=9MB", "params unset work_mem"),
    ("lock --kind diskfull", "unlock --kind diskfull"),
    ("lock --kind expired --no-wait", "unlock --kind expired --no-wait"),
    ("lock --kind maintenance --no-wait", "unlock --kind maintenance --no-wait"),
    ("ssl enable", "ssl disable"),
];

/// What has something to do whenever it is called.
pub const ALWAYS: [&str; 1] = ["params refresh"];

/// Whether it is one that makes or removes the lock file: it waits for nobody.
pub fn is_of_lock_file(line: &str) -> bool {
    ["lock", "unlock"].contains(&line.split(' ').next().unwrap()) && !line.contains("diskfull")
}
