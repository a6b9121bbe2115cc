//! What a client of the control socket may send, in whatever pieces: it is read or refused, never more is kept than
//! a request may have, and each whole line is found once.
//!
//! `cargo +nightly fuzz run control_request`
#![no_main]

use libfuzzer_sys::fuzz_target;
use polardb_manager::control::protocol::{Code, REQUEST_MAX};
use polardb_manager::control::request::{Lines, parse};

fuzz_target!(|data: &[u8]| {
    // The first byte says how large the pieces are.
    let Some((&size, data)) = data.split_first() else { return };
    let mut lines = Lines::default();
    let mut found = 0;
    for piece in data.chunks(usize::from(size) + 1) {
        lines.push(piece);
        loop {
            match lines.next_line() {
                Ok(Some(line)) => {
                    assert!(line.len() < REQUEST_MAX && !line.contains(&b'\n'));
                    found += 1;
                    if let Err(refusal) = parse(&line) {
                        assert_eq!(refusal.code, Code::BadRequest);
                    }
                }
                Ok(None) => break,
                Err(refusal) => {
                    assert_eq!(refusal.code, Code::TooLong);
                    return;
                }
            }
        }
    }
    assert_eq!(found, data.iter().filter(|&&byte| byte == b'\n').count());
});
