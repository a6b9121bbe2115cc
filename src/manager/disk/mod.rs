//! How full the volumes of an instance are.
//!
//! | module | what it does |
//! |---|---|
//! | `space` | the size of a file system |

pub(super) mod space;

pub use space::Space;
