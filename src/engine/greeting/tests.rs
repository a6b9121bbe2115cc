use std::os::unix::net::UnixListener;
use std::thread;

use super::*;

const SOON: Duration = Duration::from_secs(20);

/// As PostgreSQL 15 sends it while it recovers.
const STARTING: &[u8] =
    b"E\0\0\0\x52SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0Fpostmaster.c\0L2420\0\0";

fn error(code: &str) -> Vec<u8> {
    let body = format!("SFATAL\0C{code}\0Mwords\0\0");
    [&b"E"[..], &(u32::try_from(body.len()).unwrap() + 4).to_be_bytes(), body.as_bytes()].concat()
}

fn first_words(bytes: &[u8]) -> io::Result<(Greeting, bool)> {
    read_greeting(&mut &*bytes)
}

#[test]
fn greetings() {
    assert_eq!(first_words(b"R\0\0\0\x08\0\0\0\0").unwrap(), (Greeting::Welcome, true), "let in");
    assert_eq!(first_words(b"R\0\0\0\x08\0\0\0\x03").unwrap(), (Greeting::Welcome, false), "a password");
    let scram = b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0";
    assert_eq!(first_words(scram).unwrap(), (Greeting::Welcome, false));
    let later = [&b"N\0\0\0\x05\0"[..], b"v\0\0\0\x04", scram].concat();
    assert_eq!(first_words(&later).unwrap().0, Greeting::Welcome);
    let (greeting, session) = first_words(STARTING).unwrap();
    let message = "the database system is starting up".to_owned();
    assert_eq!(greeting, Greeting::Refusal { code: "57P03".into(), message });
    assert!(!session);
    let (old, _) = first_words(b"Ecould not fork new process for connection: no memory\n\0").unwrap();
    let message = "could not fork new process for connection: no memory".to_owned();
    assert_eq!(old, Greeting::Refusal { code: String::new(), message });
}

#[test]
fn what_is_no_greeting() {
    assert_eq!(first_words(b"").unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(first_words(b"R\0\0\0\x08\0").unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    for bytes in [&b"HTTP/1.1 200 OK"[..], b"R\0\0\0\0", b"S\0\0\0\x04", &b"N\0\0\0\x04".repeat(9)] {
        assert_eq!(first_words(bytes).unwrap_err().kind(), io::ErrorKind::InvalidData, "{bytes:?}");
    }
}

#[test]
fn who_takes_connections() {
    for (code, takes) in [
        ("57P03", false),
        ("53300", false),
        ("57P01", false),
        ("XX000", false),
        ("28000", true),
        ("28P01", true),
        ("3D000", true),
    ] {
        assert_eq!(first_words(&error(code)).unwrap().0.takes_connections(), takes, "{code}");
    }
    assert!(Greeting::Welcome.takes_connections());
}

#[test]
fn the_packet() {
    let packet = startup_packet();
    assert_eq!(packet.len(), u32::from_be_bytes(packet[..4].try_into().unwrap()) as usize);
    assert_eq!(&packet[4..8], [0, 3, 0, 0]);
    assert!(packet.ends_with(b"\0application_name\0polarctl\0\0"));
}

/// A data directory whose pid file names `port` and a folder, in which a server answers one client with `answer`.
fn served(answer: Vec<u8>) -> (tempfile::TempDir, thread::JoinHandle<Vec<u8>>) {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join(".s.PGSQL.7")).unwrap();
    let said = format!("1\n{0}\n1\n7\n{0}\n", dir.path().display());
    std::fs::write(dir.path().join("postmaster.pid"), said).unwrap();
    let server = thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut asked = vec![0; startup_packet().len()];
        stream.read_exact(&mut asked).unwrap();
        assert_eq!(asked, startup_packet());
        stream.write_all(&answer).unwrap();
        let mut farewell = Vec::new();
        stream.read_to_end(&mut farewell).unwrap();
        farewell
    });
    (dir, server)
}

#[test]
fn a_session_is_ended_after_it_has_begun() {
    let begun = [&b"R\0\0\0\x08\0\0\0\0S\0\0\0\x08a\0b\0"[..], b"K\0\0\0\x0c12345678Z\0\0\0\x05I"].concat();
    let (dir, server) = served(begun);
    // The pid file knows better than the configuration.
    let elsewhere = [PathBuf::from("/nowhere")];
    assert_eq!(greet(dir.path(), &elsewhere, 5432, SOON), Ok(Greeting::Welcome));
    assert_eq!(server.join().unwrap(), [b'X', 0, 0, 0, 4]);
}

#[test]
fn a_request_for_a_password_is_left_unanswered() {
    let (dir, server) = served(b"R\0\0\0\x08\0\0\0\x03".to_vec());
    assert_eq!(greet(dir.path(), &[], 5432, SOON), Ok(Greeting::Welcome));
    assert_eq!(server.join().unwrap(), b"");
}

#[test]
fn nobody_answers() {
    let dir = tempfile::tempdir().unwrap();
    let folders = [dir.path().to_owned()];
    let words = |within| greet(dir.path(), &folders, 7, within).unwrap_err();
    assert!(words(SOON).ends_with(".s.PGSQL.7: nobody listens there"), "{}", words(SOON));
    assert!(greet(dir.path(), &[], 7, SOON).unwrap_err().contains("no socket"));
    let listener = UnixListener::bind(dir.path().join(".s.PGSQL.7")).unwrap();
    assert!(words(Duration::from_millis(50)).ends_with("no answer in time"));
    // The one that has timed out is in the queue. Whoever left at once would not be there for the other.
    let server = thread::spawn(move || (0..2).for_each(|_| drop(listener.accept())));
    assert!(words(SOON).ends_with("it hung up without an answer"));
    server.join().unwrap();
}
