//! A configuration file of any bytes: taken apart and put together it is the same, a setting that is made is read back,
//! and another one stays what it was.
//!
//! `cargo +nightly fuzz run conf_document`
#![no_main]

use libfuzzer_sys::fuzz_target;
use polardb_manager::engine::conf::{Document, Where};

fuzz_target!(|input: (Vec<u8>, String, bool)| {
    let (bytes, value, at_end) = input;
    let mut document = Document::parse(&bytes);
    assert_eq!(document.bytes(), bytes);
    if value.contains('\0') {
        return;
    }
    let other = document.get("b");
    document.set("a", &value, if at_end { Where::AtEnd } else { Where::InPlace });
    let mut again = Document::parse(&document.bytes());
    assert_eq!(again.get("a"), Some(value));
    assert_eq!(again.get("b"), other);
    again.unset("a");
    assert_eq!(again.get("a"), None);
});
