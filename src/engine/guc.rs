//! Values of parameters by their type and range, as the server's view `pg_settings` tells those: one value in two
//! spellings (`8MB`, `8192`) is the same.
//!
//! The server has the last word; this is for saying what is wrong before it is asked, and for comparing.

/// The type of a parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// `on`, `off` and their synonyms.
    Bool,
    /// A whole number in a unit such as `8kB`, within a range.
    Integer {
        /// The unit that a bare number counts.
        unit: Option<String>,
        /// The range, both ends included.
        range: (f64, f64),
    },
    /// A number.
    Real {
        /// The unit that a bare number counts.
        unit: Option<String>,
        /// The range, both ends included.
        range: (f64, f64),
    },
    /// One of these words; PostgreSQL has further ones that it does not list.
    Enum(Vec<String>),
    /// Any text.
    Text,
}

/// Sizes of the units of memory in bytes, the largest first.
const MEMORY: [(&str, f64); 5] =
    [("TB", 1_099_511_627_776.0), ("GB", 1_073_741_824.0), ("MB", 1_048_576.0), ("kB", 1024.0), ("B", 1.0)];
/// Lengths of the units of time in microseconds, the largest first.
const TIME: [(&str, f64); 6] = [
    ("d", 86_400_000_000.0),
    ("h", 3_600_000_000.0),
    ("min", 60_000_000.0),
    ("s", 1_000_000.0),
    ("ms", 1000.0),
    ("us", 1.0),
];

impl Kind {
    /// By the columns `vartype`, `unit`, `min_val`, `max_val` and `enumvals` of `pg_settings`.
    pub fn of(
        vartype: &str,
        unit: Option<&str>,
        range: (Option<&str>, Option<&str>),
        words: Vec<String>,
    ) -> Kind {
        let end = |text: Option<&str>, open: f64| text.and_then(|text| text.parse().ok()).unwrap_or(open);
        let range = (end(range.0, f64::NEG_INFINITY), end(range.1, f64::INFINITY));
        let unit = unit.map(str::to_owned);
        match vartype {
            "bool" => Kind::Bool,
            "integer" => Kind::Integer { unit, range },
            "real" => Kind::Real { unit, range },
            "enum" => Kind::Enum(words),
            _ => Kind::Text,
        }
    }

    /// A value as `pg_settings` shows it; `None` where only the server can tell.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn canonical(&self, text: &str) -> Result<Option<String>, String> {
        match self {
            Kind::Bool => match boolean(text) {
                Some(value) => Ok(Some(if value { "on" } else { "off" }.to_owned())),
                None => Err(format!("{} is neither on nor off", shown(text))),
            },
            Kind::Integer { unit, range } => {
                // Rust rounds halves away from zero, `rint` to even; no unit yields a half.
                let value = number(text, unit.as_deref())?.round_ties_even();
                within(text, value, *range, unit.as_deref())?;
                Ok(Some(format!("{value:.0}")))
            }
            Kind::Real { unit, range } => {
                let value = number(text, unit.as_deref())?;
                within(text, value, *range, unit.as_deref())?;
                Ok(Some(format!("{value}")))
            }
            Kind::Enum(words) => Ok(words.iter().find(|word| word.eq_ignore_ascii_case(text)).cloned()),
            Kind::Text => Ok(None),
        }
    }

    /// Whether two values mean the same; `false` also where only the server could tell.
    pub fn same(&self, one: &str, other: &str) -> bool {
        if one == other {
            return true;
        }
        match (self.canonical(one), self.canonical(other)) {
            (Ok(Some(one)), Ok(Some(other))) => one == other,
            _ => false,
        }
    }
}

fn shown(text: &str) -> String {
    let cut: String = text.chars().take(60).collect();
    format!("{cut:?}")
}

fn within(text: &str, value: f64, (min, max): (f64, f64), unit: Option<&str>) -> Result<(), String> {
    if value >= min && value <= max {
        return Ok(());
    }
    let unit = unit.map(|unit| format!(" in {unit}")).unwrap_or_default();
    Err(format!("{} is outside of {min} to {max}{unit}", shown(text)))
}

/// PostgreSQL's `parse_bool`: any beginning of `true`, `false`, `yes` and `no`; `on`, `off`, `of`; 1 and 0.
pub(super) fn boolean(text: &str) -> Option<bool> {
    let text = text.to_ascii_lowercase();
    let begins = |word: &str| !text.is_empty() && word.starts_with(text.as_str());
    match text.as_str() {
        "on" | "1" => Some(true),
        "off" | "of" | "0" => Some(false),
        _ if begins("true") || begins("yes") => Some(true),
        _ if begins("false") || begins("no") => Some(false),
        _ => None,
    }
}

/// A number in units of `base` (PostgreSQL's `parse_int` and `parse_real`).
fn number(text: &str, base: Option<&str>) -> Result<f64, String> {
    let malformed = || format!("{} is no number", shown(text));
    let trimmed = text.trim();
    let (value, suffix) = split_number(trimmed).ok_or_else(malformed)?;
    let suffix = suffix.trim();
    if suffix.is_empty() {
        return Ok(value);
    }
    let Some(base) = base else { return Err(format!("{}: this parameter has no unit", shown(text))) };
    let (table, size) = table_of(base).ok_or_else(malformed)?;
    let Some(at) = table.iter().position(|(name, _)| *name == suffix) else {
        let names: Vec<&str> = table.iter().map(|(name, _)| *name).collect();
        return Err(format!("{}: the units are {}", shown(text), names.join(", ")));
    };
    let of = |index: usize| table.get(index).map(|(_, length)| length / size);
    let value = value * of(at).unwrap_or(1.0);
    // A fraction is rounded to the next smaller unit: 1.1GB are 1126 MB.
    Ok(match of(at + 1) {
        Some(smaller) => (value / smaller).round_ties_even() * smaller,
        None => value,
    })
}

/// The table of units that a base unit such as `8kB` belongs to, and its size in the smallest of them.
fn table_of(base: &str) -> Option<(&'static [(&'static str, f64)], f64)> {
    let digits = base.bytes().take_while(u8::is_ascii_digit).count();
    let (count, name) = base.split_at(digits);
    let count: f64 = if count.is_empty() { 1.0 } else { count.parse().ok()? };
    let tables: [&'static [(&str, f64)]; 2] = [&MEMORY, &TIME];
    tables.into_iter().find_map(|table| {
        let (_, size) = table.iter().find(|(unit, _)| *unit == name)?;
        Some((table, count * size))
    })
}

/// The number at the begin, and what follows: as C's `strtol` with base 0 reads it, and `strtod` where it goes on.
fn split_number(text: &str) -> Option<(f64, &str)> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    if let Some(hex) = unsigned.strip_prefix("0x").or_else(|| unsigned.strip_prefix("0X")) {
        let end = hex.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(hex.len());
        let (digits, rest) = hex.split_at(end);
        let value = u64::from_str_radix(digits, 16).ok()?;
        return Some((sign * value as f64, rest));
    }
    let mut end = unsigned.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(unsigned.len());
    let (_, rest) = unsigned.split_at(end);
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let bare = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        let digits = bare.bytes().take_while(u8::is_ascii_digit).count();
        if digits > 0 {
            end += 1 + exponent.len() - bare.len() + digits;
        }
    }
    let (digits, rest) = unsigned.split_at(end);
    let octal = digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
    let value = if octal { i64::from_str_radix(digits, 8).ok()? as f64 } else { digits.parse().ok()? };
    Some((sign * value, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn integer(unit: &str, min: &str, max: &str) -> Kind {
        let unit = (!unit.is_empty()).then_some(unit);
        Kind::of("integer", unit, (Some(min), Some(max)), vec![])
    }

    #[test]
    fn as_postgresql_15_shows_them() {
        let memory = integer("kB", "64", "2147483647");
        let blocks = integer("8kB", "16", "1073741823");
        let time = integer("ms", "-1", "2147483647");
        let plain = integer("", "1", "262143");
        let table = [
            (&memory, "4MB", Some("4096")),
            (&memory, "4096", Some("4096")),
            (&memory, "1.1GB", Some("1153024")),
            (&memory, " 64 kB ", Some("64")),
            (&memory, "0x40", Some("64")),
            (&memory, "0100", Some("64")),
            (&memory, "65536B", Some("64")),
            (&blocks, "128MB", Some("16384")),
            (&blocks, "16384", Some("16384")),
            (&time, "1.5min", Some("90000")),
            (&time, "-1", Some("-1")),
            (&time, "1e3", Some("1000")),
            (&plain, "100", Some("100")),
            (&memory, "63", None),
            (&memory, "4mb", None),
            (&memory, "3000GB", None),
            (&memory, "4s", None),
            (&memory, "", None),
            (&memory, "MB", None),
            (&plain, "100MB", None),
            (&plain, "ten", None),
        ];
        for (kind, text, expected) in table {
            assert_eq!(kind.canonical(text).ok().flatten().as_deref(), expected, "{text}");
        }
        let real = Kind::of("real", None, (Some("0"), Some("1")), vec![]);
        assert!(real.same("0.5", "5e-1") && real.canonical("1.5").is_err());
    }

    #[test]
    fn words() {
        for (text, expected) in
            [("on", "on"), ("TRUE", "on"), ("y", "on"), ("1", "on"), ("of", "off"), ("N", "off")]
        {
            assert_eq!(Kind::Bool.canonical(text), Ok(Some(expected.to_owned())), "{text}");
        }
        for text in ["", "o", "2", "maybe", "on\n"] {
            assert!(Kind::Bool.canonical(text).is_err(), "{text}");
        }
        let kind = Kind::of("enum", None, (None, None), vec!["minimal".into(), "replica".into()]);
        assert_eq!(kind.canonical("Replica"), Ok(Some("replica".to_owned())));
        assert_eq!(kind.canonical("hot_standby"), Ok(None), "a word that is not listed");
        assert!(Kind::Text.same("a", "a") && !Kind::Text.same("a", "A"));
    }

    proptest! {
        #[test]
        fn any_text(text: String, unit in "(8?kB|MB|ms|min|)") {
            let kind = integer(&unit, "0", "100000");
            if let Ok(Some(value)) = kind.canonical(&text) {
                prop_assert!(kind.same(&value, &text));
            }
            let _ = Kind::Bool.canonical(&text);
        }
    }
}
