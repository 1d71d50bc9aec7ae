//! What a call would do on top of the newest block, and the gas that it needs.

use crate::endpoint::RpcError;
use crate::lane::EvmLane;
use crate::revert;
use crate::transaction::{encode, length_bound};
use acurast_adapter_api::{Call, LaneError, Simulation};
use acurast_events::units::Gas;

const PERMILLE: u64 = 1_000;
/// The estimate is made at this multiple of the base fee, so that it holds for a few full blocks to come.
const BASE_FEE_MULTIPLE: u128 = 2;

impl EvmLane {
    /// Tries `call`: first without a price, for the reason of a revert whatever the signer's balance is; then the estimate
    /// at the market's price, because the contract's charge, and so its gas, depends on the price.
    pub(crate) async fn try_call(&self, call: &Call) -> Result<Simulation, LaneError> {
        let (endpoint, signer) = (self.chain.endpoint(), self.key.address());
        let (to, calldata) = encode(call, &signer, self.chain.settlement());
        let bytes = length_bound(&calldata);
        if *call == Call::NoOp {
            return Ok(Simulation::Executes { gas_limit: Gas(crate::lane::NOOP_GAS), bytes });
        }
        match endpoint.eth_call(Some(&signer), &to, &calldata, None).await {
            Ok(_) => {}
            Err(error) => return self.reverted(&error),
        }
        let market = async {
            let head = self.chain.head().await?;
            let (base_fee, priority_fee) = tokio::try_join!(endpoint.next_base_fee(head.number.0), endpoint.priority_fee())?;
            Ok::<_, RpcError>((base_fee, priority_fee))
        };
        let (base_fee, priority_fee) = market.await.map_err(|error| self.unknown(error))?;
        let max_fee = base_fee
            .checked_mul(BASE_FEE_MULTIPLE)
            .and_then(|fee| fee.checked_add(priority_fee))
            .ok_or_else(|| self.unknown(endpoint.malformed("eth_feeHistory", format!("base fee {base_fee}"))))?;
        match endpoint.estimate(&signer, &to, &calldata, max_fee, priority_fee).await {
            Ok(gas) => Ok(Simulation::Executes { gas_limit: self.with_margin(gas)?, bytes }),
            Err(error) => self.reverted(&error),
        }
    }

    /// A revert is an answer; anything else leaves the question open.
    fn reverted(&self, error: &RpcError) -> Result<Simulation, LaneError> {
        let reverted = revert::of(error).ok_or_else(|| self.unknown(error))?;
        Ok(Simulation::Reverts { item: reverted.item, reason: reverted.reason })
    }

    fn with_margin(&self, gas: u64) -> Result<Gas, LaneError> {
        gas.checked_mul(self.config.gas_margin_permille.into())
            .and_then(|gas| gas.checked_div(PERMILLE))
            .map(|with_margin| Gas(with_margin.max(gas)))
            .ok_or_else(|| self.unknown(format!("an estimate of {gas} gas")))
    }
}
