//! The lane as rows of the store: one row per aggregate, so that a record writes only what it touched.

use crate::error::LaneCoreError;
use crate::index::Index;
use crate::lane::Lane;
use crate::state::{FinalSlot, Fulfillment, Head, Leaf, Reservation, Root, SlotState, State};
use crate::volatile::Volatile;
use acurast_events::bytes::SettlementId;
use acurast_events::lanes::LaneOpened;
use acurast_events::units::{Batch, Slot};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;

/// A row to write, or to delete where it has no value: (table, key, value).
pub type Row = (u8, Vec<u8>, Option<Vec<u8>>);

/// The tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Table {
    Head = 0,
    Leaf = 1,
    Fulfillment = 2,
    Root = 3,
    Slot = 4,
    Reservation = 5,
    Final = 6,
}

impl Table {
    fn of(number: u8) -> Option<Self> {
        [Self::Head, Self::Leaf, Self::Fulfillment, Self::Root, Self::Slot, Self::Reservation, Self::Final]
            .into_iter()
            .find(|table| *table as u8 == number)
    }
}

fn row_error(table: u8, reason: impl std::fmt::Display) -> LaneCoreError {
    LaneCoreError::Row { table, reason: reason.to_string() }
}

fn encode<T: Serialize>(table: Table, value: Option<&T>) -> Result<Option<Vec<u8>>, LaneCoreError> {
    value.map(|value| postcard::to_stdvec(value).map_err(|error| row_error(table as u8, error))).transpose()
}

fn decode<T: DeserializeOwned>(table: Table, bytes: &[u8]) -> Result<T, LaneCoreError> {
    postcard::from_bytes(bytes).map_err(|error| row_error(table as u8, error))
}

fn number(table: Table, key: &[u8]) -> Result<u64, LaneCoreError> {
    key.try_into().map(u64::from_be_bytes).map_err(|_| row_error(table as u8, "its key is not a number"))
}

fn settlement(table: Table, key: &[u8]) -> Result<SettlementId, LaneCoreError> {
    SettlementId::try_from(key).map_err(|error| row_error(table as u8, error))
}

impl Lane {
    /// The rows that changed since the last call, for one write batch with the applied position (R11).
    ///
    /// # Errors
    /// `Row` when a value can't be encoded.
    pub fn changes(&mut self) -> Result<Vec<Row>, LaneCoreError> {
        let dirty = std::mem::take(&mut self.dirty);
        dirty.into_iter().map(|(table, key)| self.row(table, key)).collect()
    }

    fn row(&self, table: Table, key: Vec<u8>) -> Result<Row, LaneCoreError> {
        let state = &self.state;
        let value = match table {
            Table::Head => encode(table, Some(&state.head))?,
            Table::Leaf => encode(table, state.leaves.get(&settlement(table, &key)?))?,
            Table::Fulfillment => encode(table, state.fulfillments.get(&settlement(table, &key)?))?,
            Table::Root => encode(table, state.roots.get(&Batch(number(table, &key)?)))?,
            Table::Slot => encode(table, state.slots.get(&Slot(number(table, &key)?)))?,
            Table::Reservation => encode(table, state.reservations.get(&Slot(number(table, &key)?)))?,
            Table::Final => encode(table, state.finals.get(&Slot(number(table, &key)?)))?,
        };
        Ok((table as u8, key, value))
    }

    /// The lane of `identity` from its rows; without rows a lane that is yet to be opened.
    ///
    /// # Errors
    /// `Row` when a row does not decode, or is another lane's.
    pub fn load<'a>(identity: LaneOpened, rows: impl IntoIterator<Item = (u8, &'a [u8], &'a [u8])>) -> Result<Self, LaneCoreError> {
        let mut state = State::new(identity);
        for (table, key, value) in rows {
            let table = Table::of(table).ok_or_else(|| row_error(table, "no such table"))?;
            match table {
                Table::Head => {
                    let head: Head = decode(table, value)?;
                    if head.identity != state.head.identity {
                        return Err(row_error(table as u8, format!("lane {} instead of {}", head.identity.lane, state.lane())));
                    }
                    state.head = head;
                }
                Table::Leaf => drop(state.leaves.insert(settlement(table, key)?, decode::<Leaf>(table, value)?)),
                Table::Fulfillment => drop(state.fulfillments.insert(settlement(table, key)?, decode::<Fulfillment>(table, value)?)),
                Table::Root => drop(state.roots.insert(Batch(number(table, key)?), decode::<Root>(table, value)?)),
                Table::Slot => drop(state.slots.insert(Slot(number(table, key)?), decode::<SlotState>(table, value)?)),
                Table::Reservation => {
                    drop(state.reservations.insert(Slot(number(table, key)?), decode::<Reservation>(table, value)?));
                }
                Table::Final => drop(state.finals.insert(Slot(number(table, key)?), decode::<FinalSlot>(table, value)?)),
            }
        }
        let index = Index::of(&state);
        Ok(Self { state, index, volatile: Volatile::default(), dirty: BTreeSet::new() })
    }

    /// The lane of these rows, whichever it is; nothing where none was opened.
    ///
    /// # Errors
    /// `Row` when a row does not decode.
    pub fn of_rows<'a>(rows: impl Iterator<Item = (u8, &'a [u8], &'a [u8])> + Clone) -> Result<Option<Self>, LaneCoreError> {
        let Some((_, _, head)) = rows.clone().find(|(table, ..)| *table == Table::Head as u8) else { return Ok(None) };
        let head: Head = decode(Table::Head, head)?;
        Self::load(head.identity, rows).map(Some)
    }

    pub(crate) fn touch(&mut self, table: Table, key: &[u8]) {
        self.dirty.insert((table, key.to_vec()));
    }

    pub(crate) fn touch_root(&mut self, batch: Batch) {
        self.touch(Table::Root, &batch.0.to_be_bytes());
    }

    pub(crate) fn touch_slot(&mut self, slot: Slot) {
        self.touch(Table::Slot, &slot.0.to_be_bytes());
    }

    pub(crate) fn touch_reservation(&mut self, slot: Slot) {
        self.touch(Table::Reservation, &slot.0.to_be_bytes());
    }

    pub(crate) fn touch_final(&mut self, slot: Slot) {
        self.touch(Table::Final, &slot.0.to_be_bytes());
    }

    pub(crate) fn touch_head(&mut self) {
        self.touch(Table::Head, &[]);
    }
}
