//! Watches over the endpoints of each chain (R8): looks at their heads several times a block, tells Prometheus how they
//! are, and raises an alarm once when something about one of them gets worse.

use crate::metrics::{EndpointLabels, Metrics};
use acurast_adapter_api::endpoints::{EndpointPool, EndpointStatus, Fault, PoolStatus, Reach};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// Something to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Alarm {
    kind: &'static str,
    endpoint: String,
    reason: String,
}

/// Looks until `stop`. One chain's endpoints have a task of their own, so a dead one delays no other chain's.
///
/// # Errors
/// Never.
pub async fn watch(pool: Arc<dyn EndpointPool>, metrics: Metrics, stop: CancellationToken) -> Result<(), Infallible> {
    let mut ticks = tokio::time::interval(Duration::from_millis(pool.survey_every().0));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before: Option<PoolStatus> = None;
    loop {
        let look = async {
            ticks.tick().await;
            pool.survey().await
        };
        let now = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            now = look => now,
        };
        let chain = pool.chain();
        for alarm in alarms(before.as_ref(), &now) {
            tracing::error!(%chain, endpoint = alarm.endpoint, reason = alarm.reason, "{}", alarm.kind);
            metrics.alarm(chain.as_str(), alarm.kind);
        }
        for endpoint in &now.endpoints {
            tell(&metrics, chain.as_str(), endpoint);
        }
        before = Some(now);
    }
}

fn tell(metrics: &Metrics, chain: &str, endpoint: &EndpointStatus) {
    let labels = EndpointLabels { chain: chain.to_owned(), endpoint: endpoint.name.clone() };
    metrics.endpoint_healthy.get_or_create(&labels).set(i64::from(endpoint.fault.is_none()));
    metrics.endpoint_reached.get_or_create(&labels).set(i64::from(endpoint.reach == Reach::Called));
    if let Some(head) = endpoint.head {
        metrics.endpoint_head.get_or_create(&labels).set(i64::try_from(head.0).unwrap_or(i64::MAX));
    }
}

fn kind(fault: Fault) -> &'static str {
    match fault {
        Fault::Behind => "endpoint_behind",
        Fault::Senseless => "endpoint_senseless",
        Fault::SetAside => "endpoint_set_aside",
    }
}

/// What got worse between two looks.
fn alarms(before: Option<&PoolStatus>, now: &PoolStatus) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    for (index, endpoint) in now.endpoints.iter().enumerate() {
        let was = before.and_then(|status| status.endpoints.get(index));
        let mut raise = |kind: &'static str, reason: &str| {
            alarms.push(Alarm { kind, endpoint: endpoint.name.clone(), reason: reason.to_owned() });
        };
        if let Some(fault) = endpoint.fault.filter(|fault| was.and_then(|was| was.fault) != Some(*fault)) {
            raise(kind(fault), &endpoint.reason);
        }
        if endpoint.reach != Reach::Called && was.is_none_or(|was| was.reach == Reach::Called) {
            raise("endpoint_left_alone", "it fails, or asks for fewer calls");
        }
    }
    if let Some(still) = now.stalled.filter(|_| before.is_none_or(|status| status.stalled.is_none())) {
        let reason = format!("no credible head has advanced for {} ms", still.0);
        alarms.push(Alarm { kind: "destination_stalled", endpoint: "all".to_owned(), reason });
    }
    alarms
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use acurast_events::units::Millis;

    fn status(fault: Option<Fault>, reach: Reach, stalled: Option<u64>) -> PoolStatus {
        let endpoint = |name: &str, fault, reach| EndpointStatus {
            name: name.into(),
            trusted: true,
            fault,
            reason: "because".into(),
            reach,
            head: None,
        };
        PoolStatus { endpoints: vec![endpoint("a", None, Reach::Called), endpoint("b", fault, reach)], stalled: stalled.map(Millis) }
    }

    fn kinds(before: Option<&PoolStatus>, now: &PoolStatus) -> Vec<(&'static str, String)> {
        alarms(before, now).into_iter().map(|alarm| (alarm.kind, alarm.endpoint)).collect()
    }

    #[test]
    fn an_alarm_is_raised_once_when_something_gets_worse_and_again_only_after_it_was_better() {
        let well = status(None, Reach::Called, None);
        for (bad, expected) in [
            (status(Some(Fault::Behind), Reach::Called, None), ("endpoint_behind", "b")),
            (status(Some(Fault::Senseless), Reach::Called, None), ("endpoint_senseless", "b")),
            (status(Some(Fault::SetAside), Reach::Called, None), ("endpoint_set_aside", "b")),
            (status(None, Reach::LeftAlone, None), ("endpoint_left_alone", "b")),
            (status(None, Reach::Called, Some(9)), ("destination_stalled", "all")),
        ] {
            let expected = vec![(expected.0, expected.1.to_owned())];
            assert_eq!(kinds(None, &bad), expected, "at the start");
            assert_eq!(kinds(Some(&well), &bad), expected);
            assert_eq!(kinds(Some(&bad), &bad), []);
            assert_eq!(kinds(Some(&bad), &well), []);
        }
        let (alone, probed) = (status(None, Reach::LeftAlone, None), status(None, Reach::Probed, None));
        assert_eq!(kinds(Some(&alone), &probed), [], "a probe is no news");
        let worse = status(Some(Fault::SetAside), Reach::Called, None);
        assert_eq!(kinds(Some(&status(Some(Fault::Behind), Reach::Called, None)), &worse).len(), 1, "another fault is");
    }
}
