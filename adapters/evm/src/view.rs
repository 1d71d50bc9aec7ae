//! The chain at one moment: head, finality, the signer's nonces and balance, and what inclusion costs.

use crate::endpoint::RpcError;
use crate::health::Notice;
use crate::lane::EvmLane;
use crate::pool::Pins;
use crate::witness::Witness;
use acurast_adapter_api::LaneView;
use acurast_adapter_api::lane::FeeMarket;
use acurast_events::amount::Amount;
use acurast_events::units::Slot;

impl EvmLane {
    /// A view that a trusted endpoint or a majority stands for. All of it comes from one endpoint; where several were asked,
    /// only what a usual priority fee is may differ between them, and then the one in the middle counts.
    pub(crate) async fn agreed_view(&self) -> Result<LaneView, RpcError> {
        let without_opinion = |view: &LaneView| {
            let mut view = view.clone();
            view.market.priority_fee = Amount::ZERO;
            view
        };
        let mut views = self.chain.agreed_by("the chain's state", |witness, pins| self.read_view(witness, pins), without_opinion).await?;
        views.sort_unstable_by_key(|view| view.market.priority_fee);
        let middle = views.len().saturating_sub(1).checked_div(2).unwrap_or(0);
        let view = views.into_iter().nth(middle);
        view.ok_or_else(|| RpcError::Undecided { reason: "nobody gave a view".into() })
    }

    /// Reads a view; state is read by block hash, so that all of it belongs together whatever is mined meanwhile.
    ///
    /// Slots come from the chain's mined state, never from `pending` (R3). The endpoint gets its health back only when all
    /// of it made sense.
    async fn read_view(&self, witness: &Witness, pins: Pins) -> Result<LaneView, RpcError> {
        let (endpoint, signer, finalized) = (witness.endpoint(), self.key.address(), pins.finalized);
        let head = pins.head.ok_or_else(|| endpoint.missing("endpoints have no newest block in common"))?;
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
            head: witness.block_ref(&head)?,
            finalized: witness.block_ref(&finalized)?,
            next_slot_head: Slot(next_head),
            next_slot_final: Slot(next_final),
            balance: Amount(balance),
            market: FeeMarket { base_fee: Amount(base_fee), priority_fee: Amount(priority_fee), data_fee: None },
        };
        endpoint.notice(Notice::Sensible);
        Ok(view)
    }
}
