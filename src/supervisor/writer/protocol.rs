//! What PID 1 and the writer say to each other: one JSON document a packet.

use serde::{Deserialize, Serialize};

use crate::config::OutputFile;

/// The longest packet, in bytes.
pub(crate) const PACKET_MAX: usize = 128 * 1024;

/// What PID 1 wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// Write what comes out of the pipe, whose read end the packet carries, into this file.
    Pipe {
        /// Its number, which is never used again.
        pipe: u64,
        /// The file.
        to: OutputFile,
    },
    /// Close this pipe: too many are open.
    Forget {
        /// Its number.
        pipe: u64,
    },
    /// Write this line into this file.
    Append {
        /// The file.
        to: OutputFile,
        /// The line, with its newline.
        line: String,
    },
    /// Open the files again: somebody has moved them.
    Reopen,
}

/// What the writer tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum News {
    /// The last process that could write to the pipe has gone.
    Closed {
        /// Its number.
        pipe: u64,
        /// The last lines that came out of it.
        tail: Vec<String>,
    },
    /// So many more lines were dropped.
    Dropped {
        /// The pipe.
        pipe: u64,
        /// How many since it was said last.
        lines: u64,
    },
    /// Something that a person should look at.
    Trouble {
        /// In words.
        text: String,
    },
    /// A trouble is over.
    Over {
        /// In words.
        text: String,
    },
    /// There has been nothing to do for a while; whoever agrees closes the socket.
    Idle {
        /// How many orders have come: if more were given, there is something to do.
        orders: u64,
    },
}
