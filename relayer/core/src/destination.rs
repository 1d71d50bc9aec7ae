//! Where a job settles: the first rule of PROTOCOL §2 that applies, as an event, so that no later configuration changes it.

use crate::policy::{OperatorRoute, Policy, Rules};
use acurast_events::bytes::{Bytes, OwnerKey};
use acurast_events::ids::dest_id;
use acurast_events::job_id::{JobId, MultiOrigin};
use acurast_events::jobs::{Destination, DestinationChosen, DestinationRule, Mode};
use acurast_events::source::Registration;

/// What a rule found, before it is known whether this relayer can serve it.
struct Found {
    rule: DestinationRule,
    destination: Result<Destination, String>,
}

/// Chooses the destination of a job that is heard of for the first time. Manifests, rule 1, are not read in this version.
pub(crate) fn choose(
    policy: &Policy,
    rules: &dyn Rules,
    job: &JobId,
    owner: &OwnerKey,
    registration: Option<&Registration>,
) -> DestinationChosen {
    let unsettled = |reason: String| DestinationChosen { rule: DestinationRule::Unsettled, destination: None, reason };
    let Some(registration) = registration else {
        return unsettled("details lost: created and removed within one block".into());
    };
    let found = by_origin(policy, rules, job, owner).or_else(|| by_route(policy, owner, registration));
    let Some(Found { rule, destination }) = found else {
        return unsettled("no rule names a destination".into());
    };
    match destination.and_then(|destination| served(policy, rules, destination)) {
        Ok(destination) => DestinationChosen { rule, destination: Some(destination), reason: String::new() },
        Err(reason) => DestinationChosen { rule, destination: None, reason },
    }
}

/// Refuses what this relayer could accept outputs for and never deliver.
fn served(policy: &Policy, rules: &dyn Rules, destination: Destination) -> Result<Destination, String> {
    let Destination { chain, settlement, mode, .. } = &destination;
    if policy.settlement(chain, settlement).is_none_or(|served| served.lanes.is_empty()) || rules.destination(chain).is_none() {
        return Err(format!("no lane of this relayer serves {settlement} on {chain}"));
    }
    if *mode != Mode::Call {
        return Err(format!("mode {mode:?} is not available on {chain}"));
    }
    Ok(destination)
}

/// Rule 2: the origin's own chain. The paying account is named by the rule itself, opened or not.
fn by_origin(policy: &Policy, rules: &dyn Rules, job: &JobId, owner: &OwnerKey) -> Option<Found> {
    let account = match &job.origin {
        MultiOrigin::Ethereum(account) if account.len() == 20 => account.clone(),
        MultiOrigin::Ethereum20(account) => account.to_vec(),
        MultiOrigin::Tezos(account) if account.len() == 22 => account.clone(),
        MultiOrigin::Acurast(_)
        | MultiOrigin::Tezos(_)
        | MultiOrigin::Ethereum(_)
        | MultiOrigin::AlephZero(_)
        | MultiOrigin::Vara(_)
        | MultiOrigin::Solana(_)
        | MultiOrigin::AcurastCanary(_) => return None,
    };
    let route = policy.origin_routes.get(job.origin.name())?;
    let target = match &job.origin {
        // A Tezos target is an address and an entrypoint, `fulfill` where none is named (PROTOCOL §3).
        MultiOrigin::Tezos(_) => [&account[..], b"fulfill"].concat(),
        MultiOrigin::Acurast(_)
        | MultiOrigin::Ethereum(_)
        | MultiOrigin::AlephZero(_)
        | MultiOrigin::Vara(_)
        | MultiOrigin::Ethereum20(_)
        | MultiOrigin::Solana(_)
        | MultiOrigin::AcurastCanary(_) => account.clone(),
    };
    let (opener, target) = (Bytes(account), Bytes(target));
    let escrow = rules
        .destination(&route.chain)
        .and_then(|rules| rules.escrow_id(&route.settlement, &opener, &target, owner, &[0; 32]))
        .ok_or_else(|| format!("{} has no escrow account for jobs of their origin", route.chain));
    let destination = escrow.map(|escrow_id| Destination {
        dest_id: dest_id(&route.chain, &route.settlement.0, &target.0),
        chain: route.chain.clone(),
        settlement: route.settlement.clone(),
        target,
        escrow_id,
        mode: Mode::Call,
        deadline: policy.deadline,
    });
    Some(Found { rule: DestinationRule::Origin, destination })
}

/// Rule 3: the operator's word. A route for one script goes before one for all of an owner's.
fn by_route(policy: &Policy, owner: &OwnerKey, registration: &Registration) -> Option<Found> {
    let routes = || policy.operator_routes.iter().filter(|route| route.owner == *owner);
    let exact = routes().find(|route| route.script.as_ref() == Some(&registration.script));
    let route: &OperatorRoute = exact.or_else(|| routes().find(|route| route.script.is_none()))?;
    let destination = Destination {
        dest_id: dest_id(&route.chain, &route.settlement.0, &route.target.0),
        chain: route.chain.clone(),
        settlement: route.settlement.clone(),
        target: route.target.clone(),
        escrow_id: route.escrow_id,
        mode: route.mode,
        deadline: route.deadline.unwrap_or(policy.deadline),
    };
    Some(Found { rule: DestinationRule::Route, destination: Ok(destination) })
}
