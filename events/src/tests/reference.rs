//! `docs/events.md`: the reference of every topic, event and field, written from the types and their golden samples.
//!
//! What is known of a topic beside its types (who keys it, what its values are) is the table [`topics`]. A schema that no
//! topic claims, a definition that the page leaves out, and an event without an example fail a test.

use super::golden::{Golden, all};
use super::sample::{Sample, Seed};
use super::{Bless, bless, crate_path};
use crate::bytes::Bytes;
use crate::jobs::{JobDone, JobsEvent};
use crate::record::{Entry, Record};
use crate::schema::{Body, Definition, Field, SchemaFile, files, snake_case};
use crate::topics::{Topic, TopicKind};
use crate::view::EntryView;
use crate::wire::Message;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;

/// A topic as the page shows it.
struct Shown {
    topic: Topic,
    /// Its name without prefix and version.
    name: &'static str,
    /// Schema family; a topic whose family has no schema yet is said to have none.
    family: &'static str,
    /// Root types of the family that belong to the topic; none: all that no other topic names.
    roots: &'static [&'static str],
    key: &'static str,
    content: &'static str,
}

const fn shown(topic: Topic, name: &'static str, family: &'static str, roots: &'static [&'static str]) -> Shown {
    Shown { topic, name, family, roots, key: "", content: "" }
}

fn topics() -> Vec<Shown> {
    let source = Topic::Source("eip155:1".parse().unwrap());
    vec![
        Shown {
            key: "the chain; one partition",
            content: "Finalized facts of one chain, each block closed by its seal. One topic per chain; the colon of its CAIP-2 name is written `-`: `source.eip155-1.v1`. The facts of a block count only once the `BlockSealed` that covers it was read, under the same term.",
            ..shown(source, "source.<chain>", "source", &["SourceEvent"])
        },
        Shown {
            key: "`owner_key` of the job's owner",
            content: "The history of jobs and of the escrow accounts that pay for them: life cycle, settlement, ledger. All of one owner is in one partition, in order.",
            ..shown(Topic::Jobs, "jobs", "jobs", &["JobsEvent"])
        },
        Shown {
            key: "the lane; a partition each",
            content: "What one lane (a chain and a signing key) accepted, signed, sent and saw on its chain.",
            ..shown(Topic::Lanes, "lanes", "lanes", &["LanesEvent"])
        },
        Shown {
            key: "`owner_key` of the job's owner",
            content: "Outputs of processors as the API took them, their signature checked. What became of one is in `jobs.v1`.",
            ..shown(Topic::Outputs, "outputs", "outputs", &[])
        },
        Shown {
            key: "what the command is about",
            content: "Commands of operators, with who gave them and why.",
            ..shown(Topic::Control, "control", "control", &[])
        },
        Shown {
            key: "`job_key`; of a reversal the settlement",
            content: "One receipt per execution that ended and one per job, at finality only.",
            ..shown(Topic::Receipts, "receipts", "derived", &["ReceiptsEvent"])
        },
        Shown {
            key: "the processor",
            content: "One observation of a processor per execution that ended.",
            ..shown(Topic::Reputation, "reputation", "derived", &["ReputationObserved"])
        },
        Shown {
            key: "the topic that it comes from",
            content: "What could not be processed, with the reason.",
            ..shown(Topic::DeadLetters, "dead-letters", "derived", &[])
        },
        Shown {
            key: "the origin",
            content: "Signed checkpoints of partitions.",
            ..shown(Topic::Checkpoints, "checkpoints", "checkpoints", &[])
        },
    ]
}

const INTRO: &str = "\
# Events

Every topic of the journal, every record and event on it, every field with its type, unit and meaning, and an example of each.
Written by a test from the types of [`events`](../events) (`BLESS=1 cargo test -p acurast-events`), never by hand; another test
fails when it isn't current.

* **Reading**: which records count, dropping what came twice, order, whole decisions: [events/README.md](../events/README.md).
  Programs that do so, with resuming: [examples/subscribers](../examples/subscribers/README.md). For people:
  `acurast-relayer journal tail --topic acurast.receipts.v1 --json`.
* **Names** are those of the Protobuf schemas in [`events/proto`](../events/proto) and of the JSON view. A topic's full name begins
  with the prefix, `acurast.` unless the operator chose another.
* **Occurs**: *once*: always there (proto3 leaves a zero, an empty string or `false` out, which means just that); *may be absent*:
  `optional` in Protobuf, `null` in JSON; *any number*: `repeated`, in order.
* **PROTOCOL §n** is a section of [protocol.md](protocol.md), **Rn** a rule of [architecture.md](architecture.md#rules).
* **Examples** are the JSON view of the golden bytes in [`events/tests/golden`](../events/tests/golden), every field filled with a made-up
  value. Numbers of 64 bits and amounts are decimal strings, bytes hexadecimal.

";

/// Everything that is published, by name; a name means one thing in all files.
fn definitions(files: &[SchemaFile]) -> BTreeMap<&'static str, Definition> {
    let mut all = BTreeMap::new();
    for definition in files.iter().flat_map(|file| file.schema.definitions()) {
        // Entry and Record are of a topic: their events differ, which their section says.
        all.entry(definition.name).or_insert_with(|| definition.clone());
    }
    all
}

/// The roots of a topic: what its values, or the events in them, are.
fn roots(topic: &Shown, topics: &[Shown], goldens: &[Golden]) -> Vec<&'static str> {
    if !topic.roots.is_empty() {
        return topic.roots.to_vec();
    }
    let claimed: BTreeSet<&str> =
        topics.iter().filter(|other| other.family == topic.family).flat_map(|other| other.roots).copied().collect();
    let mut free: Vec<&'static str> = Vec::new();
    for golden in goldens.iter().filter(|golden| golden.topic == topic.family) {
        if golden.message != "Entry" && !claimed.contains(golden.message) && !free.contains(&golden.message) {
            free.push(golden.message);
        }
    }
    free
}

fn is_authoritative(topic: &Shown) -> bool {
    topic.topic.kind() == TopicKind::Authoritative
}

/// Doc lines as one paragraph, without the links that only rustdoc follows.
fn words(docs: &[&str]) -> String {
    docs.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ").replace("[`", "`").replace("`]", "`").replace('|', "\\|")
}

fn anchor(name: &str) -> String {
    name.chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ' '))
        .collect::<String>()
        .to_ascii_lowercase()
        .replace(' ', "-")
}

fn link(name: &str) -> String {
    format!("[{name}](#{})", anchor(name))
}

struct Page {
    out: String,
    definitions: BTreeMap<&'static str, Definition>,
    examples: BTreeMap<String, Value>,
    /// What values, or the events in them, are of.
    roots: BTreeSet<&'static str>,
    done: BTreeSet<&'static str>,
}

impl Page {
    fn line(&mut self, text: impl AsRef<str>) {
        self.out.push_str(text.as_ref());
        self.out.push('\n');
    }

    fn get(&self, name: &str) -> Definition {
        self.definitions.get(name).unwrap_or_else(|| panic!("{name} is in no schema")).clone()
    }

    /// A field's type, with the unit or form that its type stands for.
    fn field(&self, field: &Field) -> String {
        let of = match self.definitions.get(field.of.as_str()).map(|definition| &definition.body) {
            // Only the events of a record are of a root: that of its topic.
            Some(Body::OneOf(_)) if self.roots.contains(field.of.as_str()) => "the topic's events".to_owned(),
            Some(_) => link(&field.of),
            None => format!("`{}`", field.of),
        };
        // A count needs no unit, and of what an amount is its field says.
        let unit = match self.definitions.get(field.of.as_str()) {
            Some(Definition { name: "Count", .. }) => String::new(),
            Some(Definition { name: "Amount", .. }) => " *In the smallest unit.*".to_owned(),
            Some(Definition { body: Body::Scalar(wire), docs, .. }) if wire == "uint64" => format!(" *{}*", words(docs)),
            _ => String::new(),
        };
        let occurs = match field.label {
            "optional " => "may be absent",
            "repeated " => "any number",
            _ => "once",
        };
        format!("| {} | `{}` | {of} | {occurs} | {}{unit} |", field.tag, field.name, words(field.docs))
    }

    fn fields(&mut self, fields: &[Field]) {
        if fields.is_empty() {
            return;
        }
        self.line("| | field | type | occurs | meaning |\n|---|---|---|---|---|");
        for field in fields {
            let row = self.field(field);
            self.line(row);
        }
        self.line("");
    }

    fn example(&mut self, name: &str) {
        let value = self.examples.get(name).unwrap_or_else(|| panic!("{name} has no golden sample")).clone();
        let json = serde_json::to_string_pretty(&value).unwrap();
        self.line(format!("<details><summary>Example</summary>\n\n```json\n{json}\n```\n\n</details>\n"));
    }

    /// A message's section; with an example where values of it stand on a topic by themselves.
    fn message(&mut self, heading: &str, name: &'static str, place: &str, example: bool) {
        let definition = self.get(name);
        if !self.done.insert(definition.name) {
            return;
        }
        let Body::Message(fields) = &definition.body else { panic!("{name} is no message") };
        self.line(format!("{heading} {name}\n"));
        self.line(format!("{}{place}\n", words(definition.docs)));
        self.fields(fields);
        if example {
            self.example(name);
        }
    }

    /// Where an event stands: some are of several topics.
    fn place(&self, event: &str) -> String {
        let numbers = self.definitions.values().filter_map(|of| match &of.body {
            Body::OneOf(variants) => variants.iter().find(|(name, _)| *name == event).map(|(_, tag)| format!("{tag} of `{}`", of.name)),
            _ => None,
        });
        let numbers = numbers.collect::<Vec<_>>().join(", ");
        format!(" *Number {numbers}; `{}` in JSON and Protobuf.*", snake_case(event))
    }

    /// The sections of what a topic's values or events are.
    fn root(&mut self, topic: &Shown, root: &'static str) {
        let definition = self.get(root);
        match &definition.body {
            Body::OneOf(variants) => {
                self.done.insert(definition.name);
                for (name, _) in variants.clone() {
                    let place = self.place(name);
                    self.message("####", name, &place, true);
                }
            }
            Body::Message(_) => self.message("####", root, " *The value of a record.*", true),
            Body::Enumeration(_) | Body::Scalar(_) | Body::Pending => panic!("{}: {root} is no message", topic.name),
        }
    }

    fn topic(&mut self, topic: &Shown, roots: &[&'static str]) {
        self.line(format!("### `{}.v1`\n", topic.name));
        self.line(format!("{}\n", topic.content));
        if roots.is_empty() {
            self.line("It has no schema in this version.\n");
            return;
        }
        let values = if is_authoritative(topic) {
            format!("a value is an [Entry](#entries) whose events are `{}`", roots.join("` or `"))
        } else {
            format!("a value is a `{}`", roots.join("` or `"))
        };
        let kind = format!("{:?}", topic.topic.kind()).to_lowercase();
        self.line(format!("Kind: {kind}. Key: {}. Schema: [`{1}.proto`](../events/proto/{1}.proto); {values}.\n", topic.key, topic.family));
        self.line("| number | event | meaning |\n|---|---|---|");
        for root in roots {
            let definition = self.get(root);
            let rows: Vec<(String, &str)> = match &definition.body {
                Body::OneOf(variants) => variants.iter().map(|(name, tag)| (tag.to_string(), *name)).collect(),
                _ => vec![("–".to_owned(), definition.name)],
            };
            for (tag, name) in rows {
                let meaning = words(self.get(name).docs);
                self.line(format!("| {tag} | {} | {meaning} |", link(name)));
            }
        }
        self.line("");
        for root in roots {
            self.root(topic, root);
        }
    }

    fn entries(&mut self) {
        self.line("## Entries\n");
        self.line("What a value of an authoritative topic is: one of these two.\n");
        self.done.insert("Entry");
        self.message("###", "Claim", " *Number 1 of `Entry`; `claim` in JSON and Protobuf.*", true);
        let place = " *Number 2 of `Entry`; `record` in JSON and Protobuf.* In a topic's schema `events` are of the topic's type. The example has one event of `jobs.v1`.";
        self.message("###", "Record", place, true);
    }

    fn parts(&mut self) {
        self.line("## Parts\n");
        self.line("Messages that stand within events.\n");
        let parts: Vec<Definition> = self.definitions.values().filter(|of| !self.done.contains(of.name)).cloned().collect();
        for part in parts {
            match &part.body {
                Body::Message(_) => self.message("###", part.name, "", false),
                Body::OneOf(variants) => self.choice(part.name, &words(part.docs), variants),
                Body::Enumeration(_) | Body::Scalar(_) | Body::Pending => {}
            }
        }
    }

    /// A message within others that is one of several.
    fn choice(&mut self, name: &'static str, meaning: &str, variants: &[(&'static str, u32)]) {
        self.done.insert(name);
        self.line(format!("### {name}\n\n{meaning} One of these; in JSON and Protobuf by its name in snake case.\n"));
        self.line("| number | message | meaning |\n|---|---|---|");
        for (variant, tag) in variants {
            let meaning = words(self.get(variant).docs);
            self.line(format!("| {tag} | {} | {meaning} |", link(variant)));
        }
        self.line("");
    }

    fn enumerations(&mut self) {
        self.line("## Enumerations\n");
        self.line("In JSON a value is its name below; in Protobuf the name with the type before it, in capitals, such as `MODE_CALL`. Zero is never written.\n");
        for definition in self.definitions.clone().into_values() {
            let Body::Enumeration(values) = &definition.body else { continue };
            self.done.insert(definition.name);
            self.line(format!("### {}\n\n{}\n", definition.name, words(definition.docs)));
            self.line("| number | value | meaning |\n|---|---|---|");
            for value in values {
                self.line(format!("| {} | `{}` | {} |", value.tag, snake_case(value.name), words(value.docs)));
            }
            self.line("");
        }
    }

    fn scalars(&mut self) {
        self.line("## Scalars\n");
        for definition in self.definitions.clone().into_values() {
            let Body::Scalar(wire) = &definition.body else { continue };
            self.done.insert(definition.name);
            self.line(format!("### {}\n\n{} `{wire}` in Protobuf.\n", definition.name, words(definition.docs)));
        }
    }

    fn contents(&mut self, topics: &[Shown], roots: &BTreeMap<&str, Vec<&'static str>>) {
        self.line("| topic | kind | key | what |\n|---|---|---|---|");
        for topic in topics {
            let kind = format!("{:?}", topic.topic.kind()).to_lowercase();
            let first = topic.content.split_inclusive(['.', ':']).next().unwrap_or_default().trim_end_matches(['.', ':']);
            self.line(format!(
                "| [`{0}.v1`](#{1}) | {kind} | {2} | {first} |",
                topic.name,
                anchor(&format!("{}.v1", topic.name)),
                topic.key
            ));
        }
        self.line("\n## Contents\n");
        self.line(format!(
            "* [Topics](#topics): {}",
            topics.iter().map(|topic| link(&format!("`{}.v1`", topic.name))).collect::<Vec<_>>().join(" · ")
        ));
        self.line("* [Entries](#entries): [Claim](#claim) · [Record](#record)");
        let mut events = BTreeSet::new();
        for root in roots.values().flatten() {
            match &self.get(root).body {
                Body::OneOf(variants) => events.extend(variants.iter().map(|(name, _)| *name)),
                _ => drop(events.insert(root)),
            }
        }
        let list = |names: Vec<&str>| names.into_iter().map(link).collect::<Vec<_>>().join(" · ");
        self.line(format!("* Events: {}", list(events.iter().copied().collect())));
        let of = |wanted: fn(&Body) -> bool| -> Vec<&str> {
            self.definitions
                .values()
                .filter(|of| wanted(&of.body) && !events.contains(of.name) && !["Claim", "Record"].contains(&of.name))
                .map(|of| of.name)
                .collect()
        };
        let mut parts = of(|body| matches!(body, Body::Message(_) | Body::OneOf(_)));
        parts.retain(|name| *name != "Entry" && !self.roots.contains(*name));
        let parts = list(parts);
        let enumerations = list(of(|body| matches!(body, Body::Enumeration(_))));
        let scalars = list(of(|body| matches!(body, Body::Scalar(_))));
        self.line(format!("* [Parts](#parts): {parts}"));
        self.line(format!("* [Enumerations](#enumerations): {enumerations}"));
        self.line(format!("* [Scalars](#scalars): {scalars}\n"));
    }
}

/// The JSON view of every golden value with all its fields, by the name of its type.
fn examples(goldens: &[Golden]) -> BTreeMap<String, Value> {
    let mut examples = BTreeMap::new();
    for golden in goldens {
        let (_, bytes) = golden.forms.iter().find(|(form, _)| *form == "filled").unwrap();
        examples.entry(golden.name.clone()).or_insert_with(|| (golden.reread)(bytes).unwrap().1);
    }
    // The golden record has one of each event; one is enough to see the form.
    let event = JobsEvent::from(JobDone::sample(&mut Seed::filled(22)));
    let record = Record { events: vec![Bytes(event.encode())], ..Record::sample(&mut Seed::filled(2)) };
    examples.insert("Record".to_owned(), serde_json::to_value(EntryView::<JobsEvent>::from(&Entry::from(record))).unwrap());
    examples
}

fn page() -> Page {
    let (files, goldens, topics) = (files(), all(), topics());
    let definitions = definitions(&files);
    let roots: BTreeMap<&str, Vec<&'static str>> = topics.iter().map(|topic| (topic.name, roots(topic, &topics, &goldens))).collect();
    let mut page = Page {
        out: INTRO.to_owned(),
        definitions,
        examples: examples(&goldens),
        roots: roots.values().flatten().copied().collect(),
        done: BTreeSet::new(),
    };
    page.contents(&topics, &roots);
    page.line("## Topics\n");
    for topic in &topics {
        page.topic(topic, &roots[topic.name]);
    }
    page.entries();
    page.parts();
    page.enumerations();
    page.scalars();
    let mut out = page.out.trim_end().to_owned();
    writeln!(out).unwrap();
    page.out = out;
    page
}

#[test]
fn the_committed_reference_is_that_of_the_types() {
    let path = crate_path("../docs/events.md");
    let page = page();
    if bless() != Bless::Nothing {
        fs::write(&path, &page.out).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == page.out, "docs/events.md is not what the types say; BLESS=1 writes it");
}

#[test]
fn the_reference_leaves_no_published_type_and_no_golden_event_out() {
    let page = page();
    let missing: Vec<_> = page.definitions.keys().filter(|name| !page.done.contains(*name)).collect();
    assert!(missing.is_empty(), "no topic of `topics()` names these, or what they are part of: {missing:?}");
    for golden in all() {
        let name = &golden.name;
        assert!(page.out.contains(&format!("# {name}\n")), "{}/{name} has no section", golden.topic);
    }
    for topic in topics() {
        assert!(page.out.contains(&format!("### `{}.v1`\n", topic.name)), "{}", topic.name);
    }
}

#[test]
fn every_link_of_the_reference_leads_to_a_section() {
    let page = page();
    let headings: Vec<String> =
        page.out.lines().filter(|line| line.starts_with('#')).map(|line| anchor(line.trim_start_matches(['#', ' ']))).collect();
    let distinct: BTreeSet<&String> = headings.iter().collect();
    assert_eq!(distinct.len(), headings.len(), "two sections have one name");
    for (_, rest) in page.out.match_indices("](#").map(|(at, _)| page.out.split_at(at + 3)) {
        let target = rest.split(')').next().unwrap().to_owned();
        assert!(distinct.contains(&target), "no section #{target}");
    }
}

#[test]
fn every_amount_says_of_what_it_is() {
    const UNITS: [&str; 5] = ["wei", "planck", "account's asset", "of `asset`", "fixed-point"];
    for definition in page().definitions.values() {
        let Body::Message(fields) = &definition.body else { continue };
        for field in fields.iter().filter(|field| field.of == "Amount") {
            let words = words(field.docs);
            assert!(UNITS.iter().any(|unit| words.contains(unit)), "{}.{}: an amount of what? {words}", definition.name, field.name);
        }
    }
}
