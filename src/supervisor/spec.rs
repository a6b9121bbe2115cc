//! From what the configuration means to what the core must know.

use std::collections::BTreeMap;
use std::time::Duration;

use super::core::{self, Id, Ladder, Rung, Spec};
use crate::config;

/// How often old collector files are looked for while an engine is up: `log_keep` counts in days.
const UPKEEP: Duration = Duration::from_secs(60 * 60);

/// What the core must know of a program; `id_of` knows the programs by their names.
#[must_use]
pub fn spec(program: &config::Program, id_of: impl Fn(&str) -> Option<Id>) -> Spec {
    let ids = |names: &[String]| names.iter().filter_map(|name| id_of(name)).collect();
    let engine = program.kind.engine();
    let restart = &program.restart;
    Spec {
        name: program.name.clone(),
        kind: match program.kind {
            config::Kind::Postgres(_) => core::Kind::Engine,
            config::Kind::Command(_) => core::Kind::Command,
            config::Kind::Oneshot(_) => core::Kind::Oneshot,
        },
        lock_file: engine.map(|engine| engine.lock_file.display().to_string()),
        critical: program.critical,
        prepares: engine.is_some(),
        after: ids(&program.needs.after),
        requires: ids(&program.needs.requires),
        bound: program.needs.bound,
        ready_within: program.kind.command().and_then(|command| Some(command.ready.as_ref()?.timeout)),
        ladder: Ladder {
            first: match engine.map(|engine| engine.stop_mode) {
                Some(config::StopMode::Smart) => Rung::Smart,
                Some(config::StopMode::Immediate) => Rung::Immediate,
                Some(config::StopMode::Fast) | None => Rung::Fast,
            },
            immediate: engine.is_some(),
            budget: program.stop_timeout,
        },
        stop_signal: program.kind.command().map(|command| command.stop_signal),
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
        upkeep: engine.is_some_and(|engine| !engine.log_keep.is_zero()).then_some(UPKEEP),
    }
}

/// What the core must know of all programs, whose ids are their places in the list.
#[must_use]
pub(super) fn specs(programs: &[config::Program]) -> Vec<Spec> {
    let ids: BTreeMap<&str, Id> =
        programs.iter().enumerate().map(|(place, program)| (program.name.as_str(), Id(place))).collect();
    programs.iter().map(|program| spec(program, |name| ids.get(name).copied())).collect()
}
