//! A second reader: Google's `protoc` takes every schema, and reads from the golden bytes what our JSON view shows.

use super::crate_path;
use super::golden::{Golden, all};
use crate::job_id::JobId;
use serde_json::Value;
use std::io::Write;
use std::process::{Command, Stdio};

/// Whether `protoc` is there. Where tests run for a merge (`CI` is set) it must be.
fn protoc_found() -> bool {
    let found = Command::new("protoc").arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    assert!(found || std::env::var_os("CI").is_none(), "CI needs protoc (Debian: protobuf-compiler)");
    if !found {
        // Not `eprintln!`, which a passing test swallows.
        writeln!(std::io::stderr(), "SKIPPED: protoc is not installed, so no second reader checked the golden bytes").unwrap();
    }
    found
}

/// What `protoc --decode` prints of a message, or the bytes that `--encode` gives.
fn protoc(mode: &str, golden: &Golden, input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("protoc")
        .arg(format!("--{mode}=acurast.{}.v1.{}", golden.topic, golden.message))
        .arg("-I")
        .arg(crate_path("proto"))
        .arg(format!("{}.proto", golden.topic))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}/{}: {}", golden.topic, golden.name, String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A message in Protobuf's text format: names and values in order.
type Fields = Vec<(String, Node)>;

#[derive(Debug)]
enum Node {
    /// A number, a name or `true`.
    Plain(String),
    /// A string or bytes, without quotes and escapes.
    Quoted(Vec<u8>),
    /// A message.
    Message(Fields),
}

fn parse<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Fields {
    let mut fields = Fields::new();
    while let Some(line) = lines.next().map(str::trim) {
        if line == "}" {
            break;
        }
        if let Some(name) = line.strip_suffix(" {") {
            fields.push((name.to_owned(), Node::Message(parse(lines))));
        } else {
            let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("no field: {line:?}"));
            let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            fields.push((name.to_owned(), quoted.map_or_else(|| Node::Plain(value.to_owned()), |text| Node::Quoted(unescape(text)))));
        }
    }
    fields
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes().peekable();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match bytes.next().unwrap() {
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            digit @ b'0'..=b'7' => {
                let mut value = u32::from(digit - b'0');
                for _ in 0..2 {
                    value = value * 8 + u32::from(bytes.next_if(|byte| (b'0'..=b'7').contains(byte)).unwrap() - b'0');
                }
                out.push(u8::try_from(value).unwrap());
            }
            other => out.push(other),
        }
    }
    out
}

/// Whether proto3 leaves this value out.
fn may_be_absent(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_u64() == Some(0),
        Value::String(text) => matches!(text.as_str(), "" | "0" | "0x"),
        Value::Array(items) => items.is_empty(),
        Value::Bool(true) | Value::Object(_) => false,
    }
}

fn assert_same(path: &str, view: &Value, node: &Node) {
    let same = match (view, node) {
        (Value::Object(_), Node::Message(fields)) => {
            assert_same_fields(path, view, fields);
            true
        }
        (Value::Bool(value), Node::Plain(text)) => value.to_string() == *text,
        (Value::Number(value), Node::Plain(text)) => value.to_string() == *text,
        // A 64-bit number, or an enum's value: MODE_CALL of `call`.
        (Value::String(value), Node::Plain(text)) => value == text || text.ends_with(&format!("_{}", value.to_ascii_uppercase())),
        (Value::String(value), Node::Quoted(bytes)) => {
            let hexadecimal = value.strip_prefix("0x").and_then(|digits| hex::decode(digits).ok());
            let job = value.parse::<JobId>().ok().map(|job| job.scale());
            value.as_bytes() == bytes || hexadecimal.as_ref() == Some(bytes) || job.as_ref() == Some(bytes)
        }
        _ => false,
    };
    assert!(same, "{path}: we read {view}, protoc {node:?}");
}

fn assert_same_fields(path: &str, view: &Value, fields: &Fields) {
    let view = view.as_object().unwrap_or_else(|| panic!("{path}: protoc reads a message, we {view}"));
    for (name, _) in fields {
        assert!(view.contains_key(name), "{path}: protoc reads {name}, we don't");
    }
    for (name, value) in view {
        let path = format!("{path}.{name}");
        let nodes: Vec<&Node> = fields.iter().filter(|(of, _)| of == name).map(|(_, node)| node).collect();
        match (value, &nodes[..]) {
            (value, []) => assert!(may_be_absent(value), "{path}: we read {value}, protoc nothing"),
            (Value::Array(items), nodes) => {
                assert_eq!(items.len(), nodes.len(), "{path}");
                items.iter().zip(nodes).for_each(|(item, node)| assert_same(&path, item, node));
            }
            (value, [node]) => assert_same(&path, value, node),
            (value, nodes) => panic!("{path}: we read {value}, protoc {nodes:?}"),
        }
    }
}

#[test]
fn protoc_reads_from_golden_bytes_what_the_json_view_shows_and_writes_the_same_bytes() {
    if !protoc_found() {
        return;
    }
    let mut compared = 0;
    for golden in all() {
        for (form, bytes) in &golden.forms {
            let text = protoc("decode", &golden, bytes);
            let fields = parse(&mut std::str::from_utf8(&text).unwrap().lines());
            let (_, view) = (golden.reread)(bytes).unwrap();
            assert_same_fields(&format!("{}/{} {form}", golden.topic, golden.name), &view, &fields);
            assert_eq!(&protoc("encode", &golden, &text), bytes, "{}/{} {form}", golden.topic, golden.name);
            compared += 1;
        }
    }
    assert_eq!(compared, all().len() * 2);
}
