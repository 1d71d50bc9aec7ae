//! Rows as cores hand them over, and what one commit makes of them.

use std::collections::BTreeMap;

/// A changed row: table, key, and the new value or its removal.
pub type Row = (u8, Vec<u8>, Option<Vec<u8>>);

/// A row as it stands: table, key, value.
pub type StoredRow = (u8, Vec<u8>, Vec<u8>);

/// Key and value of a row within its table.
pub type KeyValue = (Vec<u8>, Vec<u8>);

/// The rows of one commit, each once; of several changes of one row the last stands.
pub(crate) fn last_of_each(rows: Vec<Row>) -> BTreeMap<(u8, Vec<u8>), Option<Vec<u8>>> {
    rows.into_iter().map(|(table, key, value)| ((table, key), value)).collect()
}
