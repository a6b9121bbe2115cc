//! `params`: on a real server, as root and by the data volume alone.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use serde_json::{Value, json};

use crate::bed::Ran;
use crate::engine::{Engine, done, postgres, refused, steps};

fn conf(engine: &Engine) -> String {
    engine.read("postgresql.conf")
}

fn show(engine: &Engine, name: &str) -> String {
    engine.sql(&format!("select current_setting('{name}')"))
}

fn set(engine: &Engine, assignment: &str) -> Ran {
    engine.command("params set --output json").word(assignment).ran()
}

#[test]
fn said_done_and_done_twice() {
    let engine = Engine::up();
    let before = conf(&engine);
    let said = engine.json("params set work_mem=9MB --dry-run");
    assert_eq!(
        steps(&said),
        ["postgresql.conf: work_mem: (nothing) -> 9MB", "reload, confirmed by the engine"]
    );
    assert_eq!(
        (said["changed"].clone(), conf(&engine), show(&engine, "work_mem").as_str()),
        (json!(false), before.clone(), "4MB")
    );
    let json = engine.json("params set work_mem=9MB");
    assert_eq!((json["changed"].clone(), steps(&json)), (json!(true), steps(&said)));
    assert_eq!(conf(&engine), format!("{before}work_mem=9MB\n"), "nothing else was touched");
    assert_eq!(show(&engine, "work_mem"), "9MB");
    // The same in another spelling is another line, and another value of the file; the same once more is nothing.
    let json = engine.json("params set work_mem=9MB");
    assert_eq!((json["changed"].clone(), json["steps"].clone()), (json!(false), json!([])));
    let json = engine.json("params unset work_mem");
    assert_eq!(steps(&json)[0], "postgresql.conf: work_mem: 9MB -> (nothing)");
    assert_eq!((conf(&engine), show(&engine, "work_mem").as_str()), (before, "4MB"));
    assert_eq!(engine.json("params unset work_mem")["changed"], false);
}

#[test]
fn owner_mode_comments_and_order_stay() {
    let engine = Engine::down();
    let text = "# ours\nport=5432 # callers look for this\n\nwork_mem = '4MB'\t# theirs \u{fc}\ninclude_if_exists 'none.conf'\n# end";
    engine.write("postgresql.conf", text);
    let path = engine.data().join("postgresql.conf");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    chown(&path, Some(0), Some(postgres().1)).unwrap();
    assert_eq!(engine.ctl("params set work_mem=8MB port=5433 fsync=off").code, 0);
    let expected = text.replace("'4MB'", "8MB").replace("5432", "5433") + "\nfsync=off\n";
    assert_eq!(conf(&engine), expected);
    let meta = fs::metadata(&path).unwrap();
    assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o777), (0, postgres().1, 0o640));
    let names =
        fs::read_dir(engine.data()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(!names.into_iter().any(|name| name.contains("polarctl")), "no candidate is left");
}

#[test]
fn t24_an_invalid_parameter_is_refused_and_the_old_value_stays() {
    let mut engine = Engine::up();
    let before = conf(&engine);
    let table = [
        ("work_mem=lots", "invalid_value"),
        ("work_mem=1kB", "invalid_value"),
        ("work_mem=4mb", "invalid_value"),
        ("fsync=maybe", "invalid_value"),
        ("max_connections=0", "invalid_value"),
        // Only the engine knows what these may be.
        ("wal_level=none", "invalid_value"),
        ("datestyle=yesterday", "invalid_value"),
        ("log_destination=nowhere", "invalid_value"),
        ("timezone=Atlantis/Center", "invalid_value"),
        ("server_version=99", "read_only_parameter"),
        ("no_such_parameter=1", "unknown_parameter"),
    ];
    for (assignment, word) in table {
        refused(&set(&engine, assignment), 1, word);
        assert_eq!(conf(&engine), before, "{assignment}");
    }
    // One bad one of several: none is written.
    let ran = engine.ctl("params set --output json checkpoint_timeout=6min log_destination=nowhere");
    refused(&ran, 1, "invalid_value");
    assert_eq!((conf(&engine), show(&engine, "checkpoint_timeout").as_str()), (before.clone(), "5min"));
    // Without a server its executable is asked, which says so itself.
    engine.stop();
    for (assignment, _) in &table[..9] {
        refused(&set(&engine, assignment), 1, "invalid_value");
        assert_eq!(conf(&engine), before, "{assignment}");
    }
    engine.start();
}

#[test]
fn t24_what_the_server_alone_refuses_is_taken_back() {
    let mut engine = Engine::down();
    let text =
        conf(&engine) + "shared_preload_libraries='auto_explain'\nauto_explain.log_format=json # ours\n";
    engine.write("postgresql.conf", &text);
    engine.start();
    // The executable knows no library's parameter; the server has loaded it.
    let ran = engine.ctl("params set --output json auto_explain.log_format=nonsense work_mem=9MB");
    refused(&ran, 1, "refused");
    assert_eq!(conf(&engine), text, "the old file");
    assert_eq!(
        (show(&engine, "auto_explain.log_format"), show(&engine, "work_mem")),
        ("json".into(), "4MB".into())
    );
    assert_eq!(engine.json("params set auto_explain.log_format=yaml work_mem=9MB")["changed"], true);
    assert_eq!(
        (show(&engine, "auto_explain.log_format"), show(&engine, "work_mem")),
        ("yaml".into(), "9MB".into())
    );
}

#[test]
fn t24_what_would_keep_it_from_starting_is_refused() {
    let mut engine = Engine::up();
    let before = conf(&engine);
    for line in [
        "superuser_reserved_connections=12",
        "max_connections=2",
        "wal_level=minimal",
        "shared_preload_libraries=no_such_library",
        "shared_preload_libraries=auto_explain,$libdir/nothing",
    ] {
        refused(&set(&engine, line), 1, "invalid_value");
        assert_eq!(conf(&engine), before, "{line}");
    }
    let line = "params set wal_level=minimal max_wal_senders=0 shared_preload_libraries=auto_explain max_connections=6";
    assert_eq!(engine.json(line)["changed"], true);
    engine.stop();
    engine.start();
    assert_eq!(show(&engine, "wal_level"), "minimal");
}

#[test]
fn t25_a_standby_has_no_less_than_its_primary() {
    let mut primary = Engine::up();
    let mut standby = Engine::standby_of(&primary);
    let before = conf(&standby);
    refused(&set(&standby, "max_connections=11"), 1, "invalid_value");
    standby.stop();
    refused(&set(&standby, "max_connections=11"), 1, "invalid_value");
    assert_eq!(conf(&standby), before);
    // More goes on the standby first, less on the primary.
    standby.json("params set max_connections=14");
    standby.start();
    primary.json("params set max_connections=11");
    primary.stop();
    primary.start();
    crate::bed::until("the standby to hear of it", || set(&standby, "max_connections=11").code == 0);
}

#[test]
fn t26_when_it_is_done_the_server_has_it() {
    let engine = Engine::up();
    for number in 5..15 {
        let json = engine.json(&format!("params set work_mem={number}MB"));
        assert!(steps(&json).contains(&"reload, confirmed by the engine"), "{json}");
        assert_eq!(show(&engine, "work_mem"), format!("{number}MB"));
    }
    // Changed by hand, or by one that was killed before the reload.
    engine.write("postgresql.conf", conf(&engine).replace("work_mem=14MB", "work_mem=15MB"));
    assert_eq!(show(&engine, "work_mem"), "14MB");
    let differences = engine.json("params diff");
    assert_eq!((&differences[0]["name"], &differences[0]["running"]), (&json!("work_mem"), &json!("14MB")));
    assert_eq!(steps(&engine.json("params set work_mem=15MB")), ["reload, confirmed by the engine"]);
    assert_eq!(show(&engine, "work_mem"), "15MB");
    assert_eq!(engine.json("params diff"), json!([]));
}

#[test]
fn t27_no_value_becomes_another_setting() {
    let mut engine = Engine::up();
    let hostile = [
        "x\nport = 1",
        "x\r\nport = 1",
        "it's",
        "'; port = 1 #",
        "\\'\nport = 1",
        "back\\slash \\n \\101 %s %d {}",
        "# no comment",
        "include 'x'",
        "=",
        "",
        " ",
        "\u{1f418} \u{fc} \u{1}",
        "'); drop role postgres; --",
    ];
    let long = "y".repeat(100_000);
    for value in hostile.iter().copied().chain([long.as_str()]) {
        done(&set(&engine, &format!("polar_test.text={value}")));
        assert_eq!(show(&engine, "polar_test.text"), value.trim_end(), "{value:?}");
        assert_eq!(show(&engine, "port"), "5432", "{value:?}");
    }
    engine.stop();
    engine.start();
    assert_eq!(show(&engine, "polar_test.text"), long);
    for name in
        ["a b=1", "a\nport=1", "a'=1", "#a=1", "include=x y", "include 'x'=1", "a;b=1", "=1", "work_mem"]
    {
        let before = conf(&engine);
        let code = set(&engine, name).code;
        assert!(code == 2 || code == 1, "{name:?}: {code}");
        assert_eq!(conf(&engine), before, "{name:?}");
    }
    for line in engine.manager_log() {
        assert!(line.contains(" - params set"), "one line an operation: {line}");
    }
}

#[test]
fn what_waits_for_a_restart_is_listed_with_both_values() {
    let mut engine = Engine::up();
    let json = engine.json("params set max_connections=13 work_mem=9MB");
    assert_eq!(json["notes"], json!(["max_connections waits for a restart: 12 runs, 13 comes"]));
    assert_eq!(show(&engine, "work_mem"), "9MB");
    let again = engine.json("params set max_connections=13");
    assert_eq!((again["changed"].clone(), again["notes"].clone()), (json!(false), json["notes"].clone()));
    assert_eq!(engine.json("params refresh")["notes"], json["notes"]);
    let entry = &engine.json("params get max_connections")[0];
    assert_eq!(
        (&entry["value"], &entry["set"]["value"], &entry["pending_restart"]),
        (&json!("12"), &json!("13"), &json!(true))
    );
    let difference = &engine.json("params diff")[0];
    assert_eq!(
        (&difference["name"], &difference["why"]),
        (&json!("max_connections"), &json!("waits for a restart"))
    );
    let table = engine.ctl("params get max_connections").success();
    assert!(table.contains("waits for a restart"), "{table}");
    engine.stop();
    engine.start();
    assert_eq!(engine.json("params diff"), json!([]));
    assert_eq!(show(&engine, "max_connections"), "13");
}

#[test]
fn where_a_value_comes_from_and_what_it_shadows() {
    let mut engine = Engine::down();
    engine.write("first.conf", "work_mem=1MB\nmaintenance_work_mem=20MB\n");
    fs::create_dir(engine.data().join("conf.d")).unwrap();
    engine.write("conf.d/last.conf", "\nwork_mem=3MB\n");
    let text = format!("include 'first.conf'\nwork_mem=2MB\n{}include_dir 'conf.d'\n", conf(&engine));
    engine.write("postgresql.conf", &text);
    engine.spawn(&["-c", "geqo=off"]);
    engine.ready();
    let entry = &engine.json("params get work_mem")[0];
    assert_eq!(entry["value"], "3MB");
    assert_eq!((&entry["set"]["layer"], &entry["set"]["line"]), (&json!("included"), &json!(2)));
    assert!(entry["set"]["file"].as_str().unwrap().ends_with("conf.d/last.conf"));
    let shadowed: Vec<_> = entry["shadows"].as_array().unwrap().iter().map(|place| &place["value"]).collect();
    assert_eq!(shadowed, ["2MB", "1MB"]);
    // A file that is included behind the line would win: it is written behind that.
    assert_eq!(engine.json("params set work_mem=5MB maintenance_work_mem=30MB")["changed"], true);
    assert_eq!(
        (show(&engine, "work_mem"), show(&engine, "maintenance_work_mem")),
        ("5MB".into(), "30MB".into())
    );
    assert!(conf(&engine).contains("\n#work_mem=2MB\n") && conf(&engine).ends_with("work_mem=5MB\n"));
    let unset = engine.json("params unset work_mem");
    assert!(unset["notes"][0].as_str().unwrap().contains("conf.d/last.conf:2 says 3MB"), "{unset}");
    assert_eq!(show(&engine, "work_mem"), "3MB");
    // ALTER SYSTEM.
    engine.sql("alter system set work_mem='7MB'");
    let before = conf(&engine);
    refused(&set(&engine, "work_mem=6MB"), 1, "shadowed");
    assert_eq!(conf(&engine), before);
    let json = engine.json("params set work_mem=6MB --over-alter-system");
    assert!(steps(&json).contains(&"ALTER SYSTEM RESET work_mem, which says 7MB"), "{json}");
    assert_eq!(show(&engine, "work_mem"), "6MB");
    assert!(!engine.read("postgresql.auto.conf").contains("work_mem"));
    // The command line.
    refused(&set(&engine, "geqo=on"), 1, "shadowed");
    assert_eq!(engine.json("params get geqo")[0]["source"], "command line");
}

#[test]
fn what_is_set_for_the_role_is_said_and_in_nobodys_way() {
    let engine = Engine::up();
    engine.sql("alter role postgres set work_mem='1MB'");
    let json = engine.json("params set work_mem=6MB");
    assert!(json["notes"][0].as_str().unwrap().contains("ALTER ROLE"), "{json}");
    engine.sql("create role other");
    assert_eq!(
        engine.sql("set session authorization other; reset work_mem; show work_mem"),
        "SET\nRESET\n1MB"
    );
    engine.sql("alter role postgres reset all");
    assert_eq!(show(&engine, "work_mem"), "6MB");
}

#[test]
fn a_stopped_and_a_locked_engine_start_with_it() {
    let mut engine = Engine::down();
    let json = engine.json("params set work_mem=9MB");
    assert_eq!(
        (json["changed"].clone(), json["notes"].clone()),
        (json!(true), json!(["the engine does not run; it starts with what the files say"]))
    );
    assert_eq!(engine.json("params set work_mem=9MB")["changed"], false);
    let entry = &engine.json("params get work_mem")[0];
    assert_eq!((&entry["value"], &entry["set"]["value"]), (&json!(null), &json!("9MB")));
    engine.write("ins_lock", "");
    assert_eq!(engine.json("params set work_mem=10MB")["changed"], true);
    fs::remove_file(engine.data().join("ins_lock")).unwrap();
    engine.start();
    assert_eq!(show(&engine, "work_mem"), "10MB");
}

#[test]
fn on_a_standby() {
    let primary = Engine::up();
    let standby = Engine::standby_of(&primary);
    assert_eq!(standby.json("params set work_mem=9MB")["changed"], true);
    assert_eq!((show(&standby, "work_mem"), show(&primary, "work_mem")), ("9MB".into(), "4MB".into()));
    assert_eq!(standby.json("params set work_mem=9MB")["changed"], false);
}

#[test]
fn refresh_reads_what_was_edited_and_refuses_what_is_broken() {
    let engine = Engine::up();
    let text = conf(&engine);
    engine.write("postgresql.conf", format!("{text}work_mem=9MB\n"));
    assert_eq!(engine.json("params refresh")["changed"], true);
    assert_eq!(show(&engine, "work_mem"), "9MB");
    for broken in ["work_mem = = 1\n", "no_such=1\n", "work_mem=1s\n", "include 'absent.conf'\n"] {
        engine.write("postgresql.conf", format!("{text}{broken}"));
        refused(&engine.ctl("params refresh --output json"), 1, "invalid_value");
        refused(&set(&engine, "checkpoint_timeout=6min"), 1, "invalid_value");
        assert_eq!(show(&engine, "work_mem"), "9MB");
    }
}

#[test]
fn a_file_of_the_predecessor() {
    let mut engine = Engine::down();
    let text = "#\n#Thu Jan 01 00:00:00 UTC 2026\nlisten_addresses=''\nunix_socket_directories='.'\nport=3001\n\
                shared_buffers=16MB\nprimary_conninfo='host\\=10.0.0.1 port\\=1 password\\=geheim'\nmax_connections=10\nport=3002\nmax_connections=12\n";
    engine.write("postgresql.conf", text);
    engine.spawn(&[]);
    crate::bed::until("it to answer", || {
        let ran = engine.ctl("params get port --output json");
        ran.code == 0 && ran.json()[0]["value"] != Value::Null
    });
    let entry = &engine.json("params get port")[0];
    assert_eq!((&entry["value"], &entry["shadows"][0]["value"]), (&json!("3002"), &json!("3001")));
    engine.json("params set work_mem=9MB max_connections=20");
    assert_eq!(conf(&engine), text.replace("=12\n", "=20\nwork_mem=9MB\n"));
}

#[test]
fn no_secret_is_shown_or_kept() {
    let engine = Engine::up();
    let ran = set(&engine, "primary_conninfo=host=/tmp password=geheim");
    assert!(done(&ran)["changed"] == true);
    assert_eq!(show(&engine, "primary_conninfo"), "host=/tmp password=geheim");
    let mut all = vec![ran.stdout];
    for line in [
        "params get primary_conninfo",
        "params get",
        "params diff",
        "params history",
        "params unset primary_conninfo",
    ] {
        all.push(engine.ctl(line).stdout);
    }
    all.push(engine.manager_log().join("\n"));
    all.push(engine.read("ins_params_history"));
    for text in all {
        assert!(!text.contains("geheim"), "{text}");
    }
}

#[test]
fn history_tells_who_changed_what() {
    let engine = Engine::up();
    engine.command("params set work_mem=9MB port=5432").env("request_id", "r1").ran().success();
    engine.command("params unset work_mem").env("request_id", "r2").ran().success();
    engine.ctl("params set work_mem=nonsense");
    let history = engine.json("params history work_mem");
    let row = |row: &Value| ["request", "name", "old", "new"].map(|key| row[key].clone());
    let rows: Vec<_> = history.as_array().unwrap().iter().map(row).collect();
    let value = |text: &str| json!(text);
    assert_eq!(
        rows,
        [
            [value("r1"), value("work_mem"), json!(null), value("9MB")],
            [value("r2"), value("work_mem"), value("9MB"), json!(null)],
        ]
    );
    assert_eq!(engine.json("params history -n 1").as_array().unwrap().len(), 1);
    assert!(engine.ctl("params history").success().contains("root (process "));
}

#[test]
fn what_belongs_to_one_node_is_no_clusters() {
    let engine = Engine::up();
    let before = conf(&engine);
    for name in ["port", "PRIMARY_CONNINFO", "polar_hostid", "polar_datadir", "unix_socket_directories"] {
        let ran = engine.ctl(&format!("params set --scope cluster --output json {name}=1"));
        refused(&ran, 1, "node_specific");
    }
    refused(&engine.ctl("params set --scope cluster --output json work_mem=9MB"), 1, "no_cluster_scope");
    assert_eq!(conf(&engine), before);
}
