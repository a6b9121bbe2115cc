//! Texts that are to stay texts, in every place where a person may put one.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::state::files;
use crate::bed::{Ctl, Ran};
use crate::engine::{Engine, postgres};

/// What may try to become SQL, a line of a configuration, a command of a shell, an option, a format or a path. `$MARK` is a
/// file that a shell would make.
const TEXTS: [&str; 17] = [
    "it's",
    "\"quoted\"",
    "back\\slash \\x27 \\'",
    "%s%n%d {} {0} $1",
    "a\nport = 1\nb",
    "a\r\nport = 1",
    "tab\there",
    "$(touch $MARK)",
    "`touch $MARK`",
    "a;touch $MARK;--",
    "'; drop table canary; --",
    "\"; drop table canary; --",
    "'); select pg_reload_conf(); --",
    "\u{1f418} \u{fc} \u{202e}txt",
    "\u{1}\u{1b}[2J",
    "../../../etc/passwd",
    "",
];

/// Longer than any name, and nearly as long as an argument can be.
const LONG: usize = 100_000;
/// No argument of a program can have so many bytes (Linux: 128 KiB); a file and standard input can.
const MEGABYTE: usize = 1 << 20;

/// A place where a text is put.
struct Place {
    /// What it is called, in what a test says.
    name: &'static str,
    /// The exit statuses and words that refuse a text there; 0 without a word: it is taken.
    answers: &'static [(i32, &'static str)],
    /// Puts it there.
    put: fn(&Bed, &str) -> Ran,
}

struct Bed {
    engine: Engine,
    mark: PathBuf,
    disk: PathBuf,
    file: PathBuf,
}

impl Bed {
    fn new() -> Self {
        let engine = Engine::up();
        engine.sql("create table canary as select 1 n; create role clerk createdb createrole login");
        engine.sql("create role replicator superuser login replication");
        let path = |name: &str| engine.dir.path().join(name);
        let (mark, disk, file) = (path("mark"), path("disk"), path("file"));
        fs::create_dir(&disk).unwrap();
        let (uid, gid) = postgres();
        std::os::unix::fs::chown(&disk, Some(uid), Some(gid)).unwrap();
        Bed { mark, disk, file, engine }
    }

    fn ctl(&self, line: &str) -> Ctl {
        self.engine.command(&format!("--output json {line}"))
    }

    /// With this text in a file.
    fn with_file(&self, text: &str) -> &PathBuf {
        fs::write(&self.file, text).unwrap();
        &self.file
    }

    /// Nothing of what a text may try has come about.
    fn is_sound(&self, what: &str) {
        let seen = self.engine.sql(
            "select json_build_array((select n from canary), (select count(*) from pg_roles where rolsuper), \
             current_setting('port'), (select count(*) from pg_file_settings where error is not null), \
             (select count(*) from pg_hba_file_rules where error is not null), \
             (select count(*) from pg_file_settings where name = 'port'))",
        );
        let seen: Value = serde_json::from_str(&seen).unwrap();
        assert_eq!(seen, json!([1, 2, "5432", 0, 0, 1]), "{what}");
        assert!(!self.mark.exists(), "{what}: no shell has seen it");
        for line in self.engine.manager_log() {
            let (time, rest) = line.split_once(" - ").unwrap_or_default();
            assert!(
                time.ends_with('Z') && (rest.starts_with("INFO - ") || rest.starts_with("ERROR - ")),
                "{what}: {line}"
            );
            assert!(!line.chars().any(char::is_control), "{what}: {line:?}");
        }
    }
}

const PLACES: [Place; 25] = [
    Place {
        name: "the name of an account",
        answers: &[(0, ""), (1, "bad_name")],
        put: |bed, text| bed.ctl("account create --privilege 1 --").word(text).ran(),
    },
    Place {
        name: "the name of an account to alter",
        answers: &[(0, ""), (1, "bad_name")],
        put: |bed, text| bed.ctl("account alter --privilege 6 --").word(text).ran(),
    },
    Place {
        name: "the name of an account to drop",
        answers: &[(0, ""), (1, "bad_name")],
        put: |bed, text| bed.ctl("account drop --").word(text).ran(),
    },
    Place {
        name: "a password on standard input",
        answers: &[(0, ""), (1, "bad_password")],
        put: |bed, text| bed.ctl("account alter clerk --password-stdin").given(text.as_bytes()),
    },
    Place {
        name: "a password in a file",
        answers: &[(0, ""), (1, "bad_password")],
        put: |bed, text| bed.ctl("account alter clerk").option("--password-file", bed.with_file(text)).ran(),
    },
    Place {
        name: "the unique name of a replica",
        answers: &[(2, "usage")],
        put: |bed, text| {
            bed.ctl("replica create --kind standby --custins-id 1")
                .word(&format!("--unique-name={text}"))
                .ran()
        },
    },
    Place {
        name: "the number of an instance",
        answers: &[(2, "usage")],
        put: |bed, text| {
            bed.ctl("replica drop --kind replica --unique-name a").word(&format!("--custins-id={text}")).ran()
        },
    },
    Place {
        name: "the role of a replica",
        answers: &[(1, "bad_name"), (1, "no_replication_role")],
        put: |bed, text| {
            bed.ctl("replica create --kind standby --custins-id 1 --unique-name a")
                .word(&format!("--role={text}"))
                .ran()
        },
    },
    Place {
        name: "the address of a replica",
        answers: &[(2, "usage")],
        put: |bed, text| {
            bed.ctl("replica create --kind standby --custins-id 1 --unique-name a")
                .word(&format!("--address={text}"))
                .ran()
        },
    },
    Place {
        name: "the name of a tablespace",
        answers: &[(0, ""), (1, "bad_name")],
        put: |bed, text| {
            let names = fs::read_dir(&bed.disk).unwrap().count();
            let location = bed.disk.join(names.to_string());
            bed.ctl("tablespace create").option("--location", &location).word("--").word(text).ran()
        },
    },
    Place {
        name: "the folder of a tablespace",
        answers: &[(0, ""), (1, "bad_location"), (1, "in_use")],
        put: |bed, text| {
            let names = fs::read_dir(&bed.disk).unwrap().count();
            let location = bed.disk.join(text);
            bed.ctl(&format!("tablespace create place{names}")).option("--location", &location).ran()
        },
    },
    Place {
        name: "the owner of a tablespace",
        answers: &[(1, "no_such_role"), (1, "bad_name")],
        put: |bed, text| {
            let location = bed.disk.join("never");
            bed.ctl("tablespace create never")
                .option("--location", &location)
                .word(&format!("--owner={text}"))
                .ran()
        },
    },
    Place {
        name: "the name of a parameter to set",
        answers: &[(2, "usage")],
        put: |bed, text| bed.ctl("params set --").word(&format!("{text}=1")).ran(),
    },
    Place {
        name: "the name of a parameter to unset",
        answers: &[(2, "usage")],
        put: |bed, text| bed.ctl("params unset --").word(text).ran(),
    },
    Place {
        name: "the name of a parameter to get",
        answers: &[(2, "usage")],
        put: |bed, text| bed.ctl("params get --").word(text).ran(),
    },
    Place {
        name: "the name of a parameter in the history",
        answers: &[(2, "usage")],
        put: |bed, text| bed.ctl("params history --").word(text).ran(),
    },
    Place {
        name: "the value of a parameter",
        answers: &[(0, "")],
        put: |bed, text| bed.ctl("params set").word(&format!("polar_test.text={text}")).ran(),
    },
    Place {
        name: "the value of a parameter that has a type",
        answers: &[(1, "invalid_value")],
        put: |bed, text| bed.ctl("params set").word(&format!("work_mem={text}")).ran(),
    },
    Place {
        name: "the reason of a lock",
        answers: &[(0, ""), (2, "usage")],
        put: |bed, text| {
            let ran = bed.ctl("lock --no-wait").word(&format!("--reason={text}")).ran();
            if ran.code != 0 {
                return ran;
            }
            let words: Value = serde_json::from_str(&bed.engine.read("ins_lock")).unwrap();
            assert_eq!(words["reason"], text, "it is kept as it was given");
            let unlocked = bed.ctl("unlock --no-wait").ran();
            assert_eq!(unlocked.code, 0, "{text:?}: {unlocked:?}");
            ran
        },
    },
    Place {
        name: "the reason of a diskfull lock",
        answers: &[(0, ""), (2, "usage")],
        put: |bed, text| {
            let ran = bed.ctl("lock --kind diskfull").word(&format!("--reason={text}")).ran();
            let unlocked = bed.ctl("unlock --kind diskfull").ran();
            assert_eq!(unlocked.code, 0, "{text:?}: {unlocked:?}");
            ran
        },
    },
    Place {
        name: "the kind of a lock that is to go",
        answers: &[(1, "locked_by_other")],
        put: |bed, text| {
            assert_eq!(bed.ctl("lock --no-wait").ran().code, 0);
            let ran = bed.ctl("unlock --no-wait").word(&format!("--kind={text}")).ran();
            assert_eq!(bed.ctl("unlock --no-wait").ran().code, 0);
            ran
        },
    },
    Place {
        name: "the name of a request",
        answers: &[(0, "")],
        put: |bed, text| bed.ctl("wal switch").env("request_id", text).ran(),
    },
    Place {
        name: "the file of a certificate",
        answers: &[(1, "file"), (1, "bad_certificate")],
        put: |bed, text| {
            bed.ctl("ssl enable").word(&format!("--cert={text}")).word(&format!("--key={text}")).ran()
        },
    },
    Place {
        name: "a certificate and its key",
        answers: &[(1, "bad_certificate")],
        put: |bed, text| {
            let file = bed.with_file(text);
            bed.ctl("ssl enable").option("--cert", file).option("--key", file).ran()
        },
    },
    Place {
        name: "the name of a program",
        answers: &[(0, ""), (1, "unknown_program"), (2, "usage")],
        put: |bed, text| bed.ctl("system-identifier").word(&format!("--program={text}")).ran(),
    },
];

fn judged(place: &Place, text: &str, ran: &Ran) {
    let cut: String = text.chars().take(40).collect();
    let name = place.name;
    let word = ran.json()["error"]["code"].as_str().unwrap_or_default().to_owned();
    let known = place.answers.contains(&(ran.code, word.as_str()));
    // An empty word where one must stand is told by the parser.
    let empty = text.is_empty() && (ran.code, word.as_str()) == (2, "usage");
    assert!(known || empty, "{name} {cut:?}: {ran:?}");
    if ran.code != 0 {
        assert_eq!(ran.stderr, "", "{name} {cut:?}");
        let message = ran.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.len() < 5000, "{name} {cut:?}: as long as the text: {message}");
        assert!(!message.contains("panicked"), "{name}: {message}");
    }
}

/// Puts every text into some of the places.
fn put(places: &[Place]) {
    let bed = Bed::new();
    let long = "y".repeat(LONG);
    let mark = bed.mark.to_str().unwrap();
    for place in places {
        for text in TEXTS.into_iter().chain([long.as_str()]) {
            let text = text.replace("$MARK", mark);
            let before = files(&bed.engine);
            let ran = (place.put)(&bed, &text);
            judged(place, &text, &ran);
            if ran.code != 0 {
                assert!(
                    files(&bed.engine) == before,
                    "{} {text:?}: refused, and a file is changed",
                    place.name
                );
            }
        }
        bed.is_sound(place.name);
    }
}

#[test]
fn in_the_places_of_accounts_and_replicas() {
    put(&PLACES[..9]);
}

#[test]
fn in_the_places_of_tablespaces_and_parameters() {
    put(&PLACES[9..18]);
}

#[test]
fn in_the_places_of_locks_requests_and_certificates() {
    put(&PLACES[18..]);
}

#[test]
fn what_is_taken_is_kept_to_the_letter() {
    let bed = Bed::new();
    let mark = bed.mark.to_str().unwrap();
    for text in TEXTS {
        let text = text.replace("$MARK", mark);
        let ran = bed.ctl("params set").word(&format!("polar_test.text={text}")).ran();
        assert_eq!(ran.code, 0, "{ran:?}");
        let shown = bed.engine.json("params get polar_test.text");
        assert_eq!(shown[0]["set"]["value"], text, "{shown}");
        if text.is_empty() {
            continue;
        }
        assert_eq!(bed.ctl("account create --privilege 1 --").word(&text).ran().code, 0, "{text:?}");
        let listed = bed.engine.json("account list");
        assert!(listed.as_array().unwrap().iter().any(|role| role["name"] == text), "{text:?}: {listed}");
        // For people nothing of it commands their terminal or makes another line.
        let table = bed.engine.ctl("account list").success();
        assert_eq!(table.lines().count(), listed.as_array().unwrap().len() + 1, "{table}");
        assert!(!table.contains('\u{1b}'), "{table}");
        let printed =
            bed.engine.command("pg -XAtc").word("select :'it'").word("-v").word(&format!("it={text}")).ran();
        assert_eq!(printed.code, 1, "psql's -c knows no variables: {printed:?}");
        let printed =
            bed.engine.command("pg -XAtq").word("-v").word(&format!("it={text}")).given(b"select :'it'");
        assert_eq!(printed.success(), format!("{text}\n"));
    }
    bed.is_sound("all of them");
}

#[test]
fn a_megabyte_and_a_nul() {
    let bed = Bed::new();
    let megabyte = "z".repeat(MEGABYTE);
    for text in [megabyte.as_str(), "a\0b", "\0"] {
        for place in PLACES.iter().filter(|place| {
            ["a password on standard input", "a password in a file", "a certificate and its key"]
                .contains(&place.name)
        }) {
            let before = files(&bed.engine);
            let ran = (place.put)(&bed, text);
            assert_eq!(ran.code, 1, "{}: {ran:?}", place.name);
            judged(place, text, &ran);
            assert!(files(&bed.engine) == before, "{}", place.name);
        }
    }
    // As an argument it does not come to polarctl at all: the shell says so.
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "\"$0\" params set \"polar_test.text=$(head -c 1048576 /dev/zero | tr '\\0' z)\""]);
    let output = shell.arg(env!("CARGO_BIN_EXE_polarctl")).output().unwrap();
    assert_eq!(output.status.code(), Some(126), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("too long"), "{output:?}");
    bed.is_sound("a megabyte");
}
