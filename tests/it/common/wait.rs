//! Waiting for a condition.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// Deadline of what takes milliseconds on an idle machine; wide, since the tests run beside each other.
pub const SOON: Duration = Duration::from_secs(20);
/// Deadline of a first boot or a crash recovery.
pub const BOOT: Duration = Duration::from_secs(60);

/// Looks every 10 ms until `look` has a value; panics with `what` at the deadline.
pub fn eventually<T>(what: &str, deadline: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(begin.elapsed() < deadline, "waited {deadline:?} in vain: {what}");
        sleep(Duration::from_millis(10));
    }
}

/// [`eventually`] for a condition without a value.
pub fn until(what: &str, deadline: Duration, mut look: impl FnMut() -> bool) {
    eventually(what, deadline, || look().then_some(()));
}
