//! Medians and the like.

/// Samples of one init in one measure.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Samples(Vec<f64>);

impl Samples {
    pub fn push(&mut self, value: f64) {
        let place = self.0.partition_point(|&other| other < value);
        self.0.insert(place, value);
    }

    pub fn sorted(&self) -> &[f64] {
        &self.0
    }

    /// `None` without samples.
    pub fn median(&self) -> Option<f64> {
        let (count, half) = (self.0.len(), self.0.len() / 2);
        match count {
            0 => None,
            _ if count % 2 == 1 => Some(self.0[half]),
            _ => Some(f64::midpoint(self.0[half - 1], self.0[half])),
        }
    }

    /// The smallest value that 95 of 100 do not exceed (nearest rank).
    pub fn p95(&self) -> Option<f64> {
        let rank = (self.0.len() * 95).div_ceil(100);
        self.0.get(rank.checked_sub(1)?).copied()
    }
}
