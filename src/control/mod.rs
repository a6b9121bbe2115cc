//! The control socket: what is said over it ([`protocol`]), how a request is read ([`request`]), and the [`client`]'s
//! side.
//!
//! PID 1 listens on `<run_dir>/supervisor.sock`; the server's side is part of its shell.

pub mod client;
pub mod protocol;
pub mod request;
