//! What a program writes: passed on line by line to our own standard output, and its last lines kept.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use jiff::Timestamp;
use rustix::pipe::{PipeFlags, pipe_with};
use serde_json::json;
use tokio::net::unix::pipe::Receiver;

use super::lines::Lines;
use super::stdio::Stream;

/// How many of the last lines of a run are evidence for the verdict on its end, and how much of each, in bytes.
const TAIL_LINES: usize = 20;
const TAIL_LINE: usize = 512;
/// A longer line goes in pieces, in bytes: a line without an end must not fill our memory.
const LINE_MAX: usize = 64 * 1024;
/// The same where something is put around each piece: a reader that fails in the middle of one spoils little.
const FRAMED_MAX: usize = 16 * 1024;
/// How much is read in one turn, in bytes: a flood must not keep PID 1 from its other work.
const TURN: usize = 256 * 1024;

/// How lines are passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Form {
    /// As they are.
    Plain,
    /// `NAME | line`; a further piece of a long line: `NAME + piece`.
    Prefix(String),
    /// `{"time":...,"program":"NAME","message":"line"}`; a further piece of a long line has `"continued":true`.
    Json(String),
}

/// The read end of a pipe that a program writes to.
#[derive(Debug, Clone)]
pub(crate) struct Capture(Rc<RefCell<Inner>>);

#[derive(Debug)]
struct Inner {
    pipe: Rc<Receiver>,
    to: Stream,
    framing: Framing,
    /// The line before the first one of this run.
    before: u64,
}

/// Cutting what was read into lines.
#[derive(Debug)]
struct Framing {
    form: Form,
    lines: Lines,
    /// The line that has no end yet.
    partial: Vec<u8>,
    /// The begin of that line has been passed on.
    continued: bool,
}

impl Capture {
    /// A pipe: what is read from it goes `to`, and is kept in `lines`; the second part is for the program.
    ///
    /// # Errors
    /// No descriptor left.
    pub(crate) fn new(to: Stream, form: Form, lines: Lines) -> io::Result<(Self, OwnedFd)> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        let before = lines.count();
        let framing = Framing { form, lines, partial: Vec::new(), continued: false };
        // The flag is one of the read end alone.
        rustix::io::ioctl_fionbio(&read, true)?;
        let pipe = Rc::new(Receiver::from_owned_fd_unchecked(read)?);
        let inner = Inner { pipe, to, framing, before };
        Ok((Capture(Rc::new(RefCell::new(inner))), write))
    }

    /// Passes on what is there; `false` once the last writer has gone.
    pub(crate) fn pump(&self) -> bool {
        let pipe = Rc::clone(&self.0.borrow().pipe);
        self.pump_by(|buffer| Ok(rustix::io::read(&*pipe, buffer)?))
    }

    fn pump_by(&self, read: impl Fn(&mut [u8]) -> io::Result<usize>) -> bool {
        let mut inner = self.0.borrow_mut();
        let mut buffer = [0; 16 * 1024];
        let mut out = Vec::new();
        let mut taken = 0;
        while taken < TURN {
            match read(&mut buffer) {
                Ok(0) => {
                    inner.framing.end(&mut out);
                    inner.pass_on(&mut out);
                    return false;
                }
                Ok(n) => {
                    taken += n;
                    inner.framing.take(buffer.get(..n).unwrap_or_default(), &mut out);
                    inner.pass_on(&mut out);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        true
    }

    /// Pumps until the last writer has gone.
    pub(crate) async fn pump_all(self) {
        let pipe = Rc::clone(&self.0.borrow().pipe);
        while pipe.readable().await.is_ok() && self.pump_by(|buffer| pipe.try_read(buffer)) {
            // After each turn the others have theirs.
            tokio::task::yield_now().await;
        }
    }

    /// The last lines of this run.
    pub(crate) fn tail(&self) -> Vec<String> {
        let inner = self.0.borrow();
        let lines = inner.framing.lines.last(Some(TAIL_LINES)).into_iter();
        let ours = lines.filter(|line| line.seq > inner.before);
        ours.map(|line| match line.text.char_indices().find(|(at, _)| *at >= TAIL_LINE) {
            Some((at, _)) => line.text.get(..at).unwrap_or_default().trim_end().to_owned(),
            None => line.text.trim_end().to_owned(),
        })
        .collect()
    }
}

impl Inner {
    fn pass_on(&mut self, out: &mut Vec<u8>) {
        let dropped = self.to.write_lines(out);
        if dropped > 0 {
            self.framing.lines.add_dropped(dropped);
        }
        out.clear();
    }
}

impl Framing {
    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let longest = if self.form == Form::Plain { LINE_MAX } else { FRAMED_MAX };
        for mut piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            while let Some((begin, rest)) = piece
                .split_at_checked(longest.saturating_sub(self.partial.len()))
                .filter(|(_, rest)| !rest.is_empty())
            {
                if rest == b"\n" {
                    // It fits exactly.
                    break;
                }
                self.partial.extend_from_slice(begin);
                self.partial_out(out);
                self.continued = true;
                piece = rest;
            }
            match piece {
                // Most lines come whole. A pattern is no call where code is optimized for size.
                [line @ .., b'\n'] if self.partial.is_empty() => {
                    self.line(line, out);
                    self.continued = false;
                }
                [line @ .., b'\n'] => {
                    self.partial.extend_from_slice(line);
                    self.partial_out(out);
                    self.continued = false;
                }
                _ => self.partial.extend_from_slice(piece),
            }
        }
    }

    /// The last line may have no newline.
    fn end(&mut self, out: &mut Vec<u8>) {
        if !self.partial.is_empty() {
            self.partial_out(out);
        }
        self.continued = false;
    }

    fn partial_out(&mut self, out: &mut Vec<u8>) {
        let line = std::mem::take(&mut self.partial);
        self.line(&line, out);
    }

    /// Of a long line the first piece is kept.
    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) {
        if !self.continued {
            self.lines.push(line);
        }
        match &self.form {
            Form::Plain => {
                out.extend_from_slice(line);
                out.push(b'\n');
            }
            Form::Prefix(name) => {
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(if self.continued { b" + " } else { b" | " });
                out.extend_from_slice(line);
                out.push(b'\n');
            }
            Form::Json(name) => {
                let time = format!("{:.3}", Timestamp::now());
                let message = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line));
                let mut object = json!({"time": time, "program": name, "message": message});
                if let (true, Some(object)) = (self.continued, object.as_object_mut()) {
                    object.insert("continued".into(), true.into());
                }
                out.extend_from_slice(object.to_string().as_bytes());
                out.push(b'\n');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(form: Form, parts: &[&[u8]]) -> (String, Vec<String>) {
        let lines = Lines::default();
        let mut framing = Framing { form, lines: lines.clone(), partial: Vec::new(), continued: false };
        let mut out = Vec::new();
        for part in parts {
            framing.take(part, &mut out);
        }
        framing.end(&mut out);
        let kept = lines.last(None).into_iter().map(|line| line.text).collect();
        (String::from_utf8_lossy(&out).into_owned(), kept)
    }

    fn prefix() -> Form {
        Form::Prefix("p".into())
    }

    #[test]
    fn lines_in_each_form() {
        for (parts, plain, prefixed) in [
            (vec![&b"a\nb\n"[..]], "a\nb\n", "p | a\np | b\n"),
            (vec![b"a", b"b", b"\nc\n"], "ab\nc\n", "p | ab\np | c\n"),
            (vec![b"no end"], "no end\n", "p | no end\n"),
            (vec![b"\n\n"], "\n\n", "p | \np | \n"),
            (vec![b""], "", ""),
        ] {
            assert_eq!(framed(Form::Plain, &parts).0, plain);
            assert_eq!(framed(prefix(), &parts).0, prefixed);
        }
        let (text, kept) = framed(Form::Json("p".into()), &[b"a \xff\"\x01\r\n"]);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (value["program"].as_str(), value["message"].as_str()),
            (Some("p"), Some("a \u{fffd}\"\u{1}"))
        );
        assert!(value["time"].as_str().unwrap().ends_with('Z') && value.get("continued").is_none());
        assert_eq!(kept, ["a \u{fffd}\"\u{1}"]);
    }

    #[test]
    fn a_long_line_goes_in_pieces_that_say_so_whatever_is_read_at_once() {
        let line: Vec<u8> = (0..FRAMED_MAX * 2 + 5).map(|at| b'a' + u8::try_from(at % 26).unwrap()).collect();
        for size in [1, 7, 1000, FRAMED_MAX - 1, FRAMED_MAX, FRAMED_MAX + 1, line.len() + 1] {
            let whole = [&line[..], b"\nnext\n"].concat();
            let parts: Vec<&[u8]> = whole.chunks(size).collect();
            let (text, kept) = framed(prefix(), &parts);
            let pieces: Vec<&str> = text.lines().collect();
            assert_eq!(pieces.len(), 4, "{size}");
            assert!(pieces[0].starts_with("p | a") && pieces[0].len() == FRAMED_MAX + 4, "{size}");
            assert!(pieces[1].starts_with("p + ") && pieces[1].len() == FRAMED_MAX + 4, "{size}");
            assert_eq!((pieces[2].len(), pieces[3]), (9, "p | next"), "{size}");
            assert_eq!(pieces[..3].iter().map(|piece| &piece[4..]).collect::<String>().as_bytes(), line);
            assert_eq!(kept.len(), 2);
        }
        let exact = [&line[..FRAMED_MAX], b"\n"].concat();
        assert_eq!(framed(prefix(), &[&exact]).0.lines().count(), 1);
    }
}
