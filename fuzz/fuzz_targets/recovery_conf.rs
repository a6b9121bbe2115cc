//! A `recovery.conf` of any bytes: it is followed or refused, and what is followed reads back from where it is written.
//!
//! `cargo +nightly fuzz run recovery_conf`
#![no_main]

use libfuzzer_sys::fuzz_target;
use polardb_manager::engine::conf::{Document, Where};
use polardb_manager::engine::recovery_conf::{TARGETS, read};

fuzz_target!(|input: (Vec<u8>, u8, bool)| {
    let (bytes, major, polardb) = input;
    let Ok(asked) = read(&bytes, major.into(), polardb) else { return };
    let mut document = Document::parse(b"");
    for (name, value) in &asked.settings {
        document.set(name, value, Where::AtEnd);
    }
    let again = Document::parse(&document.bytes());
    for (name, value) in &asked.settings {
        assert_eq!(again.get(name).as_ref(), Some(value));
    }
    let targets = asked.settings.iter().filter(|(name, value)| TARGETS.contains(name) && !value.is_empty());
    assert!(targets.count() <= 1);
});
