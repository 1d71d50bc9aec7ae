//! Folds of the journal's authoritative partitions in RocksDB: state rows, and how far they were folded.
//!
//! The store is a cache of the journal (R11). One commit is one write batch with the rows, the applied position, the
//! deduplication of answered inputs and the digest; it isn't synced. So after a crash the store lags the journal at most,
//! and catches up from its applied [`Frontier`](acurast_relayer_journal::Frontier). A store that leads its journal, or that
//! comes from another one, is refused.
//!
//! * [`Store`] is the directory; [`Store::partition`] gives the one writer of a partition's fold, [`Store::view`] readers.
//! * [`PartitionStore::commit`] applies accepted records. Rows are `(table, key, value or removal)`; what they mean is the
//!   cores' business.
//! * [`Digest`] names a state; two folds of the same records have the same. A commit compares it with what the partition's
//!   owner recorded; [`digest_runs`] splits records so that it can.
//! * [`checkpoint`] keeps copies of a store outside of its volume, and brings them back.
//! * [`Store::landmark`] says where in a partition's log a reader may begin.

#![deny(clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

mod applied;
mod bare;
mod changes;
pub mod checkpoint;
mod database;
mod digest;
mod error;
mod layout;
mod partition;
mod runs;
mod view;

pub use applied::Applied;
pub use bare::BareStore;
pub use changes::{KeyValue, Row, StoredRow};
pub use database::{Identity, Refold, Store};
pub use digest::{BUCKETS, BucketDigests, Digest};
pub use error::StoreError;
pub use partition::PartitionStore;
pub use runs::digest_runs;
pub use view::PartitionView;
