//! How many requests came, and what befell them.

use serde::Serialize;
use std::collections::BTreeMap;

/// So many methods are told apart; requests of further ones count under [`OTHERS`].
const METHODS_MAX: usize = 256;
/// The name of all further methods.
const OTHERS: &str = "others";

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
        let known = self.requests.len() < METHODS_MAX || self.requests.contains_key(method);
        let count = self.requests.entry(if known { method } else { OTHERS }.to_owned()).or_default();
        let before = *count;
        *count = count.saturating_add(1);
        before
    }

    /// Counts what befell a request.
    pub(super) fn met(&mut self, name: &'static str, method: &str) {
        let method = if self.requests.contains_key(method) { method } else { OTHERS };
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn methods_without_end_are_counted_in_bounded_memory() {
        let mut counts = Counts::default();
        for n in 0..1_000 {
            let method = format!("method_{n}");
            counts.request(&method);
            counts.met("delay", &method);
        }
        assert_eq!((counts.requests_total(), counts.faults_total()), (1_000, 1_000));
        assert_eq!(counts.requests.len(), METHODS_MAX + 1);
        assert_eq!(counts.faults["delay"].len(), METHODS_MAX + 1);
        assert_eq!(counts.request("method_3"), 1);
    }
}
