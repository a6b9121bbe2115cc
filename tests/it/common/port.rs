//! TCP ports that no other test takes.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

/// Below the kernel's range of ephemeral ports (32768 up), so that no client socket lands on one.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// A port that belongs to one test while this value lives.
///
/// The claim is an abstract socket name: the kernel frees it with the process, however that ends, and nothing is left
/// on disk.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _claim: UnixListener,
}

impl Port {
    /// Claims a port that nothing listens on.
    pub fn claim() -> Self {
        let count = RANGE.end - RANGE.start;
        // Neighbouring test processes begin their search far from each other.
        let first =
            u16::try_from(std::process::id().wrapping_mul(7919) % u32::from(count)).expect("below count");
        (0..count)
            .map(|step| RANGE.start + (first + step) % count)
            .find_map(|number| {
                let name =
                    SocketAddr::from_abstract_name(format!("polardb-manager-test-port-{number}")).ok()?;
                let claim = UnixListener::bind_addr(&name).ok()?;
                TcpListener::bind(("127.0.0.1", number)).ok()?;
                Some(Self { number, _claim: claim })
            })
            .expect("no free TCP port between 20000 and 32000")
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }
}
