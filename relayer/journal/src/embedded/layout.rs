//! Keys and values of the embedded journal.
//!
//! ```text
//! 0x00 "format"                                             format of this layout
//! 0x01 topic                                                partitions u32
//! 0x02 length u16 ‖ topic ‖ partition u32 ‖ offset u64      version u8 ‖ at u64 ‖ key ‖ value ‖ (name ‖ value)*
//! ```
//! Integers big-endian, so that RocksDB keeps a partition's records in offset order; byte strings of a value have their
//! length before them. RocksDB's own checksums guard the bytes.

use crate::attributes::Attributes;
use crate::log::{LogRecord, NewRecord};
use acurast_events::topics::{TopicName, TopicPartition};
use acurast_events::units::{Offset, Timestamp};
use acurast_events::wire::{WireError, read_delimited, write_delimited};
use std::num::NonZeroU32;

/// The format that this code reads and writes.
pub(super) const FORMAT: &str = "acurast-journal/1";
/// Where the format stands.
pub(super) const FORMAT_KEY: &[u8] = b"\x00format";

const TOPIC: u8 = 1;
const LOG: u8 = 2;
const VERSION: u8 = 1;

/// Key of a topic.
pub(super) fn topic_key(topic: &TopicName) -> Vec<u8> {
    [&[TOPIC], topic.as_str().as_bytes()].concat()
}

/// First key and end of all topics.
pub(super) fn topic_bounds() -> ([u8; 1], [u8; 1]) {
    ([TOPIC], [LOG])
}

/// The topic of a row, and its number of partitions.
pub(super) fn topic_of(key: &[u8], value: &[u8]) -> Option<(TopicName, NonZeroU32)> {
    let name = std::str::from_utf8(key.get(1..)?).ok()?;
    let partitions = NonZeroU32::new(u32::from_be_bytes(value.try_into().ok()?))?;
    Some((TopicName::new(name), partitions))
}

/// Key of a record.
pub(super) fn log_key(at: &TopicPartition, offset: Offset) -> Vec<u8> {
    [&log_prefix(at)[..], &offset.0.to_be_bytes()].concat()
}

/// First key and end of a partition's records.
pub(super) fn log_bounds(at: &TopicPartition) -> (Vec<u8>, Vec<u8>) {
    // No record has the last offset, so its key ends the partition.
    (log_prefix(at), log_key(at, Offset(u64::MAX)))
}

fn log_prefix(at: &TopicPartition) -> Vec<u8> {
    let name = at.topic.as_str().as_bytes();
    // A name has at most 249 bytes; one that has more was never created, and its prefix finds nothing.
    let length = u16::try_from(name.len()).unwrap_or(u16::MAX);
    [&[LOG], &length.to_be_bytes()[..], name, &at.partition.to_be_bytes()].concat()
}

/// The offset of a record's key.
pub(super) fn offset_of(key: &[u8]) -> Option<Offset> {
    key.last_chunk().map(|offset| Offset(u64::from_be_bytes(*offset)))
}

/// Value of a record.
pub(super) fn encode_record(record: &NewRecord, at: Timestamp) -> Vec<u8> {
    let mut out = Vec::with_capacity(record.size_bytes().saturating_add(64));
    out.push(VERSION);
    out.extend_from_slice(&at.0.to_be_bytes());
    write_delimited(&record.key, &mut out);
    write_delimited(&record.value, &mut out);
    for (name, value) in record.attributes.iter() {
        write_delimited(name.as_bytes(), &mut out);
        write_delimited(value, &mut out);
    }
    out
}

/// The record of a value.
pub(super) fn decode_record(offset: Offset, stored: &[u8]) -> Result<LogRecord, WireError> {
    let malformed = |what: &str| WireError::Malformed(what.to_owned());
    let buf = &mut &stored[..];
    match buf.split_first() {
        Some((&VERSION, rest)) => *buf = rest,
        Some((version, _)) => return Err(malformed(&format!("unknown version {version}"))),
        None => return Err(malformed("no bytes")),
    }
    let (at, rest) = buf.split_first_chunk::<8>().ok_or_else(|| malformed("truncated time"))?;
    *buf = rest;
    let key = read_delimited(buf)?.to_vec();
    let value = read_delimited(buf)?.to_vec();
    let mut attributes = Attributes::default();
    while !buf.is_empty() {
        let name = std::str::from_utf8(read_delimited(buf)?).map_err(|_| malformed("attribute name"))?;
        attributes.push(name, read_delimited(buf)?);
    }
    Ok(LogRecord { offset, key, value, attributes, at: Timestamp(u64::from_be_bytes(*at)) })
}
