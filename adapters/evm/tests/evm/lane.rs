//! Every question of a lane, answered by the real node and contract.

use crate::world::{LOCKED, World, creditOfCall, fee, outputsCall, relayer, send, send_mined};
use acurast_adapter_api::lane::EffectQuery;
use acurast_adapter_api::{Attester, Call, DestinationRules, Effect, FulfillItem, LaneAdapter, Observation, SendOutcome, Simulation};
use acurast_adapter_evm::contract::Settlement;
use acurast_adapter_evm::{EvmLane, EvmRules};
use acurast_events::amount::Amount;
use acurast_events::bytes::Bytes;
use acurast_events::eip712::RootStatement;
use acurast_events::ids::fulfillment_settlement_id;
use acurast_events::lanes::ItemOutcome;
use acurast_events::outputs::Output;
use acurast_events::units::{Execution, Gas, Slot};
use alloy::primitives::{B256, U256};

async fn gas_of(lane: &EvmLane, call: &Call) -> Gas {
    match lane.simulate(call).await.unwrap() {
        Simulation::Executes { gas_limit, bytes } => {
            let signed = lane.sign(Slot(0), call, &fee(gas_limit)).await.unwrap();
            assert!(signed.bytes.0.len() <= usize::try_from(bytes).unwrap(), "the bound of the length holds");
            gas_limit
        }
        Simulation::Reverts { item, reason } => panic!("item {item:?} reverts: {reason}"),
    }
}

/// Posts a root over one leaf; the statement and the claim.
async fn post_root(world: &World, lane: &EvmLane, slot: u64, counter: u64) -> (RootStatement, acurast_adapter_api::oracle::LeafClaim) {
    let claim = world.claim(0);
    let statement = crate::world::statement(std::slice::from_ref(&claim), counter);
    let signature = world.attester().attest(&statement, std::slice::from_ref(&claim)).await.unwrap();
    let call = Call::Root { statement: statement.clone(), signatures: vec![signature] };
    let gas = gas_of(lane, &call).await;
    let (tx, _) = send_mined(world, lane, slot, &call, gas).await;
    let report = lane.report(&tx, &[], Some(statement.batch)).await.unwrap();
    assert!(report.inclusion.success && report.items.is_empty());
    assert_eq!(report.cost.0, u128::from(report.gas_used.0) * report.gas_price.0);
    (statement, claim)
}

#[tokio::test]
async fn a_root_and_its_outputs_settle_are_charged_and_found_again() {
    let Some(world) = World::start().await else { return };
    let lane = world.lane().await;
    lane.identify().await.unwrap();
    assert_eq!((lane.capabilities().attesters_needed, lane.capabilities().attesters), (1, 1));
    let view = crate::world::view(&lane).await;
    assert_eq!((view.next_slot_head, view.next_slot_final), (Slot(0), Slot(0)));
    assert!(view.balance > Amount(LOCKED) && view.market.base_fee > Amount::ZERO && view.market.priority_fee > Amount::ZERO);

    let (statement, claim) = post_root(&world, &lane, 0, 1).await;
    let items: Vec<FulfillItem> = [(0, &b"first"[..]), (1, b""), (2, &[0xff; 1_000])]
        .into_iter()
        .map(|(execution, payload)| world.item(&claim, statement.batch, execution, payload))
        .collect();
    for item in &items {
        let intent = &item.intent;
        let output = Output {
            assignment_id: intent.assignment_id,
            execution: intent.execution,
            payload: intent.payload.clone(),
            signature: intent.signature.clone(),
        };
        let key = acurast_adapter_api::UsableKey { key_type: item.leaf.key_type, signer_key: item.leaf.signer_key };
        assert_eq!(EvmRules { chain_id: 31_337 }.verify_output(&Bytes(world.settlement.0.to_vec()), &key, &output), Ok(()));
    }
    // Only two of the three are delivered.
    let call = Call::Fulfill(items[..2].to_vec());
    let gas = gas_of(&lane, &call).await;
    let (tx, bytes) = send_mined(&world, &lane, 1, &call, gas).await;
    assert!(matches!(lane.observe(&tx).await, Observation::Included(inclusion) if inclusion.success));

    let report = lane.report(&tx, &items[..2], None).await.unwrap();
    assert!(report.items.iter().all(|item| item.outcome == ItemOutcome::Settled && item.charge > Amount::ZERO));
    let costs: u128 = report.items.iter().map(|item| item.cost.0).sum();
    let charges: u128 = report.items.iter().map(|item| item.charge.0).sum();
    let shares: u128 = report.items.iter().map(|item| item.root_share.0).sum();
    assert_eq!(costs, report.cost.0);
    assert!(charges <= report.cost.0 && charges * 100 >= report.cost.0 * 99, "charged {charges} of {}", report.cost);
    assert!(shares > 0 && report.items[1].root_share == Amount::ZERO, "the first item of the leaf pays its share");
    assert_eq!(report.charges.len(), 1);
    assert_eq!((report.charges[0].items.0, report.charges[0].root_shares.0), (charges, shares));
    // The chain's own balances agree to the unit.
    let account = lane.chain().witnesses()[0].read(&Settlement::accountCall { escrowId: B256::from(world.escrow.0) }, None).await.unwrap();
    assert_eq!(account.balance, U256::from(LOCKED - charges - shares));
    let credit =
        lane.chain().witnesses()[0].read(&creditOfCall { relayer: crate::world::alloy_address(&relayer().address()) }, None).await.unwrap();
    assert_eq!(credit, U256::from(charges + shares));

    // The effects are found, by whom and whether or not we know the transaction.
    let query = |execution: u64| EffectQuery::Fulfillment {
        settlement_id: fulfillment_settlement_id(&claim.leaf.assignment_id, Execution(execution)),
        leaf: claim.leaf.clone(),
        execution: Execution(execution),
    };
    for execution in [0, 1] {
        let effect = lane.effect(&query(execution)).await.unwrap();
        assert!(matches!(effect, Effect::Present { success: true, tx: Some(found), .. } if found == tx), "{effect:?}");
    }
    assert!(matches!(lane.effect(&query(2)).await.unwrap(), Effect::Absent { .. }));
    assert!(lane.effect(&query(3)).await.is_err(), "the leaf has three executions");
    assert!(matches!(lane.effect(&EffectQuery::Root(statement.clone())).await.unwrap(), Effect::Present { tx: Some(_), .. }));
    let other = crate::world::statement(std::slice::from_ref(&claim), 2);
    assert!(matches!(lane.effect(&EffectQuery::Root(other)).await.unwrap(), Effect::Absent { .. }));

    // Slots: taken ones have owners, the next one has none.
    assert_eq!(lane.slot_owner(Slot(1)).await.unwrap(), Some(tx));
    assert_eq!(lane.slot_owner(Slot(2)).await.unwrap(), None);
    assert_eq!(crate::world::view(&lane).await.next_slot_final, Slot(2));
    // The same bytes again do nothing.
    assert_eq!(lane.broadcast(&bytes).await, SendOutcome::SlotTooLow);

    // Sent again in another transaction, a settled item is skipped and the new one is charged alone.
    let call = Call::Fulfill(items[1..].to_vec());
    let gas = gas_of(&lane, &call).await;
    let (tx, _) = send_mined(&world, &lane, 2, &call, gas).await;
    let report = lane.report(&tx, &items[1..], None).await.unwrap();
    assert_eq!(report.items[0].outcome, ItemOutcome::AlreadySettled);
    assert_eq!(report.items[0].skip_reason, Some(0));
    assert_eq!(report.items[0].charge, Amount::ZERO);
    // Storing a thousand bytes takes more gas than the account gives a call: settled as failed, and charged all the same.
    assert_eq!(report.items[1].outcome, ItemOutcome::SettledFailed);
    assert!(report.items[1].charge > Amount::ZERO);
    let effect = lane.effect(&query(2)).await.unwrap();
    assert!(matches!(effect, Effect::Present { success: false, tx: Some(found), .. } if found == tx), "{effect:?}");
    assert_eq!(outputs(&world, &lane).await, U256::from(2), "each of the others reached the consumer once");
}

async fn outputs(world: &World, lane: &EvmLane) -> U256 {
    use alloy::sol_types::SolCall;
    let data = outputsCall { jobId: 42 }.abi_encode();
    let answer = lane.chain().witnesses()[0].endpoint().eth_call(None, &world.consumer, &data, None).await.unwrap();
    U256::from_be_slice(&answer.0)
}

#[tokio::test]
async fn a_simulation_names_the_item_at_fault_and_the_others_are_free_of_it() {
    let Some(world) = World::start().await else { return };
    let lane = world.lane().await;
    let (statement, claim) = post_root(&world, &lane, 0, 1).await;
    let good = world.item(&claim, statement.batch, 0, b"good");
    let mut bad = world.item(&claim, statement.batch, 1, b"bad");
    bad.intent.payload = Bytes(b"other".to_vec());
    let simulated = lane.simulate(&Call::Fulfill(vec![good.clone(), bad.clone()])).await.unwrap();
    assert!(matches!(&simulated, Simulation::Reverts { item: Some(1), reason } if reason.starts_with("InvalidSignature")), "{simulated:?}");
    let unknown = world.item(&claim, acurast_events::units::Batch(crate::world::LANE.nth(9).unwrap()), 0, b"good");
    let simulated = lane.simulate(&Call::Fulfill(vec![unknown])).await.unwrap();
    assert!(matches!(&simulated, Simulation::Reverts { item: Some(0), reason } if reason.starts_with("UnknownRoot")), "{simulated:?}");
    assert!(matches!(lane.simulate(&Call::Fulfill(vec![good])).await.unwrap(), Simulation::Executes { .. }));

    // A batch that is sent all the same reverts as a whole: no effect, no charge, all of its cost ours.
    let call = Call::Fulfill(vec![bad.clone()]);
    let (tx, _) = send_mined(&world, &lane, 1, &call, Gas(500_000)).await;
    let report = lane.report(&tx, std::slice::from_ref(&bad), None).await.unwrap();
    assert!(!report.inclusion.success);
    assert_eq!(report.items[0].outcome, ItemOutcome::NoEffect);
    assert_eq!(report.items[0].cost, report.cost);
    assert!(report.charges.is_empty());
}

#[tokio::test]
async fn a_no_op_fills_a_hole_at_the_operators_cost() {
    let Some(world) = World::start().await else { return };
    let lane = world.lane().await;
    let gas = gas_of(&lane, &Call::NoOp).await;
    assert_eq!(gas, lane.capabilities().noop_gas);
    world.anvil.automine(false).await;
    let (later, _) = send(&lane, 1, &Call::NoOp, gas).await;
    assert_eq!(lane.observe(&later).await, Observation::Pending, "a slot before it is missing");
    world.anvil.mine(1).await;
    assert_eq!(lane.observe(&later).await, Observation::Pending);
    let (first, _) = send(&lane, 0, &Call::NoOp, gas).await;
    world.anvil.mine(1).await;
    for tx in [first, later] {
        let report = lane.report(&tx, &[], None).await.unwrap();
        assert!(report.inclusion.success);
        assert_eq!(report.gas_used, gas);
    }
}
