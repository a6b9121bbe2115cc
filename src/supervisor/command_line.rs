//! The command line of `polar-supervisor`.

use std::path::PathBuf;

use thiserror::Error;

/// What `--help` prints.
pub const USAGE: &str = "\
polar-supervisor: PID 1 of a container that runs PolarDB or PostgreSQL

usage:
  polar-supervisor [--config FILE] [run] [-- ENGINE_OPTION...]
      keep the programs of FILE running (default /etc/polardb/supervisor.toml, else built-in defaults)
  polar-supervisor [--config FILE] check
      validate the configuration and print what it means as TOML
  polar-supervisor exec -- COMMAND [ARG...]
      a plain init for one command
  polar-supervisor postgres [ENGINE_OPTION...]
      the same as: run -- ENGINE_OPTION...
  polar-supervisor COMMAND [ARG...]
      the same as: exec -- COMMAND [ARG...]

exit status:
  0 asked to stop, all ended in order      64 wrong command line
  1 asked to stop, something was killed    70 first boot failed
  the engine's own, when it gave up        78 bad configuration, or data that cannot be served
";

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Keep programs running.
    Run {
        /// `--config`.
        config: Option<PathBuf>,
        /// Further arguments of the engine.
        options: Vec<String>,
    },
    /// Validate the configuration.
    Check {
        /// `--config`.
        config: Option<PathBuf>,
    },
    /// Be the init of one command.
    Exec {
        /// The command and its arguments; never empty.
        argv: Vec<String>,
    },
    /// Be the child that touches the data directory.
    Prepare,
    /// Be the process that writes output into files.
    Writer,
    /// Be the process that follows an engine's log files.
    Follow {
        /// Folders: the first that there is counts.
        folders: Vec<String>,
    },
    /// Print [`USAGE`].
    Help,
    /// Print the version.
    Version,
}

/// A command line that means nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WrongUsage {
    /// `--config` without a file.
    #[error("--config needs a file: --config FILE")]
    ConfigWithoutFile,
    /// `exec` without a command.
    #[error("exec needs a command: exec -- COMMAND [ARG...]")]
    ExecWithoutCommand,
    /// An option that does not exist.
    #[error("unknown option {0}; known: --config FILE, --help, --version")]
    UnknownOption(String),
    /// A word behind a verb that takes none.
    #[error("{verb} takes no argument, found {word}; options of the engine stand behind --")]
    Surplus {
        /// The verb.
        verb: &'static str,
        /// The word.
        word: String,
    },
}

/// Reads the arguments behind the program's name.
///
/// # Errors
/// A [`WrongUsage`] that says what is allowed.
pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Request, WrongUsage> {
    let mut args = args.into_iter();
    let mut config = None;
    loop {
        let Some(word) = args.next() else { return Ok(Request::Run { config, options: Vec::new() }) };
        match word.as_str() {
            "--config" => {
                config = Some(
                    args.next().filter(|file| !file.is_empty()).ok_or(WrongUsage::ConfigWithoutFile)?.into(),
                );
            }
            "--help" | "-h" => return Ok(Request::Help),
            "--version" | "-V" => return Ok(Request::Version),
            "--" => return Ok(Request::Run { config, options: args.collect() }),
            "run" => return Ok(Request::Run { config, options: behind_dashes("run", args)? }),
            "postgres" => return Ok(Request::Run { config, options: args.collect() }),
            "check" => {
                behind_dashes("check", args)?;
                return Ok(Request::Check { config });
            }
            "prepare" => return Ok(Request::Prepare),
            "follow" => return Ok(Request::Follow { folders: args.collect() }),
            "writer" => return Ok(Request::Writer),
            "exec" => {
                let mut argv: Vec<String> = args.collect();
                if argv.first().is_some_and(|first| first == "--") {
                    argv.remove(0);
                }
                return if argv.is_empty() {
                    Err(WrongUsage::ExecWithoutCommand)
                } else {
                    Ok(Request::Exec { argv })
                };
            }
            _ => match word.strip_prefix("--config=") {
                Some("") => return Err(WrongUsage::ConfigWithoutFile),
                Some(file) => config = Some(file.into()),
                None if word.starts_with('-') => return Err(WrongUsage::UnknownOption(word)),
                None => return Ok(Request::Exec { argv: std::iter::once(word).chain(args).collect() }),
            },
        }
    }
}

fn behind_dashes(
    verb: &'static str,
    mut args: impl Iterator<Item = String>,
) -> Result<Vec<String>, WrongUsage> {
    match args.next() {
        None => Ok(Vec::new()),
        Some(dashes) if dashes == "--" && verb == "run" => Ok(args.collect()),
        Some(word) => Err(WrongUsage::Surplus { verb, word }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(options: &[&str]) -> Request {
        Request::Run { config: None, options: options.iter().map(|o| (*o).into()).collect() }
    }

    fn exec(argv: &[&str]) -> Request {
        Request::Exec { argv: argv.iter().map(|a| (*a).into()).collect() }
    }

    #[test]
    fn what_each_command_line_asks_for() {
        let file = || Some(PathBuf::from("/f"));
        for (line, wanted) in [
            ("", Ok(run(&[]))),
            ("run", Ok(run(&[]))),
            ("run -- -c work_mem=8MB", Ok(run(&["-c", "work_mem=8MB"]))),
            ("-- -c a=b", Ok(run(&["-c", "a=b"]))),
            ("postgres -c work_mem=8MB", Ok(run(&["-c", "work_mem=8MB"]))),
            ("--config /f", Ok(Request::Run { config: file(), options: vec![] })),
            ("--config=/f check", Ok(Request::Check { config: file() })),
            ("check", Ok(Request::Check { config: None })),
            ("exec -- a -b", Ok(exec(&["a", "-b"]))),
            ("exec a --", Ok(exec(&["a", "--"]))),
            ("psql --version", Ok(exec(&["psql", "--version"]))),
            ("prepare", Ok(Request::Prepare)),
            ("follow /a /b", Ok(Request::Follow { folders: vec!["/a".into(), "/b".into()] })),
            ("writer", Ok(Request::Writer)),
            ("--help", Ok(Request::Help)),
            ("-V", Ok(Request::Version)),
            ("--config", Err(WrongUsage::ConfigWithoutFile)),
            ("--config=", Err(WrongUsage::ConfigWithoutFile)),
            ("exec", Err(WrongUsage::ExecWithoutCommand)),
            ("exec --", Err(WrongUsage::ExecWithoutCommand)),
            ("--colour", Err(WrongUsage::UnknownOption("--colour".into()))),
            ("run fast", Err(WrongUsage::Surplus { verb: "run", word: "fast".into() })),
            ("check --", Err(WrongUsage::Surplus { verb: "check", word: "--".into() })),
        ] {
            assert_eq!(parse(line.split_whitespace().map(str::to_owned)), wanted, "{line}");
        }
    }
}
