//! What the images say of themselves, and where an engine may come from.

use std::process::Command;

use serde_json::{Value, json};

use crate::bed::{Bed, context, docker, run};

fn inspect(image: &str) -> Value {
    let all: Value = serde_json::from_str(&docker(["image", "inspect", image]).success()).unwrap();
    all[0]["Config"].clone()
}

#[test]
fn they_say_what_a_container_of_them_needs() {
    let Some(bed) = Bed::take(1) else { return };
    let live = json!(["CMD", "polarctl", "health", "--live"]);
    let managers = json!(["CMD", "polarctl", "--config", "/etc/polardb/manager.toml", "health", "--live"]);
    for (image, first, health) in [
        (&bed.images.engine, "polar-supervisor", &live),
        (&bed.images.release, "polar-supervisor", &live),
        (&bed.images.manager, "/docker_script/init_and_pause.py", &managers),
    ] {
        let config = inspect(image);
        assert_eq!(config["StopSignal"], "SIGTERM", "{image}");
        assert_eq!(config["Healthcheck"]["Test"], *health, "{image}");
        assert_eq!(config["Volumes"], json!({"/data": {}, "/log": {}}), "{image}");
        assert_eq!(config["Entrypoint"], json!([first]), "{image}");
        for label in [
            "CodeSource",
            "CodeBranch",
            "CodeVersion",
            "PolarSource",
            "PolarBranch",
            "PolarVersion",
            "BuildBy",
        ] {
            assert!(config["Labels"].get(label).is_some(), "{image}: {label}");
        }
    }
}

#[test]
fn no_secret_and_no_cache_is_in_them() {
    let Some(bed) = Bed::take(1) else { return };
    let look = "ls -A /tmp /var/lib/apt/lists /var/cache/apt/archives/*.deb /etc/ssl/private 2>/dev/null | grep -v : || true; \
                getent passwd postgres; getent group postgres";
    let said = bed.engine("look").command(&["sh", "-c", look]).run().success();
    let lines: Vec<&str> = said.lines().filter(|line| !line.is_empty() && *line != "auxfiles").collect();
    let [passwd, group] = lines[..] else { panic!("{said}") };
    assert!(passwd.starts_with("postgres:x:999:999:") && passwd.ends_with(":/bin/bash"), "{passwd}");
    assert!(group.starts_with("postgres:x:999:"), "{group}");
}

#[test]
fn the_base_is_made_once() {
    let Some(bed) = Bed::take(1) else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/docker/base/build.sh");
    let said = run(Command::new(script).arg(&bed.images.base)).success();
    assert_eq!(said, format!("base: {} is here", bed.images.base));
    let none = run(Command::new(script).arg(&bed.images.base).env("DOCKER_HOST", "unix:///nonexistent.sock"));
    assert!(none.code == 1 && none.stderr.contains("no docker daemon answers"), "{none:?}");
}

fn build(bed: &Bed, name: &str, arguments: &[&str]) -> crate::bed::Done {
    let context = context();
    let file = context.path().join("docker/Dockerfile.pg.engine.release").display().to_string();
    let mut words = vec![
        "build".to_owned(),
        "-q".into(),
        "--force-rm".into(),
        "-f".into(),
        file,
        "-t".into(),
        bed.name(name),
    ];
    for argument in arguments {
        words.extend(["--build-arg".to_owned(), (*argument).to_owned()]);
    }
    words.push(context.path().display().to_string());
    docker(words)
}

#[test]
fn the_engine_may_come_from_an_image_that_has_it() {
    let Some(bed) = Bed::take(1) else { return };
    let (base, given) =
        (format!("BASE_IMAGE={}", bed.images.base), format!("ENGINE_IMAGE={}", bed.images.release));
    let prefix = "/usr/lib/postgresql/15";
    build(&bed, "given", &[&base, &given, &format!("ENGINE_PREFIX={prefix}"), "ENGINE_PACKAGES="]).success();
    let engine = bed.engine("given").image(&bed.name("given")).serving();
    assert_eq!(engine.sh("readlink -f /u01/polardb_pg/bin/postgres"), format!("{prefix}/bin/postgres"));
    assert_eq!(engine.sql("select 1"), "1");
}

#[test]
fn an_image_without_an_engine_is_not_built() {
    let Some(bed) = Bed::take(1) else { return };
    let done = build(&bed, "none", &[&format!("BASE_IMAGE={}", bed.images.base), "ENGINE_PACKAGES="]);
    assert_ne!(done.code, 0);
    assert!((done.stdout + &done.stderr).contains("there is no engine"));
}
