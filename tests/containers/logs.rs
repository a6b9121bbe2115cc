//! `docker logs` and `/log`.

use crate::bed::{Bed, docker, until};

#[test]
fn the_engines_lines_and_the_supervisors_are_in_docker_logs_and_the_files_in_log() {
    let Some(bed) = Bed::take(1) else { return };
    let log = bed.volume("log");
    let engine = bed.engine("logs").mount(&log, "/log").serving();
    let lines = docker(["logs", &engine.name]);
    assert!(lines.stderr.contains("INFO  engine: ready after"), "the supervisor's: {lines:?}");
    // What the engine's log collector writes is followed.
    engine.exec(&["psql", "-U", "postgres", "-c", "select no_such_column"]);
    until("the engine's line", || engine.logs().contains("no_such_column"));
    let file = engine.sh("ls /log/pg_log/");
    assert!(file.contains("postgresql-"), "{file}");
    assert_eq!(engine.sh("grep -l no_such_column /log/pg_log/*.log | wc -l"), "1");
    let journal = engine.sh("cat /log/events.jsonl");
    assert!(journal.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{journal}");
    assert!(engine.exec(&["polarctl", "events"]).success().contains("running"));
    assert!(engine.exec(&["polarctl", "logs", "engine"]).success().contains("no_such_column"));
}

#[test]
fn lines_are_json_where_they_are_asked_to_be() {
    let Some(bed) = Bed::take(1) else { return };
    let engine = bed.engine("json").env("POLAR_SUPERVISOR_LOG_FORMAT", "json").serving();
    let lines = docker(["logs", &engine.name]).stderr;
    let ours: Vec<serde_json::Value> =
        lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert!(
        ours.iter().any(|line| line["message"].as_str().is_some_and(|text| text.starts_with("ready after"))),
        "{lines}"
    );
}
