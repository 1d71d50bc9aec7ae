//! The JSON-RPC methods that answer at once. Bad input is an error of the caller, never of the node.
use crate::chain::{Block, Chain};
use crate::scale::{Hash, from_hex, to_hex};
use crate::trie;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};

/// Blocks that one `dev_newBlock` may mine; the node answers nobody else meanwhile.
const BLOCKS_MAX: u64 = 1_000;
/// Keys that one page may hold.
const PAGE_MAX: usize = 10_000;

/// Every method, as `rpc_methods` lists them.
const METHODS: &[&str] = &[
    "rpc_methods",
    "system_chain",
    "system_name",
    "system_version",
    "system_chainType",
    "system_health",
    "system_properties",
    "state_getRuntimeVersion",
    "state_subscribeRuntimeVersion",
    "state_unsubscribeRuntimeVersion",
    "state_getMetadata",
    "state_getStorage",
    "state_getStorageAt",
    "state_queryStorageAt",
    "state_getKeysPaged",
    "state_getReadProof",
    "state_call",
    "chain_getBlockHash",
    "chain_getFinalizedHead",
    "chain_getHeader",
    "chain_getBlock",
    "chain_subscribeNewHead",
    "chain_subscribeNewHeads",
    "chain_subscribeAllHeads",
    "chain_subscribeFinalizedHeads",
    "author_submitExtrinsic",
    "dev_newBlock",
    "dev_setStorage",
    "dev_setHead",
    "dev_timeTravel",
];

/// An error object of JSON-RPC 2.0.
#[derive(Debug)]
pub struct RpcError {
    /// The specification's code.
    pub code: i32,
    /// What was wrong.
    pub message: String,
}

impl From<anyhow::Error> for RpcError {
    fn from(e: anyhow::Error) -> RpcError {
        RpcError { code: -32603, message: format!("{e:#}") }
    }
}

fn invalid(message: impl Into<String>) -> RpcError {
    RpcError { code: -32602, message: message.into() }
}

/// Who is told of a new block.
pub struct Watcher {
    /// Told of the finalized block instead of the new one.
    pub finalized_only: bool,
    /// Bounded; one that doesn't read is dropped.
    pub blocks: SyncSender<Arc<Block>>,
}

/// The chain and what its clients share.
pub struct Node {
    /// The chain.
    pub chain: Chain,
    /// Blocks between head and finalized block.
    pub finality_lag: u64,
    /// Subscriptions.
    pub watchers: Vec<Watcher>,
    /// Answer of `state_getRuntimeVersion`.
    pub version: Value,
    /// Answer of `state_getMetadata`.
    pub metadata: Vec<u8>,
}

impl Node {
    /// The block `finality_lag` below the head, or genesis.
    pub fn finalized(&self) -> Arc<Block> {
        let head = self.chain.head();
        self.chain.block_at(head.header.number.saturating_sub(self.finality_lag)).unwrap_or(head)
    }

    fn announce(&mut self, block: &Arc<Block>) {
        let finalized = self.finalized();
        self.watchers.retain(|watcher| {
            let told = if watcher.finalized_only { &finalized } else { block };
            match watcher.blocks.try_send(told.clone()) {
                Ok(()) => true,
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
            }
        });
    }

    /// Answers one request.
    pub fn call(&mut self, method: &str, params: Params) -> Result<Value, RpcError> {
        Ok(match method {
            "rpc_methods" => json!({ "methods": METHODS }),
            "system_chain" | "system_name" => json!("acurast-devnode"),
            "system_version" => json!(env!("CARGO_PKG_VERSION")),
            "system_chainType" => json!("Development"),
            "system_health" => json!({ "peers": 0, "isSyncing": false, "shouldHavePeers": false }),
            "system_properties" => self.chain.properties().clone(),
            "state_getRuntimeVersion" => self.version.clone(),
            "state_getMetadata" => json!(to_hex(&self.metadata)),
            "chain_getBlockHash" => match params.get(0) {
                None => json!(to_hex(self.chain.head().hash)),
                Some(v) => {
                    let number = v.as_u64().or_else(|| u64::from_str_radix(v.as_str()?.trim_start_matches("0x"), 16).ok());
                    let number = number.ok_or_else(|| invalid("expected a block number"))?;
                    json!(self.chain.block_at(number).map(|b| to_hex(b.hash)))
                }
            },
            "chain_getFinalizedHead" => json!(to_hex(self.finalized().hash)),
            "chain_getHeader" => header_json(&*self.block(&params, 0)?),
            "chain_getBlock" => {
                let block = self.block(&params, 0)?;
                let extrinsics: Vec<String> = self.chain.body(&block)?.iter().map(to_hex).collect();
                json!({ "block": { "header": header_json(&block), "extrinsics": extrinsics }, "justifications": null })
            }
            "state_getStorage" | "state_getStorageAt" => {
                let state = self.chain.state(&*self.block(&params, 1)?)?;
                json!(state.get(&params.bytes(0)?).map(to_hex))
            }
            "state_queryStorageAt" => {
                let block = self.block(&params, 1)?;
                let state = self.chain.state(&block)?;
                let changes: Vec<Value> = params.list_of_bytes(0)?.iter().map(|k| json!([to_hex(k), state.get(k).map(to_hex)])).collect();
                json!([{ "block": to_hex(block.hash), "changes": changes }])
            }
            "state_getKeysPaged" => {
                let state = self.chain.state(&*self.block(&params, 3)?)?;
                let (prefix, count) = (params.bytes(0)?, params.number(1)?);
                let start = if params.get(2).is_some() { params.bytes(2)? } else { vec![] };
                let count = usize::try_from(count).unwrap_or(PAGE_MAX).min(PAGE_MAX);
                let keys = state.range(prefix.clone().max(start.clone())..).map(|(k, _)| k).filter(|k| **k != start);
                json!(keys.take_while(|k| k.starts_with(&prefix)).take(count).map(to_hex).collect::<Vec<_>>())
            }
            "state_call" => {
                let block = self.block(&params, 2)?;
                json!(to_hex(self.chain.query(&block, params.text(0)?, &params.bytes(1)?)?))
            }
            "state_getReadProof" => {
                let block = self.block(&params, 1)?;
                let state = self.chain.state(&block)?;
                let entries: Vec<(&[u8], &[u8])> = state.iter().map(|(k, v)| (&k[..], &v[..])).collect();
                let nodes = trie::build(&entries, true, Some(&params.list_of_bytes(0)?)).nodes;
                json!({ "at": to_hex(block.hash), "proof": nodes.iter().map(to_hex).collect::<Vec<_>>() })
            }
            "author_submitExtrinsic" => json!(to_hex(self.chain.submit(params.bytes(0)?)?)),
            "dev_newBlock" => self.new_blocks(&params)?,
            "dev_setStorage" => {
                let pairs = params.get(0).and_then(Value::as_array).ok_or_else(|| invalid("expected [[key, value or null], …]"))?;
                self.chain.set_storage(pairs.iter().map(storage_pair).collect::<Result<_, _>>()?)?;
                json!(to_hex(self.chain.head().hash))
            }
            "dev_setHead" => {
                let block = match params.get(0).and_then(Value::as_i64) {
                    Some(i) if i <= 0 => self.chain.block_at(self.chain.head().header.number.saturating_sub(i.unsigned_abs())),
                    Some(i) => self.chain.block_at(i.unsigned_abs()),
                    None => Some(self.block(&params, 0)?),
                };
                let block = block.ok_or_else(|| invalid("no block of that number"))?;
                self.chain.set_head(block.clone())?;
                json!(to_hex(block.hash))
            }
            "dev_timeTravel" => {
                let clock_ms = params.number(0)?;
                self.chain.time_travel(clock_ms)?;
                json!(clock_ms)
            }
            _ => return Err(RpcError { code: -32601, message: format!("method not found: {method:.60}") }),
        })
    }

    fn new_blocks(&mut self, params: &Params) -> Result<Value, RpcError> {
        let options = params.get(0).cloned().unwrap_or_default();
        let count = options.get("count").map_or(Some(1), Value::as_u64).filter(|n| (1..=BLOCKS_MAX).contains(n));
        let count = count.ok_or_else(|| invalid(format!("count must be between 1 and {BLOCKS_MAX}")))?;
        let given = options.get("transactions").map(|list| Params(std::slice::from_ref(list)).list_of_bytes(0)).transpose()?;
        for i in 0..count {
            let block = match &given {
                Some(transactions) if i == 0 => self.chain.build(transactions)?,
                Some(_) => self.chain.build(&[])?,
                None => self.chain.build_from_pool()?,
            };
            self.announce(&block);
        }
        Ok(json!(to_hex(self.chain.head().hash)))
    }

    /// The block that parameter `i` names by hash; the head when it is absent or null.
    fn block(&self, params: &Params, i: usize) -> Result<Arc<Block>, RpcError> {
        if params.get(i).is_none() {
            return Ok(self.chain.head());
        }
        let hash: Hash = params.bytes(i)?.try_into().map_err(|_| invalid("a block hash has 32 bytes"))?;
        self.chain.block(&hash).ok_or_else(|| RpcError { code: -32000, message: format!("block not found: {}", to_hex(hash)) })
    }
}

/// Positional parameters; null counts as absent.
#[derive(Clone, Copy)]
pub struct Params<'a>(pub &'a [Value]);

impl<'a> Params<'a> {
    /// Parameter `i`, when given.
    pub fn get(&self, i: usize) -> Option<&'a Value> {
        self.0.get(i).filter(|v| !v.is_null())
    }
    fn text(&self, i: usize) -> Result<&'a str, RpcError> {
        self.get(i).and_then(Value::as_str).ok_or_else(|| invalid(format!("parameter {i}: expected a string")))
    }
    fn bytes(&self, i: usize) -> Result<Vec<u8>, RpcError> {
        from_hex(self.text(i)?).map_err(|e| invalid(format!("parameter {i}: {e}")))
    }
    fn number(&self, i: usize) -> Result<u64, RpcError> {
        self.get(i).and_then(Value::as_u64).ok_or_else(|| invalid(format!("parameter {i}: expected a whole number")))
    }
    fn list_of_bytes(&self, i: usize) -> Result<Vec<Vec<u8>>, RpcError> {
        let list = self.get(i).and_then(Value::as_array).ok_or_else(|| invalid(format!("parameter {i}: expected a list")))?;
        (0..list.len()).map(|at| Params(list).bytes(at)).collect()
    }
}

fn storage_pair(pair: &Value) -> Result<(Vec<u8>, Option<Vec<u8>>), RpcError> {
    let pair = Params(pair.as_array().filter(|p| p.len() == 2).ok_or_else(|| invalid("expected [key, value or null]"))?);
    Ok((pair.bytes(0)?, if pair.get(1).is_some() { Some(pair.bytes(1)?) } else { None }))
}

/// A header as the RPC writes it.
pub fn header_json(block: &Block) -> Value {
    let header = &block.header;
    json!({
        "parentHash": to_hex(header.parent), "number": format!("0x{:x}", header.number), "stateRoot": to_hex(header.state_root),
        "extrinsicsRoot": to_hex(header.extrinsics_root), "digest": { "logs": header.logs.iter().map(to_hex).collect::<Vec<_>>() }
    })
}
