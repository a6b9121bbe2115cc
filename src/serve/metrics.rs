//! What is seen, in the OpenMetrics text format. Pure.
//!
//! Made anew for each scrape, so that nothing of a program that has left the configuration stays behind.

use std::fmt;

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::look::{Answer, Seen};
use crate::control::protocol::{LastExit, Status, Supervisor};

/// The type of the text.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The states that a program may be in; of each program one series is 1 and the others are 0.
const STATES: [&str; 7] = ["down", "initializing", "starting", "running", "stopping", "backoff", "failed"];

/// What is seen, as text.
pub(super) fn render(seen: &Seen, now: Timestamp) -> String {
    let mut registry = Registry::with_prefix("polar");
    registry.register_collector(Box::new(Snapshot { answer: seen.as_ref().ok().cloned(), now }));
    let mut text = String::new();
    // A String takes all that is written to it, and nothing here refuses a value.
    let _ = encode(&mut text, &registry);
    text
}

#[derive(Debug)]
struct Snapshot {
    answer: Option<Answer>,
    now: Timestamp,
}

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut page = Page { encoder };
        page.gauge("up", "Whether the supervisor answers", None, [([], u64::from(self.answer.is_some()))])?;
        let Some(answer) = &self.answer else { return Ok(()) };
        self.supervisor(&mut page, &answer.supervisor)?;
        states(&mut page, &answer.programs)?;
        self.times(&mut page, &answer.programs)?;
        ends(&mut page, &answer.programs)?;
        output(&mut page, &answer.programs)
    }
}

impl Snapshot {
    fn supervisor(&self, page: &mut Page, it: &Supervisor) -> fmt::Result {
        page.info("supervisor", "The supervisor", [[("version", it.version.as_str())]])?;
        let uptime = age(self.now, &it.since).map(|age| ([], age));
        page.gauge("supervisor_uptime", "Time since the supervisor started", Some(&Unit::Seconds), uptime)?;
        let ending = [([], u64::from(it.shutting_down))];
        page.gauge("supervisor_shutting_down", "Whether the supervisor is ending", None, ending)?;
        let reaped = [([], it.orphans_reaped)];
        page.counter("supervisor_orphans_reaped", "Orphans that the supervisor has reaped", None, reaped)?;
        let dropped = [([], it.dropped_lines)];
        let help = "Lines of the supervisor's standard output that were dropped because nobody read them";
        page.counter("supervisor_output_dropped_lines", help, None, dropped)
    }

    fn times(&self, page: &mut Page, all: &[Status]) -> fmt::Result {
        let seconds = Some(&Unit::Seconds);
        let since = all.iter().filter_map(|it| Some((name(it), age(self.now, &it.since)?)));
        page.gauge("program_time_in_state", "Time since the program came into its state", seconds, since)?;
        let down = all.iter().flat_map(|it| {
            let causes = it.downtime.iter();
            causes.map(|(cause, time)| ([("program", it.name.as_str()), ("cause", cause.as_str())], *time))
        });
        let help = "Time that the program was not ready since the supervisor started, by cause";
        page.counter("program_downtime", help, seconds, down)?;
        let starts = all.iter().filter_map(|it| Some((name(it), it.start_seconds?)));
        page.gauge("program_start_duration", "How long the last start took until ready", seconds, starts)?;
        let stops = all.iter().filter_map(|it| Some((name(it), it.stop_seconds?)));
        page.gauge("program_stop_duration", "How long the last stop took", seconds, stops)?;
        let pauses = all.iter().map(|it| (name(it), it.starts_in.unwrap_or(0.0)));
        let help = "Time until the program is started again after a failure; 0 where it does not pause";
        page.gauge("program_backoff", help, seconds, pauses)?;
        let last = all.iter().filter_map(|it| {
            let at: Timestamp = it.last_exit.as_ref()?.at.parse().ok()?;
            Some((name(it), at.as_duration().as_secs_f64()))
        });
        page.gauge("program_last_exit_time", "When the main process ended last, since 1970", seconds, last)
    }
}

fn states(page: &mut Page, all: &[Status]) -> fmt::Result {
    let kinds = all.iter().map(|it| [("program", it.name.as_str()), ("kind", it.kind.as_str())]);
    page.info("program", "A program of the configuration", kinds)?;
    let states = all.iter().flat_map(|it| {
        STATES.map(|state| {
            let labels = [("program", it.name.as_str()), ("state", state)];
            (labels, u64::from(it.state == state))
        })
    });
    page.gauge("program_state", "Whether the program is in this state", None, states)?;
    let reasons = all.iter().filter_map(|it| {
        let reason = it.reason.as_deref()?;
        Some(([("program", it.name.as_str()), ("reason", reason)], 1_u64))
    });
    page.gauge("program_reason", "Why the program is not running; absent without a reason", None, reasons)?;
    let yes = |of: fn(&Status) -> bool| all.iter().map(move |it| (name(it), u64::from(of(it))));
    let help = "Whether the program is ready; of a one-shot: whether it has completed";
    page.gauge("program_ready", help, None, yes(|it| it.ready))?;
    page.gauge(
        "program_locked",
        "Whether the lock file of the program exists",
        None,
        yes(|it| it.lock.is_some()),
    )?;
    let help = "Whether the main process was started by somebody else";
    page.gauge("program_adopted", help, None, yes(|it| it.adopted))?;
    let standbys = all.iter().filter_map(|it| Some((name(it), u64::from(it.standby?))));
    page.gauge("program_standby", "Whether the engine is a standby; absent where not known", None, standbys)
}

fn ends(page: &mut Page, all: &[Status]) -> fmt::Result {
    let restarts = all.iter().map(|it| (name(it), it.restarts));
    page.counter("program_restarts", "How often the main process was started again", None, restarts)?;
    let ends = all.iter().flat_map(|it| {
        let classes = it.ends.iter();
        classes.map(|(class, count)| ([("program", it.name.as_str()), ("class", class.as_str())], *count))
    });
    let help =
        "Ends of the main process that nobody asked for, each followed by a restart or a giving up, by class";
    page.counter("program_ends", help, None, ends)?;
    let failures = all.iter().map(|it| (name(it), it.failures));
    page.gauge("program_failures_in_a_row", "Failures since the program was last well", None, failures)?;
    let codes = all.iter().filter_map(|it| {
        let exit = it.last_exit.as_ref()?;
        let labels = [("program", it.name.as_str()), ("class", exit.class.as_str())];
        Some((labels, i64::from(status_of(exit)?)))
    });
    let help = "Exit status of the main process's last end; 128 + signal where one ended it";
    page.gauge("program_last_exit_code", help, None, codes)
}

fn output(page: &mut Page, all: &[Status]) -> fmt::Result {
    let dropped = all.iter().map(|it| (name(it), it.dropped_lines));
    let help = "Lines of the program's output that were dropped because nobody read them";
    page.counter("program_output_dropped_lines", help, None, dropped)
}

/// The one label of most series.
fn name(program: &Status) -> [(&'static str, &str); 1] {
    [("program", program.name.as_str())]
}

fn status_of(exit: &LastExit) -> Option<i32> {
    exit.code.or_else(|| exit.signal.map(|signal| 128 + signal))
}

/// Seconds since `then`; a clock that was set back makes none negative.
fn age(now: Timestamp, then: &str) -> Option<f64> {
    let then: Timestamp = then.parse().ok()?;
    Some(now.duration_since(then).as_secs_f64().max(0.0))
}

/// Writes families of series.
struct Page<'a> {
    encoder: DescriptorEncoder<'a>,
}

impl Page<'_> {
    fn gauge<'l, const N: usize, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        series: impl IntoIterator<Item = ([(&'static str, &'l str); N], V)>,
    ) -> fmt::Result {
        let mut family = self.encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        for (labels, value) in series {
            match N {
                0 => family.encode_gauge(&value)?,
                _ => family.encode_family(&labels)?.encode_gauge(&value)?,
            }
        }
        Ok(())
    }

    fn counter<'l, const N: usize, V: EncodeCounterValue>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        series: impl IntoIterator<Item = ([(&'static str, &'l str); N], V)>,
    ) -> fmt::Result {
        let mut family = self.encoder.encode_descriptor(name, help, unit, MetricType::Counter)?;
        for (labels, value) in series {
            match N {
                0 => family.encode_counter::<NoLabelSet, _, f64>(&value, None)?,
                _ => family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&value, None)?,
            }
        }
        Ok(())
    }

    fn info<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = [(&'static str, &'l str); N]>,
    ) -> fmt::Result {
        let mut family = self.encoder.encode_descriptor(name, help, None, MetricType::Info)?;
        for labels in series {
            family.encode_info(&labels)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
