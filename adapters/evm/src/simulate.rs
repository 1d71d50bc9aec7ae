//! What a call would do on top of the newest block, and the gas that it needs.

use crate::endpoint::RpcError;
use crate::lane::EvmLane;
use crate::revert;
use crate::transaction::{encode, length_bound};
use crate::witness::Witness;
use acurast_adapter_api::{Call, Simulation};
use acurast_events::units::Gas;

const PERMILLE: u64 = 1_000;
/// The estimate is made at this multiple of the base fee, so that it holds for a few full blocks to come.
const BASE_FEE_MULTIPLE: u128 = 2;

impl EvmLane {
    /// What those that are believed say would happen; of different amounts of gas the one in the middle.
    pub(crate) async fn agreed_simulation(&self, call: &Call) -> Result<Simulation, RpcError> {
        let fault = |simulation: &Simulation| match simulation {
            Simulation::Executes { .. } => None,
            Simulation::Reverts { item, .. } => Some(*item),
        };
        let mut simulations = self.chain.plain("a simulation", |witness| self.try_call(witness, call), fault).await?;
        simulations.sort_by_key(|simulation| match simulation {
            Simulation::Executes { gas_limit, .. } => *gas_limit,
            Simulation::Reverts { .. } => Gas(0),
        });
        let middle = simulations.len().saturating_sub(1).checked_div(2).unwrap_or(0);
        let simulation = simulations.into_iter().nth(middle);
        simulation.ok_or_else(|| RpcError::Undecided { reason: "nobody simulated".into() })
    }

    /// Tries `call`: first without a price, for the reason of a revert whatever the signer's balance is; then the estimate
    /// at the market's price, because the contract's charge, and so its gas, depends on the price.
    async fn try_call(&self, witness: &Witness, call: &Call) -> Result<Simulation, RpcError> {
        let (endpoint, signer) = (witness.endpoint(), self.key.address());
        let (to, calldata) = encode(call, &signer, self.chain.settlement());
        let bytes = length_bound(&calldata);
        if *call == Call::NoOp {
            return Ok(Simulation::Executes { gas_limit: Gas(crate::lane::NOOP_GAS), bytes });
        }
        if let Err(error) = endpoint.eth_call(Some(&signer), &to, &calldata, None).await {
            return reverted(error);
        }
        let head = witness.head().await?;
        let (base_fee, priority_fee) = tokio::try_join!(endpoint.next_base_fee(head.number.0), endpoint.priority_fee())?;
        let max_fee = base_fee
            .checked_mul(BASE_FEE_MULTIPLE)
            .and_then(|fee| fee.checked_add(priority_fee))
            .ok_or_else(|| endpoint.malformed("eth_feeHistory", format!("base fee {base_fee}")))?;
        match endpoint.estimate(&signer, &to, &calldata, max_fee, priority_fee).await {
            Ok(gas) => {
                let gas_limit = self.with_margin(gas);
                let gas_limit = gas_limit.ok_or_else(|| endpoint.malformed("eth_estimateGas", format!("an estimate of {gas} gas")))?;
                Ok(Simulation::Executes { gas_limit, bytes })
            }
            Err(error) => reverted(error),
        }
    }

    fn with_margin(&self, gas: u64) -> Option<Gas> {
        let with_margin = gas.checked_mul(self.config.gas_margin_permille.into())?.checked_div(PERMILLE)?;
        Some(Gas(with_margin.max(gas)))
    }
}

/// A revert is an answer; anything else leaves the question open.
fn reverted(error: RpcError) -> Result<Simulation, RpcError> {
    match revert::of(&error) {
        Some(reverted) => Ok(Simulation::Reverts { item: reverted.item, reason: reverted.reason }),
        None => Err(error),
    }
}
