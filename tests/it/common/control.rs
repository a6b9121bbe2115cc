//! A client of the control socket, without a library of ours.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::instance::Instance;
use super::wait::{BOOT, SOON, eventually};

/// A connection to PID 1's control socket.
#[derive(Debug)]
pub struct Client(BufReader<UnixStream>);

impl Client {
    /// Over this stream; nothing is waited for longer than [`SOON`].
    pub fn over(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.set_write_timeout(Some(SOON)).unwrap();
        Self(BufReader::new(stream))
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.0.get_mut().write_all(bytes.as_ref())
    }

    /// The next line; `None`: PID 1 has hung up.
    pub fn line(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("read an answer: {error}"),
        }
    }

    /// Whether PID 1 has hung up within this time.
    pub fn hung_up_within(&mut self, time: Duration) -> bool {
        self.0.get_ref().set_read_timeout(Some(time)).unwrap();
        let mut byte = [0];
        let end = match self.0.read(&mut byte) {
            Ok(n) => n == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        };
        self.0.get_ref().set_read_timeout(Some(SOON)).unwrap();
        end
    }

    /// One request and the first line of its answer.
    pub fn ask(&mut self, request: Value) -> Value {
        self.send(format!("{request}\n")).unwrap();
        self.line().unwrap_or_else(|| panic!("PID 1 has hung up on {request}"))
    }

    /// The value of an answer that is no refusal.
    pub fn ok(&mut self, request: Value) -> Value {
        let mut answer = self.ask(request.clone());
        assert_eq!(answer["v"], 1);
        assert!(answer.get("ok").is_some(), "{request} was refused: {answer}");
        answer["ok"].take()
    }

    /// Code and message of a refusal.
    pub fn refused(&mut self, request: Value) -> (String, String) {
        let answer = self.ask(request.clone());
        let text = |key: &str| {
            answer["error"][key].as_str().unwrap_or_else(|| panic!("{request}: {answer}")).to_owned()
        };
        (text("code"), text("message"))
    }

    /// All lines of an answer up to its end.
    pub fn all(&mut self, request: Value) -> Vec<Value> {
        self.send(format!("{request}\n")).unwrap();
        let mut lines = Vec::new();
        loop {
            let mut line = self.line().expect("an answer with an end");
            match line["ok"].take() {
                Value::Null => return lines,
                value => lines.push(value),
            }
        }
    }
}

impl Instance {
    /// Connects to the control socket as soon as PID 1 listens.
    pub fn control(&self) -> Client {
        let path = self.path("run/supervisor.sock");
        Client::over(eventually("the control socket", BOOT, || UnixStream::connect(&path).ok()))
    }

    /// The status of one program.
    pub fn status(&self, program: &str) -> Value {
        self.control().ok(json!({"v": 1, "op": "status", "program": program}))[0].take()
    }

    /// Waits until a program is in this state.
    pub fn wait_state(&mut self, program: &str, state: &str) -> Value {
        self.until(&format!("{program} to be {state}"), |it| it.status(program)["state"] == state);
        self.status(program)
    }

    /// The events that PID 1 remembers.
    pub fn events(&self) -> Vec<Value> {
        self.control().all(json!({"v": 1, "op": "events"}))
    }

    /// Waits for an event of a program whose text holds this.
    pub fn wait_event(&mut self, event: &str, text: &str) -> Value {
        let find = |it: &Self| {
            let found = it.events().into_iter().rev();
            found.into_iter().find(|record| {
                record["event"] == event && record["text"].as_str().is_some_and(|it| it.contains(text))
            })
        };
        self.until(&format!("an event {event}: {text}"), |it| find(it).is_some());
        find(self).expect("an event that was there")
    }
}
