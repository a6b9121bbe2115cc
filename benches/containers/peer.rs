//! What is compared: images with the same PostgreSQL in them.

use std::fs;
use std::path::Path;

use crate::docker::{self, Room};
use crate::probe::Server;

pub const OURS: &str = "polar-supervisor";
pub const SHELL: &str = "shell entrypoint";
pub const SUPERVISORD: &str = "supervisord";
/// The tables have no limit that is no peer.
pub const LIMIT: &str = "";

/// One of them.
pub struct Peer {
    pub name: &'static str,
    pub image: String,
    pub note: &'static str,
    /// Its address in the room.
    pub address: String,
    /// Why there is none.
    pub absent: Option<String>,
}

impl Peer {
    pub fn server(&self) -> Server {
        Server(format!("{}:5432", self.address).parse().expect("an address"))
    }
}

/// All of them; the images of the others are built here, out of what ours is built of.
pub fn all(ours: &str, room: &Room) -> Vec<Peer> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/containers/peers");
    let base = std::env::var("BASE_IMAGE").unwrap_or_else(|_| "polardb_pg/polardb_pg_base:bookworm".into());
    let built = |name: &str| -> Result<String, String> {
        let tag = format!("polardb_pg/bench_{name}:latest");
        let file = here.join(format!("Dockerfile.{name}"));
        let context = here.to_string_lossy().into_owned();
        let base = format!("BASE_IMAGE={base}");
        let arguments =
            ["build", "-q", "-t", &tag, "--build-arg", &base, "-f", &file.to_string_lossy(), &context];
        let output = docker::output(&arguments);
        if output.status.success() {
            return Ok(tag);
        }
        Err(String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned())
    };
    assert!(fs::exists(&here).unwrap_or(false), "{}", here.display());
    let peers = [
        (OURS, Ok(ours.to_owned()), "as it is shipped"),
        (
            SHELL,
            built("shell"),
            "initdb, roles by a temporary server, then `exec postgres` as PID 1; a crash is docker's to mend",
        ),
        (
            SUPERVISORD,
            built("supervisord"),
            "the same entrypoint, which ends in supervisord; autorestart, startsecs=0",
        ),
    ];
    let with_number = peers.into_iter().enumerate();
    with_number
        .map(|(number, (name, image, note))| Peer {
            name,
            note,
            address: room.address(number),
            absent: image.as_ref().err().cloned(),
            image: image.unwrap_or_default(),
        })
        .collect()
}
