//! The lock against a full disk: normal users read and do not write, superusers go on.
//!
//! PolarDB has a parameter for it that nobody but a superuser can undo. PostgreSQL has none. The nearest is that every
//! session of a normal user *begins* read-only: `default_transaction_read_only`, by `ALTER ROLE ALL`, with the exceptions
//! that a role or a database has made for itself overruled, and superusers excepted. All of it is one transaction, needs no
//! file (on a full disk none can be written) and no reload, and what stood there before is kept with it, in the same
//! catalog. Sessions that began before it are ended.
//!
//! | module | what it does |
//! |---|---|
//! | `setting` | what roles and databases begin their sessions with, and what of it is to change (pure) |
//! | `record` | what is kept of a lock while it holds |
//! | `sessions` | which sessions are to end, and ending them |
//! | `probe` | a write that is refused |
//! | `look` | how an instance is |
//! | `lock`, `unlock` | the operations |

mod lock;
mod look;
mod probe;
mod record;
mod sessions;
mod setting;
mod unlock;

pub use lock::{Lock, REASON_MAX};
pub use look::{Held, Seen, held};
pub use unlock::Unlock;

/// PolarDB's parameter: transactions of whoever is no superuser are read-only, in open sessions too.
const POLAR: &str = "polar_force_trans_ro_non_sup";
