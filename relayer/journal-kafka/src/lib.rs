//! The event journal on Apache Kafka: the same log as the embedded back end, for operators who run several replicas.
//!
//! Read in this order:
//!
//! * [`KafkaJournal`] is the back end; it passes the contract suite of `relayer/journal` on a real broker.
//! * `outbox` appends: an idempotent producer, every record acknowledged by all in-sync replicas, partition given.
//! * `cursor` reads: a consumer in a thread of its own with a bounded window; `cursors` shares them among readers.
//! * [`Membership`] shares the partitions out among replicas by a consumer group, through which nothing is read.
//! * [`TopicPlan`] compares topics with what they must be; nothing is created by writing or reading.
//! * [`KafkaConfig`] is how to reach the brokers; secrets stand in it by reference.
//!
//! Nothing here decides which records count. What the broker may do wrong (repeat, delay, lose), readers of authoritative
//! topics find by the chain of the records themselves (R11, R12). Offsets are checked to be dense, but for derived topics:
//! `transactor` may write those in transactions, which leave offsets without a record.

#![deny(clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

mod admin;
mod bare;
mod config;
mod context;
mod cursor;
mod cursors;
mod group;
mod journal;
mod names;
mod outbox;
mod secret;
mod token;
mod transactor;
mod window;

pub use admin::{TopicPlan, TopicState};
pub use bare::BareReader;
pub use config::{ConfigError, GroupConfig, KafkaConfig, OidcConfig, SaslConfig, TlsConfig, TopicSettings, Transactions};
pub use group::Membership;
pub use journal::KafkaJournal;
pub use secret::SecretReference;
