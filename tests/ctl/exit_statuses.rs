//! The exit statuses, and that every error is told in both forms.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use polardb_manager::control::protocol::Op;

use crate::bed::{Bed, Ctl, Ran, ok, refused, running};

/// The same error for people and for programs.
fn told(run: impl Fn(&str) -> Ran, line: &str, code: i32, word: &str) {
    let ran = run(line);
    assert_eq!((ran.code, ran.stdout.as_str()), (code, ""), "{line}: {ran:?}");
    assert!(ran.stderr.len() > 20, "{line}: {ran:?}");
    let ran = run(&format!("{line} --output json"));
    let json = ran.json();
    assert_eq!((ran.code, ran.stderr.as_str()), (code, ""), "{line}: {ran:?}");
    assert_eq!(
        (json["error"]["code"].as_str(), json["error"]["exit"].as_i64()),
        (Some(word), Some(code.into()))
    );
    assert!(json["error"]["message"].as_str().unwrap().len() > 20, "{json}");
}

#[test]
fn wrong_usage_is_2() {
    let bed = Bed::new(|_| ok([running("engine", "postgres")]));
    for line in ["", "fly", "status a b", "lock --kind other", "stop --timeout soon", "man fly"] {
        told(|line| bed.ctl(line), line, 2, "usage");
    }
}

#[test]
fn no_supervisor_is_4() {
    let bed = Bed::empty();
    for line in ["status", "explain", "restart", "reload", "health", "health --live", "logs", "stop other"] {
        told(|line| bed.ctl(line), line, 4, "no_supervisor");
    }
    // A socket that nobody listens on any more.
    drop(UnixListener::bind(bed.socket()).unwrap());
    told(|line| bed.ctl(line), "status", 4, "no_supervisor");
}

#[test]
fn the_sockets_place_by_the_environment() {
    let bed = Bed::new(|_| ok([running("engine", "postgres")]));
    let ran = Ctl::new("status").env("POLAR_SUPERVISOR_RUN_DIR", bed.dir.path()).ran();
    assert!(ran.success().contains("running"));
}

#[test]
fn the_sockets_place_by_the_configuration() {
    let bed = Bed::new(|_| ok([running("engine", "postgres")]));
    let config = bed.dir.path().join("supervisor.toml");
    std::fs::write(&config, format!("[supervisor]\nrun_dir = {:?}\n", bed.dir.path())).unwrap();
    assert!(Ctl::new("status").option("--config", &config).ran().success().contains("running"));
    std::fs::write(&config, "[supervisor]\nrun_dri = '/x'\n").unwrap();
    let ran = Ctl::new("status").option("--config", &config).ran();
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("run_dir"), "{ran:?}");
}

#[test]
fn not_permitted_is_77() {
    let bed = Bed::new(|op| match op {
        Op::Status { .. } => ok([running("engine", "postgres")]),
        _ => refused("not_permitted", "changes are for root and the engine's user; this is uid 7"),
    });
    told(|line| bed.ctl(line), "stop", 77, "not_permitted");
    // The socket itself is closed to this user.
    std::fs::set_permissions(bed.dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::set_permissions(bed.socket(), PermissionsExt::from_mode(0o600)).unwrap();
    let as_nobody = |line: &str| Ctl::as_uid(65_534, line).option("--socket", &bed.socket()).ran();
    told(as_nobody, "status", 77, "not_permitted");
    std::fs::set_permissions(bed.socket(), PermissionsExt::from_mode(0o666)).unwrap();
    assert_eq!(Ctl::as_uid(65_534, "status").option("--socket", &bed.socket()).ran().code, 0);
}

#[test]
fn what_the_supervisor_refuses_is_1() {
    for code in ["unknown_program", "busy", "shutting_down", "bad_request"] {
        let bed = Bed::new(move |_| refused(code, "it was not done, for a reason"));
        told(|line| bed.ctl(line), "status engine", 1, code);
    }
    let bed = Bed::new(|_| vec![serde_json::json!({"v": 2, "what": null})]);
    told(|line| bed.ctl(line), "status", 1, "protocol");
}

#[test]
fn help_and_version_are_0() {
    for line in ["--help", "--version", "stop --help"] {
        let text = Ctl::new(line).ran().success();
        assert!(text.contains("polarctl"), "{text}");
    }
    let help = Ctl::new("--help").ran().success();
    for status in ["0   done", "1   failed", "2   wrong", "3   not", "4   no", "5   timed", "77  not"] {
        assert!(help.contains(status), "{status}: {help}");
    }
}
