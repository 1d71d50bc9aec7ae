//! How the types of this crate stand in Protobuf: the traits of messages, fields and scalars.
//!
//! Encoding is ordinary proto3 (fields in tag order, zero scalars left out), so any Protobuf library reads it with the
//! schemas in `events/proto`. Decoding is strict: an unknown tag, a missing field or a single field that comes twice is an
//! error, because a reader that skips or merges part of an authoritative record would fold another state. The macros
//! that declare types are in `macros.rs`.

use prost::bytes::Buf;
pub use prost::encoding::WireType;
use prost::encoding::{decode_key, decode_varint, encode_key, encode_varint};

use crate::schema::Schema;
use std::fmt::{self, Display};
use std::io::Write;

/// Why bytes are not a value of the expected type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The bytes are not Protobuf.
    #[error("malformed Protobuf: {0}")]
    Malformed(String),
    /// A field that always carries a value is absent.
    #[error("field {0} is missing")]
    Missing(&'static str),
    /// A tag that this version does not know; a newer version wrote it.
    #[error("{message} has unknown field {tag}: written by a newer version; upgrade this reader")]
    UnknownField {
        /// The message that carries the tag.
        message: &'static str,
        /// The unknown tag.
        tag: u32,
    },
    /// The value is Protobuf but out of its range or of the wrong length.
    #[error("invalid {what}: {reason}")]
    Invalid {
        /// The type that refused the value.
        what: &'static str,
        /// Why.
        reason: String,
    },
}

impl From<prost::DecodeError> for WireError {
    fn from(error: prost::DecodeError) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// A type that fills one Protobuf field.
pub trait Wire: Sized {
    /// Name of the type in a schema, such as `bytes`, `uint64` or `Registration`.
    fn type_name() -> String;
    /// Name of the type here, such as `Timestamp`, by which the reference explains it.
    fn name() -> String {
        Self::type_name()
    }
    /// How the value is framed.
    const WIRE_TYPE: WireType;
    /// Writes the value without its key; length-delimited values write their length first.
    fn write(&self, out: &mut Vec<u8>);
    /// Reads a value whose key was read.
    ///
    /// # Errors
    /// When the bytes are malformed or the value is out of range.
    fn read(buf: &mut &[u8]) -> Result<Self, WireError>;
    /// Whether proto3 leaves the value out.
    fn is_default(&self) -> bool {
        false
    }
    /// The value of an absent field.
    ///
    /// # Errors
    /// When the type has no default: the field is then always present.
    fn absent(field: &'static str) -> Result<Self, WireError> {
        Err(WireError::Missing(field))
    }
    /// Adds the definitions that the type needs.
    fn register(_schema: &mut Schema) {}
}

/// How often a field occurs: once (`T`), at most once (`Option<T>`), any number of times (`Vec<T>`).
pub trait Occurs: Sized {
    /// What was read so far.
    type Read: Default;
    /// The schema's label with a trailing space, or nothing.
    const LABEL: &'static str;
    /// The schema's type.
    fn field_type() -> String;
    /// The type's name here.
    fn field_name() -> String;
    /// Adds the definitions that the type needs.
    fn register_type(schema: &mut Schema);
    /// Writes key and value, or nothing.
    fn put(&self, tag: u32, out: &mut Vec<u8>);
    /// Takes one occurrence.
    ///
    /// # Errors
    /// When the value does not decode.
    fn take(read: &mut Self::Read, wire_type: WireType, buf: &mut &[u8]) -> Result<(), WireError>;
    /// The field's value after the last occurrence.
    ///
    /// # Errors
    /// When a value is required and none came.
    fn finish(read: Self::Read, field: &'static str) -> Result<Self, WireError>;
}

/// Takes the only occurrence of a field. Libraries differ in what a second one means (the last wins, or messages merge),
/// so that two readers would see two values: refused.
fn take_once<T: Wire>(read: &mut Option<T>, wire_type: WireType, buf: &mut &[u8]) -> Result<(), WireError> {
    if read.is_some() {
        return Err(WireError::Malformed(format!("a field of type {} comes twice", T::type_name())));
    }
    *read = Some(read_one(wire_type, buf)?);
    Ok(())
}

fn read_one<T: Wire>(wire_type: WireType, buf: &mut &[u8]) -> Result<T, WireError> {
    if wire_type != T::WIRE_TYPE {
        return Err(WireError::Malformed(format!("{} has wire type {wire_type:?}", T::type_name())));
    }
    T::read(buf)
}

impl<T: Wire> Occurs for T {
    type Read = Option<T>;
    const LABEL: &'static str = "";
    fn field_type() -> String {
        T::type_name()
    }
    fn field_name() -> String {
        T::name()
    }
    fn register_type(schema: &mut Schema) {
        T::register(schema);
    }
    fn put(&self, tag: u32, out: &mut Vec<u8>) {
        if !self.is_default() {
            encode_key(tag, T::WIRE_TYPE, out);
            self.write(out);
        }
    }
    fn take(read: &mut Self::Read, wire_type: WireType, buf: &mut &[u8]) -> Result<(), WireError> {
        take_once(read, wire_type, buf)
    }
    fn finish(read: Self::Read, field: &'static str) -> Result<Self, WireError> {
        read.map_or_else(|| T::absent(field), Ok)
    }
}

impl<T: Wire> Occurs for Option<T> {
    type Read = Option<T>;
    const LABEL: &'static str = "optional ";
    fn field_type() -> String {
        T::type_name()
    }
    fn field_name() -> String {
        T::name()
    }
    fn register_type(schema: &mut Schema) {
        T::register(schema);
    }
    fn put(&self, tag: u32, out: &mut Vec<u8>) {
        if let Some(value) = self {
            encode_key(tag, T::WIRE_TYPE, out);
            value.write(out);
        }
    }
    fn take(read: &mut Self::Read, wire_type: WireType, buf: &mut &[u8]) -> Result<(), WireError> {
        take_once(read, wire_type, buf)
    }
    fn finish(read: Self::Read, _field: &'static str) -> Result<Self, WireError> {
        Ok(read)
    }
}

impl<T: Wire> Occurs for Vec<T> {
    type Read = Vec<T>;
    const LABEL: &'static str = "repeated ";
    fn field_type() -> String {
        T::type_name()
    }
    fn field_name() -> String {
        T::name()
    }
    fn register_type(schema: &mut Schema) {
        T::register(schema);
    }
    fn put(&self, tag: u32, out: &mut Vec<u8>) {
        for value in self {
            encode_key(tag, T::WIRE_TYPE, out);
            value.write(out);
        }
    }
    fn take(read: &mut Self::Read, wire_type: WireType, buf: &mut &[u8]) -> Result<(), WireError> {
        // proto3 libraries pack repeated scalars; ours writes them one by one and reads both.
        if wire_type == WireType::LengthDelimited && T::WIRE_TYPE != WireType::LengthDelimited {
            let mut packed = read_delimited(buf)?;
            while packed.has_remaining() {
                read.push(T::read(&mut packed)?);
            }
        } else {
            read.push(read_one(wire_type, buf)?);
        }
        Ok(())
    }
    fn finish(read: Self::Read, _field: &'static str) -> Result<Self, WireError> {
        Ok(read)
    }
}

/// Room for most messages of this crate, bytes: a buffer that grows step by step costs more than the encoding.
const MESSAGE_BYTES: usize = 192;

/// A complete Protobuf message.
pub trait Message: Sized {
    /// Appends the message's bytes.
    fn encode_to(&self, out: &mut Vec<u8>);
    /// The message's bytes.
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(MESSAGE_BYTES);
        self.encode_to(&mut out);
        out
    }
    /// The message of `bytes`.
    ///
    /// # Errors
    /// When the bytes are not exactly such a message.
    fn decode(bytes: &[u8]) -> Result<Self, WireError>;
}

/// Writes `bytes` with their length before them.
pub fn write_delimited(bytes: &[u8], out: &mut Vec<u8>) {
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Writes what `write` appends with its length before it, without a buffer for each message in a message.
pub fn write_measured(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    // Most lengths take one byte.
    out.push(0);
    let from = out.len();
    write(out);
    let length = out.len().saturating_sub(from);
    let mut prefix = [0u8; 10];
    let mut room = &mut prefix[..];
    encode_varint(length as u64, &mut room);
    let prefix_bytes = 10usize.saturating_sub(room.len());
    match (out.get_mut(at), prefix) {
        (Some(first), [only, ..]) if prefix_bytes == 1 => *first = only,
        _ => drop(out.splice(at..from, prefix.into_iter().take(prefix_bytes))),
    }
}

/// Writes a text with its length before it.
pub fn write_text(text: &impl Display, out: &mut Vec<u8>) {
    // Writing into memory doesn't fail.
    write_measured(out, |out| drop(write!(out, "{text}")));
}

/// Whether `value` is written as `text`.
pub fn is_written_as(value: &impl Display, text: &str) -> bool {
    struct Rest<'a>(&'a str);
    impl fmt::Write for Rest<'_> {
        fn write_str(&mut self, part: &str) -> fmt::Result {
            self.0 = self.0.strip_prefix(part).ok_or(fmt::Error)?;
            Ok(())
        }
    }
    let mut rest = Rest(text);
    fmt::Write::write_fmt(&mut rest, format_args!("{value}")).is_ok() && rest.0.is_empty()
}

/// Reads a text where it stands.
///
/// # Errors
/// When the bytes are malformed or not UTF-8.
pub fn read_text<'a>(buf: &mut &'a [u8]) -> Result<&'a str, WireError> {
    std::str::from_utf8(read_delimited(buf)?).map_err(|error| WireError::Invalid { what: "string", reason: error.to_string() })
}

/// Reads a length and that many bytes.
///
/// # Errors
/// When fewer bytes remain than the length says.
pub fn read_delimited<'a>(buf: &mut &'a [u8]) -> Result<&'a [u8], WireError> {
    let length = usize::try_from(decode_varint(buf)?).map_err(|_| WireError::Malformed("length over the address space".into()))?;
    let (value, rest) = buf.split_at_checked(length).ok_or_else(|| WireError::Malformed("truncated value".into()))?;
    *buf = rest;
    Ok(value)
}

/// Reads the next field key, or nothing at the end.
///
/// # Errors
/// When the key is malformed.
pub fn next_key(buf: &mut &[u8]) -> Result<Option<(u32, WireType)>, WireError> {
    if buf.is_empty() { Ok(None) } else { Ok(Some(decode_key(buf)?)) }
}

/// Writes a varint.
pub fn write_varint(value: u64, out: &mut Vec<u8>) {
    encode_varint(value, out);
}

/// Reads a varint.
///
/// # Errors
/// When the bytes end within it.
pub fn read_varint(buf: &mut &[u8]) -> Result<u64, WireError> {
    Ok(decode_varint(buf)?)
}

impl Wire for bool {
    const WIRE_TYPE: WireType = WireType::Varint;
    fn type_name() -> String {
        "bool".into()
    }
    fn write(&self, out: &mut Vec<u8>) {
        write_varint(u64::from(*self), out);
    }
    fn read(buf: &mut &[u8]) -> Result<Self, WireError> {
        match read_varint(buf)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(WireError::Invalid { what: "bool", reason: other.to_string() }),
        }
    }
    fn is_default(&self) -> bool {
        !*self
    }
    fn absent(_field: &'static str) -> Result<Self, WireError> {
        Ok(false)
    }
}

impl Wire for u32 {
    const WIRE_TYPE: WireType = WireType::Varint;
    fn type_name() -> String {
        "uint32".into()
    }
    fn write(&self, out: &mut Vec<u8>) {
        write_varint(u64::from(*self), out);
    }
    fn read(buf: &mut &[u8]) -> Result<Self, WireError> {
        let value = read_varint(buf)?;
        Self::try_from(value).map_err(|_| WireError::Invalid { what: "uint32", reason: value.to_string() })
    }
    fn is_default(&self) -> bool {
        *self == 0
    }
    fn absent(_field: &'static str) -> Result<Self, WireError> {
        Ok(0)
    }
}

impl Wire for String {
    const WIRE_TYPE: WireType = WireType::LengthDelimited;
    fn type_name() -> String {
        "string".into()
    }
    fn write(&self, out: &mut Vec<u8>) {
        write_delimited(self.as_bytes(), out);
    }
    fn read(buf: &mut &[u8]) -> Result<Self, WireError> {
        read_text(buf).map(str::to_owned)
    }
    fn is_default(&self) -> bool {
        self.is_empty()
    }
    fn absent(_field: &'static str) -> Result<Self, WireError> {
        Ok(Self::new())
    }
}
