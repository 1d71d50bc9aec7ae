//! Going on after a restart: readers, inputs, sealed blocks, owners.

use super::{Harness, append_raw, claim, draft, drafts, options, partition, read_all, subjects};
use acurast_events::bytes::{BlockHash, Bytes, EventId};
use acurast_events::record::{InputPosition, Progress};
use acurast_events::source::{BlockSealed, FactMeta, SourceEvent, UnknownEvent, facts_root};
use acurast_events::units::{BlockNumber, Count, Offset, Timestamp};
use acurast_events::wire::Message;
use acurast_relayer_journal::{
    AcceptedRecord, Claiming, Draft, Frontier, PartitionReader, PartitionWriter, ReadLimits, SealError, SealedBlock, SealedBlocks,
    answered_before, merge_progress, progress_event, progress_of,
};
use std::collections::BTreeSet;
use std::sync::Arc;

pub(crate) async fn a_reader_resumes_at_any_frontier_and_sees_the_same(harness: impl Harness) {
    let journal = harness.journal();
    let at = partition(&journal).await;
    for writer in 1..=3 {
        let (mut owner, _) = claim(&journal, &at, writer).await;
        append_raw(&journal, &at, vec![b"garbage".to_vec()]).await;
        owner.append(drafts(&owner, &["a", "b"])).await.unwrap();
    }
    let (all, _) = read_all(&journal, &at).await;
    assert_eq!(all.len(), 6);
    for taken in 0..=all.len() {
        let frontier = taken.checked_sub(1).map_or(Frontier::START, |last| all[last].frontier());
        let limits = ReadLimits { records_max: 1, bytes_max: 1 };
        let reader = PartitionReader::open(Arc::clone(&journal), at.clone(), frontier).await.unwrap();
        let mut reader = reader.with_limits(limits);
        let mut rest = Vec::new();
        loop {
            let batch = reader.next_batch().await.unwrap();
            rest.extend(batch.records);
            if batch.caught_up {
                break;
            }
        }
        assert_eq!(rest, all[taken..]);
    }
}

pub(crate) async fn a_restart_continues_from_the_last_progress_and_knows_what_is_answered(harness: impl Harness) {
    let journal = harness.journal();
    let at = partition(&journal).await;
    let (mut owner, _) = claim(&journal, &at, 1).await;
    let inputs = |next| vec![InputPosition { topic: "acurast.outputs.v1".into(), partition: 0, next: Offset(next) }];
    let mark = |owner: &PartitionWriter, next| Draft {
        input: None,
        subject: Bytes::default(),
        events: vec![progress_event(&Progress { inputs: inputs(next), published: Vec::new() })],
        ..draft(owner, "progress", 0)
    };
    // Inputs 0 to 3; 2 concerns two subjects. The Progress after input 1 moves the position to 2.
    owner.append(vec![draft(&owner, "a", 0), draft(&owner, "b", 1), mark(&owner, 2)]).await.unwrap();
    owner.append(vec![draft(&owner, "a", 2), draft(&owner, "c", 3)]).await.unwrap();
    drop(owner);

    let (_, folded) = claim(&journal, &at, 2).await;
    let mut progress = Progress { inputs: Vec::new(), published: Vec::new() };
    let mut answered = Vec::new();
    for accepted in &folded {
        if let Some(newer) = progress_of(&accepted.record).unwrap() {
            merge_progress(&mut progress, &newer);
            answered.retain(|(input, _)| !answered_before(&progress, input));
        }
        answered.extend(accepted.record.input.clone().map(|input| (input, accepted.record.subject.clone())));
    }
    assert_eq!(progress.inputs, inputs(2));
    let answered: BTreeSet<_> = answered.iter().map(|(input, subject)| (input.position, subject.as_bytes())).collect();
    // Input 2 is met again: its decision for `a` is there, the one for any other subject isn't.
    assert_eq!(answered, [(Offset(2), &b"a"[..]), (Offset(3), b"c")].into());
}

fn fact(n: u8) -> SourceEvent {
    let meta = FactMeta { id: EventId([n; 32]), index: u32::from(n), extrinsic: None };
    SourceEvent::UnknownEvent(UnknownEvent { meta, pallet: "Acurast".into(), variant: "New".into(), fields: Bytes::default() })
}

fn seal(number: u64, facts: &[u8]) -> SourceEvent {
    let ids: Vec<EventId> = facts.iter().map(|n| EventId([*n; 32])).collect();
    SourceEvent::BlockSealed(BlockSealed {
        first: BlockNumber(number),
        number: BlockNumber(number),
        hash: BlockHash([number as u8; 32]),
        parent: BlockHash([number as u8 - 1; 32]),
        timestamp: Timestamp(number * 6_000),
        fact_count: Count(facts.len() as u64),
        facts_root: facts_root(&ids),
        spec_version: Some(2),
    })
}

async fn append_source(owner: &mut PartitionWriter, events: &[SourceEvent]) {
    let events = events.iter().map(|event| Bytes(event.encode())).collect();
    let record = Draft { input: None, events, ..draft(owner, "chain", 0) };
    owner.append(vec![record]).await.unwrap();
}

fn summary(block: &SealedBlock) -> (u64, Vec<(u64, u8)>) {
    (block.seal.number.0, block.facts.iter().map(|fact| (fact.input.position.0, fact.input.id.0[0])).collect())
}

fn push_all(blocks: &mut SealedBlocks, records: &[AcceptedRecord]) -> Vec<(u64, Vec<(u64, u8)>)> {
    records.iter().flat_map(|record| blocks.push(record).unwrap()).map(|block| summary(&block)).collect()
}

pub(crate) async fn sealed_blocks_appear_whole_and_unsealed_facts_count_as_never_seen(harness: impl Harness) {
    let journal = harness.journal();
    let at = partition(&journal).await;
    let (mut owner, _) = claim(&journal, &at, 1).await;
    append_source(&mut owner, &[fact(1), fact(2), seal(10, &[1, 2])]).await; // 0: a block in one record
    append_source(&mut owner, &[fact(3)]).await; // 1: a block in three
    append_source(&mut owner, &[fact(4)]).await; // 2
    append_source(&mut owner, &[seal(11, &[3, 4]), seal(12, &[]), fact(5)]).await; // 3: … a quiet block, and half a block
    let (mut next, _) = claim(&journal, &at, 2).await;
    append_source(&mut next, &[fact(5), fact(6), seal(13, &[5, 6])]).await; // 4: read again, by another node's word

    let (records, _) = read_all(&journal, &at).await;
    let mut blocks = SealedBlocks::new(at.clone(), Frontier::START);
    assert_eq!(push_all(&mut blocks, &records[..3]), [(10, vec![(0, 1), (0, 2)])]);
    // Records 1 and 2 are read but unsealed: a position must not pass them.
    assert_eq!(blocks.resume(), records[0].frontier());
    let rest = push_all(&mut blocks, &records[3..]);
    assert_eq!(rest, [(11, vec![(1, 3), (2, 4)]), (12, vec![]), (13, vec![(4, 5), (4, 6)])]);
    assert_eq!(blocks.resume(), records[4].frontier());

    // Resumed after record 0, a consumer sees the same blocks.
    let mut reader = PartitionReader::open(journal, at.clone(), records[0].frontier()).await.unwrap();
    let resumed = reader.next_batch().await.unwrap();
    let mut blocks = SealedBlocks::new(at, records[0].frontier());
    assert_eq!(push_all(&mut blocks, &resumed.records), rest);
}

pub(crate) async fn a_seal_that_does_not_fit_its_facts_halts_its_reader(harness: impl Harness) {
    let journal = harness.journal();
    let at = partition(&journal).await;
    let (mut owner, _) = claim(&journal, &at, 1).await;
    append_source(&mut owner, &[fact(1), seal(10, &[1, 2])]).await;
    let (records, _) = read_all(&journal, &at).await;
    let error = SealedBlocks::new(at.clone(), Frontier::START).push(&records[0]).unwrap_err();
    let sequence = records[0].record.sequence;
    assert_eq!(error, SealError::Mismatch { at, sequence, number: BlockNumber(10), sealed: Count(2), found: 1 });
}

pub(crate) async fn an_owner_that_crashed_goes_on_where_its_log_ends(mut harness: impl Harness) {
    let journal = harness.journal();
    let at = partition(&journal).await;
    let (mut owner, _) = claim(&journal, &at, 1).await;
    let written = owner.append(drafts(&owner, &["a", "b"])).await.unwrap();
    drop((owner, journal));
    harness.crash_and_reopen().await;
    let journal = harness.journal();
    // Its store had applied `a` only.
    let mut claiming = Claiming::begin(Arc::clone(&journal), at.clone(), written[0].frontier(), options(2)).await.unwrap();
    assert_eq!(claiming.next_batch().await.unwrap(), Some(written[1..].to_vec()));
    assert_eq!(claiming.next_batch().await.unwrap(), None);
    let mut owner = claiming.finish().unwrap();
    owner.append(drafts(&owner, &["c"])).await.unwrap();
    let (seen, _) = read_all(&journal, &at).await;
    assert_eq!(subjects(&seen), ["a", "b", "c"]);
}
