//! The attributes of a record: CloudEvents 1.0 in the Kafka binary binding, and the record's place in its chain (PROTOCOL §8).
//!
//! They repeat what the value says, for tools that route and filter without decoding. The value alone decides the
//! meaning: no reader of ours takes anything from an attribute.

use crate::bytes::{RecordHash, WriterId};
use crate::record::{Claim, Record};
use crate::topics::TopicPartition;
use crate::units::{Term, Timestamp};

/// `ce_type` of a record.
pub const RECORD_TYPE: &str = "com.acurast.relayer.record.v1";
/// `ce_type` of a claim.
pub const CLAIM_TYPE: &str = "com.acurast.relayer.claim.v1";

const CONTENT_TYPE: &str = "application/protobuf";

/// The attributes of `record` at `at`; `hash` is the record's ([`Record::hash`]) and its CloudEvents id.
///
/// `ce_subject`, `ce_time` and `traceparent` are left out when the record has none, or a time that RFC 3339 can't write.
pub fn record_attributes(at: &TopicPartition, record: &Record, hash: &RecordHash) -> Vec<(String, String)> {
    let mut attributes = common(at, RECORD_TYPE, hash.to_string(), record.at, record.term, &record.writer);
    if !record.subject.0.is_empty() {
        push(&mut attributes, "ce_subject", record.subject.to_string());
    }
    push(&mut attributes, "sequence", record.sequence.to_string());
    push(&mut attributes, "previous", record.previous.to_string());
    if let Some(traceparent) = &record.traceparent {
        push(&mut attributes, "traceparent", traceparent.clone());
    }
    attributes
}

/// The attributes of `claim` at `at`. A claim is no link of the chain: it has neither sequence nor previous hash.
pub fn claim_attributes(at: &TopicPartition, claim: &Claim) -> Vec<(String, String)> {
    common(at, CLAIM_TYPE, format!("{}-{}", claim.term, claim.writer), claim.at, claim.term, &claim.writer)
}

fn common(at: &TopicPartition, kind: &str, id: String, time: Timestamp, term: Term, writer: &WriterId) -> Vec<(String, String)> {
    let mut attributes = Vec::new();
    push(&mut attributes, "ce_specversion", "1.0".to_owned());
    push(&mut attributes, "ce_id", id);
    push(&mut attributes, "ce_source", format!("/{at}"));
    push(&mut attributes, "ce_type", kind.to_owned());
    if let Some(time) = rfc3339(time) {
        push(&mut attributes, "ce_time", time);
    }
    push(&mut attributes, "content-type", CONTENT_TYPE.to_owned());
    push(&mut attributes, "term", term.to_string());
    push(&mut attributes, "writer", writer.to_string());
    attributes
}

fn push(attributes: &mut Vec<(String, String)>, name: &str, value: String) {
    attributes.push((name.to_owned(), value));
}

const MS_PER_DAY: u64 = 86_400_000;
/// Start of the year 10000, the first time that RFC 3339 can't write.
const RFC3339_END_MS: u64 = 253_402_300_800_000;

/// A time as RFC 3339 in UTC with milliseconds; nothing from the year 10000 on.
pub fn rfc3339(time: Timestamp) -> Option<String> {
    if time.0 >= RFC3339_END_MS {
        return None;
    }
    let (year, month, day) = civil(time.0 / MS_PER_DAY);
    let ms = time.0 % MS_PER_DAY;
    let (hour, minute, second, milli) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60, ms % 1_000);
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z"))
}

/// Year, month and day of a day counted from 1970-01-01, in the proleptic Gregorian calendar.
///
/// Counts from 0000-03-01, so that the leap day is the last of its year and months have a fixed pattern of
/// 153 days in five.
#[allow(clippy::arithmetic_side_effects, reason = "the caller bounds days below 2^22, no sum or product comes near 2^64")]
fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_FROM_MARCH_0000: u64 = 719_468;
    const DAYS_PER_400_YEARS: u64 = 146_097;
    let day = days + DAYS_FROM_MARCH_0000;
    let (cycle, day) = (day / DAYS_PER_400_YEARS, day % DAYS_PER_400_YEARS);
    // Days before this one in the cycle that are leap days, then whole years of 365 days.
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (cycle * 400 + year + next_year, month, date)
}
