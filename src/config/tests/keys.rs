//! Each key of the table: a wrong type, a wrong value, a misspelt name; the example and the reference name it.

use super::super::form::Form;
use super::super::keys::{KEYS, Key, Preset, Section, Sort};
use super::*;

/// The file that ships as an example.
const EXAMPLE: &str = include_str!("../../../supervisor.toml");

/// A program of a kind that has the key, and all else that the key needs.
pub(super) fn base(key: &Key) -> String {
    let kind = key.sorts[0].word();
    let mut text = match (key.section, key.name) {
        (Section::Supervisor | Section::Serve, _) => return format!("[{}]\n", key.section.title()),
        (Section::Program, "kind") => return "[program.engine]\n".to_owned(),
        _ => format!("[program.engine]\nkind = \"{kind}\"\n"),
    };
    if kind != "postgres" && key.name != "command" {
        text += "command = [\"x\"]\n";
    }
    if let Some(below) = key.section.below() {
        text += &format!("[program.engine.{below}]\n");
    }
    text += match (key.section, key.name) {
        (Section::Ready | Section::Live, "timeout" | "period" | "failures") => "tcp = \"[::1]:1\"\n",
        (Section::Output, "size" | "keep") => "file = \"x\"\n",
        (Section::Program, "bound") => "requires = [\"other\"]\n",
        _ => "",
    };
    text
}

/// What other programs a file with the key needs.
pub(super) const OTHER: &str = "[program.other]\nkind = \"oneshot\"\ncommand = [\"x\"]\n";

/// A file that gives one key, and the line and the dotted key that a mistake in it has.
fn file(key: &Key, name: &str, value: &str) -> (String, usize, String) {
    let base = base(key);
    let line = base.lines().count() + 1;
    let title = key.section.title().replace("NAME", "engine");
    (format!("{base}{name} = {value}\n{OTHER}"), line, format!("{title}.{name}"))
}

/// The same file without the key.
fn without(key: &Key) -> String {
    format!("{}{OTHER}", base(key))
}

/// Values of a wrong type.
fn wrong_types(form: Form) -> &'static [&'static str] {
    match form {
        Form::Paths => &["5", "{}", "true"],
        Form::Groups | Form::InitdbArgs | Form::Command | Form::Programs => {
            &["5", "{}", "\"text\"", "[5]", "[[]]"]
        }
        Form::Integer(..) => &["\"5\"", "1.0", "true", "[]", "{}", "2000-01-01", "99999999999999999999"],
        Form::Flag => &["\"true\"", "1", "[]"],
        Form::Span(..) => &["45", "0", "-1", "1.5", "true", "[]", "10:00:00"],
        Form::Limits | Form::Variables | Form::Parameters => &["\"text\"", "5", "[]", "true"],
        Form::Notify => &["1.5", "true", "[]", "{}"],
        Form::WordOrTable(_) => &["5", "1.5", "true", "[]"],
        Form::Word(_)
        | Form::Path(_)
        | Form::Folder
        | Form::File
        | Form::User
        | Form::Umask
        | Form::Size(..)
        | Form::Address
        | Form::Signal => &["5", "1.5", "true", "[]", "{}"],
    }
}

/// Values of the right type that are not allowed, and the entry that is at fault.
fn wrong_values(form: Form) -> &'static [(&'static str, &'static str)] {
    match form {
        Form::Word(_) | Form::WordOrTable(_) => &[("\"sometimes\"", ""), ("\"\"", ""), ("\"a\\nb\"", "")],
        Form::Path(_) => &[
            ("\"\"", ""),
            ("\"/\"", ""),
            ("\"//\"", ""),
            ("\"relative\"", ""),
            ("\"/a/../b\"", ""),
            ("\"/a\\u0000b\"", ""),
            ("\"/a\\nb\"", ""),
        ],
        Form::Paths => &[("[]", ""), ("\"\"", ""), ("[\"/a\", \"b\"]", ""), ("[\"/a\", 5]", "")],
        Form::Folder => &[("\"\"", ""), ("\"relative\"", ""), ("\"/a/../b\"", ""), ("\"/a\\nb\"", "")],
        Form::File => &[
            ("\"\"", ""),
            ("\"/\"", ""),
            ("\".\"", ""),
            ("\"a/\"", ""),
            ("\"../a\"", ""),
            ("\"/a/../b\"", ""),
            ("\"a\\nb\"", ""),
        ],
        Form::Size(..) => &[
            ("\"\"", ""),
            ("\"10\"", ""),
            ("\"10MB\"", ""),
            ("\"1.5MiB\"", ""),
            ("\"4095B\"", ""),
            ("\"1025GiB\"", ""),
        ],
        Form::Address => &[
            ("\"\"", ""),
            ("\"5432\"", ""),
            ("\"db:5432\"", ""),
            ("\"127.0.0.1\"", ""),
            ("\"127.0.0.1:0\"", ""),
            ("\"::1:5432\"", ""),
        ],
        Form::Signal => &[("\"\"", ""), ("\"SIGSTOP\"", ""), ("\"SIGTREM\"", ""), ("\"15\"", "")],
        Form::Notify => &[("\"\"", ""), ("\"3\"", ""), ("2", ""), ("1024", ""), ("-1", "")],
        Form::Command => &[("[]", ""), ("[\"\"]", ""), ("[\"a\", \"b\\u0000\"]", "")],
        Form::Programs => &[("[\"\"]", ""), ("[\"Other\"]", ""), ("[\"nobody\"]", ""), ("[\"engine\"]", "")],
        Form::User => &[("\"root\"", ""), ("\"0\"", ""), ("\"00\"", ""), ("\"\"", ""), ("\"a b\"", "")],
        Form::Groups => &[("[\"\"]", ""), ("[\"a:b\"]", "")],
        Form::Umask => &[("\"\"", ""), ("\"77\"", ""), ("\"0o77\"", ""), ("\"0100\"", ""), ("\"0088\"", "")],
        Form::Integer(..) => &[("-1001", ""), ("1000001", "")],
        Form::Flag => &[],
        Form::Span(..) => {
            &[("\"45\"", ""), ("\"\"", ""), ("\"soon\"", ""), ("\"36501d\"", ""), ("\"-1s\"", "")]
        }
        Form::InitdbArgs => &[
            ("[\"\"]", ""),
            ("[\"-D/x\"]", ""),
            ("[\"--pgdata=/x\"]", ""),
            ("[\"--pgd\", \"x\"]", ""),
            ("[\"-U\", \"x\"]", ""),
            ("[\"--pwprompt\"]", ""),
        ],
        Form::Limits => &[
            ("{ nofile = -1 }", ".nofile"),
            ("{ nofile = \"many\" }", ".nofile"),
            ("{ nofil = 1 }", ".nofil"),
        ],
        Form::Variables => &[
            ("{ A = 5 }", ".A"),
            ("{ \"A-B\" = \"x\" }", ".A-B"),
            ("{ \"\" = \"x\" }", ".\"\""),
            ("{ A = \"x\\u0000\" }", ".A"),
        ],
        Form::Parameters => &[
            ("{ a = [] }", ".a"),
            ("{ a = {} }", ".a"),
            ("{ a = nan }", ".a"),
            ("{ a = -inf }", ".a"),
            ("{ a = 2000-01-01 }", ".a"),
            ("{ a = \"x\\ny\" }", ".a"),
            ("{ \"a b\" = \"x\" }", ".\"a b\""),
            ("{ \"a.\" = \"x\" }", ".\"a.\""),
            ("{ \"a'\\n\" = \"x\" }", ".\"a'\\n\""),
            ("{ A = 1, a = 2 }", ".a"),
            ("{ Port = 1 }", ".Port"),
            ("{ data_directory = \"/x\" }", ".data_directory"),
            ("{ include_dir = \"/x\" }", ".include_dir"),
            ("{ unix_socket_directories = \"/x\" }", ".unix_socket_directories"),
        ],
    }
}

fn only_mistake(text: &str, line: usize, key: &str) -> Mistake {
    let all = mistakes(text);
    assert_eq!(all.len(), 1, "{text}\n{all:#?}");
    let mistake = all[0].clone();
    assert_eq!((mistake.file.as_str(), mistake.line), ("s.toml", Some(line)), "{text}\n{mistake}");
    assert_eq!(mistake.key, key, "{text}\n{mistake}");
    assert!(!mistake.to_string().contains('\n'), "{mistake}");
    mistake
}

#[test]
fn a_wrong_type_of_each_key() {
    for key in KEYS {
        for value in wrong_types(key.form) {
            let (text, line, dotted) = file(key, key.name, value);
            let said = only_mistake(&text, line, &dotted).to_string();
            let unit = said.contains("give a unit: \"");
            assert!(unit || said.contains(&key.form.allowed()), "{said}");
        }
    }
}

#[test]
fn a_wrong_value_of_each_key() {
    for key in KEYS {
        for (value, entry) in wrong_values(key.form) {
            let (text, line, dotted) = file(key, key.name, value);
            only_mistake(&text, line, &format!("{dotted}{entry}"));
        }
        if let Form::Integer(least, most) = key.form {
            for value in [least - 1, most + 1] {
                let (text, line, dotted) = file(key, key.name, &value.to_string());
                only_mistake(&text, line, &dotted);
            }
        }
        if let Form::Span(least @ 1.., zero) = key.form {
            let (text, line, dotted) = file(key, key.name, &format!("\"{}ms\"", least - 1));
            only_mistake(&text, line, &dotted);
            let (text, ..) = file(key, key.name, "\"0s\"");
            assert_eq!(read("s.toml", Some(&text), &[]).is_ok(), zero, "{text}");
        }
    }
}

#[test]
fn a_misspelt_name_of_each_key() {
    for key in KEYS {
        let mut dropped = key.name.to_owned();
        dropped.remove(1);
        let doubled = format!("{0}{1}", key.name, &key.name[key.name.len() - 1..]);
        for name in [dropped, doubled, key.name.to_uppercase()] {
            let (text, line, dotted) = file(key, &name, "5");
            let mistake = only_mistake(&text, line, &dotted);
            assert_eq!(mistake.near.as_deref(), Some(key.name), "{mistake}");
            let said = mistake.to_string();
            let wanted = format!("unknown key; did you mean `{}`? allowed keys here: ", key.name);
            assert!(said.contains(&wanted), "{said}");
        }
    }
}

#[test]
fn each_default_is_what_leaving_the_key_out_means() {
    for key in KEYS {
        let Preset::Is(default) = key.default(key.sorts[0]) else { continue };
        let default = default.replace("<data_dir>", "/data").replace("<log_dir>", "/log");
        let (text, ..) = file(key, key.name, &default);
        // A `live` that is false alone is none.
        let base =
            if (key.section, key.name) == (Section::Live, "engine") { text.clone() } else { without(key) };
        assert_eq!(good(&text), good(&base), "{text}");
    }
}

/// A program of that kind with only what it must have.
pub(super) fn least(sort: Sort) -> String {
    let command = if sort == Sort::Postgres { "" } else { "command = ['x']\n" };
    format!("[program.engine]\nkind = '{}'\n{command}", sort.word())
}

#[test]
fn a_key_of_another_kind_is_told_its_kinds() {
    for sort in Sort::ALL {
        for key in KEYS.iter().filter(|key| !key.sorts.contains(&sort)) {
            let value = match (key.name, key.form) {
                (_, Form::Word(words)) => format!("'{}'", words[0]),
                (_, Form::Path(_) | Form::Folder | Form::File | Form::Paths) => "'/x'".to_owned(),
                (_, Form::Flag) => "true".to_owned(),
                (_, Form::Integer(..)) => "5".to_owned(),
                (_, Form::Span(..)) => "'5s'".to_owned(),
                (_, Form::Size(..)) => "'5MiB'".to_owned(),
                (_, Form::Address) => "'[::1]:5'".to_owned(),
                (_, Form::Signal) => "'INT'".to_owned(),
                (_, Form::Notify) => "'sd'".to_owned(),
                (_, Form::Parameters) => "{ jit = 'on' }".to_owned(),
                _ => "['--x']".to_owned(),
            };
            let below = key.section.below().map(|below| format!("{below}.")).unwrap_or_default();
            let text = format!("{}{below}{} = {value}\n", least(sort), key.name);
            let said = mistake(&text);
            let word = sort.word();
            let wanted = match key.section {
                Section::Program => format!(
                    "`{}` is no key of kind \"{word}\"; kinds that have it: {}",
                    key.name,
                    super::super::keys::listed(key.sorts)
                ),
                Section::Live if sort == Sort::Command => {
                    "kinds that have it: \"postgres\"; leave it out".to_owned()
                }
                Section::Output => {
                    "`output` of kind \"postgres\" is no file: an engine's log collector".to_owned()
                }
                Section::Ready => {
                    format!("`ready` is no table of kind \"{word}\"; kinds that have it: \"command\"; leave")
                }
                _ => format!(
                    "`live` is no table of kind \"{word}\"; kinds that have it: \"postgres\", \"command\"; "
                ),
            };
            assert!(said.contains(&wanted), "{text}\n{said}\n{wanted}");
            assert!(said.starts_with(&format!("s.toml:{}: program.engine.", text.lines().count())), "{said}");
        }
    }
}

#[test]
fn the_example_means_the_defaults() {
    assert_eq!(good(EXAMPLE), good(""));
}

/// The example with its commented-out keys and programs taken in.
fn whole_example() -> String {
    let key = |line: &str| {
        line.starts_with('#') && line[1..].starts_with(|c: char| c.is_ascii_lowercase() || c == '[')
    };
    EXAMPLE.lines().map(|line| format!("{}\n", if key(line) { &line[1..] } else { line })).collect()
}

#[test]
fn the_examples_comments_are_good_too() {
    let config = good(&whole_example());
    let names: Vec<&str> = config.programs.iter().map(|program| program.name.as_str()).collect();
    assert_eq!(names, ["engine", "exporter", "extensions", "pfsd", "pgbouncer", "serve"]);
    assert_eq!(config.programs[0].kind.engine().expect("an engine").parameters.len(), 3);
    assert_eq!(config.programs[0].process.umask, Some(0o077));
    assert_eq!(good(&to_toml(&config)), config);
}

#[test]
fn the_example_and_the_reference_have_every_key() {
    let tree: toml::Table = whole_example().parse().expect("TOML");
    let programs = tree["program"].as_table().expect("a table");
    let reference = reference();
    for key in KEYS {
        let given = match (key.section, key.section.below()) {
            (_, Some(below)) => programs
                .values()
                .any(|program| program.get(below).is_some_and(|below| below.get(key.name).is_some())),
            (Section::Program, _) => programs.values().any(|program| program.get(key.name).is_some()),
            (section, _) => tree[section.title()].get(key.name).is_some(),
        };
        assert!(given, "{}", key.name);
        let (_, section) = reference
            .split_once(&format!("### `[{}]`\n", key.section.title()))
            .unwrap_or_else(|| panic!("{:?}", key.section));
        let section = section.split("\n### ").next().expect("a section");
        assert!(section.contains(&format!("\n| `{}` | ", key.name)), "{}", key.name);
        assert!(key.doc.ends_with('.'), "{}", key.doc);
    }
    let rows = reference.lines().filter(|line| line.starts_with("| `"));
    assert_eq!(rows.clone().count(), KEYS.len());
    let mut columns = 0;
    for row in reference.lines() {
        let bars = row.replace("\\|", "").matches('|').count();
        if row.starts_with("| key |") {
            columns = bars;
        }
        assert!(!row.starts_with("| `") || bars == columns, "{row}");
    }
}

#[test]
fn every_word_has_its_meaning() {
    for key in KEYS {
        if let Form::Word(words) | Form::WordOrTable(words) = key.form {
            for word in words {
                let (mut text, ..) = file(key, key.name, &format!("\"{word}\""));
                if key.name == "kind" && *word != "postgres" {
                    text = text.replacen("\n[", "\ncommand = ['x']\n[", 1);
                }
                let line = format!("\n{} = \"{word}\"\n", key.name);
                assert!(to_toml(&good(&text)).contains(&line), "{line}");
            }
        }
    }
}
