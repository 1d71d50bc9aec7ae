//! Which partitions this replica is to own, and how long: by the consumer group on Kafka, all of them on the embedded journal.
//!
//! The group shares out the partitions of `jobs.v1` alone. Every other partition goes with one of them, its *seat*: partitions
//! that nobody works on, as most of `lanes.v1` are, would count as much as the others if the group shared them out.
//!
//! A mandate is no fence (R12). Two replicas may hold one for the same partition, after a pause or a cut network: the claims
//! in the log tell them apart, and the one that reads a higher claim stands down. It then claims again only when the group
//! assigned the partition anew, or when it still is assigned long after the group must have noticed: two replicas never chase
//! each other's claims.

use acurast_events::topics::TopicPartition;
use acurast_relayer_journal::Assignment;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Where mandates come from.
#[derive(Clone)]
pub struct Mandates {
    assignment: watch::Receiver<Assignment>,
    reclaim_after: Duration,
    stop: CancellationToken,
}

impl Mandates {
    /// Follows `assignment`. `reclaim_after` is how long a replica that was superseded, and still is assigned, leaves the
    /// partition to the other one.
    pub fn new(assignment: watch::Receiver<Assignment>, reclaim_after: Duration, stop: CancellationToken) -> Self {
        Self { assignment, reclaim_after, stop }
    }

    /// The mandate for one partition, which goes with `seat`, a partition of `jobs.v1`.
    pub fn of(&self, at: TopicPartition, seat: TopicPartition) -> Mandate {
        Mandate { at, seat, mandates: self.clone(), stood_down: None }
    }
}

/// A replica's mandate to own one partition.
pub struct Mandate {
    at: TopicPartition,
    seat: TopicPartition,
    mandates: Mandates,
    /// In which generation, and when, this replica was superseded.
    stood_down: Option<(u64, Instant)>,
}

impl Mandate {
    /// The partition.
    pub fn partition(&self) -> &TopicPartition {
        &self.at
    }

    /// Whether the process is to stop.
    pub fn stopped(&self) -> bool {
        self.mandates.stop.is_cancelled()
    }

    /// Whether the partition may be owned now.
    pub fn holds(&self) -> bool {
        if self.stopped() {
            return false;
        }
        let assignment = self.mandates.assignment.borrow();
        let waived = self
            .stood_down
            .is_some_and(|(generation, at)| assignment.generation == generation && at.elapsed() < self.mandates.reclaim_after);
        assignment.partitions.contains(&self.seat) && !waived
    }

    /// Gives the partition up to whoever claimed it.
    pub fn stand_down(&mut self) {
        self.stood_down = Some((self.mandates.assignment.borrow().generation, Instant::now()));
    }

    /// Waits until [`Self::holds`] may have changed; may be cancelled. Whoever gets woken looks again.
    pub async fn changed(&mut self) {
        let again = self.stood_down.map(|(_, at)| at + self.mandates.reclaim_after).filter(|again| *again > Instant::now());
        let waived = async {
            match again {
                Some(again) => tokio::time::sleep_until(again).await,
                None => std::future::pending().await,
            }
        };
        let assigned = async {
            // Without whoever assigns, the last assignment stands.
            if self.mandates.assignment.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = self.mandates.stop.cancelled() => {}
            () = waived => {}
            () = assigned => {}
        }
    }

    /// Waits until the partition may not be owned any more; may be cancelled.
    pub async fn ended(&mut self) {
        while self.holds() {
            self.changed().await;
        }
    }

    /// Waits for the stop of the process, at most `pause`.
    pub async fn rest(&self, pause: Duration) {
        tokio::select! {
            () = self.mandates.stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use acurast_events::topics::TopicName;
    use futures::FutureExt;

    fn at() -> TopicPartition {
        TopicName::new("acurast.jobs.v1").partition(3)
    }

    fn lane() -> TopicPartition {
        TopicName::new("acurast.lanes.v1").partition(7)
    }

    fn assigned(generation: u64, partitions: &[TopicPartition]) -> Assignment {
        Assignment { generation, partitions: partitions.iter().cloned().collect() }
    }

    /// Long enough that only its own test meets its end.
    const RECLAIM_AFTER: Duration = Duration::from_secs(3_600);

    fn mandate(reclaim_after: Duration) -> (watch::Sender<Assignment>, Mandate, CancellationToken) {
        let (sender, assignment) = watch::channel(assigned(1, &[at()]));
        let stop = CancellationToken::new();
        (sender, Mandates::new(assignment, reclaim_after, stop.clone()).of(lane(), at()), stop)
    }

    #[tokio::test]
    async fn a_mandate_lasts_until_the_partition_is_another_replicas_or_the_process_stops() {
        let (sender, mut mandate, stop) = mandate(RECLAIM_AFTER);
        assert!(mandate.holds());
        sender.send_replace(assigned(2, &[]));
        mandate.ended().await;
        assert!(!mandate.holds() && !mandate.stopped());
        sender.send_replace(assigned(3, &[at()]));
        assert!(mandate.holds());
        stop.cancel();
        mandate.ended().await;
        assert!(!mandate.holds() && mandate.stopped());
    }

    #[tokio::test]
    async fn whoever_stood_down_claims_again_only_when_it_is_assigned_anew() {
        let (sender, mut mandate, _stop) = mandate(RECLAIM_AFTER);
        mandate.stand_down();
        assert!(!mandate.holds());
        sender.send_replace(assigned(2, &[at()]));
        mandate.changed().await;
        assert!(mandate.holds());
    }

    #[tokio::test]
    async fn whoever_stood_down_and_stays_assigned_claims_again_once_the_group_must_have_noticed() {
        let pause = Duration::from_millis(20);
        let (_sender, mut mandate, _stop) = mandate(pause);
        mandate.stand_down();
        let began = Instant::now();
        while !mandate.holds() {
            mandate.changed().await;
        }
        assert!(began.elapsed() >= pause);
    }

    #[tokio::test]
    async fn without_whoever_assigns_the_last_assignment_stands() {
        let (sender, mut mandate, _stop) = mandate(RECLAIM_AFTER);
        drop(sender);
        assert!(mandate.ended().now_or_never().is_none());
        assert!(mandate.holds());
    }
}
