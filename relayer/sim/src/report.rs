//! The report of `make sim`: a table for people, a file for programs (R17).

use comfy_table::{Table, presets};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// What a target claims; it holds exactly when there is no failure.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The target.
    pub target: String,
    /// The commit that is checked out, marked when the working copy differs from it.
    pub revision: String,
    /// What it ran on.
    pub host: String,
    /// When it began, RFC 3339.
    pub started: String,
    /// How long it took.
    pub seconds: f64,
    /// Whether everything that it claims holds.
    pub holds: bool,
    /// The figures.
    pub figures: BTreeMap<String, Value>,
    /// What doesn't hold.
    pub failures: Vec<String>,
}

impl Report {
    /// A report of a run that began at `started` and took `seconds`.
    pub fn new(target: &str, started: SystemTime, seconds: f64, figures: BTreeMap<String, Value>, failures: Vec<String>) -> Self {
        Self {
            target: target.to_owned(),
            revision: revision(),
            host: host(),
            started: rfc3339(started),
            seconds,
            holds: failures.is_empty(),
            figures,
            failures,
        }
    }

    /// Removes an earlier report of `target`, if there is one.
    ///
    /// # Errors
    /// When it is there and can't be removed.
    pub fn remove(target: &str, directory: &Path) -> io::Result<()> {
        match std::fs::remove_file(directory.join(format!("{target}.json"))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Writes `<directory>/<target>.json`, whole or not at all, and returns its path.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn write(&self, directory: &Path) -> io::Result<PathBuf> {
        std::fs::create_dir_all(directory)?;
        let file = directory.join(format!("{}.json", self.target));
        let part = directory.join(format!("{}.json.part", self.target));
        std::fs::write(&part, format!("{}\n", serde_json::to_string_pretty(self)?))?;
        std::fs::rename(&part, &file)?;
        Ok(file)
    }

    /// The table that the target ends with.
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        table.set_header([self.target.as_str(), if self.holds { "HOLDS" } else { "DOES NOT HOLD" }]);
        for (name, value) in &self.figures {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            table.add_row([name.replace('_', " "), text]);
        }
        table.add_row(["seconds".to_owned(), format!("{:.1}", self.seconds)]);
        table.add_row(["revision".to_owned(), self.revision.clone()]);
        let failures = self.failures.iter().map(|failure| format!("\n  ✗ {failure}")).collect::<String>();
        format!("{table}{failures}")
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned())
}

fn revision() -> String {
    let Some(head) = git(&["rev-parse", "HEAD"]) else { return "unknown".to_owned() };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|text| !text.is_empty());
    if changed { format!("{head}-dirty") } else { head }
}

fn host() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_once(':').map(|(_, value)| value.trim().to_owned())
    };
    let model = field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let kib = field(&read("/proc/meminfo"), "MemTotal").and_then(|text| text.split(' ').next()?.parse::<u64>().ok()).unwrap_or(0);
    // Tenths of a GiB, in integers.
    let tenths = kib * 10 / (1 << 20);
    format!(
        "{cores} × {model}, {}.{} GiB, {} {}",
        tenths / 10,
        tenths % 10,
        std::env::consts::OS,
        read("/proc/sys/kernel/osrelease").trim()
    )
}

/// A time as RFC 3339 in UTC, milliseconds.
fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Civil date from days, by 400-year eras of 146,097 days that begin on 1 March of the year 0.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute) = (second / 3_600, second % 3_600 / 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}.{:03}Z", second % 60, since.subsec_millis())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_told_as_rfc_3339() {
        let at = |seconds| rfc3339(UNIX_EPOCH + Duration::from_millis(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_400_123), "2000-02-29T00:00:00.123Z");
        assert_eq!(at(1_798_761_599_000), "2026-12-31T23:59:59.000Z");
    }
}
