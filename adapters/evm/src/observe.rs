//! Where a transaction is, and what it did: receipts count only with the block that the node's own chain has at that height.

use crate::endpoint::RpcError;
use crate::lane::EvmLane;
use crate::node::{BlockTag, Receipt};
use crate::report;
use acurast_adapter_api::{FinalReport, FulfillItem, Inclusion, LaneError, Observation};
use acurast_events::bytes::TxHash;
use acurast_events::units::{Batch, Gas};

impl EvmLane {
    /// Receipt first, then the pool. Only two `null`s in that order say *not found*.
    pub(crate) async fn look_for(&self, tx: &TxHash) -> Result<Observation, RpcError> {
        let endpoint = self.chain.endpoint();
        if let Some(receipt) = endpoint.receipt(tx).await? {
            return self.inclusion(&receipt).await.map(|found| {
                found.map_or_else(|| Observation::Unknown(format!("the block of {tx} is leaving the node's chain")), Observation::Included)
            });
        }
        match endpoint.transaction(tx).await? {
            None => Ok(Observation::NotFound),
            Some(transaction) if transaction.block_hash.is_none() => Ok(Observation::Pending),
            // Mined between the two questions; the next receipt tells.
            Some(_) => Ok(Observation::Unknown(format!("{tx} has a block and no receipt yet"))),
        }
    }

    /// The receipt's block, checked against the node's chain at that height; nothing when another block is there.
    async fn inclusion(&self, receipt: &Receipt) -> Result<Option<Inclusion>, RpcError> {
        let header = self.chain.endpoint().header(BlockTag::Number(receipt.block_number.0)).await?;
        match header {
            Some(header) if header.hash == receipt.block_hash => {
                Ok(Some(Inclusion { block: self.chain.block_ref(&header)?, success: receipt.status.0 == 1 }))
            }
            _ => Ok(None),
        }
    }

    /// Reads what a transaction did. A receipt that contradicts itself takes the endpoint's health and books nothing.
    pub(crate) async fn read_report(&self, tx: &TxHash, items: &[FulfillItem], root: Option<Batch>) -> Result<FinalReport, LaneError> {
        const METHOD: &str = "eth_getTransactionReceipt";
        let endpoint = self.chain.endpoint();
        let receipt = endpoint.receipt(tx).await.map_err(|error| self.unknown(error))?;
        let receipt = receipt.ok_or_else(|| self.unknown(format!("no receipt of {tx}")))?;
        let inclusion = self.inclusion(&receipt).await.map_err(|error| self.unknown(error))?;
        let inclusion = inclusion.ok_or_else(|| self.unknown(format!("the block of {tx} is leaving the node's chain")))?;
        let senseless = |reason: String| self.unknown(endpoint.malformed(METHOD, reason));
        let callee = if items.is_empty() && root.is_none() { self.key.address() } else { *self.chain.settlement() };
        if receipt.from != self.key.address() || receipt.to != Some(callee) {
            return Err(senseless(format!(
                "{tx} is from {} to {:?}, expected {} to {callee}",
                receipt.from,
                receipt.to,
                self.key.address()
            )));
        }
        if let Some(log) = receipt.logs.iter().find(|log| log.block_hash != receipt.block_hash || log.transaction_hash != *tx) {
            return Err(senseless(format!("event {} in the receipt of {tx} is of another transaction", log.log_index.0)));
        }
        let deeds = report::read(&receipt, self.chain.settlement(), items, root).map_err(|error| senseless(error.to_string()))?;
        Ok(FinalReport {
            inclusion,
            gas_used: Gas(receipt.gas_used.0),
            gas_price: receipt.effective_gas_price.amount(),
            cost: deeds.cost,
            items: deeds.items,
            charges: deeds.charges,
        })
    }
}
