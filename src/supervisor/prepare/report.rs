//! What the child says to PID 1: one JSON document a packet.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::protocol::{REPORT_MAX, Report, Verdict};

/// The longest text of a report, in bytes: JSON writes a byte as six at most (`\u0001`), and a verdict has two texts.
const TEXT_MAX: usize = REPORT_MAX / 16;

/// The child's end of the report socket.
pub(super) struct Reporter {
    socket: OwnedFd,
    about: Cell<&'static str>,
}

impl Reporter {
    /// Reports over `socket`, which is `SOCK_SEQPACKET`.
    pub(super) fn over(socket: OwnedFd) -> Self {
        Reporter { socket, about: Cell::new("prepare") }
    }

    /// What the notes from here on are about.
    pub(super) fn about(&self, what: &'static str) {
        self.about.set(what);
    }

    /// Something that a person should know. A note that cannot be sent is written to standard error.
    pub(super) fn note(&self, text: impl AsRef<str>) {
        self.say(false, text.as_ref());
    }

    /// Something that a person should look at.
    pub(super) fn warn(&self, text: impl AsRef<str>) {
        self.say(true, text.as_ref());
    }

    fn say(&self, warning: bool, text: &str) {
        let note = Report::Note { warning, about: self.about.get().into(), text: one_line(text) };
        if self.send(&note, None).is_err() {
            eprintln!("{}", one_line(text));
        }
    }

    /// A first boot is under way.
    pub(super) fn initializing(&self) {
        if let Err(error) = self.send(&Report::Initializing, None) {
            eprintln!("cannot report the first boot: {error}");
        }
    }

    /// Hands over the locked descriptor of the data directory.
    ///
    /// # Errors
    /// When the packet cannot be sent: PID 1 would then not hold the lock.
    pub(super) fn keeper(&self, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        self.send(&Report::Keeper, Some(descriptor))
    }

    /// The end.
    ///
    /// # Errors
    /// When the packet cannot be sent, for PID 1 is gone.
    pub(super) fn verdict(&self, verdict: Verdict) -> io::Result<()> {
        let verdict = match verdict {
            Verdict::Wait { cause } => Verdict::Wait { cause: one_line(&cause) },
            Verdict::Failed { cause, remedy } => {
                Verdict::Failed { cause: one_line(&cause), remedy: one_line(&remedy) }
            }
            Verdict::Refused { cause, remedy } => {
                Verdict::Refused { cause: one_line(&cause), remedy: one_line(&remedy) }
            }
            Verdict::Start(_)
            | Verdict::Adopt { .. }
            | Verdict::Locked
            | Verdict::Learnt(_)
            | Verdict::Done => verdict,
        };
        self.send(&Report::Verdict(verdict), None)
    }

    fn send(&self, report: &Report, descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let packet = serde_json::to_vec(report)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let descriptors: Vec<BorrowedFd<'_>> = descriptor.into_iter().collect();
        if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(io::Error::other("no room for the descriptor"));
        }
        sendmsg(self.socket.as_fd(), &[IoSlice::new(&packet)], &mut ancillary, SendFlags::NOSIGNAL)?;
        Ok(())
    }
}

/// One line of at most [`TEXT_MAX`] bytes: a report is a log line.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(TEXT_MAX));
    for part in text.lines().map(str::trim_end).filter(|part| !part.is_empty()) {
        if !line.is_empty() {
            line.push_str(" | ");
        }
        for character in part.chars() {
            if line.len() + character.len_utf8() > TEXT_MAX - '…'.len_utf8() {
                line.push('…');
                return line;
            }
            line.push(character);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_one_and_long_ones_are_cut() {
        assert_eq!(one_line("a\n\nb \n"), "a | b");
        assert_eq!(one_line(""), "");
        let long = one_line(&"ä".repeat(REPORT_MAX));
        assert!(long.len() <= TEXT_MAX && long.ends_with('…'));
    }

    #[test]
    fn the_longest_verdict_fits_a_packet() {
        let text = one_line(&"\u{1}".repeat(REPORT_MAX));
        let report = Report::Verdict(Verdict::Refused { cause: text.clone(), remedy: text });
        assert!(serde_json::to_vec(&report).unwrap().len() <= REPORT_MAX);
    }
}
