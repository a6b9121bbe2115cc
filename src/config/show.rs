//! The way back: a configuration as the file that says it, and the reference of all keys.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::check::Value;
use super::form::Form;
use super::keys::{self, Key, Preset, Section, Sort};
use super::meant::{Check, Config, Kind, Output, Program};
use super::typed::{NONE, SERVE};
use super::{signal, size, span};

/// The effective configuration as TOML, which [`read`](super::read) accepts and turns into the same [`Config`]. What is
/// not set is left out.
pub fn to_toml(config: &Config) -> String {
    let mut out = String::new();
    // Else there would be the built-in one.
    if config.programs.iter().all(|program| program.name == SERVE) {
        let _ = writeln!(out, "program = \"{NONE}\"");
    }
    section(&mut out, "supervisor", Section::Supervisor, |key| of_supervisor(config, key));
    if let Some(serve) = &config.serve {
        section(&mut out, SERVE, Section::Serve, |_| Some(Value::Address(serve.listen)));
    }
    // The program that [serve] adds is no section of its own.
    for program in config.programs.iter().filter(|program| program.name != SERVE) {
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
        for below in Section::BELOW {
            if let Some(name) = below.below().filter(|_| has(program, below)) {
                section(&mut out, &format!("{prefix}.{name}"), below, |key| of_program(program, key));
            }
        }
    }
    out
}

/// Whether a program says anything of a section.
fn has(program: &Program, section: Section) -> bool {
    keys::of(section).any(|key| of_program(program, key).is_some())
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
        Value::Number(number) if form == Form::Signal => quoted(&signal::write(*number)),
        Value::Number(number) => number.to_string(),
        Value::Size(size) => quoted(&size::write(*size)),
        Value::Address(address) => quoted(&address.to_string()),
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
    match key.section {
        Section::Restart => of_restart(program, key),
        Section::Ready | Section::Live => of_checks(program, key),
        Section::Output => of_file(program, key),
        _ => of_any(program, key).or_else(|| match &program.kind {
            Kind::Postgres(_) => of_engine(program, key),
            Kind::Command(_) | Kind::Oneshot(_) => of_command(program, key),
        }),
    }
}

/// The keys of every kind.
fn of_any(program: &Program, key: &Key) -> Option<Value> {
    let process = &program.process;
    match key.name {
        "kind" => {
            let sort = match program.kind {
                Kind::Postgres(_) => Sort::Postgres,
                Kind::Command(_) => Sort::Command,
                Kind::Oneshot(_) => Sort::Oneshot,
            };
            Some(Value::Text(sort.word().to_owned()))
        }
        "user" => process.user.clone().map(Value::Text),
        "groups" => Some(Value::Texts(process.groups.clone())),
        "umask" => process.umask.map(|mask| Value::Number(mask.into())),
        "nice" => process.nice.map(|nice| Value::Number(nice.into())),
        "oom_score_adj" => process.oom_score_adj.map(|score| Value::Number(score.into())),
        "rlimits" => Some(Value::Limits(process.rlimits.clone())),
        "environment" => Some(Value::Pairs(process.environment.clone())),
        "stop_timeout" => time(program.stop_timeout),
        "critical" => Some(Value::Flag(program.critical)),
        "after" => Some(Value::Texts(program.needs.after.clone())),
        "requires" => Some(Value::Texts(program.needs.requires.clone())),
        "bound" => Some(Value::Flag(program.needs.bound)),
        "output" => word(&program.output),
        _ => None,
    }
}

fn of_engine(program: &Program, key: &Key) -> Option<Value> {
    let postgres = program.kind.engine()?;
    match key.name {
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
        "follow_engine_log" => Some(Value::Flag(postgres.follow_engine_log)),
        "conf_template" => maybe(postgres.conf_template.as_ref()),
        "initdb_args" => Some(Value::Texts(postgres.initdb_args.clone())),
        "init_scripts" => path(&postgres.init_scripts),
        "stop_mode" => word(postgres.stop_mode),
        "parameters" => Some(Value::Pairs(postgres.parameters.clone())),
        _ => None,
    }
}

fn of_command(program: &Program, key: &Key) -> Option<Value> {
    let command = program.kind.command()?;
    match key.name {
        "command" => Some(Value::Texts(command.command.clone())),
        "working_dir" => path(&command.working_dir),
        "stop_signal" => Some(Value::Number(command.stop_signal.into())),
        "kill_reach" => word(command.kill_reach),
        _ => None,
    }
}

fn of_restart(program: &Program, key: &Key) -> Option<Value> {
    let restart = &program.restart;
    match key.name {
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

fn of_checks(program: &Program, key: &Key) -> Option<Value> {
    let ready = program.kind.command().and_then(|command| command.ready.as_ref());
    let live = program.live.as_ref();
    let check = match key.section {
        Section::Ready => &ready?.check,
        _ => &live?.check,
    };
    match (key.section, key.name, check) {
        (_, "exec", Check::Exec(command)) => Some(Value::Texts(command.clone())),
        (_, "tcp", Check::Tcp(address)) => Some(Value::Address(*address)),
        (_, "notify", Check::NotifySystemd) => Some(Value::Text("sd".to_owned())),
        (_, "notify", Check::NotifyFd(number)) => Some(Value::Number((*number).into())),
        (_, "engine", Check::Engine) => Some(Value::Flag(true)),
        (Section::Ready, "timeout", _) => time(ready?.timeout),
        (Section::Live, "timeout", _) => time(live?.timeout),
        (Section::Live, "period", _) => time(live?.period),
        (Section::Live, "failures", _) => Some(Value::Number(live?.failures.into())),
        _ => None,
    }
}

fn of_file(program: &Program, key: &Key) -> Option<Value> {
    let Output::File(file) = &program.output else { return None };
    match key.name {
        "file" => path(&file.file),
        "size" => Some(Value::Size(file.size)),
        "keep" => Some(Value::Number(file.keep.into())),
        _ => None,
    }
}

/// Every key as Markdown: a table a section, with what is allowed, the default, and what it does; within a program also
/// the kinds that have it.
pub fn reference() -> String {
    let mut out = String::new();
    for section in Section::ALL {
        let gap = if out.is_empty() { "" } else { "\n" };
        let variable = section.title().replace("program.", "").replace('.', "_").to_uppercase();
        let variable = variable.replace("NAME", "<NAME>");
        let _ = writeln!(out, "{gap}### `[{}]`\n\nEnvironment: `POLAR_{variable}_<KEY>`\n", section.title());
        let program = section == Section::Program || section.below().is_some();
        out.push_str(if program {
            "| key | kinds | allowed | default | what it does |\n|---|---|---|---|---|\n"
        } else {
            "| key | allowed | default | what it does |\n|---|---|---|---|\n"
        });
        for key in keys::of(section) {
            let kinds: Vec<&str> = key.sorts.iter().map(|sort| sort.word()).collect();
            let kinds = if kinds.len() == Sort::ALL.len() { "all".to_owned() } else { kinds.join(", ") };
            let kinds = if program { format!(" {kinds} |") } else { String::new() };
            let allowed = cell(&key.form.allowed());
            let _ =
                writeln!(out, "| `{}` |{kinds} {allowed} | {} | {} |", key.name, preset(key), cell(key.doc));
        }
    }
    out
}

/// A key's default in the reference, with the kinds where they differ.
fn preset(key: &Key) -> String {
    let shown = |preset| match preset {
        Preset::Unset(instead) => format!("unset: {}", cell(instead)),
        Preset::Is(text) => format!("`{}`", cell(text)),
        Preset::Required | Preset::Each(_) => "required".to_owned(),
    };
    let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
    for sort in key.sorts {
        let text = shown(key.default(*sort));
        match groups.iter_mut().find(|(known, _)| *known == text) {
            Some((_, kinds)) => kinds.push(sort.word()),
            None => groups.push((text, vec![sort.word()])),
        }
    }
    match groups.as_slice() {
        [(text, _)] => text.clone(),
        _ => groups
            .iter()
            .map(|(text, kinds)| format!("{text} ({})", kinds.join(", ")))
            .collect::<Vec<_>>()
            .join("; "),
    }
}

/// A text within a table of Markdown.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
