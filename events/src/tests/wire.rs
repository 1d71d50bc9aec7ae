//! The wire: every kind of field round trips, and what is not exactly a message is refused.

use super::sample::{Sample, Seed};
use crate::amount::Amount;
use crate::bytes::{Bytes, EventId, WriterId};
use crate::caip::{AccountId, AssetId, ChainId};
use crate::derived::{DeadLetter, Receipt, ReputationObserved};
use crate::job_id::{JobId, MultiOrigin};
use crate::jobs::{JobsEvent, Mode};
use crate::lanes::LanesEvent;
use crate::leaves::JobNumber;
use crate::outputs::OutputSubmitted;
use crate::record::{Claim, Entry};
use crate::source::SourceEvent;
use crate::units::{Slot, Timestamp};
use crate::wire::{Message, Occurs, Wire, WireError, WireType};
use proptest::prelude::*;

crate::message! {
    /// Every kind of scalar, once, optional and repeated.
    pub struct Everything {
        /// A flag.
        1 flag: bool,
        /// A number.
        2 small: u32,
        /// A 64-bit number.
        3 large: Timestamp,
        /// A text.
        4 text: String,
        /// Bytes.
        5 bytes: Bytes,
        /// Fixed bytes.
        6 fixed: WriterId,
        /// A choice.
        7 choice: Mode,
        /// Money.
        8 amount: Amount,
        /// A job.
        9 job: JobId,
        /// A chain.
        10 chain: ChainId,
        /// A message.
        11 inner: Claim,
        /// An optional flag.
        12 optional_flag: Option<bool>,
        /// An optional number.
        13 optional_large: Option<Timestamp>,
        /// An optional text.
        14 optional_text: Option<String>,
        /// An optional message.
        15 optional_inner: Option<Claim>,
        /// Flags.
        16 flags: Vec<bool>,
        /// Numbers.
        17 smalls: Vec<u32>,
        /// 64-bit numbers.
        18 larges: Vec<Timestamp>,
        /// Choices.
        19 choices: Vec<Mode>,
        /// Texts.
        20 texts: Vec<String>,
        /// Messages.
        2000 inners: Vec<Claim>,
    }

    /// Scalars that may be packed.
    pub struct Packable {
        /// 64-bit numbers.
        1 larges: Vec<Timestamp>,
        /// Flags.
        2 flags: Vec<bool>,
        /// Choices.
        3 choices: Vec<Mode>,
    }

    /// Two numbers.
    pub struct Pair {
        /// The first.
        1 first: Timestamp,
        /// The second.
        2 second: u32,
    }
}

fn varint(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    crate::wire::write_varint(value, &mut out);
    out
}

/// Writes a value as a field's content and reads it back.
fn round_trip<T: Wire + PartialEq + std::fmt::Debug>(value: &T) {
    let mut bytes = Vec::new();
    value.write(&mut bytes);
    let mut buf = &bytes[..];
    assert_eq!(&T::read(&mut buf).unwrap(), value);
    assert!(buf.is_empty());
    for end in 0..bytes.len() {
        assert!(T::read(&mut &bytes[..end]).is_err(), "{value:?} cut at {end}");
    }
}

fn origins() -> impl Strategy<Value = MultiOrigin> {
    let account = || any::<[u8; 32]>();
    prop_oneof![
        account().prop_map(MultiOrigin::Acurast),
        proptest::collection::vec(any::<u8>(), 0..=36).prop_map(MultiOrigin::Tezos),
        proptest::collection::vec(any::<u8>(), 0..=20).prop_map(MultiOrigin::Ethereum),
        account().prop_map(MultiOrigin::AlephZero),
        account().prop_map(MultiOrigin::Vara),
        any::<[u8; 20]>().prop_map(MultiOrigin::Ethereum20),
        account().prop_map(MultiOrigin::Solana),
        account().prop_map(MultiOrigin::AcurastCanary),
    ]
}

proptest! {
    #[test]
    fn every_scalar_round_trips_and_is_refused_when_cut(
        flag: bool, small: u32, large: u64, text: String, bytes: Vec<u8>, fixed: [u8; 32], amount: u128,
        origin in origins(), number: u128, chain: u64,
    ) {
        round_trip(&flag);
        round_trip(&small);
        round_trip(&Timestamp(large));
        round_trip(&Slot(large));
        round_trip(&text);
        round_trip(&Bytes(bytes));
        round_trip(&EventId(fixed));
        round_trip(&Amount(amount));
        round_trip(&JobNumber(amount));
        round_trip(&origin);
        round_trip(&JobId { origin, number });
        let chain = ChainId::evm(chain);
        round_trip(&chain.account("0xab").unwrap());
        round_trip(&chain.asset("slip44:60").unwrap());
        round_trip(&chain);
    }

    #[test]
    fn absent_optional_and_zero_are_different(large: Option<u64>, flag: Option<bool>, text: Option<String>) {
        let message = Everything {
            optional_large: large.map(Timestamp), optional_flag: flag, optional_text: text, ..Everything::sample(&mut Seed::bare(0))
        };
        prop_assert_eq!(Everything::decode(&message.encode()).unwrap(), message);
    }

    #[test]
    fn repeated_fields_keep_their_order(larges: Vec<u64>, flags: Vec<bool>, texts: Vec<String>, smalls: Vec<u32>) {
        let message = Everything {
            larges: larges.into_iter().map(Timestamp).collect(), flags, texts, smalls, ..Everything::sample(&mut Seed::bare(0))
        };
        prop_assert_eq!(Everything::decode(&message.encode()).unwrap(), message);
    }

    #[test]
    fn packed_and_unpacked_repeated_scalars_are_the_same(larges: Vec<u64>, flags: Vec<bool>, choices in proptest::collection::vec(1u64..=5, 0..9)) {
        let mut packed = Vec::new();
        for (tag, values) in [(1, &larges), (2, &flags.iter().map(|flag| u64::from(*flag)).collect()), (3, &choices)] {
            packed.extend(varint(tag << 3 | 2));
            crate::wire::write_delimited(&values.iter().flat_map(|value| varint(*value)).collect::<Vec<_>>(), &mut packed);
        }
        let message = Packable::decode(&packed).unwrap();
        prop_assert_eq!(message.larges.iter().map(|value| value.0).collect::<Vec<_>>(), larges);
        prop_assert_eq!(&message.flags, &flags);
        prop_assert_eq!(message.choices.iter().map(|value| *value as u64).collect::<Vec<_>>(), choices);
        prop_assert_eq!(Packable::decode(&message.encode()).unwrap(), message);
    }

    #[test]
    fn bytes_of_a_stranger_are_refused_or_a_message_that_round_trips(bytes: Vec<u8>) {
        strange::<SourceEvent>(&bytes)?;
        strange::<JobsEvent>(&bytes)?;
        strange::<LanesEvent>(&bytes)?;
        strange::<Entry>(&bytes)?;
        strange::<OutputSubmitted>(&bytes)?;
        strange::<Receipt>(&bytes)?;
        strange::<ReputationObserved>(&bytes)?;
        strange::<DeadLetter>(&bytes)?;
        strange::<Everything>(&bytes)?;
        strange::<Packable>(&bytes)?;
    }
}

fn strange<T: Message + PartialEq + std::fmt::Debug>(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(message) = T::decode(bytes) {
        prop_assert_eq!(T::decode(&message.encode()).unwrap(), message);
    }
    Ok(())
}

#[test]
fn a_message_of_every_kind_of_field_round_trips() {
    for seed in [Seed::filled, Seed::bare] {
        let message = Everything::sample(&mut seed(5));
        let bytes = message.encode();
        assert_eq!(Everything::decode(&bytes).unwrap(), message);
        for end in 0..bytes.len() {
            assert_ne!(Everything::decode(&bytes[..end]).ok().as_ref(), Some(&message));
        }
    }
}

#[test]
fn an_unknown_field_is_refused_with_its_tag() {
    let bytes = [Pair { first: Timestamp(1), second: 2 }.encode(), vec![3 << 3, 1]].concat();
    assert_eq!(Pair::decode(&bytes), Err(WireError::UnknownField { message: "Pair", tag: 3 }));
}

#[test]
fn a_single_field_that_comes_twice_is_refused() {
    let bytes = [Pair { first: Timestamp(1), second: 0 }.encode(), Pair { first: Timestamp(2), second: 0 }.encode()].concat();
    assert!(matches!(Pair::decode(&bytes), Err(WireError::Malformed(_))));
    let optional = Everything { optional_flag: Some(true), ..Everything::sample(&mut Seed::bare(0)) };
    let bytes = [optional.encode(), vec![12 << 3, 1]].concat();
    assert!(matches!(Everything::decode(&bytes), Err(WireError::Malformed(_))));
}

#[test]
fn a_field_in_another_order_is_the_same_message() {
    assert_eq!(Pair::decode(&[2 << 3, 7, 1 << 3, 9]).unwrap(), Pair { first: Timestamp(9), second: 7 });
}

#[test]
fn a_field_of_another_wire_type_is_refused() {
    // `first` as a length-delimited field, and as a fixed 64-bit one.
    assert!(matches!(Pair::decode(&[1 << 3 | 2, 1, 0]), Err(WireError::Malformed(_))));
    assert!(matches!(Pair::decode(&[1 << 3 | 1, 0, 0, 0, 0, 0, 0, 0, 0]), Err(WireError::Malformed(_))));
}

#[test]
fn a_field_that_always_has_a_value_must_be_there() {
    assert!(matches!(Claim::decode(&[]), Err(WireError::Missing("Claim.writer"))));
    assert!(matches!(Everything::decode(&[]), Err(WireError::Missing(_))));
    assert!(matches!(JobsEvent::decode(&[]), Err(WireError::Missing("JobsEvent"))));
}

#[test]
fn two_events_in_one_are_refused() {
    let event = JobsEvent::Progress(crate::record::Progress { inputs: Vec::new(), published: Vec::new() }).encode();
    assert!(JobsEvent::decode(&event).is_ok());
    assert!(matches!(JobsEvent::decode(&[event.clone(), event].concat()), Err(WireError::Malformed(_))));
}

fn read<T: Wire>(content: &[u8]) -> Result<T, WireError> {
    T::read(&mut &content[..])
}

fn text(content: &str) -> Vec<u8> {
    let mut out = Vec::new();
    crate::wire::write_delimited(content.as_bytes(), &mut out);
    out
}

#[test]
fn values_out_of_their_range_are_refused() {
    assert!(matches!(read::<bool>(&varint(2)), Err(WireError::Invalid { what: "bool", .. })));
    assert!(matches!(read::<u32>(&varint(1 << 32)), Err(WireError::Invalid { what: "uint32", .. })));
    assert!(matches!(read::<Mode>(&varint(0)), Err(WireError::Invalid { what: "Mode", .. })), "UNSPECIFIED is never valid");
    assert!(matches!(read::<Mode>(&varint(99)), Err(WireError::Invalid { what: "Mode", .. })));
    assert!(matches!(read::<WriterId>(&text("fifteen bytes..")), Err(WireError::Invalid { what: "WriterId", .. })));
    assert!(matches!(read::<String>(&[1, 0xff]), Err(WireError::Invalid { what: "string", .. })));
    assert!(matches!(read::<JobId>(&text("x")), Err(WireError::Invalid { what: "JobId", .. })));
    // A varint of eleven bytes is none; a length past the end neither.
    assert!(matches!(read::<Timestamp>(&[0xff; 11]), Err(WireError::Malformed(_))));
    assert!(matches!(read::<Bytes>(&varint(u64::MAX)), Err(WireError::Malformed(_))));
}

#[test]
fn one_number_has_one_form() {
    for bad in ["", "007", "+7", "-1", " 7", "7 ", "0x7", "7.0", "340282366920938463463374607431768211456"] {
        assert!(matches!(read::<Amount>(&text(bad)), Err(WireError::Invalid { what: "Amount", .. })), "{bad:?}");
        assert!(matches!(read::<JobNumber>(&text(bad)), Err(WireError::Invalid { what: "JobNumber", .. })), "{bad:?}");
    }
}

#[test]
fn one_origin_has_one_form() {
    let lower = format!("ethereum20:0x{}", "ab".repeat(20));
    assert!(read::<MultiOrigin>(&text(&lower)).is_ok());
    assert!(read::<MultiOrigin>(&text(&lower.replace("ab", "AB"))).is_err());
    assert!(read::<ChainId>(&text("eip155")).is_err());
    assert!(read::<AccountId>(&text("eip155:1")).is_err());
    assert!(read::<AssetId>(&text("eip155:1")).is_err());
}

#[test]
fn an_unknown_field_of_the_json_view_is_refused() {
    assert!(serde_json::from_str::<Pair>(r#"{"first":"1","second":2}"#).is_ok());
    assert!(serde_json::from_str::<Pair>(r#"{"first":"1","second":2,"third":3}"#).is_err());
    assert!(serde_json::from_str::<Pair>(r#"{"first":1,"second":2}"#).is_err(), "64-bit numbers are strings");
}

#[test]
fn labels_follow_how_often_a_field_occurs() {
    assert_eq!(<u32 as Occurs>::LABEL, "");
    assert_eq!(<Option<u32> as Occurs>::LABEL, "optional ");
    assert_eq!(<Vec<u32> as Occurs>::LABEL, "repeated ");
    assert_eq!(<u32 as Wire>::WIRE_TYPE, WireType::Varint);
}

#[test]
fn a_length_is_written_before_what_it_measures_however_long_that_is() {
    for length in [0, 1, 127, 128, 129, 16_383, 16_384, 70_000] {
        let body = vec![7; length];
        let (mut measured, mut delimited) = (vec![1, 2], vec![1, 2]);
        crate::wire::write_measured(&mut measured, |out| out.extend_from_slice(&body));
        crate::wire::write_delimited(&body, &mut delimited);
        assert_eq!(measured, delimited, "{length}");
    }
}

#[test]
fn a_value_is_written_as_exactly_one_text() {
    use crate::wire::is_written_as;
    assert!(is_written_as(&format_args!("{}:{}", "eip155", 1), "eip155:1"));
    for other in ["eip155:", "eip155:11", "eip155:2", "", "1"] {
        assert!(!is_written_as(&format_args!("{}:{}", "eip155", 1), other), "{other}");
    }
}

#[test]
fn an_amount_has_one_text() {
    for (text, amount) in [("0", 0), ("7", 7), ("340282366920938463463374607431768211455", u128::MAX)] {
        assert_eq!(text.parse(), Ok(Amount(amount)));
    }
    for text in ["", "00", "07", "+7", "-7", " 7", "7 ", "7_0", "0x7", "340282366920938463463374607431768211456"] {
        assert!(text.parse::<Amount>().is_err(), "{text:?}");
    }
}
