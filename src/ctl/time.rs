//! Spans and points in time, as they are typed and shown.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::config;

/// A limit of time.
///
/// # Errors
/// What is allowed.
pub(crate) fn parse_span(text: &str) -> Result<Duration, String> {
    config::span(text).ok_or_else(|| "a number with a unit is needed: 500ms, 60s, 5m, 1h30m".to_owned())
}

/// A point in time, or a span from the present; in RFC 3339.
///
/// # Errors
/// What is allowed.
pub(crate) fn parse_until(text: &str) -> Result<String, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at.to_string());
    }
    let at = config::span(text)
        .and_then(|span| SignedDuration::try_from(span).ok())
        .and_then(|span| Timestamp::now().checked_add(span).ok())
        .ok_or("a time with its zone (2026-01-31T12:00:00Z) or a span from here on (2h, 7d) is needed")?;
    Ok(whole_seconds(at))
}

/// The present, in RFC 3339.
pub(crate) fn present() -> String {
    whole_seconds(Timestamp::now())
}

fn whole_seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// How long ago a point in time was, if it is one; the future counts as no time ago.
pub(crate) fn ago(at: &str, now: Timestamp) -> Option<Duration> {
    let since = now.duration_since(at.parse().ok()?);
    Some(since.try_into().unwrap_or_default())
}

/// A span for people, in its two largest units.
pub(crate) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let (days, hours, minutes, rest) =
        (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let two = |large: u64, unit: &str, small: u64, part: &str| match small {
        0 => format!("{large}{unit}"),
        _ => format!("{large}{unit}{small}{part}"),
    };
    match (days, hours, minutes) {
        (0, 0, 0) if seconds < 10 => format!("{:.1}s", span.as_secs_f64()),
        (0, 0, 0) => format!("{rest}s"),
        (0, 0, _) => two(minutes, "m", rest, "s"),
        (0, _, _) => two(hours, "h", minutes, "m"),
        _ => two(days, "d", hours, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_for_people() {
        for (seconds, text) in [
            (0.0, "0.0s"),
            (1.25, "1.2s"),
            (59.0, "59s"),
            (60.0, "1m"),
            (185.0, "3m5s"),
            (3600.0, "1h"),
            (7260.0, "2h1m"),
            (86_400.0, "1d"),
            (270_000.0, "3d3h"),
        ] {
            assert_eq!(span(Duration::from_secs_f64(seconds)), text);
        }
    }

    #[test]
    fn points_in_time() {
        assert_eq!(parse_until("2026-01-31T13:00:00+01:00").unwrap(), "2026-01-31T12:00:00Z");
        let in_two_hours: Timestamp = parse_until("2h").unwrap().parse().unwrap();
        let left = in_two_hours.duration_since(Timestamp::now()).as_secs();
        assert!((7100..=7200).contains(&left), "{left}");
        for wrong in ["", "tomorrow", "2026-01-31", "12:00", "7"] {
            assert!(parse_until(wrong).is_err(), "{wrong}");
        }
        let now: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        assert_eq!(ago("2026-01-31T11:59:00Z", now), Some(Duration::from_secs(60)));
        assert_eq!(ago("2026-01-31T12:01:00Z", now), Some(Duration::ZERO));
        assert_eq!(ago("long ago", now), None);
    }
}
