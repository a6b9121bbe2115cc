//! A control server, an engine and a client, each in a thread of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::control::protocol::{Lock, Op, Outcome, Reply, Request, Status, VERSION};
use crate::serve::listen::serve;
use crate::serve::pages::Pages;
use crate::serve::tests::supervisor;

/// Wide, since the tests run beside each other.
pub(super) const SOON: Duration = Duration::from_secs(20);

/// The greeting of an engine that takes connections and says nothing.
pub(super) const SILENCE: &[u8] = b"";

/// What the control server says, and how often it was asked.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) programs: Mutex<Vec<Status>>,
    /// It takes connections and requests, and answers none.
    pub(super) hangs: AtomicBool,
    pub(super) asked: AtomicUsize,
}

/// What is served, with the supervisor behind it.
#[derive(Debug)]
pub(super) struct Bed {
    pub(super) dir: tempfile::TempDir,
    pub(super) told: Arc<Told>,
    pub(super) address: SocketAddr,
    end: Option<oneshot::Sender<()>>,
    server: Option<std::thread::JoinHandle<()>>,
}

impl Bed {
    /// Without a supervisor.
    pub(super) fn alone() -> Bed {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("supervisor.sock");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let (end, ended) = oneshot::channel::<()>();
        let server = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().unwrap();
            tokio::task::LocalSet::new().block_on(&runtime, async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let end = async { drop(ended.await) };
                serve(listener, Rc::new(Pages::new(socket, fill_in)), end).await;
            });
            runtime.shutdown_background();
        });
        Bed { dir, told: Arc::default(), address, end: Some(end), server: Some(server) }
    }

    /// With a supervisor that keeps these programs.
    pub(super) fn new(programs: Vec<Status>) -> Bed {
        let bed = Bed::alone();
        *bed.told.programs.lock().unwrap() = programs;
        let listener = UnixListener::bind(bed.dir.path().join("supervisor.sock")).unwrap();
        let told = Arc::clone(&bed.told);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, told) = (stream.unwrap(), Arc::clone(&told));
                std::thread::spawn(move || {
                    for line in BufReader::new(stream.try_clone().unwrap()).lines() {
                        let request: Request = serde_json::from_str(&line.unwrap()).unwrap();
                        told.asked.fetch_add(1, Ordering::SeqCst);
                        while told.hangs.load(Ordering::SeqCst) {
                            std::thread::sleep(Duration::from_millis(5));
                        }
                        let mut answer = match request.op {
                            Op::Status { program: None } => line_of(&*told.programs.lock().unwrap()),
                            Op::Supervisor {} => line_of(supervisor()),
                            other => panic!("it is not only reading: {other:?}"),
                        };
                        answer.push('\n');
                        // A client that does not wait any more is what is tested.
                        let _ = stream.write_all(answer.as_bytes());
                    }
                });
            }
        });
        bed
    }

    /// An engine of this name, and its server, which greets with `greeting`; how often it was asked.
    pub(super) fn engine(&self, name: &str, greeting: &'static [u8]) -> (Status, Arc<AtomicUsize>) {
        let (folder, port) = (self.dir.path().to_owned(), 7 + u16::try_from(name.len()).unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        fake_engine(&folder.join(format!(".s.PGSQL.{port}")), greeting, Arc::clone(&asked));
        let mut status = super::engine(name);
        let engine = status.engine.as_mut().unwrap();
        engine.data_dir = folder.join("data").to_str().unwrap().to_owned();
        engine.socket_dir = vec![folder.to_str().unwrap().to_owned()];
        engine.port = port;
        (status, asked)
    }

    /// The answer to a GET, with further lines of its head.
    pub(super) fn get_with(&self, path: &str, fields: &str) -> Response {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{fields}\r\n"))
    }

    /// The answer to a GET.
    pub(super) fn get(&self, path: &str) -> Response {
        self.get_with(path, "")
    }

    /// The answer to these bytes.
    pub(super) fn send(&self, request: &str) -> Response {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        read_response(stream)
    }

    pub(super) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
    }

    /// Ends the server; panics if it does not end.
    pub(super) fn end(&mut self) {
        drop(self.end.take());
        self.server.take().unwrap().join().unwrap();
    }
}

/// One whose folder is frozen never comes back.
fn fill_in(lock: &mut Lock) {
    while lock.file.starts_with("/frozen/") {
        std::thread::park();
    }
    lock.reason = Some("what the file says".into());
}

fn line_of<T: serde::Serialize>(value: T) -> String {
    serde_json::to_string(&Reply { v: VERSION, result: Outcome::Ok(value) }).unwrap()
}

fn fake_engine(socket: &Path, greeting: &'static [u8], asked: Arc<AtomicUsize>) {
    let listener = UnixListener::bind(PathBuf::from(socket)).unwrap();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming() {
            asked.fetch_add(1, Ordering::SeqCst);
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 256]).unwrap();
            if greeting == SILENCE {
                held.push(stream);
            } else {
                let _ = stream.write_all(greeting);
            }
        }
    });
}

/// What came back.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Response {
    pub(super) fn json(&self) -> serde_json::Value {
        assert!(self.head.contains("content-type: application/json\r\n"), "{self:?}");
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Reads to the end of the connection.
pub(super) fn read_response(mut stream: TcpStream) -> Response {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no response: {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Response { status, head: format!("{head}\r\n"), body: body.to_owned() }
}
