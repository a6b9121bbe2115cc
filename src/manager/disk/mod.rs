//! How full the volumes of an instance are, and larger ones.
//!
//! | module | what it does |
//! |---|---|
//! | `space` | the size of a file system |
//! | `status` | `disk status`: file systems, the log's size, what slots hold back |
//! | `pfs` | how PolarDB's file system grows: command line and SQL (pure) |
//! | `expand` | `disk expand` |

mod expand;
mod pfs;
pub(super) mod space;
mod status;

pub use expand::Expand;
pub use pfs::gigabytes;
pub use space::Space;
pub use status::{Place, Slot, Status, status};
