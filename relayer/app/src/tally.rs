//! Tells how far long work is: a bar on a terminal, a line in the log every few seconds elsewhere.

use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const LINE_EVERY: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Bytes,
    Records,
}

/// Work of which the amount is known.
pub struct Tally {
    what: &'static str,
    unit: Unit,
    total: u64,
    done: AtomicU64,
    began: Instant,
    told: Mutex<Instant>,
    bar: Option<ProgressBar>,
}

impl Tally {
    /// Work on so many bytes.
    pub fn bytes(what: &'static str, total: u64) -> Self {
        Self::new(what, Unit::Bytes, total, "{msg} {wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left")
    }

    /// Work on so many records.
    pub fn records(what: &'static str, total: u64) -> Self {
        Self::new(what, Unit::Records, total, "{msg} {wide_bar} {human_pos} of {human_len} records, {per_sec}, {eta} left")
    }

    fn new(what: &'static str, unit: Unit, total: u64, template: &str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total).with_message(what);
            // The template is ours; were it wrong, the plain bar says enough.
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar
        });
        let began = Instant::now();
        Self { what, unit, total, done: AtomicU64::new(0), began, told: Mutex::new(began), bar }
    }

    /// So much more is done.
    pub fn add(&self, count: u64) {
        let done = self.done.fetch_add(count, Ordering::Relaxed).saturating_add(count);
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            return;
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.elapsed() >= LINE_EVERY {
            *told = Instant::now();
            tracing::info!("{}", self.line(done, self.began.elapsed()));
        }
    }

    /// All is done.
    pub fn done(&self) {
        match &self.bar {
            Some(bar) => bar.finish_and_clear(),
            None => tracing::info!("{}", self.line(self.done.load(Ordering::Relaxed), self.began.elapsed())),
        }
    }

    /// The amounts, the rate, and the time that is left at that rate.
    fn line(&self, done: u64, elapsed: Duration) -> String {
        let amount = |amount: u64| match self.unit {
            Unit::Bytes => HumanBytes(amount).to_string(),
            Unit::Records => format!("{amount} records"),
        };
        let milliseconds = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = u64::try_from(u128::from(done).saturating_mul(1_000) / u128::from(milliseconds)).unwrap_or(u64::MAX);
        let left = match self.total.saturating_sub(done) {
            0 => String::new(),
            _ if rate == 0 => ", no telling how long still".into(),
            rest => format!(", {} left", HumanDuration(Duration::from_secs(rest.checked_div(rate).unwrap_or(u64::MAX).min(31_536_000)))),
        };
        format!("{}: {} of {}, {} a second{left}", self.what, amount(done), amount(self.total), amount(rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_much_how_fast_and_how_long_still() {
        let tally = Tally::records("folding", 3_000);
        assert_eq!(
            tally.line(1_000, Duration::from_secs(2)),
            "folding: 1000 records of 3000 records, 500 records a second, 4 seconds left"
        );
        assert_eq!(tally.line(3_000, Duration::from_secs(3)), "folding: 3000 records of 3000 records, 1000 records a second");
        let bytes = Tally::bytes("restoring", 4 << 20);
        assert_eq!(bytes.line(0, Duration::ZERO), "restoring: 0 B of 4.00 MiB, 0 B a second, no telling how long still");
    }
}
