//! `polarctl completions` and `man`: generated from the parser.

use std::path::Path;

use clap::{Command, CommandFactory};

use super::cli::Cli;
use super::failure::{Exit, Failure};
use super::screen::Screen;

/// Prints the completions of a shell.
///
/// # Errors
/// Nothing can be printed.
pub(crate) fn completions(screen: Screen, shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "polarctl", &mut script);
    screen.text(&String::from_utf8_lossy(&script))?;
    Ok(())
}

/// Prints one page, or writes all of them into a folder.
///
/// # Errors
/// There is no such verb, or nothing can be written.
pub(crate) fn man(screen: Screen, verb: Option<&str>, dir: Option<&Path>) -> Result<(), Failure> {
    let command = Cli::command();
    if let Some(dir) = dir {
        std::fs::create_dir_all(dir)
            .and_then(|()| clap_mangen::generate_to(command, dir))
            .map_err(|error| Failure::of_file("writing the manual pages", dir, &error))?;
        return Ok(());
    }
    let page = match verb {
        None => render(command)?,
        Some(verb) => {
            // What global options a verb has is known once the command is built.
            let mut command = command;
            command.build();
            let found = command.find_subcommand(verb).cloned();
            let known = || command.get_subcommands().map(Command::get_name).collect::<Vec<_>>().join(", ");
            let found = found.ok_or_else(|| {
                Failure::new(
                    Exit::Usage,
                    "usage",
                    format!("manual page of {verb}: no such verb; known: {}", known()),
                )
            })?;
            render(found.display_name(format!("polarctl-{verb}")))?
        }
    };
    screen.text(&page)?;
    Ok(())
}

fn render(command: Command) -> Result<String, Failure> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}
