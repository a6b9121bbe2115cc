//! Inits that need no file: the minimal one, and those that keep a single child.

use std::ffi::OsString;

use super::{Can, Capture, LIMIT, Launch, Peer, packaged};
use crate::tools::Tools;

/// The least that an init can do.
pub fn limit(tools: &Tools) -> Peer {
    Peer {
        name: LIMIT,
        version: "benches/init/c/limit.c".into(),
        binaries: vec![tools.limit.clone()],
        note: "fork, exec, waitpid; kills after 1 s where a time is given; a pump of read and write for output",
        can: Can { prefix: false, ..Can::ALL },
        absent: None,
        tools: tools.clone(),
        prepare: |_, setting| {
            let captured = setting.folder.join("captured");
            let to = match setting.plan.capture {
                Capture::Default => "-".into(),
                Capture::Raw | Capture::Prefixed => captured.clone().into_os_string(),
            };
            let kill_after = setting.plan.stop_timeout.unwrap_or(0) * 1000;
            let mut argv: Vec<OsString> = vec![setting.tools.limit.clone().into_os_string()];
            argv.extend([setting.plan.count.to_string().into(), kill_after.to_string().into(), to]);
            argv.extend(setting.probe().into_iter().map(Into::into));
            Ok(Launch { captured, ..Launch::new(argv) })
        },
        status: None,
    }
}

/// Inits for one child.
pub fn all(tools: &Tools) -> Vec<Peer> {
    let single = |name: &'static str| Peer {
        note: "one child, never started again; no time limit for a stop",
        can: Can { stop: true, ..Can::default() },
        prepare: |peer, setting| {
            let mut argv = vec![peer.binaries[0].clone().into_os_string(), "--".into()];
            argv.extend(setting.probe().into_iter().map(OsString::from));
            Ok(Launch::new(argv))
        },
        ..packaged(tools, name, name, &[name])
    };
    vec![single("tini"), single("dumb-init"), single("catatonit")]
}
