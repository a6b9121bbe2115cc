//! The forms of values, and what each allows.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{signal, size, span};

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One of these words.
    Word(&'static [&'static str]),
    /// An absolute path of at most so many bytes.
    Path(usize),
    /// An absolute path or a list of them.
    Paths,
    /// An absolute path, which may be the root.
    Folder,
    /// An absolute path, or one below `log_dir`.
    File,
    /// The name of a user.
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
    /// A number of bytes between these.
    Size(u64, u64),
    /// An address and a port.
    Address,
    /// The name of a signal.
    Signal,
    /// The word for systemd's protocol, or the number of a descriptor.
    Notify,
    /// A program and its arguments.
    Command,
    /// Names of programs.
    Programs,
    /// One of these words, or the table of the section of the same name.
    WordOrTable(&'static [&'static str]),
    /// Arguments of initdb.
    InitdbArgs,
    /// Resource limits by name.
    Limits,
    /// Environment variables.
    Variables,
    /// Settings of the engine.
    Parameters,
}

/// Longest path that PostgreSQL handles: its MAXPGPATH, 1024 with the terminating zero.
pub(super) const PATH_MAX: usize = 1023;

/// The descriptors that a program may report on; the first three are its standard ones.
pub(super) const NOTIFY_FD: RangeInclusive<i64> = 3..=1023;

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

fn least_text(millis: u64) -> String {
    format!("\"{}\"", span::write(Duration::from_millis(millis)))
}

impl Form {
    /// Whether it is a table of entries.
    pub(super) fn is_table(self) -> bool {
        matches!(self, Form::Limits | Form::Variables | Form::Parameters)
    }

    /// Whether it is a list.
    pub(super) fn is_list(self) -> bool {
        matches!(self, Form::Paths | Form::Groups | Form::InitdbArgs | Form::Command | Form::Programs)
    }

    /// Whether a value may be a secret, which no message shows.
    pub(super) fn is_private(self) -> bool {
        matches!(self, Form::Variables | Form::Parameters)
    }

    /// The words that it takes.
    pub(super) fn words(self) -> String {
        match self {
            Form::Word(words) | Form::WordOrTable(words) => {
                words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
            }
            _ => String::new(),
        }
    }

    /// What is allowed, for messages and the reference.
    pub(super) fn allowed(self) -> String {
        match self {
            Form::Word(_) => self.words(),
            Form::Path(longest) => {
                format!(
                    "an absolute path other than \"/\", without \"..\" and control characters, of at most {longest} bytes"
                )
            }
            Form::Paths => format!("{}; or a list of such paths, not empty", Form::Path(PATH_MAX).allowed()),
            Form::Folder => "an absolute path, without \"..\" and control characters".to_owned(),
            Form::File => format!(
                "a path, absolute or below `log_dir` of [supervisor], without \"..\" and control characters, of at most {PATH_MAX} bytes"
            ),
            Form::User => {
                "the name of a user; for kind \"postgres\" other than \"root\", for an engine never runs as root"
                    .to_owned()
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
            Form::Size(least, most) => format!(
                "a number of bytes with a unit (B, KiB, MiB, GiB, TiB) like \"10MiB\", from \"{}\" to \"{}\"",
                size::write(least),
                size::write(most)
            ),
            Form::Address => {
                "an address and a port like \"127.0.0.1:5432\", \"[::1]:5432\" or \"localhost:5432\"; other host names are \
                 not resolved, for a static program cannot ask the system's resolver"
                    .to_owned()
            }
            Form::Signal => format!("the name of a signal that can end a program: {}", signal::names()),
            Form::Notify => format!(
                "\"sd\" (READY=1 on the socket of NOTIFY_SOCKET), or the number of a descriptor, {} to {}, that it writes a \
                 line to",
                NOTIFY_FD.start(),
                NOTIFY_FD.end()
            ),
            Form::Command => {
                "a list of strings, the program and its arguments, such as [\"sleep\", \"60\"]".to_owned()
            }
            Form::Programs => "a list of names of programs of this file".to_owned(),
            Form::WordOrTable(_) => {
                format!("{}, or a table such as {{ file = \"x.log\" }}", self.words())
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
