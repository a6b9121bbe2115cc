//! The control socket: who connects is heard, one request after the other, and answered by the shell in its own turn.
//!
//! Each client is a task of this thread, and so is the one that listens. A request that needs what the shell knows goes
//! to it as an [`Asked`]; each client has one of those under way, so their number is bounded. Nothing here ends PID 1: a
//! socket that cannot be had is said, and tried again.

mod answer;
mod clients;
mod explain;
mod feed;
mod listen;
mod status;
mod wire;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::{Receiver, UnboundedSender};
use tokio::sync::{Notify, oneshot};
use tokio::task::{spawn_local, yield_now};

use self::clients::{CLIENTS, Clients, Doing, FOLLOWERS};
use self::listen::{Listening, Place};
use self::wire::{Heard, Wire, error_line, refusal};
use super::history::History;
use super::{Input, User, logger};
use crate::control::protocol::{Code, Line, Op};
use crate::control::request::parse;

/// How soon what failed for want of something (a descriptor, a folder) is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// What happens within this time goes to the journal's writer at once.
const DEBOUNCE: Duration = Duration::from_millis(50);
/// So many connections are taken before others have their turn.
const AT_ONCE: u32 = 8;

/// The shell's part of the control socket.
#[derive(Debug)]
pub(super) struct Control {
    asks: VecDeque<Asked>,
    pub(super) history: Rc<RefCell<History>>,
    look: Rc<Notify>,
    user: Rc<RefCell<Option<User>>>,
}

/// A request that the shell answers.
#[derive(Debug)]
pub(super) struct Asked {
    op: Op,
    peer: Peer,
    reply: oneshot::Sender<Answer>,
}

/// Who asks, by the kernel's word.
#[derive(Debug, Clone, Copy)]
struct Peer {
    uid: u32,
    /// `None` or 0: in another PID namespace.
    pid: Option<i32>,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid {}", self.uid)?;
        match self.pid {
            Some(pid) if pid > 0 => write!(f, ", process {pid}"),
            _ => Ok(()),
        }
    }
}

/// What the shell answers.
#[derive(Debug)]
enum Answer {
    /// A whole line.
    Line(Vec<u8>),
    /// The events.
    Events { last: Option<usize>, follow: bool },
    /// A program's lines, and those to come.
    Lines { past: Vec<Line>, more: Option<Receiver<Line>> },
}

impl Control {
    /// Begins to listen.
    pub(super) fn start(
        run_dir: std::path::PathBuf,
        user: Option<User>,
        tell: UnboundedSender<Input>,
    ) -> Self {
        let history = Rc::new(RefCell::new(History::new()));
        let look = Rc::new(Notify::new());
        let user = Rc::new(RefCell::new(user));
        let desk = Desk {
            place: Place { run_dir, user: Rc::clone(&user) },
            clients: RefCell::default(),
            tell,
            history: Rc::clone(&history),
            look: Rc::clone(&look),
        };
        spawn_local(serve(Rc::new(desk)));
        Control { asks: VecDeque::new(), history, look, user }
    }

    /// Has the shell woken whenever events wait for the journal, some at once.
    pub(super) fn keep_journal(&self, tell: UnboundedSender<Input>) {
        let mut news = self.history.borrow().news();
        spawn_local(async move {
            while news.changed().await.is_ok() {
                tokio::time::sleep(DEBOUNCE).await;
                news.borrow_and_update();
                if tell.send(Input::Journal).is_err() {
                    return;
                }
            }
        });
    }

    /// A request for the shell's next turn.
    pub(super) fn take(&mut self, ask: Asked) {
        self.asks.push_back(ask);
    }

    /// Whether a request waits for its answer.
    pub(super) fn is_asked(&self) -> bool {
        !self.asks.is_empty()
    }

    /// Somebody may have removed the socket, or the engine's user be another one: the listening task looks, and makes the
    /// socket again or shares it again.
    pub(super) fn look(&self, user: Option<User>) {
        *self.user.borrow_mut() = user;
        self.look.notify_one();
    }
}

/// What the tasks of the clients share.
#[derive(Debug)]
struct Desk {
    place: Place,
    clients: RefCell<Clients>,
    tell: UnboundedSender<Input>,
    history: Rc<RefCell<History>>,
    look: Rc<Notify>,
}

/// Listens, for ever.
async fn serve(desk: Rc<Desk>) {
    let mut trouble = None;
    loop {
        let listening = desk.place.listen().and_then(|listening| {
            let socket = listening.socket.try_clone().and_then(UnixListener::from_std);
            socket
                .map(|socket| (listening, socket))
                .map_err(|error| format!("it cannot be waited for: {error}"))
        });
        match listening {
            Ok((listening, socket)) => {
                let path = desk.place.path();
                match trouble.take() {
                    Some(_) => log::info!(target: logger::SELF, "listening on {}", path.display()),
                    None => log::debug!(target: logger::SELF, "listening on {}", path.display()),
                }
                welcome_all(&desk, &listening, &socket).await;
                log::warn!(target: logger::SELF, "{} is gone: it is made again", path.display());
            }
            Err(why) => {
                if trouble.as_ref() != Some(&why) {
                    log::warn!(
                        target: logger::SELF,
                        "there is no control socket, so polarctl cannot reach this supervisor; tried again each second: {why}"
                    );
                    trouble = Some(why);
                }
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

/// Takes connections until the socket's name leads elsewhere.
async fn welcome_all(desk: &Rc<Desk>, listening: &Listening, socket: &UnixListener) {
    let mut told = false;
    let mut taken = 0;
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = desk.look.notified() => {
                if !listening.in_place() {
                    return;
                }
                desk.place.share_again(listening);
                continue;
            }
        };
        match accepted {
            Ok((stream, _)) => {
                told = false;
                welcome(desk, stream);
            }
            Err(error) => {
                // One that is idle may hold the descriptor that the next one needs.
                desk.clients.borrow_mut().make_room();
                if !std::mem::replace(&mut told, true) {
                    log::warn!(
                        target: logger::SELF,
                        "a client of the control socket could not be taken: {error}; tried again each second"
                    );
                }
                tokio::time::sleep(AGAIN).await;
            }
        }
        taken += 1;
        if taken % AT_ONCE == 0 {
            yield_now().await;
        }
    }
}

fn welcome(desk: &Rc<Desk>, stream: UnixStream) {
    let Ok(credentials) = stream.peer_cred() else { return };
    let peer = Peer { uid: credentials.uid(), pid: credentials.pid() };
    let Some((number, sent_away)) = desk.clients.borrow_mut().admit(Instant::now()) else {
        let why = format!("{CLIENTS} clients are being answered; try again soon");
        return wire::refuse_at_once(&stream, refusal(Code::Busy, why));
    };
    let desk = Rc::clone(desk);
    spawn_local(async move {
        tokio::select! {
            biased;
            () = sent_away.notified() => {
                log::debug!(target: logger::SELF, "a client that was idle ({peer}) made room for another one");
            }
            () = desk.converse(number, peer, Wire::new(stream)) => {}
        }
        desk.clients.borrow_mut().gone(number);
    });
}

impl Desk {
    /// One request after the other, until the client goes or does not read.
    async fn converse(&self, number: u64, peer: Peer, mut wire: Wire) {
        loop {
            let line = match wire.hear().await {
                Heard::Line(line) => line,
                Heard::Nothing => return,
                Heard::Unreadable(refusal) => {
                    let _ = wire.send(&error_line(refusal)).await;
                    return;
                }
            };
            if !self.clients.borrow_mut().does(number, Doing::Asking) {
                return;
            }
            let answer = match parse(&line) {
                Ok(Op::Events { last, follow }) => Answer::Events { last, follow },
                Ok(op) => match self.ask(op, peer).await {
                    Some(answer) => answer,
                    None => return,
                },
                Err(refusal) => Answer::Line(error_line(refusal)),
            };
            // One that does not read its answer may be sent away.
            self.clients.borrow_mut().does(number, Doing::Idle(Instant::now()));
            let sent = match answer {
                Answer::Line(line) => wire.send(&line).await,
                Answer::Events { follow: true, .. } | Answer::Lines { more: Some(_), .. }
                    if !self.clients.borrow_mut().does(number, Doing::Following) =>
                {
                    let why = format!("{FOLLOWERS} clients follow something already; end one of them");
                    wire.send(&error_line(refusal(Code::Busy, why))).await
                }
                Answer::Events { last, follow } => feed::events(&wire, &self.history, last, follow).await,
                Answer::Lines { past, more } => feed::lines(&wire, past, more).await,
            };
            if let Err(error) = sent {
                log::debug!(target: logger::SELF, "a client ({peer}) has gone before the end of its answer: {error}");
                return;
            }
            self.clients.borrow_mut().does(number, Doing::Idle(Instant::now()));
            yield_now().await;
        }
    }

    /// Has the shell answer.
    async fn ask(&self, op: Op, peer: Peer) -> Option<Answer> {
        let (reply, answer) = oneshot::channel();
        self.tell.send(Input::Asked(Asked { op, peer, reply })).ok()?;
        answer.await.ok()
    }
}
