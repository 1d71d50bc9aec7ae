//! The endpoints of a chain, as whoever watches over them sees them: health, breaker and head of each (R8).

use acurast_events::caip::ChainId;
use acurast_events::units::{BlockNumber, Millis};
use async_trait::async_trait;

/// What is wrong with an endpoint's answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Its head is frozen, or later than others'.
    Behind,
    /// It said something that can't be.
    Senseless,
    /// It contradicted a trusted endpoint or a majority about something final.
    SetAside,
}

/// Whether calls reach it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// They do.
    Called,
    /// It is left alone, after failures or at its own wish.
    LeftAlone,
    /// One call is on its way to see.
    Probed,
}

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointStatus {
    /// A name that shows no secret.
    pub name: String,
    /// Whether its word counts alone.
    pub trusted: bool,
    /// What is wrong with it; nothing: healthy.
    pub fault: Option<Fault>,
    /// What is wrong with it, in words; empty when nothing is.
    pub reason: String,
    /// Whether calls reach it.
    pub reach: Reach,
    /// Its newest block; nothing while it was never seen.
    pub head: Option<BlockNumber>,
}

/// All endpoints of a chain at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolStatus {
    /// In the order of the configuration.
    pub endpoints: Vec<EndpointStatus>,
    /// For how long no credible head has advanced, once that is too long.
    pub stalled: Option<Millis>,
}

/// A chain's endpoints.
#[async_trait]
pub trait EndpointPool: Send + Sync {
    /// The chain.
    fn chain(&self) -> &ChainId;
    /// How often [`Self::survey`] should be called, so that a frozen head is noticed within three block times.
    fn survey_every(&self) -> Millis;
    /// Looks at every endpoint's head, compares them, and says how all of them are. Never fails: an endpoint that can't be
    /// asked shows in its status.
    async fn survey(&self) -> PoolStatus;
}
