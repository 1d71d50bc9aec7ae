//! Takes a checkpoint: the store as it is at one moment, in a folder of hard links, and its manifest.
//!
//! Crash argument: the folder counts for nothing until its files and manifest are in a place; the next checkpoint removes
//! what an earlier one left there.

use super::manifest::{CheckpointFile, ContentHash, FORMAT, FoldedPartition, Manifest};
use crate::database::{Store, schema_text};
use crate::error::StoreError;
use acurast_events::units::Timestamp;
use rocksdb::checkpoint::Checkpoint;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

/// Why no checkpoint could be taken.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// A file can't be read or removed.
    #[error("{path}: {reason}; is the volume full, or on another file system than the state?")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Hashes of files that never change, by name and length, so that they aren't read for every checkpoint. Of one store only.
#[derive(Debug, Default)]
pub struct KnownFiles(BTreeMap<(String, u64), ContentHash>);

/// What RocksDB writes beside its data: its own log and lock.
fn is_data(name: &str) -> bool {
    !name.starts_with("LOG") && name != "LOCK"
}

/// The files of a checkpoint, hashed.
fn files(folder: &Path, known: &mut KnownFiles) -> io::Result<Vec<CheckpointFile>> {
    let mut files = Vec::new();
    let mut kept = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !is_data(&name) {
            continue;
        }
        let mut bytes = entry.metadata()?.len();
        let key = (name.clone(), bytes);
        let sha256 = match known.0.get(&key) {
            Some(hash) => *hash,
            None => {
                let (hash, read) = ContentHash::of_file(&entry.path())?;
                bytes = read;
                hash
            }
        };
        // Table files are written once, and their numbers are never used again; the others may change under one name.
        if Path::new(&name).extension() == Some(OsStr::new("sst")) {
            kept.insert(key, sha256);
        }
        files.push(CheckpointFile { name, bytes, sha256 });
    }
    known.0 = kept;
    files.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    Ok(files)
}

impl Store {
    /// Takes a checkpoint into the directory `into`, which must be on the same file system and is emptied first. `taken` is
    /// the time now, ms since the Unix epoch. All partitions are of one moment; commits go on meanwhile.
    ///
    /// # Errors
    /// See [`TakeError`]; the store itself is as it was.
    pub fn take_checkpoint(&self, into: &Path, taken: Timestamp, known: &mut KnownFiles) -> Result<Manifest, TakeError> {
        let io = |reason| TakeError::Io { path: into.to_owned(), reason };
        match std::fs::remove_dir_all(into) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
        let shared = &self.shared;
        let database = |error: rocksdb::Error| TakeError::Store(shared.database(&error));
        Checkpoint::new(&shared.db).and_then(|checkpoint| checkpoint.create_checkpoint(into)).map_err(database)?;
        let files = files(into, known).map_err(io)?;
        // What the copy itself says, not what the store says a moment later.
        let copy = Self::open_read_only(into, &shared.identity, shared.schema)?;
        let mut partitions = Vec::new();
        for at in copy.partitions() {
            let view = copy.view(&at)?;
            let frontier = view.applied()?.frontier;
            partitions.push(FoldedPartition {
                topic: at.topic.as_str().to_owned(),
                partition: at.partition,
                next_sequence: frontier.next_sequence,
                next_offset: frontier.next_offset,
                digest: view.digest()?.into(),
            });
        }
        let (genesis, prefix) = (shared.identity.genesis, shared.identity.prefix.clone());
        Ok(Manifest { format: FORMAT, genesis, prefix, schema: schema_text(shared.schema), taken, partitions, files })
    }
}
