//! The first step: what was typed, each value checked by itself, with the place that it was given at.

use std::collections::BTreeMap;

use super::check::{self, Value};
use super::keys::{self, Key, Section};
use super::mistake::{Mistake, Origin, did_you_mean, hinted, nearest, quoted};
use super::raw::{Entry, Node, Raw};

/// The program that there is when the file names none.
pub(super) const BUILT_IN: &str = "engine";

/// The longest NAME of `[program.NAME]`.
const NAME_MAX: usize = 32;

/// Names that a program may not have, for `POLAR_<NAME>_<KEY>` would be something else: a section of the file.
const RESERVED: [&str; 2] = ["supervisor", "serve"];

/// All that was typed.
#[derive(Debug)]
pub(super) struct Typed {
    pub(super) supervisor: Scope,
    pub(super) programs: BTreeMap<String, Scope>,
}

/// One section with what lies below it.
#[derive(Debug)]
pub(super) struct Scope {
    file: String,
    /// `supervisor` or `program.NAME`.
    pub(super) prefix: String,
    line: Option<usize>,
    given: BTreeMap<(Section, &'static str), Given>,
}

/// A value that was given.
#[derive(Debug)]
pub(super) struct Given {
    /// `None`: a mistake, which is reported.
    pub(super) value: Option<Value>,
    pub(super) origin: Origin,
}

impl Scope {
    fn of(file: &str, prefix: String, line: Option<usize>) -> Scope {
        Scope { file: file.to_owned(), prefix, line, given: BTreeMap::new() }
    }

    /// What was given for the key.
    pub(super) fn given(&self, key: &Key) -> Option<&Given> {
        self.given.get(&(key.section, key.name))
    }

    /// Whether all of these were well given, or not at all.
    pub(super) fn sound(&self, section: Section, names: &[&'static str]) -> bool {
        names.iter().all(|name| self.given.get(&(section, *name)).is_none_or(|given| given.value.is_some()))
    }

    /// Where a key was given; for a default, where its section begins.
    pub(super) fn origin(&self, section: Section, name: &'static str) -> Origin {
        match self.given.get(&(section, name)) {
            Some(given) => given.origin.clone(),
            None => Origin { file: self.file.clone(), line: self.line, key: self.dotted(section, name) },
        }
    }

    /// Whether a key was given.
    pub(super) fn has(&self, section: Section, name: &'static str) -> bool {
        self.given.contains_key(&(section, name))
    }

    fn dotted(&self, section: Section, name: &str) -> String {
        let below = if section == Section::Restart { "restart." } else { "" };
        format!("{}.{below}{}", self.prefix, part(name))
    }

    /// Takes a value, or its mistakes. A later one overrides.
    pub(super) fn put(&mut self, key: &'static Key, value: Option<Value>, origin: Origin) {
        self.given.insert((key.section, key.name), Given { value, origin });
    }

    fn take(&mut self, key: &'static Key, node: &Node, mistakes: &mut Vec<Mistake>) {
        let origin =
            Origin { file: self.file.clone(), line: node.line, key: self.dotted(key.section, key.name) };
        let value = match check::check(key, node) {
            Ok(value) => Some(value),
            Err(faults) => {
                for fault in faults {
                    let below = fault.below.map(|below| format!(".{}", part(&below))).unwrap_or_default();
                    mistakes.push(Mistake {
                        line: fault.line,
                        key: format!("{}{below}", origin.key),
                        near: fault.near,
                        ..origin.mistake(fault.what)
                    });
                }
                None
            }
        };
        self.put(key, value, origin);
    }

    /// Reads the entries of one section.
    fn read(&mut self, section: Section, entries: &[Entry], mistakes: &mut Vec<Mistake>) {
        for entry in entries {
            if let Some(key) = keys::find(section, &entry.name) {
                self.take(key, &entry.node, mistakes);
            } else if section == Section::Program && entry.name == "restart" {
                match &entry.node.value {
                    Raw::Table(inner) => self.read(Section::Restart, inner, mistakes),
                    other => mistakes.push(self.place(section, entry).mistake(no_table(
                        &entry.name,
                        &format!("[{}.restart]", self.prefix),
                        other,
                    ))),
                }
            } else {
                mistakes.push(self.unknown(section, entry));
            }
        }
    }

    fn place(&self, section: Section, entry: &Entry) -> Origin {
        Origin { file: self.file.clone(), line: entry.node.line, key: self.dotted(section, &entry.name) }
    }

    fn unknown(&self, section: Section, entry: &Entry) -> Mistake {
        let below = (section == Section::Program).then_some("restart");
        let names: Vec<&str> = keys::of(section).map(|key| key.name).chain(below).collect();
        let near = nearest(&entry.name, names.iter().copied());
        let elsewhere: Vec<String> = keys::KEYS
            .iter()
            .filter(|key| key.section != section && key.name == entry.name)
            .map(|key| format!("[{}]", key.section.title()))
            .collect();
        let hint = if elsewhere.is_empty() {
            did_you_mean(near)
        } else {
            format!("; it belongs into {}", elsewhere.join(" or "))
        };
        let what = hinted("unknown key", &hint, &format!("allowed keys here: {}", names.join(", ")));
        Mistake { near: near.map(str::to_owned), ..self.place(section, entry).mistake(what) }
    }
}

fn no_table(name: &str, wanted: &str, found: &Raw) -> String {
    format!("`{}` is {}; allowed: a table, written as {wanted}", part(name), found.shown())
}

/// A part of a dotted key as TOML writes it.
fn part(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let dotted = name.split('.').all(|part| !part.is_empty() && part.chars().all(bare));
    if dotted { name.to_owned() } else { quoted(name) }
}

impl Typed {
    /// What an empty file says.
    pub(super) fn built_in(file: &str) -> Typed {
        let mut typed =
            Typed { supervisor: Scope::of(file, "supervisor".to_owned(), None), programs: BTreeMap::new() };
        typed.add_built_in(file);
        typed
    }

    fn add_built_in(&mut self, file: &str) {
        let mut engine = Scope::of(file, format!("program.{BUILT_IN}"), None);
        if let Some(kind) = keys::find(Section::Program, "kind") {
            let origin = engine.origin(kind.section, kind.name);
            engine.put(kind, Some(Value::Text("postgres".to_owned())), origin);
        }
        self.programs.insert(BUILT_IN.to_owned(), engine);
    }

    /// Reads a file's tables.
    pub(super) fn of(file: &str, root: &[Entry], mistakes: &mut Vec<Mistake>) -> Typed {
        let mut typed =
            Typed { supervisor: Scope::of(file, "supervisor".to_owned(), None), programs: BTreeMap::new() };
        let mut programs_given = false;
        for entry in root {
            let origin = Origin { file: file.to_owned(), line: entry.node.line, key: part(&entry.name) };
            match (entry.name.as_str(), &entry.node.value) {
                ("supervisor", Raw::Table(entries)) => {
                    typed.supervisor.line = entry.node.line;
                    typed.supervisor.read(Section::Supervisor, entries, mistakes);
                }
                ("supervisor", other) => {
                    mistakes.push(origin.mistake(no_table("supervisor", "[supervisor]", other)));
                }
                ("program", Raw::Table(programs)) => {
                    programs_given = true;
                    if programs.is_empty() {
                        mistakes.push(origin.mistake(format!(
                            "no program is named; write `[program.{BUILT_IN}]`, or leave `[program]` out for the built-in one"
                        )));
                    }
                    for program in programs {
                        typed.program(file, program, mistakes);
                    }
                }
                ("program", other) => {
                    programs_given = true;
                    mistakes.push(origin.mistake(no_table("program", "[program.NAME]", other)));
                }
                (name, _) => mistakes.push(unknown_section(origin, name)),
            }
        }
        if !programs_given {
            typed.add_built_in(file);
        }
        typed
    }

    fn program(&mut self, file: &str, entry: &Entry, mistakes: &mut Vec<Mistake>) {
        let name = &entry.name;
        let prefix = format!("program.{}", part(name));
        let origin = Origin { file: file.to_owned(), line: entry.node.line, key: prefix.clone() };
        let Raw::Table(entries) = &entry.node.value else {
            // A key of a program that stands right in [program] is a frequent slip.
            let hint = match keys::find(Section::Program, name) {
                Some(_) => {
                    format!("; the key `{name}` belongs into [program.NAME], such as [program.{BUILT_IN}]")
                }
                None => String::new(),
            };
            let what = no_table(name, &format!("[{prefix}]"), &entry.node.value);
            mistakes.push(origin.mistake(format!("{what}{hint}")));
            return;
        };
        let plain = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-'));
        if !plain || name.len() > NAME_MAX {
            mistakes.push(origin.mistake(format!(
                "{} is no name of a program; allowed: lower-case letters, digits, \"_\" and \"-\", a letter at first, at most {NAME_MAX}",
                quoted(name)
            )));
        } else if RESERVED.contains(&name.as_str()) {
            mistakes.push(origin.mistake(format!(
                "\"{name}\" is taken by a section of the file; give the program another name"
            )));
        }
        let mut scope = Scope::of(file, prefix, entry.node.line);
        scope.read(Section::Program, entries, mistakes);
        self.programs.insert(name.clone(), scope);
    }

    /// What can be said only once the file and the environment are read: that a required key is missing.
    pub(super) fn complete(&self, mistakes: &mut Vec<Mistake>) {
        for scope in self.programs.values() {
            for key in keys::of(Section::Program).filter(|key| key.default == keys::Preset::Required) {
                // Who misspelt it has been told so.
                let misspelt = mistakes.iter().any(|mistake| {
                    mistake.near.as_deref() == Some(key.name)
                        && mistake.key.starts_with(&format!("{}.", scope.prefix))
                });
                if scope.given(key).is_none() && !misspelt {
                    let what = format!("`{}` is missing; allowed: {}", key.name, key.form.allowed());
                    mistakes.push(scope.origin(key.section, key.name).mistake(what));
                }
            }
        }
    }
}

fn unknown_section(origin: Origin, name: &str) -> Mistake {
    let near = nearest(name, ["supervisor", "program"]);
    let homes: Vec<String> = keys::KEYS
        .iter()
        .filter(|key| key.name == name)
        .map(|key| format!("[{}]", key.section.title()))
        .collect();
    let hint = if homes.is_empty() {
        did_you_mean(near)
    } else {
        format!("; the key belongs into {}", homes.join(" or "))
    };
    let what = hinted("unknown section", &hint, "allowed here: [supervisor], [program.NAME]");
    Mistake { near: near.map(str::to_owned), ..origin.mistake(what) }
}
