//! Why a program is up or down: the core's conditions, and the evidence that only the shell has.

use crate::config::{Check, Kind, Output};
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
        for condition in &mut conditions {
            match condition.name.as_str() {
                "readiness" if !glance.ready => condition.text.push_str(&awaited(program)),
                "last_exit" => {
                    let class =
                        self.state.program(id).and_then(|known| known.last_exit).map(|exit| exit.class);
                    let why = class.and_then(|class| program.findings.end(class, program.main.is_some()));
                    condition.text.extend(why.map(|why| format!(": {why}")));
                }
                _ => {}
            }
        }
        conditions.extend(live(program).filter(|_| glance.ready));
        conditions.extend(output(program));
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

/// What it waits for to count as ready, and what was found last.
fn awaited(program: &Program) -> String {
    let Kind::Command(command) = &program.config.kind else { return String::new() };
    let Some(ready) = &command.ready else { return String::new() };
    let mut text = format!("; it is ready once {}", passes(&ready.check));
    text.extend(program.findings.not_ready().map(|why| format!("; so far: {why}")));
    text
}

/// Its `live` checks, where it has some.
fn live(program: &Program) -> Option<Condition> {
    let live = program.config.live.as_ref()?;
    program.main.as_ref()?;
    let each = live.period.as_secs_f64();
    Some(match program.findings.not_live() {
        None => condition(
            "live",
            Effect::Allows,
            format!("each {each} s it is looked whether {}", passes(&live.check)),
        ),
        Some(why) => condition(
            "live",
            Effect::Warns,
            format!("its live check (each {each} s whether {}) {why}", passes(&live.check)),
        ),
    })
}

fn passes(check: &Check) -> String {
    match check {
        Check::Exec(command) => format!("`{}` ends with status 0", command.join(" ")),
        Check::Tcp(address) => format!("{address} takes a connection"),
        Check::NotifySystemd => "it says READY=1 to $NOTIFY_SOCKET".into(),
        Check::NotifyFd(number) => format!("it writes a line to descriptor {number}"),
        Check::Engine => "the server answers on its socket".into(),
    }
}

/// Where what it writes goes, where that is a file.
fn output(program: &Program) -> Option<Condition> {
    let Output::File(file) = &program.config.output else { return None };
    let file = file.file.display();
    Some(match program.outlet.dropped() {
        0 => condition("output", Effect::Allows, format!("its output goes to {file}")),
        dropped => condition(
            "output",
            Effect::Warns,
            format!(
                "its output goes to {file}; {dropped} lines were dropped, for they could not be written in time"
            ),
        ),
    })
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
