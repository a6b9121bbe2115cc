//! `polarctl events`: the journal's files where they are in reach, and what the supervisor remembers and tells.

use std::collections::HashSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::failure::Failure;
use super::place::Place;
use super::screen::{Colour, Screen, harmless};
use super::tail::{self, Files};
use crate::control::client::Client;
use crate::control::protocol::{Op, Record, Supervisor};

/// The name of the journal in the supervisor's folder of logs.
const JOURNAL: &str = "events.jsonl";
/// So much of one of its files is read; it is full at a quarter of that.
const FILE_MAX: u64 = 4 * 1024 * 1024;

/// Prints the events, with `follow` also those to come; at most `count` of the past.
///
/// # Errors
/// There is neither a supervisor nor a journal.
pub(crate) fn run(place: &Place, screen: Screen, follow: bool, count: Option<usize>) -> Result<(), Failure> {
    let tried = "asking for the events";
    let mut client = match place.supervisor(tried) {
        Ok(client) => client,
        Err(failure) => {
            let past = journal(&place.log_dir().join(JOURNAL));
            if past.is_empty() || follow {
                return Err(failure);
            }
            screen.note(&format!(
                "{}; this is the journal in {}",
                failure.message,
                place.log_dir().display()
            ));
            return past.iter().skip(skipped(past.len(), count)).try_for_each(|record| print(screen, record));
        }
    };
    let supervisor: Supervisor =
        client.ask(&Op::Supervisor {}).map_err(|trouble| Failure::of_trouble(tried, trouble))?;
    let mut past = supervisor.journal.map_or_else(Vec::new, |path| journal(&PathBuf::from(path)));
    let mut known: HashSet<(u64, String)> =
        past.iter().map(|record| (record.seq, record.time.clone())).collect();
    // The supervisor's own memory has what the journal's writer has not written yet.
    for record in remembered(place, tried)? {
        if known.insert((record.seq, record.time.clone())) {
            past.push(record);
        }
    }
    past.iter().skip(skipped(past.len(), count)).try_for_each(|record| print(screen, record))?;
    if follow {
        let op = Op::Events { last: None, follow: true };
        for record in client.follow::<Record>(&op).map_err(|trouble| Failure::of_trouble(tried, trouble))? {
            let record = record.map_err(|trouble| Failure::of_trouble(tried, trouble))?;
            if !known.contains(&(record.seq, record.time.clone())) {
                print(screen, &record)?;
            }
        }
    }
    Ok(())
}

fn skipped(length: usize, count: Option<usize>) -> usize {
    count.map_or(0, |count| length.saturating_sub(count))
}

fn remembered(place: &Place, tried: &str) -> Result<Vec<Record>, Failure> {
    let client: Client = place.connect(tried)?;
    client
        .follow(&Op::Events { last: None, follow: false })
        .and_then(Iterator::collect)
        .map_err(|trouble| Failure::of_trouble(tried, trouble))
}

/// What is in the journal's files, the oldest first; what is no record is left out, for a full disk cuts lines short.
fn journal(path: &Path) -> Vec<Record> {
    let mut records = Vec::new();
    for file in Files::Rotated(path.to_owned()).list() {
        let mut bytes = Vec::new();
        let Ok(open) = tail::open(&file) else { continue };
        if open.take(FILE_MAX).read_to_end(&mut bytes).is_err() {
            continue;
        }
        let lines = bytes.split(|byte| *byte == b'\n');
        records.extend(lines.filter_map(|line| serde_json::from_slice::<Record>(line).ok()));
    }
    records
}

fn print(screen: Screen, record: &Record) -> Result<(), Failure> {
    if screen.json {
        screen.line(record)?;
        return Ok(());
    }
    screen.text(&format!("{}\n", in_words(screen, record)))?;
    Ok(())
}

fn in_words(screen: Screen, record: &Record) -> String {
    let program = harmless(record.program.as_deref().unwrap_or("supervisor"));
    format!(
        "{}  {program:12}  {:10}  {}",
        screen.paint(Colour::Grey, &harmless(&record.time)),
        harmless(&record.event),
        harmless(&record.text)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::screen::PLAIN;

    #[test]
    fn the_journals_files_in_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let line = |seq: u64| {
            format!(
                "{{\"seq\":{seq},\"time\":\"2026-01-31T12:00:0{seq}Z\",\"program\":\"a\",\"event\":\"exit\",\"text\":\"t\\u001b{seq}\"}}\n"
            )
        };
        let path = dir.path().join(JOURNAL);
        std::fs::write(dir.path().join("events.jsonl.1"), line(1) + &line(2)).unwrap();
        std::fs::write(&path, line(3) + "{\"seq\":4,\"ti").unwrap();
        let records = journal(&path);
        assert_eq!(records.iter().map(|record| record.seq).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(
            in_words(PLAIN, &records[0]),
            "2026-01-31T12:00:01Z  a             exit        t\u{fffd}1"
        );
        assert!(journal(&dir.path().join("absent")).is_empty());
    }
}
