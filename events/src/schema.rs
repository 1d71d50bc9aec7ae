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
    /// What it was made from.
    pub schema: Schema,
}

/// The schema file of every topic family that has one.
pub fn files() -> Vec<SchemaFile> {
    vec![
        entries::<SourceEvent>("source"),
        entries::<JobsEvent>("jobs"),
        entries::<LanesEvent>("lanes"),
        file("outputs", {
            let mut schema = Schema::default();
            OutputSubmitted::register(&mut schema);
            schema
        }),
        file("control", {
            let mut schema = Schema::default();
            ControlCommand::register(&mut schema);
            schema
        }),
        file("derived", {
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
    // `Record` keeps events as bytes, so that a chain of records can be checked without knowing them; on the wire a
    // byte string and a message look the same, and a subscriber wants the message.
    schema.retype("Record", "events", &E::type_name());
    file(topic, schema)
}

fn file(topic: &str, schema: Schema) -> SchemaFile {
    SchemaFile { name: format!("{topic}.proto"), text: schema.render(&format!("acurast.{topic}.v1")), schema }
}

/// The definitions that a set of types needs, in the order of their first mention.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Schema {
    definitions: Vec<Definition>,
}

/// A type as it is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Its name.
    pub name: &'static str,
    /// The lines of its doc comment.
    pub docs: &'static [&'static str],
    /// What it is made of.
    pub body: Body,
}

/// What a type is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Not defined yet: its parts are being registered.
    Pending,
    /// A value that Protobuf has a type for, here by name. It is no definition of a `.proto` file.
    Scalar(String),
    /// A message with its fields.
    Message(Vec<Field>),
    /// A closed set of values. Zero means absent, and is refused by our readers.
    Enumeration(Vec<Value>),
    /// A message that is one of several: exactly one is always set. Names and numbers.
    OneOf(Vec<(&'static str, u32)>),
}

/// A field of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The lines of its doc comment.
    pub docs: &'static [&'static str],
    /// Its name.
    pub name: &'static str,
    /// Its number.
    pub tag: u32,
    /// `optional `, `repeated ` or nothing.
    pub label: &'static str,
    /// Its type in a `.proto` file.
    pub wire: String,
    /// Its type's name here: `Timestamp` where the file says `uint64`.
    pub of: String,
}

/// A value of an enum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// The lines of its doc comment.
    pub docs: &'static [&'static str],
    /// The variant's name.
    pub name: &'static str,
    /// Its number.
    pub tag: u32,
}

impl Schema {
    /// Adds the definition `name` unless it is there; `body` may add what it refers to.
    pub fn define(&mut self, name: &'static str, docs: &'static [&'static str], body: impl FnOnce(&mut Self) -> Body) {
        if self.definitions.iter().any(|known| known.name == name) {
            return;
        }
        let place = self.definitions.len();
        self.definitions.push(Definition { name, docs, body: Body::Pending });
        let body = body(self);
        if let Some(definition) = self.definitions.get_mut(place) {
            definition.body = body;
        }
    }

    /// All definitions, scalars included.
    pub fn definitions(&self) -> &[Definition] {
        &self.definitions
    }

    /// Gives a field another type, one that has the same bytes.
    fn retype(&mut self, message: &str, field: &str, of: &str) {
        for definition in self.definitions.iter_mut().filter(|definition| definition.name == message) {
            let Body::Message(fields) = &mut definition.body else { continue };
            for field in fields.iter_mut().filter(|known| known.name == field) {
                of.clone_into(&mut field.wire);
                of.clone_into(&mut field.of);
            }
        }
    }

    /// The `.proto` file of everything defined so far.
    pub fn render(&self, package: &str) -> String {
        let mut out = format!(
            "// Generated from the types of the crate acurast-events, whose tests compare it.\nsyntax = \"proto3\";\npackage {package};\n"
        );
        for definition in &self.definitions {
            out.push_str(&definition.proto());
        }
        out
    }
}

impl Definition {
    /// How it stands in a `.proto` file; a scalar doesn't.
    fn proto(&self) -> String {
        let (keyword, body) = match &self.body {
            Body::Pending | Body::Scalar(_) => return String::new(),
            Body::Message(fields) => ("message", fields.iter().map(Field::proto).collect()),
            Body::Enumeration(values) => ("enum", self.values_proto(values)),
            Body::OneOf(variants) => ("message", one_of_proto(variants)),
        };
        format!("\n{}{keyword} {} {{\n{body}}}\n", comment("", self.docs), self.name)
    }

    fn values_proto(&self, values: &[Value]) -> String {
        let prefix = snake_case(self.name).to_ascii_uppercase();
        let mut out = format!("  // Never written.\n  {prefix}_UNSPECIFIED = 0;\n");
        for value in values {
            let name = snake_case(value.name).to_ascii_uppercase();
            out.push_str(&format!("{}  {prefix}_{name} = {};\n", comment("  ", value.docs), value.tag));
        }
        out
    }
}

impl Field {
    fn proto(&self) -> String {
        format!("{}  {}{} {} = {};\n", comment("  ", self.docs), self.label, self.wire, self.name, self.tag)
    }
}

fn one_of_proto(variants: &[(&str, u32)]) -> String {
    let lines: String = variants.iter().map(|(name, tag)| format!("    {name} {} = {tag};\n", snake_case(name))).collect();
    format!("  oneof event {{\n{lines}  }}\n")
}

/// Doc comments as comments of a schema, without the links that only rustdoc follows.
fn comment(indent: &str, docs: &[&str]) -> String {
    docs.iter().map(|line| format!("{indent}// {}\n", line.trim().replace("[`", "`").replace("`]", "`"))).collect()
}

/// `JobOpened` → `job_opened`, as serde does it, so that schema and JSON view have the same names.
pub fn snake_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len().saturating_add(4));
    for (at, character) in name.char_indices() {
        if character.is_ascii_uppercase() && at > 0 {
            out.push('_');
        }
        out.push(character.to_ascii_lowercase());
    }
    out
}
