//! The second step: what was typed becomes what it means, every default filled in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::StrDeserializer;

use super::check::{self, Value};
use super::keys::{self, Key, Preset, Section};
use super::meant::{Config, Kind, Needs, Output, Postgres, Process, Program, Restart, Supervisor};
use super::mistake::Mistake;
use super::raw::{self, Node, Raw};
use super::typed::{Scope, Typed};

/// Fills in the defaults. What was given wrongly (and is reported) is taken as its default, so that the rest can be
/// looked at. An error is a mistake of the table of keys, not of the user.
pub(super) fn fill(typed: &Typed) -> Result<Config, Mistake> {
    let supervisor =
        supervisor(&Reader { scope: &typed.supervisor, section: Section::Supervisor, places: &[] })?;
    let programs = typed
        .programs
        .iter()
        .map(|(name, scope)| program(name, scope, &supervisor))
        .collect::<Result<_, _>>()?;
    Ok(Config { supervisor, serve: None, programs })
}

/// A key's default; `places` are what `<data_dir>` and such stand for.
pub(super) fn default(key: &Key, places: &[(&str, &Path)]) -> Option<Value> {
    let Preset::Is(text) = key.default else { return None };
    let mut value = raw::value(text)?;
    place(&mut value, places);
    check::check(key, &Node { line: None, value }).ok()
}

fn place(value: &mut Raw, places: &[(&str, &Path)]) {
    match value {
        Raw::Text(text) => {
            for (name, path) in places {
                if let Some(rest) = text.strip_prefix(name) {
                    *text = format!("{}{rest}", path.display());
                    break;
                }
            }
        }
        Raw::List(items) => items.iter_mut().for_each(|item| place(&mut item.value, places)),
        _ => {}
    }
}

struct Reader<'a> {
    scope: &'a Scope,
    section: Section,
    places: &'a [(&'a str, &'a Path)],
}

impl Reader<'_> {
    /// The value of a key, if it has one.
    fn maybe<T: FromValue>(&self, name: &'static str) -> Result<Option<T>, Mistake> {
        let Some(key) = keys::find(self.section, name) else { return Err(self.bug(name)) };
        let given = self.scope.given(key).and_then(|given| given.value.clone());
        match given.or_else(|| default(key, self.places)) {
            Some(value) => T::from_value(value).map(Some).ok_or_else(|| self.bug(name)),
            None => Ok(None),
        }
    }

    /// The value of a key that always has one.
    fn get<T: FromValue>(&self, name: &'static str) -> Result<T, Mistake> {
        self.maybe(name)?.ok_or_else(|| self.bug(name))
    }

    /// The value of a key that is one of some words: the variant of that name.
    fn word<T: for<'de> Deserialize<'de>>(&self, name: &'static str) -> Result<T, Mistake> {
        let text: String = self.get(name)?;
        let text: StrDeserializer<'_, serde::de::value::Error> = text.as_str().into_deserializer();
        T::deserialize(text).map_err(|_| self.bug(name))
    }

    /// Whoever adds a key without its other half sees this in the tests.
    fn bug(&self, name: &'static str) -> Mistake {
        let what = format!("`{name}` has no usable default here; give it a value");
        self.scope.origin(self.section, name).mistake(what)
    }
}

trait FromValue: Sized {
    fn from_value(value: Value) -> Option<Self>;
}

macro_rules! from_value {
    ($($variant:ident => $type:ty),* $(,)?) => {
        $(impl FromValue for $type {
            fn from_value(value: Value) -> Option<Self> {
                if let Value::$variant(inner) = value { Some(inner) } else { None }
            }
        })*
    };
}

from_value! {
    Text => String,
    Path => PathBuf,
    Texts => Vec<String>,
    Paths => Vec<PathBuf>,
    Flag => bool,
    Number => i64,
    Span => Duration,
    Limits => BTreeMap<String, u64>,
    Pairs => BTreeMap<String, String>,
}

impl FromValue for i32 {
    fn from_value(value: Value) -> Option<Self> {
        i64::from_value(value)?.try_into().ok()
    }
}

impl FromValue for u32 {
    fn from_value(value: Value) -> Option<Self> {
        i64::from_value(value)?.try_into().ok()
    }
}

impl FromValue for u16 {
    fn from_value(value: Value) -> Option<Self> {
        i64::from_value(value)?.try_into().ok()
    }
}

fn supervisor(read: &Reader<'_>) -> Result<Supervisor, Mistake> {
    Ok(Supervisor {
        run_dir: read.get("run_dir")?,
        log_dir: read.get("log_dir")?,
        log_level: read.word("log_level")?,
        log_format: read.word("log_format")?,
        stop_timeout: read.get("stop_timeout")?,
    })
}

fn program(name: &str, scope: &Scope, supervisor: &Supervisor) -> Result<Program, Mistake> {
    let section = Section::Program;
    let data_dir: PathBuf = Reader { scope, section, places: &[] }.get("data_dir")?;
    let places = [("<data_dir>", data_dir.as_path()), ("<log_dir>", supervisor.log_dir.as_path())];
    let read = Reader { scope, section, places: &places };
    let mut stop_timeout = read.get("stop_timeout")?;
    if !scope.has(section, "stop_timeout") {
        // Whoever gives PID 1 less time for everything has thereby given the program less.
        stop_timeout = supervisor.stop_timeout.min(stop_timeout);
    }
    Ok(Program {
        name: name.to_owned(),
        kind: Kind::Postgres(Box::new(postgres(&read, data_dir.clone())?)),
        process: Process {
            user: read.maybe("user")?,
            groups: read.get("groups")?,
            umask: read.maybe("umask")?,
            nice: read.maybe("nice")?,
            oom_score_adj: read.maybe("oom_score_adj")?,
            rlimits: read.get("rlimits")?,
            environment: read.get("environment")?,
        },
        restart: restart(&Reader { section: Section::Restart, ..read })?,
        stop_timeout,
        critical: read.get("critical")?,
        needs: Needs::default(),
        live: None,
        output: Output::Inherit,
    })
}

fn postgres(read: &Reader<'_>, data_dir: PathBuf) -> Result<Postgres, Mistake> {
    Ok(Postgres {
        bin_dir: read.maybe("bin_dir")?,
        data_dir,
        port: read.get("port")?,
        socket_dir: read.get("socket_dir")?,
        init: read.word("init")?,
        require_mount: read.get("require_mount")?,
        lock_file: read.get("lock_file")?,
        lock_poll: read.get("lock_poll")?,
        log_link: read.get("log_link")?,
        log_keep: read.get("log_keep")?,
        conf_template: read.maybe("conf_template")?,
        initdb_args: read.get("initdb_args")?,
        init_scripts: read.get("init_scripts")?,
        stop_mode: read.word("stop_mode")?,
        parameters: read.get("parameters")?,
        follow_engine_log: false,
    })
}

fn restart(read: &Reader<'_>) -> Result<Restart, Mistake> {
    Ok(Restart {
        policy: read.word("policy")?,
        min_backoff: read.get("min_backoff")?,
        max_backoff: read.get("max_backoff")?,
        clean_exit_delay: read.get("clean_exit_delay")?,
        reset_after: read.get("reset_after")?,
        give_up_after: read.get("give_up_after")?,
        on_give_up: read.word("on_give_up")?,
    })
}
