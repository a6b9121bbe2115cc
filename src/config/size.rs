//! Numbers of bytes as they are typed: `512B`, `64KiB`, `10MiB`, `1GiB`.

/// The units, the largest first.
const UNITS: [(&str, u64); 5] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Reads a whole number with one unit.
pub(super) fn parse(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, bytes) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*bytes)
}

/// Writes a number of bytes so that [`parse`] reads the same one.
pub(super) fn write(size: u64) -> String {
    let unit = UNITS.iter().find(|(_, bytes)| size >= *bytes && size.is_multiple_of(*bytes));
    match unit {
        Some((name, bytes)) => format!("{}{name}", size / bytes),
        None => format!("{size}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes() {
        for (text, wanted) in [
            ("0B", Some(0)),
            ("512B", Some(512)),
            ("64KiB", Some(65_536)),
            ("10MiB", Some(10_485_760)),
            ("1GiB", Some(1 << 30)),
            ("2TiB", Some(2 << 40)),
            ("18446744073709551615B", Some(u64::MAX)),
            ("18446744073709551616B", None),
            ("16777216TiB", None),
            ("10", None),
            ("10MB", None),
            ("10mib", None),
            ("10 MiB", None),
            ("1.5MiB", None),
            ("-1B", None),
            ("MiB", None),
            ("", None),
            ("٣B", None),
        ] {
            assert_eq!(parse(text), wanted, "{text}");
        }
        for text in ["0B", "512B", "4KiB", "10MiB", "1GiB", "1TiB"] {
            assert_eq!(write(parse(text).expect(text)), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(size: u64) {
            prop_assert_eq!(parse(&write(size)), Some(size));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*|[0-9KMGiB]{0,20}") {
            let _ = parse(&text);
        }
    }
}
