//! The local lease: how long after reading back a record of its own an owner may send (R12).
//!
//! The lease is nobody's promise to wait: a successor claims at once. It bounds how long a process that was stopped (by a
//! pause of the machine, say) goes on sending before it looks at the log again.

use std::time::Duration;

/// Counts from the moment before the append whose record was read back, so that a pause between append and read-back only
/// shortens it.
#[derive(Debug, Clone, Copy)]
pub struct Lease {
    length: Duration,
    renewed: Option<Duration>,
}

impl Lease {
    /// A lease that isn't running yet.
    pub fn new(length: Duration) -> Self {
        Self { length, renewed: None }
    }

    /// A record of ours was read back that was appended after `began` (monotonic).
    pub fn renew(&mut self, began: Duration) {
        self.renewed = Some(began);
    }

    /// Ends it: the owner knows or must suspect that it is none.
    pub fn end(&mut self) {
        self.renewed = None;
    }

    /// Whether it runs at `now` (monotonic).
    pub fn runs(&self, now: Duration) -> bool {
        self.renewed.is_some_and(|began| now.saturating_sub(began) <= self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_runs_from_its_renewal_for_its_length_and_not_before_or_after() {
        let ms = Duration::from_millis;
        let mut lease = Lease::new(ms(100));
        assert!(!lease.runs(ms(0)));
        lease.renew(ms(50));
        assert!(lease.runs(ms(150)));
        assert!(!lease.runs(ms(151)));
        lease.renew(ms(151));
        assert!(lease.runs(ms(200)));
        lease.end();
        assert!(!lease.runs(ms(200)));
    }
}
