//! Ingest: a source chain's finalized blocks into its topic, each closed by its seal (R8).
//!
//! ```text
//! source.next ─▶ records [facts…, BlockSealed] ─▶ append, read back ─▶ next
//! ```
//!
//! Crash argument: a block is either sealed in the journal or was never there; after a restart the source resumes from
//! the last seal that was read back and gives the same facts with the same ids.

use crate::chain_source::ChainSource;
use crate::fold::{Fold, fold_all};
use crate::folds::SourceFold;
use crate::mandate::Mandate;
use crate::metrics::{FactLabels, Metrics, labels};
use crate::owned::{Owned, OwnedError};
use crate::tenure::Role;
use acurast_adapter_api::{Source, SourceBlock, SourceError};
use acurast_events::bytes::{BlockHash, Bytes};
use acurast_events::caip::ChainId;
use acurast_events::source::SourceEvent;
use acurast_events::units::{BlockNumber, Timestamp};
use acurast_events::wire::Message;
use acurast_relayer_journal::Draft;
use acurast_relayer_store::PartitionView;
use async_trait::async_trait;
use backon::{BackoffBuilder, ExponentialBuilder};
use std::time::Duration;

/// Most bytes of facts in one record; a larger block takes several, the last of which has the seal.
const RECORD_BYTES_MAX: usize = 1 << 20;
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(15);

/// Why ingestion of a chain stopped.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The source can't go on without an operator.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The journal can't be written.
    #[error(transparent)]
    Owned(#[from] OwnedError),
    /// A stored row is not of this version.
    #[error("{0}")]
    Version(String),
}

/// Ingests one source chain, or follows its topic.
pub struct IngestRole {
    /// The chain's blocks.
    pub source: ChainSource,
    /// Reconcile after so many blocks; 0: never.
    pub reconcile_every: u64,
    /// Where progress is told.
    pub metrics: Metrics,
}

#[async_trait]
impl Role for IngestRole {
    type State = SourceFold;
    type Error = IngestError;

    fn stage(&self) -> &'static str {
        "ingest"
    }

    fn load(&self, view: &PartitionView) -> Result<SourceFold, IngestError> {
        SourceFold::load(view).map_err(IngestError::Version)
    }

    async fn own(&mut self, mut owned: Owned, state: SourceFold, mandate: &mut Mandate) -> Result<(), IngestError> {
        owned.record_progress().await?;
        let Self { source, reconcile_every, metrics } = self;
        Ingest { source, owned, state, reconcile_every: *reconcile_every, metrics }.run(mandate).await
    }
}

/// The loop of a source that this replica owns.
struct Ingest<'a> {
    source: &'a mut ChainSource,
    owned: Owned,
    /// What the topic says so far.
    state: SourceFold,
    reconcile_every: u64,
    metrics: &'a Metrics,
}

impl Ingest<'_> {
    /// Runs until the mandate ends, or until the source or the journal can't go on.
    async fn run(mut self, mandate: &mut Mandate) -> Result<(), IngestError> {
        let chain = self.source.chain().clone();
        tracing::info!(%chain, after = ?self.state.last().map(|(number, _)| number.0), "ingesting");
        let mut since_reconciled = 0u64;
        // A source that is dropped in the middle of a step resumes from the last seal, like after a crash.
        tokio::select! {
            () = mandate.ended() => return self.leave().await,
            resumed = retrying(&chain, self.source, self.metrics, Step::Resume(self.state.last())) => { resumed?; }
        }
        loop {
            let block = tokio::select! {
                () = mandate.ended() => return self.leave().await,
                block = retrying(&chain, self.source, self.metrics, Step::Next) => block,
            };
            let block = match block {
                Err(SourceError::End { number, .. }) => {
                    // A recording has no more: what it brought is still settled.
                    tracing::info!(%chain, %number, "the recording is at its end");
                    mandate.ended().await;
                    return self.leave().await;
                }
                block => block?,
            };
            let Some(mut block) = block else { continue };
            since_reconciled = since_reconciled.saturating_add(1);
            if self.reconcile_every > 0 && since_reconciled >= self.reconcile_every {
                since_reconciled = 0;
                self.reconcile(&mut block).await;
            }
            self.append(&chain, &block).await?;
        }
    }

    async fn leave(mut self) -> Result<(), IngestError> {
        Ok(self.owned.record_progress().await?)
    }

    /// Adds to a block what storage says and no fact so far did.
    async fn reconcile(&mut self, block: &mut SourceBlock) {
        let mut known = self.state.known().clone();
        for fact in &block.facts {
            known.apply(fact);
        }
        match self.source.reconcile(block.number, block.hash, &known).await {
            Ok(found) => {
                if !found.is_empty() {
                    tracing::error!(chain = %self.source.chain(), block = %block.number, differences = found.len(), "storage disagrees with the facts so far");
                    self.metrics.alarm(self.source.chain().as_str(), "reconciliation_difference");
                }
                block.facts.extend(found);
            }
            // The next round asks again; nothing was skipped.
            Err(error) => tracing::warn!(%error, block = %block.number, "reconciliation put off"),
        }
    }

    async fn append(&mut self, chain: &ChainId, block: &SourceBlock) -> Result<(), IngestError> {
        self.tell(chain, block);
        let at = self.owned.stamp();
        let records = self.owned.append(drafts(chain, block, at)).await?;
        let rows = fold_all(self.owned.partition(), &mut self.state, &records)?;
        self.owned.commit(&records, rows, self.state.is_whole())?;
        self.owned.digest_if_due().await?;
        self.metrics.records.get_or_create(&labels("ingest", chain.as_str())).inc();
        let now = self.owned.stamp();
        self.metrics.beat("ingest", chain.as_str(), now.0);
        Ok(())
    }

    fn tell(&self, chain: &ChainId, block: &SourceBlock) {
        for fact in &block.facts {
            self.metrics.facts.get_or_create(&FactLabels { chain: chain.to_string(), kind: fact.name().to_owned() }).inc();
            if let SourceEvent::QuarantinedEvent(event) = fact {
                tracing::error!(%chain, block = %block.number, pallet = event.pallet, variant = event.variant, reason = event.reason, "event quarantined");
                self.metrics.alarm(chain.as_str(), "event_quarantined");
            }
        }
        let number = i64::try_from(block.number.0).unwrap_or(i64::MAX);
        let timestamp = i64::try_from(block.timestamp.0).unwrap_or(i64::MAX);
        self.metrics.sealed_block.get_or_create(&labels("ingest", chain.as_str())).set(number);
        self.metrics.sealed_timestamp.get_or_create(&labels("ingest", chain.as_str())).set(timestamp);
    }
}

/// The records of a block: its facts in order, the seal at the end of the last one.
fn drafts(chain: &ChainId, block: &SourceBlock, at: Timestamp) -> Vec<Draft> {
    let mut chunks: Vec<Vec<Bytes>> = vec![Vec::new()];
    let mut size = 0usize;
    for event in block.facts.iter().cloned().chain([block.seal().into()]) {
        let bytes = event.encode();
        size = size.saturating_add(bytes.len());
        if size > RECORD_BYTES_MAX {
            chunks.push(Vec::new());
            size = bytes.len();
        }
        if let Some(chunk) = chunks.last_mut() {
            chunk.push(Bytes(bytes));
        }
    }
    let draft = |events| Draft {
        key: chain.as_str().as_bytes().to_vec(),
        at,
        input: None,
        subject: Bytes(chain.as_str().as_bytes().to_vec()),
        traceparent: None,
        events,
    };
    chunks.into_iter().filter(|events| !events.is_empty()).map(draft).collect()
}

enum Step {
    Resume(Option<(BlockNumber, BlockHash)>),
    Next,
}

/// Runs a step, again after each time that the node could not be asked: never skips, never gives up by itself.
async fn retrying(chain: &ChainId, source: &mut ChainSource, metrics: &Metrics, step: Step) -> Result<Option<SourceBlock>, SourceError> {
    let mut delays =
        ExponentialBuilder::default().with_min_delay(RETRY_MIN).with_max_delay(RETRY_MAX).without_max_times().with_jitter().build();
    loop {
        let done = match &step {
            Step::Resume(after) => source.resume(*after).await.map(|()| None),
            Step::Next => source.next().await.map(Some),
        };
        match done {
            Err(SourceError::Unavailable { reason, .. }) => {
                tracing::warn!(%chain, reason, "source unavailable; retrying");
                metrics.alarm(chain.as_str(), "source_unavailable");
                tokio::time::sleep(delays.next().unwrap_or(RETRY_MAX)).await;
            }
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use acurast_events::bytes::EventId;
    use acurast_events::source::{FactMeta, UnknownEvent};

    fn block(facts: usize, bytes: usize) -> SourceBlock {
        let fact = |index: usize| {
            SourceEvent::from(UnknownEvent {
                meta: FactMeta { id: EventId([u8::try_from(index).unwrap(); 32]), index: u32::try_from(index).unwrap(), extrinsic: None },
                pallet: "Acurast".into(),
                variant: "New".into(),
                fields: Bytes(vec![7; bytes]),
            })
        };
        SourceBlock {
            first: BlockNumber(5),
            number: BlockNumber(5),
            hash: BlockHash([1; 32]),
            parent: BlockHash([0; 32]),
            timestamp: Timestamp(9),
            spec_version: Some(2),
            facts: (0..facts).map(fact).collect(),
        }
    }

    #[test]
    fn a_block_is_one_record_that_its_seal_ends() {
        let drafts = drafts(&ChainId::evm(1), &block(3, 10), Timestamp(1));
        assert_eq!(drafts.len(), 1);
        let events: Vec<SourceEvent> = drafts[0].events.iter().map(|bytes| SourceEvent::decode(&bytes.0).unwrap()).collect();
        assert_eq!(events.len(), 4);
        assert!(matches!(events.last(), Some(SourceEvent::BlockSealed(seal)) if seal.fact_count.0 == 3));
    }

    #[test]
    fn a_large_block_is_split_and_sealed_once_at_its_end() {
        let drafts = drafts(&ChainId::evm(1), &block(5, 400_000), Timestamp(1));
        assert!(drafts.len() > 1);
        let sealed: Vec<bool> = drafts
            .iter()
            .map(|draft| matches!(SourceEvent::decode(&draft.events.last().unwrap().0), Ok(SourceEvent::BlockSealed(_))))
            .collect();
        assert_eq!(sealed.iter().filter(|sealed| **sealed).count(), 1);
        assert_eq!(sealed.last(), Some(&true));
        assert_eq!(drafts.iter().map(|draft| draft.events.len()).sum::<usize>(), 6);
    }
}
