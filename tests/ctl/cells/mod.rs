//! Every verb on an instance in every state that an engine can be in: `docs/manager-faults.md` shows the same table.
//!
//! | module | what it is |
//! |---|---|
//! | `verbs` | the verbs, and what each says in each state |
//! | `state` | runs all of them against one engine in one state |
//! | `stopped`, `starting`, `standby`, `overloaded`, `hung` | engines in these states |
//! | `pairs` | verbs that undo each other |
//! | `twice`, `killed`, `two_at_once` | those done and done twice, killed on their way, at the same time |
//! | `full_disk` | no byte is left where a file is to be written |
//! | `hostile` | texts that are to stay texts |
//! | `page` | the page, held to all of this |

mod full_disk;
mod hostile;
mod hung;
mod killed;
mod overloaded;
mod page;
mod pairs;
mod standby;
mod starting;
mod state;
mod stopped;
mod twice;
mod two_at_once;
mod verbs;

pub use state::files;
