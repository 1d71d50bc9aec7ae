//! Where a transaction is, and what it did: receipts count only with the block that the node's own chain has at that height.

use crate::combine::{self, Sighting};
use crate::endpoint::RpcError;
use crate::health::Health;
use crate::lane::EvmLane;
use crate::node::Receipt;
use crate::pool::gather;
use crate::report;
use crate::witness::Witness;
use acurast_adapter_api::{FinalReport, FulfillItem, Inclusion, Observation};
use acurast_events::bytes::TxHash;
use acurast_events::units::{Batch, Gas};

impl EvmLane {
    /// What all endpoints that can be asked say together.
    pub(crate) async fn look_for(&self, tx: &TxHash) -> Observation {
        let asked = self.chain.observers().into_iter().map(|witness| (witness, see(witness, tx)));
        let settled = |witness: &Witness, seen: &Observation| witness.is_trusted() && matches!(seen, Observation::Included(_));
        let answers = gather(asked, |answers| answers.iter().any(|(witness, seen)| seen.as_ref().is_ok_and(|seen| settled(witness, seen))));
        let sightings: Vec<Sighting> = answers
            .await
            .into_iter()
            .map(|(witness, seen)| Sighting {
                trusted: witness.is_trusted(),
                healthy: witness.endpoint().health() == Health::Healthy,
                seen: seen.unwrap_or_else(|error| Observation::Unknown(error.to_string())),
            })
            .collect();
        combine::sightings(self.chain.witnesses().len(), &sightings)
    }

    /// What a transaction did, by the word of a trusted endpoint or of a majority.
    pub(crate) async fn agreed_report(&self, tx: &TxHash, items: &[FulfillItem], root: Option<Batch>) -> Result<FinalReport, RpcError> {
        self.chain.agreed(&format!("the receipt of {tx}"), |witness| self.read_report(witness, tx, items, root)).await
    }

    /// Reads what a transaction did. A receipt that contradicts itself takes the endpoint's health and books nothing.
    async fn read_report(
        &self,
        witness: &Witness,
        tx: &TxHash,
        items: &[FulfillItem],
        root: Option<Batch>,
    ) -> Result<FinalReport, RpcError> {
        const METHOD: &str = "eth_getTransactionReceipt";
        let endpoint = witness.endpoint();
        let receipt = endpoint.receipt(tx).await?.ok_or_else(|| endpoint.missing(format!("it has no receipt of {tx}")))?;
        let inclusion = inclusion(witness, &receipt).await?;
        let inclusion = inclusion.ok_or_else(|| endpoint.missing(format!("the block of {tx} is leaving its chain")))?;
        let callee = if items.is_empty() && root.is_none() { self.key.address() } else { *self.chain.settlement() };
        if receipt.from != self.key.address() || receipt.to != Some(callee) {
            let (signer, from, to) = (self.key.address(), receipt.from, receipt.to);
            return Err(endpoint.malformed(METHOD, format!("{tx} is from {from} to {to:?}, expected {signer} to {callee}")));
        }
        if let Some(log) = receipt.logs.iter().find(|log| log.block_hash != receipt.block_hash || log.transaction_hash != *tx) {
            return Err(endpoint.malformed(METHOD, format!("event {} in the receipt of {tx} is of another transaction", log.log_index.0)));
        }
        let deeds =
            report::read(&receipt, self.chain.settlement(), items, root).map_err(|error| endpoint.malformed(METHOD, error.to_string()))?;
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

/// What one endpoint says: receipt first, then the pool. Only two `null`s in that order say *not found*.
async fn see(witness: &Witness, tx: &TxHash) -> Result<Observation, RpcError> {
    let endpoint = witness.endpoint();
    if let Some(receipt) = endpoint.receipt(tx).await? {
        let found = inclusion(witness, &receipt).await?;
        return Ok(found.map_or_else(
            || Observation::Unknown(format!("{}: the block of {tx} is leaving its chain", endpoint.name())),
            Observation::Included,
        ));
    }
    match endpoint.transaction(tx).await? {
        None => Ok(Observation::NotFound),
        Some(transaction) if transaction.block_hash.is_none() => Ok(Observation::Pending),
        // Mined between the two questions; the next receipt tells.
        Some(_) => Ok(Observation::Unknown(format!("{}: {tx} has a block and no receipt yet", endpoint.name()))),
    }
}

/// The receipt's block, checked against the endpoint's chain at that height; nothing when another block is there.
async fn inclusion(witness: &Witness, receipt: &Receipt) -> Result<Option<Inclusion>, RpcError> {
    match witness.header(receipt.block_number.0).await {
        Ok(header) if header.hash == receipt.block_hash => {
            Ok(Some(Inclusion { block: witness.block_ref(&header)?, success: receipt.status.0 == 1 }))
        }
        Ok(_) | Err(RpcError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
