//! `polarctl health`: for HEALTHCHECK and probes.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::failure::{Exit, Failure};
use super::place::{Place, is_engine, statuses};
use super::screen::{Colour, Screen, Table};
use super::volume;
use crate::control::protocol::Status;

/// Says whether the engines are live, or ready.
///
/// # Errors
/// The supervisor did not tell.
pub(crate) fn run(place: &Place, screen: Screen, live: bool) -> Result<Exit, Failure> {
    let tried = "asking for the health";
    let mut client = place.supervisor(tried)?;
    let mut all = statuses(&mut client, tried, None)?;
    all.retain(is_engine);
    let judged: Vec<(Status, Option<String>)> = all
        .into_iter()
        .map(|status| {
            let trouble = if live { not_live(&status) } else { not_ready(&status) };
            (status, trouble)
        })
        .collect();
    let good = judged.iter().all(|(_, trouble)| trouble.is_none());
    let word = if live { "live" } else { "ready" };
    if screen.json {
        let engines: Vec<_> = judged
            .iter()
            .map(|(status, trouble)| {
                json!({"name": status.name, "state": status.state, "reason": status.reason, word: trouble.is_none(), "trouble": trouble})
            })
            .collect();
        screen.document(&json!({word: good, "engines": engines}))?;
    } else {
        let mut table = Table::new(&["NAME", "STATE", "HEALTH"]);
        for (status, trouble) in &judged {
            let (text, colour) = match trouble {
                None => (word.to_owned(), Colour::Green),
                Some(trouble) => (format!("not {word}: {trouble}"), Colour::Red),
            };
            table.row(vec![(status.name.clone(), None), (status.state.clone(), None), (text, Some(colour))]);
        }
        screen.text(&table.render(screen))?;
    }
    Ok(if good { Exit::Done } else { Exit::NotRunning })
}

/// Why an engine is not live; one that is locked, stopped or recovering is.
fn not_live(status: &Status) -> Option<String> {
    (status.state == "failed").then(|| "it has given up; polarctl explain says why".to_owned())
}

/// Why an engine is not ready.
fn not_ready(status: &Status) -> Option<String> {
    if !status.ready {
        let reason = status.reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"));
        return Some(format!("it is {}{reason}", status.state));
    }
    let engine = status.engine.as_ref()?;
    let folders: Vec<PathBuf> = engine.socket_dir.iter().map(PathBuf::from).collect();
    volume::answers(Path::new(&engine.data_dir), &folders, engine.port).err()
}
