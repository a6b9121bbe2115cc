//! `install` on volumes of its own.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use polardb_manager::manager::Site;
use polardb_manager::manager::install::{Progress, progress};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bed::{Ctl, Ran, accepting, until};
use crate::engine::{Engine, as_engine, postgres, refused};

/// Settings of the tests' servers: small, on no TCP, with the socket in the data directory.
const SMALL: &str =
    "--set listen_addresses= --set unix_socket_directories=. --set shared_buffers=16MB --set fsync=off";

/// A volume for data and one for logs, both root's, as a node makes them.
struct Volume {
    dir: TempDir,
    mounted: bool,
}

impl Volume {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(dir.path().join("data")).unwrap();
        fs::create_dir(dir.path().join("log")).unwrap();
        // Some places are passed with the rights of the engine's user.
        fs::create_dir(dir.path().join("places")).unwrap();
        fs::set_permissions(dir.path().join("places"), Permissions::from_mode(0o777)).unwrap();
        Volume { dir, mounted: false }
    }

    /// The same with so many megabytes for data.
    fn of_size(megabytes: u32) -> Self {
        let mut volume = Volume::new();
        volume.mount(&format!("size={megabytes}m,mode=0755"));
        volume.mounted = true;
        volume
    }

    fn mount(&self, options: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(self.data());
        assert!(mount.status().unwrap().success());
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn command(&self, line: &str) -> Ctl {
        Ctl::new(&format!("install {line} --output json"))
            .option("--data-dir", &self.data())
            .option("--hba-file", &self.dir.path().join("pg_hba.conf"))
            .env("POLAR_SUPERVISOR_LOG_DIR", self.log())
    }

    fn install(&self, line: &str) -> Ran {
        self.command(line).ran()
    }

    fn done(&self, line: &str) -> Value {
        let ran = self.install(line);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
        ran.json()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.data().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn step(&self) -> Option<String> {
        fs::read_to_string(self.data().join("ins_install_step")).ok()
    }

    fn progress(&self) -> Progress {
        progress(&Site::new(self.data())).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.data()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// What is there beside the words of the operations themselves.
    fn of_value(&self) -> Vec<String> {
        let mut names = self.names();
        names.retain(|name| !name.starts_with("ins_") && name != "log");
        names
    }

    fn stages(&self) -> Vec<String> {
        let mut names = self.names();
        names.retain(|name| name.starts_with(".init-"));
        names
    }

    /// Begins one that stops at this place.
    fn stopped_at(&self, place: &str, line: &str) -> Stopped {
        if !cfg!(feature = "failpoints") {
            panic!("this test needs the feature `failpoints`: run it by `make test`");
        }
        let file = self.dir.path().join("places/failpoint");
        let command = self.command(line).env("POLAR_FAILPOINT", place).env("POLAR_FAILPOINT_FILE", &file);
        let mut stopped = Stopped { child: command.spawn(), file };
        until(place, || {
            assert!(stopped.child.try_wait().unwrap().is_none(), "{place} was not passed");
            stopped.file.exists()
        });
        stopped
    }

    fn serve(&self) -> Server {
        let log = fs::File::create(self.dir.path().join("server.log")).unwrap();
        let mut server = as_engine("postgres");
        server.arg("-D").arg(self.data()).stdout(log.try_clone().unwrap()).stderr(log);
        let server = Server { child: server.spawn().unwrap(), data: self.data() };
        until("the server to take connections", || server.try_sql("select 1").is_ok());
        server
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if self.mounted {
            Command::new("umount").arg("--lazy").arg(self.data()).status().ok();
        }
    }
}

/// An installation that waits to be killed or let go.
struct Stopped {
    child: Child,
    file: PathBuf,
}

impl Stopped {
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        fs::remove_file(&self.file).unwrap();
    }

    fn go_on(self) -> (i32, Value) {
        fs::remove_file(&self.file).unwrap();
        let output = self.child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code().unwrap(), serde_json::from_str(&text).expect("JSON"))
    }
}

/// A server over an installed volume.
struct Server {
    child: Child,
    data: PathBuf,
}

impl Server {
    fn try_sql(&self, sql: &str) -> Result<String, String> {
        let port = fs::read_to_string(self.data.join("postmaster.pid")).unwrap_or_default();
        let mut psql = as_engine("psql");
        psql.arg("-h").arg(&self.data).args(["-p", port.lines().nth(3).unwrap_or("5432")]);
        psql.args(["-U", "postgres", "-d", "postgres", "-X", "-At", "-v", "ON_ERROR_STOP=1", "-c", sql]);
        let output = psql.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim_end().to_owned();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    fn sql(&self, sql: &str) -> String {
        self.try_sql(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGQUIT).ok();
        self.child.wait().ok();
    }
}

fn steps(json: &Value) -> Vec<String> {
    json["steps"].as_array().unwrap().iter().map(|step| step.as_str().unwrap().to_owned()).collect()
}

#[test]
fn said_done_and_done_twice() {
    let volume = Volume::new();
    let tmp = volume.log().join("pg_tmp");
    let line = format!(
        "{SMALL} --port 3001 --set log_directory='log' --set max_conn=1 --logic-id 1000 --tablespace-dir {}",
        tmp.display()
    );
    let said = volume.done(&format!("{line} --dry-run"));
    assert_eq!((&said["changed"], volume.names()), (&json!(false), vec![]), "a dry run leaves nothing");
    assert_eq!(volume.progress(), Progress::Absent);
    let done = volume.done(&line);
    assert_eq!(steps(&said), steps(&done));
    assert!(steps(&done).last().unwrap().starts_with("write \"done\""), "{done}");
    assert_eq!(done["result"], json!({ "role": "rw", "user": "postgres", "done": true }));
    assert_eq!((volume.step().as_deref(), volume.progress()), (Some("done"), Progress::Succeeded));
    assert_eq!(volume.read("ins_logic_id"), "1000");
    let context: Value = serde_json::from_str(&volume.read("ins_ctx")).unwrap();
    assert_eq!(context, json!({ "storage_type": "local", "ins_logic_id": "1000" }));
    assert!(volume.stages().is_empty() && !volume.data().join("ins_lock").exists());
    let meta = fs::metadata(volume.data()).unwrap();
    assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o7777), (postgres().0, postgres().1, 0o700));
    assert_eq!(fs::read_link(volume.data().join("log")).unwrap(), volume.log().join("pg_log"));
    for folder in [volume.log().join("pg_log"), tmp] {
        let meta = fs::metadata(folder).unwrap();
        assert_eq!((meta.uid(), meta.mode() & 0o777), (postgres().0, 0o775));
    }
    assert_eq!(fs::metadata(volume.log()).unwrap().uid(), 0, "nothing else is given away");
    assert!(volume.read("postgresql.conf").contains("\nport=3001\n"), "callers search for this line");

    let server = volume.serve();
    assert_eq!(server.sql("show data_checksums"), "on");
    assert_eq!(server.sql("select current_setting('log_directory')"), "log");
    assert_eq!(server.sql("select datcollate from pg_database where datname = 'postgres'"), "C");
    let hba = server.sql("select string_agg(distinct auth_method, ' ') from pg_hba_file_rules");
    assert_eq!(hba, "peer scram-sha-256");
    // Over an engine that serves: it is done, whatever else is asked for.
    let again = volume.done("--port 3002 --lock");
    assert_eq!((&again["changed"], steps(&again)), (&json!(false), vec![]));
    assert!(!volume.data().join("ins_lock").exists());
    let log = fs::read_to_string(volume.log().join("manager.log")).unwrap();
    let outcomes: Vec<&str> = log.lines().map(|line| line.splitn(5, " - ").nth(4).unwrap()).collect();
    assert_eq!(outcomes.len(), 3, "{log}");
    assert!(outcomes[0].starts_with("dry run, would: ") && outcomes[1].starts_with("done: "), "{log}");
    assert_eq!(outcomes[2], "nothing to do");
}

/// Killed at a place, then called again.
fn killed_at(place: &str) {
    let volume = Volume::new();
    let line = format!("{SMALL} --logic-id 7 --lock");
    volume.stopped_at(place, &line).kill();
    let finished = place == "after-done";
    match volume.progress() {
        Progress::Succeeded => assert!(finished, "{place}"),
        Progress::Failed { message } => assert!(!finished && message.contains("call it again"), "{message}"),
        other => panic!("{place}: {other:?}"),
    }
    assert_eq!(volume.step().is_some(), finished, "{place}");
    let made = volume.stages();
    assert_eq!(made.len(), 1, "{place}: {made:?}");
    let json = volume.done(&line);
    let remade = steps(&json).iter().any(|step| step.starts_with("make the database"));
    let complete = !["stage-made", "database-made", "before-complete"].contains(&place);
    assert_eq!(remade, !complete, "{place}: what was complete is not made again: {json}");
    assert_eq!(steps(&volume.done(&line)), Vec::<String>::new(), "{place}");
    assert!(volume.stages().is_empty(), "{place}");
    assert_eq!((volume.step().as_deref(), volume.progress()), (Some("done"), Progress::Succeeded));
    assert!(volume.data().join("ins_lock").exists() && volume.read("ins_logic_id") == "7");
    assert_eq!(volume.serve().sql("select count(*) from pg_database"), "3", "{place}");
}

#[test]
fn killed_while_the_database_is_made() {
    ["stage-made", "database-made", "before-complete"].into_iter().for_each(killed_at);
}

#[test]
fn killed_while_it_is_moved_into_place() {
    ["after-complete", "mid-promotion", "before-pg-version"].into_iter().for_each(killed_at);
}

#[test]
fn killed_when_it_is_in_place() {
    ["after-promotion", "before-done", "after-done"].into_iter().for_each(killed_at);
}

#[test]
fn killed_at_any_time() {
    let volume = Volume::new();
    for number in 0..12_u64 {
        let mut child = volume.command(SMALL).spawn_to(Stdio::null(), Stdio::null());
        // Not a wait for anything.
        std::thread::sleep(std::time::Duration::from_millis(number * 130));
        child.kill().unwrap();
        child.wait().unwrap();
        if volume.step().is_some() {
            break;
        }
    }
    let ran = volume.install(SMALL);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(volume.stages().is_empty() && volume.step().as_deref() == Some("done"));
    assert_eq!(volume.serve().sql("select count(*) from pg_database"), "3");
}

#[test]
fn two_at_once() {
    let volume = Volume::new();
    let first = volume.stopped_at("database-made", SMALL);
    assert_eq!(volume.progress().word(), "running");
    assert!(volume.progress().message().contains("initdb"), "{:?}", volume.progress());
    let busy = volume.install("--timeout 100ms");
    assert_eq!((busy.code, busy.json()["error"]["code"].as_str()), (5, Some("busy")), "{busy:?}");
    assert_eq!(volume.progress().word(), "running", "who waits in vain does not say that it failed");
    let second = volume.command(SMALL).spawn();
    until("the second to wait", || second_waits(&second));
    let (code, json) = first.go_on();
    assert_eq!((code, &json["changed"]), (0, &json!(true)));
    let output = second.wait_with_output().unwrap();
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &json["changed"]), (Some(0), &json!(false)), "{json}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("waits for install by root"), "{output:?}");
}

/// Whether it has the file of the turn open, and goes on.
fn second_waits(child: &Child) -> bool {
    let text = fs::read_to_string(format!("/proc/{}/wchan", child.id())).unwrap_or_default();
    text.contains("nanosleep")
}

#[test]
fn programs_of_a_dead_one_are_waited_for() {
    let volume = Volume::new();
    volume.stopped_at("stage-made", SMALL).kill();
    let stage = volume.data().join(&volume.stages()[0]);
    let mut holder = Command::new("flock").arg(&stage).args(["sleep", "600"]).spawn().unwrap();
    let held = || !Command::new("flock").arg("-n").arg(&stage).arg("true").status().unwrap().success();
    until("the stage to be held", held);
    let ran = volume.install(&format!("{SMALL} --timeout 200ms"));
    refused(&ran, 5, "busy");
    assert!(stage.exists(), "it is nobody's to throw away");
    Command::new("pkill").args(["-P", &holder.id().to_string()]).status().unwrap();
    holder.kill().ok();
    holder.wait().unwrap();
    assert_eq!(volume.install(SMALL).code, 0);
    assert!(volume.stages().is_empty());
}

#[test]
fn over_an_engine_that_lives() {
    let engine = Engine::up();
    let before = fs::read_dir(engine.data()).unwrap().count();
    let line = format!("install --output json --hba-file {}/no", engine.dir.path().display());
    refused(&engine.ctl(&line), 1, "living_engine");
    refused(&engine.ctl(&format!("{line} --dry-run")), 1, "living_engine");
    assert_eq!(engine.sql("select 1"), "1");
    let after = fs::read_dir(engine.data()).unwrap().count();
    assert_eq!(after, before, "nothing is left behind");
    assert!(!engine.data().join("ins_install_step").exists());
    // Its database without it.
    let engine = Engine::down();
    refused(&engine.ctl(&line), 1, "database_there");
    // One that lost its files below itself.
    let volume = Volume::new();
    accepting(&volume.data(), 5432);
    refused(&volume.install(SMALL), 1, "living_engine");
    // Another one has the port.
    let volume = Volume::new();
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    refused(&volume.install(&format!("{SMALL} --port {port}")), 1, "living_engine");
    refused(&volume.install(&format!("{SMALL} --set port={port}")), 1, "living_engine");
    assert_eq!(volume.of_value(), Vec::<String>::new());
}

#[test]
fn an_engine_that_somebody_started_too_early() {
    let volume = Volume::new();
    volume.stopped_at("before-done", SMALL).kill();
    let server = volume.serve();
    refused(&volume.install(SMALL), 1, "living_engine");
    kill(Pid::from_raw(i32::try_from(server.child.id()).unwrap()), Signal::SIGKILL).unwrap();
    until("its socket to be dead", || server.try_sql("select 1").is_err());
    refused(&volume.install(SMALL), 1, "living_engine");
    assert_eq!(volume.step(), None);
    drop(server);
}

/// Makes something in a folder.
type Make = fn(&Path);

#[test]
fn over_what_is_somebodys() {
    let foreign: [(&str, Make); 5] = [
        ("a file", |data| fs::write(data.join("letter.txt"), "kept").unwrap()),
        ("a folder", |data| fs::create_dir(data.join("base")).unwrap()),
        ("a link", |data| symlink("/nowhere", data.join("x")).unwrap()),
        ("half a database", |data| fs::write(data.join("postgresql.conf"), "").unwrap()),
        ("a hidden one", |data| fs::write(data.join(".initial"), "").unwrap()),
    ];
    for (what, make) in foreign {
        let volume = Volume::new();
        make(&volume.data());
        let before = volume.names();
        let ran = volume.install(SMALL);
        refused(&ran, 1, "foreign");
        assert!(ran.stdout.contains(&before[0]), "{what}: it says what: {ran:?}");
        assert_eq!(volume.names(), before, "{what}");
        assert_eq!(fs::metadata(volume.data()).unwrap().uid(), 0, "{what}: the owner is as it was");
    }
    // What is nobody's data is left alone.
    let volume = Volume::new();
    for folder in ["lost+found", "pg_log", ".init-backup", "log"] {
        fs::create_dir(volume.data().join(folder)).unwrap();
    }
    fs::write(volume.data().join("pg_log/old.log"), "kept").unwrap();
    fs::write(volume.data().join("log/old.log"), "kept").unwrap();
    fs::write(volume.data().join("ins_install_step"), "prepare\n").unwrap();
    symlink(volume.data().join("pg_log"), volume.log().join("pg_log")).unwrap();
    let json = volume.install(&format!("{SMALL} --set log_directory=log"));
    assert_eq!(json.code, 0, "{json:?}");
    assert!(fs::symlink_metadata(volume.log().join("pg_log")).unwrap().is_dir());
    assert_eq!(volume.read("pg_log/old.log"), "kept");
    let aside = volume.names().into_iter().find(|name| name.starts_with("ins_log_")).unwrap();
    assert_eq!(volume.read(&format!("{aside}/old.log")), "kept");
    assert!(volume.data().join(".init-backup").exists());
    // A volume that says done and has nothing.
    let volume = Volume::new();
    fs::write(volume.data().join("ins_install_step"), "done").unwrap();
    refused(&volume.install(SMALL), 1, "done_without_database");
    assert_eq!(volume.of_value(), Vec::<String>::new());
}

#[test]
fn a_disk_that_is_too_small() {
    let volume = Volume::of_size(20);
    let ran = volume.install(SMALL);
    assert_eq!((ran.code, ran.json()["error"]["code"].as_str()), (1, Some("initdb_failed")), "{ran:?}");
    assert!(ran.stdout.contains("No space left"), "its own words: {ran:?}");
    assert_eq!(volume.of_value(), Vec::<String>::new(), "nothing half");
    assert!(matches!(volume.progress(), Progress::Failed { message } if message.contains("initdb")));
    volume.mount("remount,size=200m");
    volume.done(SMALL);
}

#[test]
fn a_disk_that_is_full_before_the_last_word() {
    let volume = Volume::of_size(200);
    let stopped = volume.stopped_at("after-promotion", &format!("{SMALL} --logic-id 7 --lock"));
    let filler = volume.data().join("ins_filler");
    let filled = Command::new("dd")
        .args(["if=/dev/zero", "bs=4k"])
        .arg(format!("of={}", filler.display()))
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&filled.stderr).contains("No space left"));
    let (code, json) = stopped.go_on();
    assert_eq!((code, &json["error"]["code"]), (1, &json!("file")), "{json}");
    assert_eq!(volume.step(), None);
    assert!(!volume.names().iter().any(|name| name.ends_with(".unfinished")), "{:?}", volume.names());
    assert_eq!(volume.progress().word(), "failed");
    fs::remove_file(filler).unwrap();
    let json = volume.done(&format!("{SMALL} --logic-id 7 --lock"));
    assert!(!steps(&json).iter().any(|step| step.starts_with("make the database")), "{json}");
}

#[test]
fn the_lock_and_the_markers_stand_before_the_last_word() {
    let volume = Volume::new();
    let tmp = volume.log().join("pg_tmp");
    let (cert, key) = (volume.dir.path().join("a.crt"), volume.dir.path().join("a.key"));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=a"]);
    openssl.arg("-keyout").arg(&key).arg("-out").arg(&cert).stderr(Stdio::null());
    assert!(openssl.status().unwrap().success());
    let line = format!(
        "{SMALL} --lock --logic-id 7 --tablespace-dir {} --cert {} --key {}",
        tmp.display(),
        cert.display(),
        key.display()
    );
    let stopped = volume.stopped_at("before-done", &line);
    for name in ["ins_lock", "ins_logic_id", "ins_ctx", "server.crt", "server.key"] {
        assert!(volume.data().join(name).exists(), "{name}");
    }
    assert!(tmp.is_dir() && volume.step().is_none());
    let meta = fs::metadata(volume.data().join("server.key")).unwrap();
    assert_eq!((meta.uid(), meta.mode() & 0o777), (postgres().0, 0o600));
    assert_eq!(stopped.go_on().0, 0);
    assert_eq!(volume.step().as_deref(), Some("done"));
    let mismatched = volume.install(&format!("--cert {0} --key {0}", cert.display()));
    refused(&mismatched, 1, "bad_key");
}

#[test]
fn called_again_otherwise() {
    let volume = Volume::new();
    volume.stopped_at("before-done", &format!("{SMALL} --port 3001 --set work_mem=1MB")).kill();
    let ran = volume.install("--role standby --primary-host 127.0.0.1");
    refused(&ran, 1, "other_role");
    let json = volume.done(&format!("{SMALL} --port 3002 --set work_mem=2MB"));
    assert!(steps(&json).contains(&"write the configuration files as asked for".to_owned()), "{json}");
    assert!(volume.read("postgresql.conf").contains("\nport=3002\n"));
    assert_eq!(volume.serve().sql("show work_mem"), "2MB");
}

#[test]
fn a_configuration_that_the_engine_does_not_take() {
    let volume = Volume::new();
    for setting in ["work_mem=much", "no_such_parameter=1", "max_connections=-1"] {
        let ran = volume.install(&format!("{SMALL} --set {setting}"));
        refused(&ran, 1, "bad_configuration");
        assert!(ran.stdout.contains(setting.split('=').next().unwrap()), "{ran:?}");
        assert_eq!(volume.of_value(), Vec::<String>::new());
    }
    refused(&volume.install("--initdb-arg --no-such-option"), 1, "initdb_failed");
    refused(&volume.install("--initdb-arg=--pgdata=/etc"), 2, "usage");
    assert_eq!(volume.of_value(), Vec::<String>::new());
    volume.done(&format!("{SMALL} --initdb-arg --wal-segsize=1"));
    assert_eq!(volume.serve().sql("show wal_segment_size"), "1MB");
}

#[test]
fn the_nodes_own_rules_and_a_template() {
    let volume = Volume::new();
    let hba = "# the node's\nlocal all all trust\nhost all all 10.0.0.0/8 md5\n";
    fs::write(volume.dir.path().join("pg_hba.conf"), hba).unwrap();
    let template = volume.dir.path().join("postgresql.conf.demo");
    fs::write(&template, "port = 3003\nlog_directory = 'log'\nwork_mem = 3MB # kept\nlisten_addresses=''\n")
        .unwrap();
    let ran = volume.install(&format!(
        "--template {} --set unix_socket_directories=. --set shared_buffers=16MB",
        template.display()
    ));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(volume.read("pg_hba.conf"), hba);
    let conf = volume.read("postgresql.conf");
    assert!(conf.contains("\nport=3003\n") && conf.contains("work_mem = 3MB # kept"), "{conf}");
    assert_eq!(fs::read_link(volume.data().join("log")).unwrap(), volume.log().join("pg_log"));
    assert_eq!(volume.serve().sql("select inet_server_port() is null, current_setting('port')"), "t|3003");
    // What is there and cannot be read is no reason to go on without.
    let volume = Volume::new();
    fs::create_dir(volume.dir.path().join("pg_hba.conf")).unwrap();
    assert_eq!(volume.install(SMALL).code, 1);
    fs::remove_dir(volume.dir.path().join("pg_hba.conf")).unwrap();
    refused(&volume.install("--template /no/such/file"), 1, "file");
    for bytes in [b"port = 1\0\n".to_vec(), b"a = '\xff'".to_vec(), vec![b'#'; 5 << 20]] {
        fs::write(&template, bytes).unwrap();
        refused(&volume.install(&format!("--template {}", template.display())), 1, "file");
        fs::rename(&template, volume.dir.path().join("pg_hba.conf")).unwrap();
        refused(&volume.install(SMALL), 1, "file");
    }
    assert_eq!(volume.of_value(), Vec::<String>::new());
}

#[test]
fn parts_of_a_later_version() {
    let volume = Volume::new();
    for line in ["--role ro", "--role datamax", "--storage fcsan", "--storage polarstore", "--dma", "--tde"] {
        let ran = volume.install(line);
        refused(&ran, 1, "missing_part");
        assert!(ran.stdout.contains("nothing was changed"), "{ran:?}");
        refused(&volume.install(&format!("{line} --dry-run")), 1, "missing_part");
    }
    assert_eq!(volume.names(), Vec::<String>::new());
    assert_eq!(fs::metadata(volume.data()).unwrap().uid(), 0);
}

#[test]
fn as_other_users() {
    let volume = Volume::new();
    let (uid, gid) = postgres();
    let as_user = |uid: u32| {
        Ctl::as_uid(uid, &format!("install {SMALL} --output json"))
            .option("--data-dir", &volume.data())
            .option("--hba-file", &volume.dir.path().join("no"))
            .env("POLAR_SUPERVISOR_LOG_DIR", volume.log())
            .ran()
    };
    assert_eq!(as_user(uid).code, 77, "root's folder");
    chown(volume.data(), Some(uid), Some(gid)).unwrap();
    assert_eq!(as_user(65_534).code, 77, "another user's");
    let ran = as_user(uid);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(volume.serve().sql("select 1"), "1");
    let volume = Volume::new();
    refused(&volume.install("--user root"), 1, "no_user");
    refused(&volume.install("--user no-such-user"), 1, "no_user");
}

/// A primary with a slot and a role for a standby, and what the installation of that is called with.
fn primary(password: &str) -> (Engine, String) {
    let primary = Engine::up_on_tcp();
    let created = primary
        .command("replica create --kind standby --custins-id 7 --unique-name a-b --password-stdin")
        .given(password.as_bytes());
    assert_eq!(created.code, 0, "{created:?}");
    let line = format!(
        "--role standby --primary-host 127.0.0.1 --primary-port {} --custins-id 7 --unique-name a-b --port 3001 \
         --set listen_addresses= --set unix_socket_directories=. --set log_directory=log",
        primary.port()
    );
    (primary, line)
}

#[test]
fn a_standby_streams_from_its_primary() {
    let password = "it's : \\ %s \u{1f418}\"";
    let (primary, line) = primary(password);
    // What is the primary's own is nothing of a copy's.
    for (name, text) in [("ins_install_step", "done"), ("ins_logic_id", "1"), ("ins_ctx", "{}")] {
        primary.write(name, text);
    }
    fs::create_dir(primary.data().join("pg_log")).unwrap();
    chown(primary.data().join("pg_log"), Some(postgres().0), None).unwrap();
    primary.write("pg_log/old.log", "the primary's");
    primary.sql("alter system set primary_conninfo = 'host=old'");
    primary.sql("create table t as select generate_series(1, 1000) as n");
    let volume = Volume::new();
    let wrong = volume.command(&format!("{line} --password-stdin")).given(b"wrong");
    assert_eq!((wrong.code, wrong.json()["error"]["code"].as_str()), (1, Some("basebackup_failed")));
    assert!(wrong.stdout.contains("password authentication failed"), "{wrong:?}");
    assert_eq!(volume.of_value(), Vec::<String>::new());
    let said = volume.command(&format!("{line} --dry-run --password-stdin")).given(password.as_bytes());
    assert!(said.stdout.contains("pg_basebackup from 127.0.0.1"), "{said:?}");
    let done = volume.command(&format!("{line} --password-stdin")).given(password.as_bytes());
    assert_eq!(done.code, 0, "{done:?}");
    assert!(!volume.data().join("ins_logic_id").exists() && !volume.data().join("pg_log").exists());
    assert_eq!(fs::read_link(volume.data().join("log")).unwrap(), volume.log().join("pg_log"));
    let standby = volume.serve();
    assert_eq!(standby.sql("select pg_is_in_recovery(), count(*) from t"), "t|1000");
    let streams = "select count(*) from pg_stat_replication where application_name = 'standby_7_a_b' and state = 'streaming'";
    until("the standby to stream", || primary.sql(streams) == "1");
    assert_eq!(primary.sql("select active from pg_replication_slots where slot_name = 'standby_7_a_b'"), "t");
    primary.sql("insert into t values (1001)");
    until("a row to come", || standby.sql("select count(*) from t") == "1001");
    assert_eq!(standby.sql("show primary_slot_name"), "standby_7_a_b");
    // The password is in one file of the engine's user, and nowhere else.
    let meta = fs::metadata(volume.data().join("ins_passfile")).unwrap();
    assert_eq!((meta.uid(), meta.mode() & 0o777), (postgres().0, 0o600));
    let elsewhere = Command::new("grep")
        .args(["-rlF", "it's :"])
        .args([volume.dir.path(), primary.dir.path()])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(elsewhere.stdout).unwrap(), "");
    let found = volume.read("ins_passfile");
    assert!(found.contains("it's \\: \\\\ %s"), "as libpq wants it");
    for text in [&done.stdout, &done.stderr, &said.stdout, &wrong.stdout] {
        assert!(!text.contains("it's"), "{text}");
    }
}

#[test]
fn a_standby_that_was_killed_and_one_without_its_slot() {
    let (primary, line) = primary("secret");
    let volume = Volume::new();
    let environment = |line: &str| volume.command(line).env("PGPASSWORD", "secret");
    let file = volume.dir.path().join("places/failpoint");
    let mut child =
        environment(&line).env("POLAR_FAILPOINT", "database-made").env("POLAR_FAILPOINT_FILE", &file).spawn();
    until("the copy", || file.exists());
    let words = fs::read(format!("/proc/{}/cmdline", child.id())).unwrap();
    assert!(!String::from_utf8_lossy(&words).contains("secret"));
    child.kill().unwrap();
    child.wait().unwrap();
    let ran = environment(&line).ran();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(volume.serve().sql("select pg_is_in_recovery()"), "t");
    let volume = Volume::new();
    primary.json("replica drop --kind standby --custins-id 7 --unique-name a-b");
    let ran = volume.command(&line).env("PGPASSWORD", "secret").ran();
    refused(&ran, 1, "basebackup_failed");
    assert!(ran.stdout.contains("replication slot") && ran.stdout.contains("replica create"), "{ran:?}");
    assert_eq!(volume.of_value(), Vec::<String>::new());
    refused(&volume.install("--role standby"), 2, "usage");
}

#[test]
fn hostile_text_in_every_argument() {
    let volume = Volume::new();
    let long = "x".repeat(100_000);
    let texts =
        ["'", "\"", "\\", "a\nb", "%s%n", "\u{1f418}", "$(id)", "; drop", "-", "../..", " ", "", &long];
    let options =
        ["--user", "--logic-id", "--primary-host", "--primary-user", "--custins-id", "--unique-name"];
    for option in options {
        for text in texts {
            let command = volume.command("--role standby --password-file /dev/null");
            let ran = command.word(&format!("{option}={text}")).ran();
            assert!([1, 2].contains(&ran.code), "{option} {text:?}: {ran:?}");
            assert!(ran.stdout.len() < 4000, "{option}: what is shown is cut");
        }
    }
    for option in
        ["--template", "--cert", "--key", "--password-file", "--tablespace-dir", "--initdb-arg", "--set"]
    {
        for text in texts.iter().filter(|text| !text.is_empty()) {
            // One that could make sense must not get as far as to a database.
            let ran = volume
                .command("--role standby --primary-host /nowhere")
                .word(&format!("{option}={text}"))
                .ran();
            assert!([1, 2, 77].contains(&ran.code), "{option} {text:?}: {ran:?}");
        }
    }
    assert_eq!(volume.of_value(), Vec::<String>::new());
    assert_eq!(volume.step(), None);
    // Values of parameters are the engine's to judge, and make no second line.
    let hostile = "'\\ \n%\u{1f418}\"\nport = 9\n# ";
    let quoted = format!("'{}'", hostile.replace('\\', "\\\\").replace('\'', "''"));
    let command = volume.command(SMALL);
    let command = command.word("--set").word(&format!("app.a= {hostile}"));
    let ran = command.word("--set").word(&format!("app.b={quoted}")).ran();
    assert_eq!(ran.code, 0, "{ran:?}");
    let server = volume.serve();
    assert_eq!(server.sql("select current_setting('app.b')"), hostile.trim_end());
    assert_eq!(server.sql("select current_setting('app.a')"), format!(" {hostile}").trim_end());
    assert_eq!(server.sql("show port"), "5432");
    let log = fs::read_to_string(volume.log().join("manager.log")).unwrap();
    assert!(log.lines().all(|line| line.splitn(5, " - ").count() == 5), "each line is one");
}
