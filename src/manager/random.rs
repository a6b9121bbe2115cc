//! Random bytes of the kernel, and names made of them.

use std::fs::File;
use std::io::{self, Read};

/// `N` random bytes.
///
/// # Errors
/// `/dev/urandom` cannot be read.
pub fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A random UUID (RFC 9562, version 4), such as names a request.
///
/// # Errors
/// As [`bytes`].
pub fn uuid() -> io::Result<String> {
    let [a, b, c, d, e, f, version, h, variant, rest @ ..] = bytes::<16>()?;
    let (version, variant) = (version & 0x0f | 0x40, variant & 0x3f | 0x80);
    let [j, k, l, m, n, o, p] = rest;
    Ok(format!(
        "{a:02x}{b:02x}{c:02x}{d:02x}-{e:02x}{f:02x}-{version:02x}{h:02x}-{variant:02x}{j:02x}-{k:02x}{l:02x}{m:02x}{n:02x}{o:02x}{p:02x}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_a_uuid() {
        let uuid = uuid().unwrap();
        let parts: Vec<usize> = uuid.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12], "{uuid}");
        assert_eq!(uuid.as_bytes()[14], b'4', "{uuid}");
        assert!(b"89ab".contains(&uuid.as_bytes()[19]), "{uuid}");
        assert_ne!(uuid, super::uuid().unwrap());
    }
}
