//! What a measure found out.

use crate::peer::{LIMIT, OURS};
use crate::stats::Samples;

/// What our own value has to reach.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    /// At most this multiple of the limit.
    Limit(f64),
    /// At most this multiple of another's value.
    Of(&'static str, f64),
    /// At least this multiple of the limit, where more is better.
    LimitAtLeast(f64),
    /// At most this.
    Most(f64),
    /// At least this multiple of another's value.
    Times(&'static str, f64),
    /// Better than each of these.
    Ahead(&'static [&'static str]),
}

/// One init's part in a table.
#[derive(Debug, Clone)]
pub struct Row {
    pub peer: &'static str,
    pub samples: Samples,
    /// What was seen beside the value, or why there is none.
    pub note: String,
    failures: usize,
}

/// One measured quantity.
#[derive(Debug, Clone)]
pub struct Table {
    /// For `ONLY` and the JSON.
    pub name: String,
    pub title: String,
    /// What was done and what is counted.
    pub method: &'static str,
    pub unit: &'static str,
    pub goals: Vec<Goal>,
    /// Whether a larger value is better.
    pub more: bool,
    pub rows: Vec<Row>,
}

impl Table {
    pub fn new(
        name: impl Into<String>,
        title: impl Into<String>,
        unit: &'static str,
        method: &'static str,
    ) -> Self {
        let (name, title) = (name.into(), title.into());
        Self { name, title, method, unit, goals: Vec::new(), more: false, rows: Vec::new() }
    }

    pub fn goal(mut self, goal: Goal) -> Self {
        self.goals.push(goal);
        self
    }

    pub fn more_is_better(mut self) -> Self {
        self.more = true;
        self
    }

    pub fn row(&mut self, peer: &'static str) -> &mut Row {
        let index = self.rows.iter().position(|row| row.peer == peer).unwrap_or_else(|| {
            self.rows.push(Row { peer, samples: Samples::default(), note: String::new(), failures: 0 });
            self.rows.len() - 1
        });
        &mut self.rows[index]
    }

    pub fn median(&self, peer: &str) -> Option<f64> {
        self.rows.iter().find(|row| row.peer == peer)?.samples.median()
    }

    /// The value as a multiple of the limit's.
    pub fn ratio(&self, value: f64) -> Option<f64> {
        self.median(LIMIT).filter(|&limit| limit > 0.0).map(|limit| value / limit)
    }

    fn beats(&self, ours: f64, other: f64) -> bool {
        if self.more { ours >= other } else { ours <= other }
    }

    /// How our own does: each goal with what came of it, and who is better.
    pub fn verdict(&self) -> Vec<String> {
        let Some(ours) = self.median(OURS) else {
            let why = self.rows.iter().find(|row| row.peer == OURS).map_or("", |row| &row.note);
            return vec![format!("no value of our own. {why}")];
        };
        let mut said: Vec<String> = self.goals.iter().map(|goal| self.judge(goal, ours)).collect();
        let better: Vec<String> = self
            .rows
            .iter()
            .filter(|row| row.peer != OURS && row.peer != LIMIT)
            .filter_map(|row| Some((row.peer, row.samples.median()?)))
            .filter(|&(_, value)| !self.beats(ours, value))
            .map(|(peer, value)| format!("{peer} ({})", number(value)))
            .collect();
        if !better.is_empty() {
            said.push(format!("**We lose to {}.**", better.join(", ")));
        }
        said
    }

    fn judge(&self, goal: &Goal, ours: f64) -> String {
        let (wanted, met) = match *goal {
            Goal::Limit(most) => {
                (format!("≤ {} × the limit", number(most)), self.ratio(ours).map(|ratio| ratio <= most))
            }
            Goal::Of(peer, most) => {
                let value = self.median(peer);
                (format!("≤ {} × {peer}", number(most)), value.map(|value| ours <= value * most))
            }
            Goal::LimitAtLeast(least) => {
                (format!("≥ {} × the limit", number(least)), self.ratio(ours).map(|ratio| ratio >= least))
            }
            Goal::Most(most) => (format!("≤ {} {}", number(most), self.unit), Some(ours <= most)),
            Goal::Times(peer, factor) => (
                format!("≥ {} × {peer}", number(factor)),
                self.median(peer).map(|value| ours >= value * factor),
            ),
            Goal::Ahead(peers) => {
                let medians: Vec<f64> = peers.iter().filter_map(|peer| self.median(peer)).collect();
                (
                    format!("ahead of {}", peers.join(", ")),
                    (!medians.is_empty()).then(|| medians.iter().all(|&value| self.beats(ours, value))),
                )
            }
        };
        let met = match met {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "not comparable in this run",
        };
        format!("Goal {wanted}: {met}.")
    }
}

impl Row {
    /// Notes that a round failed; the first cause stays.
    pub fn fail(&mut self, why: String) {
        self.failures += 1;
        if self.note.is_empty() {
            self.note = why;
        }
    }

    /// Whether it has failed so often that further rounds are of no use.
    pub fn hopeless(&self) -> bool {
        self.failures >= 2 || (self.failures == 1 && self.samples.sorted().is_empty())
    }
}

/// A value in three digits or so.
pub fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => {
            let digits = format!("{value:.0}");
            let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |rest| ("-", rest));
            let groups: Vec<&[u8]> = digits.as_bytes().rchunks(3).rev().collect();
            sign.to_owned() + &String::from_utf8_lossy(&groups.join(&b','))
        }
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        0.0 => "0".into(),
        _ => format!("{value:.3}"),
    }
}
