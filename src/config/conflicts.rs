//! What values say together: spans that contradict each other, paths that would destroy each other, engines that share
//! what they cannot share.

use std::path::Path;

use super::keys::Section;
use super::meant::{Config, Postgres, Program};
use super::mistake::{Mistake, Origin, quoted};
use super::span;
use super::typed::{Scope, Typed};

/// Adds the mistakes. What a reported mistake has a part in is left alone.
pub(super) fn check(typed: &Typed, config: &Config, mistakes: &mut Vec<Mistake>) {
    let engines: Vec<Engine<'_>> = config
        .programs
        .iter()
        .filter_map(|program| {
            let scope = typed.programs.get(&program.name)?;
            Some(Engine { program, postgres: program.kind.engine()?, scope })
        })
        .collect();
    for engine in &engines {
        backoff(engine, mistakes);
        stop_timeout(engine, typed, config, mistakes);
        paths(engine, typed, config, mistakes);
    }
    for (index, one) in engines.iter().enumerate() {
        for other in engines.iter().skip(index + 1) {
            pair(one, other, typed, mistakes);
        }
    }
}

struct Engine<'a> {
    program: &'a Program,
    postgres: &'a Postgres,
    scope: &'a Scope,
}

impl Engine<'_> {
    /// Where the first of these that was given was given, else where the first would be.
    fn origin(&self, section: Section, names: &[&'static str]) -> Option<Origin> {
        let given = names.iter().find(|name| self.scope.has(section, name));
        given.or(names.first()).map(|name| self.scope.origin(section, name))
    }
}

fn say(origin: Option<Origin>, what: String, mistakes: &mut Vec<Mistake>) {
    mistakes.extend(origin.map(|origin| origin.mistake(what)));
}

fn shown(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

fn backoff(engine: &Engine<'_>, mistakes: &mut Vec<Mistake>) {
    let names = ["max_backoff", "min_backoff"];
    let restart = &engine.program.restart;
    if engine.scope.sound(Section::Restart, &names) && restart.min_backoff > restart.max_backoff {
        let what = format!(
            "`min_backoff` (\"{}\") is longer than `max_backoff` (\"{}\"); lower the one or raise the other",
            span::write(restart.min_backoff),
            span::write(restart.max_backoff)
        );
        say(engine.origin(Section::Restart, &names), what, mistakes);
    }
}

fn stop_timeout(engine: &Engine<'_>, typed: &Typed, config: &Config, mistakes: &mut Vec<Mistake>) {
    let name = "stop_timeout";
    let sound =
        engine.scope.sound(Section::Program, &[name]) && typed.supervisor.sound(Section::Supervisor, &[name]);
    let (own, whole) = (engine.program.stop_timeout, config.supervisor.stop_timeout);
    if sound && own > whole {
        let by_default = if typed.supervisor.has(Section::Supervisor, name) { "" } else { ", its default" };
        let what = format!(
            "`stop_timeout` is \"{own}\", longer than a shutdown of all programs may take: \"{whole}\"{by_default}; \
             raise `stop_timeout` of [supervisor] (and the container's grace period) above \"{own}\", or lower this one",
            own = span::write(own),
            whole = span::write(whole)
        );
        say(engine.origin(Section::Program, &[name]), what, mistakes);
    }
}

/// Paths that would destroy each other. The link's place is cleared when something else is there, so the link may be
/// nothing that holds data; a lock file that is always there keeps the engine down for ever; a run folder in the data
/// directory makes it one that is never initialized.
fn paths(engine: &Engine<'_>, typed: &Typed, config: &Config, mistakes: &mut Vec<Mistake>) {
    let postgres = engine.postgres;
    let data = postgres.data_dir.as_path();
    let folders = ["run_dir", "log_dir"];
    let own = ["data_dir", "lock_file", "log_link"];
    if !engine.scope.sound(Section::Program, &own) || !typed.supervisor.sound(Section::Supervisor, &folders) {
        return;
    }
    let run = config.supervisor.run_dir.as_path();
    let log = config.supervisor.log_dir.as_path();
    for (name, path) in [("lock_file", &postgres.lock_file), ("log_link", &postgres.log_link)] {
        for (folder, place) in [("data_dir", data), ("run_dir", run), ("log_dir", log)] {
            if place.starts_with(path) {
                let what = format!(
                    "`{name}` ({}) is `{folder}` ({}) or a folder above it; name a path of its own",
                    shown(path),
                    shown(place)
                );
                say(engine.origin(Section::Program, &[name, "data_dir"]), what, mistakes);
                return;
            }
        }
    }
    if postgres.log_link.starts_with(data) && postgres.log_link != data.join("pg_log") {
        let what = format!(
            "`log_link` ({}) is inside of `data_dir` ({}), where it could take the place of the database's own files; \
             allowed there: {}",
            shown(&postgres.log_link),
            shown(data),
            shown(&data.join("pg_log"))
        );
        say(engine.origin(Section::Program, &["log_link", "data_dir"]), what, mistakes);
        return;
    }
    if postgres.log_link.starts_with(&postgres.lock_file)
        || postgres.lock_file.starts_with(&postgres.log_link)
    {
        let what = format!(
            "`lock_file` ({}) and `log_link` ({}) are in each other's way; name two paths",
            shown(&postgres.lock_file),
            shown(&postgres.log_link)
        );
        say(engine.origin(Section::Program, &["lock_file", "log_link"]), what, mistakes);
        return;
    }
    if run.starts_with(data) {
        let what = format!(
            "`data_dir` ({}) holds `run_dir` of [supervisor] ({}); a data directory with something else in it is never \
             initialized, so name a folder outside of it",
            shown(data),
            shown(run)
        );
        say(engine.origin(Section::Program, &["data_dir"]), what, mistakes);
    }
}

fn pair(one: &Engine<'_>, other: &Engine<'_>, typed: &Typed, mistakes: &mut Vec<Mistake>) {
    let places = ["data_dir", "lock_file", "log_link"];
    let sound = |engine: &Engine<'_>, names: &[&'static str]| engine.scope.sound(Section::Program, names);
    let logs = typed.supervisor.sound(Section::Supervisor, &["log_dir"]);
    let names = format!("\"{}\" and \"{}\"", one.program.name, other.program.name);
    let (a, b) = (one.postgres, other.postgres);
    if sound(one, &places) && sound(other, &places) {
        if a.data_dir.starts_with(&b.data_dir) || b.data_dir.starts_with(&a.data_dir) {
            let what = if a.data_dir == b.data_dir {
                format!("the programs {names} have the same `data_dir` ({})", shown(&a.data_dir))
            } else {
                format!(
                    "the `data_dir` of one of the programs {names} is inside of the other's ({}, {})",
                    shown(&a.data_dir),
                    shown(&b.data_dir)
                )
            };
            let what = format!("{what}; give each a directory of its own");
            say(other.origin(Section::Program, &["data_dir"]), what, mistakes);
            // Their other default paths follow from this one.
            return;
        }
        if a.lock_file == b.lock_file {
            let what = format!(
                "the programs {names} have the same `lock_file` ({}); give each its own",
                shown(&a.lock_file)
            );
            say(other.origin(Section::Program, &["lock_file"]), what, mistakes);
        }
        if logs && a.log_link == b.log_link {
            let what = format!(
                "the programs {names} have the same `log_link` ({}); give each its own",
                shown(&a.log_link)
            );
            say(other.origin(Section::Program, &["log_link"]), what, mistakes);
        }
        if a.log_link.starts_with(&b.data_dir) || b.log_link.starts_with(&a.data_dir) {
            let what = format!(
                "of the programs {names}, the `log_link` of one is inside of the other's `data_dir`; move it"
            );
            say(other.origin(Section::Program, &["log_link", "data_dir"]), what, mistakes);
        }
    }
    let sockets = ["port", "socket_dir", "data_dir"];
    if sound(one, &sockets) && sound(other, &sockets) && a.port == b.port {
        let shared = a.socket_dir.iter().find(|folder| b.socket_dir.contains(folder));
        if let Some(shared) = shared {
            let what = format!(
                "the programs {names} have the same `port` ({}) and share a folder of `socket_dir` ({}); give each its own port",
                a.port,
                shown(shared)
            );
            say(other.origin(Section::Program, &["port", "socket_dir"]), what, mistakes);
        }
    }
}
