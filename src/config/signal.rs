//! Signals by the names that they are typed with.

use nix::sys::signal::Signal;

/// Those that do not ask a program to end: they stop it, let it go on, or are about its children.
const OTHERS: [Signal; 6] =
    [Signal::SIGCHLD, Signal::SIGCONT, Signal::SIGSTOP, Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU];

/// Those that may ask a program to end.
fn all() -> impl Iterator<Item = Signal> {
    Signal::iterator().filter(|signal| !OTHERS.contains(signal))
}

/// The number of a signal, by its name with or without `SIG`.
pub(super) fn parse(text: &str) -> Option<i64> {
    let bare = text.strip_prefix("SIG").unwrap_or(text);
    all().find(|signal| signal.as_str().strip_prefix("SIG") == Some(bare)).map(|signal| signal as i64)
}

/// The name of a signal, by its number.
pub(super) fn write(number: i64) -> String {
    all()
        .find(|signal| *signal as i64 == number)
        .map_or_else(|| number.to_string(), |signal| signal.as_str().to_owned())
}

/// All names, for messages.
pub(super) fn names() -> String {
    all().map(Signal::as_str).collect::<Vec<_>>().join(", ")
}

/// The known name that a misspelt one is nearest to.
pub(super) fn nearest(text: &str) -> Option<&'static str> {
    super::mistake::nearest(text, all().map(Signal::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for (text, wanted) in [
            ("SIGTERM", Some(15)),
            ("TERM", Some(15)),
            ("SIGINT", Some(2)),
            ("QUIT", Some(3)),
            ("SIGKILL", Some(9)),
            ("SIGWINCH", Some(28)),
            ("SIGSTOP", None),
            ("CHLD", None),
            ("sigterm", None),
            ("SIGSIGTERM", None),
            ("15", None),
            ("SIG", None),
            ("", None),
        ] {
            assert_eq!(parse(text), wanted, "{text}");
        }
        for signal in all() {
            assert_eq!(write(signal as i64), signal.as_str());
            assert_eq!(parse(signal.as_str()), Some(signal as i64));
        }
        assert_eq!(nearest("SIGTEM"), Some("SIGTERM"));
    }
}
