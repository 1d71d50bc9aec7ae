//! What an attester reads of an assignment from its own node, at a pinned finalized block (R8, PROTOCOL §4).

use crate::access::Access;
use crate::endpoint::NodeUrl;
use crate::snapshot::stored_assignment;
use acurast_adapter_api::{AssignmentOracle, AttestedAssignment, OracleError, SourceError};
use acurast_events::bytes::{BlockHash, Genesis, ProcessorId};
use acurast_events::job_id::JobId;
use acurast_events::units::BlockNumber;
use async_trait::async_trait;
use std::time::Duration;

/// An oracle on a live node.
#[derive(Debug)]
pub struct NodeOracle {
    access: Access,
}

impl NodeOracle {
    /// An oracle on the node at `url`, which must serve the chain of `genesis`. Nothing is connected yet.
    pub fn new(url: NodeUrl, genesis: Genesis, request_timeout: Duration) -> Self {
        Self { access: Access::new(url, genesis, request_timeout) }
    }

    async fn unavailable(&self, error: SourceError) -> OracleError {
        // The next question connects anew.
        if matches!(error, SourceError::Unavailable { .. }) {
            self.access.forget().await;
        }
        OracleError::Unavailable(error.to_string())
    }

    async fn is_finalized(&self, number: BlockNumber, hash: BlockHash) -> Result<bool, SourceError> {
        let connection = self.access.connect().await?;
        let failure = |error| self.access.failure(error, number);
        let head = connection.finalized().await.map_err(failure)?;
        Ok(head.number >= number && connection.hash_at(number).await.map_err(failure)? == Some(hash))
    }

    async fn read(&self, hash: BlockHash, job: &JobId, processor: &ProcessorId) -> Result<Option<AttestedAssignment>, SourceError> {
        let connection = self.access.connect().await?;
        let genesis = self.access.genesis();
        let block = self.access.header(&connection, BlockNumber(0), &hash).await?;
        let mut raw = self.access.raw(&connection, &block, false).await?;
        let stored = self
            .access
            .drive(&connection, &mut raw, |raw, runtime, parent_runtime| {
                stored_assignment(&raw.input(genesis, runtime, parent_runtime), job, processor)
            })
            .await?;
        Ok(stored.map(|(registration, slot)| AttestedAssignment {
            registration,
            slot: slot.slot,
            acknowledged: slot.acknowledged,
            keys: slot.keys,
        }))
    }
}

#[async_trait]
impl AssignmentOracle for NodeOracle {
    async fn check_finalized(&self, number: BlockNumber, hash: BlockHash) -> Result<(), OracleError> {
        match self.is_finalized(number, hash).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(OracleError::NotFinalized { number, hash }),
            Err(error) => Err(self.unavailable(error).await),
        }
    }

    async fn assignment(&self, hash: BlockHash, job: &JobId, processor: &ProcessorId) -> Result<Option<AttestedAssignment>, OracleError> {
        match self.read(hash, job, processor).await {
            Ok(assignment) => Ok(assignment),
            Err(error) => Err(self.unavailable(error).await),
        }
    }
}
