//! Parameters of an instance: what they are, where they come from, and changing them.
//!
//! | module | what it does |
//! |---|---|
//! | `name` | names: whether they are any, which belong to one node alone, whose values are secrets |
//! | `rows` | what the running server says of parameters |
//! | `validate` | asking the engine's own executable about a candidate |
//! | `start`, `evidence` | what keeps an engine from starting that its executable does not look at |
//! | `change` | `params set` and `unset`: what is asked for |
//! | `unread` | the same without a reload |
//! | `look`, `plan` | what is found out for that, and what is decided |
//! | `apply` | writing, reloading, taking back |
//! | `reload` | having files read, and the server's word that they were |
//! | `refresh` | `params refresh` |
//! | `report` | `params get` and `diff` |
//! | `history` | what was changed by whom |

mod apply;
mod change;
mod evidence;
pub mod history;
mod look;
mod name;
mod plan;
mod refresh;
mod reload;
mod report;
mod rows;
mod start;
mod unread;
mod validate;

pub use apply::{put_file, undo};
pub use change::{Change, Scope, Step, Wish};
pub use look::Seen;
pub use name::{assignment, checked_name, shown};
pub use refresh::Refresh;
pub use reload::reload_files;
pub use report::{Difference, Entry, diff, get};
pub use unread::Unread;
pub(super) use validate::value as value_to_engine;
