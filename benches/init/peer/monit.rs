//! monit.

use std::fmt::Write;

use super::{Can, Launch, Peer, Setting, packaged};
use crate::tools::Tools;

pub fn peer(tools: &Tools) -> Peer {
    Peer {
        note: "a cycle of 1 s, its shortest (Debian sets 120 s); programs go to the background and leave a pid file; \
               at its end it leaves them to the kernel's SIGKILL",
        can: Can { restart: true, many: true, ..Can::default() },
        prepare,
        status: None,
        ..packaged(tools, "monit", "monit", &["monit"])
    }
}

fn prepare(peer: &Peer, setting: &Setting) -> Result<Launch, String> {
    if setting.plan.mode != "sleep" {
        return Err("it keeps daemons only".into());
    }
    let folder = setting.folder.display();
    let mut text = format!(
        "set daemon 1\nset pidfile {folder}/pid\nset idfile {folder}/id\nset statefile {folder}/state\n"
    );
    let (probe, board) = (setting.tools.probe.display(), setting.board.display());
    for number in 0..setting.plan.count {
        let pid = setting.path(&format!("p{number}.pid"));
        writeln!(
            text,
            "check process p{number} with pidfile {pid}\n  start program = \"{probe} {board} file:{pid}\""
        )
        .unwrap();
    }
    let file = setting.write("monitrc", &text, 0o600);
    let argv = vec![peer.binaries[0].to_str().unwrap().to_owned(), "-I".into(), "-c".into(), file];
    Ok(Launch::new(argv))
}
