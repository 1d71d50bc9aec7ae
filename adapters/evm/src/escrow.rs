//! Who owns an escrow account, and which target it pays for: what attesters ask of the destination, at finality.

use crate::chain::EvmChain;
use crate::contract::{Settlement, evm_address};
use acurast_adapter_api::{EscrowHolder, EscrowOracle, OracleError};
use acurast_events::bytes::{Bytes, EscrowId, OwnerKey};
use alloy::primitives::{Address, B256};
use async_trait::async_trait;
use std::sync::Arc;

/// Reads accounts from the settlement contract.
#[derive(Debug, Clone)]
pub struct EvmEscrowOracle {
    chain: Arc<EvmChain>,
}

impl EvmEscrowOracle {
    /// Reads from this chain; the contract should have been identified.
    pub fn new(chain: Arc<EvmChain>) -> Self {
        Self { chain }
    }
}

#[async_trait]
impl EscrowOracle for EvmEscrowOracle {
    async fn escrow_holder(&self, escrow: &EscrowId) -> Result<Option<EscrowHolder>, OracleError> {
        let read = async {
            self.chain.check_chain_id().await?;
            let finalized = self.chain.finalized().await?;
            self.chain.read(&Settlement::accountCall { escrowId: B256::from(escrow.0) }, Some(&finalized.hash)).await
        };
        let account = read.await.map_err(|error| OracleError::Unavailable(error.to_string()))?;
        Ok((account.opener != Address::ZERO)
            .then(|| EscrowHolder { owner: OwnerKey(account.ownerKey.0), target: Bytes(evm_address(&account.target).0.to_vec()) }))
    }
}
