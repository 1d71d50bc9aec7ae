//! When a reader must stop: the log isn't the one that was read or written before.

use super::{Harness, append_raw, claim, drafts, options, partition, read_all, read_raw};
use acurast_events::bytes::RecordHash;
use acurast_events::record::{Entry, Record};
use acurast_events::topics::TopicPartition;
use acurast_events::units::{Offset, Sequence};
use acurast_events::wire::{Message, WireError, read_delimited, write_delimited};
use acurast_relayer_journal::{ClaimError, Claiming, EventJournal, FollowError, Frontier, Halt, InputError, InputReader, PartitionReader};
use std::sync::Arc;

async fn halt_of(journal: &Arc<dyn EventJournal>, at: &TopicPartition, frontier: Frontier) -> Halt {
    let opened = PartitionReader::open(Arc::clone(journal), at.clone(), frontier).await;
    match opened {
        Err(FollowError::Halt(halt)) => halt,
        Err(other) => panic!("not a halt: {other}"),
        Ok(mut reader) => match reader.next_batch().await {
            Err(FollowError::Halt(halt)) => {
                assert_eq!(reader.next_batch().await, Err(FollowError::Halt(halt.clone())), "a reader that halted halts again");
                halt
            }
            other => panic!("no halt: {other:?}"),
        },
    }
}

pub(crate) async fn a_reader_halts_on_a_fork(harness: impl Harness) {
    let journal = harness.journal();
    let at = partition(&journal).await;
    let (mut writer, _) = claim(&journal, &at, 1).await;
    let last = writer.append(drafts(&writer, &["a"])).await.unwrap().pop().unwrap();
    let forked = Record { sequence: Sequence(1), previous: RecordHash([0xaa; 32]), ..last.record.clone() };
    append_raw(&journal, &at, vec![Entry::Record(forked).encode()]).await;
    let halt = Halt::Forked { at: at.clone(), offset: Offset(2), sequence: Sequence(1), named: RecordHash([0xaa; 32]), known: last.hash };
    assert_eq!(halt_of(&journal, &at, last.frontier()).await, halt);
}

pub(crate) async fn a_reader_halts_on_a_shortened_log(mut harness: impl Harness) {
    let (at, frontier, raw) = written(&harness, &["a", "b", "c"]).await;
    // The journal as a broker that lost acknowledged records would leave it.
    let lost = copy(&mut harness, &raw[..3]).await;
    let halt = halt_of(&lost, &at, frontier).await;
    assert_eq!(halt, Halt::Shortened { at, end: Offset(3), read: Offset(4) });
}

pub(crate) async fn a_reader_halts_when_the_log_was_cut_and_grew_again(mut harness: impl Harness) {
    let (at, frontier, raw) = written(&harness, &["a", "b", "c"]).await;
    let cut = copy(&mut harness, &raw[..2]).await;
    let (mut successor, _) = claim(&cut, &at, 2).await;
    successor.append(drafts(&successor, &["x", "y"])).await.unwrap();
    // The log is as long as it was and more, and its records are chained: only the applied hash tells.
    let halt = halt_of(&cut, &at, frontier).await;
    assert_eq!(halt, Halt::Rewritten { at, offset: Offset(3), applied: frontier.hash });
}

pub(crate) async fn a_reader_halts_on_a_field_of_a_newer_version_and_hands_out_what_came_before(harness: impl Harness) {
    let journal = harness.journal();
    let at = partition(&journal).await;
    let (mut writer, _) = claim(&journal, &at, 1).await;
    let last = writer.append(drafts(&writer, &["a"])).await.unwrap().pop().unwrap();
    let next = Record { sequence: Sequence(1), previous: last.hash, events: Vec::new(), ..last.record.clone() };
    let encoded = Entry::Record(next).encode();
    // Field 77 of Record, which only a newer version can judge.
    let body = read_delimited(&mut &encoded[1..]).unwrap();
    let mut newer = vec![encoded[0]];
    write_delimited(&[body, &[0xe8, 0x04, 1]].concat(), &mut newer);
    append_raw(&journal, &at, vec![newer]).await;
    let mut reader = PartitionReader::open(Arc::clone(&journal), at.clone(), Frontier::START).await.unwrap();
    let batch = reader.next_batch().await.unwrap();
    assert_eq!((batch.records, batch.caught_up), (vec![last.clone()], false));
    let halt = halt_of(&journal, &at, last.frontier()).await;
    let error = WireError::UnknownField { message: "Record", tag: 77 };
    assert_eq!(halt, Halt::NewerVersion { at: at.clone(), offset: Offset(2), sequence: Sequence(1), error });
    // Nobody takes a partition over that he can't read.
    let mut claiming = Claiming::begin(Arc::clone(&journal), at.clone(), last.frontier(), options(2)).await.unwrap();
    assert!(matches!(claiming.next_batch().await, Err(ClaimError::Follow(FollowError::Halt(Halt::NewerVersion { .. })))));
}

pub(crate) async fn an_input_that_lost_records_is_refused(harness: impl Harness) {
    let journal = harness.journal();
    let at = partition(&journal).await;
    append_raw(&journal, &at, vec![vec![1], vec![2], vec![3]]).await;
    let mut reader = InputReader::open(Arc::clone(&journal), at.clone(), Offset(1)).await.unwrap();
    assert!(!reader.reached(reader.end().await.unwrap()));
    let values: Vec<_> = reader.next_batch().await.unwrap().into_iter().map(|record| record.value).collect();
    assert_eq!(values, [[2], [3]]);
    assert!(reader.reached(Offset(3)));
    assert_eq!(reader.next_batch().await.unwrap(), []);
    let lost = InputReader::open(journal, at.clone(), Offset(4)).await.err();
    assert_eq!(lost, Some(InputError::Lost { at, end: Offset(3), taken: Offset(4) }));
}

async fn written(harness: &impl Harness, subjects: &[&str]) -> (TopicPartition, Frontier, Vec<Vec<u8>>) {
    let journal = harness.journal();
    let at = partition(&journal).await;
    let (mut writer, _) = claim(&journal, &at, 1).await;
    writer.append(drafts(&writer, subjects)).await.unwrap();
    let (_, reader) = read_all(&journal, &at).await;
    let raw = read_raw(&journal, &at).await.into_iter().map(|record| record.value).collect();
    (at, reader.frontier(), raw)
}

/// Another journal of the same kind whose partition holds `values`; the harness keeps it running.
async fn copy<H: Harness>(harness: &mut H, values: &[Vec<u8>]) -> Arc<dyn EventJournal> {
    *harness = H::start().await;
    let journal = harness.journal();
    let at = partition(&journal).await;
    append_raw(&journal, &at, values.to_vec()).await;
    journal
}
