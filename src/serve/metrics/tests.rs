use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::serve::tests::{down, engine, failed, locked, sidecar, supervisor};

fn page(programs: Vec<Status>) -> String {
    render(&Ok(Answer { programs, supervisor: supervisor() }), "2026-11-21T05:00:00Z".parse().unwrap())
}

/// Type by family, and value by series, of a text that keeps the rules of OpenMetrics 1.0.
fn read(text: &str) -> (BTreeMap<String, String>, BTreeMap<String, f64>) {
    let body = text.strip_suffix("# EOF\n").expect("ends with EOF");
    let (mut types, mut values) = (BTreeMap::new(), BTreeMap::new());
    let (mut family, mut units) = (String::new(), BTreeSet::new());
    for line in body.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "HELP", name, help] => {
                assert!(!help.is_empty() && !types.contains_key(name), "{line}");
                name.clone_into(&mut family);
            }
            ["#", "TYPE", name, kind] => {
                assert_eq!(name, family);
                types.insert(name.to_owned(), kind.to_owned());
            }
            ["#", "UNIT", name, unit] => {
                assert!(name == family && name.ends_with(&format!("_{unit}")), "{line}");
                units.insert(name.to_owned());
            }
            _ => {
                let (series, value) = line.rsplit_once(' ').expect("a value");
                let name = series.split('{').next().unwrap();
                let suffix = match types[&family].as_str() {
                    "counter" => "_total",
                    "info" => "_info",
                    "gauge" => "",
                    other => panic!("type {other}"),
                };
                assert_eq!(name, format!("{family}{suffix}"), "{line}");
                assert!(name.starts_with("polar_"), "{line}");
                let value: f64 = value.parse().expect("a number");
                assert!(
                    value.is_finite() && value >= 0.0 && values.insert(series.to_owned(), value).is_none()
                );
            }
        }
    }
    for name in types.keys().filter(|name| name.ends_with("_seconds")) {
        assert!(units.contains(name), "{name} has no UNIT");
    }
    (types, values)
}

#[test]
fn nobody_answers() {
    let text = render(&Err("gone".into()), Timestamp::now());
    assert_eq!(
        text,
        "# HELP polar_up Whether the supervisor answers\n# TYPE polar_up gauge\npolar_up 0\n# EOF\n"
    );
}

#[test]
fn all_that_is_known() {
    let mut worn = engine("engine");
    worn.since = "2026-11-21T04:59:58.5Z".into();
    (worn.restarts, worn.failures, worn.standby, worn.stop_seconds) = (3, 1, Some(true), Some(1.5));
    worn.ends = [("killed".to_owned(), 2), ("crashed".to_owned(), 1)].into();
    worn.downtime = [("starting".to_owned(), 0.75), ("locked".to_owned(), 60.0)].into();
    worn.last_exit = Some(LastExit {
        code: None,
        signal: Some(9),
        class: "killed".into(),
        at: "1970-01-01T00:01:00.5Z".into(),
    });
    worn.dropped_lines = 42;
    let mut paused = down("loop", "backoff", None);
    paused.starts_in = Some(0.5);
    paused.kind = "command".into();
    let text = page(vec![worn, locked("second"), failed("third"), paused, sidecar("fourth")]);
    let (types, values) = read(&text);
    for (series, value) in [
        ("polar_up", 1.0),
        ("polar_supervisor_info{version=\"0.1.0\"}", 1.0),
        ("polar_supervisor_uptime_seconds", 7200.0),
        ("polar_supervisor_shutting_down", 0.0),
        ("polar_supervisor_orphans_reaped_total", 12.0),
        ("polar_supervisor_output_dropped_lines_total", 3.0),
        ("polar_program_info{program=\"engine\",kind=\"postgres\"}", 1.0),
        ("polar_program_info{program=\"loop\",kind=\"command\"}", 1.0),
        ("polar_program_state{program=\"engine\",state=\"running\"}", 1.0),
        ("polar_program_state{program=\"engine\",state=\"failed\"}", 0.0),
        ("polar_program_state{program=\"third\",state=\"failed\"}", 1.0),
        ("polar_program_reason{program=\"second\",reason=\"locked\"}", 1.0),
        ("polar_program_ready{program=\"engine\"}", 1.0),
        ("polar_program_ready{program=\"second\"}", 0.0),
        ("polar_program_locked{program=\"engine\"}", 0.0),
        ("polar_program_locked{program=\"second\"}", 1.0),
        ("polar_program_adopted{program=\"engine\"}", 0.0),
        ("polar_program_standby{program=\"engine\"}", 1.0),
        ("polar_program_time_in_state_seconds{program=\"engine\"}", 1.5),
        ("polar_program_downtime_seconds_total{program=\"engine\",cause=\"starting\"}", 0.75),
        ("polar_program_downtime_seconds_total{program=\"engine\",cause=\"locked\"}", 60.0),
        ("polar_program_start_duration_seconds{program=\"engine\"}", 0.25),
        ("polar_program_stop_duration_seconds{program=\"engine\"}", 1.5),
        ("polar_program_backoff_seconds{program=\"engine\"}", 0.0),
        ("polar_program_backoff_seconds{program=\"loop\"}", 0.5),
        ("polar_program_last_exit_time_seconds{program=\"engine\"}", 60.5),
        ("polar_program_restarts_total{program=\"engine\"}", 3.0),
        ("polar_program_ends_total{program=\"engine\",class=\"killed\"}", 2.0),
        ("polar_program_ends_total{program=\"engine\",class=\"crashed\"}", 1.0),
        ("polar_program_failures_in_a_row{program=\"engine\"}", 1.0),
        ("polar_program_last_exit_code{program=\"engine\",class=\"killed\"}", 137.0),
        ("polar_program_last_exit_code{program=\"third\",class=\"bad_configuration\"}", 1.0),
        ("polar_program_output_dropped_lines_total{program=\"engine\"}", 42.0),
    ] {
        assert_eq!(values.get(series), Some(&value), "{series} in\n{text}");
    }
    for absent in [
        "polar_program_standby{program=\"second\"}",
        "polar_program_last_exit_code{program=\"second\",class=\"\"}",
        "polar_program_stop_duration_seconds{program=\"second\"}",
    ] {
        assert!(!values.contains_key(absent), "{absent}");
    }
    let states = values.iter().filter(|(series, _)| series.starts_with("polar_program_state{"));
    assert_eq!(states.clone().count(), 5 * STATES.len());
    assert_eq!(states.filter(|(_, value)| **value == 1.0).count(), 5);
    assert_eq!(types["polar_program_downtime_seconds"], "counter");
    assert_eq!(types["polar_program"], "info");
}

#[test]
fn nothing_is_configured() {
    let (_, values) = read(&page(Vec::new()));
    assert!(!values.keys().any(|series| series.contains("program")));
}

#[test]
fn what_is_written_cannot_break_the_page() {
    let mut odd = engine("a\"b\\c\nd{e}");
    odd.reason = Some("x\"} 1\npolar_up 0".into());
    let text = page(vec![odd]);
    let (_, values) = read(&text);
    assert_eq!(values["polar_up"], 1.0);
    assert!(text.contains(r#"polar_program_ready{program="a\"b\\c\nd{e}"} 1"#), "{text}");
    assert!(text.contains(r#"reason="x\"} 1\npolar_up 0"} 1"#), "{text}");
}

#[test]
fn times_that_make_no_sense() {
    let mut odd = engine("a");
    odd.since = "yesterday".into();
    let mut ahead = engine("b");
    ahead.since = "2026-11-22T00:00:00Z".into();
    let (_, values) = read(&page(vec![odd, ahead]));
    assert!(!values.contains_key("polar_program_time_in_state_seconds{program=\"a\"}"));
    assert_eq!(values["polar_program_time_in_state_seconds{program=\"b\"}"], 0.0);
}

/// The names that stand in the first column of the table in the page for operators.
fn documented() -> BTreeSet<String> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md");
    let page = std::fs::read_to_string(page).unwrap();
    let names = page.lines().filter_map(|line| line.strip_prefix("| `polar_")?.split_once('`'));
    let names = names.map(|(name, _)| name.split_once('{').map_or(name, |(name, _)| name));
    names.map(|name| format!("polar_{name}")).collect()
}

#[test]
fn each_metric_is_documented() {
    let (types, _) = read(&page(vec![engine("a")]));
    let suffixed = types.iter().map(|(name, kind)| match kind.as_str() {
        "counter" => format!("{name}_total"),
        "info" => format!("{name}_info"),
        _ => name.clone(),
    });
    assert_eq!(suffixed.collect::<BTreeSet<_>>(), documented());
}
