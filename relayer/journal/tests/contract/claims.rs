//! Ownership: claim, append, read back, stand down, lease.

use super::{Harness, claim, draft, drafts, options, partition, read_all, read_raw, subjects};
use acurast_events::attributes::{claim_attributes, record_attributes};
use acurast_events::bytes::{RecordHash, WriterId};
use acurast_events::record::Entry;
use acurast_events::units::{Sequence, Term, Timestamp};
use acurast_events::wire::Message;
use acurast_relayer_journal::{ClaimError, ClaimOptions, Claiming, Clock, Frontier, Lost, Owner, SkipReason, WriteError};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

pub(crate) async fn an_owner_claims_appends_and_reads_back_what_every_reader_sees(harness: impl Harness) {
    let journal = harness.journal();
    let at = partition(&journal).await;
    let (mut writer, folded) = claim(&journal, &at, 1).await;
    assert_eq!(folded, []);
    assert_eq!(writer.owner(), Owner { term: Term(1), writer: WriterId([1; 16]) });
    let first = writer.append(drafts(&writer, &["a", "b", "c"])).await.unwrap();
    let second = writer.append(drafts(&writer, &["a"])).await.unwrap();
    assert_eq!(writer.append(Vec::new()).await.unwrap(), []);
    let written = [first, second].concat();
    let (seen, reader) = read_all(&journal, &at).await;
    assert_eq!(seen, written);
    assert_eq!(subjects(&seen), ["a", "b", "c", "a"]);
    assert_eq!(seen[0].record.previous, RecordHash::ZERO);
    for pair in seen.windows(2) {
        assert_eq!(pair[1].record.previous, pair[0].hash);
        assert_eq!(pair[1].record.sequence, Sequence(pair[0].record.sequence.0 + 1));
    }
    assert_eq!(reader.frontier(), writer.frontier());
    assert!(reader.skipped().is_empty());
}

pub(crate) async fn a_new_owner_folds_all_of_its_predecessor_before_it_owns(harness: impl Harness) {
    let journal = harness.journal();
    let at = partition(&journal).await;
    let (mut first, _) = claim(&journal, &at, 1).await;
    let written = first.append(drafts(&first, &["a", "b"])).await.unwrap();
    let (mut second, folded) = claim(&journal, &at, 2).await;
    assert_eq!(folded, written);
    assert_eq!(second.owner().term, Term(2));
    second.append(drafts(&second, &["c"])).await.unwrap();
    let (seen, _) = read_all(&journal, &at).await;
    assert_eq!(subjects(&seen), ["a", "b", "c"]);
    // A follower that folded all of it needs nothing more.
    let mut warm = Claiming::begin(Arc::clone(&journal), at.clone(), second.frontier(), options(3)).await.unwrap();
    assert_eq!(warm.next_batch().await.unwrap(), None);
    assert_eq!(warm.finish().unwrap().owner().term, Term(3));
}

pub(crate) async fn of_two_claimants_of_one_term_the_first_in_the_log_stands(harness: impl Harness) {
    let journal = harness.journal();
    let at = partition(&journal).await;
    let (first, _) = claim(&journal, &at, 1).await;
    // The second claimant read the log before the first one's claim: it claims the same term.
    let claim_bytes = read_raw(&journal, &at).await[0].value.clone();
    let rival = replace(&claim_bytes, &[1; 16], &[2; 16]);
    super::append_raw(&journal, &at, vec![rival]).await;
    let mut first = first;
    first.append(drafts(&first, &["a"])).await.unwrap();
    let own = read_raw(&journal, &at).await[2].value.clone();
    super::append_raw(&journal, &at, vec![replace(&own, &[1; 16], &[2; 16])]).await;
    let (seen, reader) = read_all(&journal, &at).await;
    assert_eq!(subjects(&seen), ["a"]);
    assert_eq!(reader.owner(), Some(first.owner()));
    assert_eq!(*reader.skipped(), [(SkipReason::StaleClaim, 1), (SkipReason::OtherWriter, 1)].into());
}

pub(crate) async fn an_owner_that_reads_a_higher_term_stands_down(harness: impl Harness) {
    let journal = harness.journal();
    let at = partition(&journal).await;
    let (mut first, _) = claim(&journal, &at, 1).await;
    first.append(drafts(&first, &["a"])).await.unwrap();
    assert!(first.may_send());
    let (second, _) = claim(&journal, &at, 2).await;
    let lost = first.append(drafts(&first, &["b"])).await.unwrap_err();
    assert_eq!(lost, WriteError::Lost { at: at.clone(), reason: Lost::Superseded(second.owner()) });
    assert!(!first.may_send());
    let end = journal.end(&at).await.unwrap();
    assert_eq!(first.append(drafts(&first, &["c"])).await.unwrap_err(), lost);
    assert_eq!(journal.end(&at).await.unwrap(), end, "a lost writer writes nothing more");
    let (seen, _) = read_all(&journal, &at).await;
    assert_eq!(subjects(&seen), ["a"]);
}

pub(crate) async fn an_idle_owner_stands_down_when_it_looks(harness: impl Harness) {
    let journal = harness.journal();
    let at = partition(&journal).await;
    let (mut first, _) = claim(&journal, &at, 1).await;
    first.append(drafts(&first, &["a"])).await.unwrap();
    first.look().await.unwrap();
    let (second, _) = claim(&journal, &at, 2).await;
    first.watch().await.unwrap();
    let lost = WriteError::Lost { at, reason: Lost::Superseded(second.owner()) };
    assert_eq!(first.look().await.unwrap_err(), lost);
    assert!(!first.may_send());
}

pub(crate) async fn a_claim_that_is_overtaken_before_it_was_read_back_owns_nothing(harness: impl Harness) {
    let journal = harness.journal();
    let at = partition(&journal).await;
    let (mut owner, _) = claim(&journal, &at, 1).await;
    owner.append(drafts(&owner, &["a"])).await.unwrap();
    // Folded everything, hasn't claimed yet …
    let mut slow = Claiming::begin(Arc::clone(&journal), at.clone(), Frontier::START, options(2)).await.unwrap();
    assert_eq!(slow.next_batch().await.unwrap().map(|records| records.len()), Some(1));
    // … when its read view is already past: another process claims, twice.
    let (_, _) = claim(&journal, &at, 3).await;
    let (winner, _) = claim(&journal, &at, 4).await;
    // It catches up first, so its own term is higher, and it owns; the ones before stand down.
    assert_eq!(slow.next_batch().await.unwrap(), None);
    let slow = slow.finish().unwrap();
    assert_eq!(slow.owner().term, Term(winner.owner().term.0 + 1));
    // A claim whose term was taken meanwhile owns nothing.
    let raw = read_raw(&journal, &at).await;
    let rival = replace(&raw[raw.len() - 1].value, &[2; 16], &[5; 16]);
    super::append_raw(&journal, &at, vec![rival]).await;
    let (_, reader) = read_all(&journal, &at).await;
    assert_eq!(reader.owner(), Some(slow.owner()));
    let unfinished = Claiming::begin(journal, at.clone(), Frontier::START, options(6)).await.unwrap().finish();
    assert_eq!(unfinished.err(), Some(ClaimError::Unfinished(at)));
}

/// A clock that stands until the test moves it.
#[derive(Default)]
struct Hand(AtomicU64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }
}

async fn claim_by(harness: &impl Harness, clock: &Arc<Hand>) -> acurast_relayer_journal::PartitionWriter {
    let journal = harness.journal();
    let at = partition(&journal).await;
    let options = ClaimOptions { writer: WriterId([1; 16]), lease: Duration::from_millis(100), clock: Arc::clone(clock) as Arc<dyn Clock> };
    let mut claiming = Claiming::begin(journal, at, Frontier::START, options).await.unwrap();
    while claiming.next_batch().await.unwrap().is_some() {}
    claiming.finish().unwrap()
}

pub(crate) async fn nothing_may_be_sent_before_a_record_was_read_back_and_after_the_lease(harness: impl Harness) {
    let clock = Arc::new(Hand::default());
    let mut writer = claim_by(&harness, &clock).await;
    assert!(!writer.may_send(), "a claim alone is no record read back");
    clock.0.store(1_000, Ordering::SeqCst);
    writer.append(vec![draft(&writer, "a", 0)]).await.unwrap();
    clock.0.store(1_100, Ordering::SeqCst);
    assert!(writer.may_send());
    clock.0.store(1_101, Ordering::SeqCst);
    assert!(!writer.may_send());
    writer.append(vec![draft(&writer, "progress", 1)]).await.unwrap();
    assert!(writer.may_send());
}

pub(crate) async fn a_decision_stamped_before_the_last_one_is_refused_and_changes_nothing(harness: impl Harness) {
    let clock = Arc::new(Hand::default());
    let mut writer = claim_by(&harness, &clock).await;
    clock.0.store(1_000, Ordering::SeqCst);
    let early = draft(&writer, "early", 0);
    clock.0.store(2_000, Ordering::SeqCst);
    writer.append(vec![draft(&writer, "a", 0)]).await.unwrap();
    // The wall clock is set back: stamps stay where they were.
    clock.0.store(1_500, Ordering::SeqCst);
    assert_eq!(writer.stamp(), Timestamp(2_000));
    let refused = writer.append(vec![early]).await.unwrap_err();
    assert!(matches!(refused, WriteError::Stamp { stamp: Timestamp(1_000), last: Timestamp(2_000), .. }));
    let written = writer.append(vec![draft(&writer, "b", 0)]).await.unwrap();
    assert_eq!(written[0].record.at, Timestamp(2_000));
}

pub(crate) async fn a_cancelled_append_loses_the_writer(harness: impl Harness) {
    let journal = harness.journal();
    let at = partition(&journal).await;
    let (mut writer, _) = claim(&journal, &at, 1).await;
    writer.append(drafts(&writer, &["a"])).await.unwrap();
    // Records enough for several raw appends, so that no back end finishes within one poll.
    let many: Vec<_> = (0..20_000).map(|position| draft(&writer, "b", position)).collect();
    let mut append = Box::pin(writer.append(many));
    let polled = std::future::poll_fn(|context| Poll::Ready(append.as_mut().poll(context).is_ready())).await;
    drop(append);
    if polled {
        // A back end that never waits leaves nothing to cancel.
        return;
    }
    let lost = WriteError::Lost { at: at.clone(), reason: Lost::Cancelled };
    assert_eq!(writer.append(drafts(&writer, &["c"])).await.unwrap_err(), lost);
    assert!(!writer.may_send());
    // What it left behind, in part or whole, is folded by the next owner.
    let (_, folded) = claim(&journal, &at, 2).await;
    let (seen, _) = read_all(&journal, &at).await;
    assert_eq!(folded, seen[..folded.len()]);
    assert_eq!(seen.len(), folded.len());
}

pub(crate) async fn records_carry_cloudevents_attributes(harness: impl Harness) {
    let journal = harness.journal();
    let at = partition(&journal).await;
    let (mut writer, _) = claim(&journal, &at, 1).await;
    let mut traced = draft(&writer, "a", 0);
    traced.traceparent = Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into());
    let written = writer.append(vec![traced]).await.unwrap();
    let raw = read_raw(&journal, &at).await;
    let as_texts = |index: usize| -> Vec<(String, String)> {
        let texts = raw[index].attributes.iter();
        texts.map(|(name, value)| (name.to_owned(), String::from_utf8(value.to_vec()).unwrap())).collect()
    };
    let Ok(Entry::Claim(claim)) = Entry::decode(&raw[0].value) else { panic!("the first entry is the claim") };
    assert_eq!(as_texts(0), claim_attributes(&at, &claim));
    assert_eq!(as_texts(1), record_attributes(&at, &written[0].record, &written[0].hash));
    assert_eq!(raw[1].key, b"a");
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let position = bytes.windows(from.len()).position(|window| window == from).expect("the bytes are there");
    [&bytes[..position], to, &bytes[position + from.len()..]].concat()
}
