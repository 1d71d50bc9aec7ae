//! The regular look at all endpoints of a chain: who is alive, who advances, who agrees (R8).

use crate::breaker::{Breaker, CallEnd};
use crate::chain::EvmChain;
use crate::health::{Health, Notice};
use crate::node::Header;
use crate::pool::gather;
use crate::witness::{Sight, Witness};
use acurast_adapter_api::endpoints::{EndpointPool, EndpointStatus, Fault, PoolStatus, Reach};
use acurast_events::caip::ChainId;
use acurast_events::units::{BlockNumber, Millis};
use async_trait::async_trait;
use std::time::Duration;

/// One endpoint's look takes no longer than the time between two, but at least this.
const LOOK_MIN: Duration = Duration::from_millis(500);

impl EvmChain {
    /// The sight of every endpoint that can be asked and answers in time.
    async fn look(&self) -> Vec<(&Witness, Sight)> {
        let limit = Duration::from_millis(self.survey_every().0).max(LOOK_MIN);
        let looks = self.witnesses().iter().filter(|witness| witness.endpoint().is_open_to_calls()).map(|witness| {
            let look = async move {
                tokio::time::timeout(limit, witness.sight()).await.unwrap_or_else(|_| {
                    witness.endpoint().note(CallEnd::Failed);
                    Err(witness.endpoint().unreachable("eth_getBlockByNumber", format!("no answer within {} ms", limit.as_millis())))
                })
            };
            (witness, look)
        });
        let mut sights = Vec::new();
        for (witness, sight) in gather(looks, |_| false).await {
            match sight {
                Ok(sight) => sights.push((witness, sight)),
                Err(error) => tracing::debug!(%error, "endpoint not seen"),
            }
        }
        sights
    }

    /// Sets aside whoever has another final block than the trusted endpoint, or than the majority where none is trusted.
    async fn compare(&self, sights: &[(&Witness, Sight)]) {
        let trusted = sights.iter().find(|(witness, _)| witness.is_trusted() && witness.endpoint().health() == Health::Healthy);
        let Some((own, sight)) = trusted else {
            // Whoever differs is set aside on the way.
            self.common_final(sights).await;
            return;
        };
        let right = &sight.finalized;
        let late = |sight: &Sight| sight.finalized.number < right.number;
        let others = sights.iter().filter(|(witness, sight)| witness.index() != own.index() && !late(sight));
        let asked = others.map(|(witness, sight)| (*witness, witness.header_in(sight, right.number.0)));
        for (witness, header) in gather(asked, |_| false).await {
            if header.is_ok_and(|header: Header| header != *right) {
                witness.contradicts(format!("another final block {} than {}", right.number.0, own.endpoint().name()));
            }
        }
    }

    fn status(&self, witness: &Witness) -> EndpointStatus {
        let endpoint = witness.endpoint();
        let (fault, reason) = match endpoint.health() {
            Health::Healthy => (None, String::new()),
            Health::Behind { head, reached } => (Some(Fault::Behind), format!("its head is block {head}, others have reached {reached}")),
            Health::Senseless { reason } => (Some(Fault::Senseless), reason),
            Health::SetAside { reason } => (Some(Fault::SetAside), reason),
        };
        let reach = match endpoint.breaker() {
            Breaker::Closed { .. } => Reach::Called,
            Breaker::Open { .. } => Reach::LeftAlone,
            Breaker::Probing { .. } => Reach::Probed,
        };
        let head = self.health().state().head(witness.index()).map(BlockNumber);
        EndpointStatus { name: endpoint.name().to_owned(), trusted: witness.is_trusted(), fault, reason, reach, head }
    }
}

#[async_trait]
impl EndpointPool for EvmChain {
    fn chain(&self) -> &ChainId {
        Self::chain(self)
    }

    fn survey_every(&self) -> Millis {
        self.health().state().look_every()
    }

    async fn survey(&self) -> PoolStatus {
        let sights = self.look().await;
        for (witness, sight) in &sights {
            witness.endpoint().notice(Notice::Head(sight.head.number.0));
        }
        self.compare(&sights).await;
        let stalled = self.health().state().stalled(self.health().now());
        PoolStatus { endpoints: self.witnesses().iter().map(|witness| self.status(witness)).collect(), stalled }
    }
}
