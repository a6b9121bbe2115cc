//! Reading requests: bytes become lines ([`Lines`]), a line becomes a request ([`parse`]). Whatever comes in, both are
//! total, and bounded by [`REQUEST_MAX`].

use serde::Deserialize;

use super::protocol::{Code, Op, REQUEST_MAX, Refusal, Request, VERSION};

/// An answer to people who have no idea what to write.
const EXAMPLE: &str = r#"a request is one JSON object a line, such as {"v":1,"op":"status"}"#;

/// Cuts what one client sends into lines.
#[derive(Debug, Default)]
pub struct Lines {
    buffer: Vec<u8>,
    /// So many bytes of the buffer are known to hold no newline.
    searched: usize,
}

impl Lines {
    /// Takes what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole line, without its newline.
    ///
    /// # Errors
    /// A line that is longer than [`REQUEST_MAX`], whether its end has come or not: where the next one begins is not known
    /// then, and nothing more can be read from this client.
    pub fn next_line(&mut self) -> Result<Option<Vec<u8>>, Refusal> {
        let unsearched = self.buffer.get(self.searched..).unwrap_or_default();
        let end = unsearched.iter().position(|&byte| byte == b'\n').map(|at| self.searched + at);
        if end.unwrap_or(self.buffer.len()) >= REQUEST_MAX {
            self.buffer = Vec::new();
            self.searched = 0;
            return Err(too_long());
        }
        let Some(end) = end else {
            self.searched = self.buffer.len();
            return Ok(None);
        };
        let rest = self.buffer.split_off(end + 1);
        let mut line = std::mem::replace(&mut self.buffer, rest);
        line.truncate(end);
        self.searched = 0;
        Ok(Some(line))
    }

    /// Whether the begin of a line waits for its end.
    #[must_use]
    pub fn partial(&self) -> bool {
        !self.buffer.is_empty()
    }
}

/// What a line asks for.
///
/// # Errors
/// It is no request of this version.
pub fn parse(line: &[u8]) -> Result<Op, Refusal> {
    /// Looked at first: a request of another version may look like anything else.
    #[derive(Deserialize)]
    struct Versioned {
        v: Option<u32>,
    }
    let versioned: Versioned = serde_json::from_slice(line).map_err(|error| bad(&error.to_string()))?;
    match versioned.v {
        Some(VERSION) => {}
        Some(other) => {
            return Err(refusal(
                Code::BadRequest,
                format!(
                    "the request is of version {other}, and this supervisor speaks version {VERSION}: use the polarctl of \
                     its release"
                ),
            ));
        }
        None => return Err(bad("it has no version `v`")),
    }
    let request: Request = serde_json::from_slice(line).map_err(|error| bad(&error.to_string()))?;
    Ok(request.op)
}

fn bad(why: &str) -> Refusal {
    refusal(Code::BadRequest, format!("the request could not be read: {why}; {EXAMPLE}"))
}

fn too_long() -> Refusal {
    refusal(
        Code::TooLong,
        format!("the request is longer than {REQUEST_MAX} bytes, and nothing of it was done; {EXAMPLE}"),
    )
}

fn refusal(code: Code, message: String) -> Refusal {
    Refusal { code, message }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::protocol::Mode;
    use super::*;

    fn why(line: &[u8]) -> String {
        match parse(line) {
            Err(Refusal { code: Code::BadRequest, message }) => message,
            other => panic!("{other:?} for {}", String::from_utf8_lossy(line)),
        }
    }

    #[test]
    fn requests_are_read() {
        for (line, wanted) in [
            (r#"{"v":1,"op":"status"}"#, Op::Status { program: None }),
            (
                r#" { "op" : "status" , "program":"engine", "v" : 1 } "#,
                Op::Status { program: Some("engine".into()) },
            ),
            (r#"{"v":1,"op":"supervisor"}"#, Op::Supervisor {}),
            (r#"{"v":1,"op":"reload"}"#, Op::Reload {}),
            (
                r#"{"v":1,"op":"stop","mode":"immediate"}"#,
                Op::Stop { program: None, mode: Some(Mode::Immediate) },
            ),
            (r#"{"v":1,"op":"events","last":3,"follow":true}"#, Op::Events { last: Some(3), follow: true }),
        ] {
            assert_eq!(parse(line.as_bytes()), Ok(wanted), "{line}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, part) in [
            (&b""[..], "EOF"),
            (b"status", "expected value"),
            (br#"{"op":"status"}"#, "no version"),
            (br#"{"v":2,"operation":[]}"#, "version 2, and this supervisor speaks version 1"),
            (br#"{"v":"1","op":"status"}"#, "invalid type"),
            (br#"{"v":1}"#, "op"),
            (br#"{"v":1,"op":"halt"}"#, "unknown variant `halt`, expected one of `status`"),
            (br#"{"v":1,"op":"status","programm":"x"}"#, "programm"),
            (br#"{"v":1,"op":"reload","program":"x"}"#, "program"),
            (br#"{"v":1,"op":"stop","mode":"soft"}"#, "unknown variant `soft`, expected one of `smart`"),
            (br#"{"v":1,"op":"logs"}"#, "missing field `program`"),
            (br#"{"v":1,"op":"events","last":-1}"#, "-1"),
            (b"{\"v\":1,\"op\":\"status\",\"program\":\"\xff\"}", "unicode"),
            (br#"{"v":1,"op":"status"}{"v":1}"#, "trailing"),
            (br#"[1,"status"]"#, "could not be read"),
        ] {
            let message = why(line);
            assert!(message.contains(part), "no {part:?} in {message}");
            assert!(message.contains("the request"), "{message}");
        }
    }

    #[test]
    fn deep_nesting_is_refused() {
        for open in [&b"["[..], b"{\"a\":"] {
            let mut line = b"{\"v\":1,\"op\":\"status\",\"program\":".to_vec();
            while line.len() < REQUEST_MAX - 10 {
                line.extend_from_slice(open);
            }
            why(&line);
            why(line.strip_prefix(b"{\"v\":1,\"op\":\"status\",\"program\":").unwrap());
        }
    }

    #[test]
    fn lines_come_whole_in_whatever_pieces_they_were_sent() {
        let mut lines = Lines::default();
        lines.push(b"one\ntw");
        assert_eq!(lines.next_line(), Ok(Some(b"one".to_vec())));
        assert_eq!(lines.next_line(), Ok(None));
        assert!(lines.partial());
        lines.push(b"o\n\nthree\n");
        assert_eq!(lines.next_line(), Ok(Some(b"two".to_vec())));
        assert_eq!(lines.next_line(), Ok(Some(Vec::new())));
        assert_eq!(lines.next_line(), Ok(Some(b"three".to_vec())));
        assert_eq!(lines.next_line(), Ok(None));
        assert!(!lines.partial());
    }

    #[test]
    fn the_longest_line_is_taken_and_a_longer_one_is_not() {
        let mut lines = Lines::default();
        lines.push(&vec![b'x'; REQUEST_MAX - 1]);
        assert_eq!(lines.next_line(), Ok(None));
        lines.push(b"\n");
        assert_eq!(lines.next_line().map(|line| line.map(|line| line.len())), Ok(Some(REQUEST_MAX - 1)));
        lines.push(&vec![b'x'; REQUEST_MAX]);
        assert_eq!(lines.next_line().map_err(|refusal| refusal.code), Err(Code::TooLong));
        lines.push(&vec![b'x'; REQUEST_MAX]);
        lines.push(b"\n");
        assert_eq!(lines.next_line().map_err(|refusal| refusal.code), Err(Code::TooLong));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20)) {
            let mut lines = Lines::default();
            let whole: Vec<u8> = pieces.concat();
            let mut found = Vec::new();
            for piece in &pieces {
                lines.push(piece);
                while let Some(line) = lines.next_line().unwrap() {
                    let _ = parse(&line);
                    found.push(line);
                }
            }
            let mut wanted: Vec<&[u8]> = whole.split(|&byte| byte == b'\n').collect();
            let rest = wanted.pop().unwrap_or_default();
            prop_assert_eq!(found, wanted);
            prop_assert_eq!(lines.partial(), !rest.is_empty());
        }

        #[test]
        fn anything_like_a_request_is_read_or_refused(line in r#"[{\[]{0,3}("v"|"op"|"program"|"last"|"mode"|1|-?[0-9]{1,30}|"status"|"stop"|null|true|[\[\]{},: ]){0,24}"#) {
            if let Err(refusal) = parse(line.as_bytes()) {
                prop_assert_eq!(refusal.code, Code::BadRequest);
                prop_assert!(refusal.message.len() < 2 * line.len() + 1024);
            }
        }
    }
}
