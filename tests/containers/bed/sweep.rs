//! Removing what tests have made: this test's, and that of a run that is dead.

use std::fs;

use super::docker::docker;

/// What the name of everything that a test makes begins with; behind it stands the test process's id.
pub const PREFIX: &str = "pmtest-";

/// Removes containers, networks, volumes and images whose name begins so.
pub fn all_of(prefix: &str) {
    remove(&containers(prefix), &["rm", "-f", "-v"]);
    remove(&names(&["network", "ls", "--format", "{{.Name}}"], prefix), &["network", "rm"]);
    remove(&names(&["volume", "ls", "-q"], prefix), &["volume", "rm", "-f"]);
    remove(&names(&["images", "--format", "{{.Repository}}:{{.Tag}}"], prefix), &["rmi", "-f"]);
}

/// Removes what test processes that are gone have left.
pub fn of_the_dead() {
    let mut processes: Vec<String> = [
        names(&["ps", "-a", "--format", "{{.Names}}"], PREFIX),
        names(&["network", "ls", "--format", "{{.Name}}"], PREFIX),
        names(&["volume", "ls", "-q"], PREFIX),
        names(&["images", "--format", "{{.Repository}}"], PREFIX),
    ]
    .concat()
    .iter()
    .filter_map(|name| Some(name.strip_prefix(PREFIX)?.split('-').next()?.to_owned()))
    .collect();
    processes.sort();
    processes.dedup();
    for process in processes {
        // Another program may have the number since.
        let program = fs::read_link(format!("/proc/{process}/exe")).unwrap_or_default();
        if !program.file_name().is_some_and(|name| name.to_string_lossy().starts_with("containers-")) {
            all_of(&format!("{PREFIX}{process}-"));
        }
    }
}

/// Containers that hold the prefix as their own, and those of a compose project (`<project>_<service>_1`).
fn containers(prefix: &str) -> Vec<String> {
    names(&["ps", "-a", "--format", "{{.Names}}"], prefix)
}

fn names(list: &[&str], prefix: &str) -> Vec<String> {
    let all = docker(list).stdout;
    all.lines().filter(|name| name.starts_with(prefix)).map(str::to_owned).collect()
}

fn remove(names: &[String], verb: &[&str]) {
    if !names.is_empty() {
        let done = docker(verb.iter().map(|word| (*word).to_owned()).chain(names.iter().cloned()));
        if done.code != 0 {
            eprintln!("not removed: {done:?}");
        }
    }
}
