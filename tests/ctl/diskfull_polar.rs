//! `lock --kind diskfull` on an engine that has PolarDB's parameter: a real server with a library that behaves like it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use polardb_manager::engine::flavor;
use serde_json::json;

use crate::bed::{Ran, until};
use crate::diskfull::{LOCK, Stays, UNLOCK, is_locked, set_up, writes};
use crate::engine::{Engine, bin_dir, done, refused};

/// What `postgres -C NAME -D DIR -c config_file=FILE` answers of an engine that knows the parameter.
const EXECUTABLE: &str = "#!/bin/sh\nfile=${6#config_file=}\nvalue=$(sed -n \"s/^$2 *= *//p\" \"$file\" | tail -n 1 | tr -d \"'\")\n\
    echo \"${value:-off}\"\n";

/// An engine with the parameter, and a configuration by which `polarctl` finds it.
struct Polar {
    engine: Engine,
    config: PathBuf,
}

impl Polar {
    fn up() -> Self {
        Self::up_with(&[])
    }

    /// With these options for the compiler.
    fn up_with(options: &[&str]) -> Self {
        let mut engine = Engine::down();
        let dir = engine.dir.path().to_owned();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ctl/c/polar.c");
        let library = dir.join("polar.so");
        let said = Command::new(bin_dir().join("postgres")).arg("--version").output().unwrap().stdout;
        let release = flavor::parse_version(&String::from_utf8(said).unwrap()).expect("a release");
        let built = Command::new("cc")
            .arg(format!("-DVERSION={}", release * 100))
            .args(["-shared", "-fPIC", "-o"])
            .arg(&library)
            .args(options)
            .arg(source)
            .status()
            .unwrap();
        assert!(built.success());
        let bin = dir.join("bin");
        fs::create_dir(&bin).unwrap();
        for entry in
            fs::read_dir(bin_dir()).unwrap().flatten().filter(|entry| entry.file_name() != "postgres")
        {
            std::os::unix::fs::symlink(entry.path(), bin.join(entry.file_name())).unwrap();
        }
        fs::write(bin.join("postgres"), EXECUTABLE).unwrap();
        fs::set_permissions(bin.join("postgres"), PermissionsExt::from_mode(0o755)).unwrap();
        let config = dir.join("supervisor.toml");
        let text = format!(
            "[program.engine]\nkind = \"postgres\"\nbin_dir = {bin:?}\ndata_dir = {:?}\n",
            engine.data()
        );
        fs::write(&config, text).unwrap();
        let library = format!("shared_preload_libraries={}", library.display());
        engine.start_on_tcp(&["-c", &library]);
        set_up(&engine);
        Polar { engine, config }
    }

    fn ctl(&self, line: &str) -> Ran {
        self.engine.command(&format!("{line} --output json")).option("--config", &self.config).ran()
    }

    fn done(&self, line: &str) -> serde_json::Value {
        done(&self.ctl(line))
    }
}

#[test]
fn said_done_and_done_twice_and_back() {
    let polar = Polar::up();
    let engine = &polar.engine;
    let before = engine.read("postgresql.conf");
    assert_eq!(polar.done(UNLOCK)["changed"], false, "one that never was locked has nothing to be unlocked");
    let said = polar.done(&format!("{LOCK} --dry-run"));
    let write = "postgresql.conf: polar_force_trans_ro_non_sup: (nothing) -> on";
    assert_eq!(said["steps"], json!([write, "reload, confirmed by the engine"]), "{said}");
    assert_eq!(engine.read("postgresql.conf"), before, "a dry run changes nothing");
    let (mut app, mut superuser) = (Stays::of(engine, "app"), Stays::of(engine, "root7"));
    let done = polar.done(LOCK);
    assert_eq!(
        (&done["changed"], &done["steps"][2]),
        (&json!(true), &json!("end the sessions of normal users (1)"))
    );
    assert_eq!(app.ask("select 7"), None, "it was ended");
    assert_eq!(superuser.ask("select 7").as_deref(), Some("7"));
    is_locked(engine);
    let settings = engine
        .sql("select count(*) from pg_db_role_setting, unnest(setconfig) c where c ~ 'read_only|diskfull'");
    assert_eq!(settings, "0", "the parameter alone does it");
    let again = polar.done(LOCK);
    assert_eq!((&again["changed"], &again["steps"]), (&json!(false), &json!([])));
    // It holds whatever the user says, and who began under it writes again at once.
    let mut app = Stays::of(engine, "app");
    assert_eq!(app.ask("set default_transaction_read_only = off; select 8").as_deref(), Some("8"));
    assert!(writes(engine, "app").is_err());
    assert_eq!(polar.done(UNLOCK)["changed"], true);
    until("it to write again", || writes(engine, "app").is_ok());
    assert_eq!(app.ask("insert into app.t values (1) returning 9").as_deref(), Some("9"));
    assert_eq!(polar.done(UNLOCK)["changed"], false);
}

#[test]
fn what_alter_system_says_does_not_keep_it_from_being_locked() {
    let polar = Polar::up();
    polar.engine.sql("alter system set polar_force_trans_ro_non_sup = off");
    assert_eq!(polar.done(LOCK)["changed"], true);
    is_locked(&polar.engine);
    assert_eq!(polar.done("disk expand --unlock")["changed"], true);
    assert!(writes(&polar.engine, "app").is_ok());
}

#[test]
fn an_engine_that_has_the_setting_and_does_not_act_by_it_is_not_locked() {
    let polar = Polar::up_with(&["-DDEAF"]);
    let ran = polar.ctl(LOCK);
    refused(&ran, 1, "unconfirmed");
    assert!(ran.stdout.contains("was not refused"), "{ran:?}");
}
