//! The way back: a configuration as the file that says it, and the reference of all keys.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::check::Value;
use super::keys::{self, Form, Key, Preset, Section};
use super::meant::{Config, Program};
use super::span;

/// The effective configuration as TOML, which [`read`](super::read) accepts and turns into the same [`Config`]. What is
/// not set is left out.
pub fn to_toml(config: &Config) -> String {
    let mut out = String::new();
    section(&mut out, "supervisor", Section::Supervisor, |key| of_supervisor(config, key));
    for program in &config.programs {
        let prefix = format!("program.{}", program.name);
        section(&mut out, &prefix, Section::Program, |key| of_program(program, key));
        for key in keys::of(Section::Program).filter(|key| key.form == Form::Parameters) {
            if let Some(Value::Pairs(pairs)) = of_program(program, key).filter(|value| !is_empty(value)) {
                let _ = writeln!(out, "\n[{prefix}.{}]", key.name);
                for (name, value) in pairs {
                    let _ = writeln!(out, "{} = {}", quoted(&name), quoted(&value));
                }
            }
        }
        section(&mut out, &format!("{prefix}.restart"), Section::Restart, |key| of_program(program, key));
    }
    out
}

fn section(out: &mut String, title: &str, section: Section, value: impl Fn(&Key) -> Option<Value>) {
    let gap = if out.is_empty() { "" } else { "\n" };
    let _ = writeln!(out, "{gap}[{title}]");
    for key in keys::of(section).filter(|key| key.form != Form::Parameters) {
        if let Some(value) = value(key) {
            let _ = writeln!(out, "{} = {}", key.name, text(key.form, &value));
        }
    }
}

fn is_empty(value: &Value) -> bool {
    matches!(value, Value::Pairs(pairs) if pairs.is_empty())
}

/// A string as TOML.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A value as TOML.
fn text(form: Form, value: &Value) -> String {
    match value {
        Value::Text(text) => quoted(text),
        Value::Path(path) => quoted(&path.to_string_lossy()),
        Value::Texts(texts) => list(texts.iter().map(|text| quoted(text))),
        Value::Paths(paths) => list(paths.iter().map(|path| quoted(&path.to_string_lossy()))),
        Value::Flag(flag) => flag.to_string(),
        Value::Number(number) if form == Form::Umask => format!("\"{number:04o}\""),
        Value::Number(number) => number.to_string(),
        Value::Span(span) => quoted(&span::write(*span)),
        Value::Limits(limits) => table(limits, |limit| match *limit {
            u64::MAX => quoted("unlimited"),
            limit => limit.to_string(),
        }),
        Value::Pairs(pairs) => table(pairs, |value| quoted(value)),
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

fn table<V>(entries: &BTreeMap<String, V>, value: impl Fn(&V) -> String) -> String {
    if entries.is_empty() {
        return "{}".to_owned();
    }
    let entries = entries.iter().map(|(name, entry)| format!("{name} = {}", value(entry)));
    format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
}

fn word(value: impl Serialize) -> Option<Value> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Some(Value::Text(word)),
        _ => None,
    }
}

fn path(path: &Path) -> Option<Value> {
    Some(Value::Path(path.to_owned()))
}

fn maybe(path: Option<&PathBuf>) -> Option<Value> {
    path.cloned().map(Value::Path)
}

fn time(span: Duration) -> Option<Value> {
    Some(Value::Span(span))
}

fn of_supervisor(config: &Config, key: &Key) -> Option<Value> {
    let supervisor = &config.supervisor;
    match key.name {
        "run_dir" => path(&supervisor.run_dir),
        "log_dir" => path(&supervisor.log_dir),
        "log_level" => word(supervisor.log_level),
        "log_format" => word(supervisor.log_format),
        "stop_timeout" => time(supervisor.stop_timeout),
        _ => None,
    }
}

fn of_program(program: &Program, key: &Key) -> Option<Value> {
    let postgres = program.kind.engine()?;
    let process = &program.process;
    let restart = &program.restart;
    match key.name {
        "kind" => Some(Value::Text("postgres".to_owned())),
        "user" => process.user.clone().map(Value::Text),
        "groups" => Some(Value::Texts(process.groups.clone())),
        "umask" => process.umask.map(|mask| Value::Number(mask.into())),
        "nice" => process.nice.map(|nice| Value::Number(nice.into())),
        "oom_score_adj" => process.oom_score_adj.map(|score| Value::Number(score.into())),
        "rlimits" => Some(Value::Limits(process.rlimits.clone())),
        "environment" => Some(Value::Pairs(process.environment.clone())),
        "stop_timeout" => time(program.stop_timeout),
        "critical" => Some(Value::Flag(program.critical)),
        "bin_dir" => maybe(postgres.bin_dir.as_ref()),
        "data_dir" => path(&postgres.data_dir),
        "port" => Some(Value::Number(postgres.port.into())),
        "socket_dir" => Some(Value::Paths(postgres.socket_dir.clone())),
        "init" => word(postgres.init),
        "require_mount" => Some(Value::Flag(postgres.require_mount)),
        "lock_file" => path(&postgres.lock_file),
        "lock_poll" => time(postgres.lock_poll),
        "log_link" => path(&postgres.log_link),
        "log_keep" => time(postgres.log_keep),
        "conf_template" => maybe(postgres.conf_template.as_ref()),
        "initdb_args" => Some(Value::Texts(postgres.initdb_args.clone())),
        "init_scripts" => path(&postgres.init_scripts),
        "stop_mode" => word(postgres.stop_mode),
        "parameters" => Some(Value::Pairs(postgres.parameters.clone())),
        "policy" => word(restart.policy),
        "min_backoff" => time(restart.min_backoff),
        "max_backoff" => time(restart.max_backoff),
        "clean_exit_delay" => time(restart.clean_exit_delay),
        "reset_after" => time(restart.reset_after),
        "give_up_after" => Some(Value::Number(restart.give_up_after.into())),
        "on_give_up" => word(restart.on_give_up),
        _ => None,
    }
}

/// Every key as Markdown: a table a section, with what is allowed, the default, and what it does.
pub fn reference() -> String {
    let mut out = String::new();
    for (section, variable) in [
        (Section::Supervisor, "POLAR_SUPERVISOR_<KEY>"),
        (Section::Program, "POLAR_<NAME>_<KEY>"),
        (Section::Restart, "POLAR_<NAME>_RESTART_<KEY>"),
    ] {
        let gap = if out.is_empty() { "" } else { "\n" };
        let _ = writeln!(out, "{gap}### `[{}]`\n\nEnvironment: `{variable}`\n", section.title());
        out.push_str("| key | allowed | default | what it does |\n|---|---|---|---|\n");
        for key in keys::of(section) {
            let default = match key.default {
                Preset::Required => "required".to_owned(),
                Preset::Unset(instead) => format!("unset: {}", cell(instead)),
                Preset::Is(text) => format!("`{}`", cell(text)),
            };
            let allowed = cell(&key.form.allowed());
            let _ = writeln!(out, "| `{}` | {allowed} | {default} | {} |", key.name, cell(key.doc));
        }
    }
    out
}

/// A text within a table of Markdown.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
