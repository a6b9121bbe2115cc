//! Replicas of an instance, as its primary sees them: slots, the role they stream as, who lets them in, and whom commits
//! wait for.
//!
//! | module | what it does |
//! |---|---|
//! | `name` | names of slots, which are the replicas' names too |
//! | `sync` | `synchronous_standby_names`: one name more, one less |
//! | `hba` | whether `pg_hba.conf` lets a role stream, and the line that does |
//! | `slot` | what the server says of slots, and what they hold back |
//! | `make` | `replica create` |
//! | `remove` | `replica drop` |
//! | `slot_alone` | a slot without the rest |

mod hba;
mod make;
mod name;
mod remove;
mod slot;
mod slot_alone;
mod sync;

pub use make::Make;
pub use name::{Kind, Name};
pub use remove::Remove;
pub use slot::{Slot, list};
pub use slot_alone::SlotAlone;
