//! From what the configuration means to what the core must know.

use std::time::Duration;

use super::core::{self, Ladder, Rung, Spec};
use crate::config;

/// How often old collector files are looked for while an engine is up: `log_keep` counts in days.
const UPKEEP: Duration = Duration::from_secs(60 * 60);

/// What the core must know of a program.
#[must_use]
pub fn spec(program: &config::Program) -> Spec {
    let config::Kind::Postgres(engine) = &program.kind;
    let restart = &program.restart;
    Spec {
        name: program.name.clone(),
        lock_file: engine.lock_file.display().to_string(),
        critical: program.critical,
        prepares: true,
        after: Vec::new(),
        ladder: Ladder {
            first: match engine.stop_mode {
                config::StopMode::Smart => Rung::Smart,
                config::StopMode::Fast => Rung::Fast,
                config::StopMode::Immediate => Rung::Immediate,
            },
            immediate: true,
            budget: program.stop_timeout,
        },
        restart: core::Restart {
            policy: match restart.policy {
                config::RestartPolicy::Always => core::Policy::Always,
                config::RestartPolicy::OnFailure => core::Policy::OnFailure,
                config::RestartPolicy::Never => core::Policy::Never,
            },
            min_backoff: restart.min_backoff,
            max_backoff: restart.max_backoff,
            clean_exit_delay: restart.clean_exit_delay,
            reset_after: restart.reset_after,
            give_up_after: restart.give_up_after,
            on_give_up: match restart.on_give_up {
                config::OnGiveUp::Exit => core::OnGiveUp::Exit,
                config::OnGiveUp::Stay => core::OnGiveUp::Stay,
            },
        },
        upkeep: (!engine.log_keep.is_zero()).then_some(UPKEEP),
    }
}
