//! Completions and manual pages are generated.

use crate::bed::Ctl;

const VERBS: [&str; 14] = [
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
