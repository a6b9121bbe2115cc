//! Completions and manual pages are generated.

use crate::bed::Ctl;

const VERBS: [&str; 22] = [
    "status",
    "explain",
    "start",
    "stop",
    "restart",
    "reload",
    "lock",
    "unlock",
    "events",
    "logs",
    "health",
    "install",
    "engine-user",
    "params",
    "account",
    "replica",
    "wal",
    "system-identifier",
    "pg",
    "serve",
    "completions",
    "man",
];

#[test]
fn completions_know_every_verb() {
    for shell in ["bash", "zsh", "fish"] {
        let script = Ctl::new(&format!("completions {shell}")).ran().success();
        for verb in VERBS {
            assert!(script.contains(verb), "{shell}: {verb}");
        }
    }
}

#[test]
fn manual_pages() {
    let page = Ctl::new("man").ran().success();
    assert!(page.contains(".TH polarctl 1") && page.contains("not permitted"), "{page}");
    let page = Ctl::new("man lock").ran().success();
    assert!(page.contains("polarctl-lock") && page.contains("reason"), "{page}");
    let dir = tempfile::tempdir().unwrap();
    Ctl::new("man").option("--dir", dir.path()).ran().success();
    for verb in VERBS {
        assert!(dir.path().join(format!("polarctl-{verb}.1")).exists(), "{verb}");
    }
    assert!(dir.path().join("polarctl.1").exists());
}

#[test]
fn the_document_names_every_verb_and_every_exit_status() {
    let text = include_str!("../../docs/polarctl.md");
    let (_, usage) = text.split_once("```\n").unwrap();
    let (usage, rest) = usage.split_once("```").unwrap();
    let words: Vec<&str> =
        usage.split(|c: char| !c.is_ascii_lowercase() && c != '-').filter(|word| !word.is_empty()).collect();
    for verb in VERBS {
        assert!(words.contains(&verb), "{verb}");
    }
    let help = Ctl::new("--help").ran().success();
    let statuses =
        |rows: Vec<&str>| -> Vec<u8> { rows.iter().filter_map(|row| row.trim().parse().ok()).collect() };
    let (_, said) = help.split_once("Exit status:\n").unwrap();
    let said = statuses(said.lines().filter_map(|line| line.split_whitespace().next()).collect());
    let (_, table) = rest.split_once("| exit status |").unwrap();
    let table = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    let written = statuses(table.filter_map(|row| row.split('|').nth(1)).collect());
    assert_eq!((written.clone(), written), (said, vec![0, 1, 2, 3, 4, 5, 77]));
}
