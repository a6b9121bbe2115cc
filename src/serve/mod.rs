//! `polarctl serve`: health and metrics over HTTP, from a process of its own that PID 1 supervises.
//!
//! It reads only: over the control socket, and by connecting to the engines. Nothing is looked at while nobody asks.
//!
//! | module | what is in it |
//! |---|---|
//! | `look` | asking the supervisor and the engines, and remembering the answer for a moment |
//! | `verdict` | what the answers mean to a probe: pure |
//! | `metrics` | what they are to Prometheus: pure |
//! | `pages` | a request becomes a response |
//! | `listen` | connections, and their limits |

mod listen;
mod look;
mod metrics;
mod pages;
#[cfg(test)]
mod tests;
mod verdict;

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;

use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::pipe;
use tokio::net::{TcpListener, UnixStream};

use self::pages::Pages;
use crate::control::protocol::Lock;

/// Looks that block, all together: one at the supervisor and one at each of a few engines.
const THREADS: usize = 16;

/// Serves until SIGTERM or SIGINT. `fill_in` reads what a lock file says; it may block.
///
/// # Errors
/// The address cannot be listened on, or the machine has no room to begin.
pub fn run(socket: PathBuf, listen: SocketAddr, fill_in: fn(&mut Lock)) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(THREADS)
        .build()
        .context("cannot begin")?;
    let done = tokio::task::LocalSet::new().block_on(&runtime, async {
        let bell = bell().context("cannot listen to signals")?;
        let listener = TcpListener::bind(listen).await.map_err(|error| cannot_listen(listen, &error))?;
        say(&format!("listening on http://{listen}, supervisor at {}", socket.display()));
        let end = async {
            // An error of its own pipe is an end as well.
            let _ = bell.readable().await;
        };
        listen::serve(listener, Rc::new(Pages::new(socket, fill_in)), end).await;
        Ok(())
    });
    // A look that hangs on a disk must not hold the end up.
    runtime.shutdown_background();
    done
}

fn cannot_listen(address: SocketAddr, error: &std::io::Error) -> anyhow::Error {
    let remedy = match error.kind() {
        ErrorKind::AddrInUse => {
            "another process has the port (ss -ltnp names it): end that one, or choose another port"
        }
        ErrorKind::AddrNotAvailable => {
            "no interface has this address: choose one that `ip addr` shows, or 0.0.0.0"
        }
        ErrorKind::PermissionDenied => "ports below 1024 are for root: choose a higher one",
        _ => "choose another address",
    };
    anyhow::anyhow!(
        "cannot listen on {address}: {error}; {remedy}: [serve] listen in supervisor.toml, or --listen"
    )
}

/// Becomes readable when it is to end.
fn bell() -> std::io::Result<UnixStream> {
    let (read, write) = std::os::unix::net::UnixStream::pair()?;
    for signal in [SIGTERM, SIGINT] {
        pipe::register(signal, write.try_clone()?)?;
    }
    read.set_nonblocking(true)?;
    UnixStream::from_std(read)
}

/// One line on standard error, which PID 1 captures. A reader that has gone is no failure.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
