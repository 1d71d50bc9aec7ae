//! Ships a checkpoint to its place, and removes what is too old.
//!
//! Crash argument, in the order of writes: files, manifest, then old manifests, then files that no manifest names. Crash
//! before the manifest: the files are left over, and nobody takes them for a checkpoint. Crash before or within pruning: one
//! checkpoint or some files too many, which the next pruning removes.

use super::manifest::{ContentHash, Manifest};
use super::place::{CheckpointPlace, PlaceError};
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::path::Path;

/// What shipping did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shipped {
    /// Name of the manifest.
    pub name: String,
    /// Files that weren't there yet.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Checkpoints that were too old and are gone.
    pub pruned: usize,
}

/// Ships the checkpoint in `folder`, and keeps the newest `keep` ones. Files that are in the place already aren't sent again.
///
/// # Errors
/// When the place fails. The checkpoint is kept only if its manifest was written; calling again goes on.
pub async fn ship(place: &dyn CheckpointPlace, folder: &Path, manifest: &Manifest, keep: NonZeroU32) -> Result<Shipped, PlaceError> {
    let name = format!("{:020}.json", manifest.taken.0);
    let mut shipped = Shipped { name, files: 0, bytes: 0, pruned: 0 };
    for file in &manifest.files {
        if !place.has_file(file.sha256, file.bytes).await? {
            place.put_file(file.sha256, file.bytes, &folder.join(&file.name)).await?;
            shipped.files = shipped.files.saturating_add(1);
            shipped.bytes = shipped.bytes.saturating_add(file.bytes);
        }
    }
    let encoded = manifest.encode().map_err(|error| PlaceError {
        place: place.describe(),
        what: format!("encoding {}", shipped.name),
        reason: error.to_string(),
    })?;
    place.put_manifest(&shipped.name, encoded).await?;
    shipped.pruned = prune(place, keep).await?;
    Ok(shipped)
}

/// Removes all but the newest `keep` manifests, and then the files that none of the rest names.
async fn prune(place: &dyn CheckpointPlace, keep: NonZeroU32) -> Result<usize, PlaceError> {
    let names = place.names().await?;
    let too_many = names.len().saturating_sub(usize::try_from(keep.get()).unwrap_or(usize::MAX));
    let (old, kept) = names.split_at(too_many);
    for name in old {
        place.remove_manifest(name).await?;
    }
    let mut named: BTreeSet<ContentHash> = BTreeSet::new();
    for name in kept {
        match Manifest::parse(&place.manifest(name).await?) {
            Ok(manifest) => named.extend(manifest.files.iter().map(|file| file.sha256)),
            Err(reason) => {
                // Another version's, perhaps: its files stay.
                tracing::warn!(place = place.describe(), name, reason, "a checkpoint's manifest can't be read; no file is removed");
                return Ok(old.len());
            }
        }
    }
    for hash in place.files().await? {
        if !named.contains(&hash) {
            place.remove_file(hash).await?;
        }
    }
    Ok(old.len())
}
