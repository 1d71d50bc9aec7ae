//! What this replica is to own: everything with the embedded journal, what the consumer group assigns on Kafka.

use crate::backend::Backend;
use acurast_events::topics::{TopicName, TopicPartition};
use acurast_events::units::Offset;
use acurast_relayer_journal::Assignment;
use acurast_relayer_journal_kafka::{ConfigError, Membership as GroupMembership};
use std::num::NonZeroU32;
use std::time::Duration;
use tokio::sync::watch;

/// Why a replica can't be told what to own.
#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    /// The Kafka client.
    #[error(transparent)]
    Kafka(#[from] ConfigError),
}

/// This replica among its peers.
pub enum Membership {
    /// It has none: the embedded journal is one process's.
    Alone(watch::Sender<Assignment>),
    /// A consumer group.
    Group {
        /// Its member.
        member: GroupMembership,
        /// How long a member may be out of sight.
        session_timeout: Duration,
    },
}

impl Membership {
    /// Joins, to share out the partitions of `jobs`.
    ///
    /// # Errors
    /// When the configuration makes no client.
    pub fn join(backend: &Backend, jobs: &TopicName, partitions: NonZeroU32) -> Result<Self, MembershipError> {
        match backend {
            Backend::Embedded(_) => {
                let all = (0..partitions.get()).map(|partition| jobs.partition(partition)).collect();
                Ok(Self::Alone(watch::Sender::new(Assignment { generation: 1, partitions: all })))
            }
            Backend::Kafka { journal, config: kafka } => {
                let session_timeout = Duration::from_millis(kafka.group.session_timeout_ms);
                Ok(Self::Group { member: journal.join(&[(jobs.clone(), partitions)])?, session_timeout })
            }
        }
    }

    /// What to own, as it changes.
    pub fn assignment(&self) -> watch::Receiver<Assignment> {
        match self {
            Self::Alone(assignment) => assignment.subscribe(),
            Self::Group { member, .. } => member.assignment(),
        }
    }

    /// How long a replica that was superseded, and still is assigned, leaves the partition alone: by then the group has
    /// noticed whichever of the two is not its member any more.
    pub fn reclaim_after(&self, lease: Duration) -> Duration {
        match self {
            Self::Alone(_) => lease,
            Self::Group { session_timeout, .. } => session_timeout.saturating_mul(2),
        }
    }

    /// Tells how far the owner of a partition is, for tools that show lag.
    pub fn applied(&self, at: &TopicPartition, next: Offset) {
        match self {
            Self::Alone(_) => {}
            Self::Group { member, .. } => member.applied(at, next),
        }
    }

    /// Leaves in order, so that the others don't wait for the session to run out.
    pub async fn leave(self) {
        match self {
            Self::Alone(_) => {}
            Self::Group { member, .. } => member.leave().await,
        }
    }
}
