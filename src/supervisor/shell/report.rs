//! SIGUSR1: how it stands, in the log.

use super::Shell;
use crate::supervisor::core;

impl Shell {
    /// SIGUSR1: says how it stands.
    pub(super) fn report(&self) {
        for (id, report) in core::report(&self.state, self.now()) {
            let holds = |condition: &core::Condition| condition.effect == core::Effect::Blocks;
            let conditions = core::explain(&self.state, self.now(), id);
            let held: Vec<String> = conditions
                .into_iter()
                .filter(holds)
                .map(|condition| format!("; {}", condition.text))
                .collect();
            log::info!(
                target: self.name(id),
                "{}{} for {:.1} s, restarts: {}, failures in a row: {}{}{}{}",
                report.state,
                report.reason.map(|reason| format!(" ({reason})")).unwrap_or_default(),
                report.since.as_secs_f64(),
                report.restarts,
                report.failures,
                if report.adopted { ", adopted" } else { "" },
                if report.standby == Some(true) { ", standby" } else { "" },
                held.concat()
            );
        }
    }
}
