//! Whom to ask, and whom to believe (R8).
//!
//! *Facts that carry value* count by the word of one healthy trusted endpoint; while there is none, by the same word of a
//! majority of at least three, given about a block that this majority has in common. One that says something else is set
//! aside; one that lacks the block, or doesn't answer, has said nothing. When neither speaks the answer is unknown, so one
//! liar neither deceives nor halts. *Plain questions*, whose wrong answer costs a try, go to any other endpoint too when
//! the trusted ones fail.
//!
//! Several endpoints are asked at once; when enough is known the others get a moment more, so that a slow one costs little
//! and a liar is still caught.

use crate::chain::EvmChain;
use crate::endpoint::RpcError;
use crate::health::Health;
use crate::node::Header;
use crate::vote;
use crate::witness::{Sight, Witness, broken_finality};
use acurast_events::bytes::BlockHash;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use std::future::Future;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How much longer the others are waited for when enough is known.
const GRACE: Duration = Duration::from_millis(500);
/// Bytes go to so many healthy endpoints at least.
const HEDGE_MIN: usize = 2;

/// What a question is pinned to: blocks that whoever is believed has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pins {
    /// The newest block in common; nothing while heads differ.
    pub head: Option<Header>,
    /// The newest final block in common.
    pub finalized: Header,
}

/// What a wrong answer costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// Money: only who is trusted, or a majority, is believed. Who contradicts is set aside.
    Fact,
    /// A try. Endpoints may differ for a moment.
    Plain,
}

/// An answer and who gave it.
type Answer<'a, T> = (&'a Witness, Result<T, RpcError>);

/// Asks at once. After `enough` is known the rest is waited for a moment only; who is late is not in the result.
pub(crate) async fn gather<'a, T, Fut>(
    asked: impl IntoIterator<Item = (&'a Witness, Fut)>,
    enough: impl Fn(&[Answer<'a, T>]) -> bool,
) -> Vec<Answer<'a, T>>
where
    Fut: Future<Output = Result<T, RpcError>>,
{
    let mut waiting: FuturesUnordered<_> = asked.into_iter().map(|(witness, answer)| async move { (witness, answer.await) }).collect();
    let mut answers = Vec::new();
    let mut known_since: Option<Instant> = None;
    loop {
        let next = match known_since {
            None => waiting.next().await,
            Some(since) => timeout(GRACE.saturating_sub(since.elapsed()), waiting.next()).await.unwrap_or(None),
        };
        let Some(answer) = next else { return answers };
        answers.push(answer);
        if known_since.is_none() && enough(&answers) {
            known_since = Some(Instant::now());
        }
    }
}

/// One error out of those of several endpoints.
fn undecided(mut errors: Vec<RpcError>) -> RpcError {
    match errors.len() {
        0 => RpcError::Undecided { reason: "every endpoint is left alone after failures, or not believed".into() },
        1 => errors.swap_remove(0),
        _ => RpcError::Undecided { reason: errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ") },
    }
}

impl EvmChain {
    /// Endpoints whose breaker lets calls pass.
    fn callable(&self) -> impl Iterator<Item = &Witness> {
        self.witnesses().iter().filter(|witness| witness.endpoint().is_open_to_calls())
    }

    /// Who is asked where a transaction is: whoever can be and is not set aside.
    pub(crate) fn observers(&self) -> Vec<&Witness> {
        let heard = |witness: &&Witness| !matches!(witness.endpoint().health(), Health::SetAside { .. });
        let observers: Vec<_> = self.callable().filter(heard).collect();
        if observers.is_empty() { self.callable().collect() } else { observers }
    }

    /// Who is handed signed bytes: all that are healthy, or, when they are too few, all that can be.
    pub(crate) fn listeners(&self) -> Vec<&Witness> {
        let healthy: Vec<_> = self.callable().filter(|witness| witness.endpoint().health() == Health::Healthy).collect();
        if healthy.len() >= HEDGE_MIN { healthy } else { self.callable().collect() }
    }

    /// A fact that carries value, the same whenever it is asked.
    pub(crate) async fn agreed<'a, T, Fut>(&'a self, what: &str, ask: impl Fn(&'a Witness) -> Fut) -> Result<T, RpcError>
    where
        T: Clone + PartialEq,
        Fut: Future<Output = Result<T, RpcError>>,
    {
        let majority = async { self.vote(self.callable().collect(), what, Weight::Fact, &ask, T::clone).await };
        first_of(self.decided(Weight::Fact, &ask, majority).await?)
    }

    /// A fact that carries value, at the newest final block.
    pub(crate) async fn agreed_final<'a, T, Fut>(&'a self, what: &str, ask: impl Fn(&'a Witness, Pins) -> Fut) -> Result<T, RpcError>
    where
        T: Clone + PartialEq,
        Fut: Future<Output = Result<T, RpcError>>,
    {
        first_of(self.agreed_by(what, ask, T::clone).await?)
    }

    /// The same, where answers count as equal by their key: all that agree, at least one.
    pub(crate) async fn agreed_by<'a, T, K, Fut>(
        &'a self,
        what: &str,
        ask: impl Fn(&'a Witness, Pins) -> Fut,
        key: impl Fn(&T) -> K,
    ) -> Result<Vec<T>, RpcError>
    where
        K: PartialEq,
        Fut: Future<Output = Result<T, RpcError>>,
    {
        let before = *self.last_final.lock().unwrap_or_else(PoisonError::into_inner);
        let ask = &ask;
        let alone = |witness: &'a Witness| async move {
            let sight = witness.sight().await?;
            self.check_final(before, &sight.finalized)?;
            ask(witness, Pins { head: Some(sight.head), finalized: sight.finalized }).await
        };
        let majority = async {
            let (pins, voters) = self.common_pins().await?;
            self.check_final(before, &pins.finalized)?;
            self.vote(voters, what, Weight::Fact, &|witness| ask(witness, pins.clone()), key).await
        };
        self.decided(Weight::Fact, &alone, majority).await
    }

    /// A plain question; answers count as equal by their key. All that agree, at least one.
    pub(crate) async fn plain<'a, T, K, Fut>(
        &'a self,
        what: &str,
        ask: impl Fn(&'a Witness) -> Fut,
        key: impl Fn(&T) -> K,
    ) -> Result<Vec<T>, RpcError>
    where
        K: PartialEq,
        Fut: Future<Output = Result<T, RpcError>>,
    {
        let majority = async { self.vote(self.callable().collect(), what, Weight::Plain, &ask, key).await };
        self.decided(Weight::Plain, &ask, majority).await
    }

    /// By the word of a healthy trusted endpoint; else by that of the majority, where there can be one; else by that of a
    /// trusted one that is behind or made no sense before; a plain question by anybody's then.
    async fn decided<'a, T, Fut>(
        &'a self,
        weight: Weight,
        alone: &impl Fn(&'a Witness) -> Fut,
        majority: impl Future<Output = Result<Vec<T>, RpcError>>,
    ) -> Result<Vec<T>, RpcError>
    where
        Fut: Future<Output = Result<T, RpcError>>,
    {
        let mut errors = Vec::new();
        let (mut first, mut second, mut last) = (Vec::new(), Vec::new(), Vec::new());
        let can_vote = vote::needed(self.witnesses().len()).is_some();
        for witness in self.callable() {
            match (witness.is_trusted(), witness.endpoint().health()) {
                (true, Health::Healthy) => first.push(witness),
                (true, Health::SetAside { .. }) if can_vote => {}
                (true, _) => second.push(witness),
                (false, health) if weight == Weight::Plain && !can_vote && !matches!(health, Health::SetAside { .. }) => last.push(witness),
                (false, _) => {}
            }
        }
        for witness in first {
            match alone(witness).await {
                Ok(value) => return Ok(vec![value]),
                Err(error) => errors.push(error),
            }
        }
        if can_vote {
            match majority.await {
                Ok(values) => return Ok(values),
                Err(error) => errors.push(error),
            }
        }
        for witness in second.into_iter().chain(last) {
            match alone(witness).await {
                Ok(value) => return Ok(vec![value]),
                Err(error) => errors.push(error),
            }
        }
        Err(undecided(errors))
    }

    /// What a majority says.
    async fn vote<'a, T, K, Fut>(
        &self,
        voters: Vec<&'a Witness>,
        what: &str,
        weight: Weight,
        ask: &impl Fn(&'a Witness) -> Fut,
        key: impl Fn(&T) -> K,
    ) -> Result<Vec<T>, RpcError>
    where
        K: PartialEq,
        Fut: Future<Output = Result<T, RpcError>>,
    {
        let configured = self.witnesses().len();
        let count = |answers: &[Answer<'a, T>]| {
            let said = |(witness, answer): &Answer<'a, T>| answer.as_ref().ok().map(|value| (witness.index(), key(value)));
            vote::decide(configured, &answers.iter().filter_map(said).collect::<Vec<_>>())
        };
        let answers = gather(voters.into_iter().map(|witness| (witness, ask(witness))), |answers| count(answers).is_some()).await;
        let Some(decision) = count(&answers) else { return Err(no_majority(what, configured, answers)) };
        let mut values = Vec::new();
        for (witness, answer) in answers {
            if decision.agree.contains(&witness.index()) {
                values.extend(answer);
            } else if decision.contradict.contains(&witness.index()) && weight == Weight::Fact {
                witness.contradicts(format!("another answer than a majority's about {what}"));
            }
        }
        Ok(values)
    }

    /// The newest blocks that a majority has in common, and everybody whose sight made sense.
    async fn common_pins(&self) -> Result<(Pins, Vec<&Witness>), RpcError> {
        let configured = self.witnesses().len();
        let needed = vote::needed(configured).unwrap_or(usize::MAX);
        let enough = |answers: &[Answer<'_, Sight>]| answers.iter().filter(|(_, sight)| sight.is_ok()).count() >= needed;
        let answers = gather(self.callable().map(|witness| (witness, witness.sight())), enough).await;
        let sights: Vec<(&Witness, Sight)> =
            answers.iter().filter_map(|(witness, sight)| sight.as_ref().ok().map(|sight| (*witness, sight.clone()))).collect();
        let Some(finalized) = self.common_block(&sights, |sight| &sight.finalized, Weight::Fact).await else {
            return Err(no_majority("the final block", configured, answers));
        };
        let head = self.common_block(&sights, |sight| &sight.head, Weight::Plain).await;
        Ok((Pins { head, finalized }, sights.into_iter().map(|(witness, _)| witness).collect()))
    }

    /// The newest block that a majority has, of those that each named. One that calls that height final and has another
    /// block there contradicts the majority; one that doesn't is merely late.
    pub(crate) async fn common_final(&self, sights: &[(&Witness, Sight)]) -> Option<Header> {
        self.common_block(sights, |sight| &sight.finalized, Weight::Fact).await
    }

    async fn common_block(&self, sights: &[(&Witness, Sight)], named: fn(&Sight) -> &Header, weight: Weight) -> Option<Header> {
        let configured = self.witnesses().len();
        let heights: Vec<u64> = sights.iter().map(|(_, sight)| named(sight).number.0).collect();
        for height in vote::common_heights(configured, &heights) {
            let asked = sights.iter().map(|(witness, sight)| (*witness, witness.header_in(sight, height)));
            let said = |answers: &[Answer<'_, Header>]| -> Vec<(usize, Header)> {
                let said = |(witness, header): &Answer<'_, Header>| header.as_ref().ok().map(|header| (witness.index(), header.clone()));
                answers.iter().filter_map(said).collect()
            };
            let headers = said(&gather(asked, |answers| vote::decide(configured, &said(answers)).is_some()).await);
            let Some(decision) = vote::decide(configured, &headers) else { continue };
            for (witness, sight) in sights {
                if weight == Weight::Fact && decision.contradict.contains(&witness.index()) && sight.finalized.number.0 >= height {
                    witness.contradicts(format!("another final block {height} than a majority's"));
                }
            }
            return headers.into_iter().find(|(index, _)| decision.agree.contains(index)).map(|(_, header)| header);
        }
        None
    }

    /// Finality doesn't go back, whoever is asked: one that is behind the others can't take it back.
    fn check_final(&self, before: Option<(u64, BlockHash)>, finalized: &Header) -> Result<(), RpcError> {
        let found = (finalized.number.0, finalized.hash);
        if let Some(reason) = broken_finality(before, found) {
            return Err(RpcError::Undecided { reason });
        }
        let mut last = self.last_final.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|(number, _)| number <= found.0) {
            *last = Some(found);
        }
        Ok(())
    }
}

fn first_of<T>(values: Vec<T>) -> Result<T, RpcError> {
    values.into_iter().next().ok_or_else(|| undecided(Vec::new()))
}

fn no_majority<T>(what: &str, configured: usize, answers: Vec<Answer<'_, T>>) -> RpcError {
    let (mut said, mut reasons) = (0_usize, Vec::new());
    for (_, answer) in answers {
        match answer {
            Ok(_) => said = said.saturating_add(1),
            Err(error) => reasons.push(error.to_string()),
        }
    }
    let failed = if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join("; ")) };
    RpcError::Undecided { reason: format!("{said} of {configured} endpoints answered about {what}, and no majority alike{failed}") }
}
