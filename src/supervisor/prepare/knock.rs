//! A sign of life of an engine: does anything answer at its socket?
//!
//! The question is the one by which a client begins (`SSLRequest`, PostgreSQL's documentation, "Message Formats"); a server
//! answers it with one byte before it looks whether it accepts connections: in a recovery, with no slot left, in a
//! shutdown. No answer is a postmaster that does not run its loop. PID 1 limits the time.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::halt::{Outcome, refused};
use super::work::Work;
use crate::engine::pidfile::{self, PidFile};

/// Its length and its number.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Asks the engine of this data directory.
///
/// # Errors
/// Refused when there is no answer.
pub(super) fn knock(work: Work<'_>) -> Outcome<()> {
    let path = work.order.engine.data_dir.join("postmaster.pid");
    let no_life = |cause: String| refused(cause, "");
    let bytes = std::fs::read(&path).map_err(|error| no_life(format!("{}: {error}", path.display())))?;
    let file = pidfile::parse(&bytes).map_err(|error| no_life(format!("{}: {error}", path.display())))?;
    ask(&work.order.engine.data_dir, &file)
        .map_err(|error| no_life(format!("process {} does not answer: {error}", file.pid)))
}

fn ask(data_dir: &Path, file: &PidFile) -> std::io::Result<()> {
    let port = file.port.unwrap_or(5432);
    if let Some(folder) = &file.socket_dir {
        // A postmaster works in its data directory.
        let socket = data_dir.join(folder).join(format!(".s.PGSQL.{port}"));
        return answer(UnixStream::connect(socket)?);
    }
    let host = match file.listen.as_deref() {
        None | Some("*" | "0.0.0.0") => "127.0.0.1",
        Some("::") => "::1",
        Some(address) => address,
    };
    // An address and no name: a static program must not look one up.
    let host: std::net::IpAddr = host.parse().map_err(std::io::Error::other)?;
    answer(TcpStream::connect((host, port))?)
}

fn answer(mut stream: impl Read + Write) -> std::io::Result<()> {
    stream.write_all(&SSL_REQUEST)?;
    stream.read_exact(&mut [0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_the_number_that_the_protocol_names() {
        assert_eq!(u32::from_be_bytes([4, 210, 22, 47]), 80_877_103);
    }

    #[test]
    fn any_byte_is_life_and_a_closed_connection_is_none() {
        for (said, lives) in [(&b"N"[..], true), (b"S", true), (b"EFATAL", true), (b"", false)] {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            theirs.write_all(said).unwrap();
            theirs.shutdown(std::net::Shutdown::Write).unwrap();
            assert_eq!(answer(ours).is_ok(), lives, "{said:?}");
        }
    }
}
