//! The examples of the manager's pages, run one after the other against one instance a page.
//!
//! In a box of kind `console` a line that begins with `$` is run by a shell; the lines below it are what it prints, where
//! `...` stands for whatever else may be there.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::bed::Ctl;
use crate::engine::Engine;

/// A command line of a page, and what it prints.
struct Example {
    command: String,
    printed: Vec<String>,
}

fn examples(text: &str) -> Vec<Example> {
    let mut all: Vec<Example> = Vec::new();
    for block in text.split("```console\n").skip(1) {
        for line in block.split("```").next().unwrap().lines() {
            match line.strip_prefix("$ ") {
                Some(command) => all.push(Example { command: command.to_owned(), printed: Vec::new() }),
                None => all.last_mut().expect("a command first").printed.push(line.to_owned()),
            }
        }
    }
    all
}

/// Whether a line is as printed, `...` standing for anything.
fn fits(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split("...");
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut open = false;
    for part in parts {
        open = part.is_empty();
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.is_empty() || open
}

fn run(page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page);
    let examples = examples(&fs::read_to_string(&path).unwrap());
    assert!(examples.len() >= 3, "{page}: {}", examples.len());
    let engine = Engine::up();
    let polarctl = Path::new(env!("CARGO_BIN_EXE_polarctl"));
    let search = format!("{}:{}", polarctl.parent().unwrap().display(), std::env::var("PATH").unwrap());
    for Example { command, printed } in examples {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{{ {command}\n}} 2>&1")]).env_clear().env("PATH", &search);
        shell.env("PGDATA", engine.data()).env("POLAR_SUPERVISOR_LOG_DIR", engine.log_dir());
        // What a page calls /log is the log folder.
        shell.env("LOG", engine.log_dir()).current_dir(engine.dir.path()).stdin(Stdio::null());
        let output = shell.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let text = text.replace(engine.data().to_str().unwrap(), "/data");
        let text = text.replace(engine.log_dir().to_str().unwrap(), "/log");
        let lines: Vec<&str> = text.lines().collect();
        let good = lines.len() == printed.len()
            && printed.iter().zip(&lines).all(|(pattern, line)| fits(pattern, line));
        assert!(good, "{page}: $ {command}\nprints\n{text}\nand not\n{}", printed.join("\n"));
    }
}

#[test]
fn what_fits() {
    for (pattern, line, good) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("a...", "ab", true),
        ("a...c", "abc", true),
        ("a...c", "abcd", false),
        ("...", "", true),
    ] {
        assert_eq!(fits(pattern, line), good, "{pattern} {line}");
    }
}

#[test]
fn the_operations_of_the_readmes_are_verbs() {
    let verbs = |name: &str| -> Vec<String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        let text = fs::read_to_string(path).unwrap();
        let rows = text.lines().filter(|line| line.starts_with("| ") && line.contains("`polarctl "));
        let lines = rows.flat_map(|row| row.split('`').skip(1).step_by(2));
        lines.filter_map(|line| line.strip_prefix("polarctl ")).map(str::to_owned).collect()
    };
    let english = verbs("README.md");
    assert_eq!(english, verbs("README-CN.md"));
    assert_eq!(english.len(), 12, "{english:?}");
    for line in english {
        assert_eq!(Ctl::new(&format!("{line} --help")).ran().code, 0, "{line}");
    }
}

#[test]
fn the_page_of_the_manager() {
    run("manager.md");
}

#[test]
fn the_page_of_installations() {
    run("manager-install.md");
}

#[test]
fn the_page_of_parameters() {
    run("manager-params.md");
}

#[test]
fn the_page_of_accounts() {
    run("manager-account.md");
}

#[test]
fn the_page_of_replicas() {
    run("manager-replica.md");
}

#[test]
fn the_page_of_disks() {
    run("manager-disk.md");
}

#[test]
fn the_page_of_tls() {
    run("manager-ssl.md");
}

#[test]
fn the_page_of_tablespaces() {
    run("manager-tablespace.md");
}

#[test]
fn the_page_of_start_and_stop() {
    run("manager-start.md");
}

#[test]
fn the_page_of_polardb_stack() {
    run("polardb-stack.md");
}

#[test]
fn the_page_of_the_images_of_polardb_stack() {
    run("polardb-stack-images.md");
}
