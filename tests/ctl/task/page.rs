//! `docs/polardb-stack.md` has every pair that there is, and no other.

use std::fs;
use std::path::Path;

use polardb_manager::manager::task::{PAIRS, Pair, Script, Task};

fn row(pair: &Pair) -> [String; 3] {
    let kind = match (pair.kind, pair.script) {
        (Some(kind), Script::Main) => format!("`{kind}`"),
        (Some(kind), Script::Cm) => format!("`{kind}` (`--cm`)"),
        (None, _) => "any".to_owned(),
    };
    [kind, format!("`{}`", pair.action), pair.becomes.word().to_owned()]
}

#[test]
fn the_table_has_every_pair_and_no_other() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/polardb-stack.md");
    let text = fs::read_to_string(page).unwrap();
    let rows = text.lines().skip_while(|line| !line.starts_with("| type | action ")).skip(2);
    let rows: Vec<Vec<&str>> = rows
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    for (cells, pair) in rows.iter().zip(&PAIRS) {
        assert_eq!(cells[..3], row(pair), "in the same order");
        if let Task::Missing(part) = pair.task {
            assert!(cells[3].starts_with(&part.to_string()), "{cells:?} names {part}");
        }
    }
    assert_eq!(rows.len(), PAIRS.len());
}
