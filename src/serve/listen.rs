//! Connections, and their limits. Whoever connects and says nothing, or speaks or reads slowly, gives way to others.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use super::pages::Pages;
use super::say;

/// How many connections there may be; for another one the idlest is closed.
pub(super) const CONNECTIONS: usize = 256;
/// How long a connection may be idle before it has to give way. Less, and one whose request has arrived and has not been
/// read yet would be closed.
const PATIENCE: Duration = Duration::from_millis(250);
/// The limit of a request's head, and of the pause before it.
pub(super) const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// How long a connection lives; whoever asks on asks over another one.
const LIFE: Duration = Duration::from_secs(60);
/// How long it may take to end in order.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long answers that are under way hold up the end of all.
const END_WITHIN: Duration = Duration::from_millis(500);
/// The limit of a request's head, in bytes.
const HEAD_MAX: usize = 8 * 1024;
/// The limit of its fields.
const FIELDS_MAX: usize = 64;
/// How long nothing is accepted after there was no room for it (descriptors, memory).
const NO_ROOM: Duration = Duration::from_millis(100);

/// Since when a connection has been idle; `None`: an answer is being made.
type Idle = Rc<Cell<Option<Instant>>>;

struct Guest {
    task: AbortHandle,
    idle: Idle,
}

/// Serves connections until `end`.
pub(super) async fn serve(listener: TcpListener, pages: Rc<Pages>, end: impl Future<Output = ()>) {
    let mut end = pin!(end);
    let mut tasks = JoinSet::new();
    let mut guests: Vec<Guest> = Vec::new();
    // Whether people know that there is no room for a connection.
    let mut told = false;
    loop {
        let full = guests.len() >= CONNECTIONS;
        // Where none can give way the next one waits in the kernel's queue.
        let room = !full || idlest(&guests).is_some();
        tokio::select! {
            biased;
            () = &mut end => break,
            Some(_) = tasks.join_next() => guests.retain(|guest| !guest.task.is_finished()),
            () = tokio::time::sleep(PATIENCE / 10), if !room => {}
            accepted = listener.accept(), if room => match accepted {
                Ok((stream, _)) => {
                    told = false;
                    // Looked for anew: what was idle may have been asked something while nobody came.
                    if let Some(place) = idlest(&guests).filter(|_| full) {
                        guests.swap_remove(place).task.abort();
                    }
                    let idle: Idle = Rc::new(Cell::new(Some(Instant::now())));
                    let task = tasks.spawn_local(attend(stream, Rc::clone(&pages), Rc::clone(&idle)));
                    guests.push(Guest { task, idle });
                }
                Err(error) => {
                    if !is_the_clients(&error) {
                        if !std::mem::replace(&mut told, true) {
                            say(&format!("cannot take a connection: {error}; tried again ten times a second"));
                        }
                        tokio::time::sleep(NO_ROOM).await;
                    }
                }
            },
        }
    }
    drop(listener);
    for guest in guests.iter().filter(|guest| guest.idle.get().is_some()) {
        guest.task.abort();
    }
    // What is left over is closed with the set.
    let _ = timeout(END_WITHIN, async { while tasks.join_next().await.is_some() {} }).await;
}

/// The place of the one that has been idle for the longest time, if that is long enough.
fn idlest(guests: &[Guest]) -> Option<usize> {
    let idle = guests.iter().enumerate().filter_map(|(place, guest)| Some((guest.idle.get()?, place)));
    idle.min().filter(|(since, _)| since.elapsed() >= PATIENCE).map(|(_, place)| place)
}

/// A connection that ended before it was accepted says nothing of us.
fn is_the_clients(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

async fn attend(stream: TcpStream, pages: Rc<Pages>, idle: Idle) {
    let service = service_fn(|request| {
        let (pages, idle) = (Rc::clone(&pages), Rc::clone(&idle));
        async move {
            idle.set(None);
            let response = pages.answer(request).await;
            idle.set(Some(Instant::now()));
            Ok::<_, Infallible>(response)
        }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_WITHIN)
            .max_buf_size(2 * HEAD_MAX)
            .max_header_size(HEAD_MAX)
            .max_headers(FIELDS_MAX)
            .serve_connection(TokioIo::new(stream), service)
    );
    // What went wrong with a client is the client's.
    if timeout(LIFE, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        let _ = timeout(FAREWELL, connection).await;
    }
}
