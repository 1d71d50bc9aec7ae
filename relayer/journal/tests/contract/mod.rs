//! The suite, and what it asks of a back end's harness.

pub(crate) mod claims;
pub(crate) mod fences;
pub(crate) mod halts;
pub(crate) mod logs;
pub(crate) mod resume;
pub(crate) mod simulated;

use acurast_events::bytes::{Bytes, EventId, WriterId};
use acurast_events::record::InputRef;
use acurast_events::topics::{TopicName, TopicPartition};
use acurast_events::units::Offset;
use acurast_relayer_journal::{
    AcceptedRecord, Attributes, ClaimOptions, Claiming, Draft, EventJournal, Frontier, LogRecord, NewRecord, PartitionReader,
    PartitionWriter, ReadLimits,
};
use async_trait::async_trait;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// What the suite needs of a back end.
#[async_trait]
pub(crate) trait Harness: Send + Sized {
    /// An empty journal.
    async fn start() -> Self;
    /// The running journal.
    fn journal(&self) -> Arc<dyn EventJournal>;
    /// Stops it without any goodbye, and opens what it left.
    async fn crash_and_reopen(&mut self);
}

/// Runs every test of the suite against a harness.
macro_rules! suite {
    ($name:ident, $harness:ty) => {
        mod $name {
            $crate::contract::suite!(@tests $harness, logs,
                appended_records_are_read_back_as_they_were_with_consecutive_offsets,
                each_partition_of_a_topic_is_a_log_of_its_own,
                a_read_stays_within_its_bounds_but_returns_one_record_however_long,
                a_read_past_the_end_returns_nothing_and_says_where_the_end_is,
                a_topic_keeps_its_number_of_partitions,
                nothing_is_written_to_a_partition_that_was_not_created,
                what_passes_a_bound_is_refused_whole,
                a_reader_that_waits_is_woken_by_an_append,
                concurrent_appends_keep_each_batch_together,
                acknowledged_records_survive_a_crash,
            );
            $crate::contract::suite!(@tests $harness, claims,
                an_owner_claims_appends_and_reads_back_what_every_reader_sees,
                a_new_owner_folds_all_of_its_predecessor_before_it_owns,
                of_two_claimants_of_one_term_the_first_in_the_log_stands,
                an_owner_that_reads_a_higher_term_stands_down,
                an_idle_owner_stands_down_when_it_looks,
                a_claim_that_is_overtaken_before_it_was_read_back_owns_nothing,
                nothing_may_be_sent_before_a_record_was_read_back_and_after_the_lease,
                a_cancelled_append_loses_the_writer,
                a_decision_stamped_before_the_last_one_is_refused_and_changes_nothing,
                records_carry_cloudevents_attributes,
            );
            $crate::contract::suite!(@tests $harness, fences,
                a_zombie_that_writes_on_is_skipped_by_every_reader,
                a_lost_middle_record_takes_all_after_it_along_and_its_writer_is_lost,
                a_repeated_record_counts_once,
                a_record_that_lands_late_is_skipped,
                a_record_before_any_claim_or_of_an_unclaimed_term_is_skipped,
                bytes_that_are_no_entry_are_skipped,
                an_entry_of_an_unknown_kind_is_skipped,
            );
            $crate::contract::suite!(@tests $harness, halts,
                a_reader_halts_on_a_fork,
                a_reader_halts_on_a_shortened_log,
                a_reader_halts_when_the_log_was_cut_and_grew_again,
                a_reader_halts_on_a_field_of_a_newer_version_and_hands_out_what_came_before,
                an_input_that_lost_records_is_refused,
            );
            $crate::contract::suite!(@tests $harness, resume,
                a_reader_resumes_at_any_frontier_and_sees_the_same,
                a_restart_continues_from_the_last_progress_and_knows_what_is_answered,
                sealed_blocks_appear_whole_and_unsealed_facts_count_as_never_seen,
                a_seal_that_does_not_fit_its_facts_halts_its_reader,
                an_owner_that_crashed_goes_on_where_its_log_ends,
            );
        }
    };
    (@tests $harness:ty, $file:ident, $($test:ident,)*) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            let harness = <$harness as $crate::contract::Harness>::start().await;
            // A test that waits for what never comes fails instead of hanging.
            let test = $crate::contract::$file::$test(harness);
            tokio::time::timeout(std::time::Duration::from_secs(60), test).await.expect("the test hangs");
        }
    )* };
}
pub(crate) use suite;

pub(crate) fn topic() -> TopicName {
    TopicName::new("acurast.jobs.v1")
}

/// Partition 0 of the jobs topic, created.
pub(crate) async fn partition(journal: &Arc<dyn EventJournal>) -> TopicPartition {
    journal.create(&topic(), NonZeroU32::MIN).await.unwrap();
    topic().partition(0)
}

pub(crate) fn options(writer: u8) -> ClaimOptions {
    ClaimOptions { writer: WriterId([writer; 16]), ..ClaimOptions::new(Duration::from_secs(30)) }
}

/// Claims the partition; returns the writer and what it had to fold first.
pub(crate) async fn claim(journal: &Arc<dyn EventJournal>, at: &TopicPartition, writer: u8) -> (PartitionWriter, Vec<AcceptedRecord>) {
    let mut claiming = Claiming::begin(Arc::clone(journal), at.clone(), Frontier::START, options(writer)).await.unwrap();
    let mut folded = Vec::new();
    while let Some(records) = claiming.next_batch().await.unwrap() {
        folded.extend(records);
    }
    (claiming.finish().unwrap(), folded)
}

/// A decision about `subject` that answers the input at `position` of an outputs partition.
pub(crate) fn draft(writer: &PartitionWriter, subject: &str, position: u64) -> Draft {
    let input = InputRef { topic: "acurast.outputs.v1".into(), partition: 0, position: Offset(position), id: EventId([7; 32]) };
    Draft {
        key: subject.as_bytes().to_vec(),
        at: writer.stamp(),
        input: Some(input),
        subject: Bytes(subject.as_bytes().to_vec()),
        traceparent: None,
        // Field 99 of the topic's event: acceptance never looks into events.
        events: vec![Bytes([&[0x9a, 0x06, 1][..], &[subject.len() as u8]].concat())],
    }
}

pub(crate) fn drafts(writer: &PartitionWriter, subjects: &[&str]) -> Vec<Draft> {
    subjects.iter().zip(0..).map(|(subject, position)| draft(writer, subject, position)).collect()
}

/// All that a new reader accepts, from the start.
pub(crate) async fn read_all(journal: &Arc<dyn EventJournal>, at: &TopicPartition) -> (Vec<AcceptedRecord>, PartitionReader) {
    let mut reader = PartitionReader::open(Arc::clone(journal), at.clone(), Frontier::START).await.unwrap();
    let mut records = Vec::new();
    loop {
        let batch = reader.next_batch().await.unwrap();
        records.extend(batch.records);
        if batch.caught_up {
            return (records, reader);
        }
    }
}

/// The raw log.
pub(crate) async fn read_raw(journal: &Arc<dyn EventJournal>, at: &TopicPartition) -> Vec<LogRecord> {
    let limits = ReadLimits { records_max: usize::MAX, bytes_max: usize::MAX };
    journal.read(at, Offset(0), limits).await.unwrap().records
}

/// Appends bytes as another client of the log would.
pub(crate) async fn append_raw(journal: &Arc<dyn EventJournal>, at: &TopicPartition, values: Vec<Vec<u8>>) {
    let records = values.into_iter().map(new_record).collect();
    journal.append(at, records).await.unwrap();
}

pub(crate) fn new_record(value: Vec<u8>) -> NewRecord {
    NewRecord { key: b"key".to_vec(), value, attributes: Attributes::default() }
}

pub(crate) fn subjects(records: &[AcceptedRecord]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8(record.record.subject.0.clone()).unwrap()).collect()
}
