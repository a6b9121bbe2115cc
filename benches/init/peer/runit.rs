//! runit: runsvdir, and one runsv for each program.

use super::{Ask, Can, Capture, Launch, Peer, Setting, packaged};
use crate::tools::Tools;

pub fn peer(tools: &Tools) -> Peer {
    Peer {
        note: "runsvdir as PID 1; `run` is the program itself, with no shell before it; output to svlogd; ended by \
               `sv force-stop` on all services, measured until the last program is gone, since runsvdir itself leaves \
               its programs to the kernel's SIGKILL",
        can: Can::ALL,
        prepare,
        status: Some(|_, folder| {
            vec!["sh".into(), "-c".into(), format!("exec sv status {}/sv/*", folder.display()).into()]
        }),
        ..packaged(tools, "runit", "runit", &["runsvdir", "runsv"])
    }
}

fn prepare(peer: &Peer, setting: &Setting) -> Result<Launch, String> {
    let mut stop = vec!["sv".to_owned()];
    stop.extend(["-w".into(), setting.plan.stop_timeout.unwrap_or(7).to_string(), "force-stop".into()]);
    for number in 0..setting.plan.count {
        let service = setting.folder.join(format!("sv/p{number}"));
        std::fs::create_dir_all(&service).unwrap();
        std::os::unix::fs::symlink(&setting.tools.probe, service.join("run")).unwrap();
        stop.push(service.to_str().unwrap().to_owned());
        let time = match setting.plan.capture {
            Capture::Default => continue,
            Capture::Raw => "",
            Capture::Prefixed => "-ttt ",
        };
        let main = setting.path("main");
        setting.write("main/config", "s0\n", 0o644);
        setting.write(
            &format!("sv/p{number}/log/run"),
            &format!("#!/bin/sh\nexec svlogd {time}{main}\n"),
            0o755,
        );
    }
    // Of a folder that has changed in this second it waits for the next one before it looks.
    let yesterday = std::time::SystemTime::now() - std::time::Duration::from_secs(86_400);
    let folder = std::fs::File::open(setting.folder.join("sv"));
    folder.and_then(|folder| folder.set_modified(yesterday)).map_err(|error| format!("sv: {error}"))?;
    let argv = vec![peer.binaries[0].to_str().unwrap().to_owned(), setting.path("sv")];
    let captured = setting.folder.join("main/current");
    Ok(Launch { captured, ask: Ask::Command(stop), ..Launch::new(argv) })
}
