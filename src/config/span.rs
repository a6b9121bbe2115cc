//! Spans of time as they are typed: `250ms`, `45s`, `1m30s`, `2h`, `7d`.

use std::time::Duration;

/// The units, the longest first, in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// The longest span that is accepted, a hundred years, so that no sum of a point in time and spans overflows.
const LONGEST: Duration = Duration::from_secs(36_500 * 86_400);

/// Why a text is no span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// A number alone.
    NoUnit,
    /// Longer than a hundred years.
    TooLong,
    /// Anything else.
    Form,
}

/// Reads a span: numbers with a unit each, the longer units first, no unit twice, no fractions, no spaces.
pub(super) fn parse(text: &str) -> Result<Duration, Fault> {
    let mut rest = text;
    let mut total: u64 = 0;
    let mut units = UNITS.iter();
    if rest.is_empty() {
        return Err(Fault::Form);
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at_checked(digits).ok_or(Fault::Form)?;
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(letters).ok_or(Fault::Form)?;
        if number.is_empty() {
            return Err(Fault::Form);
        }
        if unit.is_empty() {
            return Err(if total == 0 && after.is_empty() { Fault::NoUnit } else { Fault::Form });
        }
        // The iterator only goes forward, so that a unit comes once and after the longer ones.
        let (_, millis) = units.find(|(name, _)| *name == unit).ok_or(Fault::Form)?;
        let number: u64 = number.parse().map_err(|_| Fault::TooLong)?;
        total = number.checked_mul(*millis).and_then(|part| total.checked_add(part)).ok_or(Fault::TooLong)?;
        rest = after;
    }
    let span = Duration::from_millis(total);
    if span > LONGEST { Err(Fault::TooLong) } else { Ok(span) }
}

/// Writes a span so that [`parse`] reads the same one, to the millisecond.
pub(super) fn write(span: Duration) -> String {
    let mut rest = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    // A span below two minutes reads best in seconds ("45s", "90s"); the others in the units that divide it.
    if rest < 120_000 && rest.is_multiple_of(1000) {
        return format!("{}s", rest / 1000);
    }
    let mut out = String::new();
    for (name, millis) in UNITS {
        if rest >= millis {
            out.push_str(&format!("{}{name}", rest / millis));
            rest %= millis;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spans() {
        for (text, wanted) in [
            ("0s", Ok(0)),
            ("0ms", Ok(0)),
            ("250ms", Ok(250)),
            ("45s", Ok(45_000)),
            ("1m30s", Ok(90_000)),
            ("2h", Ok(7_200_000)),
            ("7d", Ok(604_800_000)),
            ("1d2h3m4s5ms", Ok(93_784_005)),
            ("36500d", Ok(3_153_600_000_000)),
            ("36500d1ms", Err(Fault::TooLong)),
            ("99999999999999999999s", Err(Fault::TooLong)),
            ("18446744073709551615d", Err(Fault::TooLong)),
            ("45", Err(Fault::NoUnit)),
            ("0", Err(Fault::NoUnit)),
            ("1m30", Err(Fault::Form)),
            ("30s1m", Err(Fault::Form)),
            ("1s1s", Err(Fault::Form)),
            ("1.5s", Err(Fault::Form)),
            ("-1s", Err(Fault::Form)),
            ("1 s", Err(Fault::Form)),
            ("1S", Err(Fault::Form)),
            ("s", Err(Fault::Form)),
            ("", Err(Fault::Form)),
            ("1y", Err(Fault::Form)),
            ("٣s", Err(Fault::Form)),
        ] {
            assert_eq!(parse(text), wanted.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn spans_are_written_as_people_write_them() {
        for text in ["0s", "250ms", "45s", "90s", "2m", "2m30s", "1h", "7d", "1d12h"] {
            assert_eq!(write(parse(text).expect(text)), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(millis in 0u64..=3_153_600_000_000) {
            let span = Duration::from_millis(millis);
            prop_assert_eq!(parse(&write(span)), Ok(span));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*|[0-9dhms]{0,30}") {
            let _ = parse(&text);
        }
    }
}
