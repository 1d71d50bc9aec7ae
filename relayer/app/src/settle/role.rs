//! One partition of `jobs.v1` in this replica: answers questions as a follower, settles as the owner.

use super::inputs::{LaneFollower, SourceFollower};
use super::queries::Answers;
use super::{Announce, QUERIES_MAX, Settle, SettleError};
use crate::mandate::Mandate;
use crate::metrics::{Metrics, labels};
use crate::owned::Owned;
use crate::publish::Publisher;
use crate::query::Query;
use crate::registry::ChainRules;
use crate::storage::load_partition;
use crate::tenure::Role;
use acurast_events::caip::AccountId;
use acurast_events::topics::TopicPartition;
use acurast_events::units::Offset;
use acurast_relayer_core::{Partition, Policy};
use acurast_relayer_journal::{AcceptedRecord, EventJournal, InputReader, PartitionReader, SealedBlocks};
use acurast_relayer_store::{PartitionStore, PartitionView};
use async_trait::async_trait;
use std::num::NonZeroU32;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Settles one partition of `jobs.v1`, or follows it.
pub struct SettleRole {
    /// The partition's number.
    pub index: u32,
    /// Partitions of `jobs.v1`.
    pub partitions: NonZeroU32,
    /// The journal.
    pub journal: Arc<dyn EventJournal>,
    /// Source topics, with their chains.
    pub sources: Vec<(acurast_events::caip::ChainId, TopicPartition)>,
    /// Partitions of `lanes.v1`, with their lanes.
    pub lanes: Vec<(AccountId, TopicPartition)>,
    /// The partition of `outputs.v1`.
    pub outputs: TopicPartition,
    /// The partition of `control.v1`.
    pub control: TopicPartition,
    /// What the operator configured.
    pub policy: Arc<Policy>,
    /// The destinations' pure sides.
    pub rules: Arc<ChainRules>,
    /// Publishes what derives from the partition.
    pub publisher: Publisher,
    /// Questions from outside.
    pub queries: mpsc::Receiver<Query>,
    /// Tells how far outputs and commands were taken.
    pub announce: Announce,
    /// Where progress is told.
    pub metrics: Metrics,
}

impl SettleRole {
    fn answer(&self, query: Query, partition: &Partition, view: &PartitionView) -> Result<(), SettleError> {
        Answers { partition, view, policy: &self.policy, rules: &self.rules }.answer(query)
    }

    /// Opens the inputs of a partition that is owned now, each where the last Progress left it.
    pub(super) async fn open(&mut self, owned: Owned, partition: Partition) -> Result<Settle<'_>, SettleError> {
        let mut sources = Vec::with_capacity(self.sources.len());
        for (chain, at) in &self.sources {
            let reader = PartitionReader::open(self.journal.clone(), at.clone(), owned.input_frontier(at)?).await?;
            let blocks = SealedBlocks::new(at.clone(), reader.frontier());
            sources.push(SourceFollower { chain: chain.clone(), reader, blocks, next: owned.input_next(at) });
        }
        let mut lanes = Vec::with_capacity(self.lanes.len());
        for (lane, at) in &self.lanes {
            let reader = PartitionReader::open(self.journal.clone(), at.clone(), owned.input_frontier(at)?).await?;
            lanes.push(LaneFollower { lane: lane.clone(), reader, next: owned.input_next(at) });
        }
        let outputs = InputReader::open(self.journal.clone(), self.outputs.clone(), owned.input_next(&self.outputs)).await?;
        let control = InputReader::open(self.journal.clone(), self.control.clone(), owned.input_next(&self.control)).await?;
        let Self { policy, rules, publisher, queries, announce, metrics, .. } = self;
        Ok(Settle {
            partition,
            policy,
            rules,
            owned,
            sources,
            lanes,
            outputs,
            control,
            publisher,
            queries,
            announce,
            metrics,
            letters_noted: true,
        })
    }
}

/// The next record of an input topic that the owner of the partition didn't take yet, as far as its records tell. They are taken
/// in order: a record that answers one says that all before it were decided.
fn taken(input: &TopicPartition, store: &PartitionStore, records: &[AcceptedRecord]) -> Offset {
    let of_input = |topic: &str, partition: u32| topic == input.topic.as_str() && partition == input.partition;
    let inputs = records.iter().filter_map(|record| record.record.input.as_ref());
    let answered = inputs.filter(|input| of_input(&input.topic, input.partition)).map(|input| input.position.next());
    let positions = store.position().progress.inputs.iter();
    let passed = positions.filter(|position| of_input(&position.topic, position.partition)).map(|position| position.next);
    answered.chain(passed).max().unwrap_or(Offset(0))
}

#[async_trait]
impl Role for SettleRole {
    type State = Partition;
    type Error = SettleError;

    fn stage(&self) -> &'static str {
        "settle"
    }

    fn load(&self, view: &PartitionView) -> Result<Partition, SettleError> {
        load_partition(view, self.index, self.partitions).map_err(|error| SettleError::Version(error.to_string()))
    }

    fn following(&mut self, store: &PartitionStore, records: &[AcceptedRecord]) {
        self.announce.taken_at_least(taken(&self.outputs, store, records), taken(&self.control, store, records));
    }

    fn serve(&mut self, state: &Partition, view: &PartitionView) -> Result<(), SettleError> {
        for _ in 0..QUERIES_MAX {
            let Ok(query) = self.queries.try_recv() else { break };
            self.answer(query, state, view)?;
        }
        Ok(())
    }

    async fn attend(&mut self, state: &Partition, view: &PartitionView) -> Result<(), SettleError> {
        match self.queries.recv().await {
            Some(query) => self.answer(query, state, view),
            None => std::future::pending().await,
        }
    }

    async fn own(&mut self, mut owned: Owned, partition: Partition, mandate: &mut Mandate) -> Result<(), SettleError> {
        if !owned.is_published() {
            // Only after a crash between a record and its publication.
            let unpublished = PartitionReader::open(self.journal.clone(), owned.partition().clone(), owned.published_frontier()?).await?;
            self.publisher.catch_up(&mut owned, unpublished).await?;
        }
        owned.derives();
        owned.record_progress().await?;
        let subject = labels("settle", &owned.partition().to_string());
        let ended = self.open(owned, partition).await?.run(mandate).await;
        // What is open its next owner tells; a gauge that stood still would alarm forever.
        self.metrics.open_jobs.remove(&subject);
        self.metrics.open_dead_letters.remove(&subject);
        ended
    }
}
