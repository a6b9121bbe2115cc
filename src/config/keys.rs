//! The table of keys: the one place that says what may be written, from which the checks, the messages, the
//! environment overrides, `to_toml` and the reference come.

use std::time::Duration;

use super::span;

/// A section of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Section {
    /// `[supervisor]`
    Supervisor,
    /// `[program.NAME]`
    Program,
    /// `[program.NAME.restart]`
    Restart,
}

impl Section {
    /// Its name in the file.
    pub(super) fn title(self) -> &'static str {
        match self {
            Section::Supervisor => "supervisor",
            Section::Program => "program.NAME",
            Section::Restart => "program.NAME.restart",
        }
    }
}

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One of these words.
    Word(&'static [&'static str]),
    /// An absolute path of at most so many bytes.
    Path(usize),
    /// An absolute path or a list of them.
    Paths,
    /// The name of a user that is not root.
    User,
    /// Names of groups.
    Groups,
    /// A file mode creation mask.
    Umask,
    /// An integer between these.
    Integer(i64, i64),
    /// true or false.
    Flag,
    /// A span of at least so many milliseconds, or zero where the second says so.
    Span(u64, bool),
    /// Arguments of initdb.
    InitdbArgs,
    /// Resource limits by name.
    Limits,
    /// Environment variables.
    Variables,
    /// Settings of the engine.
    Parameters,
}

/// What a key means where it is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Preset {
    /// It must be given.
    Required,
    /// Nothing is set; the text says what happens then.
    Unset(&'static str),
    /// This, as TOML; `<data_dir>` and `<log_dir>` stand for the values of those keys.
    Is(&'static str),
}

/// One key.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) section: Section,
    pub(super) name: &'static str,
    pub(super) form: Form,
    pub(super) default: Preset,
    /// A sentence for the reference.
    pub(super) doc: &'static str,
}

/// Longest path that PostgreSQL handles: its MAXPGPATH, 1024 with the terminating zero.
pub(super) const PATH_MAX: usize = 1023;
/// A socket's path has at most 107 bytes (sun_path of unix(7) with its zero), and `/supervisor.sock` takes 16.
const RUN_DIR_MAX: usize = 91;

/// The names of resource limits, as in getrlimit(2) without `RLIMIT_` and in lower case.
pub(super) const LIMITS: [&str; 14] = [
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "sigpending",
    "stack",
];

/// The settings that a configuration may not give the engine, and what to do instead.
pub(super) const REFUSED_PARAMETERS: [(&str, &str); 7] = [
    ("data_directory", "use the key `data_dir`"),
    (
        "config_file",
        "the engine reads postgresql.conf of its data directory; `conf_template` says what first boot writes",
    ),
    ("include", "write it into postgresql.conf or the template of `conf_template`"),
    ("include_dir", "write it into postgresql.conf or the template of `conf_template`"),
    ("include_if_exists", "write it into postgresql.conf or the template of `conf_template`"),
    ("port", "use the key `port`"),
    ("unix_socket_directories", "use the key `socket_dir`"),
];

/// The options of initdb that the supervisor gives itself (short, long), and why.
pub(super) const REFUSED_INITDB_ARGS: [(&str, &str, &str); 3] = [
    ("-D", "--pgdata", "first boot gives its own; use the key `data_dir`"),
    ("-U", "--username", "the bootstrap role is always `postgres`; POSTGRES_USER names an additional one"),
    ("-W", "--pwprompt", "nobody is there to be asked; use POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE"),
];

const fn key(section: Section, name: &'static str, form: Form, default: Preset, doc: &'static str) -> Key {
    Key { section, name, form, default, doc }
}

/// Every key, in the order of the reference.
#[rustfmt::skip]
pub(super) static KEYS: &[Key] = {
    use Preset::{Is, Required, Unset};
    use Form::*;
    use Section::{Program, Restart, Supervisor};
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

        key(Program, "kind", Word(&["postgres"]), Required,
            "What kind of program it is. Without any `[program.NAME]` there is one, `engine`, of kind `postgres`."),
        key(Program, "bin_dir", Path(PATH_MAX), Unset("PATH, then the newest `/usr/lib/postgresql/<version>/bin`"),
            "Folder of `postgres`, `initdb` and `psql`."),
        key(Program, "data_dir", Path(PATH_MAX), Is(r#""/data""#),
            "The data directory. The variable `PGDATA` sets it too."),
        key(Program, "user", User, Is(r#""postgres""#),
            "The user to drop to when started as root; an engine never runs as root."),
        key(Program, "groups", Groups, Is("[]"),
            "Supplementary groups, on top of the user's own."),
        key(Program, "port", Integer(1, 65535), Is("5432"),
            "First boot writes it into postgresql.conf. The variable `POLARDB_PORT` sets it too."),
        key(Program, "socket_dir", Paths, Is(r#"["<data_dir>", "/var/run/postgresql"]"#),
            "Folders for the socket; one that refuses sockets is skipped with a warning."),
        key(Program, "init", Word(&["auto", "wait", "never"]), Is(r#""auto""#),
            "An empty data directory is initialized (`auto`), waited for until `<data_dir>/ins_install_step` says `done` (`wait`), or refused (`never`)."),
        key(Program, "require_mount", Flag, Is("false"),
            "Refuse a data directory that is on the container's own file system."),
        key(Program, "lock_file", Path(PATH_MAX), Is(r#""<data_dir>/ins_lock""#),
            "While this file exists the engine stays down."),
        key(Program, "lock_poll", Span(100, true), Is(r#""5s""#),
            "How often the lock file is looked at although nothing was notified; `0s` turns that off."),
        key(Program, "log_link", Path(PATH_MAX), Is(r#""<log_dir>/pg_log""#),
            "Link to the engine's log directory."),
        key(Program, "log_keep", Span(1000, true), Is(r#""7d""#),
            "Files of the engine's log collector older than this are removed; `0s` keeps all."),
        key(Program, "conf_template", Path(PATH_MAX), Unset("what initdb writes"),
            "Template of postgresql.conf for first boot."),
        key(Program, "initdb_args", InitdbArgs, Is(r#"["--data-checksums", "--encoding=UTF8", "--locale=C"]"#),
            "Arguments of initdb."),
        key(Program, "init_scripts", Path(PATH_MAX), Is(r#""/docker-entrypoint-initdb.d""#),
            "Folder of the scripts that first boot runs."),
        key(Program, "stop_mode", Word(&["smart", "fast", "immediate"]), Is(r#""fast""#),
            "How the engine is asked to stop at first."),
        key(Program, "stop_timeout", Span(1000, false), Is(r#""45s""#),
            "How long a stop may take before what is left is killed; at most `stop_timeout` of `[supervisor]`, which also shortens the default."),
        key(Program, "critical", Flag, Is("true"),
            "Whether PID 1 ends when this program gives up."),
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
        key(Program, "parameters", Parameters, Is("{}"),
            "Default settings of the engine, included at the top of postgresql.conf: what is set there, or by ALTER SYSTEM, wins."),

        key(Restart, "policy", Word(&["always", "on-failure", "never"]), Is(r#""always""#),
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

fn least_text(millis: u64) -> String {
    format!("\"{}\"", span::write(Duration::from_millis(millis)))
}

impl Form {
    /// Whether it is a table of entries.
    pub(super) fn is_table(self) -> bool {
        matches!(self, Form::Limits | Form::Variables | Form::Parameters)
    }

    /// Whether a value may be a secret, which no message shows.
    pub(super) fn is_private(self) -> bool {
        matches!(self, Form::Variables | Form::Parameters)
    }

    /// What is allowed, for messages and the reference.
    pub(super) fn allowed(self) -> String {
        match self {
            Form::Word(words) => {
                words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
            }
            Form::Path(longest) => {
                format!(
                    "an absolute path other than \"/\", without \"..\" and control characters, of at most {longest} bytes"
                )
            }
            Form::Paths => format!("{}; or a list of such paths, not empty", Form::Path(PATH_MAX).allowed()),
            Form::User => {
                "the name of a user other than \"root\", for an engine never runs as root".to_owned()
            }
            Form::Groups => "a list of names of groups".to_owned(),
            Form::Umask => "an octal number as a string, \"0000\" to \"0077\"".to_owned(),
            Form::Integer(least, most) => format!("an integer, {least} to {most}"),
            Form::Flag => "true, false".to_owned(),
            Form::Span(least, zero) => {
                let bound = match (least, zero) {
                    (0, _) => String::new(),
                    (_, true) => format!(", \"0s\" or at least {}", least_text(least)),
                    (_, false) => format!(", at least {}", least_text(least)),
                };
                format!(
                    "a span of time like \"250ms\", \"45s\", \"1m30s\", \"2h\" or \"7d\"{bound}, at most \"36500d\""
                )
            }
            Form::InitdbArgs => {
                let refused =
                    REFUSED_INITDB_ARGS.map(|(short, long, _)| format!("{short}, {long}")).join(", ");
                format!("a list of strings, not empty ones, without {refused}")
            }
            Form::Limits => {
                format!("a table of integers from 0 or \"unlimited\", with the names {}", LIMITS.join(", "))
            }
            Form::Variables => {
                "a table of strings whose names are letters, digits and \"_\", not a digit at first"
                    .to_owned()
            }
            Form::Parameters => {
                let refused = REFUSED_PARAMETERS.map(|(name, _)| name).join(", ");
                format!(
                    "a table of strings, integers, numbers, true and false, without control characters and without the names {refused}"
                )
            }
        }
    }
}
