//! Access to one node of one chain: connects with back-off, checks the genesis at every connection, keeps the runtimes.

use crate::decode::DecodeError;
use crate::endpoint::{CallError, Connection, Header, NodeUrl};
use crate::raw::RawBlock;
use crate::reads::{Answers, Pass};
use crate::runtime::Runtime;
use acurast_adapter_api::SourceError;
use acurast_events::bytes::{BlockHash, Genesis};
use acurast_events::caip::ChainId;
use acurast_events::units::BlockNumber;
use backon::{ExponentialBuilder, Retryable};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// A block needs two or three rounds of reads; more than this is a decoder that asks in circles.
const ROUNDS_MAX: usize = 8;
/// How many blocks' runtime versions are remembered.
const LINEAGE_MAX: usize = 8;
/// Tries to connect before `Unavailable` is returned; the caller calls again.
const CONNECT_TRIES: usize = 4;
const CONNECT_WAIT_MIN: Duration = Duration::from_millis(100);
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(5);

/// Access to a node.
#[derive(Debug)]
pub(crate) struct Access {
    url: NodeUrl,
    chain: ChainId,
    genesis: Genesis,
    limit: Duration,
    connection: Mutex<Option<Arc<Connection>>>,
    runtimes: Mutex<BTreeMap<u32, Arc<Runtime>>>,
    /// The blocks asked for last, newest first: a block's parent is needed again as the next one's grandparent.
    lineage: Mutex<VecDeque<(Header, u32)>>,
}

impl Access {
    pub(crate) fn new(url: NodeUrl, genesis: Genesis, limit: Duration) -> Self {
        Self {
            url,
            chain: ChainId::substrate(&genesis),
            genesis,
            limit,
            connection: Mutex::new(None),
            runtimes: Mutex::new(BTreeMap::new()),
            lineage: Mutex::new(VecDeque::new()),
        }
    }

    pub(crate) fn chain(&self) -> &ChainId {
        &self.chain
    }

    pub(crate) fn genesis(&self) -> Genesis {
        self.genesis
    }

    pub(crate) fn unavailable(&self, reason: impl Into<String>) -> SourceError {
        SourceError::Unavailable { chain: self.chain.clone(), reason: format!("{}: {}", self.url, reason.into()) }
    }

    pub(crate) fn refused(&self, reason: impl Into<String>) -> SourceError {
        SourceError::Refused { chain: self.chain.clone(), reason: reason.into() }
    }

    /// A call's failure, at a block.
    pub(crate) fn failure(&self, error: CallError, number: BlockNumber) -> SourceError {
        match error {
            CallError::Lost(reason) => self.unavailable(reason),
            CallError::Pruned => SourceError::Pruned { chain: self.chain.clone(), number },
        }
    }

    /// The connection that stands, or a new one whose genesis was checked.
    pub(crate) async fn connect(&self) -> Result<Arc<Connection>, SourceError> {
        let mut standing = self.connection.lock().await;
        if let Some(connection) = standing.as_ref() {
            return Ok(Arc::clone(connection));
        }
        let policy = ExponentialBuilder::default()
            .with_min_delay(CONNECT_WAIT_MIN)
            .with_max_delay(CONNECT_WAIT_MAX)
            .with_max_times(CONNECT_TRIES)
            .with_jitter();
        let open = || async {
            let connection = Connection::open(&self.url, self.limit).await?;
            let genesis = connection.genesis().await?;
            Ok::<_, CallError>((connection, genesis))
        };
        let (connection, found) = open
            .retry(policy)
            .notify(|error, wait| tracing::warn!(chain = %self.chain, node = %self.url, ?error, ?wait, "connecting failed; trying again"))
            .await
            .map_err(|error| self.failure(error, BlockNumber(0)))?;
        if found != self.genesis {
            return Err(SourceError::OtherChain { chain: self.chain.clone(), expected: self.genesis, found });
        }
        tracing::info!(chain = %self.chain, node = %self.url, "connected");
        let connection = Arc::new(connection);
        *standing = Some(Arc::clone(&connection));
        Ok(connection)
    }

    /// Gives the connection up; the next call connects anew and checks the genesis again.
    pub(crate) async fn forget(&self) {
        *self.connection.lock().await = None;
    }

    /// A block with the version of the runtime in the state after it, which executes its children.
    async fn after(&self, connection: &Connection, number: BlockNumber, hash: &BlockHash) -> Result<(Header, u32), SourceError> {
        if let Some(known) = self.lineage.lock().await.iter().find(|(header, _)| header.hash == *hash) {
            return Ok(*known);
        }
        let header = self.header(connection, number, hash).await?;
        let spec_version = connection.spec_version(hash).await.map_err(|error| self.failure(error, number))?;
        let mut lineage = self.lineage.lock().await;
        lineage.truncate(LINEAGE_MAX);
        lineage.push_front((header, spec_version));
        Ok((header, spec_version))
    }

    /// The runtime of this version, which is in the state after `block`.
    pub(crate) async fn runtime(&self, connection: &Connection, spec_version: u32, block: &Header) -> Result<Arc<Runtime>, SourceError> {
        let mut runtimes = self.runtimes.lock().await;
        if let Some(runtime) = runtimes.get(&spec_version) {
            return Ok(Arc::clone(runtime));
        }
        let raw = connection.metadata(&block.hash).await.map_err(|error| self.failure(error, block.number))?;
        let runtime = Runtime::new(spec_version, raw).map_err(|error| self.refused(format!("{error}; upgrade the relayer")))?;
        tracing::info!(chain = %self.chain, spec_version, block = %block.number, "runtime loaded");
        let runtime = Arc::new(runtime);
        runtimes.insert(spec_version, Arc::clone(&runtime));
        Ok(runtime)
    }

    /// The runtime that was loaded before.
    pub(crate) async fn loaded(&self, spec_version: u32) -> Option<Arc<Runtime>> {
        self.runtimes.lock().await.get(&spec_version).cloned()
    }

    /// The header of a block that the node is known to have.
    pub(crate) async fn header(&self, connection: &Connection, number: BlockNumber, hash: &BlockHash) -> Result<Header, SourceError> {
        let header = connection.header(hash).await.map_err(|error| self.failure(error, number))?;
        header.ok_or_else(|| self.unavailable(format!("the node has no block {hash}")))
    }

    /// A block with no answers yet, its runtimes loaded.
    ///
    /// The runtime of a block is the one in its *parent's* state: the block in which an upgrade takes effect was still
    /// executed by the old one, and so were its events and storage written.
    pub(crate) async fn raw(&self, connection: &Connection, block: &Header, first_start: bool) -> Result<RawBlock, SourceError> {
        let (parent, spec_version) = self.parent(connection, block).await?;
        let (grandparent, parent_spec_version) = self.parent(connection, &parent).await?;
        self.runtime(connection, spec_version, &parent).await?;
        self.runtime(connection, parent_spec_version, &grandparent).await?;
        Ok(RawBlock {
            number: block.number,
            hash: block.hash,
            parent: block.parent,
            spec_version,
            parent_spec_version,
            first_start,
            answers: Answers::default(),
        })
    }

    /// The block before, with the version of the runtime in its state; the genesis block stands for its own.
    async fn parent(&self, connection: &Connection, block: &Header) -> Result<(Header, u32), SourceError> {
        match block.number.0.checked_sub(1) {
            Some(number) => self.after(connection, BlockNumber(number), &block.parent).await,
            None => self.after(connection, block.number, &block.hash).await,
        }
    }

    /// Runs a decoder until it needs nothing more; the answers stay in `raw`.
    pub(crate) async fn drive<T>(
        &self,
        connection: &Connection,
        raw: &mut RawBlock,
        decoder: impl Fn(&RawBlock, &Runtime, &Runtime) -> Result<Pass<T>, DecodeError>,
    ) -> Result<T, SourceError> {
        let (runtime, parent_runtime) = (self.loaded(raw.spec_version).await, self.loaded(raw.parent_spec_version).await);
        let (Some(runtime), Some(parent_runtime)) = (runtime, parent_runtime) else {
            return Err(self.refused(format!("the runtime of block {} is not loaded", raw.number)));
        };
        for _ in 0..ROUNDS_MAX {
            match decoder(raw, &runtime, &parent_runtime).map_err(|error| self.refused(error.to_string()))? {
                Pass::Done(result) => return Ok(result),
                Pass::Needs(needs) => connection
                    .answer(&raw.hash, &raw.parent, needs, &mut raw.answers)
                    .await
                    .map_err(|error| self.failure(error, raw.number))?,
            }
        }
        Err(self.refused(format!("block {} needed more than {ROUNDS_MAX} rounds of reads; this is a defect, report it", raw.number)))
    }
}
