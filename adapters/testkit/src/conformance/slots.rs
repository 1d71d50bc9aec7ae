//! Where slots come from, and who has them.

use super::{World, accepted, ensure, included, no_op, offer, signed, view};
use acurast_adapter_api::{Call, Observation, SendOutcome};

pub(super) async fn slots_come_from_blocks_and_never_from_the_pool(world: &dyn World) -> Result<(), String> {
    let lane = world.lane();
    let (slot, attempt) = no_op(&*lane).await?;
    accepted(&*lane, &attempt.bytes).await?;
    let pooled = view(&*lane).await?;
    ensure(pooled.next_slot_head == slot, || format!("slot {slot} waits in the pool, and the next is {}", pooled.next_slot_head))?;
    world.mine(1).await;
    let mined = view(&*lane).await?;
    ensure(mined.next_slot_head == slot.next(), || format!("slot {slot} is mined, and the next is {}", mined.next_slot_head))?;
    ensure(mined.next_slot_final == slot, || format!("slot {slot} is not final, and the next final is {}", mined.next_slot_final))?;
    ensure(mined.head.number > pooled.head.number && mined.finalized.number <= mined.head.number, || {
        format!("a block was mined; head {:?} before, {:?} after, final {:?}", pooled.head, mined.head, mined.finalized)
    })?;
    world.mine(world.finality()).await;
    let settled = view(&*lane).await?;
    ensure(settled.next_slot_final == slot.next(), || format!("slot {slot} is final, and the next final is {}", settled.next_slot_final))
}

pub(super) async fn a_reorg_takes_slots_and_inclusions_back(world: &dyn World) -> Result<(), String> {
    let lane = world.lane();
    let (slot, attempt) = no_op(&*lane).await?;
    accepted(&*lane, &attempt.bytes).await?;
    world.mine(1).await;
    let first = included(&*lane, &attempt.tx).await?;
    let mined = view(&*lane).await?;
    ensure(mined.next_slot_head == slot.next(), || format!("slot {slot} is mined, and the next is {}", mined.next_slot_head))?;
    world.reorg(1).await;
    let undone = view(&*lane).await?;
    ensure(undone.next_slot_head == slot, || format!("slot {slot} is free again, and the next is {}", undone.next_slot_head))?;
    let found = lane.observe(&attempt.tx).await;
    ensure(matches!(found, Observation::NotFound | Observation::Pending), || format!("its block is gone, and it is {found:?}"))?;
    ensure(lane.report(&attempt.tx, &[], None).await.is_err(), || "a transaction without a block is reported".into())?;
    let again = lane.broadcast(&attempt.bytes).await;
    ensure(matches!(again, SendOutcome::Accepted | SendOutcome::AlreadyKnown), || format!("sent again: {again:?}"))?;
    world.mine(1).await;
    let second = included(&*lane, &attempt.tx).await?;
    ensure(first.block.hash != second.block.hash, || "the block that went away is still the one that is told".into())
}

pub(super) async fn a_later_slot_waits_for_the_one_before(world: &dyn World) -> Result<(), String> {
    let lane = world.lane();
    if lane.capabilities().slots_in_flight_max < 2 {
        return Ok(());
    }
    let now = view(&*lane).await?;
    let (slot, earlier) = no_op(&*lane).await?;
    let later = signed(&*lane, slot.next(), &Call::NoOp, &offer(&now, lane.capabilities().noop_gas)).await?;
    let outcome = lane.broadcast(&later.bytes).await;
    ensure(matches!(outcome, SendOutcome::Accepted | SendOutcome::SlotTooHigh), || format!("a slot too early ends as {outcome:?}"))?;
    world.mine(1).await;
    let found = lane.observe(&later.tx).await;
    ensure(matches!(found, Observation::Pending | Observation::NotFound), || format!("a slot before it is missing, and it is {found:?}"))?;
    accepted(&*lane, &earlier.bytes).await?;
    let again = lane.broadcast(&later.bytes).await;
    ensure(matches!(again, SendOutcome::Accepted | SendOutcome::AlreadyKnown), || format!("sent again: {again:?}"))?;
    world.mine(1).await;
    included(&*lane, &earlier.tx).await?;
    included(&*lane, &later.tx).await.map(drop)
}

pub(super) async fn a_final_slot_names_the_transaction_that_took_it(world: &dyn World) -> Result<(), String> {
    let lane = world.lane();
    let (slot, attempt) = no_op(&*lane).await?;
    accepted(&*lane, &attempt.bytes).await?;
    world.mine(world.finality().saturating_add(1)).await;
    let owner = lane.slot_owner(slot).await.map_err(|error| error.to_string())?;
    ensure(owner == Some(attempt.tx), || format!("slot {slot} was taken by {}, told is {owner:?}", attempt.tx))?;
    let free = lane.slot_owner(slot.next()).await.map_err(|error| error.to_string())?;
    ensure(free.is_none(), || format!("nobody took slot {}, told is {free:?}", slot.next()))
}
