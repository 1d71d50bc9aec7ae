//! The Protobuf schemas of the topics, generated from the Rust types, so that the two can't drift apart.
//!
//! `events/proto` holds what [`files`] gives; a test compares them. One file per topic family, each in its own package
//! and complete in itself, so that a subscriber takes the one file that it needs.

use crate::control::ControlCommand;
use crate::derived::{DeadLetter, ReceiptsEvent, ReputationObserved};
use crate::jobs::JobsEvent;
use crate::lanes::LanesEvent;
use crate::outputs::OutputSubmitted;
use crate::record::Entry;
use crate::source::SourceEvent;
use crate::wire::Wire;

/// One `.proto` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaFile {
    /// Name of the file, such as `jobs.proto`.
    pub name: String,
    /// Its content.
    pub text: String,
}

/// The schema file of every topic family that has one.
pub fn files() -> Vec<SchemaFile> {
    vec![
        entries::<SourceEvent>("source"),
        entries::<JobsEvent>("jobs"),
        entries::<LanesEvent>("lanes"),
        file("outputs", &{
            let mut schema = Schema::default();
            OutputSubmitted::register(&mut schema);
            schema
        }),
        file("control", &{
            let mut schema = Schema::default();
            ControlCommand::register(&mut schema);
            schema
        }),
        file("derived", &{
            let mut schema = Schema::default();
            ReceiptsEvent::register(&mut schema);
            ReputationObserved::register(&mut schema);
            DeadLetter::register(&mut schema);
            schema
        }),
    ]
}

/// The file of an authoritative topic, whose values are [`Entry`] and whose events are of type `E`.
fn entries<E: Wire>(topic: &str) -> SchemaFile {
    let mut schema = Schema::default();
    Entry::register(&mut schema);
    E::register(&mut schema);
    let SchemaFile { name, text } = file(topic, &schema);
    // `Record` keeps events as bytes, so that a chain of records can be checked without knowing them; on the wire a
    // byte string and a message look the same, and a subscriber wants the message.
    SchemaFile { name, text: text.replace("repeated bytes events = ", &format!("repeated {} events = ", E::type_name())) }
}

fn file(topic: &str, schema: &Schema) -> SchemaFile {
    SchemaFile { name: format!("{topic}.proto"), text: schema.render(&format!("acurast.{topic}.v1")) }
}

/// The definitions that a set of types needs, in the order of their first mention.
#[derive(Debug, Default)]
pub struct Schema {
    definitions: Vec<(String, String)>,
}

impl Schema {
    /// Adds the definition `name` unless it is there; `body` may add what it refers to.
    pub fn define(&mut self, name: &str, body: impl FnOnce(&mut Self) -> String) {
        if self.definitions.iter().any(|(known, _)| known == name) {
            return;
        }
        let place = self.definitions.len();
        self.definitions.push((name.to_owned(), String::new()));
        let text = body(self);
        if let Some(definition) = self.definitions.get_mut(place) {
            definition.1 = text;
        }
    }

    /// The `.proto` file of everything defined so far.
    pub fn render(&self, package: &str) -> String {
        let mut out = format!(
            "// Generated from the types of the crate acurast-events, whose tests compare it.\nsyntax = \"proto3\";\npackage {package};\n"
        );
        for (_, text) in &self.definitions {
            out.push('\n');
            out.push_str(text);
        }
        out
    }
}

/// A commented line of a message.
#[derive(Debug)]
pub struct Line<'a> {
    /// The lines of its doc comment.
    pub docs: &'a [&'a str],
    /// The line, complete.
    pub text: String,
}

/// A value of an enum.
#[derive(Debug)]
pub struct Value<'a> {
    /// The lines of its doc comment.
    pub docs: &'a [&'a str],
    /// The variant's name.
    pub name: &'a str,
    /// Its number.
    pub tag: u32,
}

/// The definition of a message.
pub fn message(docs: &[&str], name: &str, lines: &[Line<'_>]) -> String {
    let mut out = comment("", docs);
    out.push_str(&format!("message {name} {{\n"));
    for line in lines {
        out.push_str(&comment("  ", line.docs));
        out.push_str(&format!("  {}\n", line.text));
    }
    out.push_str("}\n");
    out
}

/// The definition of an enum. Its zero means absent, and is refused by our readers.
pub fn enumeration(docs: &[&str], name: &str, values: &[Value<'_>]) -> String {
    let prefix = snake_case(name).to_ascii_uppercase();
    let mut out = comment("", docs);
    out.push_str(&format!("enum {name} {{\n  // Never written.\n  {prefix}_UNSPECIFIED = 0;\n"));
    for value in values {
        out.push_str(&comment("  ", value.docs));
        out.push_str(&format!("  {prefix}_{} = {};\n", snake_case(value.name).to_ascii_uppercase(), value.tag));
    }
    out.push_str("}\n");
    out
}

/// The definition of a message that is one of several: exactly one is always set.
pub fn one_of(docs: &[&str], name: &str, variants: &[(&str, u32)]) -> String {
    let mut out = comment("", docs);
    out.push_str(&format!("message {name} {{\n  oneof event {{\n"));
    for (variant, tag) in variants {
        out.push_str(&format!("    {variant} {} = {tag};\n", snake_case(variant)));
    }
    out.push_str("  }\n}\n");
    out
}

/// Doc comments as comments of a schema, without the links that only rustdoc follows.
fn comment(indent: &str, docs: &[&str]) -> String {
    docs.iter().map(|line| format!("{indent}// {}\n", line.trim().replace("[`", "`").replace("`]", "`"))).collect()
}

/// `JobOpened` → `job_opened`, as serde does it, so that schema and JSON view have the same names.
fn snake_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len().saturating_add(4));
    for (at, character) in name.char_indices() {
        if character.is_ascii_uppercase() && at > 0 {
            out.push('_');
        }
        out.push(character.to_ascii_lowercase());
    }
    out
}
