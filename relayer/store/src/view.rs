//! Reads a partition's fold: for cores that load, for the API, and for commands beside a running relayer.

use crate::applied::Applied;
use crate::changes::{KeyValue, StoredRow};
use crate::database::Shared;
use crate::digest::{BucketDigests, Digest};
use crate::error::StoreError;
use crate::layout::PartitionId;
use acurast_events::topics::TopicPartition;
use acurast_events::units::Sequence;
use acurast_relayer_journal::Frontier;
use std::sync::Arc;

/// A reader of one partition's fold.
#[derive(Clone)]
pub struct PartitionView {
    pub(crate) shared: Arc<Shared>,
    pub(crate) at: TopicPartition,
    pub(crate) id: PartitionId,
}

impl PartitionView {
    pub(crate) fn new(shared: Arc<Shared>, at: TopicPartition, id: PartitionId) -> Self {
        Self { shared, at, id }
    }

    /// The partition.
    pub fn partition(&self) -> &TopicPartition {
        &self.at
    }

    /// How far it is folded.
    ///
    /// # Errors
    /// When the store can't be read or is damaged.
    pub fn applied(&self) -> Result<Applied, StoreError> {
        let stored = self.shared.db.get(self.id.applied()).map_err(|error| self.shared.database(&error))?;
        stored.map_or(Ok(Applied::NOTHING), |bytes| {
            postcard::from_bytes(&bytes).map_err(|error| self.shared.damaged(format!("{}: the applied position ({error})", self.at)))
        })
    }

    /// As [`Store::landmark`](crate::Store::landmark), for any partition of the same store.
    ///
    /// # Errors
    /// When the store can't be read or is damaged.
    pub fn landmark_of(&self, other: &TopicPartition, below: Sequence) -> Result<Frontier, StoreError> {
        self.shared.landmark(other, below)
    }

    /// The row's value, or nothing.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn get(&self, table: u8, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.shared.db.get(self.id.row(table, key)).map_err(|error| self.shared.database(&error))
    }

    /// The values of several rows, in the order asked, in one call of the database.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn multi_get<'a>(&self, rows: impl IntoIterator<Item = (u8, &'a [u8])>) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let found = self.shared.db.multi_get(rows.into_iter().map(|(table, key)| self.id.row(table, key)));
        found.into_iter().map(|value| value.map_err(|error| self.shared.database(&error))).collect()
    }

    /// Up to `limit` rows of a table whose keys begin with `prefix`, in key order, after the key `after` if given. For pages.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn scan(&self, table: u8, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<KeyValue>, StoreError> {
        let within = self.id.row(table, prefix);
        // The least key after `after` is `after` with a zero byte.
        let from = after.map_or_else(|| within.clone(), |after| [&self.id.row(table, after)[..], &[0]].concat());
        let from = from.max(within.clone());
        let start = self.id.table(table).len();
        let rows = self.shared.scan(&within, &from).take(limit);
        rows.map(|row| row.map(|(key, value)| (key.get(start..).unwrap_or_default().to_vec(), value.into_vec()))).collect()
    }

    /// All rows of a table, in key order, as of the moment when this is called.
    pub fn rows(&self, table: u8) -> impl Iterator<Item = Result<StoredRow, StoreError>> {
        self.rows_below(self.id.table(table))
    }

    /// All rows of all tables, in order of table and key, as of the moment when this is called.
    pub fn all_rows(&self) -> impl Iterator<Item = Result<StoredRow, StoreError>> {
        self.rows_below(self.id.tables())
    }

    fn rows_below(&self, prefix: Vec<u8>) -> impl Iterator<Item = Result<StoredRow, StoreError>> {
        let start = self.id.tables().len();
        self.shared.scan(&prefix, &prefix).map(move |row| {
            let (key, value) = row?;
            let (table, key) = key.get(start..).and_then(<[u8]>::split_first).ok_or_else(|| self.shared.damaged("a row's key"))?;
            Ok((*table, key.to_vec(), value.into_vec()))
        })
    }

    /// The kept buckets of the digest.
    ///
    /// # Errors
    /// When the store can't be read or is damaged.
    pub fn buckets(&self) -> Result<BucketDigests, StoreError> {
        let prefix = self.id.buckets();
        let mut buckets = BucketDigests::default();
        for row in self.shared.scan(&prefix, &prefix) {
            let (key, value) = row?;
            let sum = value.as_ref().try_into().map_err(|_| self.shared.damaged(format!("{}: a digest's bucket", self.at)))?;
            buckets.set_bucket(key.last().copied().unwrap_or_default(), sum);
        }
        Ok(buckets)
    }

    /// The digest of the state, from the kept buckets.
    ///
    /// # Errors
    /// When the store can't be read or is damaged.
    pub fn digest(&self) -> Result<Digest, StoreError> {
        Ok(self.buckets()?.digest())
    }

    /// The buckets computed anew from all rows. They equal the kept ones, or the store is damaged.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn recompute_buckets(&self) -> Result<BucketDigests, StoreError> {
        let mut buckets = BucketDigests::default();
        for row in self.all_rows() {
            let (table, key, value) = row?;
            buckets.add(table, &key, &value);
        }
        Ok(buckets)
    }
}
