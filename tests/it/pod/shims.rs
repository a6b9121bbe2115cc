//! The files of `rootfs/`: each at its path, and doing what callers expect of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::bed::{Image, Pids, Pod};
use super::calls;
use super::life::installed;
use crate::common::{Ended, Process, SOON, until};

/// What is executed, by its path in the images; which files have it, and the shell that it is for.
const PROGRAMS: [(&str, &str, &str); 9] = [
    ("common", "/docker_script/entry_point.py", "#!/bin/sh\n"),
    ("common", "/docker_script/entry_point_cm.py", "#!/bin/sh\n"),
    ("common", "/usr/local/bin/python", "#!/bin/sh\n"),
    ("common", "/usr/local/bin/python2", "#!/bin/sh\n"),
    ("common", "/usr/local/bin/pg", "#!/bin/sh\n"),
    ("common", "/shutdown_cleanup.sh", "#!/bin/sh\n"),
    ("engine", "/docker_script/pg_tasks/supervisor.py", "#!/bin/bash\n"),
    ("engine", "/docker_script/pg_tasks/engine_user", "#!/bin/sh\n"),
    ("manager", "/docker_script/init_and_pause.py", "#!/bin/bash\n"),
];
/// What is read.
const FILES: [(&str, &str); 6] = [
    ("common", "/postgresql.conf.demo"),
    ("common", "/recovery.conf.demo"),
    ("common", "/etc/profile.d/polardb.sh"),
    ("engine", "/etc/polardb/supervisor.toml"),
    ("engine", "/etc/polardb/stack.toml"),
    ("manager", "/etc/polardb/manager.toml"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("rootfs")
}

fn place(of: &str, path: &str) -> PathBuf {
    root().join(of).join(path.trim_start_matches('/'))
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { walk(&path, found) } else { found.push(path) }
    }
}

#[test]
fn each_path_is_there_and_all_are_documented() {
    let page = root().join("../docs/polardb-stack-images.md");
    let page = fs::read_to_string(page).unwrap();
    let mut known = Vec::new();
    for (of, path, first) in PROGRAMS {
        let file = place(of, path);
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(text.starts_with(first), "{path}");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o111, 0o111, "{path}");
        known.push((file, path));
    }
    for (of, path) in FILES {
        let file = place(of, path);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o111, 0, "{path}");
        known.push((file, path));
    }
    for (_, path) in &known {
        assert!(page.contains(&format!("`{path}`")), "docs/polardb-stack-images.md does not tell of {path}");
    }
    let mut all = Vec::new();
    // The local instance is no part of a pod.
    ["common", "engine", "manager"].iter().for_each(|of| walk(&root().join(of), &mut all));
    for file in all {
        assert!(known.iter().any(|(known, _)| *known == file), "{}: what is it for?", file.display());
    }
}

#[test]
fn python_without_any_python() {
    let pod = Pod::start(Pids::Own);
    let call = |line: &str| pod.exec(Image::Manager, &["sh", "-c", line]);
    let none = "PATH=/usr/local/bin:/nowhere";
    for name in ["python", "python2"] {
        for arguments in ["", "-c 'print(1)'", "--version", "/etc/passwd", "/no/such/file.py", "-"] {
            let done = call(&format!("{none} {name} {arguments}"));
            assert_eq!(done.code(), 127, "{name} {arguments}: {done:?}");
            assert!(done.stderr.contains(&format!("{name}: no Python is installed")), "{done:?}");
        }
    }
    // The scripts by whatever way; a task that is none says so.
    for line in [
        "python /docker_script/entry_point.py",
        "python2 /docker_script/entry_point.py",
        "python -u /docker_script/entry_point.py",
        "cd /docker_script && python entry_point.py",
        "/docker_script/entry_point.py",
    ] {
        let done = call(&format!("export srv_opr_type=no srv_opr_action=such; {line}"));
        assert_eq!(done.code(), 1, "{line}: {done:?}");
        assert!(done.stderr.contains("no/such"), "{line}: {done:?}");
    }
    let words = "printf '#!/bin/sh\\nfor word in \"$@\"; do echo \"<$word>\"; done\\n' > /tmp/words";
    let done = call(&format!("{words}; python /tmp/words 'a  b' '' '*' -u /tmp/words"));
    assert_eq!(done.success(), "<a  b>\n<>\n<*>\n<-u>\n</tmp/words>");
}

#[test]
fn python_where_there_is_one() {
    let pod = Pod::start(Pids::Own);
    let call = |line: &str| pod.exec(Image::Manager, &["sh", "-c", line]);
    let fake = "mkdir -p /tmp/far && for name in python3 python2.7; do printf '#!/bin/sh\\necho real '$name' \"$@\"\\n' > \
                /tmp/far/$name; chmod 755 /tmp/far/$name; done; export PATH=/usr/local/bin:/tmp/far";
    for (line, said) in [
        ("python -c 'print(1)'", "real python3 -c print(1)"),
        ("python --version", "real python3 --version"),
        ("python2 tool.py a", "real python2.7 tool.py a"),
    ] {
        assert_eq!(
            call(&format!("({fake}); export PATH=/usr/local/bin:/tmp/far:/usr/bin:/bin; {line}")).success(),
            said
        );
    }
}

#[test]
fn the_last_resort_kills_this_data_directorys_server_alone() {
    let pod = installed(Pids::Shared);
    let postmaster = pod.postmaster().unwrap();
    // Names of others: a process of its own number, and one that is nobody's.
    let other = Ended(pod.command(Image::Manager, &["sleep", "1000"]).spawn().unwrap());
    let list = format!("/proc/{0}/task/{0}/children", other.0.id());
    let sleeper = crate::common::eventually("it runs", SOON, || {
        let pid = fs::read_to_string(&list).ok()?.split_whitespace().next()?.parse::<i32>().ok()?;
        Process::read(pid).filter(|it| it.command.starts_with("sleep"))
    });
    for line in [
        sleeper.inner.to_string(),
        "1".into(),
        "0".into(),
        "-1".into(),
        "junk; kill -9 -1".into(),
        String::new(),
    ] {
        fs::create_dir_all(pod.dir.path("log/fake")).unwrap();
        fs::write(pod.dir.path("log/fake/postmaster.pid"), format!("{line}\n/data\n")).unwrap();
        let done = pod.exec(Image::Manager, &["sh", "-c", "PGDATA=/log/fake /shutdown_cleanup.sh"]);
        assert_eq!(done.code(), 0, "{line}: {done:?}");
    }
    assert_eq!(pod.exec(Image::Manager, &["sh", "-c", "PGDATA=/none /shutdown_cleanup.sh"]).code(), 0);
    assert!(Process::lives(sleeper.pid) && Process::lives(postmaster.pid));
    // One that hangs: under a lock it stays down.
    kill(Pid::from_raw(postmaster.pid), Signal::SIGSTOP).unwrap();
    fs::write(pod.data("ins_lock"), "").unwrap();
    assert_eq!(pod.exec(Image::Manager, &["/shutdown_cleanup.sh"]).code(), 0);
    until("its end", SOON, || !Process::lives(postmaster.pid));
    let children = |pid: i32| Process::all().into_iter().any(|it| it.parent == pid);
    assert!(!children(postmaster.pid));
    assert!(Process::lives(sleeper.pid) && !pod.first_has_ended(Image::Engine));
    if Path::new("/usr/bin/gdb").exists() {
        let dump = fs::read_to_string(pod.data("postgres_hang.dump")).unwrap();
        assert!(dump.matches("--- process ").count() > 3, "{dump}");
    }
    calls::cm_stop("fast").done(&pod);
    calls::cm_start().done(&pod);
    pod.serves();
}
