//! The pause before the next start after failures.

use std::time::Duration;

/// What the pause doubles from, after the first failure.
const STEP: Duration = Duration::from_millis(100);

/// The pause after the given number of failures in a row: `min` after the first, then 100 ms, 200 ms, 400 ms, ...,
/// never below `min`, never above `max`; no failure, no pause.
#[must_use]
pub fn backoff(failures: u32, min: Duration, max: Duration) -> Duration {
    let pause = match failures {
        0 => return Duration::ZERO,
        1 => Duration::ZERO,
        n => STEP.checked_mul(2u32.checked_pow(n - 2).unwrap_or(u32::MAX)).unwrap_or(max),
    };
    pause.max(min).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_from_100_ms_and_stays_within_its_bounds() {
        let ms = Duration::from_millis;
        for (failures, min, max, wanted) in [
            (0, 0, 30_000, 0),
            (1, 0, 30_000, 0),
            (2, 0, 30_000, 100),
            (3, 0, 30_000, 200),
            (10, 0, 30_000, 25_600),
            (11, 0, 30_000, 30_000),
            (u32::MAX, 0, 30_000, 30_000),
            (1, 1_000, 30_000, 1_000),
            (3, 1_000, 30_000, 1_000),
            (6, 1_000, 30_000, 1_600),
            (0, 1_000, 30_000, 0),
        ] {
            assert_eq!(backoff(failures, ms(min), ms(max)), ms(wanted), "after {failures} failures");
        }
    }
}
