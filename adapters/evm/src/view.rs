//! The chain at one moment: head, finality, the signer's nonces and balance, and what inclusion costs.

use crate::endpoint::RpcError;
use crate::lane::EvmLane;
use acurast_adapter_api::LaneView;
use acurast_adapter_api::lane::FeeMarket;
use acurast_events::amount::Amount;
use acurast_events::units::Slot;

impl EvmLane {
    /// Reads a view; state is read by block hash, so that all of it belongs together whatever is mined meanwhile.
    ///
    /// Slots come from the chain's mined state, never from `pending` (R3). The endpoint gets its health back only when all
    /// of it made sense.
    pub(crate) async fn read_view(&self) -> Result<LaneView, RpcError> {
        let (chain, endpoint, signer) = (&self.chain, self.chain.endpoint(), self.key.address());
        chain.check_chain_id().await?;
        let (head, finalized) = self.heads().await?;
        let (next_head, next_final, balance, base_fee, priority_fee) = tokio::try_join!(
            endpoint.nonce_at(&signer, &head.hash),
            endpoint.nonce_at(&signer, &finalized.hash),
            endpoint.balance_at(&signer, &head.hash),
            endpoint.next_base_fee(head.number.0),
            endpoint.priority_fee(),
        )?;
        if next_final > next_head {
            return Err(
                endpoint.malformed("eth_getTransactionCount", format!("{next_final} of the signer's {next_head} transactions are final"))
            );
        }
        let view = LaneView {
            head: chain.block_ref(&head)?,
            finalized: chain.block_ref(&finalized)?,
            next_slot_head: Slot(next_head),
            next_slot_final: Slot(next_final),
            balance: Amount(balance),
            market: FeeMarket { base_fee: Amount(base_fee), priority_fee: Amount(priority_fee), data_fee: None },
        };
        endpoint.regain_health();
        Ok(view)
    }
}
