//! Copies of a store outside of its volume, and the way back.
//!
//! ```text
//! Store ──take──▶ folder + Manifest ──ship──▶ place: files/<sha256> …, then checkpoints/<time>-<n>.json ──▶ prune
//! place ──candidates, newest first──▶ fetch ──▶ folder, every hash compared ──verify──▶ rows, buckets, positions compared
//! ```
//!
//! A checkpoint is a cache like the store that it is of (R11): the journal is the truth, and a copy that can't be proved to
//! be a fold of it is set aside. What proves it: the hash of each file, the buckets computed anew from all rows, the record
//! hash in each partition's frontier, which the journal must hold, and the owners' digests in the journal behind it, which
//! each commit compares ([`PartitionStore::commit`](crate::PartitionStore::commit)).
//!
//! A place belongs to one replica: two that share one would prune each other's checkpoints.

mod directory;
mod fetch;
mod manifest;
mod place;
mod s3;
mod ship;
mod take;

pub use directory::DirectoryPlace;
pub use fetch::{Candidate, RestoreError, SetAside, candidates, fetch, verify};
pub use manifest::{CheckpointFile, ContentHash, FORMAT, FoldedPartition, Manifest};
pub use place::{CheckpointPlace, PlaceError};
pub use s3::{S3Config, S3Place, S3Secrets};
pub use ship::{Shipped, ship};
pub use take::{KnownFiles, TakeError};
