//! An Acurast node's address, which may carry a secret, and one connection to it.
//!
//! A connection speaks the legacy RPC methods, which every Substrate node serves with full history as far as it keeps
//! state. Each call has a time limit. Reconnecting is left to the owner: after a lost connection the genesis has to be
//! checked again, because another node may answer behind the same address.

use crate::reads::{Answer, Answers, At, Need};
use crate::remarks::blake2_256;
use acurast_events::bytes::{BlockHash, Genesis};
use acurast_events::units::BlockNumber;
use futures::{StreamExt, TryStreamExt, stream};
use parity_scale_codec::Encode;
use std::fmt;
use std::time::Duration;
use subxt::config::RpcConfigFor;
use subxt::config::substrate::{SubstrateConfig, SubstrateHeader};
use subxt::utils::H256;
use subxt_rpcs::client::{RpcClient, RpcSubscription};
use subxt_rpcs::methods::legacy::LegacyRpcMethods;
use tokio::sync::Mutex;
use tokio::time::timeout;
use url::Url;

/// How many reads of one block are under way at once.
const READS_AT_ONCE: usize = 32;
/// How many storage keys one page has.
const KEYS_PER_PAGE: u32 = 512;
/// More keys than this under one prefix are refused rather than held in memory.
const KEYS_MAX: usize = 1_000_000;

/// What a node says when it no longer has a block's state. Data, matched in one place, a recorded answer per row as its test.
const PRUNED: &[&str] = &["State already discarded", "UnknownBlock: State", "state already discarded"];

/// The address of a node. Path, query and user may hold an access key, so people see scheme, host and port only (R14).
#[derive(Clone, PartialEq, Eq)]
pub struct NodeUrl(Url);

impl NodeUrl {
    /// The address of this text.
    ///
    /// # Errors
    /// When it is no URL of scheme `ws` or `wss`. The text itself is not repeated.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("not a URL: {error}"))?;
        match (url.scheme(), url.host_str()) {
            ("ws" | "wss", Some(_)) => Ok(Self(url)),
            ("ws" | "wss", None) => Err("the URL has no host".into()),
            (other, _) => Err(format!("scheme {other}: an Acurast node is reached by ws:// or wss://")),
        }
    }
}

impl fmt::Display for NodeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.0.scheme(), self.0.host_str().unwrap_or_default())?;
        self.0.port().map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Debug for NodeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a call gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CallError {
    /// The node is gone, slow, or answered nonsense: connect anew.
    Lost(String),
    /// The node no longer has the state.
    Pruned,
}

/// A header whose hash was computed here, not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) number: BlockNumber,
    pub(crate) hash: BlockHash,
    pub(crate) parent: BlockHash,
}

impl From<&SubstrateHeader<H256>> for Header {
    fn from(header: &SubstrateHeader<H256>) -> Self {
        Self { number: BlockNumber(header.number), hash: BlockHash(blake2_256(&header.encode())), parent: BlockHash(header.parent_hash.0) }
    }
}

/// The finalized headers as the node announces them; may repeat and go back.
pub(crate) struct Heads(Mutex<RpcSubscription<SubstrateHeader<H256>>>);

impl fmt::Debug for Heads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Heads").finish()
    }
}

impl Heads {
    /// The next announced header; nothing: the subscription ended.
    pub(crate) async fn next(&mut self) -> Option<Result<Header, String>> {
        // The mutex is never locked: it only lets a source be shared between threads, which the subscription alone forbids.
        let announced = self.0.get_mut().next().await?;
        Some(announced.map(|header| Header::from(&header)).map_err(|error| error.to_string()))
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    rpc: LegacyRpcMethods<RpcConfigFor<SubstrateConfig>>,
    limit: Duration,
}

fn classify(error: &subxt_rpcs::Error) -> CallError {
    let text = error.to_string();
    if PRUNED.iter().any(|phrase| text.contains(phrase)) { CallError::Pruned } else { CallError::Lost(text) }
}

fn at(hash: &BlockHash) -> H256 {
    H256(hash.0)
}

impl Connection {
    /// Connects; `limit` bounds this and every later call.
    pub(crate) async fn open(url: &NodeUrl, limit: Duration) -> Result<Self, CallError> {
        let connecting = RpcClient::from_insecure_url(url.0.as_str());
        let client = match timeout(limit, connecting).await {
            Ok(Ok(client)) => client,
            // The error of the transport may repeat the whole address.
            Ok(Err(error)) => return Err(CallError::Lost(error.to_string().replace(url.0.as_str(), &url.to_string()))),
            Err(_) => return Err(CallError::Lost(format!("no connection within {limit:?}"))),
        };
        Ok(Self { rpc: LegacyRpcMethods::new(client), limit })
    }

    async fn call<T>(&self, what: &str, answer: impl Future<Output = Result<T, subxt_rpcs::Error>>) -> Result<T, CallError> {
        match timeout(self.limit, answer).await {
            Ok(answer) => answer.map_err(|error| classify(&error)),
            Err(_) => Err(CallError::Lost(format!("no answer to {what} within {:?}", self.limit))),
        }
    }

    pub(crate) async fn genesis(&self) -> Result<Genesis, CallError> {
        let hash = self.call("chain_getBlockHash", self.rpc.genesis_hash()).await?;
        Ok(Genesis(hash.0))
    }

    /// The hash at a height, on the chain that the node follows.
    pub(crate) async fn hash_at(&self, number: BlockNumber) -> Result<Option<BlockHash>, CallError> {
        // The RPC takes a height of 32 bits; no chain is that long.
        let Ok(height) = u32::try_from(number.0) else { return Ok(None) };
        let hash = self.call("chain_getBlockHash", self.rpc.chain_get_block_hash(Some(height.into()))).await?;
        Ok(hash.map(|hash| BlockHash(hash.0)))
    }

    pub(crate) async fn header(&self, hash: &BlockHash) -> Result<Option<Header>, CallError> {
        let header = self.call("chain_getHeader", self.rpc.chain_get_header(Some(at(hash)))).await?;
        match header.as_ref().map(Header::from) {
            Some(header) if header.hash != *hash => {
                Err(CallError::Lost(format!("asked for the header of {hash}, the node sent the one of {}", header.hash)))
            }
            header => Ok(header),
        }
    }

    pub(crate) async fn finalized(&self) -> Result<Header, CallError> {
        let hash = BlockHash(self.call("chain_getFinalizedHead", self.rpc.chain_get_finalized_head()).await?.0);
        self.header(&hash).await?.ok_or_else(|| CallError::Lost(format!("the node has no header of its finalized head {hash}")))
    }

    pub(crate) async fn heads(&self) -> Result<Heads, CallError> {
        let heads = self.call("chain_subscribeFinalizedHeads", self.rpc.chain_subscribe_finalized_heads()).await?;
        Ok(Heads(Mutex::new(heads)))
    }

    /// Version of the runtime in the state after a block: the one that executes its children.
    pub(crate) async fn spec_version(&self, hash: &BlockHash) -> Result<u32, CallError> {
        let version = self.call("state_getRuntimeVersion", self.rpc.state_get_runtime_version(Some(at(hash)))).await?;
        Ok(version.spec_version)
    }

    /// Metadata of the runtime in the state after a block.
    pub(crate) async fn metadata(&self, hash: &BlockHash) -> Result<Vec<u8>, CallError> {
        let metadata = self.call("state_getMetadata", self.rpc.state_get_metadata(Some(at(hash)))).await?;
        Ok(metadata.into_raw())
    }

    /// Answers what a block's decoding needs.
    pub(crate) async fn answer(
        &self,
        hash: &BlockHash,
        parent: &BlockHash,
        needs: Vec<Need>,
        answers: &mut Answers,
    ) -> Result<(), CallError> {
        let extrinsics =
            if needs.iter().any(|need| matches!(need, Need::Extrinsic(_))) { self.extrinsics(hash).await? } else { Vec::new() };
        let state = |which: At| match which {
            At::Block => hash,
            At::Parent => parent,
        };
        let extrinsics = &extrinsics;
        let found: Vec<(Need, Answer)> = stream::iter(needs.into_iter().map(|need| async move {
            let answer = match &need {
                Need::Value(which, key) => Answer::Value(self.value(state(*which), key).await?),
                Need::Keys(which, prefix) => Answer::Keys(self.keys(state(*which), prefix).await?),
                Need::Extrinsic(index) => Answer::Extrinsic(usize::try_from(*index).ok().and_then(|index| extrinsics.get(index)).cloned()),
            };
            Ok::<_, CallError>((need, answer))
        }))
        .buffer_unordered(READS_AT_ONCE)
        .try_collect()
        .await?;
        answers.0.extend(found);
        Ok(())
    }

    async fn value(&self, hash: &BlockHash, key: &[u8]) -> Result<Option<Vec<u8>>, CallError> {
        self.call("state_getStorage", self.rpc.state_get_storage(key, Some(at(hash)))).await
    }

    async fn keys(&self, hash: &BlockHash, prefix: &[u8]) -> Result<Vec<Vec<u8>>, CallError> {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        loop {
            let last = keys.last().map(Vec::as_slice);
            let page = self.call("state_getKeysPaged", self.rpc.state_get_keys_paged(prefix, KEYS_PER_PAGE, last, Some(at(hash)))).await?;
            let complete = page.len() < KEYS_PER_PAGE as usize;
            // A page that does not go on after the last one would be asked for for ever.
            if page.iter().any(|key| !key.starts_with(prefix) || last.is_some_and(|last| key.as_slice() <= last)) {
                return Err(CallError::Lost("storage keys out of order or outside of their prefix".into()));
            }
            keys.extend(page);
            if complete {
                return Ok(keys);
            }
            if keys.len() > KEYS_MAX {
                return Err(CallError::Lost(format!("more than {KEYS_MAX} storage keys under one prefix")));
            }
        }
    }

    async fn extrinsics(&self, hash: &BlockHash) -> Result<Vec<Vec<u8>>, CallError> {
        let details = self.call("chain_getBlock", self.rpc.chain_get_block(Some(at(hash)))).await?;
        let details = details.ok_or_else(|| CallError::Lost(format!("the node has no body of block {hash}")))?;
        Ok(details.block.extrinsics.into_iter().map(|extrinsic| extrinsic.0).collect())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_address_shows_neither_key_nor_user() {
        let url = NodeUrl::parse("wss://me:secret@node.example:9944/key?token=abc").unwrap();
        assert_eq!(format!("{url} {url:?}"), "wss://node.example:9944 wss://node.example:9944");
        assert!(NodeUrl::parse("http://node.example").unwrap_err().contains("ws://"));
    }

    #[test]
    fn discarded_state_is_told_from_a_lost_node() {
        let answer = |message: &str| subxt_rpcs::Error::User(subxt_rpcs::UserError { code: 4003, message: message.into(), data: None });
        // What polkadot-sdk nodes answer to state calls at a block outside of their pruning window.
        let discarded = "Client error: Api called for an unknown Block: State already discarded for 0x8f9c";
        assert_eq!(classify(&answer(discarded)), CallError::Pruned);
        assert_eq!(classify(&answer("UnknownBlock: State already discarded for 0x8f9c")), CallError::Pruned);
        assert!(matches!(classify(&answer("Internal error")), CallError::Lost(_)));
    }
}
