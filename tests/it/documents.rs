//! The documents say what the program does.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use polardb_manager::config;

use crate::common::Plain;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What stands before the generated part of docs/configuration.md, and after it.
const BEGIN: &str =
    "<!-- generated: UPDATE_DOCS=1 cargo test --locked --features failpoints --test it documents -->\n";
const END: &str = "<!-- end of the generated part -->\n";

#[test]
fn the_reference_of_the_configuration_is_the_programs_own() {
    let path = root().join("docs/configuration.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the begin of the generated part");
    let (_, after) = rest.split_once(END).expect("the end of the generated part");
    let expected = format!("{before}{BEGIN}\n{}\n{END}{after}", config::reference());
    if text == expected {
        return;
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, expected).unwrap();
        return;
    }
    let wanted = Path::new(env!("CARGO_TARGET_TMPDIR")).join("configuration.md");
    fs::write(&wanted, expected).unwrap();
    panic!(
        "{} is not what config::reference() says; the same test with UPDATE_DOCS=1 rewrites it (the difference: diff {} {})",
        path.display(),
        path.display(),
        wanted.display()
    );
}

#[test]
fn the_example_is_accepted_and_means_the_defaults() {
    let example = root().join("supervisor.toml");
    let done = Plain::new(["--config", example.to_str().unwrap(), "check"]).run();
    assert_eq!((done.code(), done.stderr.as_str()), (0, ""));
    let defaults = Plain::new(["--config", "/dev/null", "check"]).run().success();
    assert_eq!(done.success(), defaults);
}

#[test]
fn the_examples_in_the_documents_are_accepted() {
    for name in ["docs/configuration.md", "README.md", "README-CN.md"] {
        for block in read(name).split("```toml\n").skip(1) {
            let text = block.split("```").next().unwrap();
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("supervisor.toml");
            fs::write(&file, text).unwrap();
            let done = Plain::new(["--config", file.to_str().unwrap(), "check"]).run();
            assert_eq!((done.code(), done.stderr.as_str()), (0, ""), "{name}: {text}");
        }
    }
}

/// The numbers of exit statuses that a text names in the places that `lines` finds.
fn statuses<'a>(cells: impl Iterator<Item = &'a str>) -> BTreeSet<u8> {
    cells.filter_map(|cell| cell.trim().parse().ok()).collect()
}

#[test]
fn the_tables_of_exit_statuses_name_those_of_help() {
    let help = Plain::new(["--help"]).run().success();
    let (_, table) = help.split_once("exit status:\n").unwrap();
    // Two columns a line; each begins with its status.
    let columns = table.lines().flat_map(|line| line.split("   ")).map(str::trim);
    let known = statuses(columns.clone().filter_map(|column| column.split(' ').next()));
    assert_eq!(known, BTreeSet::from([0, 1, 64, 70, 78]), "{help}");
    assert!(table.contains("the engine's own"));
    for (name, title) in [("README.md", "| exit status |"), ("README-CN.md", "| 退出码 |")] {
        let text = read(name);
        let (_, rows) = text.split_once(title).expect(title);
        let rows = rows.lines().skip(1).take_while(|line| line.starts_with('|'));
        let cells = rows.filter_map(|row| row.split('|').nth(1));
        assert_eq!(statuses(cells.clone()), known, "{name}");
        assert!(cells.clone().any(|cell| cell.contains("128 + ")), "{name}: the engine's own status");
    }
}

#[test]
fn the_command_lines_in_the_readme_are_those_of_help() {
    let help = Plain::new(["--help"]).run().success();
    for name in ["README.md", "README-CN.md"] {
        let text = read(name);
        let lines = text.lines().filter(|line| line.starts_with("polar-supervisor "));
        let usages: Vec<&str> = lines.map(|line| line.split("   ").next().unwrap().trim()).collect();
        assert_eq!(usages.len(), 3, "{name}");
        for usage in usages {
            assert!(help.contains(usage), "{name}: {usage} is not in {help}");
        }
    }
}

/// The targets of the relative links of a page, and whether it is asked for an anchor.
fn links(text: &str) -> Vec<String> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|target| {
            !target.contains("://") && !target.starts_with('#') && !target.starts_with("mailto:")
        })
        .map(|target| target.split('#').next().unwrap().to_owned())
        .collect()
}

#[test]
fn every_relative_link_leads_to_a_file() {
    let pages = |folder: PathBuf| {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.extension().is_some_and(|suffix| suffix == "md")).collect::<Vec<_>>()
    };
    let pages = [pages(root().to_owned()), pages(root().join("docs"))].concat();
    let mut count = 0;
    for page in &pages {
        for target in links(&fs::read_to_string(page).unwrap()) {
            count += 1;
            assert!(page.parent().unwrap().join(&target).exists(), "{}: {target}", page.display());
        }
    }
    assert!(count >= 8, "only {count} links were found in {pages:?}");
}

#[test]
fn each_readme_leads_to_the_other_and_says_the_same() {
    let [english, chinese] = ["README.md", "README-CN.md"].map(read);
    assert!(english.contains("(README-CN.md)") && chinese.contains("(README.md)"));
    let own = |text: &str| {
        let mut links = links(text);
        links.retain(|target| !target.starts_with("README"));
        links
    };
    assert_eq!(own(&english), own(&chinese));
    let headings = |text: &str| text.lines().filter(|line| line.starts_with('#')).count();
    assert_eq!(headings(&english), headings(&chinese));
}
