//! The committed schemas are those of the types, and no released number of an enum changes.

use super::{Bless, bless, crate_path};
use crate::schema::files;
use std::collections::BTreeSet;
use std::fs;

#[test]
fn the_committed_schemas_are_those_of_the_types() {
    for file in files() {
        let path = crate_path("proto").join(&file.name);
        if bless() != Bless::Nothing {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &file.text).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == file.text, "{} is not what the types say; BLESS=1 writes it", file.name);
    }
}

#[test]
fn the_events_of_a_record_are_typed_in_each_schema() {
    for (name, events) in [("source.proto", "SourceEvent"), ("jobs.proto", "JobsEvent"), ("lanes.proto", "LanesEvent")] {
        let text = files().into_iter().find(|file| file.name == name).unwrap().text;
        assert!(text.contains(&format!("repeated {events} events = 16;")), "{name}");
        assert!(!text.contains("repeated bytes events"), "{name}");
    }
}

#[test]
fn every_definition_and_field_of_a_schema_is_explained() {
    for file in files() {
        let lines: Vec<&str> = file.text.lines().collect();
        for pair in lines.windows(2) {
            let [before, line] = pair else { continue };
            let needs_comment =
                line.starts_with("message ") || line.starts_with("enum ") || (line.starts_with("  ") && line.ends_with(';'));
            let in_one_of = line.starts_with("    ");
            let explained = before.trim_start().starts_with("//");
            assert!(!needs_comment || in_one_of || explained, "{}: no comment above {line:?}", file.name);
        }
    }
}

/// `jobs Mode MODE_CALL = 1`, for every enum value of every schema.
fn enum_values() -> BTreeSet<String> {
    let mut values = BTreeSet::new();
    for file in files() {
        let mut name = None;
        for line in file.text.lines() {
            if let Some(start) = line.strip_prefix("enum ") {
                name = start.strip_suffix(" {");
            } else if line == "}" {
                name = None;
            } else if let Some(name) = name.filter(|_| line.ends_with(';')) {
                values.insert(format!("{} {name} {}", file.name.trim_end_matches(".proto"), line.trim().trim_end_matches(';')));
            }
        }
    }
    values
}

#[test]
fn a_released_enum_value_keeps_its_number() {
    let path = crate_path("tests/golden/enums.txt");
    let released: BTreeSet<String> = fs::read_to_string(&path).unwrap_or_default().lines().map(str::to_owned).collect();
    let now = enum_values();
    let keep = if bless() == Bless::All { BTreeSet::new() } else { released };
    let gone: Vec<_> = keep.difference(&now).collect();
    assert!(gone.is_empty(), "released, and no longer so: {gone:?}");
    if bless() != Bless::Nothing {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let text: String = now.iter().map(|line| format!("{line}\n")).collect();
        fs::write(&path, text).unwrap();
    } else {
        let new: Vec<_> = now.difference(&keep).collect();
        assert!(new.is_empty(), "not recorded yet, BLESS=1 does it: {new:?}");
    }
}
