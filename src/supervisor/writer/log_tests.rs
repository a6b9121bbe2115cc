use super::*;
use std::fs::{self, hard_link};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;

fn to(dir: &tempfile::TempDir, size: u64, keep: u32) -> OutputFile {
    OutputFile { file: dir.path().join("f"), size, keep }
}

fn contents(dir: &tempfile::TempDir) -> Vec<(String, String)> {
    let mut files: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

fn files(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn full_files_move_on_whole_lines_stay_together() {
    for (size, keep, text, wanted) in [
        (100, 3, "one\ntwo\n", vec![("f", "one\ntwo\n")]),
        (8, 3, "one\ntwo\n", vec![("f", "one\ntwo\n")]),
        (8, 3, "one\ntwo\nthree\n", vec![("f", "three\n"), ("f.1", "one\ntwo\n")]),
        (4, 2, "1\n2\n3\n4\n5\n6\n7\n", vec![("f", "7\n"), ("f.1", "5\n6\n"), ("f.2", "3\n4\n")]),
        (4, 0, "1\n2\n3\n", vec![("f", "3\n")]),
        // Longer than a file: cut.
        (4, 5, "a\nbcdefg\nh\n", vec![("f", "fg\n"), ("f.1", "bcde"), ("f.2", "a\n")].into_iter().collect()),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::default();
        let to = to(&dir, size, keep);
        let (done, result) = log.append(&to, text.as_bytes(), false);
        result.unwrap();
        assert_eq!(done, text.len());
        let mut found = contents(&dir);
        if text.starts_with("a\n") {
            // The last line stands behind the rest of the cut one if it fits.
            found.retain(|(name, _)| name != "f");
            assert_eq!(found.last().unwrap().1, "a\n");
            assert!(found.iter().any(|(_, text)| text == "bcde"), "{found:?}");
            continue;
        }
        assert_eq!(found, files(&wanted), "{size} {keep} {text:?}");
    }
}

#[test]
fn in_pieces_of_any_length_nothing_is_lost_or_doubled() {
    let dir = tempfile::tempdir().unwrap();
    let to = to(&dir, 1000, 400);
    let text: String = (0..5000).map(|number| format!("line {number}\n")).collect();
    let mut log = Log::default();
    let mut rest = text.as_str();
    let mut lines = 1;
    while !rest.is_empty() {
        let end = rest.match_indices('\n').nth(lines - 1).map_or(rest.len(), |(at, _)| at + 1);
        log.append(&to, &rest.as_bytes()[..end], false).1.unwrap();
        rest = &rest[end..];
        lines = lines % 200 + 7;
    }
    let mut found = contents(&dir);
    found.sort_by_key(|(name, _)| {
        std::cmp::Reverse(name.strip_prefix("f.").map_or(0, |n| n.parse::<u32>().unwrap()))
    });
    assert!(found.iter().all(|(_, text)| text.len() <= 1000 && text.ends_with('\n')));
    assert!(found.len() > 40, "{}", found.len());
    assert_eq!(found.into_iter().map(|(_, text)| text).collect::<String>(), text);
}

#[test]
fn a_shorter_count_removes_the_surplus_and_a_gap_is_filled() {
    let dir = tempfile::tempdir().unwrap();
    for number in 1..=5 {
        fs::write(dir.path().join(format!("f.{number}")), format!("old {number}\n")).unwrap();
    }
    fs::write(dir.path().join("f"), "old\n").unwrap();
    Log::default().append(&to(&dir, 4, 2), b"new\n", false).1.unwrap();
    assert_eq!(contents(&dir), files(&[("f", "new\n"), ("f.1", "old\n"), ("f.2", "old 1\n")]));
    fs::remove_file(dir.path().join("f.1")).unwrap();
    Log::default().append(&to(&dir, 4, 9), b"two\n", false).1.unwrap();
    assert_eq!(contents(&dir), files(&[("f", "two\n"), ("f.1", "new\n"), ("f.2", "old 1\n")]));
}

#[test]
fn a_line_that_a_dead_writer_left_without_an_end_gets_one() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f"), "torn").unwrap();
    Log::default().append(&to(&dir, 100, 1), b"whole\n", false).1.unwrap();
    assert_eq!(contents(&dir), files(&[("f", "torn\nwhole\n")]));
    assert_eq!(fs::metadata(dir.path().join("f")).unwrap().size(), 11);
}

#[test]
fn what_is_made_is_readable_for_the_group_alone() {
    let dir = tempfile::tempdir().unwrap();
    Log::default().append(&to(&dir, 100, 1), b"x\n", false).1.unwrap();
    let mode = fs::metadata(dir.path().join("f")).unwrap().mode() & 0o7777;
    assert_eq!(mode & !0o640, 0, "{mode:o}");
}

#[test]
fn nothing_is_written_through_what_lies_in_the_files_place() {
    let plants: [(&str, fn(PathBuf)); 4] = [
        ("it is a link", |path| symlink("precious", path).unwrap()),
        ("it has another name too", |path| hard_link(path.with_file_name("precious"), path).unwrap()),
        ("it is no regular file", |path| {
            let mode = Mode::from_raw_mode(0o600);
            rustix::fs::mknodat(rustix::fs::CWD, path, FileType::Fifo, mode, 0).unwrap();
        }),
        ("directory", |path| fs::create_dir(path).unwrap()),
    ];
    for (wanted, plant) in plants {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("precious"), "precious").unwrap();
        plant(dir.path().join("f"));
        let mut log = Log::default();
        let (done, result) = log.append(&to(&dir, 100, 1), b"x\n", false);
        let error = result.unwrap_err().to_string();
        assert!(done == 0 && error.contains(wanted), "{done} {error}");
        assert_eq!(fs::read_to_string(dir.path().join("precious")).unwrap(), "precious");
    }
}

#[test]
fn a_link_in_the_place_of_a_full_file_is_replaced_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("precious"), "precious").unwrap();
    symlink("precious", dir.path().join("f.1")).unwrap();
    let mut log = Log::default();
    log.append(&to(&dir, 4, 1), b"one\ntwo\n", false).1.unwrap();
    let list = [("f", "two\n"), ("f.1", "one\n"), ("precious", "precious")];
    assert_eq!(contents(&dir), files(&list));
}
