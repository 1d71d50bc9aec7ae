//! How many requests came, and what befell them.

use serde::Serialize;
use std::collections::BTreeMap;

/// Counts since the proxy was started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Requests by method.
    pub requests: BTreeMap<String, u64>,
    /// Injected faults, and answers that a mode changed, by fault or mode and method.
    pub faults: BTreeMap<&'static str, BTreeMap<String, u64>>,
    /// Requests that the node did not answer by itself.
    pub upstream_failures: u64,
}

impl Counts {
    /// Counts a request; the number of those of its method before it.
    pub(super) fn request(&mut self, method: &str) -> u64 {
        let count = self.requests.entry(method.to_owned()).or_default();
        let before = *count;
        *count = count.saturating_add(1);
        before
    }

    /// Counts what befell a request.
    pub(super) fn met(&mut self, name: &'static str, method: &str) {
        let count = self.faults.entry(name).or_default().entry(method.to_owned()).or_default();
        *count = count.saturating_add(1);
    }

    /// All requests.
    pub fn requests_total(&self) -> u64 {
        self.requests.values().sum()
    }

    /// All that met a fault or a mode.
    pub fn faults_total(&self) -> u64 {
        self.faults.values().flat_map(BTreeMap::values).sum()
    }

    /// Requests that met this fault or mode.
    pub fn of(&self, name: &str) -> u64 {
        self.faults.get(name).map_or(0, |methods| methods.values().sum())
    }
}
