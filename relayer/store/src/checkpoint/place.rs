//! Where checkpoints are kept.

use super::manifest::ContentHash;
use async_trait::async_trait;
use std::path::Path;

/// Why a place can't be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("checkpoints in {place}: {what}: {reason}")]
pub struct PlaceError {
    /// The place, without secrets.
    pub place: String,
    /// What was tried.
    pub what: String,
    /// Why it failed, and what helps.
    pub reason: String,
}

/// A place for checkpoints: manifests by name, files by the hash of their content.
///
/// # Order
/// Files first, the manifest last: what has a manifest is a whole checkpoint. Removing goes the other way round. Each write
/// is whole or absent, and durable when it returns.
///
/// # Crash
/// Files without a manifest are left-overs; they count for nothing, are used by the next checkpoint if they are the same, and
/// are removed by its pruning.
#[async_trait]
pub trait CheckpointPlace: Send + Sync {
    /// The place in words, without secrets.
    fn describe(&self) -> String;

    /// Names of the manifests, in ascending order: the oldest first.
    ///
    /// # Errors
    /// When the place can't be read.
    async fn names(&self) -> Result<Vec<String>, PlaceError>;

    /// A manifest's bytes.
    ///
    /// # Errors
    /// When it can't be read, or is longer than any manifest.
    async fn manifest(&self, name: &str) -> Result<Vec<u8>, PlaceError>;

    /// Keeps a manifest.
    ///
    /// # Errors
    /// When it isn't durable.
    async fn put_manifest(&self, name: &str, bytes: Vec<u8>) -> Result<(), PlaceError>;

    /// Removes a manifest; one that isn't there is removed.
    ///
    /// # Errors
    /// When it may still be there.
    async fn remove_manifest(&self, name: &str) -> Result<(), PlaceError>;

    /// The files that are there.
    ///
    /// # Errors
    /// When the place can't be read.
    async fn files(&self) -> Result<Vec<ContentHash>, PlaceError>;

    /// Whether a file of this content and length is there.
    ///
    /// # Errors
    /// When it can't be told.
    async fn has_file(&self, hash: ContentHash, bytes: u64) -> Result<bool, PlaceError>;

    /// Keeps the file at `from`, which has this content and length.
    ///
    /// # Errors
    /// When it isn't durable.
    async fn put_file(&self, hash: ContentHash, bytes: u64, from: &Path) -> Result<(), PlaceError>;

    /// Copies a file to `to`, telling the bytes as they come, and syncs it. Its content is to be checked by the caller.
    ///
    /// # Errors
    /// When it isn't there or can't be copied.
    async fn get_file(&self, hash: ContentHash, bytes: u64, to: &Path, told: &(dyn Fn(u64) + Send + Sync)) -> Result<(), PlaceError>;

    /// Removes a file; one that isn't there is removed.
    ///
    /// # Errors
    /// When it may still be there.
    async fn remove_file(&self, hash: ContentHash) -> Result<(), PlaceError>;
}
