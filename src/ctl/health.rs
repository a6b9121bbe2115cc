//! `polarctl health`: for HEALTHCHECK and probes, by the supervisor or by the data volume alone.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::failure::{Exit, Failure};
use super::instance::Desk;
use super::place::{Place, Reach, is_engine, statuses};
use super::screen::{Colour, Screen, Table};
use super::volume;
use crate::control::protocol::Status;
use crate::manager::{Cause, health};

/// Says whether the engines are live, or ready.
///
/// # Errors
/// The supervisor did not tell, and neither did the data volume.
pub(crate) fn run(place: &Place, screen: Screen, live: bool, sql: bool) -> Result<Exit, Failure> {
    let tried = "asking for the health";
    if sql {
        return by_sql(place, screen);
    }
    let mut client = if live {
        place.supervisor(tried)?
    } else {
        match place.reach(tried, None)? {
            Reach::Supervisor(client) => client,
            Reach::Volumes(..) => return by_sql(place, screen),
        }
    };
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

/// Says whether the engines answer `select 1`, and why not.
fn by_sql(place: &Place, screen: Screen) -> Result<Exit, Failure> {
    let mut desk = Desk::new(place, screen);
    let mut engines = Vec::new();
    let mut table = Table::new(&["DATA", "HEALTH"]);
    let mut exit = Exit::Done;
    for mut site in place.instances("health", None)? {
        site.purpose = "health";
        let checked = health::check(&mut site);
        desk.record("health", &checked.as_ref().map(|_| "select 1 is answered".to_owned()), "");
        let data_dir = site.data_dir.display().to_string();
        let (text, colour) = match &checked {
            Ok(took) => {
                (format!("select 1 answered in {:.1} ms", took.as_secs_f64() * 1000.0), Colour::Green)
            }
            Err(cause) => (format!("{}: {cause}; {}", cause.code(), cause.next()), Colour::Red),
        };
        if let Err(cause) = &checked {
            exit =
                if matches!(cause, Cause::NotPermitted(_)) { Exit::NotPermitted } else { Exit::NotRunning };
        }
        table.row(vec![(data_dir.clone(), None), (text, Some(colour))]);
        engines.push(json!({
            "data_dir": data_dir, "ready": checked.is_ok(),
            "code": checked.as_ref().err().map(Cause::code),
            "trouble": checked.as_ref().err().map(|cause| format!("{cause}; {}", cause.next())),
            "milliseconds": checked.as_ref().ok().map(|took| took.as_secs_f64() * 1000.0),
        }));
    }
    if screen.json {
        screen.document(&json!({ "ready": exit == Exit::Done, "engines": engines }))?;
    } else {
        screen.text(&table.render(screen))?;
    }
    Ok(exit)
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
