//! What a client gets line by line, and may follow. Events the client draws at its own pace, and a program's lines come
//! by a channel that has an end: nothing piles up for one that does not read.

use std::cell::RefCell;
use std::io;

use tokio::sync::mpsc::Receiver;
use tokio::task::yield_now;

use super::wire::{Wire, ok_line, ok_raw};
use crate::control::protocol::Line;
use crate::supervisor::shell::history::History;
use crate::supervisor::shell::logger;

/// About so many bytes are sent at once.
const CHUNK: usize = 32 * 1024;

/// Sends the last events; with `follow` also those that come, until the client hangs up.
///
/// # Errors
/// The client has hung up, or does not read.
pub(super) async fn events(
    wire: &Wire,
    history: &RefCell<History>,
    last: Option<usize>,
    follow: bool,
) -> io::Result<()> {
    let mut news = history.borrow().news();
    let mut at = history.borrow().before_last(last);
    let end = *news.borrow_and_update();
    loop {
        news.borrow_and_update();
        let mut chunk = Vec::new();
        let (next, forgotten) = history.borrow().after(at, CHUNK, |json| ok_raw(json, &mut chunk));
        if forgotten > 0 {
            log::debug!(target: logger::SELF, "a client reads slowly: {forgotten} events were forgotten before it took them");
        }
        if !chunk.is_empty() {
            if let Err(error) = wire.send(&chunk).await {
                let left = news.borrow().saturating_sub(at);
                log::debug!(target: logger::SELF, "a client is dropped with {left} events that it did not take: {error}");
                return Err(error);
            }
            at = next;
        }
        if !follow && (chunk.is_empty() || at >= end) {
            return wire.send(&ok_line(())).await;
        }
        if chunk.is_empty() {
            tokio::select! {
                changed = news.changed() => if changed.is_err() { return wire.send(&ok_line(())).await },
                () = wire.hung_up() => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        yield_now().await;
    }
}

/// Sends a program's last lines, and those to come, if there are any, until the client hangs up.
///
/// # Errors
/// The client has hung up, or does not read.
pub(super) async fn lines(wire: &Wire, past: Vec<Line>, more: Option<Receiver<Line>>) -> io::Result<()> {
    let mut chunk = Vec::new();
    for line in past {
        chunk.extend_from_slice(&ok_line(line));
        if chunk.len() >= CHUNK {
            wire.send(&chunk).await?;
            chunk.clear();
        }
    }
    let Some(mut more) = more else {
        chunk.extend_from_slice(&ok_line(()));
        return wire.send(&chunk).await;
    };
    wire.send(&chunk).await?;
    loop {
        let line = tokio::select! {
            line = more.recv() => line,
            () = wire.hung_up() => return Err(io::ErrorKind::UnexpectedEof.into()),
        };
        let Some(line) = line else { return wire.send(&ok_line(())).await };
        let (mut chunk, mut sent) = (ok_line(line), 1);
        while chunk.len() < CHUNK
            && let Ok(line) = more.try_recv()
        {
            chunk.extend_from_slice(&ok_line(line));
            sent += 1;
        }
        if let Err(error) = wire.send(&chunk).await {
            let left = more.len() + sent;
            log::debug!(target: logger::SELF, "a client is dropped with {left} lines that it did not take: {error}");
            return Err(error);
        }
        yield_now().await;
    }
}
