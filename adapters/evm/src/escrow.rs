//! Who owns an escrow account, and which target it pays for: what attesters ask of the destination, at finality.

use crate::chain::EvmChain;
use crate::contract::{Settlement, evm_address};
use crate::endpoint::RpcError;
use crate::node::Header;
use crate::witness::Witness;
use acurast_adapter_api::{EscrowHolder, EscrowOracle, OracleError};
use acurast_events::bytes::{Bytes, EscrowId, OwnerKey};
use alloy::primitives::{Address, B256};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Holders kept; beyond that all are read anew.
const HOLDERS_KEPT: usize = 4_096;

/// Reads accounts from the settlement contract. An account's id commits to its owner and target (PROTOCOL §6), so what was
/// read once is never asked for again: a root of many leaves of few accounts costs few calls.
#[derive(Debug)]
pub struct EvmEscrowOracle {
    chain: Arc<EvmChain>,
    holders: Mutex<BTreeMap<EscrowId, EscrowHolder>>,
}

impl EvmEscrowOracle {
    /// Reads from this chain; the contract should have been identified.
    pub fn new(chain: Arc<EvmChain>) -> Self {
        Self { chain, holders: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<EscrowId, EscrowHolder>> {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn holder(witness: &Witness, escrow: &EscrowId, finalized: Header) -> Result<Option<EscrowHolder>, RpcError> {
    let account = witness.read(&Settlement::accountCall { escrowId: B256::from(escrow.0) }, Some(&finalized.hash)).await?;
    Ok((account.opener != Address::ZERO)
        .then(|| EscrowHolder { owner: OwnerKey(account.ownerKey.0), target: Bytes(evm_address(&account.target).0.to_vec()) }))
}

#[async_trait]
impl EscrowOracle for EvmEscrowOracle {
    async fn escrow_holder(&self, escrow: &EscrowId) -> Result<Option<EscrowHolder>, OracleError> {
        if let Some(holder) = self.known().get(escrow) {
            return Ok(Some(holder.clone()));
        }
        let found = self.chain.agreed_final("an escrow account", |witness, pins| holder(witness, escrow, pins.finalized)).await;
        let found = found.map_err(|error| OracleError::Unavailable(error.to_string()))?;
        if let Some(holder) = &found {
            let mut known = self.known();
            if known.len() >= HOLDERS_KEPT {
                known.clear();
            }
            known.insert(*escrow, holder.clone());
        }
        Ok(found)
    }
}
