//! The simulated journal without random faults passes the suite as any back end does.

use super::Harness;
use acurast_relayer_journal::{EventJournal, SimulatedJournal};
use async_trait::async_trait;
use std::sync::Arc;

pub(crate) struct InMemory(Arc<SimulatedJournal>);

#[async_trait]
impl Harness for InMemory {
    async fn start() -> Self {
        Self(Arc::new(SimulatedJournal::faultless()))
    }
    fn journal(&self) -> Arc<dyn EventJournal> {
        Arc::clone(&self.0) as Arc<dyn EventJournal>
    }
    // What it holds is the simulated disk: a crash of its clients takes nothing from it.
    async fn crash_and_reopen(&mut self) {}
}
