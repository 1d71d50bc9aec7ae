//! What writing a fold costs at least: the same write batches into RocksDB with the same options, and nothing else. A yardstick
//! for measurements, no store: it doesn't know what it holds.

use crate::database::{database_error, options};
use crate::error::StoreError;
use rocksdb::{DB, WriteBatch};
use std::path::{Path, PathBuf};

/// A RocksDB directory that takes noted writes again; see [`Store::note_writes`](crate::Store::note_writes).
pub struct BareStore {
    db: DB,
    path: PathBuf,
}

impl BareStore {
    /// Opens or creates it.
    ///
    /// # Errors
    /// When RocksDB fails.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let db = DB::open(&options(true), path).map_err(|error| database_error(path, &error))?;
        Ok(Self { db, path: path.to_owned() })
    }

    /// Writes one noted batch.
    ///
    /// # Errors
    /// When RocksDB fails.
    pub fn write(&self, batch: &[u8]) -> Result<(), StoreError> {
        self.db.write(WriteBatch::from_data(batch)).map_err(|error| database_error(&self.path, &error))
    }
}
