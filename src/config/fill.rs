//! The second step: what was typed becomes what it means, every default filled in.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::StrDeserializer;

use super::check::{self, Value};
use super::keys::{self, Key, Preset, Section, Sort};
use super::meant::{
    Check, Command, Config, KillReach, Kind, Live, Needs, OnGiveUp, Output, OutputFile, Postgres, Process,
    Program, Ready, Restart, RestartPolicy, Serve, Supervisor,
};
use super::mistake::Mistake;
use super::needs;
use super::raw::{self, Node, Raw};
use super::typed::{SERVE, Scope, Typed};

/// Fills in the defaults. What was given wrongly (and is reported) is taken as its default, so that the rest can be
/// looked at; a program whose kind is not known is left out. An error is a mistake of the table of keys, not of the user.
pub(super) fn fill(typed: &Typed) -> Result<Config, Mistake> {
    let reader = |scope, section| Reader { scope, section, sort: Sort::Postgres, places: &[] };
    let supervisor = supervisor(&reader(&typed.supervisor, Section::Supervisor))?;
    let listen = reader(&typed.serve, Section::Serve).maybe("listen")?;
    let mut needs = needs::all(typed);
    let mut programs = Vec::new();
    for (name, scope) in &typed.programs {
        if let Some(sort) = scope.sort() {
            let needs = needs.remove(name.as_str()).unwrap_or_default();
            programs.push(program(name, scope, sort, needs, &supervisor)?);
        }
    }
    let serve = listen.map(|listen| Serve { listen });
    if let Some(serve) = &serve {
        programs.push(served(serve, &supervisor, &supervisor.run_dir, &programs));
    }
    Ok(Config { supervisor, serve, programs })
}

impl Config {
    /// Has the program that `[serve]` adds talk to a supervisor whose socket is in this folder: one that runs keeps its
    /// own, whatever `run_dir` a new configuration has.
    pub(crate) fn serve_from(&mut self, run_dir: &Path) {
        let Some(serve) = &self.serve else { return };
        let served = served(serve, &self.supervisor, run_dir, &self.programs);
        if let Some(program) = self.programs.iter_mut().find(|program| program.name == SERVE) {
            *program = served;
        }
    }
}

/// The program that `[serve]` adds.
fn served(serve: &Serve, supervisor: &Supervisor, run_dir: &Path, programs: &[Program]) -> Program {
    let socket = run_dir.join("supervisor.sock");
    let words =
        ["polarctl", "--socket", &socket.to_string_lossy(), "serve", "--listen", &serve.listen.to_string()];
    let engine = programs.iter().find(|program| program.kind.engine().is_some());
    // Without an engine nobody but PID 1's own user may use its socket.
    let user = engine.map(|engine| engine.process.user.clone().unwrap_or_else(|| "postgres".to_owned()));
    Program {
        name: SERVE.to_owned(),
        kind: Kind::Command(Box::new(Command {
            command: words.map(str::to_owned).to_vec(),
            working_dir: PathBuf::from("/"),
            ready: None,
            stop_signal: nix::libc::SIGTERM,
            kill_reach: KillReach::Tree,
        })),
        process: Process { user, ..Process::default() },
        restart: Restart {
            policy: RestartPolicy::Always,
            min_backoff: Duration::ZERO,
            max_backoff: Duration::from_secs(30),
            clean_exit_delay: Duration::from_secs(1),
            reset_after: Duration::from_secs(60),
            // Whoever takes its port for an hour has not ended it for ever.
            give_up_after: 0,
            on_give_up: OnGiveUp::Stay,
        },
        stop_timeout: Duration::from_secs(10).min(supervisor.stop_timeout),
        critical: false,
        needs: Needs::default(),
        live: None,
        output: Output::Prefix,
    }
}

/// A key's default for a kind; `places` are what `<data_dir>` and such stand for.
pub(super) fn default(key: &Key, sort: Sort, places: &[(&str, &Path)]) -> Option<Value> {
    let Preset::Is(text) = key.default(sort) else { return None };
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

#[derive(Clone, Copy)]
struct Reader<'a> {
    scope: &'a Scope,
    section: Section,
    /// Whose defaults hold.
    sort: Sort,
    places: &'a [(&'a str, &'a Path)],
}

impl Reader<'_> {
    /// The same program's other section.
    fn of(self, section: Section) -> Self {
        Reader { section, ..self }
    }

    /// The value of a key as it is, if it has one.
    fn raw(&self, name: &'static str) -> Result<Option<Value>, Mistake> {
        let Some(key) = keys::find(self.section, name) else { return Err(self.bug(name)) };
        let given = self.scope.given(key).and_then(|given| given.value.clone());
        Ok(given.or_else(|| default(key, self.sort, self.places)))
    }

    /// The value of a key, if it has one.
    fn maybe<T: FromValue>(&self, name: &'static str) -> Result<Option<T>, Mistake> {
        match self.raw(name)? {
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
    Size => u64,
    Address => SocketAddr,
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

fn program(
    name: &str,
    scope: &Scope,
    sort: Sort,
    needs: Needs,
    supervisor: &Supervisor,
) -> Result<Program, Mistake> {
    let section = Section::Program;
    let plain = Reader { scope, section, sort, places: &[] };
    let data_dir: PathBuf = if sort == Sort::Postgres { plain.get("data_dir")? } else { PathBuf::new() };
    let places = [("<data_dir>", data_dir.as_path()), ("<log_dir>", supervisor.log_dir.as_path())];
    let read = Reader { places: &places, ..plain };
    let mut stop_timeout = read.get("stop_timeout")?;
    if !scope.has(section, "stop_timeout") {
        // Whoever gives PID 1 less time for everything has thereby given the program less.
        stop_timeout = supervisor.stop_timeout.min(stop_timeout);
    }
    Ok(Program {
        name: name.to_owned(),
        kind: match sort {
            Sort::Postgres => Kind::Postgres(Box::new(postgres(&read, data_dir.clone())?)),
            Sort::Command => Kind::Command(Box::new(Command {
                ready: ready(&read.of(Section::Ready))?,
                ..command(&read)?
            })),
            Sort::Oneshot => Kind::Oneshot(Box::new(command(&read)?)),
        },
        process: Process {
            user: read.maybe("user")?,
            groups: read.get("groups")?,
            umask: read.maybe("umask")?,
            nice: read.maybe("nice")?,
            oom_score_adj: read.maybe("oom_score_adj")?,
            rlimits: read.get("rlimits")?,
            environment: read.get("environment")?,
        },
        restart: restart(&read.of(Section::Restart))?,
        stop_timeout,
        critical: read.get("critical")?,
        needs,
        live: live(&read.of(Section::Live))?.map(Box::new),
        output: output(&read, &supervisor.log_dir)?,
    })
}

fn command(read: &Reader<'_>) -> Result<Command, Mistake> {
    Ok(Command {
        // A missing one is reported.
        command: read.maybe("command")?.unwrap_or_default(),
        working_dir: read.get("working_dir")?,
        ready: None,
        stop_signal: read.get("stop_signal")?,
        kill_reach: read.word("kill_reach")?,
    })
}

/// The checks that readiness and liveness share.
fn shared_check(read: &Reader<'_>) -> Result<Option<Check>, Mistake> {
    if let Some(command) = read.maybe("exec")? {
        return Ok(Some(Check::Exec(command)));
    }
    Ok(read.maybe("tcp")?.map(Check::Tcp))
}

fn ready(read: &Reader<'_>) -> Result<Option<Ready>, Mistake> {
    let notify = match read.raw("notify")? {
        Some(Value::Number(number)) => i32::try_from(number).ok().map(Check::NotifyFd),
        Some(_) => Some(Check::NotifySystemd),
        None => None,
    };
    let Some(check) = shared_check(read)?.or(notify) else { return Ok(None) };
    Ok(Some(Ready { check, timeout: read.get("timeout")? }))
}

fn live(read: &Reader<'_>) -> Result<Option<Live>, Mistake> {
    let own = read.sort == Sort::Postgres && read.get("engine")?;
    let Some(check) = shared_check(read)?.or(own.then_some(Check::Engine)) else { return Ok(None) };
    Ok(Some(Live {
        check,
        period: read.get("period")?,
        timeout: read.get("timeout")?,
        failures: read.get("failures")?,
    }))
}

fn output(read: &Reader<'_>, log_dir: &Path) -> Result<Output, Mistake> {
    let table = read.of(Section::Output);
    match table.maybe::<PathBuf>("file")? {
        Some(file) if read.sort != Sort::Postgres => Ok(Output::File(OutputFile {
            file: log_dir.join(file),
            size: table.get("size")?,
            keep: table.get("keep")?,
        })),
        _ => read.word("output"),
    }
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
        follow_engine_log: read.get("follow_engine_log")?,
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
