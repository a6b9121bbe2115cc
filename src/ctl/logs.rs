//! `polarctl logs`: what a program has written, from its files where they are in reach, else from what the supervisor
//! remembers.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::failure::{Exit, Failure};
use super::place::{Place, is_engine, statuses};
use super::screen::Screen;
use super::tail::{Files, POLL, Tail};
use crate::control::client::Client;
use crate::control::protocol::{Line, Op, Status};

/// Prints the last lines, with `follow` also what comes.
///
/// # Errors
/// They cannot be had.
pub(crate) fn run(
    place: &Place,
    screen: Screen,
    program: Option<&str>,
    follow: bool,
    count: usize,
) -> Result<(), Failure> {
    let tried = format!("logs of {}", program.unwrap_or("the engine"));
    let mut client = place.supervisor(&tried)?;
    let status = the_one(&mut client, &tried, program)?;
    let name = &status.name;
    if let Some(files) = files_of(&status).filter(|files| !files.list().is_empty()) {
        return from_files(screen, name, files, follow, count);
    }
    let op = Op::Logs { program: name.clone(), last: Some(count), follow };
    for line in client.follow::<Line>(&op).map_err(|trouble| Failure::of_trouble(&tried, trouble))? {
        let line = line.map_err(|trouble| Failure::of_trouble(&tried, trouble))?;
        print(screen, name, line.text.as_bytes())?;
    }
    Ok(())
}

/// The program that is meant.
fn the_one(client: &mut Client, tried: &str, program: Option<&str>) -> Result<Status, Failure> {
    let mut all = statuses(client, tried, program)?;
    if program.is_none() && all.len() > 1 {
        let names: Vec<String> = all.iter().map(|status| status.name.clone()).collect();
        all.retain(is_engine);
        if all.len() != 1 {
            let text = format!("{tried}: say of which program: {}", names.join(", "));
            return Err(Failure::new(Exit::Usage, "usage", text));
        }
    }
    all.pop().ok_or_else(|| Failure::failed("unknown_program", format!("{tried}: no program is configured")))
}

/// The files that a program writes itself, or that its output goes to.
fn files_of(status: &Status) -> Option<Files> {
    if let Some(file) = &status.output_file {
        return Some(Files::Rotated(PathBuf::from(file)));
    }
    let engine = status.engine.as_ref()?;
    let link = Path::new(&engine.log_link);
    let folder = if link.is_dir() { link.to_owned() } else { Path::new(&engine.data_dir).join("pg_log") };
    Some(Files::Collector(folder))
}

fn from_files(screen: Screen, name: &str, files: Files, follow: bool, count: usize) -> Result<(), Failure> {
    let mut tell = |line: &[u8]| print(screen, name, line);
    let mut tail = Tail::begin(files, count, &mut tell)?;
    if !follow {
        return tail.flush(&mut tell);
    }
    while !screen.reader_gone() {
        tail.poll(&mut tell)?;
        std::thread::sleep(POLL);
    }
    Ok(())
}

/// Unchanged for people, whatever the bytes are.
fn print(screen: Screen, name: &str, line: &[u8]) -> Result<(), Failure> {
    if screen.json {
        screen.line(&json!({"program": name, "text": String::from_utf8_lossy(line)}))?;
    } else {
        let mut out = std::io::stdout().lock();
        out.write_all(line)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}
