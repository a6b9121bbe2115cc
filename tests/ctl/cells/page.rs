//! `docs/manager-faults.md` is of these tests, and of all verbs.

use std::fs;
use std::path::Path;

use super::verbs::{ALWAYS, PAIRS, PG, STATES, Says, VERBS, Verb};
use crate::bed::Ctl;

/// What changes no instance and reads none, what is the supervisor's alone, what changes the state itself, and
/// what calls them by other names.
const OTHERS: [&str; 16] = [
    "status",
    "explain",
    "start",
    "stop",
    "restart",
    "reload",
    "events",
    "logs",
    "serve",
    "completions",
    "man",
    "image",
    "help",
    "install",
    "engine-user",
    "task",
];

/// What stands in a cell of which the test of its column says all.
const YES: &str = "yes";

fn page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/manager-faults.md")).unwrap()
}

/// The cells of each row of the table whose head begins so, without the head.
fn table(text: &str, head: &str) -> Vec<Vec<String>> {
    let lines = text.lines().skip_while(|line| !line.starts_with(head));
    let rows = lines.take_while(|line| line.starts_with('|')).filter(|line| !line.starts_with("|---"));
    let cells = |line: &str| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
    let rows: Vec<Vec<String>> = rows.map(cells).collect();
    assert!(rows.len() > 1, "there is a table {head}");
    rows
}

/// The verb of a line, without its options.
fn verb(line: &str) -> String {
    let kind = line.split_once("--kind ").map_or("", |(_, rest)| rest.split(' ').next().unwrap());
    let words: Vec<&str> = line.split(' ').take(2).take_while(|word| !word.starts_with('-')).collect();
    // Names and values are no part of a verb.
    let words = if PG.line == line { vec!["pg"] } else { words };
    match kind {
        "expired" | "maintenance" | "diskfull" => format!("{} --kind {kind}", words.join(" ")),
        _ => words.join(" "),
    }
}

fn verbs() -> impl Iterator<Item = &'static Verb> {
    VERBS.iter().chain([&PG])
}

#[test]
fn what_each_verb_says_in_each_state() {
    let said = |says: Says, exit: i32, word: &str| match says {
        Says::Done => "0".to_owned(),
        Says::Refused => format!("{exit} `{word}`"),
        Says::Theirs => "1 `locked_by_other`".to_owned(),
        Says::Probe => format!("3 `{word}`"),
        Says::Psql => "2 (psql)".to_owned(),
    };
    let mut expected =
        vec![["verb"].into_iter().chain(STATES.iter().map(|state| state.name)).map(str::to_owned).collect()];
    for it in verbs() {
        let cells = it.says.iter().zip(&STATES).map(|(says, state)| said(*says, state.exit, state.word));
        expected.push([format!("`{}`", verb(it.line))].into_iter().chain(cells).collect::<Vec<_>>());
    }
    let found = table(&page(), "| verb | stopped ");
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found.join(" | "), expected.join(" | "));
    }
    assert_eq!(found.len(), expected.len());
    let columns = table(&page(), "| column ");
    for state in &STATES {
        assert!(
            columns.iter().any(|row| row[0] == state.name && row[1] == format!("`{}`", state.test)),
            "{state:?}"
        );
    }
}

#[test]
fn each_cell_of_what_changes_something_has_its_test() {
    let text = page();
    let rows = table(&text, "| verb | done twice ");
    let named: Vec<String> = rows.iter().skip(1).map(|row| row[0].trim_matches('`').to_owned()).collect();
    let all: Vec<String> = verbs().map(|it| verb(it.line)).collect();
    assert_eq!(named, all, "a row for each verb, in the same order");
    let paired: Vec<String> = PAIRS.iter().flat_map(|(make, undo)| [verb(make), verb(undo)]).collect();
    let always: Vec<String> = ALWAYS.into_iter().chain(["wal switch"]).map(str::to_owned).collect();
    for (row, name) in rows.iter().skip(1).zip(&named) {
        assert_eq!(row.len(), rows[0].len(), "{name}");
        for (column, cell) in rows[0].iter().zip(row).skip(1) {
            let in_column = match column.as_str() {
                "killed" => paired.contains(name) || always.contains(name),
                "two at once" => {
                    paired.contains(name)
                        || always.contains(name)
                        || ["disk expand", "tablespace create"].contains(&name.as_str())
                }
                _ => true,
            };
            if cell == YES {
                assert!(in_column, "{name}: the test of the column {column} has it not");
            } else {
                assert!(cell.starts_with('`') || cell.starts_with("- "), "{name}: {column}: {cell}");
            }
        }
    }
}

#[test]
fn each_test_that_is_named_exists() {
    let text = page();
    let names: Vec<&str> = text.split('`').skip(1).step_by(2).filter(|name| name.contains("::")).collect();
    assert!(names.len() > 40, "{}", names.len());
    for name in names {
        let (module, function) = name.rsplit_once("::").unwrap();
        let path = module.replace("::", "/");
        let source = |folder: &str| {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/{folder}/{path}.rs"));
            fs::read_to_string(file).unwrap_or_default()
        };
        let is_there = |source: String| source.contains(&format!("#[test]\nfn {function}() {{"));
        assert!(is_there(source("ctl")) || is_there(source("it")), "there is no test {name}");
    }
}

#[test]
fn each_verb_is_in_the_table() {
    let of = |line: &str| -> Vec<String> {
        let help = Ctl::new(&format!("{line} --help")).ran().success();
        let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
        let commands = commands.take_while(|line| !line.is_empty());
        commands.filter_map(|line| line.strip_prefix("  ")?.split(' ').next().map(str::to_owned)).collect()
    };
    let known: Vec<String> = verbs().map(|it| verb(it.line)).collect();
    let known = |name: &str| known.iter().any(|verb| verb == name || verb.starts_with(&format!("{name} -")));
    let first: Vec<String> = of("");
    assert!(first.len() > 20, "{first:?}");
    for name in first.iter().filter(|name| !OTHERS.contains(&name.as_str())) {
        let below = of(name);
        let all = below.iter().filter(|verb| *verb != "help").map(|verb| format!("{name} {verb}"));
        let all: Vec<String> = if below.is_empty() { vec![name.clone()] } else { all.collect() };
        for name in all {
            assert!(
                known(&name),
                "{name}: what does it say in each state? tests/ctl/cells/verbs.rs and docs/manager-faults.md"
            );
        }
    }
}
