//! The contract suite of `relayer/journal`, on one real broker that all its tests share.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

#[path = "../../journal/tests/contract/mod.rs"]
mod contract;
mod support;

use acurast_relayer_journal::{EventJournal, SimulatedJournal};
use acurast_relayer_journal_kafka::KafkaConfig;
use async_trait::async_trait;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use support::{Brokers, Namespaced, ready};

contract::suite!(kafka_journal, crate::OnKafka);

/// One broker for all tests of this process; its holder ends when the process does.
fn broker() -> Option<&'static KafkaConfig> {
    static BROKER: OnceLock<Option<(Brokers, KafkaConfig)>> = OnceLock::new();
    let broker = BROKER.get_or_init(|| {
        ready().then(|| {
            let brokers = Brokers::start(1);
            let config = brokers.config();
            (brokers, config)
        })
    });
    broker.as_ref().map(|(_, config)| config)
}

struct OnKafka {
    prefix: String,
    journal: Option<Arc<dyn EventJournal>>,
}

impl OnKafka {
    fn open(prefix: String) -> Self {
        // Without a broker, which was said loudly, the suite runs on the simulated journal and shows nothing about Kafka.
        let journal: Arc<dyn EventJournal> = match broker() {
            Some(config) => Namespaced::open(config, &prefix),
            None => Arc::new(SimulatedJournal::faultless()),
        };
        Self { prefix, journal: Some(journal) }
    }
}

#[async_trait]
impl contract::Harness for OnKafka {
    async fn start() -> Self {
        static TESTS: AtomicU32 = AtomicU32::new(0);
        let test = TESTS.fetch_add(1, Ordering::Relaxed);
        tokio::task::spawn_blocking(move || Self::open(format!("t{test}."))).await.unwrap()
    }
    fn journal(&self) -> Arc<dyn EventJournal> {
        Arc::clone(self.journal.as_ref().unwrap())
    }
    // The broker goes on; its crashes have tests of their own. A new client knows nothing of what the old one did.
    async fn crash_and_reopen(&mut self) {
        if broker().is_some() {
            self.journal = None;
            *self = Self::open(self.prefix.clone());
        }
    }
}
