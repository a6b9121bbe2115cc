//! s6: s6-svscan, and one s6-supervise for each program.

use super::{Can, Capture, Launch, Peer, Setting, packaged};
use crate::tools::Tools;

pub fn peer(tools: &Tools) -> Peer {
    Peer {
        note: "s6-svscan as PID 1; `run` is the program itself, with no shell before it; output to s6-log",
        can: Can::ALL,
        prepare,
        status: Some(|_, folder| {
            let mut argv = vec!["sh".into(), "-c".into()];
            argv.push(format!("for d in {}/scan/*; do s6-svstat \"$d\"; done", folder.display()).into());
            argv
        }),
        ..packaged(tools, "s6", "s6", &["s6-svscan", "s6-supervise"])
    }
}

fn prepare(peer: &Peer, setting: &Setting) -> Result<Launch, String> {
    for number in 0..setting.plan.count {
        let service = setting.folder.join(format!("scan/p{number}"));
        std::fs::create_dir_all(&service).unwrap();
        std::os::unix::fs::symlink(&setting.tools.probe, service.join("run")).unwrap();
        if let Some(seconds) = setting.plan.stop_timeout {
            setting.write(&format!("scan/p{number}/timeout-kill"), &format!("{}\n", seconds * 1000), 0o644);
        }
        let time = match setting.plan.capture {
            Capture::Default => continue,
            Capture::Raw => "",
            Capture::Prefixed => "t ",
        };
        // The largest size that s6-log takes, so that the file is not turned over.
        let script = format!("#!/bin/sh\nexec s6-log -- {time}s268435455 {}\n", setting.path("main"));
        setting.write(&format!("scan/p{number}/log/run"), &script, 0o755);
    }
    // By default it keeps at most 1,000 services.
    let most = (setting.plan.count * 2).max(1000).to_string();
    let argv = vec![peer.binaries[0].to_str().unwrap().to_owned(), "-c".into(), most, setting.path("scan")];
    Ok(Launch { captured: setting.folder.join("main/current"), ..Launch::new(argv) })
}
