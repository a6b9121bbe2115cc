//! supervisord.

use std::fmt::Write;

use super::{Can, Capture, Launch, Peer, Setting, packaged};
use crate::tools::Tools;

pub fn peer(tools: &Tools) -> Peer {
    Peer {
        note: "nodaemon=true, its socket as Debian has it; all else at its defaults",
        can: Can { prefix: false, ..Can::ALL },
        prepare,
        status: Some(|_, folder| {
            let file = folder.join("supervisord.conf");
            vec!["supervisorctl".into(), "-c".into(), file.into(), "status".into()]
        }),
        ..packaged(tools, "supervisord", "supervisor", &["supervisord"])
    }
}

fn prepare(peer: &Peer, setting: &Setting) -> Result<Launch, String> {
    let captured = setting.folder.join("captured");
    std::fs::create_dir(setting.folder.join("out")).unwrap();
    let (socket, folder) = (setting.path("sock"), setting.folder.display());
    let mut text = format!(
        "[supervisord]\nnodaemon=true\nuser=root\nlogfile={folder}/supervisord.log\n\
         pidfile={folder}/supervisord.pid\nchildlogdir={folder}/out\n"
    );
    if setting.plan.count > 100 {
        // Each program takes several descriptors of the 1,024 that it asks for by default.
        text.push_str("minfds=16384\n");
    }
    write!(
        text,
        "[unix_http_server]\nfile={socket}\nchmod=0700\n\
         [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n\
         [supervisorctl]\nserverurl=unix://{socket}\n"
    )
    .unwrap();
    for number in 0..setting.plan.count {
        writeln!(text, "[program:p{number}]\ncommand={}", setting.probe().join(" ")).unwrap();
        if let Some(seconds) = setting.plan.stop_timeout {
            writeln!(text, "stopwaitsecs={seconds}").unwrap();
        }
        if setting.plan.capture != Capture::Default {
            writeln!(text, "stdout_logfile={}\nstdout_logfile_maxbytes=0", captured.display()).unwrap();
        }
    }
    let file = setting.write("supervisord.conf", &text, 0o644);
    let argv = vec![peer.binaries[0].to_str().unwrap().to_owned(), "-c".into(), file];
    Ok(Launch { captured, ..Launch::new(argv) })
}
