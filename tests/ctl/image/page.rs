//! `docs/images.md` tells each key, and its example is one.

use std::fs;
use std::path::Path;

use polardb_manager::image::config::{IMAGE_KEYS, Kind, Source, TOP_KEYS, parse};
use polardb_manager::image::plan::{BASE_IMAGE, BASE_SCRIPT};

fn page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images.md")).unwrap()
}

/// The keys in the first column of the table with this head.
fn keys(head: &str) -> Vec<String> {
    let text = page();
    let rows = text.lines().skip_while(|line| !line.starts_with(head)).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    let cells = rows.flat_map(|row| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2));
    let mut keys: Vec<String> = cells.map(str::to_owned).collect();
    keys.sort();
    keys
}

#[test]
fn each_key_is_told_once() {
    for (head, known) in [("| key of the file |", &TOP_KEYS[..]), ("| key of an image |", &IMAGE_KEYS[..])] {
        let mut known: Vec<&str> = known.to_vec();
        known.sort_unstable();
        assert_eq!(keys(head), known, "{head}");
    }
}

#[test]
fn its_examples_are_files() {
    let text = page();
    let examples: Vec<&str> =
        text.split("```yaml\n").skip(1).map(|part| part.split("```").next().unwrap()).collect();
    assert!(examples.len() >= 2);
    let mut sources = Vec::new();
    for example in examples {
        let config = parse("docs/images.md", example).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        sources.extend(config.images.into_iter().map(|image| image.kind));
    }
    // Each way to have an engine is shown.
    let has = |fits: fn(&Source) -> bool| {
        sources.iter().any(|it| matches!(it, Kind::Engine(source) if fits(source)))
    };
    assert!(has(|it| matches!(it, Source::Packages(_))));
    assert!(has(|it| matches!(it, Source::Image { .. })));
    assert!(has(|it| matches!(it, Source::Repo { .. })));
}

#[test]
fn its_names_are_those_of_the_code() {
    let text = page();
    for name in [BASE_IMAGE, BASE_SCRIPT, ".image/log/", ".image/source/"] {
        assert!(text.contains(&format!("`{name}")), "{name}");
    }
}

#[test]
fn each_word_for_a_program_is_told() {
    let text = page();
    let source =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/image/cause.rs")).unwrap();
    let words: Vec<&str> =
        source.split(" => \"").skip(1).filter_map(|part| part.split_once("\",\n")).map(|it| it.0).collect();
    let words: Vec<&str> = words.into_iter().filter(|word| !word.contains(' ')).collect();
    assert!(words.len() > 10, "{words:?}");
    for word in words {
        assert!(text.contains(&format!("| `{word}` |")), "{word}");
    }
}

#[test]
fn the_script_calls_polarctl_with_what_it_is_given() {
    let dir = tempfile::TempDir::new().unwrap();
    fs::create_dir_all(dir.path().join("target/release")).unwrap();
    let script = dir.path().join("image");
    // No copy: what another thread's child holds open for writing is not executed.
    std::os::unix::fs::symlink(Path::new(env!("CARGO_MANIFEST_DIR")).join("image"), &script).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_polarctl"), dir.path().join("target/release/polarctl"))
        .unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("image.yml");
    let mut command = std::process::Command::new(script);
    command.arg("-f").arg(file).args(["-n", "--dry-run"]).env_remove("CARGO_TARGET_DIR").current_dir("/");
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && text.contains("--no-cache") && text.contains("polardb_pg_engine_test"),
        "{text}"
    );
}
