//! Golden bytes of every event type: what was released must decode, and mean the same, for ever (PROTOCOL §8).
//!
//! `tests/golden/<topic>/<Event>.hex` has a line per released form, `filled` (every field) or `bare` (none that may be
//! absent); the last of each is what this version writes. `<Event>.json` shows the same values. Lines are only added:
//! `BLESS=1 cargo test -p acurast-events` adds what is new, `BLESS=all` writes all anew and is for unreleased types.

use super::sample::{self, SampleEvents, Seed};
use super::{Bless, bless, crate_path};
use crate::derived::ReceiptsEvent;
use crate::jobs::JobsEvent;
use crate::lanes::LanesEvent;
use crate::record::Entry;
use crate::source::SourceEvent;
use crate::view::EntryView;
use crate::wire::{Message, WireError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use std::path::Path;

/// One type that is guarded.
pub(super) struct Golden {
    /// Topic family: the directory, and the schema's file and package.
    pub(super) topic: &'static str,
    /// Name of the files.
    pub(super) name: String,
    /// Name of the message in the schema.
    pub(super) message: &'static str,
    /// What this version writes.
    pub(super) forms: Vec<(&'static str, Vec<u8>)>,
    /// The bytes decoded and encoded again, and their JSON view.
    pub(super) reread: fn(&[u8]) -> Reread,
}

/// Bytes encoded again, with the JSON view of what they say.
type Reread = Result<(Vec<u8>, Value), WireError>;

fn reread<T: Message + Serialize>(bytes: &[u8]) -> Reread {
    let value = T::decode(bytes)?;
    Ok((value.encode(), serde_json::to_value(&value).unwrap()))
}

/// Like [`reread`], but with the events of a record shown as what they are.
fn reread_entry<E: Message + Serialize>(bytes: &[u8]) -> Reread {
    let entry = Entry::decode(bytes)?;
    Ok((entry.encode(), serde_json::to_value(EntryView::<E>::from(&entry)).unwrap()))
}

/// Asserts every round trip of a value: bytes, JSON, and a binary serde format, as states and caches use it.
fn assert_round_trips<T: Message + Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    assert_eq!(&T::decode(&value.encode()).unwrap(), value);
    let json = serde_json::to_string(value).unwrap();
    assert_eq!(&serde_json::from_str::<T>(&json).unwrap(), value, "{json}");
    let binary = postcard::to_stdvec(value).unwrap();
    assert_eq!(&postcard::from_bytes::<T>(&binary).unwrap(), value);
}

fn golden<T: Message + Serialize + DeserializeOwned + PartialEq + Debug>(
    topic: &'static str,
    name: &str,
    message: &'static str,
    filled: &T,
    bare: &T,
) -> Golden {
    assert_round_trips(filled);
    assert_round_trips(bare);
    let forms = vec![("filled", filled.encode()), ("bare", bare.encode())];
    Golden { topic, name: name.to_owned(), message, forms, reread: reread::<T> }
}

/// The goldens of an authoritative topic: a claim, a record with one of each event, and every event.
fn topic<E: SampleEvents + Message + Serialize + DeserializeOwned + PartialEq + Debug>(
    topic: &'static str,
    message: &'static str,
    name: fn(&E) -> &'static str,
    all: &mut Vec<Golden>,
) {
    let entries = |seed: fn(u64) -> Seed| (Entry::from(sample::claim(seed)), Entry::from(sample::record_of::<E>(seed)));
    let (filled, bare) = (entries(Seed::filled), entries(Seed::bare));
    let entry = |name, filled, bare| Golden { reread: reread_entry::<E>, ..golden(topic, name, "Entry", filled, bare) };
    all.push(entry("Claim", &filled.0, &bare.0));
    all.push(entry("Record", &filled.1, &bare.1));
    each_event(topic, message, name, all);
}

/// A golden of every event.
fn each_event<E: SampleEvents + Message + Serialize + DeserializeOwned + PartialEq + Debug>(
    topic: &'static str,
    message: &'static str,
    name: fn(&E) -> &'static str,
    all: &mut Vec<Golden>,
) {
    for (filled, bare) in E::samples(Seed::filled).iter().zip(&E::samples(Seed::bare)) {
        all.push(golden(topic, name(filled), message, filled, bare));
    }
}

/// Every golden of this version.
pub(super) fn all() -> Vec<Golden> {
    let mut all = Vec::new();
    topic::<SourceEvent>("source", "SourceEvent", SourceEvent::name, &mut all);
    topic::<JobsEvent>("jobs", "JobsEvent", JobsEvent::name, &mut all);
    topic::<LanesEvent>("lanes", "LanesEvent", LanesEvent::name, &mut all);
    let (filled, bare) = (sample::output(Seed::filled), sample::output(Seed::bare));
    all.push(golden("outputs", "OutputSubmitted", "OutputSubmitted", &filled, &bare));
    let (filled, bare) = (sample::control(Seed::filled), sample::control(Seed::bare));
    all.push(golden("control", "ControlCommand", "ControlCommand", &filled, &bare));
    let (filled, bare) = (sample::derived(Seed::filled), sample::derived(Seed::bare));
    each_event::<ReceiptsEvent>("derived", "ReceiptsEvent", ReceiptsEvent::name, &mut all);
    all.push(golden("derived", "ReputationObserved", "ReputationObserved", &filled.1, &bare.1));
    all.push(golden("derived", "DeadLetter", "DeadLetter", &filled.2, &bare.2));
    all
}

type Lines = Vec<(String, Vec<u8>)>;

fn read_lines(path: &Path) -> Lines {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = |line: &str| {
        let (form, bytes) = line.split_once(' ').unwrap_or_else(|| panic!("{}: no form in {line:?}", path.display()));
        (form.to_owned(), hex::decode(bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    };
    text.lines().map(line).collect()
}

/// Writes the lines of a golden and their views, one view per line.
fn write(golden: &Golden, lines: &Lines, hex_path: &Path, json_path: &Path) {
    fs::create_dir_all(hex_path.parent().unwrap()).unwrap();
    let text: String = lines.iter().map(|(form, bytes)| format!("{form} {}\n", hex::encode(bytes))).collect();
    fs::write(hex_path, text).unwrap();
    let views: Vec<Value> = lines.iter().map(|(form, bytes)| json!({ "form": form, "value": (golden.reread)(bytes).unwrap().1 })).collect();
    fs::write(json_path, format!("{}\n", serde_json::to_string_pretty(&views).unwrap())).unwrap();
}

/// Whether `now` says all that `released` said; a later version may add fields to it.
fn says_all(released: &Value, now: &Value) -> bool {
    match (released, now) {
        (Value::Object(released), Value::Object(now)) => {
            released.iter().all(|(name, value)| now.get(name).is_some_and(|now| says_all(value, now)))
        }
        (Value::Array(released), Value::Array(now)) => {
            released.len() == now.len() && released.iter().zip(now).all(|(released, now)| says_all(released, now))
        }
        (released, now) => released == now,
    }
}

#[test]
fn golden_bytes_of_every_event_decode_to_the_same_values_for_ever() {
    let directory = crate_path("tests/golden");
    let mut failures = Vec::new();
    for golden in all() {
        let name = format!("{}/{}", golden.topic, golden.name);
        let hex_path = directory.join(format!("{name}.hex"));
        let json_path = directory.join(format!("{name}.json"));
        let mut lines = if bless() == Bless::All { Lines::new() } else { read_lines(&hex_path) };
        let mut added = false;
        for (form, bytes) in &golden.forms {
            if lines.iter().rfind(|(of, _)| of == form).is_none_or(|(_, last)| last != bytes) {
                lines.push(((*form).to_owned(), bytes.clone()));
                added = true;
            }
        }
        if added && bless() == Bless::Nothing {
            failures.push(format!("{name}: this version writes other bytes than its golden file has"));
            continue;
        }
        if added {
            write(&golden, &lines, &hex_path, &json_path);
        }
        let views: Vec<Value> = serde_json::from_str(&fs::read_to_string(&json_path).unwrap_or_default()).unwrap_or_default();
        if views.len() != lines.len() {
            failures.push(format!("{name}: {} lines, but {} views", lines.len(), views.len()));
        }
        for ((form, bytes), view) in lines.iter().zip(&views) {
            match (golden.reread)(bytes) {
                Ok((again, _)) if &again != bytes => failures.push(format!("{name} {form}: decodes, and encodes to other bytes")),
                Ok((_, now)) if !says_all(view, &json!({ "form": form, "value": now })) => {
                    failures.push(format!("{name} {form}: decodes to another value: {now}"));
                }
                Ok(_) => {}
                Err(error) => failures.push(format!("{name} {form}: {error}")),
            }
        }
    }
    assert!(failures.is_empty(), "{}\nif this is an addition, BLESS=1 records it", failures.join("\n"));
}

#[test]
fn no_golden_file_is_without_its_event() {
    let known: BTreeSet<String> = all().iter().map(|golden| format!("{}/{}", golden.topic, golden.name)).collect();
    for topic in fs::read_dir(crate_path("tests/golden")).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_dir()) {
        for file in fs::read_dir(topic.path()).unwrap().map(Result::unwrap) {
            let path = file.path();
            let name = format!("{}/{}", topic.file_name().to_str().unwrap(), path.file_stem().unwrap().to_str().unwrap());
            if !known.contains(&name) && bless() == Bless::All {
                fs::remove_file(&path).unwrap();
            } else {
                assert!(known.contains(&name), "{name} was released, and this version has no such event");
            }
        }
    }
}

#[test]
fn every_golden_cut_short_or_with_a_flipped_byte_is_refused_or_another_value_and_never_panics() {
    for golden in all() {
        for (form, bytes) in &golden.forms {
            for end in 0..bytes.len() {
                // A cut between two fields may leave a whole message; it is then not the same one.
                if let Ok((again, _)) = (golden.reread)(&bytes[..end]) {
                    assert_ne!(&again, bytes, "{} {form}", golden.name);
                }
            }
            for at in 0..bytes.len() {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << (at % 8);
                if let Ok((again, _)) = (golden.reread)(&flipped) {
                    assert_ne!(&again, bytes, "{} {form} byte {at}", golden.name);
                }
            }
        }
    }
}

#[test]
fn a_field_of_a_newer_version_is_refused_in_every_event() {
    for golden in all() {
        for (form, bytes) in &golden.forms {
            // Field 536870911, the highest tag there is, as a varint 1.
            let newer = [&bytes[..], &[0xf8, 0xff, 0xff, 0xff, 0x0f, 1]].concat();
            assert!((golden.reread)(&newer).is_err(), "{} {form}", golden.name);
        }
    }
}
