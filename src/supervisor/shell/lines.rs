//! The last lines that a program wrote, and who wants to know of further ones.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::control::protocol::Line;

/// How many of the last lines are kept.
const LINES: usize = 200;
/// How much of them, in bytes.
const BYTES: usize = 64 * 1024;
/// How much of one line, in bytes.
const LINE: usize = 1024;
/// How many lines a follower may be behind before it misses some.
const BEHIND: usize = 256;

/// A program's last lines, over all its runs. Nothing is allocated before the first one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lines(Rc<RefCell<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    /// The lines, one after the other.
    text: VecDeque<u8>,
    /// How long each is.
    lengths: VecDeque<u16>,
    /// How many there have been.
    count: u64,
    dropped: u64,
    followers: Vec<Sender<Line>>,
}

impl Lines {
    /// Keeps a line, which stands here without its newline.
    pub(crate) fn push(&self, line: &[u8]) {
        let mut inner = self.0.borrow_mut();
        let line = if let [line @ .., b'\r'] = line { line } else { line };
        let kept = line.get(..LINE).unwrap_or(line);
        inner.count += 1;
        while inner.lengths.len() >= LINES || inner.text.len() + kept.len() > BYTES {
            let Some(length) = inner.lengths.pop_front() else { break };
            inner.text.drain(..usize::from(length));
        }
        inner.text.extend(kept);
        inner.lengths.push_back(u16::try_from(kept.len()).unwrap_or(0));
        if !inner.followers.is_empty() {
            let line = Line { seq: inner.count, text: String::from_utf8_lossy(kept).into_owned() };
            // One that is behind misses it, and sees so by the number.
            inner.followers.retain(|to| !matches!(to.try_send(line.clone()), Err(TrySendError::Closed(_))));
        }
    }

    /// The last lines, the oldest first: so many, or all that are kept.
    pub(crate) fn last(&self, count: Option<usize>) -> Vec<Line> {
        let inner = self.0.borrow();
        let skip = inner.lengths.len().saturating_sub(count.unwrap_or(LINES));
        let first = inner.count - u64::try_from(inner.lengths.len()).unwrap_or(0);
        let mut at = 0;
        let mut lines = Vec::new();
        for (seq, &length) in (first + 1..).zip(&inner.lengths) {
            let end = at + usize::from(length);
            if lines.len() + skip < inner.lengths.len() && seq > first + u64::try_from(skip).unwrap_or(0) {
                let bytes: Vec<u8> = inner.text.range(at..end).copied().collect();
                lines.push(Line { seq, text: String::from_utf8_lossy(&bytes).into_owned() });
            }
            at = end;
        }
        lines
    }

    /// Every further line from here on. One who does not keep up misses lines; their numbers show that.
    #[allow(dead_code, reason = "for the control socket and the journal of events")]
    pub(crate) fn follow(&self) -> Receiver<Line> {
        let (to, lines) = channel(BEHIND);
        let mut inner = self.0.borrow_mut();
        inner.followers.retain(|follower| !follower.is_closed());
        inner.followers.push(to);
        lines
    }

    /// The number of the last line.
    pub(crate) fn count(&self) -> u64 {
        self.0.borrow().count
    }

    /// How many lines were dropped for want of a reader.
    #[allow(dead_code, reason = "for the control socket and the journal of events")]
    pub(crate) fn dropped(&self) -> u64 {
        self.0.borrow().dropped
    }

    /// So many more were.
    pub(crate) fn add_dropped(&self, lines: u64) {
        self.0.borrow_mut().dropped += lines;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(lines: &[Line]) -> Vec<&str> {
        lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn the_last_ones_are_kept_with_their_numbers() {
        let lines = Lines::default();
        assert_eq!(lines.last(None), []);
        for number in 1..=1000 {
            lines.push(format!("line {number}").as_bytes());
        }
        assert_eq!(lines.last(None).len(), LINES);
        assert_eq!(lines.last(Some(0)), []);
        let last = lines.last(Some(2));
        assert_eq!((texts(&last), last[0].seq), (vec!["line 999", "line 1000"], 999));
        assert_eq!(lines.count(), 1000);
    }

    #[test]
    fn long_lines_are_cut_and_all_together_bounded() {
        let lines = Lines::default();
        for _ in 0..LINES {
            lines.push(&[b'x'; 100_000]);
        }
        lines.push(b"not \xff UTF-8\r");
        let last = lines.last(None);
        assert_eq!(last.len(), BYTES / LINE);
        assert_eq!(last.last().unwrap().text, "not \u{fffd} UTF-8");
        assert_eq!(last[0].text.len(), LINE);
    }

    #[test]
    fn followers_hear_of_further_lines_and_a_slow_one_misses_some() {
        let lines = Lines::default();
        lines.push(b"before");
        let mut following = lines.follow();
        drop(lines.follow());
        for number in 0..BEHIND + 5 {
            lines.push(number.to_string().as_bytes());
        }
        assert_eq!(following.try_recv().unwrap(), Line { seq: 2, text: "0".into() });
        let mut count = 1;
        while following.try_recv().is_ok() {
            count += 1;
        }
        assert_eq!(count, BEHIND);
        lines.push(b"after");
        let seq = u64::try_from(BEHIND).unwrap() + 7;
        assert_eq!(following.try_recv().unwrap(), Line { seq, text: "after".into() });
        drop(following);
        lines.push(b"nobody");
        assert!(lines.0.borrow().followers.is_empty());
    }
}
