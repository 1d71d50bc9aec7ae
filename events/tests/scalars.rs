//! Names, numbers and bytes as people and configurations write them: what is taken, what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use acurast_events::amount::Amount;
use acurast_events::attributes::{CLAIM_TYPE, RECORD_TYPE, claim_attributes, record_attributes, rfc3339};
use acurast_events::bytes::{Bytes, EvmAddress, Genesis, RecordHash, WriterId};
use acurast_events::caip::{AccountId, AssetId, ChainId};
use acurast_events::job_id::{JobId, JobIdError, MultiOrigin};
use acurast_events::leaves::JobNumber;
use acurast_events::record::{Claim, Record};
use acurast_events::topics::{DEFAULT_PREFIX, Topic, TopicKind};
use acurast_events::units::{Batch, Execution, LaneNumber, Millis, Sequence, Slot, Term, Timestamp};
use proptest::prelude::*;

proptest! {
    #[test]
    fn bytes_and_hashes_round_trip_through_text(bytes: Vec<u8>, id: [u8; 16]) {
        let bytes = Bytes(bytes);
        prop_assert_eq!(bytes.to_string().parse::<Bytes>().unwrap(), bytes);
        prop_assert_eq!(WriterId(id).to_string().parse::<WriterId>().unwrap(), WriterId(id));
    }

    #[test]
    fn amounts_round_trip_through_text_and_never_wrap(a: u128, b: u128, count: u128) {
        prop_assert_eq!(Amount(a).to_string().parse::<Amount>().unwrap(), Amount(a));
        prop_assert_eq!(Amount(a).checked_add(Amount(b)), a.checked_add(b).map(Amount));
        prop_assert_eq!(Amount(a).checked_sub(Amount(b)), a.checked_sub(b).map(Amount));
        prop_assert_eq!(Amount(a).checked_mul(count), a.checked_mul(count).map(Amount));
        prop_assert_eq!(Amount(a).saturating_sub(Amount(b)), Amount(a.max(b) - b));
        prop_assert_eq!(Amount::checked_sum([Amount(a), Amount(b)]), a.checked_add(b).map(Amount));
    }

    #[test]
    fn text_of_a_stranger_never_panics(text: String) {
        let _ = text.parse::<Amount>();
        let _ = text.parse::<JobNumber>();
        let _ = text.parse::<Bytes>();
        let _ = text.parse::<EvmAddress>();
        let _ = text.parse::<MultiOrigin>();
        // What is taken is written back as it came.
        for parsed in [
            text.parse::<ChainId>().map(|name| name.to_string()),
            text.parse::<AccountId>().map(|name| name.to_string()),
            text.parse::<AssetId>().map(|name| name.to_string()),
        ].into_iter().flatten() {
            prop_assert_eq!(&parsed, &text);
        }
        if let Ok(job) = text.parse::<JobId>() {
            prop_assert_eq!(job.to_string().parse::<JobId>().unwrap(), job);
        }
    }

    #[test]
    fn scale_bytes_of_a_stranger_are_refused_or_round_trip(bytes: Vec<u8>, tag in 0u8..9, account in proptest::collection::vec(any::<u8>(), 0..70)) {
        for bytes in [bytes, [&[tag], &account[..]].concat()] {
            if let Ok(job) = JobId::from_scale(&bytes) {
                prop_assert_eq!(job.scale(), bytes);
            }
        }
    }
}

#[test]
fn bytes_are_refused_without_0x_with_half_a_byte_or_with_other_digits() {
    for bad in ["", "ab", "0xa", "0xzz", "0Xab", "0x ab"] {
        let error = bad.parse::<Bytes>().unwrap_err().to_string();
        assert!(error.contains("an even number of hexadecimal digits"), "{error}");
    }
    assert_eq!("0x".parse::<Bytes>().unwrap(), Bytes::default());
    for bad in ["0x".to_owned(), format!("0x{}", "ab".repeat(19)), format!("0x{}", "ab".repeat(21)), "ab".repeat(20)] {
        let error = bad.parse::<EvmAddress>().unwrap_err().to_string();
        assert!(error.contains("0x and 40 hexadecimal digits"), "{error}");
    }
}

#[test]
fn an_amount_is_a_decimal_number_of_128_bits_in_one_form() {
    assert_eq!("340282366920938463463374607431768211455".parse::<Amount>().unwrap(), Amount(u128::MAX));
    for bad in ["", "-1", "+1", "01", "1.0", "1e18", "0x1", "1 ", "340282366920938463463374607431768211456"] {
        assert!(bad.parse::<Amount>().is_err(), "{bad:?}");
        assert!(bad.parse::<JobNumber>().is_err(), "{bad:?}");
    }
    assert_eq!(Amount::checked_sum([Amount(u128::MAX), Amount(1)]), None);
    assert_eq!(Amount::checked_sum([]), Some(Amount::ZERO));
}

#[test]
fn chains_accounts_and_assets_are_named_as_caip_says() {
    for good in ["eip155:1", "tezos:NetXdQprcVkpaWU", "bip122:000000000019d6689c085ae165831e93", "web2:example", "abc:x-y_Z"] {
        assert_eq!(good.parse::<ChainId>().unwrap().as_str(), good);
    }
    let long = format!("eip155:{}", "1".repeat(33));
    for bad in ["", "eip155", ":1", "eip155:", "ab:1", "ninechars:1", "EIP155:1", "eip155:1:2", "eip155:a b", "eip155:ü", &long] {
        assert!(bad.parse::<ChainId>().is_err(), "{bad:?}");
    }
    for good in ["eip155:1:0xab16a96D359eC26a11e2C2b3d8f8B8942d5Bfcdb", "hedera:mainnet:0.0.1234567890-zbhlt", "abc:1:a%20b"] {
        assert_eq!(good.parse::<AccountId>().unwrap().as_str(), good);
    }
    for bad in ["eip155:1", "eip155:1:", "eip155:1:a_b", "eip155::a", &format!("eip155:1:{}", "a".repeat(129))] {
        assert!(bad.parse::<AccountId>().is_err(), "{bad:?}");
    }
    for good in ["eip155:1/slip44:60", "eip155:1/erc20:0x6b175474e89094c44da98b954eedeac495271d0f", "eip155:1/erc721:0x06/771769"] {
        assert_eq!(good.parse::<AssetId>().unwrap().as_str(), good);
    }
    for bad in [
        "eip155:1",
        "eip155:1/",
        "eip155:1/slip44",
        "eip155:1/SLIP44:60",
        "eip155:1/erc721:a/b/c",
        "eip155:1/erc721:a/",
        "eip155:1/erc721:/a",
    ] {
        assert!(bad.parse::<AssetId>().is_err(), "{bad:?}");
    }
}

#[test]
fn a_chain_knows_its_parts_and_names_its_accounts_and_assets() {
    let chain = ChainId::evm(8453);
    assert_eq!((chain.namespace(), chain.reference()), ("eip155", "8453"));
    assert_eq!(chain.account("0xab").unwrap().as_str(), "eip155:8453:0xab");
    assert!(chain.account("a:b").is_err());
    assert_eq!(chain.asset("slip44:60").unwrap().as_str(), "eip155:8453/slip44:60");
    assert!(chain.asset("slip44").is_err());
    let genesis: Genesis = "0xce7681fb12aa8f7265d229a9074be0ea1d5e99b53eedcec2deade43857901808".parse().unwrap();
    let substrate = ChainId::substrate(&genesis);
    assert_eq!(substrate.as_str(), "polkadot:ce7681fb12aa8f7265d229a9074be0ea");
    assert!(substrate.as_str().parse::<ChainId>().is_ok());
    assert_eq!(acurast_events::ids::fact_name(&genesis, acurast_events::units::BlockNumber(7), 3), "acurast:ce7681fb/7-3");
}

#[test]
fn a_job_id_has_one_scale_form_per_origin() {
    let number = 1u128.to_le_bytes();
    for (tag, origin) in [
        (0, MultiOrigin::Acurast([7; 32])),
        (3, MultiOrigin::AlephZero([7; 32])),
        (4, MultiOrigin::Vara([7; 32])),
        (5, MultiOrigin::Ethereum20([7; 20])),
        (6, MultiOrigin::Solana([7; 32])),
        (7, MultiOrigin::AcurastCanary([7; 32])),
    ] {
        let job = JobId { origin: origin.clone(), number: 1 };
        assert_eq!(job.scale(), [&[tag], origin.account(), &number].concat());
        assert_eq!(JobId::from_scale(&job.scale()).unwrap(), job);
    }
    for (tag, origin) in [(1, MultiOrigin::Tezos(vec![7; 22])), (2, MultiOrigin::Ethereum(vec![7; 20]))] {
        let job = JobId { origin: origin.clone(), number: 1 };
        let compact_length = u8::try_from(origin.account().len() * 4).unwrap();
        assert_eq!(job.scale(), [&[tag, compact_length], origin.account(), &number].concat());
        assert_eq!(JobId::from_scale(&job.scale()).unwrap(), job);
    }
}

#[test]
fn malformed_job_ids_are_refused_with_the_reason() {
    let good = JobId { origin: MultiOrigin::Tezos(vec![1; 22]), number: 9 }.scale();
    for end in 0..good.len() {
        assert!(JobId::from_scale(&good[..end]).is_err(), "cut at {end}");
    }
    assert_eq!(JobId::from_scale(&[&good[..], &[0]].concat()), Err(JobIdError::Length));
    assert!(matches!(JobId::from_scale(&[&[8u8][..], &[0; 48]].concat()), Err(JobIdError::UnknownOrigin(_))));
    // A Tezos account of 37 bytes, and a compact length in its two-byte mode.
    assert!(matches!(JobId::from_scale(&[&[1, 37 * 4][..], &[0; 53]].concat()), Err(JobIdError::Account(_))));
    assert!(matches!(JobId::from_scale(&[&[1, 0x59, 0x01][..], &[0; 54]].concat()), Err(JobIdError::Account(_))));
    // An account that was put together longer than the chain allows never passes for a shorter one.
    for length in [37, 63, 64, 64 + 22, 300] {
        assert!(JobId::from_scale(&JobId { origin: MultiOrigin::Tezos(vec![1; length]), number: 9 }.scale()).is_err(), "{length}");
    }

    let account = "07".repeat(32);
    assert!(format!("acurast:0x{account}/1").parse::<JobId>().is_ok());
    for bad in [
        String::new(),
        "1".into(),
        format!("acurast:0x{account}"),
        format!("acurast:{account}/1"),
        format!("acurast:0x{account}/"),
        format!("acurast:0x{account}/-1"),
        format!("acurast:0x{account}/01"),
        format!("acurast:0x{account}/+1"),
        format!("acurast:0x{account}00/1"),
        format!("Acurast:0x{account}/1"),
        format!("bitcoin:0x{account}/1"),
        format!("ethereum20:0x{account}/1"),
        format!("tezos:0x{}/1", "07".repeat(37)),
        format!("ethereum:0x{}/1", "07".repeat(21)),
        format!("acurast:0x{account}/340282366920938463463374607431768211456"),
    ] {
        assert!(bad.parse::<JobId>().is_err(), "{bad:?}");
    }
}

#[test]
fn only_ethereum_origins_of_twenty_bytes_have_an_evm_address() {
    assert_eq!(MultiOrigin::Ethereum20([3; 20]).evm_address(), Some([3; 20]));
    assert_eq!(MultiOrigin::Ethereum(vec![3; 20]).evm_address(), Some([3; 20]));
    assert_eq!(MultiOrigin::Ethereum(vec![3; 19]).evm_address(), None);
    assert_eq!(MultiOrigin::Acurast([3; 32]).evm_address(), None);
}

#[test]
fn numbers_of_64_bits_are_strings_in_json_and_keep_every_digit() {
    assert_eq!(serde_json::to_string(&Slot(u64::MAX)).unwrap(), "\"18446744073709551615\"");
    assert_eq!(serde_json::from_str::<Slot>("\"18446744073709551615\"").unwrap(), Slot(u64::MAX));
    for bad in ["1", "\"-1\"", "\"18446744073709551616\"", "\"\"", "null"] {
        assert!(serde_json::from_str::<Slot>(bad).is_err(), "{bad}");
    }
    assert_eq!(serde_json::to_string(&Amount(u128::MAX)).unwrap(), "\"340282366920938463463374607431768211455\"");
}

#[test]
fn counters_stop_at_their_end_instead_of_wrapping() {
    assert_eq!(Sequence(u64::MAX).checked_add(1), None);
    assert_eq!(Sequence(7).checked_add(1), Some(Sequence(8)));
    assert_eq!((Sequence(7).next(), Sequence(u64::MAX).next()), (Sequence(8), Sequence(u64::MAX)));
    assert_eq!(Timestamp(u64::MAX).after(Millis(1)), Timestamp(u64::MAX));
    assert_eq!((Timestamp(5).since(Timestamp(3)), Timestamp(3).since(Timestamp(5))), (Millis(2), Millis(0)));
    assert_eq!(Execution::ALL, Execution(u64::MAX));
}

#[test]
fn a_lane_s_numbers_stay_in_its_range() {
    let lane = LaneNumber(3);
    assert_eq!(lane.first(), 844_424_930_131_968);
    assert_eq!(lane.nth(0), Some(lane.first()));
    let last = lane.nth((1 << 48) - 1).unwrap();
    assert_eq!(Some(last + 1), LaneNumber(4).nth(0));
    assert_eq!(lane.nth(1 << 48), None);
    assert_eq!(Batch(last).lane(), 3);
    assert_eq!(LaneNumber(u16::MAX).nth((1 << 48) - 1), Some(u64::MAX));
}

#[test]
fn topics_have_the_names_and_kinds_of_the_protocol() {
    let source = Topic::Source(ChainId::evm(31337));
    assert_eq!(source.name(DEFAULT_PREFIX).as_str(), "acurast.source.eip155-31337.v1");
    assert_eq!(source.name("").partition(0).to_string(), "source.eip155-31337.v1/0");
    for (topic, name, kind) in [
        (Topic::Jobs, "acurast.jobs.v1", TopicKind::Authoritative),
        (Topic::Lanes, "acurast.lanes.v1", TopicKind::Authoritative),
        (Topic::Outputs, "acurast.outputs.v1", TopicKind::Input),
        (Topic::Control, "acurast.control.v1", TopicKind::Input),
        (Topic::Receipts, "acurast.receipts.v1", TopicKind::Derived),
        (Topic::Reputation, "acurast.reputation.v1", TopicKind::Derived),
        (Topic::DeadLetters, "acurast.dead-letters.v1", TopicKind::Derived),
        (Topic::Checkpoints, "acurast.checkpoints.v1", TopicKind::Derived),
    ] {
        assert_eq!((topic.name(DEFAULT_PREFIX).as_str(), topic.kind()), (name, kind));
    }
    assert_eq!(source.kind(), TopicKind::Authoritative);
}

fn record() -> Record {
    Record {
        term: Term(3),
        writer: WriterId([0xab; 16]),
        sequence: Sequence(41),
        previous: RecordHash([1; 32]),
        at: Timestamp(1_700_000_000_123),
        input: None,
        subject: Bytes(vec![0xca, 0xfe]),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
        events: Vec::new(),
    }
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn the_attributes_of_a_record_are_cloudevents_in_the_kafka_binding_with_its_place_in_the_chain() {
    let at = Topic::Jobs.name(DEFAULT_PREFIX).partition(5);
    let hash = RecordHash([2; 32]);
    let expected = pairs(&[
        ("ce_specversion", "1.0"),
        ("ce_id", &hash.to_string()),
        ("ce_source", "/acurast.jobs.v1/5"),
        ("ce_type", RECORD_TYPE),
        ("ce_time", "2023-11-14T22:13:20.123Z"),
        ("content-type", "application/protobuf"),
        ("term", "3"),
        ("writer", "0xabababababababababababababababab"),
        ("ce_subject", "0xcafe"),
        ("sequence", "41"),
        ("previous", &RecordHash([1; 32]).to_string()),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ]);
    assert_eq!(record_attributes(&at, &record(), &hash), expected);
}

#[test]
fn what_a_record_has_not_is_no_attribute() {
    let at = Topic::Jobs.name(DEFAULT_PREFIX).partition(5);
    let bare = Record { subject: Bytes::default(), traceparent: None, at: Timestamp(u64::MAX), ..record() };
    let names: Vec<String> = record_attributes(&at, &bare, &RecordHash::ZERO).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["ce_specversion", "ce_id", "ce_source", "ce_type", "content-type", "term", "writer", "sequence", "previous"]);
}

#[test]
fn a_claim_is_no_link_and_has_neither_sequence_nor_previous_hash() {
    let claim = Claim { term: Term(4), writer: WriterId([0xcd; 16]), at: Timestamp(0) };
    let attributes = claim_attributes(&Topic::Lanes.name(DEFAULT_PREFIX).partition(0), &claim);
    let expected = pairs(&[
        ("ce_specversion", "1.0"),
        ("ce_id", "4-0xcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"),
        ("ce_source", "/acurast.lanes.v1/0"),
        ("ce_type", CLAIM_TYPE),
        ("ce_time", "1970-01-01T00:00:00.000Z"),
        ("content-type", "application/protobuf"),
        ("term", "4"),
        ("writer", "0xcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"),
    ]);
    assert_eq!(attributes, expected);
}

#[test]
fn times_are_written_as_a_calendar_counted_day_by_day_says() {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let (mut year, mut month, mut day) = (1970, 1, 1);
    let mut days = 0u64;
    while year < 10_000 {
        let written = rfc3339(Timestamp(days * 86_400_000 + 86_399_999)).unwrap();
        assert_eq!(written, format!("{year:04}-{month:02}-{day:02}T23:59:59.999Z"), "day {days}");
        let length = match month {
            2 => 28 + u64::from(leap(year)),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        days += 1;
        (year, month, day) = match (month, day) {
            (12, 31) => (year + 1, 1, 1),
            (month, day) if day == length => (year, month + 1, 1),
            (month, day) => (year, month, day + 1),
        };
    }
    assert_eq!(rfc3339(Timestamp(days * 86_400_000)), None);
    assert_eq!(rfc3339(Timestamp(u64::MAX)), None);
}
