//! What is refused, and what is never printed.

use super::{World, ensure, no_op};
use acurast_adapter_api::lane::EffectQuery;
use acurast_adapter_api::{Call, LaneError, Observation, SendOutcome};

pub(super) async fn another_chain_is_refused(world: &dyn World) -> Result<(), String> {
    let refused = world.elsewhere().await;
    ensure(matches!(refused, Err(LaneError::Refused { .. })), || format!("configured for another chain, it says {refused:?}"))?;
    world.lane().identify().await.map_err(|error| format!("configured for this chain, it says: {error}"))
}

pub(super) async fn nothing_that_is_printed_holds_a_secret(world: &dyn World) -> Result<(), String> {
    let lane = world.lane();
    let (slot, attempt) = no_op(&*lane).await?;
    let work = world.work().await;
    let mut texts = world.printed();
    texts.push(format!("{:?} {:?}", lane.lane(), lane.capabilities()));
    texts.extend(world.elsewhere().await.err().map(|error| format!("{error} {error:?}")));
    world.unreachable(true).await;
    let errors = [
        lane.identify().await.err(),
        lane.view().await.err(),
        lane.simulate(&work.root()).await.err(),
        lane.report(&attempt.tx, &[], None).await.err(),
        lane.effect(&EffectQuery::Root(work.statement.clone())).await.err(),
        lane.slot_owner(slot).await.err(),
        lane.simulate(&Call::Fulfill(work.items.clone())).await.err(),
    ];
    texts.extend(errors.into_iter().flatten().map(|error| format!("{error} {error:?}")));
    if let Observation::Unknown(text) = lane.observe(&attempt.tx).await {
        texts.push(text);
    }
    if let SendOutcome::Indeterminate(text) = lane.broadcast(&attempt.bytes).await {
        texts.push(text);
    }
    ensure(texts.len() >= 6, || "an unreachable node caused hardly an error".into())?;
    for secret in world.secrets() {
        let told = texts.iter().find(|text| text.contains(&secret));
        // The text itself is not repeated: it holds the secret.
        ensure(told.is_none(), || format!("one of {} texts holds a secret of {} characters", texts.len(), secret.len()))?;
    }
    Ok(())
}
