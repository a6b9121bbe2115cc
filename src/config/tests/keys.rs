//! Each key of the table: a wrong type, a wrong value, a misspelt name; the example and the reference name it.

use super::super::keys::{Form, KEYS, Key, Section};
use super::*;

/// The file that ships as an example.
const EXAMPLE: &str = include_str!("../../../supervisor.toml");

/// A file that gives one key, and the line and the dotted key that a mistake in it has.
fn file(key: &Key, name: &str, value: &str) -> (String, usize, String) {
    let given = format!("{name} = {value}\n");
    match (key.section, key.name) {
        (Section::Supervisor, _) => (format!("[supervisor]\n{given}"), 2, format!("supervisor.{name}")),
        (Section::Program, "kind") => {
            (format!("[program.engine]\n{given}"), 2, format!("program.engine.{name}"))
        }
        (Section::Program, _) => {
            (format!("[program.engine]\nkind = \"postgres\"\n{given}"), 3, format!("program.engine.{name}"))
        }
        (Section::Restart, _) => (
            format!("[program.engine]\nkind = \"postgres\"\n[program.engine.restart]\n{given}"),
            4,
            format!("program.engine.restart.{name}"),
        ),
    }
}

/// Values of a wrong type.
fn wrong_types(form: Form) -> &'static [&'static str] {
    match form {
        Form::Paths => &["5", "{}", "true"],
        Form::Groups | Form::InitdbArgs => &["5", "{}", "\"text\"", "[5]", "[[]]"],
        Form::Integer(..) => &["\"5\"", "1.0", "true", "[]", "{}", "2000-01-01", "99999999999999999999"],
        Form::Flag => &["\"true\"", "1", "[]"],
        Form::Span(..) => &["45", "0", "-1", "1.5", "true", "[]", "10:00:00"],
        Form::Limits | Form::Variables | Form::Parameters => &["\"text\"", "5", "[]", "true"],
        Form::Word(_) | Form::Path(_) | Form::User | Form::Umask => &["5", "1.5", "true", "[]", "{}"],
    }
}

/// Values of the right type that are not allowed, and the entry that is at fault.
fn wrong_values(form: Form) -> &'static [(&'static str, &'static str)] {
    match form {
        Form::Word(_) => &[("\"sometimes\"", ""), ("\"\"", ""), ("\"a\\nb\"", "")],
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
    let base = good("");
    for key in KEYS {
        let super::super::keys::Preset::Is(default) = key.default else { continue };
        let default = default.replace("<data_dir>", "/data").replace("<log_dir>", "/log");
        let (text, ..) = file(key, key.name, &default);
        assert_eq!(good(&text), base, "{text}");
    }
}

#[test]
fn the_example_means_the_defaults() {
    assert_eq!(good(EXAMPLE), good(""));
}

/// The example with its commented-out keys taken in.
fn whole_example() -> String {
    let key = |line: &str| line.starts_with('#') && line[1..].starts_with(|c: char| c.is_ascii_lowercase());
    EXAMPLE.lines().map(|line| format!("{}\n", if key(line) { &line[1..] } else { line })).collect()
}

#[test]
fn the_examples_comments_are_good_too() {
    let config = good(&whole_example());
    assert_eq!(engine(&config).parameters.len(), 3);
    assert_eq!(config.programs[0].process.umask, Some(0o077));
}

#[test]
fn the_example_and_the_reference_have_every_key() {
    let tree: toml::Table = whole_example().parse().expect("TOML");
    let reference = reference();
    for key in KEYS {
        let table = match key.section {
            Section::Supervisor => &tree["supervisor"],
            Section::Program => &tree["program"]["engine"],
            Section::Restart => &tree["program"]["engine"]["restart"],
        };
        assert!(table.get(key.name).is_some(), "{}", key.name);
        assert!(reference.contains(&format!("\n| `{}` | ", key.name)), "{}", key.name);
        assert!(key.doc.ends_with('.'), "{}", key.doc);
    }
    let rows = reference.lines().filter(|line| line.starts_with("| `"));
    assert_eq!(rows.clone().count(), KEYS.len());
    for row in rows {
        assert_eq!(row.replace("\\|", "").matches('|').count(), 5, "{row}");
    }
}

#[test]
fn every_word_has_its_meaning() {
    for key in KEYS {
        if let Form::Word(words) = key.form {
            for word in words {
                let (text, ..) = file(key, key.name, &format!("\"{word}\""));
                let line = format!("\n{} = \"{word}\"\n", key.name);
                assert!(to_toml(&good(&text)).contains(&line), "{line}");
            }
        }
    }
}
