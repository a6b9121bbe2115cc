//! What programs need of each other: names that there are, and no circle of them.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::check::Value;
use super::keys::{self, Section};
use super::meant::Needs;
use super::mistake::{Mistake, did_you_mean, hinted, nearest, quoted};
use super::typed::{Scope, Typed};

/// The keys that name other programs.
const KEYS: [&str; 3] = ["before", "after", "requires"];

/// The names that a key of a program holds, each once.
fn names<'a>(scope: &'a Scope, name: &'static str) -> Vec<&'a String> {
    let value = keys::find(Section::Program, name)
        .and_then(|key| scope.given(key))
        .and_then(|given| given.value.as_ref());
    let Some(Value::Texts(names)) = value else { return Vec::new() };
    let mut once: Vec<&String> = Vec::new();
    for name in names {
        if !once.contains(&name) {
            once.push(name);
        }
    }
    once
}

/// What each program needs; another's `before` is its `after`.
pub(super) fn all(typed: &Typed) -> BTreeMap<&str, Needs> {
    let owned = |names: Vec<&String>| names.into_iter().cloned().collect::<Vec<String>>();
    let mut needs: BTreeMap<&str, Needs> = typed
        .programs
        .iter()
        .map(|(name, scope)| {
            let bound = keys::find(Section::Program, "bound").and_then(|key| scope.given(key));
            let requires = names(scope, "requires");
            let after = names(scope, "after").into_iter().filter(|name| !requires.contains(name)).collect();
            let needs = Needs {
                after: owned(after),
                requires: owned(requires),
                bound: bound.is_some_and(|given| given.value == Some(Value::Flag(true))),
            };
            (name.as_str(), needs)
        })
        .collect();
    for (name, scope) in &typed.programs {
        for other in names(scope, "before") {
            let Some(needs) = needs.get_mut(other.as_str()) else { continue };
            if !needs.after.contains(name) && !needs.requires.contains(name) {
                needs.after.push(name.clone());
            }
        }
    }
    needs
}

/// Adds the mistakes.
pub(super) fn check(typed: &Typed, mistakes: &mut Vec<Mistake>) {
    for (program, scope) in &typed.programs {
        for key in KEYS {
            for name in names(scope, key) {
                if name == program {
                    let what = format!("`{key}` names the program itself; leave \"{name}\" out");
                    mistakes.push(scope.origin(Section::Program, key).mistake(what));
                } else if !typed.programs.contains_key(name) {
                    mistakes.push(unknown(typed, program, scope, key, name));
                }
            }
        }
        let bound = keys::find(Section::Program, "bound").and_then(|key| scope.given(key));
        if bound.is_some_and(|given| given.value == Some(Value::Flag(true)))
            && scope.sound(Section::Program, &["requires"])
            && names(scope, "requires").is_empty()
        {
            let what = "`bound` without `requires`: it is bound to what it requires; name that, or leave `bound` out";
            mistakes.push(scope.origin(Section::Program, "bound").mistake(what.to_owned()));
        }
    }
    cycles(typed, mistakes);
}

fn unknown(typed: &Typed, program: &str, scope: &Scope, key: &'static str, name: &str) -> Mistake {
    let others: Vec<&str> =
        typed.programs.keys().map(String::as_str).filter(|other| *other != program).collect();
    let near = nearest(name, others.iter().copied());
    let known = if others.is_empty() { "none".to_owned() } else { others.join(", ") };
    let what = hinted(
        &format!("`{key}` names the unknown program {}", quoted(name)),
        &did_you_mean(near),
        &format!("other programs of this file: {known}"),
    );
    Mistake { near: near.map(str::to_owned), ..scope.origin(Section::Program, key).mistake(what) }
}

/// That one program waits for another, and the key that says so.
struct Edge<'a> {
    waits: &'a str,
    of: &'a str,
    /// Whose key it is.
    holder: &'a str,
    key: &'static str,
}

fn edges(typed: &Typed) -> Vec<Edge<'_>> {
    let mut edges = Vec::new();
    for (program, scope) in &typed.programs {
        for key in KEYS {
            for name in names(scope, key) {
                let Some((other, _)) = typed.programs.get_key_value(name) else { continue };
                let (waits, of) = if key == "before" { (other, program) } else { (program, other) };
                if waits != of {
                    edges.push(Edge { waits, of, holder: program, key });
                }
            }
        }
    }
    edges
}

/// Says the circles; of several that share a program, one. What waits for nobody is taken away until nothing more can be; whatever is left waits for
/// something that is left, so that a walk from anywhere comes to a circle.
fn cycles(typed: &Typed, mistakes: &mut Vec<Mistake>) {
    let mut edges = edges(typed);
    loop {
        loop {
            let before = edges.len();
            let waiting: std::collections::BTreeSet<&str> = edges.iter().map(|edge| edge.waits).collect();
            edges.retain(|edge| waiting.contains(edge.of));
            if edges.len() == before {
                break;
            }
        }
        let Some(start) = edges.iter().map(|edge| edge.waits).min() else { return };
        let mut walk: Vec<&Edge<'_>> = Vec::new();
        let mut at = start;
        while !walk.iter().any(|edge| edge.waits == at) {
            let Some(next) = edges.iter().find(|edge| edge.waits == at) else { return };
            walk.push(next);
            at = next.of;
        }
        let circle: Vec<&Edge<'_>> = walk.into_iter().skip_while(|edge| edge.waits != at).collect();
        mistakes.extend(circular(typed, &circle));
        let members: Vec<&str> = circle.iter().map(|edge| edge.waits).collect();
        edges.retain(|edge| !members.contains(&edge.waits) && !members.contains(&edge.of));
    }
}

/// One circle, at the key of its first program in the order of names.
fn circular(typed: &Typed, circle: &[&Edge<'_>]) -> Option<Mistake> {
    let (at, first) = circle.iter().enumerate().min_by_key(|(_, edge)| edge.waits)?;
    let mut what = format!("the programs wait for each other: \"{}\"", first.waits);
    for edge in circle.iter().cycle().skip(at).take(circle.len()) {
        let of = if edge.holder == edge.waits { String::new() } else { format!(" of \"{}\"", edge.holder) };
        let _ = write!(what, " waits for \"{}\" (`{}`{of}),", edge.of, edge.key);
        if edge.of != first.waits {
            let _ = write!(what, " which");
        }
    }
    let what = format!("{}; take one of these out", what.trim_end_matches(','));
    let scope = typed.programs.get(first.holder)?;
    Some(scope.origin(Section::Program, first.key).mistake(what))
}
