//! The environment's part: `POLAR_<SECTION>_<KEY>`, `POLAR_<PROGRAM>_<KEY>`, `PGDATA` and `POLARDB_PORT` over the file.

use super::check::{self, Value};
use super::fill;
use super::form::Form;
use super::keys::{self, Key, Section, Sort};
use super::mistake::{ENVIRONMENT, Mistake, Origin, did_you_mean, hinted, nearest};
use super::raw::{self, Entry, Node, Raw};
use super::typed::{Scope, Typed};

/// Variables that callers of the engine's images give, and the key of the one engine that each sets.
const TWINS: [(&str, &str); 2] = [("PGDATA", "data_dir"), ("POLARDB_PORT", "port")];

/// Lays the environment over what the file says. An empty value counts as unset, for compose passes empty variables.
pub(super) fn apply(env: &[(String, String)], typed: &mut Typed, mistakes: &mut Vec<Mistake>) {
    let set: Vec<&(String, String)> = env.iter().filter(|(_, value)| !value.is_empty()).collect();
    shared_prefixes(typed, mistakes);
    for (variable, value) in &set {
        if let Some(rest) = variable.strip_prefix("POLAR_") {
            one(typed, variable, rest, value, mistakes);
        }
    }
    let mut engines = typed.programs.iter_mut().filter(|(_, scope)| scope.sort() == Some(Sort::Postgres));
    if let (Some((program, scope)), None) = (engines.next(), engines.next()) {
        for (variable, name) in TWINS {
            let own = format!("POLAR_{}_{}", upper(program), upper(name));
            // The longer name wins, whatever the other says.
            if set.iter().any(|(name, _)| *name == own) {
                continue;
            }
            let value = set.iter().rfind(|(name, _)| name == variable);
            if let Some(((_, value), key)) = value.zip(keys::find(Section::Program, name)) {
                put(scope, key, variable, node(key.form, value), mistakes);
            }
        }
    }
}

/// The part of a variable's name that means this program or key.
fn upper(name: &str) -> String {
    name.to_ascii_uppercase().replace('-', "_")
}

/// `a-b` and `a_b` would both listen to `POLAR_A_B_...`.
fn shared_prefixes(typed: &Typed, mistakes: &mut Vec<Mistake>) {
    let names: Vec<&String> = typed.programs.keys().collect();
    for (index, one) in names.iter().enumerate() {
        for other in names.iter().skip(index + 1).filter(|other| upper(other) == upper(one)) {
            if let Some(scope) = typed.programs.get(*other) {
                let what = format!(
                    "the programs \"{one}\" and \"{other}\" share their variables POLAR_{}_...; rename one",
                    upper(one)
                );
                mistakes.push(Mistake {
                    key: scope.prefix.clone(),
                    ..scope.origin(Section::Program, "").mistake(what)
                });
            }
        }
    }
}

fn one(typed: &mut Typed, variable: &str, rest: &str, value: &str, mistakes: &mut Vec<Mistake>) {
    let below = |prefix: &str| rest.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_'));
    for (prefix, section, scope) in [
        ("SUPERVISOR", Section::Supervisor, &mut typed.supervisor),
        ("SERVE", Section::Serve, &mut typed.serve),
    ] {
        let Some(name) = below(prefix) else { continue };
        match keys::of(section).find(|key| upper(key.name) == name) {
            Some(key) => put(scope, key, variable, node(key.form, value), mistakes),
            None => mistakes.push(unknown(variable, prefix, name, keys::of(section))),
        }
        return;
    }
    // The longest name first, so that of `db` and `db_two` the one that is meant takes POLAR_DB_TWO_PORT.
    let mut programs: Vec<(String, &mut Scope)> =
        typed.programs.iter_mut().map(|(name, scope)| (upper(name), scope)).collect();
    programs.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
    let mut stranger = None;
    for (prefix, scope) in programs {
        let Some(name) = below(&prefix) else { continue };
        match find(name) {
            Some((key, None)) => return put(scope, key, variable, node(key.form, value), mistakes),
            Some((key, Some(entry))) => return overlay(scope, key, variable, entry, value, mistakes),
            None => {
                stranger.get_or_insert_with(|| {
                    let sections = [Section::Program].into_iter().chain(Section::BELOW);
                    let sort = scope.sort();
                    let own = |key: &&Key| sort.is_none_or(|sort| key.sorts.contains(&sort));
                    unknown(variable, &prefix, name, sections.flat_map(keys::of).filter(own))
                });
            }
        }
    }
    mistakes.extend(stranger);
}

/// The key of a program that a variable's last part means, and the entry of it where the key is a table.
fn find(name: &str) -> Option<(&'static Key, Option<&str>)> {
    for section in Section::BELOW {
        let title = format!("{}_", upper(section.below().unwrap_or_default()));
        if let Some(name) = name.strip_prefix(&title) {
            return keys::of(section).find(|key| upper(key.name) == name).map(|key| (key, None));
        }
    }
    keys::of(Section::Program).find_map(|key| {
        let rest = name.strip_prefix(&upper(key.name))?;
        if rest.is_empty() {
            return Some((key, None));
        }
        let entry = rest.strip_prefix('_').filter(|entry| key.form.is_table() && !entry.is_empty())?;
        Some((key, Some(entry)))
    })
}

fn origin(variable: &str) -> Origin {
    Origin { file: ENVIRONMENT.to_owned(), line: None, key: variable.to_owned() }
}

/// A variable's text as the value of a key.
fn node(form: Form, text: &str) -> Node {
    let list = || {
        let text = text.trim();
        if text.starts_with('[') {
            return raw::value(text).unwrap_or_else(|| Raw::Text(text.to_owned()));
        }
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        Raw::List(items.map(|item| Node { line: None, value: Raw::Text(item.to_owned()) }).collect())
    };
    let value = match form {
        Form::Integer(..) | Form::Notify => match text.trim().parse() {
            Ok(number) => Raw::Integer(Some(number), text.trim().to_owned()),
            Err(_) => Raw::Text(text.to_owned()),
        },
        Form::Flag => match text.trim() {
            "true" => Raw::Flag(true),
            "false" => Raw::Flag(false),
            _ => Raw::Text(text.to_owned()),
        },
        form if form.is_list() => list(),
        _ => Raw::Text(text.to_owned()),
    };
    Node { line: None, value }
}

fn put(scope: &mut Scope, key: &'static Key, variable: &str, node: Node, mistakes: &mut Vec<Mistake>) {
    let value = if key.form.is_table() {
        let what = format!("`{}` is a table; give its entries one by one, as {variable}_<NAME>", key.name);
        mistakes.push(origin(variable).mistake(what));
        None
    } else {
        checked(key, variable, &node, mistakes)
    };
    scope.oust(key);
    scope.put(key, value, origin(variable));
}

/// Sets one entry of a table; the others stay as the file, or the default, has them.
fn overlay(
    scope: &mut Scope,
    key: &'static Key,
    variable: &str,
    entry: &str,
    text: &str,
    mistakes: &mut Vec<Mistake>,
) {
    let name = if key.form == Form::Variables { entry.to_owned() } else { entry.to_ascii_lowercase() };
    let value = match (key.form, text.trim().parse()) {
        (Form::Limits, Ok(number)) => Raw::Integer(Some(number), text.trim().to_owned()),
        _ => Raw::Text(text.to_owned()),
    };
    let table = Raw::Table(vec![Entry { name, node: Node { line: None, value } }]);
    let before = match scope.given(key) {
        Some(given) => given.value.clone(),
        None => fill::default(key, Sort::Postgres, &[]),
    };
    let after = checked(key, variable, &Node { line: None, value: table }, mistakes);
    let merged = match (before, after) {
        (Some(Value::Limits(mut all)), Some(Value::Limits(one))) => {
            all.extend(one);
            Some(Value::Limits(all))
        }
        (Some(Value::Pairs(mut all)), Some(Value::Pairs(one))) => {
            all.extend(one);
            Some(Value::Pairs(all))
        }
        _ => None,
    };
    scope.put(key, merged, origin(variable));
}

fn checked(key: &Key, variable: &str, node: &Node, mistakes: &mut Vec<Mistake>) -> Option<Value> {
    match check::check(key, node) {
        Ok(value) => Some(value),
        Err(faults) => {
            for fault in faults {
                // A misspelt entry is a misspelt variable.
                let near = fault.near.map(|near| match &fault.below {
                    Some(entry) => {
                        let stem = variable.get(..variable.len().saturating_sub(entry.len()));
                        format!("{}{}", stem.unwrap_or_default(), upper(&near))
                    }
                    None => near,
                });
                mistakes.push(Mistake { near, ..origin(variable).mistake(fault.what) });
            }
            None
        }
    }
}

fn unknown<'a>(variable: &str, prefix: &str, name: &str, keys: impl Iterator<Item = &'a Key>) -> Mistake {
    let known: Vec<String> = keys
        .map(|key| match (key.section.below(), key.form.is_table()) {
            (Some(below), _) => format!("{}_{}", upper(below), upper(key.name)),
            (_, true) => format!("{}_<NAME>", upper(key.name)),
            (_, false) => upper(key.name),
        })
        .collect();
    let near = nearest(name, known.iter().map(String::as_str)).map(|near| format!("POLAR_{prefix}_{near}"));
    let rest = format!(
        "known after `POLAR_{prefix}_`: {}; unset it if it is meant for somebody else",
        known.join(", ")
    );
    let what = hinted("unknown variable", &did_you_mean(near.as_deref()), &rest);
    Mistake { near, ..origin(variable).mistake(what) }
}
