//! The first step: what was typed, each value checked by itself, with the place that it was given at.

use std::collections::BTreeMap;

use super::check::{self, Value};
use super::keys::{self, Key, RIVALS, Section, Sort};
use super::mistake::{ENVIRONMENT, Mistake, Origin, did_you_mean, hinted, nearest, quoted};
use super::raw::{Entry, Node, Raw};

/// The program that there is when the file names none.
pub(super) const BUILT_IN: &str = "engine";

/// The word for no program at all, not even that one.
pub(super) const NONE: &str = "none";

/// The most programs that are accepted: far above any real number, and below what would keep PID 1 busy.
const MOST: usize = 1000;

/// The section of health and metrics, and the program that it adds.
pub(super) const SERVE: &str = "serve";

/// Names that a program may not have, for `POLAR_<NAME>_<KEY>` would be something else: a section of the file.
const RESERVED: [&str; 2] = ["supervisor", SERVE];

/// All that was typed.
#[derive(Debug)]
pub(super) struct Typed {
    pub(super) supervisor: Scope,
    pub(super) serve: Scope,
    pub(super) programs: BTreeMap<String, Scope>,
}

/// One section with what lies below it.
#[derive(Debug)]
pub(super) struct Scope {
    file: String,
    /// `supervisor`, `serve` or `program.NAME`.
    pub(super) prefix: String,
    line: Option<usize>,
    given: BTreeMap<(Section, &'static str), Given>,
    /// The sections below it that the file has, and their lines.
    opened: BTreeMap<Section, Option<usize>>,
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
        Scope { file: file.to_owned(), prefix, line, given: BTreeMap::new(), opened: BTreeMap::new() }
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
        let below = section.below().map(|below| format!("{below}.")).unwrap_or_default();
        format!("{}.{below}{}", self.prefix, part(name))
    }

    /// The program's kind, if it was well given.
    pub(super) fn sort(&self) -> Option<Sort> {
        match self.given.get(&(Section::Program, "kind"))?.value.as_ref()? {
            Value::Text(word) => Sort::of(word),
            _ => None,
        }
    }

    /// The keys of a section that were given.
    pub(super) fn keys(&self, section: Section) -> impl Iterator<Item = &'static Key> {
        keys::of(section).filter(|key| self.has(key.section, key.name))
    }

    /// Where a section below it was given, in the file or by one of its keys; `None`: nowhere.
    pub(super) fn opened(&self, section: Section) -> Option<Origin> {
        if let Some(line) = self.opened.get(&section) {
            let key = format!("{}.{}", self.prefix, section.below().unwrap_or_default());
            return Some(Origin { file: self.file.clone(), line: *line, key });
        }
        self.keys(section).next().map(|key| self.origin(section, key.name))
    }

    /// Drops what the file gave and this key, from the environment, takes the place of.
    pub(super) fn oust(&mut self, key: &Key) {
        let of_file = |given: &Given| given.origin.file != ENVIRONMENT;
        let rivals = RIVALS.iter().filter(|rivals| rivals.contains(&(key.section, key.name)));
        for (section, name) in rivals.flat_map(|rivals| rivals.iter()) {
            if *name != key.name && self.given.get(&(*section, *name)).is_some_and(of_file) {
                self.given.remove(&(*section, *name));
            }
        }
        // A word takes the place of the whole table.
        if (key.section, key.name) == (Section::Program, "output") {
            self.given.retain(|(section, _), given| *section != Section::Output || !of_file(given));
            self.opened.remove(&Section::Output);
        }
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
        // The kind decides which other keys there are.
        let kind = keys::find(section, "kind");
        let at = kind.and_then(|kind| entries.iter().find(|entry| entry.name == kind.name));
        if let Some((key, entry)) = kind.zip(at) {
            self.take(key, &entry.node, mistakes);
        }
        for entry in entries {
            let below = (section == Section::Program)
                .then(|| Section::BELOW.into_iter().find(|below| below.below() == Some(&entry.name)))
                .flatten();
            match (keys::find(section, &entry.name), below, &entry.node.value) {
                (_, Some(below), Raw::Table(inner)) => {
                    self.opened.insert(below, entry.node.line);
                    self.read(below, inner, mistakes);
                }
                (Some(key), ..) if key.name == "kind" => {}
                (Some(key), ..) => self.take(key, &entry.node, mistakes),
                (None, Some(_), other) => {
                    let title = format!("[{}.{}]", self.prefix, entry.name);
                    mistakes.push(self.place(section, entry).mistake(no_table(&entry.name, &title, other)));
                }
                (None, None, _) => mistakes.push(self.unknown(section, entry)),
            }
        }
    }

    fn place(&self, section: Section, entry: &Entry) -> Origin {
        Origin { file: self.file.clone(), line: entry.node.line, key: self.dotted(section, &entry.name) }
    }

    fn unknown(&self, section: Section, entry: &Entry) -> Mistake {
        let sort = self.sort();
        let own = |key: &&Key| sort.is_none_or(|sort| key.sorts.contains(&sort));
        let below = Section::BELOW.into_iter().filter(|_| section == Section::Program);
        let below = below.filter(|below| keys::of(*below).any(|key| own(&key)));
        let names: Vec<&str> = keys::of(section).filter(own).map(|key| key.name).collect();
        let below: Vec<&str> =
            below.filter_map(Section::below).filter(|below| !names.contains(below)).collect();
        let names = [names, below].concat();
        // A misspelt key of another kind is told its name at least.
        let near = nearest(&entry.name, names.iter().copied())
            .or_else(|| nearest(&entry.name, keys::of(section).map(|key| key.name)));
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
    /// Nothing.
    fn empty(file: &str) -> Typed {
        let scope = |name: &str| Scope::of(file, name.to_owned(), None);
        Typed { supervisor: scope("supervisor"), serve: scope("serve"), programs: BTreeMap::new() }
    }

    /// What an empty file says.
    pub(super) fn built_in(file: &str) -> Typed {
        let mut typed = Typed::empty(file);
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
        let mut typed = Typed::empty(file);
        let mut programs_given = false;
        for entry in root {
            let origin = Origin { file: file.to_owned(), line: entry.node.line, key: part(&entry.name) };
            match (entry.name.as_str(), &entry.node.value) {
                ("supervisor", Raw::Table(entries)) => {
                    typed.supervisor.line = entry.node.line;
                    typed.supervisor.read(Section::Supervisor, entries, mistakes);
                }
                ("serve", Raw::Table(entries)) => {
                    typed.serve.line = entry.node.line;
                    typed.serve.read(Section::Serve, entries, mistakes);
                }
                (name @ ("supervisor" | "serve"), other) => {
                    mistakes.push(origin.mistake(no_table(name, &format!("[{name}]"), other)));
                }
                ("program", Raw::Table(programs)) => {
                    programs_given = true;
                    if programs.is_empty() {
                        mistakes.push(origin.mistake(format!(
                            "no program is named; write `[program.{BUILT_IN}]`, or leave `[program]` out for the built-in one; for none \
                             at all: program = \"{NONE}\" above all sections"
                        )));
                    }
                    if programs.len() > MOST {
                        mistakes.push(origin.mistake(format!(
                            "{} programs; at most {MOST} are kept, so leave the others out",
                            programs.len()
                        )));
                    }
                    for program in programs.iter().take(MOST) {
                        typed.program(file, program, mistakes);
                    }
                }
                ("program", Raw::Text(word)) if word == NONE => programs_given = true,
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
        if !check::program(name) {
            mistakes.push(origin.mistake(format!(
                "{} is no name of a program; allowed: lower-case letters, digits, \"_\" and \"-\", a letter at first, at most {}",
                quoted(name),
                check::NAME_MAX
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
}

fn unknown_section(origin: Origin, name: &str) -> Mistake {
    let near = nearest(name, ["supervisor", "serve", "program"]);
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
    let what = hinted("unknown section", &hint, "allowed here: [supervisor], [serve], [program.NAME]");
    Mistake { near: near.map(str::to_owned), ..origin.mistake(what) }
}
