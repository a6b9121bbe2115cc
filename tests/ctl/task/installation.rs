//! Installations as the operator asks for them: a primary, and a standby that streams from it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Child;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::{Variables, with};
use crate::bed::{Ctl, Ran, until};
use crate::engine::{Engine, as_engine, postgres};

/// As the operator sends it for local storage, small.
const RW: [(&str, &str); 7] = [
    ("storage_type", "local"),
    ("cluster_custins_info", ""),
    ("service_type", "polardb_mpd_rw"),
    ("ins_id", "1001"),
    ("cust_ins_id", "1000"),
    ("logic_ins_id", "1000"),
    (
        "mycnf_dict",
        r#"{"log_directory":"'log'","listen_addresses":"''","unix_socket_directories":"'.'","shared_buffers":"16MB","fsync":"off","max_conn":"7"}"#,
    ),
];

/// Folders for data, logs and the predecessor's mutex, as a node makes them.
struct Volume(TempDir);

impl Volume {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(dir.path().join("data")).unwrap();
        fs::create_dir(dir.path().join("log")).unwrap();
        fs::create_dir(dir.path().join("places")).unwrap();
        fs::set_permissions(dir.path().join("places"), Permissions::from_mode(0o777)).unwrap();
        Volume(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// As in a pod, where nothing but variables tells the places.
    fn command(&self, action: &str, variables: Variables<'_>) -> Ctl {
        let ctl = Ctl::new("task").env("PG_DATA", self.data()).env("PG_LOG", self.path("log"));
        let ctl = ctl.env("PG_SET_INSTALL_STEP_LOCK", self.mutex());
        with(with(ctl, &[("srv_opr_type", "hostins_ops"), ("srv_opr_action", action)]), variables)
    }

    fn task(&self, action: &str, variables: Variables<'_>) -> Ran {
        self.command(action, variables).ran()
    }

    fn install(&self, variables: Variables<'_>) -> Ran {
        self.task("setup_install_instance", variables)
    }

    fn progress(&self) -> serde_json::Value {
        let text = self.task("query_installation_progress", &RW).success();
        let parts: Vec<&str> = text.trim_end().split("\\u0001").collect();
        assert_eq!((parts.len(), parts[0], parts[2]), (3, "", ""), "{text}");
        serde_json::from_str(parts[1]).unwrap()
    }

    fn mutex(&self) -> PathBuf {
        self.path("places/step_lock")
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.data().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Begins one that stops at this place.
    fn stopped_at(&self, place: &str, variables: Variables<'_>) -> Child {
        if !cfg!(feature = "failpoints") {
            panic!("this test needs the feature `failpoints`: run it by `make test`");
        }
        let file = self.path("places/failpoint");
        let command = self.command("setup_install_instance", variables);
        let mut child = command.env("POLAR_FAILPOINT", place).env("POLAR_FAILPOINT_FILE", &file).spawn();
        until(place, || {
            assert!(child.try_wait().unwrap().is_none(), "{place} was not passed");
            file.exists()
        });
        child
    }

    fn serve(&self) -> Server {
        let log = fs::File::create(self.path("server.log")).unwrap();
        let mut server = as_engine("postgres");
        server.arg("-D").arg(self.data()).stdout(log.try_clone().unwrap()).stderr(log);
        let server = Server { child: server.spawn().unwrap(), data: self.data() };
        until("the server to take connections", || server.sql("select 1").is_some());
        server
    }
}

/// A server over an installed volume.
struct Server {
    child: Child,
    data: PathBuf,
}

impl Server {
    fn sql(&self, sql: &str) -> Option<String> {
        let text = fs::read_to_string(self.data.join("postmaster.pid")).ok()?;
        let mut psql = as_engine("psql");
        psql.arg("-h").arg(&self.data).args(["-p", text.lines().nth(3)?, "-U", "postgres", "-d", "postgres"]);
        let output = psql.args(["-X", "-At", "-c", sql]).output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim_end().to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGQUIT).ok();
        self.child.wait().ok();
    }
}

#[test]
fn a_primary_as_the_operator_asks_for_it() {
    let volume = Volume::new();
    assert_eq!(volume.progress()["status"], "failed");
    let tmp = volume.path("log/pg_tmp");
    let space = format!(r#"{{"tablespace_name":"polar_tmp","tablespace_path":"{}"}}"#, tmp.display());
    let port = r#"{"1001":{"access_port":[3931],"link":[1],"perf_port":[2]}}"#;
    let variables = [&RW[..], &[("port", port), ("create_tablespace_env", &space)]].concat();
    let text = volume.install(&variables).success();
    assert!(text.contains("done: write \"done\" into ins_install_step"), "{text}");
    assert_eq!(volume.install(&variables).success(), "nothing to do\n");
    assert_eq!(volume.progress(), serde_json::json!({ "status": "succeed", "message": "done" }));
    assert!(
        volume.read("postgresql.conf").lines().any(|line| line == "port=3931"),
        "callers search for this line"
    );
    assert_eq!(
        (volume.read("ins_install_step").as_str(), volume.read("ins_logic_id").as_str()),
        ("done", "1000")
    );
    let context: serde_json::Value = serde_json::from_str(&volume.read("ins_ctx")).unwrap();
    assert_eq!(context, serde_json::json!({ "storage_type": "local", "ins_logic_id": "1000" }));
    assert_eq!(fs::read_link(volume.data().join("log")).unwrap(), volume.path("log/pg_log"));
    assert_eq!(fs::metadata(&tmp).unwrap().uid(), postgres().0);
    assert!(!volume.data().join("ins_lock").exists() && !volume.mutex().exists());
    let server = volume.serve();
    assert_eq!(
        server.sql("select current_setting('port') || current_setting('unix_socket_directories')").unwrap(),
        "3931."
    );
    let log = fs::read_to_string(volume.path("log/manager.log")).unwrap();
    assert_eq!(log.lines().count(), 4, "{log}");
}

#[test]
fn the_lock_is_there_before_it_is_done_and_a_missing_tablespace_is_no_error() {
    let volume = Volume::new();
    let variables =
        [&RW[..], &[("lock_install_ins", "True"), ("port", "{\"1001\":{\"access_port\":[3932]}}")]].concat();
    let mut child = volume.stopped_at("before-done", &variables);
    assert!(volume.data().join("ins_lock").exists() && !volume.data().join("ins_install_step").exists());
    assert_eq!(fs::read_to_string(volume.mutex()).unwrap(), "prepare", "others see that it is under way");
    assert_eq!(volume.progress()["status"], "running");
    // Killed: what is left of the mutex stops nobody.
    child.kill().unwrap();
    child.wait().unwrap();
    fs::remove_file(volume.path("places/failpoint")).unwrap();
    assert!(volume.mutex().exists());
    assert_eq!(volume.progress()["status"], "failed");
    assert!(volume.install(&variables).success().contains("done: "));
    assert!(volume.data().join("ins_lock").exists() && !volume.mutex().exists());
    assert_eq!(volume.read("ins_install_step"), "done");
    // ClusterManager has a replica start.
    volume.task("start_instance", &[]).success();
    assert!(!volume.data().join("ins_lock").exists());
}

#[test]
fn a_second_call_waits_for_the_first() {
    let volume = Volume::new();
    let variables = [&RW[..], &[("port", "{\"1001\":{\"access_port\":[3933]}}")]].concat();
    let first = volume.stopped_at("database-made", &variables);
    let second = volume.command("setup_install_instance", &variables).spawn();
    let waits = || {
        let text = fs::read_to_string(format!("/proc/{}/wchan", second.id())).unwrap_or_default();
        text.contains("nanosleep")
    };
    until("the second to wait", waits);
    fs::remove_file(volume.path("places/failpoint")).unwrap();
    for (child, does) in [(first, true), (second, false)] {
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!((output.status.code(), text.contains("done: ")), (Some(0), does), "{text}");
    }
}

#[test]
fn nothing_is_wiped() {
    let volume = Volume::new();
    fs::write(volume.data().join("letter.txt"), "kept").unwrap();
    let ran = volume.install(&RW);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("letter.txt"), "{ran:?}");
    assert_eq!(volume.read("letter.txt"), "kept");
    assert!(!volume.data().join("ins_install_step").exists());
}

/// As the operator describes a primary for its standby.
fn cluster(host: &Path, port: u16) -> String {
    format!(
        r#"{{"polardb_mpd_rw":{{"1000":{{"accounts":{{"replicator":{{"priviledge_type":15,"account":"replicator","password":"geheim-8"}}}},
            "hostins":{{"1001":{{"role":"master","port":{port},"ins_ip":"{}"}}}},"ins_type":0}}}}}}"#,
        host.display()
    )
}

#[test]
fn a_standby_with_a_slot_that_is_there_and_with_one_that_is_not() {
    let primary = Engine::up();
    let account =
        [("srv_opr_user_name", "replicator"), ("srv_opr_privilege", "15"), ("srv_opr_password", "geheim-8")];
    super::done(&primary, "account", "create", &account);
    // Over its socket as root, who may be that role by the map of names alone: a password is asked for by TCP.
    primary.write(
        "pg_hba.conf",
        "local all postgres peer map=polar\nlocal replication replicator scram-sha-256\n",
    );
    primary.sql("select pg_reload_conf()");
    let described = cluster(&primary.data(), primary.port());
    for (unique, port, there) in [("1002", "3934", true), ("1003", "3935", false)] {
        if there {
            let node = r#"{"custins_id":"1000","slot_unique_name":"1002"}"#;
            let topology = r#"{"polardb_mpd_standby":{"1002":{"custins_id":"1000"}}}"#;
            let slot = [("ins_topology_4_replication", topology), ("current_ins", node)];
            assert!(
                super::done(&primary, "replica", "create_replication", &slot).contains("standby_1000_1002")
            );
        }
        let volume = Volume::new();
        let ports = format!(r#"{{"{unique}":{{"access_port":[{port}]}}}}"#);
        let mut variables = RW.to_vec();
        variables.retain(|(name, _)| !["service_type", "cluster_custins_info", "ins_id"].contains(name));
        variables.extend([
            ("service_type", "polardb_mpd_standby"),
            ("cluster_custins_info", described.as_str()),
            ("ins_id", unique),
            ("slot_unique_name", unique),
            ("port", ports.as_str()),
        ]);
        let ran = volume.install(&variables);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(ran.stdout.contains("has no slot standby_1000_1003 yet"), !there, "{ran:?}");
        assert!(!format!("{ran:?}").contains("geheim"));
        let standby = volume.serve();
        assert_eq!(standby.sql("select pg_is_in_recovery()").unwrap(), "t");
        let streams = "select count(*) from pg_stat_replication where application_name <> 'pg_basebackup'";
        until("it to stream", || primary.sql(streams) == "1");
        let active = primary
            .sql("select coalesce(string_agg(slot_name, ' '), '') from pg_replication_slots where active");
        assert_eq!(active, if there { "standby_1000_1002" } else { "" });
        let health = with(
            volume.command("x", &[]),
            &[("srv_opr_type", "health_check"), ("srv_opr_action", "hostins_check")],
        );
        assert_eq!(health.ran().success(), "The instance is healthy!\n");
        drop(standby);
    }
}
