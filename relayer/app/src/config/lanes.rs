//! The lanes of an EVM chain: signing keys with their places in the contract and in the journal.

use super::SignerConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One lane of an EVM chain.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EvmLaneConfig {
    /// The number that the contract knows this key by.
    pub number: u16,
    /// The lane's own partition of `lanes.v1`; never given to another key.
    #[serde(default)]
    pub partition: u32,
    /// The signing key.
    pub signer: SignerConfig,
}

/// The first key of these lanes that makes no sense, and why. `taken` are the partitions of the lanes of other chains,
/// `partitions` is how many there are.
pub fn fault(lanes: &[EvmLaneConfig], taken: &[u32], partitions: u32) -> Option<(String, &'static str)> {
    if lanes.is_empty() {
        return Some(("lanes".into(), "needs at least one lane, or nothing can be sent"));
    }
    lanes.iter().enumerate().find_map(|(place, lane)| {
        let twice = |same: &dyn Fn(&EvmLaneConfig) -> bool| lanes.iter().filter(|other| same(other)).count() > 1;
        let (name, reason) = if let Err(reason) = lane.signer.kind() {
            ("signer", reason)
        } else if twice(&|other| other.number == lane.number) {
            ("number", "is used twice; the contract knows each key by a number of its own")
        } else if lane.partition >= partitions {
            ("partition", "must be below journal.lane_partitions")
        } else if twice(&|other| other.partition == lane.partition) || taken.contains(&lane.partition) {
            ("partition", "is used twice; each lane has a partition of its own")
        } else {
            return None;
        };
        Some((format!("lanes[{place}].{name}"), reason))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn lane(number: u16, partition: u32) -> EvmLaneConfig {
        EvmLaneConfig { number, partition, signer: SignerConfig { env: Some("KEY".into()), ..SignerConfig::default() } }
    }

    #[test]
    fn lanes_with_numbers_partitions_and_signers_of_their_own_are_taken() {
        assert_eq!(fault(&[lane(1, 0)], &[], 1), None);
        assert_eq!(fault(&[lane(7, 3), lane(1, 0), lane(2, 1)], &[2, 4], 16), None);
    }

    #[test]
    fn no_lane_shares_a_number_or_a_partition_with_another() {
        let unsigned = EvmLaneConfig { signer: SignerConfig::default(), ..lane(1, 0) };
        for (lanes, taken, key, reason) in [
            (vec![], vec![], "lanes", "at least one"),
            (vec![unsigned], vec![], "lanes[0].signer", "exactly one"),
            (vec![lane(1, 0), lane(2, 1), lane(1, 2)], vec![], "lanes[0].number", "twice"),
            (vec![lane(1, 0), lane(2, 0)], vec![], "lanes[0].partition", "twice"),
            (vec![lane(1, 0), lane(2, 5)], vec![5], "lanes[1].partition", "twice"),
            (vec![lane(1, 16)], vec![], "lanes[0].partition", "below"),
        ] {
            let (at, why) = fault(&lanes, &taken, 16).unwrap();
            assert!(at == key && why.contains(reason), "{at}: {why}");
        }
    }
}
