//! A live Acurast node as a source: finalized blocks one by one, without a gap, whatever the node does meanwhile.
//!
//! Blocks are fetched by height, each checked against the hash of the one before, so what is between the last seal and the
//! head comes through the same code as the head itself. The subscription to finalized heads only says how far one may go;
//! a head that is announced twice, late or after a reconnection changes nothing. Another hash at a height that was already
//! returned, or at the last sealed one, is a finality violation: the source stops and says so on every further call.

use crate::access::Access;
use crate::decode::EventCounts;
use crate::endpoint::{CallError, Connection, Header, Heads, NodeUrl};
use crate::known::KnownJobs;
use crate::raw::RawBlock;
use crate::snapshot::reconciled;
use acurast_adapter_api::{Source, SourceBlock, SourceError};
use acurast_events::bytes::{BlockHash, Genesis};
use acurast_events::caip::ChainId;
use acurast_events::source::SourceEvent;
use acurast_events::units::BlockNumber;
use async_trait::async_trait;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How many returned blocks are remembered, to tell a repeated head from another one at the same height.
const RECENT_MAX: usize = 256;

/// Where a journal starts that has no seal yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the finalized head.
    Head,
    /// At this block.
    Block(BlockNumber),
}

/// How to reach a node and where to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeConfig {
    /// The node.
    pub url: NodeUrl,
    /// Genesis of the chain that it must serve.
    pub genesis: Genesis,
    /// Where a new journal starts; the jobs in storage at that block come as `Found`.
    pub start: Start,
    /// Longest wait for one answer.
    pub request_timeout: Duration,
    /// Longest wait for a new finalized head before the node counts as stalled.
    pub stall_after: Duration,
}

impl NodeConfig {
    /// A node with the usual limits: 30 s per answer, 120 s without a new finalized head.
    pub fn new(url: NodeUrl, genesis: Genesis, start: Start) -> Self {
        Self { url, genesis, start, request_timeout: Duration::from_secs(30), stall_after: Duration::from_secs(120) }
    }

    /// The genesis of the chain that the node at `url` serves.
    ///
    /// # Errors
    /// When the node can't be asked; the text names it without secrets.
    pub async fn discover_genesis(url: &NodeUrl, limit: Duration) -> Result<Genesis, String> {
        let asked = async { Connection::open(url, limit).await?.genesis().await };
        asked.await.map_err(|error| match error {
            CallError::Lost(reason) => format!("{url}: {reason}"),
            CallError::Pruned => format!("{url}: the node does not know its genesis block"),
        })
    }
}

/// How the first block is read when nothing was sealed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begin {
    /// From storage, at the finalized head or a given block.
    Storage(Start),
    /// From its events: a backfill.
    Events(BlockNumber),
}

/// A live node as a source.
#[derive(Debug)]
pub struct AcurastNode {
    access: Access,
    begin: Begin,
    until: Option<BlockNumber>,
    stall_after: Duration,
    /// The last block that was sealed or returned.
    cursor: Option<(BlockNumber, BlockHash)>,
    /// The last returned blocks, oldest first, consecutive.
    recent: VecDeque<(BlockNumber, BlockHash)>,
    connection: Option<Arc<Connection>>,
    heads: Option<Heads>,
    /// The newest finalized height that this connection announced.
    head: Option<BlockNumber>,
    /// Why the source stopped for good.
    stopped: Option<SourceError>,
    counts: EventCounts,
}

impl AcurastNode {
    /// A source that goes on for ever. Nothing is connected yet.
    pub fn new(config: NodeConfig) -> Self {
        let begin = Begin::Storage(config.start);
        Self::with(config, begin, None)
    }

    /// A source of the events of `first..=last` only, from an archive node where they are old; then [`SourceError::End`].
    pub fn backfill(config: NodeConfig, first: BlockNumber, last: BlockNumber) -> Self {
        Self::with(config, Begin::Events(first), Some(last))
    }

    /// A source that starts as configured and ends after `last`.
    pub fn until(config: NodeConfig, last: BlockNumber) -> Self {
        let begin = Begin::Storage(config.start);
        Self::with(config, begin, Some(last))
    }

    fn with(config: NodeConfig, begin: Begin, until: Option<BlockNumber>) -> Self {
        let NodeConfig { url, genesis, start: _, request_timeout, stall_after } = config;
        Self {
            access: Access::new(url, genesis, request_timeout),
            begin,
            until,
            stall_after,
            cursor: None,
            recent: VecDeque::new(),
            connection: None,
            heads: None,
            head: None,
            stopped: None,
            counts: EventCounts::default(),
        }
    }

    /// What was seen so far beside the facts: ignored, unknown and quarantined events.
    pub fn counts(&self) -> &EventCounts {
        &self.counts
    }

    /// The newest finalized height that the node announced on the current connection.
    pub fn head(&self) -> Option<BlockNumber> {
        self.head
    }

    /// The node's finalized height.
    ///
    /// # Errors
    /// When the node can't be asked.
    pub async fn finalized(&mut self) -> Result<BlockNumber, SourceError> {
        let connection = self.connection().await?;
        let head = connection.finalized().await.map_err(|error| self.access.failure(error, BlockNumber(0)))?;
        Ok(head.number)
    }

    /// Metadata of a runtime that a returned block was decoded with.
    pub(crate) async fn metadata(&self, spec_version: u32) -> Option<Vec<u8>> {
        self.access.loaded(spec_version).await.map(|runtime| runtime.raw_metadata().to_vec())
    }

    /// The next block with all that was read for it.
    ///
    /// # Errors
    /// As [`Source::next`].
    pub async fn next_raw(&mut self) -> Result<(RawBlock, SourceBlock), SourceError> {
        if let Some(stopped) = &self.stopped {
            return Err(stopped.clone());
        }
        let result = self.advance().await;
        match &result {
            Ok((raw, _)) => self.remember(raw.number, raw.hash),
            // Whatever the connection still holds is of no use; the next call starts afresh from the cursor.
            Err(SourceError::Unavailable { .. }) => self.disconnect().await,
            Err(error @ SourceError::FinalityViolation { .. }) => self.stopped = Some(error.clone()),
            Err(_) => {}
        }
        result
    }

    /// Compares storage after a finalized block with what is known after the same block (R8).
    ///
    /// Call it between taking the block's facts into `known` and sealing the block: the differences are facts of that block.
    ///
    /// # Errors
    /// When the node can't be asked, or no longer has the block's state.
    pub async fn reconcile(&mut self, number: BlockNumber, hash: BlockHash, known: &KnownJobs) -> Result<Vec<SourceEvent>, SourceError> {
        let connection = self.connection().await?;
        let genesis = self.access.genesis();
        let block = self.access.header(&connection, number, &hash).await?;
        let mut raw = self.access.raw(&connection, &block, false).await?;
        self.access
            .drive(&connection, &mut raw, |raw, runtime, parent_runtime| reconciled(&raw.input(genesis, runtime, parent_runtime), known))
            .await
    }

    async fn connection(&mut self) -> Result<Arc<Connection>, SourceError> {
        if let Some(connection) = &self.connection {
            return Ok(Arc::clone(connection));
        }
        let connection = self.access.connect().await?;
        self.connection = Some(Arc::clone(&connection));
        // The node may have been replaced while it was away: the last block must still be its own.
        if let Some(cursor) = self.cursor {
            self.check_cursor(&connection, cursor).await?;
        }
        Ok(connection)
    }

    async fn disconnect(&mut self) {
        self.heads = None;
        self.head = None;
        self.connection = None;
        self.access.forget().await;
    }

    async fn check_cursor(&mut self, connection: &Connection, (number, sealed): (BlockNumber, BlockHash)) -> Result<(), SourceError> {
        match connection.hash_at(number).await.map_err(|error| self.access.failure(error, number))? {
            Some(found) if found != sealed => Err(self.violation(number, sealed, found)),
            // A node that is still behind is waited for in `advance`.
            Some(_) | None => Ok(()),
        }
    }

    fn violation(&self, number: BlockNumber, sealed: BlockHash, found: BlockHash) -> SourceError {
        SourceError::FinalityViolation { chain: self.access.chain().clone(), number, sealed, found }
    }

    fn remember(&mut self, number: BlockNumber, hash: BlockHash) {
        self.cursor = Some((number, hash));
        if self.recent.len() >= RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back((number, hash));
    }

    async fn advance(&mut self) -> Result<(RawBlock, SourceBlock), SourceError> {
        let connection = self.connection().await?;
        let (target, first_start) = match (self.cursor, self.begin) {
            (Some((number, _)), _) => (number.next(), false),
            (None, Begin::Events(first)) => (first, false),
            (None, Begin::Storage(Start::Block(number))) => (number, true),
            (None, Begin::Storage(Start::Head)) => {
                let head = connection.finalized().await.map_err(|error| self.access.failure(error, BlockNumber(0)))?;
                (head.number, true)
            }
        };
        if self.until.is_some_and(|last| target > last) {
            return Err(SourceError::End { chain: self.access.chain().clone(), number: BlockNumber(target.0.saturating_sub(1)) });
        }
        self.wait_for(&connection, target).await?;
        let block = self.block_at(&connection, target).await?;
        if let Some((number, sealed)) = self.cursor.filter(|(_, sealed)| block.parent != *sealed) {
            return Err(self.violation(number, sealed, block.parent));
        }
        let genesis = self.access.genesis();
        let mut raw = self.access.raw(&connection, &block, first_start).await?;
        let decoded =
            self.access.drive(&connection, &mut raw, |raw, runtime, parent_runtime| raw.decode(genesis, runtime, parent_runtime)).await?;
        self.counts.add(&decoded.counts);
        let block = raw.source_block(decoded);
        Ok((raw, block))
    }

    async fn block_at(&self, connection: &Connection, number: BlockNumber) -> Result<Header, SourceError> {
        let hash = connection.hash_at(number).await.map_err(|error| self.access.failure(error, number))?;
        let hash = hash.ok_or_else(|| self.access.unavailable(format!("the node finalized block {number} but has no hash of it")))?;
        let header = self.access.header(connection, number, &hash).await?;
        if header.number == number {
            Ok(header)
        } else {
            Err(self.access.unavailable(format!("asked for block {number}, the node sent {}", header.number)))
        }
    }

    /// Waits until the node finalized `target`.
    async fn wait_for(&mut self, connection: &Connection, target: BlockNumber) -> Result<(), SourceError> {
        while self.head.is_none_or(|head| head < target) {
            if self.heads.is_none() {
                // The subscription begins with the current head.
                self.heads = Some(connection.heads().await.map_err(|error| self.access.failure(error, target))?);
            }
            let Some(heads) = &mut self.heads else { continue };
            let announced = match timeout(self.stall_after, heads.next()).await {
                Ok(Some(Ok(header))) => header,
                Ok(Some(Err(reason))) => return Err(self.access.unavailable(reason)),
                Ok(None) => return Err(self.access.unavailable("the node ended the subscription to finalized heads")),
                Err(_) => {
                    let head = self.head.map_or_else(|| "none".to_owned(), |head| head.to_string());
                    let reason = format!("no finalized head after {head} for {:?}; block {target} is awaited", self.stall_after);
                    return Err(self.access.unavailable(reason));
                }
            };
            let returned = self.recent.iter().find(|(number, _)| *number == announced.number);
            if let Some((number, sealed)) = returned.filter(|(_, sealed)| *sealed != announced.hash) {
                return Err(self.violation(*number, *sealed, announced.hash));
            }
            self.head = Some(announced.number);
        }
        Ok(())
    }
}

#[async_trait]
impl Source for AcurastNode {
    fn chain(&self) -> &ChainId {
        self.access.chain()
    }

    fn genesis(&self) -> Genesis {
        self.access.genesis()
    }

    async fn resume(&mut self, after: Option<(BlockNumber, BlockHash)>) -> Result<(), SourceError> {
        self.disconnect().await;
        self.recent.clear();
        self.stopped = None;
        self.cursor = after;
        self.recent.extend(after);
        let checked = self.connection().await.map(|_| ());
        if let Err(error @ SourceError::FinalityViolation { .. }) = &checked {
            self.stopped = Some(error.clone());
        }
        checked
    }

    async fn next(&mut self) -> Result<SourceBlock, SourceError> {
        self.next_raw().await.map(|(_, block)| block)
    }
}
