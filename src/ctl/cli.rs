//! What may be typed.

pub mod account;
pub mod disk;
pub mod engine_user;
pub mod image;
pub mod install;
pub mod instance;
pub mod params;
pub mod replica;
pub mod ssl;
pub mod tablespace;

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use super::time::{parse_span, parse_until};
use crate::control::protocol::Mode;

/// The kind of lock that is no lock file.
pub const DISKFULL: &str = "diskfull";

/// What stands behind the options in `--help`.
const EXIT: &str = "\
Exit status:
  0   done
  1   failed
  2   wrong usage
  3   not running, starting or locked (health, and operations on an instance)
  4   no supervisor to talk to
  5   timed out, or the engine hangs
  77  not permitted

With --output json errors too are JSON, on standard output: {\"error\":{\"code\":...,\"message\":...,\"exit\":...}}";

/// Operates the programs that a polar-supervisor keeps: what runs, what does not, and why.
#[derive(Debug, Parser)]
#[command(name = "polarctl", version, after_help = EXIT)]
pub struct Cli {
    #[command(flatten)]
    #[allow(missing_docs, reason = "a doc comment here would become the text of --help")]
    pub place: PlaceArgs,
    /// How results are printed
    #[arg(long, global = true, value_enum, default_value = "table", value_name = "FORM")]
    pub output: Form,
    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
}

/// Where the supervisor and its data are found.
#[derive(Debug, Clone, Default, Args)]
pub struct PlaceArgs {
    /// The supervisor's socket [default: supervisor.sock in $POLAR_SUPERVISOR_RUN_DIR, in run_dir of the
    /// configuration, or in /run/polardb]
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// The configuration that tells where socket, data and logs are [default: /etc/polardb/supervisor.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The data directory, for lock, unlock, stop, start, health and operations on an instance by the data volume alone;
    /// without --socket no supervisor is asked then [default where no supervisor is reached: that of the configuration,
    /// $PGDATA, or /data]
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The lock file that belongs to --data-dir [default: ins_lock in it]
    #[arg(long, global = true, value_name = "FILE", requires = "data_dir")]
    pub lock_file: Option<PathBuf>,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// All programs at a glance, or one
    Status {
        /// One program alone
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        program: Option<String>,
        /// Go on and show each change
        #[arg(long, short)]
        watch: bool,
    },
    /// Why a program is up or down: every condition with its evidence
    Explain {
        /// One program alone
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        program: Option<String>,
    },
    /// Wants programs up; an engine that no supervisor keeps is started by polarctl itself
    Start(StartArgs),
    /// Wants programs down, until `start` or the container's next start; by the lock file where a supervisor is out of reach
    Stop(EndArgs),
    /// Stops what runs, and starts
    Restart(EndArgs),
    /// Has the configuration read again; what did not change is not touched
    Reload(ChangeArgs),
    /// Stops an engine and holds it down by its lock file, over restarts of the container too; against a full disk: lets it
    /// run, and normal users read only
    Lock(LockArgs),
    /// Removes the lock file; against a full disk: lets normal users write
    Unlock(UnlockArgs),
    /// What happened, the oldest first
    Events {
        /// And what is to come
        #[arg(long, short)]
        follow: bool,
        /// At most so many of the past [default: all]
        #[arg(short = 'n', long = "lines", value_name = "N")]
        lines: Option<usize>,
    },
    /// What a program has written
    Logs {
        /// The program [default: the engine, where there is one]
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        program: Option<String>,
        /// And what is to come
        #[arg(long, short)]
        follow: bool,
        /// At most so many lines of the past
        #[arg(short = 'n', long = "lines", value_name = "N", default_value_t = 100)]
        lines: usize,
    },
    /// For HEALTHCHECK and probes: 0, or 3 where it is not so
    Health {
        /// All engines accept connections (the default)
        #[arg(long, conflicts_with_all = ["live", "sql"])]
        ready: bool,
        /// All engines answer `select 1`, by their data volumes alone; also where no supervisor is reached, and with
        /// --data-dir
        #[arg(long, conflicts_with = "live")]
        sql: bool,
        /// The supervisor answers and no engine has given up; one that is locked, stopped or recovering is live
        #[arg(long)]
        live: bool,
    },
    #[command(flatten)]
    #[allow(missing_docs, reason = "its verbs have their own")]
    Instance(instance::InstanceVerb),
    /// Does what PolarDB Stack's callers ask for by variables of the environment: srv_opr_type, srv_opr_action and what
    /// belongs to them
    ///
    /// docs/polardb-stack.md lists all tasks. The exit status is 0 or 1.
    Task {
        /// As entry_point_cm.py, by which ClusterManager locks against a full disk
        #[arg(long)]
        cm: bool,
    },
    /// Serves health and metrics over HTTP until it is told to end; the supervisor runs this where [serve] listen is set
    Serve {
        /// Address and port to listen on [default: [serve] listen of the configuration]
        #[arg(long, value_name = "ADDRESS:PORT")]
        listen: Option<std::net::SocketAddr>,
    },
    /// Builds the images of containers; needs Docker, and no instance
    #[command(subcommand)]
    Image(image::ImageVerb),
    /// Prints the completions of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Prints a manual page
    Man {
        /// That of one verb
        verb: Option<String>,
        /// Write all pages into this folder instead
        #[arg(long, value_name = "DIR", conflicts_with = "verb")]
        dir: Option<PathBuf>,
    },
}

/// What is changed, and how long to wait for it.
#[derive(Debug, Clone, Args)]
pub struct ChangeArgs {
    /// One program alone [default: all engines]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub program: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs, reason = "a doc comment here would become the text of --help")]
    pub wait: WaitArgs,
}

/// As [`ChangeArgs`], of what begins something.
#[derive(Debug, Clone, Args)]
pub struct StartArgs {
    #[command(flatten)]
    #[allow(missing_docs, reason = "a doc comment here would become the text of --help")]
    pub change: ChangeArgs,
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
}

/// As [`ChangeArgs`], of what ends something.
#[derive(Debug, Clone, Args)]
pub struct EndArgs {
    #[command(flatten)]
    #[allow(missing_docs, reason = "a doc comment here would become the text of --help")]
    pub change: ChangeArgs,
    /// How an engine is asked to end at first [default: stop_mode of its configuration]
    #[arg(long, value_enum)]
    pub mode: Option<StopMode>,
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
}

/// How long to wait.
#[derive(Debug, Clone, Args)]
pub struct WaitArgs {
    /// Wait until it is done (the default)
    #[arg(long, overrides_with = "no_wait")]
    pub wait: bool,
    /// Return at once
    #[arg(long, overrides_with = "wait")]
    pub no_wait: bool,
    /// How long to wait; then exit status 5, and it goes on
    #[arg(long, value_name = "SPAN", default_value = "60s", value_parser = parse_span)]
    pub timeout: Duration,
}

/// PostgreSQL's shutdown modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StopMode {
    /// Wait for the sessions to end.
    Smart,
    /// End the sessions, then a checkpoint.
    Fast,
    /// End at once; the next start recovers.
    Immediate,
}

impl From<StopMode> for Mode {
    fn from(mode: StopMode) -> Self {
        match mode {
            StopMode::Smart => Mode::Smart,
            StopMode::Fast => Mode::Fast,
            StopMode::Immediate => Mode::Immediate,
        }
    }
}

/// The words of a lock.
#[derive(Debug, Clone, Args)]
pub struct LockArgs {
    #[command(flatten)]
    #[allow(missing_docs, reason = "a doc comment here would become the text of --help")]
    pub change: ChangeArgs,
    /// What kind of lock
    #[arg(long, value_enum, default_value = "maintenance")]
    pub kind: LockKind,
    /// Why, in words
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Until when it is meant to be (2026-01-31T12:00:00Z, or a span such as 2h); for people, nothing unlocks by itself
    #[arg(long, value_name = "TIME", value_parser = parse_until)]
    pub until: Option<String>,
    /// Replace a lock of another owner or kind
    #[arg(long)]
    pub force: bool,
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
}

/// The kinds of locks: lock files, but for the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LockKind {
    /// The instance has expired.
    Expired,
    /// People work at it.
    Maintenance,
    /// Its disk is full.
    Diskfull,
}

impl LockKind {
    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            LockKind::Expired => "expired",
            LockKind::Maintenance => "maintenance",
            LockKind::Diskfull => DISKFULL,
        }
    }
}

/// Which lock is to go.
#[derive(Debug, Clone, Args)]
pub struct UnlockArgs {
    #[command(flatten)]
    #[allow(missing_docs, reason = "a doc comment here would become the text of --help")]
    pub change: ChangeArgs,
    /// The kind of the lock that is to go
    #[arg(long, value_name = "KIND", default_value = "maintenance")]
    pub kind: String,
    /// A lock of another owner or kind too
    #[arg(long)]
    pub force: bool,
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_parser_is_sound() {
        Cli::command().debug_assert();
    }

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn options_stand_before_and_after_the_verb() {
        for line in
            ["polarctl --socket /s --output json status a", "polarctl status a --output json --socket /s"]
        {
            let cli = parse(line).unwrap();
            assert_eq!((cli.place.socket, cli.output), (Some("/s".into()), Form::Json));
        }
    }

    #[test]
    fn waiting_is_the_default_and_the_last_word_counts() {
        for (line, no_wait) in [
            ("stop", false),
            ("stop --no-wait", true),
            ("stop --no-wait --wait", false),
            ("stop --wait --no-wait", true),
        ] {
            match parse(&format!("polarctl {line}")).unwrap().verb {
                Verb::Stop(args) => assert_eq!(args.change.wait.no_wait, no_wait, "{line}"),
                verb => panic!("{verb:?}"),
            }
        }
    }

    #[test]
    fn an_empty_name_is_no_program_and_does_not_mean_all() {
        for verb in ["status", "explain", "start", "stop", "restart", "lock", "unlock", "logs"] {
            let error = Cli::try_parse_from(["polarctl", verb, ""]).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{verb}: {error}");
        }
    }

    #[test]
    fn what_is_refused() {
        for line in [
            "polarctl",
            "polarctl fly",
            "polarctl lock --kind other",
            "polarctl stop --mode slow",
            "polarctl stop --timeout 60",
            "polarctl lock --until yesterday-ish",
            "polarctl health --ready --live",
            "polarctl logs -n -3",
            "polarctl lock --lock-file /l",
        ] {
            let error = parse(line).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}: {error}");
        }
    }
}
