//! Holds one typed value against its key.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::form::{Form, LIMITS, NOTIFY_FD, PATH_MAX, REFUSED_INITDB_ARGS, REFUSED_PARAMETERS};
use super::keys::Key;
use super::mistake::{did_you_mean, hinted, nearest, quoted};
use super::raw::{Entry, Node, Raw};
use super::{address, signal, size, span};

/// A value that is as its key wants it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(String),
    Path(PathBuf),
    Texts(Vec<String>),
    Paths(Vec<PathBuf>),
    Flag(bool),
    Number(i64),
    Size(u64),
    Address(SocketAddr),
    Span(Duration),
    Limits(BTreeMap<String, u64>),
    Pairs(BTreeMap<String, String>),
}

/// The longest NAME of `[program.NAME]`.
pub(super) const NAME_MAX: usize = 32;

/// Something about a value that is not allowed.
#[derive(Debug, PartialEq)]
pub(super) struct Fault {
    /// The entry of the value that is meant, if not the whole.
    pub(super) below: Option<String>,
    pub(super) line: Option<usize>,
    pub(super) what: String,
    pub(super) near: Option<String>,
}

impl Fault {
    fn whole(node: &Node, what: String) -> Vec<Fault> {
        vec![Fault { below: None, line: node.line, what, near: None }]
    }

    fn entry(entry: &Entry, what: String) -> Fault {
        Fault { below: Some(entry.name.clone()), line: entry.node.line, what, near: None }
    }
}

/// "`port` is "x"; allowed: ..."
fn wrong(key: &Key, node: &Node) -> String {
    let found = if key.form.is_private() { node.value.sort().to_owned() } else { node.value.shown() };
    format!("`{}` is {found}; allowed: {}", key.name, key.form.allowed())
}

/// Holds what was typed against the key, and says all that is wrong with it.
pub(super) fn check(key: &Key, node: &Node) -> Result<Value, Vec<Fault>> {
    let good = match (key.form, &node.value) {
        (Form::Word(words) | Form::WordOrTable(words), Raw::Text(text)) => {
            return word(key, node, words, text);
        }
        (Form::Span(least, zero), value) => return span_of(key, node, value, least, zero),
        (form, Raw::List(_)) if form.is_list() => return list(key, node),
        (Form::Limits, Raw::Table(entries)) => return limits(entries),
        (Form::Variables, Raw::Table(entries)) => return variables(entries),
        (Form::Parameters, Raw::Table(entries)) => return parameters(entries),
        (Form::Path(longest), Raw::Text(text)) => path(text, longest).map(Value::Path),
        (Form::Folder, Raw::Text(text)) => {
            plain(text, PATH_MAX).filter(|path| path.is_absolute()).map(Value::Path)
        }
        (Form::File, Raw::Text(text)) => file(text).map(Value::Path),
        (Form::Paths, Raw::Text(text)) => path(text, PATH_MAX).map(|path| Value::Paths(vec![path])),
        (Form::User, Raw::Text(text)) => account(text).then(|| Value::Text(text.clone())),
        (Form::Size(..), Raw::Integer(Some(0..), number)) => {
            let what = format!(
                "`{}` is {number}, which has no unit; give a unit: {}",
                key.name,
                quoted(&format!("{number}MiB"))
            );
            return Err(Fault::whole(node, what));
        }
        (Form::Size(least, most), Raw::Text(text)) => {
            size::parse(text).filter(|size| (least..=most).contains(size)).map(Value::Size)
        }
        (Form::Address, Raw::Text(text)) => address::parse(text).map(Value::Address),
        (Form::Signal, Raw::Text(text)) => return signal_of(key, node, text),
        (Form::Notify, Raw::Text(text)) => (text == "sd").then(|| Value::Text(text.clone())),
        (Form::Notify, Raw::Integer(Some(number), _)) => {
            NOTIFY_FD.contains(number).then_some(Value::Number(*number))
        }
        (Form::Umask, Raw::Text(text)) => umask(text).map(Value::Number),
        (Form::Integer(least, most), Raw::Integer(Some(number), _)) => {
            (least..=most).contains(number).then_some(Value::Number(*number))
        }
        (Form::Flag, Raw::Flag(flag)) => Some(Value::Flag(*flag)),
        _ => None,
    };
    good.ok_or_else(|| Fault::whole(node, wrong(key, node)))
}

fn word(key: &Key, node: &Node, words: &[&str], text: &str) -> Result<Value, Vec<Fault>> {
    if words.contains(&text) {
        return Ok(Value::Text(text.to_owned()));
    }
    let near = nearest(text, words.iter().copied());
    let what = format!("{}{}", wrong(key, node), did_you_mean(near));
    Err(vec![Fault { below: None, line: node.line, what, near: near.map(str::to_owned) }])
}

fn span_of(key: &Key, node: &Node, value: &Raw, least: u64, zero: bool) -> Result<Value, Vec<Fault>> {
    let read = match value {
        Raw::Text(text) => span::parse(text),
        Raw::Integer(Some(0..), _) => Err(span::Fault::NoUnit),
        _ => Err(span::Fault::Form),
    };
    match read {
        Ok(span) if (zero && span.is_zero()) || span >= Duration::from_millis(least) => Ok(Value::Span(span)),
        Err(span::Fault::NoUnit) => {
            let number = match value {
                Raw::Text(text) | Raw::Integer(_, text) => text.as_str(),
                _ => "45",
            };
            let what = format!(
                "`{}` is {}, which has no unit; give a unit: {}",
                key.name,
                value.shown(),
                quoted(&format!("{number}s"))
            );
            Err(Fault::whole(node, what))
        }
        _ => Err(Fault::whole(node, wrong(key, node))),
    }
}

fn signal_of(key: &Key, node: &Node, text: &str) -> Result<Value, Vec<Fault>> {
    if let Some(number) = signal::parse(text) {
        return Ok(Value::Number(number));
    }
    let near = signal::nearest(text);
    let what = hinted(
        &format!("`{}` is {}", key.name, node.value.shown()),
        &did_you_mean(near),
        &format!("allowed: {}", key.form.allowed()),
    );
    Err(vec![Fault { below: None, line: node.line, what, near: near.map(str::to_owned) }])
}

/// Lexically plain; repeated and final slashes are dropped, so that equal paths are equal.
fn plain(text: &str, longest: usize) -> Option<PathBuf> {
    if text.len() > longest || text.chars().any(char::is_control) {
        return None;
    }
    let path = Path::new(text);
    // ".." is refused because two paths could then be one without looking equal.
    let plain = !path.components().any(|part| part == std::path::Component::ParentDir);
    plain.then(|| path.components().collect())
}

/// Plain, absolute, and not the root.
fn path(text: &str, longest: usize) -> Option<PathBuf> {
    plain(text, longest).filter(|path| path.is_absolute() && path.parent().is_some())
}

/// Plain, with a name, and no folder by its look.
fn file(text: &str) -> Option<PathBuf> {
    let path = plain(text, PATH_MAX)?;
    let path: PathBuf = path.strip_prefix(".").unwrap_or(&path).to_owned();
    (path.file_name().is_some() && !text.ends_with('/')).then_some(path)
}

/// A name as programs have it.
pub(super) fn program(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.len() <= NAME_MAX
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-'))
}

/// The portable names of users and groups (and the final "$" of some machine accounts), or an id.
fn account(text: &str) -> bool {
    let text = text.strip_suffix('$').unwrap_or(text);
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    !text.is_empty() && text.len() <= 255 && !text.starts_with(['-', '.']) && text.chars().all(inner)
}

/// The owner keeps all rights: an engine that cannot read its own files does not start.
fn umask(text: &str) -> Option<i64> {
    let octal = (3..=4).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    let mask = i64::from_str_radix(text, 8).ok()?;
    (octal && mask <= 0o077).then_some(mask)
}

fn list(key: &Key, node: &Node) -> Result<Value, Vec<Fault>> {
    let Raw::List(items) = &node.value else { return Err(Fault::whole(node, wrong(key, node))) };
    let mut texts = Vec::new();
    let mut paths = Vec::new();
    let mut faults = Vec::new();
    for item in items {
        let why = match (&item.value, key.form) {
            (Raw::Text(text), Form::Paths) => match path(text, PATH_MAX) {
                Some(path) => {
                    paths.push(path);
                    None
                }
                None => Some(key.form.allowed()),
            },
            // Of a command only the program itself must be something.
            (Raw::Text(text), Form::Command)
                if !text.contains('\0') && (!text.is_empty() || !texts.is_empty()) =>
            {
                texts.push(text.clone());
                None
            }
            (Raw::Text(text), form) => match refused_item(form, text) {
                None => {
                    texts.push(text.clone());
                    None
                }
                Some(why) => Some(why),
            },
            _ => Some(key.form.allowed()),
        };
        if let Some(allowed) = why {
            let what = format!("`{}` holds {}; allowed: {allowed}", key.name, item.value.shown());
            faults.push(Fault { below: None, line: item.line.or(node.line), what, near: None });
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let empty = match key.form {
        Form::Paths => paths.is_empty(),
        Form::Command => texts.is_empty(),
        _ => false,
    };
    if key.form != Form::Paths && !empty {
        return Ok(Value::Texts(texts));
    }
    if empty {
        return Err(Fault::whole(node, format!("`{}` is empty; allowed: {}", key.name, key.form.allowed())));
    }
    Ok(Value::Paths(paths))
}

/// What is allowed, where this item of a list of strings is not.
fn refused_item(form: Form, text: &str) -> Option<String> {
    if form == Form::Groups {
        return (!account(text)).then(|| form.allowed());
    }
    if text.is_empty() || text.contains('\0') || form == Form::Command {
        return Some(form.allowed());
    }
    let given = |short: &str, long: &str| {
        let long_name = text.split_once('=').map_or(text, |(name, _)| name);
        // getopt_long takes an unambiguous beginning of a long option, too.
        let abbreviated = long_name.len() > 2 && long.starts_with(long_name);
        (text.starts_with(short) && !text.starts_with("--")) || abbreviated
    };
    REFUSED_INITDB_ARGS
        .iter()
        .find(|(short, long, _)| given(short, long))
        .map(|(short, _, why)| format!("{}; not {short}: {why}", form.allowed()))
}

fn limits(entries: &[Entry]) -> Result<Value, Vec<Fault>> {
    let mut limits = BTreeMap::new();
    let mut faults = Vec::new();
    for entry in entries {
        if !LIMITS.contains(&entry.name.as_str()) {
            let near = nearest(&entry.name, LIMITS);
            let names = format!("allowed names here: {}", LIMITS.join(", "));
            let what = hinted("unknown limit", &did_you_mean(near), &names);
            faults.push(Fault { near: near.map(str::to_owned), ..Fault::entry(entry, what) });
            continue;
        }
        let limit = match &entry.node.value {
            Raw::Integer(Some(number), _) => u64::try_from(*number).ok(),
            Raw::Text(text) if text == "unlimited" => Some(u64::MAX),
            _ => None,
        };
        match limit {
            Some(limit) => {
                limits.insert(entry.name.clone(), limit);
            }
            None => {
                let found = entry.node.value.shown();
                let what = format!("`{}` is {found}; allowed: an integer from 0, \"unlimited\"", entry.name);
                faults.push(Fault::entry(entry, what));
            }
        }
    }
    if faults.is_empty() { Ok(Value::Limits(limits)) } else { Err(faults) }
}

fn variables(entries: &[Entry]) -> Result<Value, Vec<Fault>> {
    let mut pairs = BTreeMap::new();
    let mut faults = Vec::new();
    for entry in entries {
        let name = entry.name.as_str();
        let what = if !identifier(name, "") {
            "no name of a variable; allowed: letters, digits and \"_\", not a digit at first".to_owned()
        } else {
            match &entry.node.value {
                Raw::Text(text) if !text.contains('\0') => {
                    pairs.insert(name.to_owned(), text.clone());
                    continue;
                }
                Raw::Text(_) => {
                    format!("`{name}` holds a zero byte; allowed: a string without one")
                }
                other => format!("`{name}` is {}; allowed: a string", other.sort()),
            }
        };
        faults.push(Fault::entry(entry, what));
    }
    if faults.is_empty() { Ok(Value::Pairs(pairs)) } else { Err(faults) }
}

fn parameters(entries: &[Entry]) -> Result<Value, Vec<Fault>> {
    let mut pairs = BTreeMap::new();
    let mut faults = Vec::new();
    let mut flat = Vec::new();
    flatten("", entries, &mut flat);
    for entry in &flat {
        match parameter(entry) {
            // The engine knows its settings in any case.
            Ok((name, value)) => {
                if pairs.insert(name.clone(), value).is_some() {
                    let what = format!(
                        "`{name}` is given twice; the engine does not tell upper and lower case apart"
                    );
                    faults.push(Fault::entry(entry, what));
                }
            }
            Err(what) => faults.push(Fault::entry(entry, what)),
        }
    }
    if faults.is_empty() { Ok(Value::Pairs(pairs)) } else { Err(faults) }
}

/// `auto_explain.log_analyze = true` is a table within the table to TOML, and one setting to the engine.
fn flatten(before: &str, entries: &[Entry], flat: &mut Vec<Entry>) {
    for entry in entries {
        let name = format!("{before}{}", entry.name);
        match &entry.node.value {
            Raw::Table(inner) if !inner.is_empty() => flatten(&format!("{name}."), inner, flat),
            _ => flat.push(Entry { name, node: entry.node.clone() }),
        }
    }
}

/// The name in lower case and the value as the engine reads it, or what is wrong.
fn parameter(entry: &Entry) -> Result<(String, String), String> {
    let name = entry.name.to_ascii_lowercase();
    // valid_custom_variable_name() of PostgreSQL's guc.c, in ASCII.
    if !name.split('.').all(|part| identifier(part, "$")) {
        return Err(
            "no name of a setting; allowed: letters, digits, \"_\" and \"$\", not a digit at first, in parts with \".\" between".to_owned(),
        );
    }
    if let Some((_, instead)) = REFUSED_PARAMETERS.iter().find(|(refused, _)| *refused == name) {
        return Err(format!("`{name}` may not be set here: {instead}"));
    }
    let value = match &entry.node.value {
        Raw::Text(text) if text.chars().any(char::is_control) => {
            return Err(format!(
                "`{name}` holds a control character, such as the end of a line; allowed: text without one"
            ));
        }
        Raw::Text(text) => text.clone(),
        Raw::Integer(Some(number), _) => number.to_string(),
        Raw::Float(text) if !text.contains(['n', 'N']) => text.clone(),
        Raw::Flag(true) => "on".to_owned(),
        Raw::Flag(false) => "off".to_owned(),
        other => {
            let found = other.sort();
            return Err(format!(
                "`{name}` is {found} that is no setting; allowed: a string, an integer, a finite number, true, false"
            ));
        }
    };
    Ok((name, value))
}

/// Letters, digits, "_" and `more`, at first a letter or "_".
fn identifier(text: &str, more: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || more.contains(c))
}
