//! What can be said of a program only once the file and the environment are read: which keys its kind has, which of
//! them are missing, and which of several it may give.

use super::check::Value;
use super::keys::{self, Key, Preset, RIVALS, Section, Sort};
use super::mistake::Mistake;
use super::typed::{Scope, Typed};

/// Adds the mistakes.
pub(super) fn check(typed: &Typed, mistakes: &mut Vec<Mistake>) {
    for scope in typed.programs.values() {
        missing(scope, Section::Program, mistakes);
        // A kind that is missing or unknown has been said; which keys it would have is then unknown.
        let Some(sort) = scope.sort() else { continue };
        strangers(scope, sort, mistakes);
        root(scope, sort, mistakes);
        rivals(scope, mistakes);
        tables(scope, sort, mistakes);
    }
}

/// Whoever misspelt the name of a key, or gave the key to the wrong section, has been told so.
fn told(scope: &Scope, name: &str, mistakes: &[Mistake]) -> bool {
    let begin = format!("{}.", scope.prefix);
    mistakes.iter().any(|mistake| mistake.near.as_deref() == Some(name) && mistake.key.starts_with(&begin))
}

fn missing(scope: &Scope, section: Section, mistakes: &mut Vec<Mistake>) {
    let needed = |key: &&Key| match scope.sort() {
        Some(sort) => key.sorts.contains(&sort) && key.default(sort) == Preset::Required,
        None => key.name == "kind",
    };
    for key in keys::of(section).filter(needed) {
        if scope.given(key).is_none() && !told(scope, key.name, mistakes) {
            let what = format!("`{}` is missing; allowed: {}", key.name, key.form.allowed());
            mistakes.push(scope.origin(key.section, key.name).mistake(what));
        }
    }
}

/// Keys that another kind has.
fn strangers(scope: &Scope, sort: Sort, mistakes: &mut Vec<Mistake>) {
    let word = sort.word();
    for section in [Section::Program].into_iter().chain(Section::BELOW) {
        let own = |key: &&Key| key.sorts.contains(&sort);
        if !keys::of(section).any(|key| own(&key)) {
            let Some(origin) = scope.opened(section) else { continue };
            let name = section.below().unwrap_or_default();
            let kinds: Vec<Sort> = Sort::ALL
                .into_iter()
                .filter(|sort| keys::of(section).any(|key| key.sorts.contains(sort)))
                .collect();
            let kinds = keys::listed(&kinds);
            let what = if section == Section::Output {
                let words =
                    keys::find(Section::Program, name).map(|key| key.form.words()).unwrap_or_default();
                format!(
                    "`{name}` of kind \"{word}\" is no file: an engine's log collector writes files of its own (see `log_link`), \
                     and PID 1 reads the rest, which tells why an engine ended; allowed: {words}"
                )
            } else {
                format!("`{name}` is no table of kind \"{word}\"; kinds that have it: {kinds}; leave it out")
            };
            mistakes.push(origin.mistake(what));
            continue;
        }
        for key in scope.keys(section).filter(|key| !own(key)) {
            let what = format!(
                "`{}` is no key of kind \"{word}\"; kinds that have it: {}; leave it out",
                key.name,
                keys::listed(key.sorts)
            );
            mistakes.push(scope.origin(section, key.name).mistake(what));
        }
    }
}

fn root(scope: &Scope, sort: Sort, mistakes: &mut Vec<Mistake>) {
    let Some(key) = keys::find(Section::Program, "user") else { return };
    let Some(Value::Text(name)) = scope.given(key).and_then(|given| given.value.as_ref()) else { return };
    if sort == Sort::Postgres && (name == "root" || name.parse() == Ok(0)) {
        let what = format!("`user` is \"{name}\"; allowed: {}", key.form.allowed());
        mistakes.push(scope.origin(key.section, key.name).mistake(what));
    }
}

/// Whether a key is given, and not as `false`, which is none.
fn counts(scope: &Scope, section: Section, name: &'static str) -> bool {
    keys::find(section, name)
        .and_then(|key| scope.given(key))
        .is_some_and(|given| given.value != Some(Value::Flag(false)))
}

fn rivals(scope: &Scope, mistakes: &mut Vec<Mistake>) {
    for rivals in RIVALS {
        let given: Vec<_> =
            rivals.iter().filter(|(section, name)| counts(scope, *section, name)).copied().collect();
        if let [(_, first), .., (section, last)] = given.as_slice() {
            let what = format!("`{last}` is given together with `{first}`; give one of the two");
            mistakes.push(scope.origin(*section, last).mistake(what));
        }
    }
}

/// What the tables within a program need.
fn tables(scope: &Scope, sort: Sort, mistakes: &mut Vec<Mistake>) {
    for section in [Section::Ready, Section::Live] {
        let Some(origin) = scope.opened(section) else { continue };
        let rivals = RIVALS.iter().flat_map(|rivals| rivals.iter()).filter(|(of, _)| *of == section);
        let checks = rivals.filter_map(|(of, name)| keys::find(*of, name));
        let mine: Vec<&Key> = checks.filter(|key| key.sorts.contains(&sort)).collect();
        let given =
            scope.keys(section).any(|key| RIVALS.iter().any(|all| all.contains(&(section, key.name))));
        if !mine.is_empty() && !given && !mine.iter().any(|key| told(scope, key.name, mistakes)) {
            let names: Vec<String> = mine.iter().map(|key| format!("`{}`", key.name)).collect();
            let what = format!(
                "`{}` has no check; allowed: one of {}",
                section.below().unwrap_or_default(),
                names.join(", ")
            );
            mistakes.push(origin.mistake(what));
        }
    }
    if scope.opened(Section::Output).is_some() {
        missing(scope, Section::Output, mistakes);
    }
}
