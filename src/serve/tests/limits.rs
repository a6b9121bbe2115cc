//! Clients that are too many, too slow or too loud.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::bed::{Bed, SOON, read_response};
use super::locked;
use crate::serve::listen::{CONNECTIONS, HEAD_WITHIN};

const REQUEST: &[u8] = b"GET /livez HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

/// Whether the other side has hung up; waits for that until `within`.
fn is_closed(stream: &mut TcpStream, within: Duration) -> bool {
    stream.set_read_timeout(Some(within)).unwrap();
    match stream.read(&mut [0; 64]) {
        Ok(0) => true,
        Ok(_) => panic!("it was answered"),
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

#[test]
fn five_hundred_that_say_nothing() {
    let bed = Bed::new(vec![locked("engine")]);
    let begin = Instant::now();
    let mut silent: Vec<TcpStream> = (0..500).map(|_| bed.connect()).collect();
    for _ in 0..10 {
        assert_eq!(bed.get("/livez").status, 200);
    }
    assert!(begin.elapsed() < HEAD_WITHIN / 2, "they were in the way for {:?}", begin.elapsed());
    assert!(is_closed(&mut silent[0], SOON), "the first ones have given way");
    // The last ones were not in the way, and are served.
    let mut last = silent.pop().unwrap();
    last.write_all(REQUEST).unwrap();
    assert_eq!(read_response(last).status, 200);
}

#[test]
fn five_hundred_that_ask_at_once() {
    let bed = Bed::new(vec![locked("engine")]);
    let answered = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..500).map(|_| scope.spawn(|| bed.get("/livez").status == 200)).collect();
        clients
            .into_iter()
            .filter(|_| true)
            .map(|client| client.join().unwrap_or(false))
            .filter(|ok| *ok)
            .count()
    });
    assert_eq!(answered, 500);
    assert!(answered > CONNECTIONS);
}

#[test]
fn five_hundred_that_wait_for_a_supervisor_that_hangs() {
    let bed = Bed::new(vec![locked("engine")]);
    bed.told.hangs.store(true, Ordering::SeqCst);
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..500 {
            scope.spawn(|| assert_eq!(bed.get("/livez").status, 503));
        }
    });
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(10), "the last one waited for {took:?}");
    assert!(bed.told.asked.load(Ordering::SeqCst) <= 2, "each asks for itself");
}

#[test]
fn one_that_speaks_slowly() {
    let bed = Bed::new(vec![locked("engine")]);
    let mut slow = bed.connect();
    let begin = Instant::now();
    let mut rest = REQUEST.iter().cycle();
    // A byte at a time: the limit is one of the whole head.
    while !is_closed(&mut slow, Duration::from_millis(500)) {
        assert!(begin.elapsed() < HEAD_WITHIN + SOON, "it is never closed");
        if slow.write_all(&[*rest.next().unwrap()]).is_err() {
            break;
        }
    }
    assert!(begin.elapsed() >= HEAD_WITHIN / 2, "closed after {:?}", begin.elapsed());
    assert_eq!(bed.get("/livez").status, 200);
}

#[test]
fn heads_that_are_too_long() {
    let bed = Bed::new(vec![locked("engine")]);
    let field = format!("X: {}\r\n", "x".repeat(9000));
    assert_eq!(bed.get_with("/livez", &field).status, 431);
    assert_eq!(bed.get_with("/livez", &"X: y\r\n".repeat(80)).status, 431);
    assert_eq!(bed.get_with("/livez", &"X: y\r\n".repeat(40)).status, 200);
    assert!(matches!(bed.get(&format!("/{}", "x".repeat(9000))).status, 414 | 431));
    assert_eq!(bed.send("what?\r\n\r\n").status, 400);
}

#[test]
fn a_body_is_not_read() {
    let bed = Bed::new(vec![locked("engine")]);
    let mut stream = bed.connect();
    let length = 100 * 1024 * 1024;
    let head = format!("GET /livez HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let sent =
        std::iter::repeat_n([b'x'; 65536], length / 65536).take_while(|part| stream.write_all(part).is_ok());
    assert!(sent.count() * 65536 < length / 2, "it has read on and on");
}

#[test]
fn an_end_at_once() {
    let mut bed = Bed::new(vec![locked("engine")]);
    bed.told.hangs.store(true, Ordering::SeqCst);
    let mut idle = bed.connect();
    let mut waiting = bed.connect();
    waiting.write_all(REQUEST).unwrap();
    while bed.told.asked.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    let begin = Instant::now();
    bed.end();
    assert!(begin.elapsed() < Duration::from_millis(1400), "it took {:?}", begin.elapsed());
    assert!(is_closed(&mut idle, SOON) && is_closed(&mut waiting, SOON));
    assert!(TcpStream::connect(bed.address).is_err(), "nobody listens there");
}
