//! The JSON-RPC methods that this adapter uses, with exactly the fields that it reads.
//!
//! Each says which answers are possible; a `null` where the method can't have one is a senseless answer.

use crate::endpoint::{Endpoint, RpcError};
use crate::quantity::{Quantity, Quantity64, quantity};
use acurast_events::bytes::{BlockHash, Bytes, EvmAddress, TxHash};
use serde::Deserialize;
use serde_json::{Value, json};

/// Which block is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockTag {
    /// The newest.
    Latest,
    /// The newest that can't be replaced without slashing a third of the stake.
    Finalized,
    /// The newest that is unlikely to be replaced.
    Safe,
    /// At a height of the node's current chain.
    Number(u64),
}

impl BlockTag {
    fn param(self) -> Value {
        match self {
            Self::Latest => json!("latest"),
            Self::Finalized => json!("finalized"),
            Self::Safe => json!("safe"),
            Self::Number(number) => quantity(number.into()),
        }
    }
}

/// A block's header, as far as it is read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    /// Hash.
    pub hash: BlockHash,
    /// Hash of its parent.
    pub parent_hash: BlockHash,
    /// Height.
    pub number: Quantity64,
    /// Seconds since the Unix epoch.
    pub timestamp: Quantity64,
    /// Most gas that its transactions may use.
    pub gas_limit: Quantity64,
    /// Base fee per gas, wei. A chain without it has no EIP-1559 and isn't served.
    pub base_fee_per_gas: Quantity,
}

/// A block with its transactions.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FullBlock {
    /// Hash.
    pub hash: BlockHash,
    /// Height.
    pub number: Quantity64,
    /// Transactions in order.
    pub transactions: Vec<Transaction>,
}

/// A transaction, as far as it is read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Transaction {
    /// Hash.
    pub hash: TxHash,
    /// Sender.
    pub from: EvmAddress,
    /// Sender's nonce.
    pub nonce: Quantity64,
    /// Its block, unless it is in the pool.
    pub block_hash: Option<BlockHash>,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Log {
    /// Contract that emitted it.
    pub address: EvmAddress,
    /// Signature hash and indexed fields.
    pub topics: Vec<BlockHash>,
    /// The other fields.
    pub data: Bytes,
    /// Height of its block.
    pub block_number: Quantity64,
    /// Hash of its block.
    pub block_hash: BlockHash,
    /// Its transaction.
    pub transaction_hash: TxHash,
    /// Index of the transaction in the block.
    pub transaction_index: Quantity64,
    /// Its index in the block.
    pub log_index: Quantity64,
    /// True in notices of reorganizations only.
    #[serde(default)]
    pub removed: bool,
}

/// What a mined transaction did.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// The transaction.
    pub transaction_hash: TxHash,
    /// Height of its block.
    pub block_number: Quantity64,
    /// Hash of its block.
    pub block_hash: BlockHash,
    /// Sender.
    pub from: EvmAddress,
    /// Callee; absent for a creation.
    pub to: Option<EvmAddress>,
    /// 1: executed, 0: reverted.
    pub status: Quantity64,
    /// Gas used.
    pub gas_used: Quantity64,
    /// Paid per gas, wei.
    pub effective_gas_price: Quantity,
    /// Its events.
    pub logs: Vec<Log>,
}

/// Which events are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter {
    /// First height.
    pub from: u64,
    /// Last height.
    pub to: u64,
    /// The contract.
    pub address: EvmAddress,
    /// Per topic position the accepted values; empty: any.
    pub topics: Vec<Vec<[u8; 32]>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FeeHistory {
    base_fee_per_gas: Vec<Quantity>,
}

/// The state that a call reads is that of exactly this block, or there is no answer (EIP-1898).
fn at(hash: &BlockHash) -> Value {
    json!({ "blockHash": hash, "requireCanonical": true })
}

impl Endpoint {
    /// Words that name the node's program and version.
    ///
    /// # Errors
    /// See [`RpcError`]; so for all methods here.
    pub async fn client_version(&self) -> Result<String, RpcError> {
        self.call("web3_clientVersion", json!([])).await
    }

    /// EIP-155 chain id.
    ///
    /// # Errors
    /// See [`RpcError`].
    pub async fn chain_id(&self) -> Result<u64, RpcError> {
        self.call::<Quantity64>("eth_chainId", json!([])).await.map(|id| id.0)
    }

    /// A block's header; nothing when the node has no such block.
    ///
    /// # Errors
    /// See [`RpcError`]; also when the node gives another height than asked for.
    pub async fn header(&self, tag: BlockTag) -> Result<Option<Header>, RpcError> {
        const METHOD: &str = "eth_getBlockByNumber";
        let header: Option<Header> = self.call(METHOD, json!([tag.param(), false])).await?;
        match (tag, header) {
            (BlockTag::Number(asked), Some(header)) if header.number.0 != asked => {
                Err(self.malformed(METHOD, format!("block {} for {asked}", header.number.0)))
            }
            (_, header) => Ok(header),
        }
    }

    /// A block with its transactions; nothing when the node has no such block.
    ///
    /// # Errors
    /// See [`RpcError`].
    pub async fn full_block(&self, number: u64) -> Result<Option<FullBlock>, RpcError> {
        const METHOD: &str = "eth_getBlockByNumber";
        let block: Option<FullBlock> = self.call(METHOD, json!([quantity(number.into()), true])).await?;
        match block {
            Some(block) if block.number.0 != number => Err(self.malformed(METHOD, format!("block {} for {number}", block.number.0))),
            block => Ok(block),
        }
    }

    /// Code of an account at the newest block; empty when there is none.
    ///
    /// # Errors
    /// See [`RpcError`].
    pub async fn code(&self, address: &EvmAddress) -> Result<Bytes, RpcError> {
        self.call("eth_getCode", json!([address, "latest"])).await
    }

    /// How many transactions `address` has in the chain up to this block: its next nonce.
    ///
    /// # Errors
    /// See [`RpcError`].
    pub async fn nonce_at(&self, address: &EvmAddress, block: &BlockHash) -> Result<u64, RpcError> {
        self.call::<Quantity64>("eth_getTransactionCount", json!([address, at(block)])).await.map(|nonce| nonce.0)
    }

    /// Balance at this block, wei.
    ///
    /// # Errors
    /// See [`RpcError`].
    pub async fn balance_at(&self, address: &EvmAddress, block: &BlockHash) -> Result<u128, RpcError> {
        self.call::<Quantity>("eth_getBalance", json!([address, at(block)])).await.map(|balance| balance.0)
    }

    /// Base fee per gas of the block after `number`, wei.
    ///
    /// # Errors
    /// See [`RpcError`].
    pub async fn next_base_fee(&self, number: u64) -> Result<u128, RpcError> {
        const METHOD: &str = "eth_feeHistory";
        let history: FeeHistory = self.call(METHOD, json!(["0x1", quantity(number.into()), []])).await?;
        match history.base_fee_per_gas.as_slice() {
            [_, next] => Ok(next.0),
            other => Err(self.malformed(METHOD, format!("{} base fees for one block and the next", other.len()))),
        }
    }

    /// Priority fee per gas that the node thinks will be included soon, wei.
    ///
    /// # Errors
    /// See [`RpcError`].
    pub async fn priority_fee(&self) -> Result<u128, RpcError> {
        self.call::<Quantity>("eth_maxPriorityFeePerGas", json!([])).await.map(|fee| fee.0)
    }

    /// What a call returns on top of `block`, or of the newest block.
    ///
    /// # Errors
    /// See [`RpcError`]; a revert is `Node` with the revert data.
    pub async fn eth_call(
        &self,
        from: Option<&EvmAddress>,
        to: &EvmAddress,
        data: &[u8],
        block: Option<&BlockHash>,
    ) -> Result<Bytes, RpcError> {
        let mut call = json!({ "to": to, "input": Bytes(data.to_vec()) });
        if let (Some(from), Some(fields)) = (from, call.as_object_mut()) {
            fields.insert("from".into(), json!(from));
        }
        self.call("eth_call", json!([call, block.map_or_else(|| json!("latest"), at)])).await
    }

    /// Gas that a transaction needs on top of the newest block.
    ///
    /// # Errors
    /// See [`RpcError`]; a revert is `Node` with the revert data.
    pub async fn estimate(
        &self,
        from: &EvmAddress,
        to: &EvmAddress,
        data: &[u8],
        max_fee_per_gas: u128,
        max_priority_fee: u128,
    ) -> Result<u64, RpcError> {
        let call = json!({
            "from": from, "to": to, "input": Bytes(data.to_vec()),
            "maxFeePerGas": quantity(max_fee_per_gas), "maxPriorityFeePerGas": quantity(max_priority_fee),
        });
        self.call::<Quantity64>("eth_estimateGas", json!([call, "latest"])).await.map(|gas| gas.0)
    }

    /// Hands signed bytes to the node; its answer is the hash.
    ///
    /// # Errors
    /// See [`RpcError`]; what an error of the node means is in [`crate::outcomes`].
    pub async fn send_raw(&self, bytes: &Bytes) -> Result<TxHash, RpcError> {
        self.call("eth_sendRawTransaction", json!([bytes])).await
    }

    /// Receipt of a mined transaction; nothing when the node knows of none.
    ///
    /// # Errors
    /// See [`RpcError`]; also when the receipt is of another transaction or has no status.
    pub async fn receipt(&self, tx: &TxHash) -> Result<Option<Receipt>, RpcError> {
        const METHOD: &str = "eth_getTransactionReceipt";
        let receipt: Option<Receipt> = self.call(METHOD, json!([tx])).await?;
        match receipt {
            Some(receipt) if receipt.transaction_hash != *tx => {
                Err(self.malformed(METHOD, format!("receipt of {} for {tx}", receipt.transaction_hash)))
            }
            Some(receipt) if receipt.status.0 > 1 => Err(self.malformed(METHOD, format!("status {}", receipt.status.0))),
            receipt => Ok(receipt),
        }
    }

    /// A transaction in the chain or the pool; nothing when the node knows of none.
    ///
    /// # Errors
    /// See [`RpcError`].
    pub async fn transaction(&self, tx: &TxHash) -> Result<Option<Transaction>, RpcError> {
        const METHOD: &str = "eth_getTransactionByHash";
        let transaction: Option<Transaction> = self.call(METHOD, json!([tx])).await?;
        match transaction {
            Some(transaction) if transaction.hash != *tx => {
                Err(self.malformed(METHOD, format!("transaction {} for {tx}", transaction.hash)))
            }
            transaction => Ok(transaction),
        }
    }

    /// Events in a range of heights, in their order.
    ///
    /// # Errors
    /// See [`RpcError`]; also when one is out of the range, of another contract, or out of order.
    pub async fn logs(&self, filter: &LogFilter) -> Result<Vec<Log>, RpcError> {
        const METHOD: &str = "eth_getLogs";
        let topics: Vec<Value> = filter
            .topics
            .iter()
            .map(|accepted| match accepted.as_slice() {
                [] => Value::Null,
                values => values.iter().map(|value| json!(BlockHash(*value))).collect(),
            })
            .collect();
        let logs: Vec<Log> = self
            .call(
                METHOD,
                json!([{
                    "fromBlock": quantity(filter.from.into()), "toBlock": quantity(filter.to.into()),
                    "address": filter.address, "topics": topics,
                }]),
            )
            .await?;
        let mut last = None;
        for log in &logs {
            let position = (log.block_number.0, log.log_index.0);
            if !(filter.from..=filter.to).contains(&position.0) || log.address != filter.address || log.removed {
                return Err(self.malformed(METHOD, format!("an event at {position:?} that was not asked for")));
            }
            if last.is_some_and(|last| last >= position) {
                return Err(self.malformed(METHOD, format!("an event at {position:?} out of order")));
            }
            last = Some(position);
        }
        Ok(logs)
    }
}
