//! Our own.

use std::ffi::OsString;
use std::fmt::Write;
use std::process::Command;

use super::{Can, Capture, Launch, OURS, Peer};
use crate::options::Options;
use crate::tools::Tools;

fn base(tools: &Tools, options: &Options) -> Peer {
    let said = Command::new(&options.supervisor).arg("--version").output();
    let said = said.ok().filter(|done| done.status.success());
    let version = said.map(|done| String::from_utf8_lossy(&done.stdout).trim().to_owned());
    Peer {
        name: OURS,
        version: version.filter(|text| !text.is_empty()).unwrap_or_else(|| env!("CARGO_PKG_VERSION").into()),
        binaries: vec![options.supervisor.clone()],
        note: "programs of kind `command`, all keys at their defaults",
        can: Can::ALL,
        absent: None,
        tools: tools.clone(),
        prepare: |_, _| Err("no files".into()),
        status: None,
    }
}

/// With a configuration file.
pub fn whole(tools: &Tools, options: &Options) -> Peer {
    let mut peer = base(tools, options);
    if let Some(polarctl) = &options.polarctl {
        peer.binaries.push(polarctl.clone());
        peer.status = Some(|peer, folder| {
            let socket = folder.join("run/supervisor.sock");
            let polarctl = peer.binaries[1].clone();
            vec![polarctl.into(), "--socket".into(), socket.into(), "status".into()]
        });
    }
    peer.prepare = |peer, setting| {
        for name in ["run", "log"] {
            std::fs::create_dir(setting.folder.join(name)).unwrap();
        }
        let captured = setting.folder.join("captured");
        let (run, log) = (setting.path("run"), setting.path("log"));
        let mut text = format!("[supervisor]\nrun_dir = {run:?}\nlog_dir = {log:?}\n");
        for number in 0..setting.plan.count {
            let command = setting.probe();
            writeln!(text, "\n[program.p{number}]\nkind = \"command\"\ncommand = {command:?}").unwrap();
            if let Some(seconds) = setting.plan.stop_timeout {
                writeln!(text, "stop_timeout = \"{seconds}s\"").unwrap();
            }
            if setting.plan.capture == Capture::Raw {
                // Larger than all that is written: the file is not turned over, as with the others.
                writeln!(text, "output = {{ file = {captured:?}, size = \"1GiB\", keep = 1 }}").unwrap();
            }
        }
        let file = setting.write("supervisor.toml", &text, 0o644);
        let argv: Vec<OsString> =
            vec![peer.binaries[0].clone().into(), "--config".into(), file.into(), "run".into()];
        // The default: lines with the program's name in front on PID 1's standard output.
        let stdout = (setting.plan.capture == Capture::Prefixed).then(|| captured.clone());
        Ok(Launch { captured, stdout, ..Launch::new(argv) })
    };
    peer
}

/// As a plain init for one command.
pub fn exec(tools: &Tools, options: &Options) -> Peer {
    Peer {
        name: "polar-supervisor exec",
        note: "a plain init for one command: no configuration, never started again",
        can: Can { stop: true, ..Can::default() },
        prepare: |peer, setting| {
            let mut argv: Vec<OsString> = vec![peer.binaries[0].clone().into(), "exec".into(), "--".into()];
            argv.extend(setting.probe().into_iter().map(Into::into));
            Ok(Launch::new(argv))
        },
        ..base(tools, options)
    }
}
