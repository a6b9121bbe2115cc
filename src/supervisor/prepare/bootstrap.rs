//! The variables of first boot, read while files for root alone can still be read.

use std::path::Path;

use super::halt::{Outcome, refused};
use super::work::Work;
use crate::engine::bootstrap::{Bootstrap, bootstrap};

/// What the variables say, or what is wrong with them: that matters only if there is a first boot.
pub(super) struct Variables(Result<Bootstrap, Vec<String>>);

impl Variables {
    /// Reads them from the engine's environment and our own, in this order.
    pub(super) fn read(work: Work<'_>) -> Self {
        let mut environment = work.order.environment.clone();
        environment.extend(
            std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        );
        Variables(bootstrap(&environment, &|path| std::fs::read_to_string(path)))
    }

    /// The folder of the write-ahead log, where one is named.
    pub(super) fn wal_dir(&self) -> Option<&Path> {
        self.0.as_ref().ok()?.wal_dir.as_deref()
    }

    /// # Errors
    /// Refused, with every mistake.
    pub(super) fn get(self) -> Outcome<Bootstrap> {
        self.0.map_err(|mistakes| {
            refused(
                format!("the variables of first boot are wrong: {}", mistakes.join("; ")),
                "correct them and start again; nothing was changed on disk",
            )
        })
    }
}
