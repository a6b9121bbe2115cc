//! PolarDB's form of the local instance, by stand-ins for its programs: what is called, in which order, and that a kill in
//! the middle is gone on from. The stand-ins do to files what docs/local-instance.md says that the programs do.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::common::{Done, SOON, TestDir, finish, polarctl, postgres_user};

const FILES: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/rootfs/local-instance/usr/local/lib/local-instance");

const INITDB: &str = r#"#!/bin/sh
echo "initdb $*" >>"$CALLS"
for last; do :; done
mkdir "$last/base" "$last/global" && echo 15 >"$last/PG_VERSION" && echo control >"$last/global/pg_control"
echo '#' >"$last/postgresql.conf" && echo "local all all trust" >"$last/pg_hba.conf"
"#;
const POLAR_INITDB: &str = r#"#!/bin/sh
echo "polar-initdb.sh $*" >>"$CALLS"
[ ! -e "$TROUBLE/polar-initdb" ] || { rm "$TROUBLE/polar-initdb"; mkdir "$1/half"; exit 1; }
if [ "$3" = primary ]; then
    [ -z "$(ls -A "$2")" ] || { echo "not empty" >&2; exit 1; }
    mv "$1/base" "$1/global" "$2"
else
    [ -e "$2/base" ] && echo 15 >"$1/PG_VERSION"
fi
"#;
const POLARCTL: &str = r#"#!/bin/sh
echo "polarctl $*" | tr '\n' ' ' >>"$CALLS"; echo >>"$CALLS"
case "$*" in *--password-file*) for last; do :; done; echo "password $(cat "$last")" >>"$CALLS" ;; esac
"#;
const MV: &str = r#"#!/bin/sh
if [ -e "$TROUBLE/mv" ]; then rm "$TROUBLE/mv"; exit 1; fi
exec /bin/mv "$@"
"#;

struct Bed {
    dir: TestDir,
}

impl Bed {
    fn new() -> Self {
        let dir = TestDir::new();
        for folder in ["base/bin", "base/share/postgresql"] {
            fs::create_dir_all(dir.path(folder)).unwrap();
        }
        for (name, text) in
            [("initdb", INITDB), ("polar-initdb.sh", POLAR_INITDB), ("polarctl", POLARCTL), ("mv", MV)]
        {
            dir.file(format!("base/bin/{name}"), text, 0o755);
        }
        dir.file(
            "base/share/postgresql/polardb.conf.sample",
            "polar_enable_shared_storage_mode = on\n",
            0o644,
        );
        dir.file("calls", "", 0o666);
        for name in ["primary_datadir", "replica_datadir1", "shared_datadir"] {
            dir.folder(format!("polardb/{name}"));
        }
        dir.folder("trouble");
        let bed = Bed { dir };
        // As the entry point makes them, of root's.
        for name in
            ["polardb", "polardb/primary_datadir", "polardb/replica_datadir1", "polardb/shared_datadir"]
        {
            std::os::unix::fs::chown(bed.path(name), Some(0), Some(0)).unwrap();
        }
        bed
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path(name)
    }

    fn run(&self, words: &[&str], environment: &[(&str, &str)]) -> Done {
        let mut command = Command::new(format!("{FILES}/shared"));
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", self.path("base/bin").display());
        command.args(words).env_clear().env("PATH", path).stdin(Stdio::null()).current_dir("/");
        command.env("CALLS", self.path("calls")).env("TROUBLE", self.path("trouble"));
        command.env("POLARDB_DATA_DIR", self.path("polardb")).env("POLARDB_PORT", "5432");
        finish(
            {
                command.envs(environment.iter().copied());
                command
            },
            SOON,
        )
    }

    /// What was called since the last look, the test's folder being `$D`.
    fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("calls")).unwrap();
        fs::write(self.path("calls"), "").unwrap();
        let folder = self.path("polardb").display().to_string();
        text.replace(&folder, "$D").lines().map(|line| line.trim().to_owned()).collect()
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn is_whole(&self) {
        assert_eq!(self.text("polardb/shared_datadir/global/pg_control"), "control\n");
        assert_eq!(self.text("polardb/primary_datadir/PG_VERSION"), "15\n");
        assert!(!self.path("polardb/primary_datadir/global").exists());
        assert!(!self.path("polardb/.init-shared").exists());
        let owner = |name: &str| std::os::unix::fs::MetadataExt::uid(&fs::metadata(self.path(name)).unwrap());
        for name in
            ["polardb/primary_datadir", "polardb/shared_datadir", "polardb/primary_datadir/PG_VERSION"]
        {
            assert_eq!(owner(name), postgres_user().uid, "{name}");
        }
    }
}

#[test]
fn its_first_boot() {
    let bed = Bed::new();
    bed.run(&[], &[]).success();
    assert_eq!(
        bed.calls(),
        [
            "initdb -k -A trust --wal-segsize=16 -U postgres -D $D/.init-shared/primary",
            "polar-initdb.sh $D/.init-shared/primary/ $D/.init-shared/data/ primary localfs"
        ]
    );
    bed.is_whole();
    let shared = bed.path("polardb/shared_datadir");
    let conf = bed.text("polardb/primary_datadir/postgresql.conf");
    assert_eq!(
        conf,
        format!(
            "#\npolar_enable_shared_storage_mode = on\nport = 5432\npolar_datadir = 'file-dio://{}'\n\
             huge_pages = off\nfull_page_writes = on\n",
            shared.display()
        )
    );
    assert!(bed.text("polardb/primary_datadir/pg_hba.conf").ends_with("host all all 0.0.0.0/0 md5\n"));
    // Once it runs.
    let secret = bed.dir.file("secret", "it's secret", 0o600);
    let account = [("POLARDB_USER", "ann"), ("POLARDB_PASSWORD_FILE", secret.to_str().unwrap())];
    bed.run(&["replica"], &account).success();
    let calls = bed.calls();
    let secret = secret.display();
    assert_eq!(
        calls[..2],
        [
            format!(
                "polarctl account create ann --data-dir $D/primary_datadir --privilege 7 --password-file {secret}"
            ),
            "password it's secret".to_owned()
        ]
    );
    assert!(
        calls[2].starts_with("polarctl pg --data-dir $D/primary_datadir -XAtqc SELECT pg_create_physical")
    );
    assert_eq!(calls[3..], ["polar-initdb.sh $D/.init-replica/replica/ $D/shared_datadir/ replica localfs"]);
    let conf = bed.text("polardb/replica_datadir1/postgresql.conf");
    assert!(conf.contains("port = 5432\n") && conf.contains("port = 5433\n"), "{conf}");
    assert!(conf.find("port = 5432") < conf.find("port = 5433"), "the last one counts: {conf}");
    assert!(conf.contains("primary_slot_name = 'replica1'") && conf.contains("application_name=replica1"));
    assert!(bed.path("polardb/replica_datadir1/replica.signal").exists());
    assert_eq!(bed.text("polardb/replica_datadir1/ins_install_step"), "done");
    // Once is enough.
    bed.run(&[], &[]).success();
    bed.run(&["replica"], &account).success();
    assert_eq!(bed.calls(), [""; 0]);
    bed.is_whole();
}

#[test]
fn the_password_of_postgres() {
    let bed = Bed::new();
    bed.run(&[], &[]).success();
    let secret = bed.dir.file("secret", "x", 0o600);
    bed.run(&["replica"], &[("POLARDB_PASSWORD_FILE", secret.to_str().unwrap())]).success();
    assert!(bed.calls()[2].starts_with("polarctl account alter postgres --data-dir $D/primary_datadir"));
}

#[test]
fn killed_in_the_middle() {
    for trouble in ["polar-initdb", "mv"] {
        let bed = Bed::new();
        for words in [&[][..], &["replica"]] {
            fs::write(bed.path("trouble").join(trouble), "").unwrap();
            assert_ne!(bed.run(words, &[]).code(), 0, "{trouble} {words:?}");
            assert!(!bed.path("trouble").join(trouble).exists(), "{trouble} {words:?}: it was not met");
            bed.run(words, &[]).success();
            bed.is_whole();
        }
        assert_eq!(bed.text("polardb/replica_datadir1/ins_install_step"), "done", "{trouble}");
        for folder in ["primary_datadir", "shared_datadir", "replica_datadir1"] {
            assert!(!bed.path("polardb").join(folder).join("half").exists(), "{trouble} {folder}");
        }
    }
}

#[test]
fn what_is_somebodys_is_left_alone() {
    for folder in ["primary_datadir", "shared_datadir"] {
        let bed = Bed::new();
        bed.dir.file(format!("polardb/{folder}/letter"), "dear", 0o644);
        let done = bed.run(&[], &[]);
        assert_eq!(done.code(), 1);
        assert!(done.stderr.contains("neither empty nor a database"), "{done:?}");
        assert_eq!(bed.calls(), [""; 0]);
        assert_eq!(bed.text(&format!("polardb/{folder}/letter")), "dear");
    }
    // An old volume: both nodes are there.
    let bed = Bed::new();
    bed.dir.file("polardb/primary_datadir/PG_VERSION", "15\n", 0o644);
    bed.dir.file("polardb/replica_datadir1/PG_VERSION", "15\n", 0o644);
    bed.run(&[], &[]).success();
    bed.run(&["replica"], &[]).success();
    assert_eq!(bed.calls(), [""; 0]);
    assert_eq!(bed.text("polardb/replica_datadir1/ins_install_step"), "done");
}

#[test]
fn its_lines_are_polarctls() {
    for line in [
        "account create ann --data-dir /no --privilege 7 --password-file /no",
        "account alter postgres --data-dir /no --password-file /no",
        "pg --data-dir /no -XAtqc x",
    ] {
        let mut command = Command::new(polarctl());
        command.env_clear().args(line.split(' ')).stdin(Stdio::null()).env("POLAR_SUPERVISOR_LOG_DIR", "/no");
        assert_ne!(finish(command, SOON).code(), 2, "{line}");
    }
}
