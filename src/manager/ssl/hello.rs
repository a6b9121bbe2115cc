//! What a server answers to a client that asks for TLS: nothing is kept secret here, so none of it needs a library.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::manager::random;

/// PostgreSQL's `SSLRequest`: its length, and the number 80877103.
const REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
/// How long a connection may take to come about, and an answer: on the same machine it takes milliseconds.
const WITHIN: Duration = Duration::from_secs(3);
/// More bytes are not read for a certificate.
const LONGEST: usize = 256 << 10;
/// Types of a record and of a message in it.
const HANDSHAKE: u8 = 22;
const CERTIFICATE: u8 = 11;
/// What follows version and random bytes of a client that knows TLS 1.2 alone, of which the certificate is sent in the
/// clear: no session; suites of RSA and of elliptic curves; no compression; curves, their form, and signatures.
const OFFER: &[u8] = b"\x00\
    \x00\x14\xc0\x2b\xc0\x2f\xc0\x2c\xc0\x30\xcc\xa9\xcc\xa8\x00\x9c\x00\x9d\x00\x2f\x00\x35\
    \x01\x00\
    \x00\x2e\
    \x00\x0a\x00\x0a\x00\x08\x00\x1d\x00\x17\x00\x18\x00\x19\
    \x00\x0b\x00\x02\x01\x00\
    \x00\x0d\x00\x16\x00\x14\x04\x03\x05\x03\x06\x03\x08\x04\x08\x05\x08\x06\x08\x07\x04\x01\x05\x01\x06\x01";

/// What a server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// It speaks TLS; with this certificate (DER), if it can be seen: one that takes TLS 1.3 alone shows none.
    Tls(Option<Vec<u8>>),
    /// It speaks none.
    Plain,
    /// It was not reached, in words.
    Unreached(String),
}

/// Where a server that listens on `listen` (as `postmaster.pid` has it) is reached from its own machine; `None`: it
/// listens on no TCP, or by a name.
pub(super) fn address(listen: &str, port: u16) -> Option<SocketAddr> {
    let ip = match listen {
        "*" | "localhost" | "0.0.0.0" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        "::" => IpAddr::V6(Ipv6Addr::LOCALHOST),
        other => other.parse().ok()?,
    };
    Some(SocketAddr::new(ip, port))
}

/// Asks it.
pub(super) fn ask(address: SocketAddr) -> Answer {
    asked(address).unwrap_or_else(|error| Answer::Unreached(format!("{address}: {error}")))
}

fn asked(address: SocketAddr) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, WITHIN)?;
    stream.set_read_timeout(Some(WITHIN))?;
    stream.set_write_timeout(Some(WITHIN))?;
    stream.write_all(&REQUEST)?;
    let mut word = [0];
    stream.read_exact(&mut word)?;
    match word {
        [b'S'] => {}
        [b'N'] => return Ok(Answer::Plain),
        _ => return Err(io::Error::other("it answered no word of PostgreSQL's")),
    }
    // That it said S holds, whatever comes of the rest.
    let certificate = client_hello().and_then(|hello| {
        stream.write_all(&hello)?;
        certificate(&mut stream)
    });
    Ok(Answer::Tls(certificate.ok().flatten()))
}

fn client_hello() -> io::Result<Vec<u8>> {
    let mut body = vec![3, 3];
    body.extend(random::bytes::<32>()?);
    body.extend(OFFER);
    let length = |length: usize| u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
    let mut hello = vec![HANDSHAKE, 3, 1];
    hello.extend(length(body.len() + 4));
    hello.extend([1, 0]);
    hello.extend(length(body.len()));
    hello.extend(body);
    Ok(hello)
}

/// The server's certificate, of the messages that it begins with.
fn certificate(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut messages = Vec::new();
    while messages.len() < LONGEST {
        let mut head = [0; 5];
        from.read_exact(&mut head)?;
        let [kind, _, _, high, low] = head;
        if kind != HANDSHAKE {
            return Ok(None);
        }
        let mut part = vec![0; usize::from(u16::from_be_bytes([high, low]))];
        from.read_exact(&mut part)?;
        messages.append(&mut part);
        let mut rest = messages.as_slice();
        while let Some((kind, body, behind)) = message(rest) {
            if kind == CERTIFICATE {
                // The length of all, then one after the other, the server's own first.
                let (_, own, _) = body.get(2..).and_then(message).unwrap_or_default();
                return Ok(Some(own.to_vec()));
            }
            rest = behind;
        }
    }
    Ok(None)
}

/// A byte, a length of three bytes, and so much of content; what stands behind it.
fn message(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[kind, a, b, c], rest) = bytes.split_first_chunk::<4>()?;
    let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
    Some((kind, rest.get(..length)?, rest.get(length..)?))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn where_it_is_reached() {
        let at = |listen: &str| address(listen, 5432).map(|address| address.to_string());
        assert_eq!(at("*").as_deref(), Some("127.0.0.1:5432"));
        assert_eq!(at("::").as_deref(), Some("[::1]:5432"));
        assert_eq!(at("10.0.0.7").as_deref(), Some("10.0.0.7:5432"));
        assert_eq!((at(""), at("db.example")), (None, None));
    }

    #[test]
    fn a_certificate_in_pieces() {
        // A hello of no length, then a certificate of three bytes, parted by the records.
        let messages = [2, 0, 0, 0, CERTIFICATE, 0, 0, 9, 0, 0, 6, 0, 0, 3, 7, 8, 9];
        let mut stream = Vec::new();
        for part in messages.chunks(6) {
            stream.extend([HANDSHAKE, 3, 3, 0, part.len() as u8]);
            stream.extend(part);
        }
        assert_eq!(certificate(&mut stream.as_slice()).unwrap(), Some(vec![7, 8, 9]));
        assert_eq!(certificate(&mut [21, 3, 3, 0, 2, 2, 70].as_slice()).unwrap(), None, "an alert");
        assert!(certificate(&mut [HANDSHAKE, 3, 3, 0, 9].as_slice()).is_err());
    }

    #[test]
    fn the_lengths_in_the_offer_are_right() {
        // Behind no session, ten suites and no compression stands the length of the extensions.
        let at = 1 + 2 + 20 + 2;
        assert_eq!(usize::from(u16::from_be_bytes([OFFER[at], OFFER[at + 1]])), OFFER.len() - at - 2);
        let hello = client_hello().unwrap();
        assert_eq!(usize::from(u16::from_be_bytes([hello[3], hello[4]])), hello.len() - 5);
        assert!(message(&hello[5..]).unwrap().2.is_empty());
    }

    #[test]
    fn answers() {
        for (says, expected) in
            [(&b"N"[..], Some(Answer::Plain)), (b"S", Some(Answer::Tls(None))), (b"E", None)]
        {
            let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
            let address = listener.local_addr().unwrap();
            let server = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                stream.read_exact(&mut [0; 8]).unwrap();
                stream.write_all(says).unwrap();
            });
            let answer = ask(address);
            server.join().unwrap();
            match expected {
                Some(expected) => assert_eq!(answer, expected),
                None => assert!(matches!(answer, Answer::Unreached(_)), "{answer:?}"),
            }
        }
    }
}
