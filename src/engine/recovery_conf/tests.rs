use proptest::prelude::*;

use super::*;
use crate::engine::conf::quote;

/// As ClusterManager writes it: `=` inside of a value as `\=`.
const CLUSTER_MANAGER: &str = "primary_slot_name='standby_1000_1001'\nstandby_mode='on'\n\
    recovery_target_timeline='latest'\n\
    primary_conninfo='host\\=10.0.0.1 port\\=3001 user\\=replicator password\\=geheim application_name\\=standby_1000_1001'\n";

fn asked(text: &str) -> Asked {
    read(text.as_bytes(), 15, true).unwrap_or_else(|mistake| panic!("{mistake}: {text}"))
}

/// The parameters that are not empty.
fn set(text: &str) -> Vec<(&'static str, String)> {
    asked(text).settings.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

#[test]
fn cluster_managers_own_and_the_plain_form_are_the_same() {
    let plain = CLUSTER_MANAGER.replace("\\=", "=");
    assert_eq!(asked(CLUSTER_MANAGER), asked(&plain));
    assert_eq!(asked(CLUSTER_MANAGER).mode, Mode::Standby);
    let expected = [
        (
            "primary_conninfo",
            "host=10.0.0.1 port=3001 user=replicator password=geheim application_name=standby_1000_1001",
        ),
        ("primary_slot_name", "standby_1000_1001"),
        ("recovery_target_timeline", "latest"),
    ];
    assert_eq!(set(CLUSTER_MANAGER), expected.map(|(name, value)| (name, value.to_owned())));
}

#[test]
fn modes() {
    for (text, mode) in [
        ("standby_mode = on", Mode::Standby),
        ("STANDBY_MODE 'true' # c", Mode::Standby),
        ("polar_replica='on'", Mode::Replica),
        ("polar_replica='on'\nstandby_mode = off", Mode::Replica),
        ("standby_mode = off\nstandby_mode = on", Mode::Standby),
        ("restore_command = 'cp /a/%f %p'", Mode::Recovery),
        ("restore_command = 'cp /a/%f %p'\nstandby_mode = on", Mode::Standby),
        ("restore_command = 'cp /a/%f %p'\nstandby_mode = off", Mode::Recovery),
    ] {
        assert_eq!(asked(text).mode, mode, "{text}");
    }
}

#[test]
fn of_the_targets_the_last_one_counts_and_comes_last() {
    let text = "recovery_target_time = '2026-01-01'\nrecovery_target_xid = '7'\nrecovery_target_name = ''\n\
                restore_command = 'x'\ntrigger_file = '/t'";
    let names: Vec<_> = asked(text).settings.iter().map(|(name, _)| *name).collect();
    let targets = &names[..5];
    assert_eq!(targets.last(), Some(&"recovery_target_xid"), "{names:?}");
    assert!(TARGETS.iter().all(|name| targets.contains(name)));
    let expected = [("recovery_target_xid", "7"), ("promote_trigger_file", "/t"), ("restore_command", "x")];
    assert_eq!(set(text), expected.map(|(name, value)| (name, value.to_owned())));
}

#[test]
fn mistakes_name_the_line_and_no_value() {
    let long = format!("standby_mode = on\nprimary_conninfo = 'password={}", "s3cret".repeat(200_000));
    for (text, expected) in [
        ("", "1: up to its end neither standby_mode nor polar_replica is on"),
        ("primary_slot_name='a'\n", "2: up to its end neither"),
        ("restore_command = ''", "1: up to its end neither"),
        ("standby_mode = off", "1: up to its end neither"),
        ("\nstandby_mode = s3cret", "2: standby_mode is neither on nor off"),
        ("standby_mode = on\n\npolar_replica = on", "3: standby_mode and polar_replica are both on"),
        ("polar_datamax_mode = 'standalone'", "1: no engine of version 15 can be a DataMax node"),
        ("standby_mode = on\nwork_mem = 's3cret'", "2: work_mem is no parameter of recovery.conf"),
        ("include 's3cret'", "1: an include is not followed"),
        ("primary_conninfo='password=s3cret\nstandby_mode=on", "1: primary_conninfo: a quote is not closed"),
        ("primary_conninfo='a' s3cret", "1: primary_conninfo: something stands behind the value"),
        ("standby_mode = on\nprimary_conninfo = 's3cret\0'", "2: a NUL is in it"),
        (&long, "2: primary_conninfo: a quote is not closed"),
    ] {
        let said = read(text.as_bytes(), 15, true).expect_err(text).to_string();
        assert!(said.starts_with(expected), "{said}: {expected}");
        assert!(!said.contains("s3cret"), "{said}");
    }
    assert_eq!(read(b"\xff", 15, true).unwrap_err().to_string(), "1: it is not UTF-8");
    let stock = read(b"polar_replica = on", 15, false).unwrap_err();
    assert_eq!(stock.to_string(), "1: polar_replica is on, and this engine is no PolarDB");
    let late = read(b"standby_mode = on\ntrigger_file = '/t'", 17, false).unwrap_err();
    assert_eq!(late.to_string(), "2: an engine of version 17 heeds no trigger file");
}

#[test]
fn verdicts() {
    use Mode::{Recovery, Replica, Standby};
    let ours = |mode| Signal { mode, ours: true };
    let foreign = |mode| Signal { mode, ours: false };
    let table: [(Option<Mode>, bool, &[Signal], Verdict); 14] = [
        // Nothing is asked: a promoted node, a primary, somebody's own standby.
        (None, false, &[], Verdict::Leave),
        (None, false, &[ours(Standby)], Verdict::Leave),
        (None, false, &[foreign(Standby)], Verdict::Leave),
        (None, true, &[], Verdict::Leave),
        // An offline promotion.
        (None, true, &[ours(Standby)], Verdict::Promote(vec![Standby])),
        (None, true, &[ours(Replica)], Verdict::Promote(vec![Replica])),
        (None, true, &[foreign(Standby)], Verdict::Foreign(Standby)),
        (None, true, &[ours(Standby), foreign(Recovery)], Verdict::Foreign(Recovery)),
        // An attach; recovery.done of before does not matter.
        (Some(Standby), false, &[], Verdict::Make(Standby, vec![])),
        (Some(Standby), true, &[ours(Standby)], Verdict::Make(Standby, vec![])),
        (Some(Standby), false, &[foreign(Standby)], Verdict::Make(Standby, vec![])),
        (Some(Replica), false, &[ours(Standby)], Verdict::Make(Replica, vec![Standby])),
        (Some(Replica), false, &[foreign(Standby)], Verdict::Foreign(Standby)),
        (Some(Recovery), true, &[foreign(Standby)], Verdict::Foreign(Standby)),
    ];
    for (asked, done, signals, expected) in table {
        assert_eq!(verdict(asked, done, signals), expected, "{asked:?} {done} {signals:?}");
    }
}

proptest! {
    #[test]
    fn any_file(bytes: Vec<u8>, major in 12_u32..20, polardb: bool) {
        let _ = read(&bytes, major, polardb);
    }

    #[test]
    fn any_file_of_telling_lines(
        lines in proptest::collection::vec(
            prop_oneof![
                "(standby_mode|polar_replica|restore_command|recovery_target(_time)?|x) ?=? ?'?[a-z\\\\'=#]{0,4}'?",
                Just("standby_mode = on".to_owned()),
            ],
            0..6,
        ),
    ) {
        if let Ok(asked) = read(lines.join("\n").as_bytes(), 15, true) {
            let names: Vec<_> = asked.settings.iter().map(|(name, _)| *name).collect();
            prop_assert!(TARGETS.iter().all(|name| names.iter().filter(|other| *other == name).count() == 1));
            let set = asked.settings.iter().filter(|(name, value)| TARGETS.contains(name) && !value.is_empty());
            prop_assert!(set.count() <= 1);
        }
    }

    #[test]
    fn what_is_written_in_quotes_is_read(value in r#"([^\x00]|['\\=#\n\r 0-9]){1,40}"#) {
        let text = format!("standby_mode='on'\nprimary_conninfo={}\n", quote(&value));
        prop_assert_eq!(set(&text), [("primary_conninfo", value.clone())]);
        let escaped = format!("standby_mode='on'\nprimary_conninfo={}\n", quote(&value).replace('=', "\\="));
        prop_assert_eq!(set(&escaped), [("primary_conninfo", value)]);
    }

    /// No file and no state makes a primary of a standby that somebody else has made, nor without a recovery.done.
    #[test]
    fn no_primary_without_a_word(
        asked in prop_oneof![Just(None), Just(Some(Mode::Standby)), Just(Some(Mode::Replica))],
        done: bool,
        owners in proptest::collection::vec(proptest::option::of(any::<bool>()), 3),
    ) {
        let lying = Mode::ALL.into_iter().zip(owners);
        let signals: Vec<_> =
            lying.filter_map(|(mode, ours)| ours.map(|ours| Signal { mode, ours })).collect();
        match verdict(asked, done, &signals) {
            Verdict::Promote(_) => prop_assert!(asked.is_none() && done && signals.iter().all(|signal| signal.ours)),
            Verdict::Make(mode, removed) => {
                prop_assert_eq!(Some(mode), asked);
                prop_assert!(!removed.contains(&mode));
            }
            Verdict::Leave => prop_assert!(asked.is_none()),
            Verdict::Foreign(mode) => {
                let named = signals.contains(&Signal { mode, ours: false });
                prop_assert!(named);
            }
        }
    }
}
