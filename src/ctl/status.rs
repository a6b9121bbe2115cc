//! `polarctl status`: all programs at a glance.

use std::time::Duration;

use jiff::Timestamp;

use super::failure::Failure;
use super::lock_file;
use super::place::{Place, statuses};
use super::screen::{Colour, Screen, Table};
use super::time;
use crate::control::protocol::{LastExit, Status};

/// How often `--watch` looks.
const WATCH: Duration = Duration::from_millis(500);
/// Home, and all below the cursor away.
const CLEAR: &str = "\x1b[H\x1b[J";

/// Prints statuses, with `watch` until it is interrupted.
///
/// # Errors
/// The supervisor did not tell.
pub(crate) fn run(place: &Place, screen: Screen, program: Option<&str>, watch: bool) -> Result<(), Failure> {
    let tried = "asking for the status";
    let mut client = place.supervisor(tried)?;
    if !watch {
        return show(screen, &told(&mut client, tried, program)?, program.is_some());
    }
    let mut before = None;
    loop {
        let all = told(&mut client, tried, program)?;
        let mut seen = all.clone();
        // What grows by itself is no change.
        for status in &mut seen {
            status.since.clear();
            status.downtime.clear();
            status.starts_in = None;
        }
        if before.as_ref() != Some(&seen) || screen.terminal {
            match (screen.json, screen.terminal) {
                (true, _) if program.is_some() => all.first().map_or(Ok(()), |status| screen.line(status))?,
                (true, _) => screen.line(&all)?,
                (false, true) => screen.text(&format!("{CLEAR}{}", table(screen, &all, Timestamp::now())))?,
                (false, false) => screen.text(&table(screen, &all, Timestamp::now()))?,
            }
        }
        before = Some(seen);
        std::thread::sleep(WATCH);
        if screen.reader_gone() {
            return Ok(());
        }
    }
}

fn told(
    client: &mut crate::control::client::Client,
    tried: &str,
    program: Option<&str>,
) -> Result<Vec<Status>, Failure> {
    let mut all = statuses(client, tried, program)?;
    all.iter_mut().filter_map(|status| status.lock.as_mut()).for_each(lock_file::fill_in);
    Ok(all)
}

/// Prints statuses; one program's as an object of its own, where one was asked for.
///
/// # Errors
/// Nothing can be printed.
pub(crate) fn show(screen: Screen, all: &[Status], one: bool) -> Result<(), Failure> {
    match (screen.json, all) {
        (true, [status]) if one => screen.document(status)?,
        (true, _) => screen.document(&all)?,
        (false, _) => screen.text(&table(screen, all, Timestamp::now()))?,
    }
    Ok(())
}

fn table(screen: Screen, all: &[Status], now: Timestamp) -> String {
    let mut table =
        Table::new(&["NAME", "KIND", "STATE", "READY", "WHY", "PID", "FOR", "RESTARTS", "LAST EXIT"]);
    for status in all {
        let dash = || "-".to_owned();
        let role = match status.standby {
            Some(true) => " (standby)",
            _ => "",
        };
        let completed = status.reason.as_deref() == Some("completed");
        let (ready, colour) = match status.ready {
            true => ("yes", Colour::Green),
            false => ("no", Colour::Yellow),
        };
        table.row(vec![
            (status.name.clone(), None),
            (format!("{}{role}", status.kind), None),
            (
                format!("{}{}", status.state, if status.adopted { " (adopted)" } else { "" }),
                Some(state_colour(&status.state, completed)),
            ),
            (ready.to_owned(), Some(colour)),
            (why(status).unwrap_or_else(dash), None),
            (status.pid.map_or_else(dash, |pid| pid.to_string()), None),
            (time::ago(&status.since, now).map_or_else(dash, time::span), None),
            (status.restarts.to_string(), None),
            (status.last_exit.as_ref().map_or_else(dash, |exit| last_exit(exit, now)), None),
        ]);
    }
    table.render(screen)
}

fn state_colour(state: &str, completed: bool) -> Colour {
    match state {
        "running" => Colour::Green,
        "failed" | "backoff" => Colour::Red,
        "down" if completed => Colour::Green,
        "down" => Colour::Grey,
        _ => Colour::Yellow,
    }
}

/// Why it is not running, in a few words.
fn why(status: &Status) -> Option<String> {
    let mut words = Vec::new();
    if let Some(reason) = &status.reason {
        words.push(reason.clone());
    }
    if let Some(lock) = &status.lock {
        let details: Vec<&str> =
            [&lock.kind, &lock.owner].into_iter().flatten().map(String::as_str).collect();
        match (details.is_empty(), words.iter().any(|word| word == "locked")) {
            (true, true) => {}
            (true, false) => words.push("locked".to_owned()),
            (false, true) => words.push(format!("({})", details.join(" by "))),
            (false, false) => words.push(format!("locked ({})", details.join(" by "))),
        }
    }
    if let Some(seconds) = status.starts_in.filter(|seconds| seconds.is_finite() && *seconds >= 0.0) {
        let failures = if status.failures == 1 { "failure" } else { "failures" };
        let span = time::span(Duration::try_from_secs_f64(seconds).unwrap_or_default());
        words.push(format!("{} {failures}, starts in {span}", status.failures));
    }
    (!words.is_empty()).then(|| words.join(" "))
}

/// How a main process ended, in a few words.
pub(crate) fn last_exit(exit: &LastExit, now: Timestamp) -> String {
    let how = match (exit.code, exit.signal) {
        (_, Some(signal)) => signal_name(signal),
        (Some(code), None) => format!("exit {code}"),
        (None, None) => "unknown".to_owned(),
    };
    let when = time::ago(&exit.at, now).map_or_else(String::new, |ago| format!(", {} ago", time::span(ago)));
    format!("{how} ({}{when})", exit.class)
}

fn signal_name(signal: i32) -> String {
    nix::sys::signal::Signal::try_from(signal)
        .map_or_else(|_| format!("signal {signal}"), |signal| signal.as_str().to_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::control::protocol::Lock;
    use crate::ctl::screen::PLAIN;

    /// A program that runs.
    pub(crate) fn running(name: &str, kind: &str) -> Status {
        let value = serde_json::json!({
            "name": name, "kind": kind, "state": "running", "reason": null, "pid": 42, "since": "2026-01-31T11:56:55Z",
            "restarts": 0, "failures": 0, "last_exit": null, "ready": true, "adopted": false, "standby": null,
            "lock": null, "starts_in": null, "ends": {}, "downtime": {}, "start_seconds": 0.5, "stop_seconds": null,
            "dropped_lines": 0, "engine": null, "output_file": null
        });
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_table() {
        let engine = Status { standby: Some(false), ..running("engine", "postgres") };
        let replica =
            Status { standby: Some(true), adopted: true, restarts: 3, ..running("replica", "postgres") };
        let exit = LastExit {
            code: Some(1),
            signal: None,
            class: "failed".into(),
            at: "2026-01-31T11:59:56Z".into(),
        };
        let pfsd = Status {
            state: "backoff".into(),
            pid: None,
            ready: false,
            failures: 2,
            starts_in: Some(2.5),
            since: "2026-01-31T11:59:56Z".into(),
            last_exit: Some(exit),
            ..running("pfsd", "command")
        };
        let killed = LastExit {
            code: None,
            signal: Some(9),
            class: "killed".into(),
            at: "2026-01-30T11:00:00Z".into(),
        };
        let lock = Lock {
            file: "/data/ins_lock".into(),
            kind: Some("maintenance".into()),
            owner: Some("root\n".into()),
            ..Lock::default()
        };
        let locked = Status {
            state: "down".into(),
            reason: Some("locked".into()),
            pid: None,
            ready: false,
            lock: Some(lock),
            last_exit: Some(killed),
            ..running("other", "postgres")
        };
        let once = Status {
            state: "down".into(),
            reason: Some("completed".into()),
            pid: None,
            ..running("setup", "oneshot")
        };
        let now = "2026-01-31T12:00:00Z".parse().unwrap();
        let text = table(PLAIN, &[engine, replica, pfsd, locked, once], now);
        let expected = "\
NAME     KIND                STATE              READY  WHY                            PID  FOR   RESTARTS  LAST EXIT
engine   postgres            running            yes    -                              42   3m5s  0         -
replica  postgres (standby)  running (adopted)  yes    -                              42   3m5s  3         -
pfsd     command             backoff            no     2 failures, starts in 2.5s     -    4.0s  0         exit 1 (failed, 4.0s ago)
other    postgres            down               no     locked (maintenance by root\u{fffd})  -    3m5s  0         SIGKILL (killed, 1d1h ago)
setup    oneshot             down               yes    completed                      -    3m5s  0         -
";
        assert_eq!(text, expected, "\n{text}");
    }
}
