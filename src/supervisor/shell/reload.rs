//! Reload: what the configuration says is held against what runs, program by program. What has not changed is not touched.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::program::Program;
use super::{Shell, load, logger, users};
use crate::config::{self, Config, Mistake, Mistakes};
use crate::control::protocol::Reloaded;
use crate::supervisor::core::{Event, Id, Phase, Spec};
use crate::supervisor::prepare::protocol::User;
use crate::supervisor::spec::spec;

/// What a command is made of: a change of these needs another process.
const COMMAND_IS_MADE_OF: [&str; 10] = [
    "command",
    "environment",
    "groups",
    "nice",
    "oom_score_adj",
    "output",
    "rlimits",
    "umask",
    "user",
    "working_dir",
];
/// What of an engine PID 1 and its helpers heed while it runs; all else waits for its next start.
const ENGINE_IN_PLACE: [&str; 5] = ["lock_file", "lock_poll", "log_keep", "stop_mode", "stop_timeout"];
/// What of an engine belongs to its data directory, which is held while it runs.
const ENGINE_HOLDS: [&str; 3] = ["data_dir", "groups", "user"];

/// The keys by which two configurations of one program differ, sorted by when they take effect.
#[derive(Debug, Default, PartialEq, Eq)]
struct Changes {
    /// At once.
    in_place: Vec<String>,
    /// By a new process, which is started at once.
    restart: Vec<String>,
    /// At the program's next start.
    next_start: Vec<String>,
    /// Not while it runs.
    held: Vec<String>,
}

impl Changes {
    fn between(old: &config::Program, new: &config::Program) -> Self {
        let mut changes = Changes::default();
        let engine = new.kind.engine().is_some();
        for key in differing_keys(old, new) {
            let name = key.as_str();
            let everywhere = name.starts_with("restart.")
                || ["after", "requires", "bound", "critical", "live", "stop_timeout"].contains(&name);
            let list = match engine {
                true if ENGINE_HOLDS.contains(&name) => &mut changes.held,
                true if everywhere || ENGINE_IN_PLACE.contains(&name) => &mut changes.in_place,
                true => &mut changes.next_start,
                false if COMMAND_IS_MADE_OF.contains(&name) => &mut changes.restart,
                false if name == "ready" => &mut changes.next_start,
                false => &mut changes.in_place,
            };
            list.push(key);
        }
        changes
    }

    /// For people; what runs alone has a next start.
    fn in_words(&self, runs: bool) -> String {
        let mut words = Vec::new();
        let at_once: Vec<&str> = match runs {
            true => self.in_place.iter().map(String::as_str).collect(),
            false => [&self.in_place, &self.restart, &self.next_start, &self.held]
                .into_iter()
                .flatten()
                .map(String::as_str)
                .collect(),
        };
        if !at_once.is_empty() {
            words.push(format!("changed: {}", at_once.join(", ")));
        }
        if runs && !self.restart.is_empty() {
            words.push(format!("started again for: {}", self.restart.join(", ")));
        }
        if runs && !self.next_start.is_empty() {
            words.push(format!("at its next start: {}", self.next_start.join(", ")));
        }
        words.join("; ")
    }
}

/// The names of the keys, as the file has them, whose values differ.
fn differing_keys(old: &config::Program, new: &config::Program) -> Vec<String> {
    let (old, new) = (flat(old), flat(new));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    names.into_iter().filter(|&name| old.get(name) != new.get(name)).cloned().collect()
}

fn flat(program: &config::Program) -> BTreeMap<String, Value> {
    let mut keys = BTreeMap::new();
    let Ok(Value::Object(sections)) = serde_json::to_value(program) else { return keys };
    for (section, value) in sections {
        match (section.as_str(), value) {
            ("process" | "needs", Value::Object(inner)) => keys.extend(inner),
            ("restart", Value::Object(inner)) => {
                keys.extend(inner.into_iter().map(|(name, value)| (format!("restart.{name}"), value)));
            }
            ("kind", Value::Object(kinds)) => {
                keys.extend(kinds.into_iter().filter_map(|(_, kind)| kind.as_object().cloned()).flatten());
            }
            (_, value) => _ = keys.insert(section, value),
        }
    }
    keys
}

fn same_kind(one: &config::Kind, other: &config::Kind) -> bool {
    std::mem::discriminant(one) == std::mem::discriminant(other)
}

impl Shell {
    /// Reads the configuration again, and does what it takes; what was done.
    ///
    /// # Errors
    /// Everything that is wrong with it; then nothing has changed.
    pub(super) fn reload(&mut self) -> Result<Reloaded, Mistakes> {
        let result = load(self.config_file.as_deref()).and_then(|config| self.apply(config));
        match &result {
            Ok(done) => {
                for line in &done.said {
                    log::info!(target: logger::SELF, "{line}");
                }
                log::info!(target: logger::SELF, "configuration reloaded; what an engine reads at its start waits for that");
                self.reload_engines();
            }
            Err(mistakes) => {
                for mistake in &mistakes.0 {
                    log::error!(target: logger::SELF, "not reloaded, nothing has changed: {mistake}");
                }
            }
        }
        result
    }

    /// What a removed program held (the lock of its data directory) is given up when nothing of it runs.
    pub(super) fn let_go_of_removed(&mut self) {
        for (place, program) in self.programs.iter_mut().enumerate().filter(|(_, program)| program.removed) {
            if self.state.program(Id(place)).is_none_or(|known| known.run().is_none()) {
                program.keeper = None;
            }
        }
    }

    /// The name of a removed engine that has not let go of the data directory of this one.
    pub(super) fn holder_of_directory(&self, id: Id) -> Option<String> {
        let engine = self.programs.get(id.0)?.engine()?;
        let holds = |known: &&Program| {
            known.removed
                && known.keeper.is_some()
                && known.engine().is_some_and(|other| other.data_dir == engine.data_dir)
        };
        self.programs.iter().find(holds).map(|known| known.config.name.clone())
    }

    fn apply(&mut self, mut config: Config) -> Result<Reloaded, Mistakes> {
        config.serve_from(&self.supervisor.run_dir);
        let accounts = users::Accounts::read();
        let mut mistakes = Vec::new();
        let mut found = Vec::new();
        for program in config.programs.iter().cloned() {
            match accounts.of(&program) {
                Ok(user) => found.push((program, user)),
                Err(error) => mistakes.push(Mistake {
                    file: self
                        .config_file
                        .as_deref()
                        .map_or_else(|| config::DEFAULT_FILE.to_owned(), |file| file.display().to_string()),
                    line: None,
                    key: format!("program.{}", program.name),
                    what: error.to_string(),
                    near: None,
                }),
            }
        }
        if !mistakes.is_empty() {
            return Err(Mistakes(mistakes));
        }
        let mut done = Reloaded { said: self.apply_to_itself(&config.supervisor), ..Reloaded::default() };
        let removed = self.remove_absent(&config, &mut done);
        let mut added = Vec::new();
        let mut kept = Vec::new();
        for (program, user) in found {
            match self.place_of(&program.name) {
                Some(id) => kept.push((id, program, user)),
                None => added.push((program, user)),
            }
        }
        let mut events = removed;
        let first = self.programs.len();
        for (program, user) in added {
            done.said.push(format!("{}: added", program.name));
            done.added.push(program.name.clone());
            let (options, run_dir) = (self.options.clone(), self.supervisor.run_dir.as_path().into());
            self.programs.push(Program::new(program, user, options, run_dir));
        }
        // All have their places by then: one may need another that comes behind it.
        events.extend(
            (first..self.programs.len())
                .filter_map(|place| self.spec_of(Id(place)))
                .map(|spec| Event::Add(Box::new(spec))),
        );
        for (id, program, user) in kept {
            events.extend(self.change(id, program, user, &mut done));
        }
        events.extend(self.changed_needs(first, &events));
        if !events.is_empty() {
            self.events.push_back(Event::Together(events));
        }
        self.start_watch();
        Ok(done)
    }

    /// What `[supervisor]` says of PID 1 itself.
    fn apply_to_itself(&mut self, new: &config::Supervisor) -> Vec<String> {
        let mut done = Vec::new();
        let next_start = "takes effect when the supervisor starts the next time";
        for (key, old, new) in [
            ("run_dir", &self.supervisor.run_dir, &new.run_dir),
            ("log_dir", &self.supervisor.log_dir, &new.log_dir),
        ] {
            if old != new {
                done.push(format!("supervisor: {key} {next_start}"));
            }
        }
        if self.supervisor.stop_timeout != new.stop_timeout {
            self.state.stop_timeout = new.stop_timeout;
            done.push("supervisor: changed: stop_timeout".into());
        }
        if self.supervisor.log_level != new.log_level {
            logger::set_level(new.log_level);
            done.push("supervisor: changed: log_level".into());
        }
        if self.supervisor.log_format != new.log_format {
            logger::set_format(new.log_format);
            done.push("supervisor: changed: log_format".into());
        }
        let (run_dir, log_dir) = (self.supervisor.run_dir.clone(), self.supervisor.log_dir.clone());
        self.supervisor = config::Supervisor { run_dir, log_dir, ..new.clone() };
        done
    }

    fn remove_absent(&mut self, config: &Config, done: &mut Reloaded) -> Vec<Event> {
        let mut events = Vec::new();
        for (place, known) in self.programs.iter_mut().enumerate().filter(|(_, known)| !known.removed) {
            let stays = config.programs.iter().any(|program| {
                program.name == known.config.name && same_kind(&program.kind, &known.config.kind)
            });
            if !stays {
                known.removed = true;
                events.push(Event::Remove(Id(place)));
                done.said.push(format!("{}: removed", known.config.name));
                done.removed.push(known.config.name.clone());
            }
        }
        events
    }

    /// One that is in both.
    fn change(
        &mut self,
        id: Id,
        new: config::Program,
        user: (User, bool),
        done: &mut Reloaded,
    ) -> Option<Event> {
        let (runs, up) = self.state.program(id).map_or((false, None), |known| {
            let up = match known.phase {
                Phase::Up { run, .. } => Some(run),
                _ => None,
            };
            (known.run().is_some(), up)
        });
        let known = self.programs.get_mut(id.0)?;
        let same_user = (&known.user, known.drops) == (&user.0, user.1);
        if known.config == new && same_user {
            return None;
        }
        let mut changes = Changes::between(&known.config, &new);
        if !same_user && changes.restart.is_empty() && changes.held.is_empty() {
            // The same name in another /etc/passwd.
            if new.kind.engine().is_some() { &mut changes.held } else { &mut changes.restart }
                .push("user".into());
        }
        if runs && !changes.held.is_empty() {
            done.said.push(format!(
                "{}: {} cannot change while it runs, so nothing of it has changed: stop it, and reload again",
                new.name,
                changes.held.join(", ")
            ));
            return None;
        }
        done.said.push(format!("{}: {}", new.name, changes.in_words(runs)));
        if runs && !changes.restart.is_empty() {
            done.restarted.push(new.name.clone());
        }
        if !changes.held.is_empty() {
            // What is known of one data directory does not hold for another one.
            let run_dir = self.supervisor.run_dir.as_path().into();
            *known = Program::new(new, user, self.options.clone(), run_dir);
        } else {
            (known.user, known.drops) = user;
            known.config = new;
        }
        if let Some(run) = up.filter(|_| changes.in_place.iter().any(|key| key == "live")) {
            self.look_after(id, run);
        }
        Some(Event::Respec(id, Box::new(self.spec_of(id)?), !changes.restart.is_empty()))
    }

    /// Programs whose needs have changed because others have come or gone, of those before `first`.
    fn changed_needs(&self, first: usize, told: &[Event]) -> Vec<Event> {
        let is_told =
            |id: Id| told.iter().any(|event| matches!(event, Event::Respec(told, ..) if *told == id));
        let changed = |id: Id| {
            let spec = self.spec_of(id).filter(|_| !is_told(id))?;
            let known = self.state.program(id)?;
            (known.spec != spec).then_some(Event::Respec(id, Box::new(spec), false))
        };
        (0..first).filter_map(|place| changed(Id(place))).collect()
    }

    fn spec_of(&self, id: Id) -> Option<Spec> {
        let program = self.programs.get(id.0).filter(|program| !program.removed)?;
        Some(spec(&program.config, |name| self.place_of(name)))
    }

    /// The program of this name that the configuration has.
    pub(super) fn place_of(&self, name: &str) -> Option<Id> {
        let place = self.programs.iter().position(|known| !known.removed && known.config.name == name)?;
        Some(Id(place))
    }
}
