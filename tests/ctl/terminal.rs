//! What a terminal gets beside the text: colours and a line of progress.

use std::fs::File;
use std::io::Read;

use polardb_manager::control::protocol::{Op, Status};
use serde_json::Value;

use crate::bed::{Bed, Ctl, down, ok, running};

/// What a command writes to a terminal.
pub fn on_terminal(ctl: Ctl) -> String {
    let pty = nix::pty::openpty(None, None).unwrap();
    let (out, err) = (pty.slave.try_clone().unwrap(), pty.slave);
    let mut child = ctl.spawn_to(out, err);
    let mut screen = Vec::new();
    let mut part = [0; 1024];
    let mut master = File::from(pty.master);
    // The end of a terminal without its other side is an error.
    while let Ok(read @ 1..) = master.read(&mut part) {
        screen.extend_from_slice(&part[..read]);
    }
    assert!(child.wait().unwrap().success());
    String::from_utf8(screen).unwrap()
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let bed = Bed::new(|_| ok([running("engine", "postgres")]));
    assert!(on_terminal(bed.command("status")).contains("\x1b[32mrunning\x1b[0m"));
    assert!(on_terminal(bed.command("status").env("NO_COLOR", "")).contains("\x1b["));
    for plain in [
        bed.command("status").env("NO_COLOR", "1"),
        bed.command("status").env("TERM", "dumb"),
        bed.command("status --output json"),
    ] {
        assert!(!on_terminal(plain).contains('\x1b'));
    }
}

#[test]
fn a_line_of_progress_that_goes_away() {
    let stop = || {
        let mut looks = 0;
        Bed::new(move |op| match op {
            Op::Status { .. } => {
                looks += 1;
                let stopping =
                    Status { state: "stopping".into(), ready: false, ..running("engine", "postgres") };
                ok([if looks < 12 { stopping } else { down("engine", "postgres", "stopped") }])
            }
            _ => ok(Value::Null),
        })
    };
    let shown = on_terminal(stop().command("stop"));
    assert!(shown.contains("\r\x1b[Kstop of all engines: 0 s, engine is stopping"), "{shown:?}");
    assert!(shown.contains("\r\x1b[KNAME") || shown.contains("\r\x1b[K\x1b[90mNAME"), "{shown:?}");
    assert_eq!(stop().ctl("stop").stderr, "");
}
