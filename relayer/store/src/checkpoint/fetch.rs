//! Brings a checkpoint back, and proves that it is what its manifest says.

use super::manifest::{ContentHash, Manifest};
use super::place::{CheckpointPlace, PlaceError};
use crate::database::{Identity, Store, schema_text};
use crate::digest::Digest;
use crate::error::StoreError;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// A checkpoint that may be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Name of its manifest.
    pub name: String,
    /// Its manifest.
    pub manifest: Manifest,
}

/// A checkpoint that can't be restored, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Name of its manifest.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// Why a checkpoint couldn't be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The place can't be read.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// A local file can't be written or read.
    #[error("{path}: {reason}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// A file isn't what the manifest says.
    #[error("file {name} is damaged: {found_bytes} bytes with hash {found}, the manifest says {bytes} with {wanted}")]
    Damaged {
        /// Its name.
        name: String,
        /// Its length.
        bytes: u64,
        /// Its hash.
        wanted: ContentHash,
        /// What came.
        found_bytes: u64,
        /// Hash of what came.
        found: ContentHash,
    },
    /// The state isn't what the manifest says.
    #[error("{0}")]
    Differs(String),
    /// The copy can't be opened or read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The checkpoints of a place, the newest first, that are of the state which `identity` and `schema` name; and those that
/// aren't.
///
/// # Errors
/// When the place can't be read.
pub async fn candidates(
    place: &dyn CheckpointPlace,
    identity: &Identity,
    schema: u32,
) -> Result<(Vec<Candidate>, Vec<SetAside>), PlaceError> {
    let (mut fit, mut unfit) = (Vec::new(), Vec::new());
    for name in place.names().await?.into_iter().rev() {
        let read = Manifest::parse(&place.manifest(&name).await?);
        match read.and_then(|manifest| manifest.fits(identity, &schema_text(schema)).map(|()| manifest)) {
            Ok(manifest) => fit.push(Candidate { name, manifest }),
            Err(reason) => unfit.push(SetAside { name, reason }),
        }
    }
    Ok((fit, unfit))
}

/// Copies a checkpoint's files into the directory `into`, which is made anew, and compares their hashes. `told` gets the
/// number of bytes as they come.
///
/// # Errors
/// [`RestoreError::Damaged`] when a file isn't what it was; when place or directory fail.
pub async fn fetch(
    place: &dyn CheckpointPlace,
    manifest: &Manifest,
    into: &Path,
    told: &(dyn Fn(u64) + Send + Sync),
) -> Result<(), RestoreError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |reason| RestoreError::Io { path, reason }
    };
    match std::fs::remove_dir_all(into) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(into)(error)),
        _ => {}
    }
    std::fs::create_dir_all(into).map_err(io(into))?;
    for file in &manifest.files {
        let to = into.join(&file.name);
        place.get_file(file.sha256, file.bytes, &to, told).await?;
        let hashed = tokio::task::spawn_blocking({
            let to = to.clone();
            move || ContentHash::of_file(&to)
        });
        let hashed = hashed.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        let (found, found_bytes) = hashed.map_err(io(&to))?;
        if (found, found_bytes) != (file.sha256, file.bytes) {
            let (name, bytes, wanted) = (file.name.clone(), file.bytes, file.sha256);
            return Err(RestoreError::Damaged { name, bytes, wanted, found_bytes, found });
        }
    }
    // The files are synced; this makes their names durable.
    File::open(into).and_then(|folder| folder.sync_all()).map_err(io(into))
}

/// Compares a fetched checkpoint with its manifest: which partitions, how far, and the buckets computed anew from all rows.
/// Reads the whole state; nothing is changed.
///
/// # Errors
/// [`RestoreError::Differs`] when it is another state; when it can't be read.
pub fn verify(folder: &Path, identity: &Identity, schema: u32, manifest: &Manifest) -> Result<(), RestoreError> {
    let store = Store::open_read_only(folder, identity, schema)?;
    let found = store.partitions();
    if found.len() != manifest.partitions.len() {
        let wanted = manifest.partitions.len();
        return Err(RestoreError::Differs(format!("it has {} partitions, its manifest says {wanted}", found.len())));
    }
    for at in found {
        let view = store.view(&at)?;
        let frontier = view.applied()?.frontier;
        let named = |named: &&super::FoldedPartition| named.topic == at.topic.as_str() && named.partition == at.partition;
        let Some(wanted) = manifest.partitions.iter().find(named) else {
            return Err(RestoreError::Differs(format!("it has {at}, its manifest doesn't")));
        };
        if (frontier.next_sequence, frontier.next_offset) != (wanted.next_sequence, wanted.next_offset) {
            let reason = format!("{at} goes to sequence {}, its manifest says {}", frontier.next_sequence, wanted.next_sequence);
            return Err(RestoreError::Differs(reason));
        }
        let (computed, kept) = (view.recompute_buckets()?, view.buckets()?);
        if computed != kept || kept.digest() != Digest(wanted.digest.0) {
            let (digest, differing) = (computed.digest(), computed.differing(&kept).len());
            let reason = format!(
                "{at} has digest {digest} by its rows and {} as kept ({differing} buckets differ), its manifest says {}",
                kept.digest(),
                wanted.digest
            );
            return Err(RestoreError::Differs(reason));
        }
    }
    Ok(())
}
