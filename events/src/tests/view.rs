//! The JSON view shows events as what they are.

use super::sample::{self, Sample, Seed};
use crate::bytes::{Bytes, EventId};
use crate::derived::ReceiptsEvent;
use crate::jobs::{JobDone, JobsEvent};
use crate::record::{Entry, Record};
use crate::topics::Topic;
use crate::view::{ViewError, record_json, value_json};
use crate::wire::Message;
use serde_json::{Value, json};

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_record_shows_its_events_by_name_and_field() {
    let event = JobsEvent::from(JobDone::sample(&mut Seed::filled(22)));
    let record = Record { events: vec![Bytes(event.encode())], ..Record::sample(&mut Seed::filled(2)) };
    let view = parse(&record_json::<JobsEvent>(&record).unwrap());
    assert_eq!(view["events"], json!([event]));
    assert_eq!(view["events"][0]["job_done"]["block"]["chain"], json!("eip155:22001"));
    assert_eq!(view["term"], json!(record.term.to_string()));
    assert_eq!(view["subject"], json!(record.subject.to_string()));
}

#[test]
fn a_record_view_has_the_fields_of_the_record_in_the_schema_s_order() {
    let record = sample::record_of::<JobsEvent>(Seed::filled);
    let names = |value: &str| -> Vec<String> {
        ["term", "writer", "sequence", "previous", "at", "input", "subject", "traceparent", "events"]
            .iter()
            .map(|name| (value.find(&format!("\"{name}\":")).unwrap_or_else(|| panic!("no {name} in {value}")), (*name).to_owned()))
            .collect::<std::collections::BTreeMap<_, _>>()
            .into_values()
            .collect()
    };
    let view = record_json::<JobsEvent>(&record).unwrap();
    assert_eq!(names(&view).last().unwrap(), "events");
    let (view, plain) = (parse(&view), serde_json::to_value(&record).unwrap());
    for (name, value) in plain.as_object().unwrap().iter().filter(|(name, _)| *name != "events") {
        assert_eq!(&view[name], value, "{name}");
    }
    assert_eq!(view.as_object().unwrap().len(), plain.as_object().unwrap().len());
}

#[test]
fn an_event_of_a_newer_version_is_shown_as_bytes_with_the_reason() {
    let unknown = Bytes(vec![0xfa, 0x7f, 0]);
    let record = Record { events: vec![unknown.clone()], ..Record::sample(&mut Seed::filled(2)) };
    let view = parse(&value_json(&Topic::Jobs, &Entry::from(record).encode()).unwrap());
    let event = &view["record"]["events"][0];
    assert_eq!(event["bytes"], json!(unknown.to_string()));
    assert!(event["undecodable"].as_str().unwrap().contains("unknown field 2047"), "{event}");
}

#[test]
fn every_topic_with_a_schema_shows_its_values() {
    let source = Topic::Source("polkadot:ce7681fb12aa8f7265d229a9074be0ea".parse().unwrap());
    let claim = Entry::from(sample::claim(Seed::filled)).encode();
    for topic in [source, Topic::Jobs, Topic::Lanes] {
        assert_eq!(parse(&value_json(&topic, &claim).unwrap())["claim"]["term"], json!(sample::claim(Seed::filled).term));
    }
    let (receipt, reputation, dead_letter) = sample::derived(Seed::filled);
    let (submitted, command) = (sample::output(Seed::filled), sample::control(Seed::filled));
    for (topic, bytes, expected) in [
        (Topic::Receipts, ReceiptsEvent::from(receipt.clone()).encode(), json!(ReceiptsEvent::from(receipt))),
        (Topic::Reputation, reputation.encode(), json!(reputation)),
        (Topic::DeadLetters, dead_letter.encode(), json!(dead_letter)),
        (Topic::Outputs, submitted.encode(), json!(submitted)),
        (Topic::Control, command.encode(), json!(command)),
    ] {
        assert_eq!(parse(&value_json(&topic, &bytes).unwrap()), expected);
    }
}

#[test]
fn a_value_of_no_such_topic_is_an_error_that_names_the_topic() {
    let error = value_json(&Topic::Jobs, &[0xff]).unwrap_err();
    assert!(matches!(error, ViewError::Value { .. }));
    assert!(error.to_string().contains("jobs.v1"), "{error}");
    assert!(matches!(value_json(&Topic::Checkpoints, &[]).unwrap_err(), ViewError::NoSchema(topic) if topic == "checkpoints.v1"));
}

#[test]
fn an_id_of_an_event_is_derived_from_the_input_that_caused_it() {
    let record = Record::sample(&mut Seed::filled(2));
    let hash = crate::bytes::RecordHash([9; 32]);
    let id = record.event_id(&hash, 3, 0);
    assert_eq!(id, crate::ids::derived_id(&record.input.as_ref().unwrap().id, &record.subject.0, 3, 0));
    let own = Record { input: None, ..record };
    assert_eq!(own.event_id(&hash, 3, 0), crate::ids::derived_id(&EventId(hash.0), &own.subject.0, 3, 0));
    assert_ne!(own.event_id(&hash, 3, 0), id);
}
