//! What every reader skips alike, and what its writer does then.

use super::{Harness, append_raw, claim, draft, drafts, partition, read_all, read_raw, subjects};
use acurast_events::bytes::{RecordHash, WriterId};
use acurast_events::record::{Claim, Entry, Record};
use acurast_events::units::{Sequence, Term, Timestamp};
use acurast_events::wire::Message;
use acurast_relayer_journal::{AcceptedRecord, Lost, SkipReason, WriteError};

/// The record that `after`'s writer would write next if it saw nothing else.
fn next_record(after: &AcceptedRecord, subject: &str) -> Record {
    Record {
        sequence: after.record.sequence.next(),
        previous: after.hash,
        subject: subject.as_bytes().to_vec().into(),
        ..after.record.clone()
    }
}

fn value(record: Record) -> Vec<u8> {
    Entry::Record(record).encode()
}

pub(crate) async fn a_zombie_that_writes_on_is_skipped_by_every_reader(harness: impl Harness) {
    let journal = harness.journal();
    let at = partition(&journal).await;
    let (mut zombie, _) = claim(&journal, &at, 1).await;
    let last = zombie.append(drafts(&zombie, &["a", "b"])).await.unwrap().pop().unwrap();
    let (mut owner, _) = claim(&journal, &at, 2).await;
    // It never looked: its next record is right for its own view of the chain.
    append_raw(&journal, &at, vec![value(next_record(&last, "zombie 1"))]).await;
    owner.append(drafts(&owner, &["c"])).await.unwrap();
    append_raw(&journal, &at, vec![value(next_record(&last, "zombie 2"))]).await;
    owner.append(drafts(&owner, &["d"])).await.unwrap();
    // And the real zombie, which learns of it only by reading back.
    let lost = zombie.append(drafts(&zombie, &["zombie 3"])).await.unwrap_err();
    assert_eq!(lost, WriteError::Lost { at: at.clone(), reason: Lost::Superseded(owner.owner()) });
    let (seen, reader) = read_all(&journal, &at).await;
    assert_eq!(subjects(&seen), ["a", "b", "c", "d"]);
    assert_eq!(*reader.skipped(), [(SkipReason::OtherWriter, 3)].into());
}

pub(crate) async fn a_lost_middle_record_takes_all_after_it_along_and_its_writer_is_lost(harness: impl Harness) {
    let journal = harness.journal();
    let at = partition(&journal).await;
    let (mut writer, _) = claim(&journal, &at, 1).await;
    let last = writer.append(drafts(&writer, &["a"])).await.unwrap().pop().unwrap();
    // Of b, c, d only b and d arrive.
    let b = next_record(&last, "b");
    let b_hash = b.hash(&at, &value(b.clone()));
    let c = Record { sequence: Sequence(2), previous: b_hash, subject: b"c".to_vec().into(), ..b.clone() };
    let c_hash = c.hash(&at, &value(c.clone()));
    let d = Record { sequence: Sequence(3), previous: c_hash, subject: b"d".to_vec().into(), ..b.clone() };
    append_raw(&journal, &at, vec![value(b), value(d.clone())]).await;
    let (seen, reader) = read_all(&journal, &at).await;
    assert_eq!(subjects(&seen), ["a", "b"]);
    assert_eq!(*reader.skipped(), [(SkipReason::AfterGap, 1)].into());
    // The writer thinks that nothing happened, writes its own second record, and finds another one in its place.
    let lost = writer.append(drafts(&writer, &["other"])).await.unwrap_err();
    assert_eq!(lost, WriteError::Lost { at: at.clone(), reason: Lost::Skipped });
    // Its successor goes on after b; d, arriving once more, stays out.
    let (mut successor, folded) = claim(&journal, &at, 2).await;
    assert_eq!(subjects(&folded), ["a", "b"]);
    successor.append(drafts(&successor, &["c again"])).await.unwrap();
    append_raw(&journal, &at, vec![value(d)]).await;
    let (seen, _) = read_all(&journal, &at).await;
    assert_eq!(subjects(&seen), ["a", "b", "c again"]);
}

pub(crate) async fn a_repeated_record_counts_once(harness: impl Harness) {
    let journal = harness.journal();
    let at = partition(&journal).await;
    let (mut writer, _) = claim(&journal, &at, 1).await;
    writer.append(drafts(&writer, &["a", "b"])).await.unwrap();
    let raw = read_raw(&journal, &at).await;
    append_raw(&journal, &at, raw[1..].iter().map(|record| record.value.clone()).collect()).await;
    append_raw(&journal, &at, vec![raw[0].value.clone()]).await;
    writer.append(drafts(&writer, &["c"])).await.unwrap();
    let (seen, reader) = read_all(&journal, &at).await;
    assert_eq!(subjects(&seen), ["a", "b", "c"]);
    assert_eq!(*reader.skipped(), [(SkipReason::Repeated, 2), (SkipReason::StaleClaim, 1)].into());
}

pub(crate) async fn a_record_that_lands_late_is_skipped(harness: impl Harness) {
    let journal = harness.journal();
    let at = partition(&journal).await;
    let (mut first, _) = claim(&journal, &at, 1).await;
    let last = first.append(drafts(&first, &["a"])).await.unwrap().pop().unwrap();
    // Appended by the first owner, still on its way while the second takes over and writes the same sequence.
    let late = next_record(&last, "late");
    let (mut second, _) = claim(&journal, &at, 2).await;
    let written = second.append(drafts(&second, &["b"])).await.unwrap();
    assert_eq!(written[0].record.sequence, late.sequence);
    append_raw(&journal, &at, vec![value(late)]).await;
    // A claim that lands late takes nothing over either.
    let late_claim = Claim { term: Term(2), writer: WriterId([9; 16]), at: Timestamp(0) };
    append_raw(&journal, &at, vec![Entry::Claim(late_claim).encode()]).await;
    second.append(drafts(&second, &["c"])).await.unwrap();
    let (seen, reader) = read_all(&journal, &at).await;
    assert_eq!(subjects(&seen), ["a", "b", "c"]);
    assert_eq!(*reader.skipped(), [(SkipReason::StaleClaim, 1), (SkipReason::OtherWriter, 1)].into());
}

pub(crate) async fn a_record_before_any_claim_or_of_an_unclaimed_term_is_skipped(harness: impl Harness) {
    let journal = harness.journal();
    let at = partition(&journal).await;
    let forged = |term| Record {
        term: Term(term),
        writer: WriterId::ZERO,
        sequence: Sequence(0),
        previous: RecordHash::ZERO,
        at: Timestamp(1),
        input: None,
        subject: b"forged".to_vec().into(),
        traceparent: None,
        events: Vec::new(),
    };
    let claim_of_term_0 = Claim { term: Term(0), writer: WriterId::ZERO, at: Timestamp(0) };
    append_raw(&journal, &at, vec![value(forged(0)), Entry::Claim(claim_of_term_0).encode(), value(forged(0))]).await;
    let (mut writer, _) = claim(&journal, &at, 1).await;
    append_raw(&journal, &at, vec![value(forged(7))]).await;
    writer.append(vec![draft(&writer, "a", 0)]).await.unwrap();
    let (seen, reader) = read_all(&journal, &at).await;
    assert_eq!(subjects(&seen), ["a"]);
    let skipped = [(SkipReason::StaleClaim, 1), (SkipReason::NoOwner, 2), (SkipReason::TermNotClaimed, 1)];
    assert_eq!(*reader.skipped(), skipped.into());
}

pub(crate) async fn bytes_that_are_no_entry_are_skipped(harness: impl Harness) {
    let journal = harness.journal();
    let at = partition(&journal).await;
    let (mut writer, _) = claim(&journal, &at, 1).await;
    let last = writer.append(drafts(&writer, &["a"])).await.unwrap().pop().unwrap();
    let good = value(next_record(&last, "b"));
    // The header is right and next in the chain, but no version can decode the rest: an input whose id has 3 bytes.
    let mut broken_body = Record { events: Vec::new(), input: None, ..next_record(&last, "broken") };
    broken_body.subject = Vec::new().into();
    let mut body = value(broken_body)[2..].to_vec();
    body.extend([0x32, 5, 0x22, 3, 1, 2, 3]);
    let broken = [&[0x12, body.len() as u8][..], &body].concat();
    let garbage = [
        vec![],
        vec![0xff; 40],
        vec![0xff; 3 << 20],
        b"not an entry".to_vec(),
        good[..good.len() - 1].to_vec(),
        [&good[..], &[0]].concat(),
        broken,
    ];
    let count = garbage.len() as u64;
    append_raw(&journal, &at, garbage.into()).await;
    writer.append(drafts(&writer, &["b"])).await.unwrap();
    let (seen, reader) = read_all(&journal, &at).await;
    assert_eq!(subjects(&seen), ["a", "b"]);
    assert_eq!(*reader.skipped(), [(SkipReason::Undecodable, count)].into());
}

pub(crate) async fn an_entry_of_an_unknown_kind_is_skipped(harness: impl Harness) {
    let journal = harness.journal();
    let at = partition(&journal).await;
    let (mut writer, _) = claim(&journal, &at, 1).await;
    append_raw(&journal, &at, vec![vec![0x1a, 2, 8, 1], vec![0x7a, 0]]).await;
    writer.append(drafts(&writer, &["a"])).await.unwrap();
    let (seen, reader) = read_all(&journal, &at).await;
    assert_eq!(subjects(&seen), ["a"]);
    assert_eq!(*reader.skipped(), [(SkipReason::UnknownKind, 2)].into());
}
