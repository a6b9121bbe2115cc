//! The table of keys: the one place that says what may be written, from which the checks, the messages, the
//! environment overrides, `to_toml` and the reference come.

use super::form::{Form, PATH_MAX};

/// A section of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Section {
    /// `[supervisor]`
    Supervisor,
    /// `[serve]`
    Serve,
    /// `[program.NAME]`
    Program,
    /// `[program.NAME.restart]`
    Restart,
    /// `[program.NAME.ready]`
    Ready,
    /// `[program.NAME.live]`
    Live,
    /// `[program.NAME.output]`
    Output,
}

impl Section {
    /// All of them, in the order of the reference.
    pub(super) const ALL: [Section; 7] = [
        Section::Supervisor,
        Section::Serve,
        Section::Program,
        Section::Restart,
        Section::Ready,
        Section::Live,
        Section::Output,
    ];

    /// Those within a program.
    pub(super) const BELOW: [Section; 4] = [Section::Restart, Section::Ready, Section::Live, Section::Output];

    /// Its name in the file.
    pub(super) fn title(self) -> &'static str {
        match self {
            Section::Supervisor => "supervisor",
            Section::Serve => "serve",
            Section::Program => "program.NAME",
            Section::Restart => "program.NAME.restart",
            Section::Ready => "program.NAME.ready",
            Section::Live => "program.NAME.live",
            Section::Output => "program.NAME.output",
        }
    }

    /// Its name within the program, if it is in one.
    pub(super) fn below(self) -> Option<&'static str> {
        self.title().strip_prefix("program.NAME.")
    }
}

/// A word of the key `kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Postgres,
    Command,
    Oneshot,
}

impl Sort {
    /// All of them.
    pub(super) const ALL: [Sort; 3] = [Sort::Postgres, Sort::Command, Sort::Oneshot];

    /// The word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Sort::Postgres => "postgres",
            Sort::Command => "command",
            Sort::Oneshot => "oneshot",
        }
    }

    /// The one of that word.
    pub(super) fn of(word: &str) -> Option<Sort> {
        Sort::ALL.into_iter().find(|sort| sort.word() == word)
    }
}

/// The kinds of programs that have a key.
pub(super) type Sorts = &'static [Sort];

/// Every kind.
const EACH: Sorts = &Sort::ALL;
/// Engines alone.
const ENGINE: Sorts = &[Sort::Postgres];
/// What is given as a command.
const COMMANDS: Sorts = &[Sort::Command, Sort::Oneshot];
/// What runs on and has no readiness of its own.
const COMMAND: Sorts = &[Sort::Command];
/// What runs on.
const LASTING: Sorts = &[Sort::Postgres, Sort::Command];

/// What a key means where it is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Preset {
    /// It must be given.
    Required,
    /// Nothing is set; the text says what happens then.
    Unset(&'static str),
    /// This, as TOML; `<data_dir>` and `<log_dir>` stand for the values of those keys.
    Is(&'static str),
    /// One for each kind, in the order of [`Sort::ALL`].
    Each(&'static [Preset; 3]),
}

/// One key.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) section: Section,
    pub(super) name: &'static str,
    /// The kinds of programs that have it; of no meaning outside of a program.
    pub(super) sorts: Sorts,
    pub(super) form: Form,
    default: Preset,
    /// A sentence for the reference.
    pub(super) doc: &'static str,
}

impl Key {
    /// What it means where a program of that kind does not give it.
    pub(super) fn default(&self, sort: Sort) -> Preset {
        match self.default {
            Preset::Each([postgres, command, oneshot]) => match sort {
                Sort::Postgres => *postgres,
                Sort::Command => *command,
                Sort::Oneshot => *oneshot,
            },
            other => other,
        }
    }
}

/// Keys of which a program gives at most one.
pub(super) const RIVALS: [&[(Section, &str)]; 3] = [
    &[(Section::Ready, "exec"), (Section::Ready, "tcp"), (Section::Ready, "notify")],
    &[(Section::Live, "exec"), (Section::Live, "tcp"), (Section::Live, "engine")],
    &[(Section::Program, "output"), (Section::Output, "file")],
];

/// A socket's path has at most 107 bytes (sun_path of unix(7) with its zero), and `/supervisor.sock` takes 16.
const RUN_DIR_MAX: usize = 91;

const fn key(section: Section, name: &'static str, form: Form, default: Preset, doc: &'static str) -> Key {
    of_kinds(section, name, EACH, form, default, doc)
}

const fn of_kinds(
    section: Section,
    name: &'static str,
    sorts: Sorts,
    form: Form,
    default: Preset,
    doc: &'static str,
) -> Key {
    Key { section, name, sorts, form, default, doc }
}

/// Every key, in the order of the reference.
#[rustfmt::skip]
pub(super) static KEYS: &[Key] = {
    use Preset::{Each, Is, Required, Unset};
    use Form::*;
    use Section::{Live, Output, Program, Ready, Restart, Serve, Supervisor};
    &[
        key(Supervisor, "run_dir", Path(RUN_DIR_MAX), Is(r#""/run/polardb""#),
            "Folder of what lives as long as the container; the control socket is `supervisor.sock` in it."),
        key(Supervisor, "log_dir", Path(PATH_MAX), Is(r#""/log""#),
            "Folder of log files."),
        key(Supervisor, "log_level", Word(&["error", "warn", "info", "debug", "trace"]), Is(r#""info""#),
            "The least severe message that is logged."),
        key(Supervisor, "log_format", Word(&["text", "json"]), Is(r#""text""#),
            "The form of a log line: for a person, or one JSON object."),
        key(Supervisor, "stop_timeout", Span(1000, false), Is(r#""50s""#),
            "How long an ordered shutdown of all programs may take; keep the container's grace period longer."),

        key(Serve, "listen", Address, Unset("health and metrics are off"),
            "Where health and metrics are served over HTTP, by a program `serve` that is added to the others."),

        key(Program, "kind", Word(&["postgres", "command", "oneshot"]), Required,
            "An engine, a process that is to run on, or one that is to end with status 0 once. Without any `[program.NAME]` there is one, `engine`, of kind `postgres`."),
        of_kinds(Program, "command", COMMANDS, Command, Required,
            "The program, looked up in PATH where it has no slash, and its arguments. No shell is in between."),
        of_kinds(Program, "working_dir", COMMANDS, Folder, Is(r#""/""#),
            "The folder that it starts in."),
        key(Program, "before", Programs, Is("[]"),
            "These start once this one is up (a one-shot: has ended with status 0), as far as it is to run, and stop first: the `after` of each of them."),
        key(Program, "after", Programs, Is("[]"),
            "It starts once these are up, as far as they are to run, and stops before them. What is stopped by the operator, locked, or given up holds nobody."),
        key(Program, "requires", Programs, Is("[]"),
            "As `after`, and it does not start without them, whatever holds them down."),
        key(Program, "bound", Flag, Is("false"),
            "It is stopped when one that it `requires` goes down, and comes back with it. Without this their end leaves it alone."),
        of_kinds(Program, "bin_dir", ENGINE, Path(PATH_MAX), Unset("PATH, then the newest `/usr/lib/postgresql/<version>/bin`"),
            "Folder of `postgres`, `initdb` and `psql`."),
        of_kinds(Program, "data_dir", ENGINE, Path(PATH_MAX), Is(r#""/data""#),
            "The data directory. The variable `PGDATA` sets it too."),
        key(Program, "user", User, Each(&[Is(r#""postgres""#), Unset("that of PID 1"), Unset("that of PID 1")]),
            "The user to drop to when started as root; an engine never runs as root."),
        key(Program, "groups", Groups, Is("[]"),
            "Supplementary groups, on top of the user's own."),
        of_kinds(Program, "port", ENGINE, Integer(1, 65535), Is("5432"),
            "First boot writes it into postgresql.conf. The variable `POLARDB_PORT` sets it too."),
        of_kinds(Program, "socket_dir", ENGINE, Paths, Is(r#"["<data_dir>", "/var/run/postgresql"]"#),
            "Folders for the socket; one that refuses sockets is skipped with a warning."),
        of_kinds(Program, "init", ENGINE, Word(&["auto", "wait", "never"]), Is(r#""auto""#),
            "An empty data directory is initialized (`auto`), waited for until `<data_dir>/ins_install_step` says `done` (`wait`), or refused (`never`)."),
        of_kinds(Program, "require_mount", ENGINE, Flag, Is("false"),
            "Refuse a data directory that is on the container's own file system."),
        of_kinds(Program, "lock_file", ENGINE, Path(PATH_MAX), Is(r#""<data_dir>/ins_lock""#),
            "While this file exists the engine stays down."),
        of_kinds(Program, "lock_poll", ENGINE, Span(100, true), Is(r#""5s""#),
            "How often the lock file is looked at although nothing was notified; `0s` turns that off."),
        of_kinds(Program, "log_link", ENGINE, Path(PATH_MAX), Is(r#""<log_dir>/pg_log""#),
            "Link to the engine's log directory."),
        of_kinds(Program, "log_keep", ENGINE, Span(1000, true), Is(r#""7d""#),
            "Files of the engine's log collector older than this are removed; `0s` keeps all."),
        of_kinds(Program, "follow_engine_log", ENGINE, Flag, Is("true"),
            "The lines of the engine's log collector go to PID 1's standard output, too."),
        of_kinds(Program, "conf_template", ENGINE, Path(PATH_MAX), Unset("what initdb writes"),
            "Template of postgresql.conf for first boot."),
        of_kinds(Program, "initdb_args", ENGINE, InitdbArgs, Is(r#"["--data-checksums", "--encoding=UTF8", "--locale=C"]"#),
            "Arguments of initdb."),
        of_kinds(Program, "init_scripts", ENGINE, Path(PATH_MAX), Is(r#""/docker-entrypoint-initdb.d""#),
            "Folder of the scripts that first boot runs."),
        of_kinds(Program, "stop_mode", ENGINE, Word(&["smart", "fast", "immediate"]), Is(r#""fast""#),
            "How the engine is asked to stop at first."),
        of_kinds(Program, "stop_signal", COMMANDS, Signal, Is(r#""SIGTERM""#),
            "The signal that asks it to end; the names may be without SIG."),
        key(Program, "stop_timeout", Span(1000, false), Each(&[Is(r#""45s""#), Is(r#""10s""#), Is(r#""10s""#)]),
            "How long a stop may take before what is left is killed; at most `stop_timeout` of `[supervisor]`, which also shortens the default."),
        of_kinds(Program, "kill_reach", COMMANDS, Word(&["main", "group", "tree"]), Is(r#""tree""#),
            "What is killed in the end: the main process, its process group, or all that descends from it; never a database server, nor what is another program's."),
        key(Program, "critical", Flag, Each(&[Is("true"), Is("false"), Is("false")]),
            "Whether PID 1 ends when this program gives up."),
        key(Program, "output", WordOrTable(&["inherit", "prefix", "json"]), Each(&[Is(r#""inherit""#), Is(r#""prefix""#), Is(r#""prefix""#)]),
            "Where standard output and error go: to PID 1's unchanged (`inherit`), there line by line with the program's name in front (`prefix`) or as JSON objects (`json`), or into a file (a table; `command` and `oneshot` only)."),
        key(Program, "umask", Umask, Unset("that of PID 1"),
            "File mode creation mask."),
        key(Program, "nice", Integer(-20, 19), Unset("that of PID 1"),
            "Nice value."),
        key(Program, "oom_score_adj", Integer(-1000, 1000), Unset("that of PID 1"),
            "`/proc/PID/oom_score_adj`; a value that the kernel refuses is a warning."),
        key(Program, "rlimits", Limits, Is("{}"),
            "Soft and hard resource limits; the names are those of getrlimit(2)."),
        key(Program, "environment", Variables, Is("{}"),
            "Variables on top of a short inherited list."),
        of_kinds(Program, "parameters", ENGINE, Parameters, Is("{}"),
            "Default settings of the engine, included at the top of postgresql.conf: what is set there, or by ALTER SYSTEM, wins."),

        key(Restart, "policy", Word(&["always", "on-failure", "never"]), Each(&[Is(r#""always""#), Is(r#""always""#), Is(r#""on-failure""#)]),
            "After which ends the program is started again."),
        key(Restart, "min_backoff", Span(0, true), Is(r#""0s""#),
            "Pause after the first failure; from `0s` the pauses go on with 100 ms, and double."),
        key(Restart, "max_backoff", Span(100, false), Is(r#""30s""#),
            "The longest pause."),
        key(Restart, "clean_exit_delay", Span(0, true), Is(r#""1s""#),
            "Pause after an exit 0 that was not asked for, which leaves room for a `pg_ctl` of somebody else."),
        key(Restart, "reset_after", Span(0, true), Is(r#""60s""#),
            "This long ready clears the count of failures."),
        key(Restart, "give_up_after", Integer(0, 1_000_000), Is("10"),
            "Failures in a row after which the program is given up; 0: never."),
        key(Restart, "on_give_up", Word(&["exit", "stay"]), Is(r#""exit""#),
            "Giving up ends PID 1, so that the container's restart policy takes over (`exit`), or leaves the program down (`stay`)."),

        of_kinds(Ready, "exec", COMMAND, Command, Unset("no such check"),
            "It is ready once this command, run as the program's user, ends with status 0."),
        of_kinds(Ready, "tcp", COMMAND, Address, Unset("no such check"),
            "It is ready once this address and port accept a connection."),
        of_kinds(Ready, "notify", COMMAND, Notify, Unset("no such check"),
            "It says itself that it is ready."),
        of_kinds(Ready, "timeout", COMMAND, Span(100, false), Is(r#""30s""#),
            "Not ready after this long is a failure: it is stopped, and started again after a pause."),

        of_kinds(Live, "exec", LASTING, Command, Unset("no such check"),
            "It lives while this command, run as the program's user, ends with status 0."),
        of_kinds(Live, "tcp", LASTING, Address, Unset("no such check"),
            "It lives while this address and port accept a connection."),
        of_kinds(Live, "engine", ENGINE, Flag, Is("false"),
            "It lives while the server answers on its own socket, whatever it says: recovery is life."),
        of_kinds(Live, "period", LASTING, Span(100, false), Is(r#""10s""#),
            "From the begin of one check to that of the next, which waits for the end of the one before."),
        of_kinds(Live, "timeout", LASTING, Span(100, false), Is(r#""3s""#),
            "A check that takes longer has failed."),
        of_kinds(Live, "failures", LASTING, Integer(1, 1_000_000), Is("3"),
            "So many failed checks in a row are a failure of the program: it is stopped and started again."),

        of_kinds(Output, "file", COMMANDS, File, Required,
            "The file; a full one is renamed to `<file>.1`, that one to `<file>.2`, and so on. A process of its own writes it."),
        of_kinds(Output, "size", COMMANDS, Size(4 << 10, 1 << 40), Is(r#""10MiB""#),
            "When the file is full."),
        of_kinds(Output, "keep", COMMANDS, Integer(0, 1000), Is("15"),
            "How many full files are kept; older ones are removed."),
    ]
};

/// The keys of a section.
pub(super) fn of(section: Section) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(move |key| key.section == section)
}

/// The key of that name.
pub(super) fn find(section: Section, name: &str) -> Option<&'static Key> {
    of(section).find(|key| key.name == name)
}

/// Kinds as a text: `"command", "oneshot"`.
pub(super) fn listed(sorts: &[Sort]) -> String {
    sorts.iter().map(|sort| format!("\"{}\"", sort.word())).collect::<Vec<_>>().join(", ")
}
