//! SCRAM-SHA-256 verifiers (RFC 5802, RFC 7677) in the form that PostgreSQL stores (`src/common/scram-common.c`).
//! `CREATE ROLE ... PASSWORD '<verifier>'` takes one as it is, so that no password reaches a statement, a log or an
//! argument.

use base64ct::{Base64, Encoding};
use hmac::{Hmac, Mac};
use pbkdf2::pbkdf2_hmac;
use sha2::{Digest, Sha256};
use stringprep::{saslprep, tables};

/// Rounds of the key derivation: PostgreSQL's `SCRAM_SHA_256_DEFAULT_ITERATIONS`.
pub const ITERATIONS: u32 = 4096;

/// `SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>`. `salt`: 16 random bytes (`SCRAM_DEFAULT_SALT_LEN`).
pub fn verifier(password: &str, salt: &[u8; 16], iterations: u32) -> String {
    let prepared = prepared(password);
    let mut salted = [0_u8; 32];
    pbkdf2_hmac::<Sha256>(prepared.as_bytes(), salt, iterations, &mut salted);
    let client_key = hmac(&salted, b"Client Key");
    let stored_key: [u8; 32] = Sha256::digest(client_key).into();
    let server_key = hmac(&salted, b"Server Key");
    let base64 = |bytes: &[u8]| Base64::encode_string(bytes);
    format!("SCRAM-SHA-256${iterations}:{}${}:{}", base64(salt), base64(&stored_key), base64(&server_key))
}

/// SASLprep as PostgreSQL and its clients do it (`src/common/saslprep.c`): a password that it prohibits is used as it
/// is. They look for prohibited and unassigned characters *before* the normalization, which replaces some of them (a
/// squared letter that Unicode 3.2 does not have, the tone marks U+0340 and U+0341) by innocent ones; hence the look
/// ahead.
fn prepared(password: &str) -> String {
    let dropped = |c: char| tables::commonly_mapped_to_nothing(c) && !tables::non_ascii_space_character(c);
    let mut kept = password.chars().filter(|c| !dropped(*c)).peekable();
    let refused = kept.peek().is_none()
        || kept
            .any(|c| tables::unassigned_code_point(c) || tables::change_display_properties_or_deprecated(c));
    match saslprep(password) {
        Ok(prepared) if !refused => prepared.into_owned(),
        _ => password.to_owned(),
    }
}

fn hmac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    // HMAC fills a key up with zeros to its block of 64 bytes; a whole block cannot have a wrong length.
    let mut block = [0_u8; 64];
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    let mut mac = Hmac::<Sha256>::new(&block.into());
    mac.update(message);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys are proved by the signatures that RFC 7677 prints: the server's is made with the server key, and the
    /// client's proof yields the client key, of which the stored key is the digest.
    #[test]
    fn the_example_of_rfc_7677() {
        let decoded = |text: &str| -> Vec<u8> { Base64::decode_vec(text).unwrap() };
        let salt = decoded("W22ZaJ0SNY7soEsUEjb6gQ==");
        let made = verifier("pencil", salt.as_slice().try_into().unwrap(), 4096);
        let keys = made.strip_prefix("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$").unwrap();
        let (stored, server) = keys.split_once(':').unwrap();
        let key = |text: &str| -> [u8; 32] { decoded(text).try_into().unwrap() };

        let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let message = format!(
            "n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r={nonce}"
        );
        let signature = hmac(&key(server), message.as_bytes());
        assert_eq!(Base64::encode_string(&signature), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        let mask = hmac(&key(stored), message.as_bytes());
        let proof = decoded("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        let client_key: Vec<u8> = proof.iter().zip(mask).map(|(a, b)| a ^ b).collect();
        let digest: [u8; 32] = Sha256::digest(client_key).into();
        assert_eq!(digest, key(stored));
    }

    /// `ALTER ROLE ... PASSWORD` of PostgreSQL 15 stored these.
    #[test]
    fn as_postgresql_stores_it() {
        let table = [
            (
                "pencil",
                "ZXWgPnpiSRjrqqrALLjpTA==$OLhlEx62aCg8Z2G8ngQkTGrXWHdm67OIGXw5jSzATFQ=:Aro6fBkWUI/zYcpDUB1mondEed5iyfKI4lAXnfBBiZk=",
            ),
            (
                "I\u{ad}X \u{aa} \u{2168}",
                "eH2M47XAx1HVnqPAE2TVHg==$AZnJYOkP+7jbJvg6oRMnrC6PQ/ezYLOEghRNpD89he4=:6nGDJVRJqQVnSnpw4v75MR1Dyf5B4v2DYNfop1/BtJA=",
            ),
            // Assigned after Unicode 3.2, and normalized to a plain letter: used as it is.
            (
                "a\u{1f130}b",
                "f4bitUXfcsJEviQ+hElWqw==$lq0JL1KVeZfsab1u3KLYhHvCnzCH4JhxaqrlG9oSVfk=:rq8h698vP2+jQwHVIGKJmsOmQnzgn1yDcVyozSgm528=",
            ),
            // Mapped to nothing at all.
            (
                "\u{ad}",
                "/LDsaR6phK+rYb5/VPSTlQ==$iynb9E7x79PAgcG3GBZe6l/ee7KbFubMVfJBqjZtjRo=:UMWBZdBdnqxML6HQ2V5EaoWxZgjMeh9hekb4gVEA2tc=",
            ),
            // Right to left, ending left to right.
            (
                "\u{627}1",
                "0iCyBcynl19Y8N3DiYTCyQ==$I+6fBkRMB9daLVgnUhwYpTBYsZkkMABsxgAVp/iTzwo=:vv6cyNQXDrZoYy+vEt2YsVjgPYNi1o3/6rSTFxRMgZk=",
            ),
            (
                "x\u{a0}y\u{2003}z",
                "pPFqeGiNfDBtmciXXj2XBQ==$EXbCsL6RO4PLVhiansNn5+8TR+jEldPj1HrKNMTERGQ=:xQLtifIM6EzwJ7MJiSvRQgBoGrCT0iYGl6RppfZ+LIc=",
            ),
            (
                "tab\tnewline\n",
                "RZAQvC+W/1FNoWDXcd3WDw==$mXM4aWoARxj7mlPSh9hzn3c+OSDY+3qNH0xQIW2DbcI=:5V/NrAmnx/tuExcsjHl1+Z5cNib6Ax59Ug20hysppb8=",
            ),
            (
                "\u{fb01}ne\u{344}",
                "64RgOF6oReRvFhsobhmKXA==$L0WwgIqHP4hb4os3V7NfsjbXa1S8qVws302rriFHA6s=:wF7HcqSYECgT8MEhRkemN/mTR3tRy9fU2bxw36Ha1UA=",
            ),
            (
                "cafe\u{301}",
                "QtXYVZcd5mQVQemUPgEReg==$1L7nLq84bixRLiJAK+RiJiUZOXwbO4hKGnQHa4OeK9c=:XaTNivhmyhCGv4W9NxFcjAZy8MyuEuAWUmKkYDHZeTI=",
            ),
            // The second is prohibited.
            (
                "\u{1806}a\u{340}",
                "55heOGMIcOg0oOEPLsX13Q==$3oyE/ZUGAJkXkw4YHRTgTj3DSPHBpQgNYzHo9VzAYWk=:nMU+ZVxcQc0Q3uSf8rGcb4WmnpPKtyip6dF6SPFh4Zw=",
            ),
            (
                "\u{627}x\u{628}",
                "5KS+owrnlfiZqbjfZBqpOg==$A9CxMz3miILSSVWv6M8UUHmgvX0ZCsL8p0KUg9QOKWM=:K5WW0cKsUHv7xPZUtB1vUlXJiqFIGICqURptXtxvSWc=",
            ),
            // Both a space and nothing in the tables of SASLprep.
            (
                "a\u{200b}b",
                "lsK63l37+baqjrmMU4nuyg==$UIVi98iS8Yz7YvOU9qGtQv8F+bSU5z6K6ZrnjlBD0Bc=:x14rxFjAkNnbaEE8Gud8cqmvhmwH9mFbbbLcmtHsIPQ=",
            ),
            (
                "\u{200b}",
                "kzyjcNifwqfD/COeLKS4MQ==$6Lf/CsVq4jwP7dFKeomnV3nQy208otT7D/iybor/5ps=:F5Of5ljz/UMV1SEJg2iV6stH11ftYnZWUsR7czhfWBw=",
            ),
            // One ligature that becomes many words.
            (
                "\u{fdfa}",
                "Vtu75wg0YVQs8c556fsDHg==$o6TtkX1qITdCaoES3goWLsu3UOP3RuvO8xd8D4qdlAA=:jIO4JSIu9YeCoZ2CwlIdRw8RERh0NpEot2jCvSf6yeA=",
            ),
        ];
        for (password, stored) in table {
            let salt = Base64::decode_vec(stored.split('$').next().unwrap()).unwrap();
            let made = verifier(password, salt.as_slice().try_into().unwrap(), ITERATIONS);
            assert_eq!(made, format!("SCRAM-SHA-256$4096:{stored}"), "{password:?}");
        }
    }
}
