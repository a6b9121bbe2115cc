//! dinit, where the distribution has it.

use std::fmt::Write;

use super::{Can, Capture, Launch, Peer, Setting, packaged};
use crate::tools::Tools;

pub fn peer(tools: &Tools) -> Peer {
    Peer {
        note: "--container; a service `boot` that waits for all programs; output by `logfile`, straight into the file",
        can: Can { prefix: false, ..Can::ALL },
        prepare,
        status: Some(|_, folder| {
            vec!["dinitctl".into(), "-p".into(), folder.join("sock").into(), "list".into()]
        }),
        ..packaged(tools, "dinit", "dinit", &["dinit"])
    }
}

fn prepare(peer: &Peer, setting: &Setting) -> Result<Launch, String> {
    let captured = setting.folder.join("captured");
    let mut boot = String::from("type = internal\n");
    for number in 0..setting.plan.count {
        writeln!(boot, "waits-for = p{number}").unwrap();
        let mut text = format!("type = process\ncommand = {}\nrestart = true\n", setting.probe().join(" "));
        if let Some(seconds) = setting.plan.stop_timeout {
            writeln!(text, "stop-timeout = {seconds}").unwrap();
        }
        if setting.plan.capture != Capture::Default {
            writeln!(text, "logfile = {}", captured.display()).unwrap();
        }
        setting.write(&format!("services/p{number}"), &text, 0o644);
    }
    setting.write("services/boot", &boot, 0o644);
    let argv = [
        peer.binaries[0].to_str().unwrap().to_owned(),
        "--container".into(),
        "--services-dir".into(),
        setting.path("services"),
        "--socket-path".into(),
        setting.path("sock"),
        "boot".into(),
    ];
    Ok(Launch { captured, ..Launch::new(argv) })
}
