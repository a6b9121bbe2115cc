//! Certificates and keys as text (PEM), as far as it takes to tell whether a key fits a certificate.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use base64ct::{Base64, Encoding};

use crate::manager::cause::Cause;

/// More bytes no chain of certificates has.
const LONGEST: u64 = 1 << 20;
/// The kinds of keys in a `PRIVATE KEY` block, as DER names them: RSA, RSA-PSS, elliptic curves.
const RSA: [&[u8]; 2] = [b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01", b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a"];
const CURVE: &[u8] = b"\x2a\x86\x48\xce\x3d\x02\x01";
/// Tags of DER.
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;
const PUBLIC_KEY: u8 = 0xa1;

/// A file's text. It may hold a key, so it is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Pem(pub(super) Vec<u8>);

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pem")
    }
}

impl Pem {
    /// Reads a file with this process's own rights.
    ///
    /// # Errors
    /// It cannot be read, or is too long for what it is to be.
    pub fn read(path: &Path) -> Result<Self, Cause> {
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes));
        read.map_err(|error| Cause::of_file(path, error))?;
        Self::of(bytes, &path.display().to_string())
    }

    /// A text that somebody has given; `called` is what people call it.
    ///
    /// # Errors
    /// It is too long for what it is to be.
    pub fn of(bytes: Vec<u8>, called: &str) -> Result<Self, Cause> {
        if bytes.len() as u64 > LONGEST {
            let what = format!("{called} has more than {LONGEST} bytes");
            return Err(Cause::invalid("bad_certificate", what, "give a certificate or key in PEM"));
        }
        Ok(Pem(bytes))
    }

    /// The first certificate, as DER.
    pub(super) fn certificate(&self) -> Option<Vec<u8>> {
        let text = String::from_utf8_lossy(&self.0);
        blocks(&text).into_iter().find(|block| block.kind == "CERTIFICATE")?.der()
    }
}

/// A block of a PEM file.
pub(super) struct Block<'a> {
    kind: &'a str,
    body: &'a str,
    /// All of it, with its lines of begin and end.
    pub(super) whole: &'a str,
}

impl Block<'_> {
    fn der(&self) -> Option<Vec<u8>> {
        let text: String = self.body.split_whitespace().collect();
        Base64::decode_vec(&text).ok()
    }

    /// Whether it is a private key, in whatever form.
    pub(super) fn is_key(&self) -> bool {
        self.kind.ends_with("PRIVATE KEY")
    }
}

/// The blocks of a PEM file.
pub(super) fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, begun)) = rest.split_once("-----BEGIN ") {
        rest = begun;
        let Some((kind, body)) = begun.split_once("-----") else { break };
        let end = format!("-----END {kind}-----");
        let Some((body, behind)) = body.split_once(&end) else { continue };
        let length = "-----BEGIN ".len() + begun.len() - behind.len();
        let start = text.len() - begun.len() - "-----BEGIN ".len();
        let whole = text.get(start..start + length).unwrap_or_default();
        found.push(Block { kind, body, whole });
        rest = behind;
    }
    found
}

/// Whether a key fits a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// It does.
    Yes,
    /// It is of a kind whose public half does not stand in it.
    Unknown,
}

/// Whether a key fits the first certificate of a file.
///
/// # Errors
/// It does not; one of them is none; the key has a passphrase. Nothing of the key is in the error.
pub(super) fn fit(certificate: &Pem, key: &Pem) -> Result<Fit, Cause> {
    let refuse = |code, what: &str, next: &str| Err(Cause::invalid(code, what, next));
    let Some(certificate) = certificate.certificate() else {
        return refuse(
            "bad_certificate",
            "there is no certificate (PEM) in the certificate's file",
            "give one",
        );
    };
    if element(&certificate).is_none_or(|(tag, _, _)| tag != SEQUENCE) {
        return refuse("bad_certificate", "the certificate cannot be read: it is no DER", "give another one");
    }
    match public_half(key)? {
        Some(public) if certificate.windows(public.len()).any(|part| part == public) => Ok(Fit::Yes),
        Some(_) => refuse("key_mismatch", "the key is not that of the certificate", "give the two that fit"),
        None => Ok(Fit::Unknown),
    }
}

/// What of a key stands in its certificate, too; `None`: its kind keeps nothing of that.
///
/// # Errors
/// It is no key, or has a passphrase.
pub(super) fn public_half(key: &Pem) -> Result<Option<Vec<u8>>, Cause> {
    let refuse = |code, what: &str, next: &str| Err(Cause::invalid(code, what, next));
    let text = String::from_utf8_lossy(&key.0);
    let Some(key) = blocks(&text).into_iter().find(Block::is_key) else {
        return refuse("bad_key", "there is no private key (PEM) in the key's file", "give one");
    };
    if key.kind.starts_with("ENCRYPTED") || key.body.contains("ENCRYPTED") {
        let next =
            "take it off (openssl pkey -in FILE -out FILE), for nobody types it when the engine reloads";
        return refuse("passphrase", "the key has a passphrase", next);
    }
    let der = key.der();
    match der.as_deref().and_then(|der| half(key.kind, der)) {
        Some(public) => Ok(public.map(<[u8]>::to_vec)),
        None => refuse("bad_key", "the private key cannot be read: it is damaged", "give another one"),
    }
}

/// What of a key stands in its certificate, too: the modulus, or the first coordinate of the point. The outer `None`: it
/// is no key; the inner one: its kind keeps nothing of that.
fn half<'a>(kind: &str, der: &'a [u8]) -> Option<Option<&'a [u8]>> {
    let (_, body, _) = element(der).filter(|(tag, _, _)| *tag == SEQUENCE)?;
    match kind {
        "RSA PRIVATE KEY" => modulus(body).map(Some),
        "EC PRIVATE KEY" => Some(point(body)),
        "PRIVATE KEY" => {
            let (_, _, rest) = element(body)?;
            let (_, algorithm, rest) = element(rest)?;
            let (_, name, _) = element(algorithm)?;
            let (_, inner, _) = element(rest)?;
            if RSA.contains(&name) {
                let (_, body, _) = element(inner)?;
                return modulus(body).map(Some);
            }
            if name == CURVE {
                let (_, body, _) = element(inner)?;
                return Some(point(body));
            }
            Some(None)
        }
        _ => Some(None),
    }
}

fn modulus(body: &[u8]) -> Option<&[u8]> {
    let (_, _, rest) = element(body)?;
    let (tag, modulus, _) = element(rest)?;
    // A short one would be found in any certificate.
    (tag == INTEGER && modulus.len() >= 32).then_some(modulus)
}

fn point(body: &[u8]) -> Option<&[u8]> {
    let mut rest = body;
    while let Some((tag, content, behind)) = element(rest) {
        if tag == PUBLIC_KEY {
            let (_, bits, _) = element(content).filter(|(tag, _, _)| *tag == BIT_STRING)?;
            // The number of unused bits, the form of the point, its coordinates.
            let point = bits.get(2..)?;
            let whole = bits.get(1) == Some(&4);
            return point.get(..if whole { point.len() / 2 } else { point.len() }).filter(|x| x.len() >= 16);
        }
        rest = behind;
    }
    None
}

/// The first element of DER: its tag, its content, and what stands behind it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first > 0x80 {
        let count = usize::from(first & 0x7f);
        let digits = rest.get(..count).filter(|_| count <= 4)?;
        length = digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit));
        rest = rest.get(count..)?;
    }
    Some((tag, rest.get(..length)?, rest.get(length..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(text: &str) -> Pem {
        Pem(text.as_bytes().to_vec())
    }

    #[test]
    fn blocks_of_a_file() {
        let text = "words\n-----BEGIN A-----\nAAEC\n-----END A-----\n-----BEGIN B-----\n-----BEGIN RSA PRIVATE KEY-----\nAA==\n\
                    -----END RSA PRIVATE KEY-----\n";
        let found = blocks(text);
        let kinds: Vec<&str> = found.iter().map(|block| block.kind).collect();
        assert_eq!(kinds, ["A", "RSA PRIVATE KEY"]);
        assert_eq!(found[0].whole, "-----BEGIN A-----\nAAEC\n-----END A-----");
        assert_eq!((found[0].der(), found[1].is_key()), (Some(vec![0, 1, 2]), true));
    }

    #[test]
    fn elements() {
        assert_eq!(element(&[2, 1, 7, 9]), Some((2, &[7][..], &[9][..])));
        assert_eq!(element(&[2, 0x81, 1, 7]), Some((2, &[7][..], &[][..])));
        for broken in
            [&[][..], &[2], &[2, 2, 1], &[2, 0x85, 0, 0, 0, 0, 1, 1], &[2, 0x84, 0xff, 0xff, 0xff, 0xff]]
        {
            assert_eq!(element(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn what_is_no_certificate_and_no_key() {
        let certificate = pem("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n");
        for (certificate, key, code) in [
            (pem(""), pem(""), "bad_certificate"),
            (pem("-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----"), pem(""), "bad_certificate"),
            (certificate.clone(), pem("x"), "bad_key"),
            (
                certificate.clone(),
                pem("-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----"),
                "bad_key",
            ),
            (
                certificate.clone(),
                pem("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----"),
                "passphrase",
            ),
            (
                certificate.clone(),
                pem(
                    "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMAA=\n-----END RSA PRIVATE KEY-----",
                ),
                "passphrase",
            ),
        ] {
            assert_eq!(fit(&certificate, &key).unwrap_err().code(), code);
        }
        assert_eq!(format!("{:?}", pem("secret")), "Pem");
    }
}
