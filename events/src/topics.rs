//! The topics, their kinds and keys (PROTOCOL §8).

use crate::caip::ChainId;
use std::fmt;
use std::sync::Arc;

/// How a topic may be written and read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicKind {
    /// One writer per partition, chained and fenced; the truth (R11, R12).
    Authoritative,
    /// Many writers, no chain; the loop that takes a record copies what it needs.
    Input,
    /// Can be rebuilt from authoritative topics; readers drop an id they have.
    Derived,
}

/// A topic of the journal, without prefix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// Finalized facts of a chain; one partition.
    Source(ChainId),
    /// History of jobs and escrow accounts, keyed by owner.
    Jobs,
    /// Accepted intents, prepared transactions and observations; one partition per lane.
    Lanes,
    /// Outputs whose signature was checked, keyed by owner.
    Outputs,
    /// Operators' commands.
    Control,
    /// A receipt per settlement or life-cycle end.
    Receipts,
    /// Observations of processors' successes and failures.
    Reputation,
    /// What could not be processed, with the reason.
    DeadLetters,
    /// Signed checkpoints of partitions.
    Checkpoints,
}

impl Topic {
    /// How the topic may be written and read.
    pub fn kind(&self) -> TopicKind {
        match self {
            Self::Source(_) | Self::Jobs | Self::Lanes => TopicKind::Authoritative,
            Self::Outputs | Self::Control => TopicKind::Input,
            Self::Receipts | Self::Reputation | Self::DeadLetters | Self::Checkpoints => TopicKind::Derived,
        }
    }

    /// The topic of a full name; nothing when it is none of this relayer.
    ///
    /// The name of a source topic writes its chain's colon as `-`; of several readings the shortest namespace is taken.
    pub fn parse(prefix: &str, full: &str) -> Option<Self> {
        let middle = full.strip_prefix(prefix)?.strip_suffix(".v1")?;
        let fixed =
            [Self::Jobs, Self::Lanes, Self::Outputs, Self::Control, Self::Receipts, Self::Reputation, Self::DeadLetters, Self::Checkpoints];
        if let Some(topic) = fixed.into_iter().find(|topic| topic.name(prefix).as_str() == full) {
            return Some(topic);
        }
        let chain = middle.strip_prefix("source.")?;
        chain.match_indices('-').find_map(|(at, _)| {
            let (namespace, reference) = (chain.get(..at)?, chain.get(at.checked_add(1)?..)?);
            format!("{namespace}:{reference}").parse().ok().map(Self::Source)
        })
    }

    /// The full name, such as `acurast.jobs.v1`; the colon of a chain is written `-`.
    pub fn name(&self, prefix: &str) -> TopicName {
        let middle = match self {
            Self::Source(chain) => return TopicName(format!("{prefix}source.{}.v1", chain.as_str().replace(':', "-")).into()),
            Self::Jobs => "jobs",
            Self::Lanes => "lanes",
            Self::Outputs => "outputs",
            Self::Control => "control",
            Self::Receipts => "receipts",
            Self::Reputation => "reputation",
            Self::DeadLetters => "dead-letters",
            Self::Checkpoints => "checkpoints",
        };
        TopicName(format!("{prefix}{middle}.v1").into())
    }
}

/// The default prefix of all topics.
pub const DEFAULT_PREFIX: &str = "acurast.";

/// A topic's full name, with its prefix. Copies share the text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Arc<str>);

impl TopicName {
    /// A name as it stands in a record or a broker.
    pub fn new(full: impl Into<String>) -> Self {
        Self(full.into().into())
    }
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// One of its partitions.
    pub fn partition(&self, partition: u32) -> TopicPartition {
        TopicPartition { topic: self.clone(), partition }
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's full name.
    pub topic: TopicName,
    /// The partition's number.
    pub partition: u32,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_comes_back_from_its_full_name() {
        let topics = [
            Topic::Jobs,
            Topic::DeadLetters,
            Topic::Source(ChainId::evm(1)),
            Topic::Source("polkadot:4b5f95eefedf0d0fb514339edc24d2d4".parse().unwrap()),
        ];
        for topic in topics {
            assert_eq!(Topic::parse("a.b.", topic.name("a.b.").as_str()), Some(topic));
        }
        assert_eq!(Topic::parse("a.", "b.jobs.v1"), None);
        assert_eq!(Topic::parse("a.", "a.other.v1"), None);
        assert_eq!(Topic::parse("a.", "a.source..v1"), None);
    }
}
