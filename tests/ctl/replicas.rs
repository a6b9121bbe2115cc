//! `replica`: on a real primary, with a real standby.

use serde_json::json;

use crate::bed::{Ran, until};
use crate::engine::{Engine, done, refused};

const STANDBY: &str = "--kind standby --custins-id 1000 --unique-name pod-7";
const REPLICA: &str = "--kind replica --custins-id 1000 --unique-name 1001";

fn create(engine: &Engine, which: &str, more: &str) -> Ran {
    engine.command(&format!("replica create {which} {more} --password-stdin --output json")).given(b"geheim")
}

fn slots(engine: &Engine) -> String {
    engine.sql("select string_agg(slot_name, ' ' order by slot_name) from pg_replication_slots")
}

#[test]
fn a_standby_streams_by_what_was_made() {
    let primary = Engine::up();
    let hba = primary.read("pg_hba.conf");
    primary.write("pg_hba.conf", hba.replace("host    replication", "#host    replication"));
    primary.sql("select pg_reload_conf()");
    let said = done(&create(&primary, STANDBY, "--dry-run"));
    assert_eq!((slots(&primary).as_str(), said["steps"].as_array().unwrap().len()), ("", 11), "{said}");
    let json = done(&create(&primary, STANDBY, ""));
    let steps = json["steps"].as_array().unwrap();
    assert!(
        steps.contains(&json!("pg_hba.conf: host replication \"replicator\" all scram-sha-256; reload")),
        "{json}"
    );
    assert_eq!(slots(&primary), "standby_1000_pod_7");
    assert_eq!(primary.sql("show synchronous_standby_names"), "", "a standby is asynchronous");
    assert_eq!(primary.sql("select rolreplication from pg_roles where rolname = 'replicator'"), "t");
    assert!(primary.read("pg_hba.conf").ends_with("host replication \"replicator\" all scram-sha-256\n"));
    let again = done(&create(&primary, STANDBY, ""));
    assert_eq!((&again["changed"], &again["steps"]), (&json!(false), &json!([])));
    let standby = Engine::standby_with(&primary, "primary_slot_name='standby_1000_pod_7'\n");
    until("it to stream, and to have said how far it is", || {
        let slot = &primary.json("replica list")[0];
        slot["state"] == "streaming" && slot["behind"].is_u64() && slot["held_back"].is_u64()
    });
    let listed = primary.json("replica list");
    let slot = &listed[0];
    assert_eq!(
        (&slot["kind"], &slot["active"], &slot["sync"]),
        (&json!("standby"), &json!(true), &json!("async"))
    );
    let drop = format!("replica drop {STANDBY} --output json");
    refused(&primary.ctl(&drop), 1, "in_use");
    drop_standby(standby);
    primary.sql("create table t as select generate_series(1, 10000)");
    until("the slot to be free", || primary.json("replica list")[0]["active"] == false);
    assert!(primary.json("replica list")[0]["held_back"].as_u64().unwrap() > 100_000);
    let noted = done(&create(&primary, STANDBY, ""));
    assert!(noted["notes"][0].as_str().unwrap().contains("bytes of WAL"), "{noted}");
    assert_eq!(primary.json(&format!("replica drop {STANDBY}"))["changed"], true);
    assert_eq!(primary.json(&format!("replica drop {STANDBY}"))["changed"], false);
    assert_eq!(slots(&primary), "");
}

fn drop_standby(mut standby: Engine) {
    standby.stop();
}

#[test]
fn commits_wait_for_a_replica_and_for_no_standby() {
    let engine = Engine::up();
    assert_eq!(done(&create(&engine, REPLICA, ""))["changed"], true);
    done(&create(&engine, STANDBY, ""));
    assert_eq!(slots(&engine), "replica_1000_1001 standby_1000_pod_7");
    assert_eq!(engine.sql("show synchronous_standby_names"), "replica_1000_1001");
    let second = "--kind replica --custins-id 1000 --unique-name 1002";
    let json = done(&create(&engine, second, ""));
    assert!(json["notes"][0].as_str().unwrap().contains("until it streams"), "{json}");
    assert_eq!(engine.sql("show synchronous_standby_names"), "replica_1000_1001, replica_1000_1002");
    assert_eq!(done(&create(&engine, second, ""))["changed"], false);
    // Nobody streams: a commit waits, and what mends it does not.
    let mut commit = engine.psql().args(["-c", "create table waits()"]).spawn().unwrap();
    let waits = "select count(*) from pg_stat_activity where wait_event = 'SyncRep'";
    until("the commit to wait", || engine.sql(waits) == "1");
    for which in [second, REPLICA] {
        assert_eq!(engine.json(&format!("replica drop {which}"))["changed"], true, "{which}");
    }
    assert_eq!(
        (engine.sql("show synchronous_standby_names"), slots(&engine)),
        (String::new(), "standby_1000_pod_7".into())
    );
    until("the commit to be done", || commit.try_wait().unwrap().is_some_and(|status| status.success()));
}

#[test]
fn what_is_refused() {
    let engine = Engine::up();
    // No role, and no password to make one with.
    refused(&engine.ctl(&format!("replica create {STANDBY} --output json")), 1, "no_replication_role");
    engine.sql("create role weak login");
    refused(
        &engine.ctl(&format!("replica create {STANDBY} --role weak --output json")),
        1,
        "no_replication_role",
    );
    let hba = engine.read("pg_hba.conf");
    engine.write("pg_hba.conf", format!("host replication all all reject\n{hba}"));
    engine.sql("select pg_reload_conf()");
    refused(&create(&engine, STANDBY, ""), 1, "rejected_by_hba");
    for name in ["a'b", "A", "a;b", "\u{1f418}", "%", "\\"] {
        let ran = engine
            .command("replica create --kind standby --custins-id 1 --output json --unique-name")
            .word(name)
            .ran();
        refused(&ran, 2, "usage");
    }
    let hostile = engine
        .command("replica create --kind standby --custins-id 1 --unique-name a --output json --address");
    refused(&hostile.word("all trust\nhost all all all").ran(), 2, "usage");
    assert_eq!(
        (slots(&engine).as_str(), engine.sql("select count(*) from pg_roles where rolreplication").as_str()),
        ("", "1")
    );
}
