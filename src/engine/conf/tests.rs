use std::fs;
use std::os::unix::fs::symlink;

use proptest::prelude::*;

use super::*;

/// A data directory of these files, read with these options.
fn read_files(files: &[(&str, &str)], options: &[&str]) -> (Settings, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
    read(dir.path(), &options)
}

fn quiet(files: &[(&str, &str)], options: &[&str]) -> Settings {
    let (settings, warnings) = read_files(files, options);
    assert_eq!(warnings, Vec::<String>::new());
    settings
}

#[test]
fn the_last_line_wins_in_any_case() {
    let settings = quiet(&[("postgresql.conf", "port = 1\nPORT = 2\n# port = 3\n")], &[]);
    assert_eq!(
        (settings.get("port"), settings.get("Port"), settings.get("work_mem")),
        (Some("2"), Some("2"), None)
    );
}

#[test]
fn the_sources_from_the_weakest_to_the_strongest() {
    let files = [
        ("polar_settings.conf", "a = 1\nb = 1\nc = 1\nd = 1"),
        ("postgresql.conf", "b = 2\nc = 2\nd = 2"),
        ("postgresql.auto.conf", "c = '3'\nd = '3'"),
    ];
    let settings = quiet(&files, &["-c", "d=4"]);
    assert_eq!(
        ["a", "b", "c", "d"].map(|name| settings.get(name)),
        [Some("1"), Some("2"), Some("3"), Some("4")]
    );
}

#[test]
fn includes_stand_where_they_are_written() {
    let files = [
        ("postgresql.conf", "a = 1\nb = 1\ninclude 'sub/one.conf'\nb = 3\ninclude_if_exists 'absent.conf'\n"),
        ("sub/one.conf", "a = 2\nb = 2\ninclude two.conf"),
        ("sub/two.conf", "c = 2"),
    ];
    let settings = quiet(&files, &[]);
    assert_eq!(["a", "b", "c"].map(|name| settings.get(name)), [Some("2"), Some("3"), Some("2")]);
}

#[test]
fn a_folder_is_read_in_order() {
    let files = [
        ("postgresql.conf", "include_dir 'conf.d'"),
        ("conf.d/20.conf", "a = 20"),
        ("conf.d/10.conf", "a = 10\nb = 10"),
        ("conf.d/.30.conf", "a = 30"),
        ("conf.d/40.conf.bak", "a = 40"),
        ("conf.d/50.conf/x", ""),
    ];
    let settings = quiet(&files, &[]);
    assert_eq!(["a", "b"].map(|name| settings.get(name)), [Some("20"), Some("10")]);
}

#[test]
fn what_cannot_be_read_is_told() {
    let (_, warnings) = read_files(&[], &[]);
    assert!(warnings.len() == 1 && warnings[0].contains("postgresql.conf"), "{warnings:?}");
    let (settings, warnings) =
        read_files(&[("postgresql.conf", "a = 1\nb\ninclude absent\ninclude_dir nowhere\nc = 1")], &[]);
    assert_eq!((settings.get("a"), settings.get("c")), (Some("1"), Some("1")));
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert!(warnings[0].contains("postgresql.conf:2: b: it has no value"), "{warnings:?}");
}

#[test]
fn includes_in_a_circle_end() {
    let (settings, warnings) = read_files(
        &[("postgresql.conf", "a = 1\ninclude 'postgresql.conf'\ninclude 'postgresql.conf'\na = 2")],
        &[],
    );
    assert!(settings.get("a").is_some());
    assert!(warnings.len() == 1 && warnings[0].contains("nested too deeply"), "{warnings:?}");
}

#[test]
fn ten_levels_are_read_and_not_eleven() {
    let chain = |levels: usize| {
        let mut files = vec![("postgresql.conf".to_owned(), "include '1'".to_owned())];
        files.extend((1..levels).map(|n| (n.to_string(), format!("include '{}'", n + 1))));
        files.push((levels.to_string(), "deep = on".to_owned()));
        let files: Vec<(&str, &str)> =
            files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        read_files(&files, &[]).0.get("deep").is_some()
    };
    assert_eq!((chain(10), chain(11)), (true, false));
}

#[test]
fn a_device_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    symlink("/dev/zero", dir.path().join("postgresql.conf")).unwrap();
    let (_, warnings) = read(dir.path(), &[]);
    assert!(warnings[0].contains("not a regular file"), "{warnings:?}");
}

#[test]
fn options_of_the_engine() {
    let table: [(&[&str], &str, &str); 12] = [
        (&["-c", "work_mem=8MB"], "work_mem", "8MB"),
        (&["-cwork_mem=8MB"], "work_mem", "8MB"),
        (&["--work-mem=8MB"], "work_mem", "8MB"),
        (&["-c", "search_path=a=b"], "search_path", "a=b"),
        (&["-p", "5433"], "port", "5433"),
        (&["-p5433"], "port", "5433"),
        (&["-ip", "5433"], "port", "5433"),
        (&["-ip", "5433"], "listen_addresses", "*"),
        (&["-k", "/tmp"], "unix_socket_directories", "/tmp"),
        (&["-h", "localhost", "-N", "7"], "max_connections", "7"),
        // What belongs to another option is no option.
        (&["-D", "-p1", "-F"], "fsync", "off"),
        (&["-p", "1", "-p", "2"], "port", "2"),
    ];
    for (options, name, value) in table {
        let settings = quiet(&[("postgresql.conf", "")], options);
        assert_eq!(settings.get(name), Some(value), "{options:?}");
    }
    assert_eq!(quiet(&[("postgresql.conf", "")], &["-D", "-p1"]).get("port"), None);
    for options in [&["-p"][..], &["-c", "work_mem"], &["--work_mem"]] {
        assert_eq!(read_files(&[("postgresql.conf", "")], options).1.len(), 1, "{options:?}");
    }
}

#[test]
fn another_configuration_file() {
    let files = [("postgresql.conf", "a = 1"), ("other.conf", "a = 2")];
    assert_eq!(quiet(&files, &["-c", "config_file=other.conf"]).get("a"), Some("2"));
}

#[test]
fn memory() {
    let table = [
        ("256MB", Some(256 << 20)),
        ("128", Some(128 * 8192)),
        ("1.5GB", Some(3 << 29)),
        (" 64 kB ", Some(64 << 10)),
        ("2TB", Some(2 << 40)),
        ("100B", Some(100)),
        ("0", Some(0)),
        ("-1", None),
        ("", None),
        ("MB", None),
        ("1mb", None),
        ("1 000", None),
        ("1.2.3", None),
        ("99999999999TB", None),
        ("99999999999999999999", None),
    ];
    for (value, expected) in table {
        assert_eq!(memory_bytes(value, 8192), expected, "{value:?}");
    }
}

proptest! {
    #[test]
    fn any_memory(value in "[-0-9.eEkMGTB ]{0,24}", unit: u64) {
        let _ = memory_bytes(&value, unit);
    }

    #[test]
    fn any_options(options in proptest::collection::vec("-{0,2}[a-zA-Z=]{0,4}", 0..6)) {
        let _ = super::options::settings(&options, &mut Vec::new());
    }
}
