//! Why a program is up or down: the core's conditions, and the evidence that only the shell has.

use crate::control::protocol::{Condition, Effect, Explanation};
use crate::supervisor::core::{self, Glance, Id};
use crate::supervisor::procfs;
use crate::supervisor::shell::Shell;
use crate::supervisor::shell::program::Program;

/// So many of the last lines are shown.
const LINES: usize = 10;

impl Shell {
    pub(super) fn explanations(&self, ids: &[Id]) -> Vec<Explanation> {
        ids.iter().filter_map(|id| self.explanation(*id)).collect()
    }

    fn explanation(&self, id: Id) -> Option<Explanation> {
        let program = self.programs.get(id.0)?;
        let glance = core::glance(&self.state, self.now(), id)?;
        let mut conditions: Vec<Condition> =
            core::explain(&self.state, self.now(), id).into_iter().map(from_core).collect();
        conditions.extend(keeper(program));
        conditions.extend(stopped_process(program));
        conditions.extend(usurped(program));
        conditions.extend(notes(program));
        conditions.sort_by_key(|condition| condition.effect);
        Some(Explanation {
            name: program.config.name.clone(),
            state: glance.state.into(),
            summary: summary(glance, program, &conditions),
            conditions,
            last_lines: program.outlet.lines(Some(LINES)).into_iter().map(|line| line.text).collect(),
        })
    }
}

fn from_core(condition: core::Condition) -> Condition {
    Condition {
        name: condition.name.into(),
        effect: match condition.effect {
            core::Effect::Blocks => Effect::Blocks,
            core::Effect::Warns => Effect::Warns,
            core::Effect::Allows => Effect::Allows,
            core::Effect::Unknown => Effect::Unknown,
        },
        text: condition.text,
    }
}

fn condition(name: &str, effect: Effect, text: impl Into<String>) -> Condition {
    Condition { name: name.into(), effect, text: text.into() }
}

/// Whether PID 1 is the one keeper of the data directory.
fn keeper(program: &Program) -> Option<Condition> {
    let data_dir = program.engine()?.data_dir.display();
    Some(if program.keeper.is_some() {
        condition("keeper", Effect::Allows, format!("this supervisor is the one keeper of {data_dir}"))
    } else {
        condition(
            "keeper",
            Effect::Unknown,
            format!("this supervisor has not become the keeper of {data_dir}: each start begins with that"),
        )
    })
}

/// A main process that somebody has stopped looks as if it ran.
fn stopped_process(program: &Program) -> Option<Condition> {
    let pid = program.main.as_ref()?.pid;
    let text = match procfs::stat(pid)?.state {
        'T' => format!(
            "process {pid} is stopped by a signal (SIGSTOP): it answers nobody; to go on: kill -CONT {pid}"
        ),
        't' => format!("process {pid} is held by a debugger: it answers nobody until that lets it go"),
        _ => return None,
    };
    Some(condition("process", Effect::Warns, text))
}

fn usurped(program: &Program) -> Option<Condition> {
    program.usurped.then(|| {
        condition(
            "pid_file",
            Effect::Warns,
            "TWO SERVERS ON ONE DATA DIRECTORY: its pid file has named another process while this one served; end the \
             other one at once",
        )
    })
}

/// What the last `prepare` children found.
fn notes(program: &Program) -> impl Iterator<Item = Condition> {
    program.notes.iter().map(|note| {
        let effect = if note.warning { Effect::Warns } else { Effect::Allows };
        condition(&note.about, effect, note.text.clone())
    })
}

/// One sentence: what it does, and the first thing that keeps it from running.
fn summary(glance: Glance, program: &Program, conditions: &[Condition]) -> String {
    let name = &program.config.name;
    let process = program.main.as_ref().map(|main| format!(", process {}", main.pid)).unwrap_or_default();
    let first = |effect: Effect| conditions.iter().find(|condition| condition.effect == effect);
    let why = if glance.ready && glance.state == "running" {
        first(Effect::Warns)
    } else {
        first(Effect::Blocks).or_else(|| first(Effect::Warns))
    };
    let state = if glance.state == "backoff" { "in back-off" } else { glance.state };
    match why {
        Some(why) => format!("{name} is {state}{process}: {}", why.text),
        None => format!("{name} is {state}{process}"),
    }
}
