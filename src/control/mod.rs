//! The control socket: what is said over it ([`protocol`]), and how a request is read ([`request`]).
//!
//! PID 1 listens on `<run_dir>/supervisor.sock`; the server's side is part of its shell.

pub mod protocol;
pub mod request;
