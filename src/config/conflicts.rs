//! What values say together: spans that contradict each other, paths that would destroy each other, engines that share
//! what they cannot share.

use std::path::{Path, PathBuf};

use super::keys::Section;
use super::meant::{Config, Output, Postgres, Program};
use super::mistake::{Mistake, Origin, quoted};
use super::span;
use super::typed::{Scope, Typed};

/// Adds the mistakes. What a reported mistake has a part in is left alone.
pub(super) fn check(typed: &Typed, config: &Config, mistakes: &mut Vec<Mistake>) {
    let programs: Vec<One<'_>> = config
        .programs
        .iter()
        .filter_map(|program| Some(One { program, scope: typed.programs.get(&program.name)? }))
        .collect();
    let engines: Vec<Engine<'_>> = programs
        .iter()
        .filter_map(|one| Some(Engine { postgres: one.program.kind.engine()?, one: *one }))
        .collect();
    for one in &programs {
        backoff(one, mistakes);
        stop_timeout(one, typed, config, mistakes);
    }
    for engine in &engines {
        paths(engine, typed, config, mistakes);
    }
    for (index, one) in engines.iter().enumerate() {
        for other in engines.iter().skip(index + 1) {
            pair(one, other, typed, mistakes);
        }
    }
    files(&programs, typed, config, mistakes);
}

/// A program and what was typed of it.
#[derive(Clone, Copy)]
struct One<'a> {
    program: &'a Program,
    scope: &'a Scope,
}

impl One<'_> {
    /// Where the first of these that was given was given, else where the first would be.
    fn origin(&self, section: Section, names: &[&'static str]) -> Option<Origin> {
        let given = names.iter().find(|name| self.scope.has(section, name));
        given.or(names.first()).map(|name| self.scope.origin(section, name))
    }
}

struct Engine<'a> {
    one: One<'a>,
    postgres: &'a Postgres,
}

fn say(origin: Option<Origin>, what: String, mistakes: &mut Vec<Mistake>) {
    mistakes.extend(origin.map(|origin| origin.mistake(what)));
}

fn shown(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

fn backoff(one: &One<'_>, mistakes: &mut Vec<Mistake>) {
    let names = ["max_backoff", "min_backoff"];
    let restart = &one.program.restart;
    if one.scope.sound(Section::Restart, &names) && restart.min_backoff > restart.max_backoff {
        let what = format!(
            "`min_backoff` (\"{}\") is longer than `max_backoff` (\"{}\"); lower the one or raise the other",
            span::write(restart.min_backoff),
            span::write(restart.max_backoff)
        );
        say(one.origin(Section::Restart, &names), what, mistakes);
    }
}

fn stop_timeout(one: &One<'_>, typed: &Typed, config: &Config, mistakes: &mut Vec<Mistake>) {
    let name = "stop_timeout";
    let sound =
        one.scope.sound(Section::Program, &[name]) && typed.supervisor.sound(Section::Supervisor, &[name]);
    let (own, whole) = (one.program.stop_timeout, config.supervisor.stop_timeout);
    if sound && own > whole {
        let by_default = if typed.supervisor.has(Section::Supervisor, name) { "" } else { ", its default" };
        let what = format!(
            "`stop_timeout` is \"{own}\", longer than a shutdown of all programs may take: \"{whole}\"{by_default}; \
             raise `stop_timeout` of [supervisor] (and the container's grace period) above \"{own}\", or lower this one",
            own = span::write(own),
            whole = span::write(whole)
        );
        say(one.origin(Section::Program, &[name]), what, mistakes);
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
    if !engine.one.scope.sound(Section::Program, &own)
        || !typed.supervisor.sound(Section::Supervisor, &folders)
    {
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
                say(engine.one.origin(Section::Program, &[name, "data_dir"]), what, mistakes);
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
        say(engine.one.origin(Section::Program, &["log_link", "data_dir"]), what, mistakes);
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
        say(engine.one.origin(Section::Program, &["lock_file", "log_link"]), what, mistakes);
        return;
    }
    if run.starts_with(data) {
        let what = format!(
            "`data_dir` ({}) holds `run_dir` of [supervisor] ({}); a data directory with something else in it is never \
             initialized, so name a folder outside of it",
            shown(data),
            shown(run)
        );
        say(engine.one.origin(Section::Program, &["data_dir"]), what, mistakes);
    }
}

fn pair(one: &Engine<'_>, other: &Engine<'_>, typed: &Typed, mistakes: &mut Vec<Mistake>) {
    let places = ["data_dir", "lock_file", "log_link"];
    let sound = |engine: &Engine<'_>, names: &[&'static str]| engine.one.scope.sound(Section::Program, names);
    let logs = typed.supervisor.sound(Section::Supervisor, &["log_dir"]);
    let names = format!("\"{}\" and \"{}\"", one.one.program.name, other.one.program.name);
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
            say(other.one.origin(Section::Program, &["data_dir"]), what, mistakes);
            // Their other default paths follow from this one.
            return;
        }
        if a.lock_file == b.lock_file {
            let what = format!(
                "the programs {names} have the same `lock_file` ({}); give each its own",
                shown(&a.lock_file)
            );
            say(other.one.origin(Section::Program, &["lock_file"]), what, mistakes);
        }
        if logs && a.log_link == b.log_link {
            let what = format!(
                "the programs {names} have the same `log_link` ({}); give each its own",
                shown(&a.log_link)
            );
            say(other.one.origin(Section::Program, &["log_link"]), what, mistakes);
        }
        if a.log_link.starts_with(&b.data_dir) || b.log_link.starts_with(&a.data_dir) {
            let what = format!(
                "of the programs {names}, the `log_link` of one is inside of the other's `data_dir`; move it"
            );
            say(other.one.origin(Section::Program, &["log_link", "data_dir"]), what, mistakes);
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
            say(other.one.origin(Section::Program, &["port", "socket_dir"]), what, mistakes);
        }
    }
}

/// The file of PID 1's own events, in `log_dir`; full ones are `events.jsonl.1` and so on.
const JOURNAL: &str = "events.jsonl";

/// Files of output: each its own, outside of the data directories, and in nobody's place.
fn files(programs: &[One<'_>], typed: &Typed, config: &Config, mistakes: &mut Vec<Mistake>) {
    if !typed.supervisor.sound(Section::Supervisor, &["run_dir", "log_dir"]) {
        return;
    }
    let own = |one: &One<'_>| match &one.program.output {
        Output::File(file) => Some(file.file.clone()),
        _ => None,
    };
    let outputs: Vec<(One<'_>, PathBuf)> =
        programs.iter().filter_map(|one| Some((*one, own(one)?))).collect();
    let within = |path: &Path, place: &Path| path.starts_with(place) || place.starts_with(path);
    for (index, (one, file)) in outputs.iter().enumerate() {
        let same = outputs.iter().take(index).find(|(_, other)| within(file, other));
        let what = if let Some((other, theirs)) = same {
            let (a, b) = (&other.program.name, &one.program.name);
            Some(match file == theirs {
                true => {
                    format!("the programs \"{a}\" and \"{b}\" write into the same `file` ({})", shown(file))
                }
                false => format!(
                    "of the programs \"{a}\" and \"{b}\", the `file` of one is a folder of the other's ({}, {})",
                    shown(theirs),
                    shown(file)
                ),
            })
        } else {
            taken(file, programs, config)
        };
        if let Some(what) = what {
            let what = format!("{what}; name another file");
            say(one.origin(Section::Output, &["file"]), what, mistakes);
        }
    }
}

/// What a file of output is in the way of.
fn taken(file: &Path, programs: &[One<'_>], config: &Config) -> Option<String> {
    let supervisor = &config.supervisor;
    let is = |place: &str| format!("`file` ({}) is {place}", shown(file));
    for (name, folder) in [("run_dir", &supervisor.run_dir), ("log_dir", &supervisor.log_dir)] {
        if folder.starts_with(file) {
            return Some(is(&format!("`{name}` of [supervisor] ({}) or a folder above it", shown(folder))));
        }
    }
    if file.starts_with(supervisor.run_dir.join("supervisor.sock")) {
        return Some(is("in the place of the control socket"));
    }
    let name = file.strip_prefix(&supervisor.log_dir).ok().and_then(|name| name.to_str()).unwrap_or_default();
    if name.strip_prefix(JOURNAL).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '/'])) {
        return Some(is("in the place of the journal of events"));
    }
    for (one, engine) in programs.iter().filter_map(|one| Some((one, one.program.kind.engine()?))) {
        if !one.scope.sound(Section::Program, &["data_dir", "lock_file", "log_link"]) {
            continue;
        }
        for (key, place) in
            [("data_dir", &engine.data_dir), ("log_link", &engine.log_link), ("lock_file", &engine.lock_file)]
        {
            let what = match (file.starts_with(place), place.starts_with(file)) {
                (true, _) if file == place => "",
                (true, _) => "inside of ",
                (_, true) => "a folder above ",
                _ => continue,
            };
            return Some(is(&format!("{what}`{key}` of \"{}\" ({})", one.program.name, shown(place))));
        }
    }
    None
}
