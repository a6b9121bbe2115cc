//! Data directories that cannot be served: refused with cause and way out, and left as they are.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::common::{Builder, Exit, Instance, Signal, Snapshot, postgres_user};

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn own(path: &Path, uid: u32, gid: u32) {
    std::os::unix::fs::lchown(path, Some(uid), Some(gid)).unwrap();
}

/// A folder that only root can pass.
fn closed(builder: &Builder, name: &str) -> PathBuf {
    let path = builder.dir.path(name);
    fs::create_dir(&path).unwrap();
    mode(&path, 0o700);
    path
}

/// PID 1 ends with this status, its last line has all these texts, and nothing of what the test made has changed.
fn refused(builder: Builder, code: i32, texts: &[&str]) {
    let entries = fs::read_dir(builder.dir.path("")).unwrap().map(|entry| entry.unwrap().path());
    let entries = entries.filter(|path| path.is_dir());
    let before: Vec<(PathBuf, Snapshot)> = entries.map(|path| (path.clone(), Snapshot::of(&path))).collect();
    let mut instance = builder.start();
    assert_eq!(instance.wait(), Exit::Code(code));
    for (path, before) in &before {
        before.assert_same(path);
    }
    let log = instance.log();
    let last = log.lines().last().unwrap_or_default();
    for text in texts {
        assert!(last.contains(text), "{text:?} is not in the last line: {last}");
    }
    assert!(last.contains("ERROR") && log.matches(last).count() == 1, "{log}");
}

/// The usual database, with one change.
fn database(change: impl FnOnce(&Path)) -> Builder {
    let builder = Instance::builder().with_database();
    change(&builder.dir.path("data"));
    builder
}

fn data(builder: &Builder) -> String {
    builder.dir.path("data").to_str().unwrap().to_owned()
}

#[test]
fn a_directory_of_somebodys_files() {
    let builder = Instance::builder();
    builder.dir.file("data/thesis.tex", "years of work", 0o640);
    fs::create_dir(builder.dir.path("data/lost+found")).unwrap();
    let data = data(&builder);
    refused(builder, 78, &[&data, "thesis.tex", "neither empty nor a database", "data_dir"]);
}

#[test]
fn a_single_hidden_file_is_somebodys_too() {
    let builder = Instance::builder();
    fs::write(builder.dir.path("data/.gitkeep"), "").unwrap();
    refused(builder, 78, &[".gitkeep"]);
}

#[test]
fn a_database_of_another_major_version() {
    let builder = database(|data| fs::write(data.join("PG_VERSION"), "9.6\n").unwrap());
    let data = data(&builder);
    refused(builder, 78, &[&data, "of major version 9", "pg_upgrade"]);
    let builder = database(|data| fs::write(data.join("PG_VERSION"), "99\n").unwrap());
    refused(builder, 78, &["of major version 99"]);
}

#[test]
fn a_pg_version_that_says_nothing() {
    refused(
        database(|data| fs::write(data.join("PG_VERSION"), "\n").unwrap()),
        78,
        &["PG_VERSION", "backup"],
    );
}

#[test]
fn a_database_of_another_owner() {
    let user = postgres_user();
    let builder = database(|data| own(&data.join("PG_VERSION"), 4711, 4712));
    refused(builder, 78, &["PG_VERSION", "4711:4712", &format!("chown -R {}:{}", user.uid, user.gid)]);
    // The whole of it, as a volume from another image is.
    let builder = database(|data| {
        for name in Snapshot::of(data).names() {
            own(&data.join(name), 4711, 4712);
        }
    });
    refused(builder, 78, &["4711:4712", "--user 4711:4712"]);
}

#[test]
fn a_database_of_roots() {
    let builder = database(|data| own(data, 0, 0));
    refused(builder, 78, &["0:0", "chown -R"]);
}

#[test]
fn a_database_without_its_control_file() {
    let builder = database(|data| fs::remove_file(data.join("global/pg_control")).unwrap());
    refused(builder, 78, &["global/pg_control is missing", "backup"]);
}

#[test]
fn a_database_without_its_configuration() {
    let builder = database(|data| fs::remove_file(data.join("postgresql.conf")).unwrap());
    refused(builder, 78, &["postgresql.conf is missing", "config_file"]);
}

#[test]
fn a_required_mount_that_is_absent() {
    let builder = Instance::builder().set("program.engine.require_mount", true);
    // The test's folder may be on a file system of its own; a path on the root one is surely no volume.
    let folder = tempfile::Builder::new().prefix("polardb-manager-test-").tempdir_in("/").unwrap();
    mode(folder.path(), 0o755);
    let place = folder.path().join("data");
    let absent = builder.set("program.engine.data_dir", place.to_str().unwrap());
    refused(absent, 78, &["require_mount", "does not exist", "mount the volume"]);
    assert!(!place.exists());

    let builder = Instance::builder().set("program.engine.require_mount", true);
    fs::create_dir(&place).unwrap();
    let present = builder.set("program.engine.data_dir", place.to_str().unwrap());
    let before = Snapshot::of(&place);
    refused(present, 78, &["require_mount", "own file system", "mount the volume"]);
    before.assert_same(&place);
}

#[test]
fn a_required_mount_that_is_there_is_served() {
    let mut instance = Instance::builder()
        .set("program.engine.require_mount", true)
        .setup("mount -t tmpfs tmpfs \"$DIR/data\"")
        .start();
    instance.ready();
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn an_empty_directory_that_must_not_be_initialized() {
    let builder = Instance::builder().set("program.engine.init", "never");
    own(&builder.dir.path("data"), postgres_user().uid, postgres_user().gid);
    refused(builder, 78, &["init = \"never\"", "holds no database", "restore a backup"]);
}

#[test]
fn a_data_dir_that_is_a_file() {
    let builder = Instance::builder();
    let file = builder.dir.file("log/file", "content", 0o600);
    refused(builder.set("program.engine.data_dir", file.to_str().unwrap()), 78, &["is not a directory"]);
    let builder = Instance::builder();
    let below = builder.dir.file("log/file", "content", 0o600).join("data");
    refused(builder.set("program.engine.data_dir", below.to_str().unwrap()), 78, &["log/file"]);
}

#[test]
fn a_data_dir_that_the_engines_user_cannot_reach() {
    let builder = Instance::builder().with_database();
    let closed = closed(&builder, "closed");
    fs::rename(builder.dir.path("data"), closed.join("data")).unwrap();
    let path = closed.join("data");
    let builder = builder.set("program.engine.data_dir", path.to_str().unwrap());
    refused(builder, 78, &[closed.to_str().unwrap(), "owner 0:0", "0700", "postgres", "x permission"]);
}

#[test]
fn an_absent_data_dir_that_cannot_be_made() {
    let user = postgres_user();
    let builder = Instance::builder().account(user.uid, user.gid);
    let path = builder.dir.path("absent/data");
    let builder = builder.set("program.engine.data_dir", path.to_str().unwrap());
    refused(builder, 78, &[path.to_str().unwrap(), "does not exist", "make it"]);
    assert!(!path.exists());
}

#[test]
fn an_absent_data_dir_that_can_be_made() {
    let builder = Instance::builder();
    let path = builder.dir.path("deep/down/data");
    let mut instance = builder.set("program.engine.data_dir", path.to_str().unwrap()).start();
    instance.ready();
    let made = fs::metadata(&path).unwrap();
    assert_eq!((made.uid(), made.mode() & 0o7777), (postgres_user().uid, 0o700));
    assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().uid(), 0);
}

#[test]
fn a_user_that_does_not_exist_or_is_root() {
    let builder = Instance::builder().set("program.engine.user", "nobody-of-that-name");
    refused(builder, 78, &["nobody-of-that-name", "/etc/passwd", "useradd"]);
    let mut instance = Instance::builder().set("program.engine.user", "root").start();
    assert_eq!(instance.wait(), Exit::Code(78));
    assert!(instance.log().contains("program.engine.user: `user` is \"root\""), "{}", instance.log());
}

#[test]
fn an_engine_that_is_missing_or_no_program() {
    for (name, prepare, text) in [
        ("missing", None, "missing"),
        ("empty", Some(None), "empty"),
        ("text", Some(Some(("this is no program\n", 0o755))), "text/postgres"),
        ("closed", Some(Some(("#!/bin/sh\necho 'postgres (PostgreSQL) 15.1'\n", 0o600))), "not executable"),
        ("strange", Some(Some(("#!/bin/sh\necho 42; exit 3\n", 0o755))), "strange/postgres"),
    ] {
        let builder = Instance::builder().with_database();
        let bin = builder.dir.path(name);
        if let Some(program) = prepare {
            fs::create_dir(&bin).unwrap();
            if let Some((content, bits)) = program {
                fs::write(bin.join("postgres"), content).unwrap();
                mode(&bin.join("postgres"), bits);
            }
        }
        refused(builder.set("program.engine.bin_dir", bin.to_str().unwrap()), 78, &[text, "bin_dir"]);
    }
}

#[test]
fn no_folder_for_the_socket() {
    let builder = Instance::builder().with_database();
    let file = builder.dir.file("log/file", "", 0o600);
    let closed = closed(&builder, "closed");
    let folders = vec![file.to_str().unwrap().to_owned(), closed.to_str().unwrap().to_owned()];
    let texts = [folders[0].clone(), folders[1].clone()];
    let builder = builder.set("program.engine.socket_dir", folders);
    refused(builder, 78, &[&texts[0], &texts[1], "socket_dir"]);
}

#[test]
fn a_template_that_cannot_be_read() {
    let builder = Instance::builder();
    own(&builder.dir.path("data"), postgres_user().uid, postgres_user().gid);
    mode(&builder.dir.path("data"), 0o700);
    let template = closed(&builder, "closed").join("postgresql.conf.sample");
    fs::write(&template, "work_mem = 9MB\n").unwrap();
    let builder = builder.set("program.engine.conf_template", template.to_str().unwrap());
    refused(builder, 78, &[template.to_str().unwrap(), "ermission denied", "conf_template"]);
}

#[test]
fn scripts_that_cannot_be_read() {
    let builder = Instance::builder();
    own(&builder.dir.path("data"), postgres_user().uid, postgres_user().gid);
    mode(&builder.dir.path("data"), 0o700);
    let scripts = closed(&builder, "closed");
    fs::write(scripts.join("1.sql"), "create table ran ();\n").unwrap();
    let builder = builder.set("program.engine.init_scripts", scripts.to_str().unwrap());
    refused(builder, 70, &[scripts.to_str().unwrap(), "ermission denied", "init_scripts"]);
}

#[test]
fn a_password_given_twice() {
    let builder = Instance::builder();
    own(&builder.dir.path("data"), postgres_user().uid, postgres_user().gid);
    mode(&builder.dir.path("data"), 0o700);
    let builder = builder.env("POSTGRES_PASSWORD", "hunter2").env_file("POSTGRES_PASSWORD_FILE", "hunter3");
    refused(builder, 78, &["both POSTGRES_PASSWORD and POSTGRES_PASSWORD_FILE", "set one of them"]);
}

#[test]
fn a_mode_that_postgresql_refuses_is_mended() {
    for bits in [0o755, 0o777, 0o770] {
        let mut instance = database(|data| mode(data, bits)).start();
        instance.ready();
        let found = fs::metadata(instance.path("data")).unwrap().mode() & 0o7777;
        assert_eq!(found, 0o700);
        assert!(instance.log().contains(&format!("had mode {bits:04o}: set to 0700")), "{}", instance.log());
    }
}

#[test]
fn a_second_supervisor_on_the_same_data_is_refused_and_harms_nothing() {
    let mut first = Instance::builder().start();
    first.ready();
    first.sql("create table kept as select generate_series(1, 1000) as n");
    let postmaster = first.postmaster();
    let path = first.path("data");
    let pid_file = fs::read(path.join("postmaster.pid")).unwrap();
    let record = path.join("polar_supervisor.start");
    first.until("the record of the start", |_| record.exists());
    let second = Instance::builder().set("program.engine.data_dir", path.to_str().unwrap());
    // Nothing of another namespace can be seen: the record tells who it is.
    let who = format!(
        "by its record host {} started process",
        nix::unistd::gethostname().unwrap().to_string_lossy()
    );
    refused(second, 78, &["another supervisor keeps", path.to_str().unwrap(), &who, "stop the other"]);
    assert_eq!(first.postmaster(), postmaster);
    assert_eq!(fs::read(path.join("postmaster.pid")).unwrap(), pid_file);
    assert_eq!(first.sql("select count(*), sum(n) from kept"), "1000|500500");
    // The first is restarted: what the second did must not be in its way.
    first.restart();
    first.ready();
    assert_eq!(first.sql("select count(*) from kept"), "1000");
}

#[test]
fn a_second_supervisor_in_the_same_namespace_is_told_who_the_first_is() {
    let user = postgres_user();
    let mut first = Instance::builder().account(user.uid, user.gid).start();
    first.ready();
    let config = first.path("supervisor.toml");
    let program = first.path("bin/polar-supervisor");
    let done = first.enter(program.to_str().unwrap(), ["--config", config.to_str().unwrap(), "run"]);
    assert_eq!(done.code(), 78, "{done:?}");
    let last = done.stderr.lines().last().unwrap_or_default();
    assert!(last.contains("another supervisor keeps") && last.contains("process 1 "), "{last}");
    assert_eq!(first.sql("select 1"), "1");
}

#[test]
fn a_database_that_somebody_else_makes_is_waited_for() {
    let builder = Instance::builder().set("program.engine.init", "wait");
    own(&builder.dir.path("data"), postgres_user().uid, postgres_user().gid);
    mode(&builder.dir.path("data"), 0o700);
    let before = Snapshot::of(&builder.dir.path("data"));
    let mut instance = builder.start();
    instance.wait_log("ins_install_step");
    // Asked to stop while it waits.
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    before.assert_same(&instance.path("data"));

    let mut instance = instance.change(Builder::with_database);
    let step = instance.path("data/ins_install_step");
    fs::write(&step, "install\n").unwrap();
    instance.boot();
    instance.wait_log("install");
    assert!(!instance.engine_runs());
    fs::write(&step, "done\n").unwrap();
    instance.ready();
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}
