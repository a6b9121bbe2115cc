//! docker/compose.yaml as it is.

use std::process::Command;

use serde_json::Value;

use crate::bed::{Bed, Container, compose, docker, run, until};

struct Project<'a> {
    bed: &'a Bed,
    name: String,
}

impl Project<'_> {
    fn call(&self, words: &[&str]) -> String {
        let mut command = self.command();
        run(command.args(words)).success()
    }

    fn command(&self) -> Command {
        let mut command = compose().unwrap();
        command.args(["-f", concat!(env!("CARGO_MANIFEST_DIR"), "/docker/compose.yaml"), "-p", &self.name]);
        command.env("POLARDB_ENGINE_IMAGE", &self.bed.images.engine);
        command.env("POLARDB_MANAGER_IMAGE", &self.bed.images.manager);
        // Any free one: tests run beside a database of the machine's own.
        command.env("POLARDB_PUBLISH", "127.0.0.1::5432");
        command
    }

    fn service(&self, service: &str) -> Container {
        Container { name: self.call(&["ps", "-q", service]) }
    }
}

#[test]
fn up_with_no_file_edited_ends_with_a_database_that_accepts_connections() {
    let Some(bed) = Bed::take(3) else { return };
    if compose().is_none() {
        assert!(std::env::var("REQUIRE_DOCKER").is_err(), "REQUIRE_DOCKER is set, and there is no compose");
        eprintln!("NOT TESTED: docker/compose.yaml: there is neither docker compose nor docker-compose");
        return;
    }
    let project = Project { bed: &bed, name: bed.name("up") };
    project.call(&["up", "-d"]);
    let (engine, manager) = (project.service("engine"), project.service("manager"));
    engine.ready();
    until("the manager to reach it", || manager.exec(&["polarctl", "health"]).code == 0);
    manager.exec(&["polarctl", "status"]).success();

    // From outside, with the password that was made.
    let password = manager.sh("cat /run/secrets/polardb/password");
    assert!(password.len() >= 20, "{password}");
    let port = docker(["port", &engine.name, "5432/tcp"]).success();
    let (host, port) = port.lines().next().unwrap().rsplit_once(':').unwrap();
    let mut psql = Command::new("psql");
    psql.args(["-h", host, "-p", port, "-U", "postgres", "-XAtc", "select 1"]).env("PGPASSWORD", &password);
    assert_eq!(run(&mut psql).success(), "1");
    assert!(!engine.logs().contains(&password));

    // Each key that people rely on has arrived.
    for container in [&engine, &manager] {
        assert_eq!(container.at("/HostConfig/RestartPolicy/Name"), "unless-stopped");
        assert_eq!(container.at("/HostConfig/LogConfig/Config/max-file"), "5");
        container.health_is("healthy");
    }
    assert!(engine.at("/Config/StopTimeout").as_u64().unwrap() > 50, "the grace period");
    let shm = engine.at("/HostConfig/ShmSize").as_u64().unwrap();
    assert_eq!(shm, 1 << 30);

    engine.sql("create table t (n int); insert into t values (1)");
    manager.exec(&["polarctl", "lock", "--reason", "a test"]).success();
    assert!(engine.healthy_by("health --live"));
    manager.exec(&["polarctl", "unlock"]).success();
    engine.ready();

    let began: Value = engine.at("/Id");
    project.call(&["down"]);
    project.call(&["up", "-d"]);
    let engine = project.service("engine");
    assert_ne!(engine.at("/Id"), began, "another container");
    engine.ready();
    assert_eq!(engine.sql("table t"), "1", "the data outlives down");
    assert_eq!(project.service("manager").sh("cat /run/secrets/polardb/password"), password);
    project.call(&["down", "-v"]);
}
