//! What the relayer tells Prometheus. Names end in their unit; the main alarm is the age of the oldest unresolved item (R12).

use acurast_events::topics::TopicPartition;
use acurast_events::units::Sequence;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::Arc;

/// One loop: `ingest`, `settle`, `dispatch`, and what it works on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LoopLabels {
    /// Which loop.
    pub stage: String,
    /// Its chain, partition or lane.
    pub subject: String,
}

/// A result of the outputs API, such as `accepted`, `signature` or `unknown_assignment`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutputLabels {
    /// The result.
    pub result: String,
}

/// A chain and a kind of fact.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FactLabels {
    /// CAIP-2 name of the chain.
    pub chain: String,
    /// Event name.
    pub kind: String,
}

/// A lane and what it counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LaneLabels {
    /// CAIP-10 name of the lane.
    pub lane: String,
    /// What is counted.
    pub kind: String,
}

/// One partition of an authoritative topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PartitionLabels {
    /// Full topic name and number, such as `acurast.jobs.v1/3`.
    pub partition: String,
}

/// An endpoint of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EndpointLabels {
    /// CAIP-2 name of the chain.
    pub chain: String,
    /// Its name, which shows no secret.
    pub endpoint: String,
}

/// All metrics, shared by every task.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// Milliseconds since the Unix epoch when a loop last made progress or found that it had nothing to do.
    pub heartbeat: Family<LoopLabels, Gauge>,
    /// Height of the last sealed block.
    pub sealed_block: Family<LoopLabels, Gauge>,
    /// Timestamp of the last sealed block, milliseconds since the Unix epoch.
    pub sealed_timestamp: Family<LoopLabels, Gauge>,
    /// Facts by chain and kind, unknown and quarantined ones included.
    pub facts: Family<FactLabels, Counter>,
    /// 1 while this replica owns a partition, else 0.
    pub owned: Family<PartitionLabels, Gauge>,
    /// The next sequence of a partition that this replica has not folded.
    pub applied_sequence: Family<PartitionLabels, Gauge>,
    /// Records that a loop appended and read back.
    pub records: Family<LoopLabels, Counter>,
    /// Open jobs of a partition.
    pub open_jobs: Family<LoopLabels, Gauge>,
    /// Dead letters of a partition that wait for an operator.
    pub open_dead_letters: Family<LoopLabels, Gauge>,
    /// Outputs by result.
    pub outputs: Family<OutputLabels, Counter>,
    /// Events of a lane by kind: attempts, finals, returns, dead letters, quarantine.
    pub lane_events: Family<LaneLabels, Counter>,
    /// Sends of a lane by outcome class (R6).
    pub sends: Family<LaneLabels, Counter>,
    /// Age of the oldest unresolved item of a loop, in milliseconds.
    pub oldest_unresolved: Family<LoopLabels, Gauge>,
    /// 1 while an endpoint's head advances and agrees with the others' (R8), else 0.
    pub endpoint_healthy: Family<EndpointLabels, Gauge>,
    /// 1 while calls reach an endpoint, 0 while its breaker is open.
    pub endpoint_reached: Family<EndpointLabels, Gauge>,
    /// Height of an endpoint's newest block.
    pub endpoint_head: Family<EndpointLabels, Gauge>,
    /// Alarms: what an operator has to look at.
    pub alarms: Family<LaneLabels, Counter>,
}

impl Metrics {
    /// The metrics and the registry that encodes them.
    pub fn new() -> (Self, Arc<Registry>) {
        let metrics = Self::default();
        let mut registry = Registry::with_prefix("acurast_relayer");
        registry.register("heartbeat_timestamp_milliseconds", "When a loop last was alive", metrics.heartbeat.clone());
        registry.register("sealed_block", "Height of the last sealed block", metrics.sealed_block.clone());
        registry.register("sealed_timestamp_milliseconds", "Timestamp of the last sealed block", metrics.sealed_timestamp.clone());
        registry.register("facts", "Facts of source chains", metrics.facts.clone());
        registry.register("owned", "Whether this replica owns a partition", metrics.owned.clone());
        registry.register("applied_sequence", "Next sequence that is not folded", metrics.applied_sequence.clone());
        registry.register("records", "Records appended and read back", metrics.records.clone());
        registry.register("open_jobs", "Jobs that are not closed", metrics.open_jobs.clone());
        registry.register("open_dead_letters", "Dead letters that wait for an operator", metrics.open_dead_letters.clone());
        registry.register("outputs", "Outputs by result", metrics.outputs.clone());
        registry.register("lane_events", "Events of lanes", metrics.lane_events.clone());
        registry.register("sends", "Sent transactions by outcome class", metrics.sends.clone());
        registry.register("oldest_unresolved_milliseconds", "Age of the oldest unresolved item", metrics.oldest_unresolved.clone());
        registry.register("endpoint_healthy", "Whether an endpoint's head advances and agrees", metrics.endpoint_healthy.clone());
        registry.register("endpoint_reached", "Whether calls reach an endpoint", metrics.endpoint_reached.clone());
        registry.register("endpoint_head", "Height of an endpoint's newest block", metrics.endpoint_head.clone());
        registry.register("alarms", "What an operator has to look at", metrics.alarms.clone());
        (metrics, Arc::new(registry))
    }

    /// A loop is alive at `now` (milliseconds since the Unix epoch).
    pub fn beat(&self, stage: &str, subject: &str, now: u64) {
        self.heartbeat.get_or_create(&labels(stage, subject)).set(i64::try_from(now).unwrap_or(i64::MAX));
    }

    /// All records of a partition below `next` are folded.
    pub fn applied(&self, next: Sequence, at: &TopicPartition) {
        let labels = PartitionLabels { partition: at.to_string() };
        self.applied_sequence.get_or_create(&labels).set(i64::try_from(next.0).unwrap_or(i64::MAX));
    }

    /// Raises an alarm: it is logged by the caller, and counted here.
    pub fn alarm(&self, subject: &str, kind: &str) {
        self.alarms.get_or_create(&LaneLabels { lane: subject.to_owned(), kind: kind.to_owned() }).inc();
    }
}

/// Labels of a loop.
pub fn labels(stage: &str, subject: &str) -> LoopLabels {
    LoopLabels { stage: stage.to_owned(), subject: subject.to_owned() }
}

/// The text that Prometheus scrapes.
///
/// # Errors
/// When formatting fails.
pub fn render(registry: &Registry) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    text::encode(&mut out, registry)?;
    Ok(out)
}
