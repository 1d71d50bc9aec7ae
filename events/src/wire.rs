//! How the types of this crate stand in Protobuf: one definition gives the Rust type, its bytes, its JSON view and its schema.
//!
//! [`message!`](crate::message), [`wire_enum!`](crate::wire_enum) and [`events!`](crate::events) declare types whose fields are our own
//! newtypes. Encoding is ordinary proto3 (fields in tag order, zero scalars left out), so any Protobuf library reads it
//! with the schemas in `events/proto`, which are generated from the same definitions. Decoding is strict: an unknown tag
//! or a missing field is an error, because a reader that skips part of an authoritative record would fold another state.

use prost::bytes::Buf;
pub use prost::encoding::WireType;
use prost::encoding::{decode_key, decode_varint, encode_key, encode_varint};
use std::collections::BTreeMap;

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

/// The `.proto` definitions that a set of types needs, by name.
#[derive(Debug, Default)]
pub struct Schema {
    definitions: BTreeMap<String, String>,
}

impl Schema {
    /// Adds the definition `name` unless it is there; `body` may add what it refers to.
    pub fn define(&mut self, name: &str, body: impl FnOnce(&mut Self) -> String) {
        if !self.definitions.contains_key(name) {
            self.definitions.insert(name.to_owned(), String::new());
            let text = body(self);
            self.definitions.insert(name.to_owned(), text);
        }
    }

    /// The `.proto` file of everything defined so far, in alphabetical order, in package `acurast.v1`.
    pub fn render(&self) -> String {
        let mut out = String::from(
            "// Generated from the types of acurast-events; `cargo test -p acurast-events` checks it.\nsyntax = \"proto3\";\npackage acurast.v1;\n",
        );
        for text in self.definitions.values() {
            out.push('\n');
            out.push_str(text);
        }
        out
    }
}

/// A type that fills one Protobuf field.
pub trait Wire: Sized {
    /// Name of the type in a schema, such as `bytes`, `uint64` or `Registration`.
    fn type_name() -> String;
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
        *read = Some(read_one(wire_type, buf)?);
        Ok(())
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
        *read = Some(read_one(wire_type, buf)?);
        Ok(())
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

/// A complete Protobuf message.
pub trait Message: Sized {
    /// The message's bytes.
    fn encode(&self) -> Vec<u8>;
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
        Self::from_utf8(read_delimited(buf)?.to_vec()).map_err(|error| WireError::Invalid { what: "string", reason: error.to_string() })
    }
    fn is_default(&self) -> bool {
        self.is_empty()
    }
    fn absent(_field: &'static str) -> Result<Self, WireError> {
        Ok(Self::new())
    }
}

/// Implements [`Wire`] for a type that is a string on the wire, through `Display` and `FromStr`.
#[macro_export]
macro_rules! wire_as_string {
    ($name:ident) => {
        impl $crate::wire::Wire for $name {
            const WIRE_TYPE: $crate::wire::WireType = $crate::wire::WireType::LengthDelimited;
            fn type_name() -> String {
                "string".into()
            }
            fn write(&self, out: &mut Vec<u8>) {
                $crate::wire::write_delimited(self.to_string().as_bytes(), out);
            }
            fn read(buf: &mut &[u8]) -> Result<Self, $crate::wire::WireError> {
                <String as $crate::wire::Wire>::read(buf)?
                    .parse()
                    .map_err(|error| $crate::wire::WireError::Invalid { what: stringify!($name), reason: format!("{error}") })
            }
        }
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <String as serde::Deserialize>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// Declares a Protobuf message: `struct Name { tag field: Type, … }` with tags ascending.
#[macro_export]
macro_rules! message {
    ($( $(#[$meta:meta])* pub struct $name:ident { $( $(#[$field_meta:meta])* $tag:literal $field:ident: $type:ty, )* } )*) => { $(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub struct $name { $( $(#[$field_meta])* pub $field: $type, )* }

        impl $crate::wire::Message for $name {
            fn encode(&self) -> Vec<u8> {
                #[allow(unused_mut)]
                let mut out = Vec::new();
                $( $crate::wire::Occurs::put(&self.$field, $tag, &mut out); )*
                out
            }
            fn decode(bytes: &[u8]) -> Result<Self, $crate::wire::WireError> {
                #[allow(unused_mut)]
                let mut buf = bytes;
                $( let mut $field = <$type as $crate::wire::Occurs>::Read::default(); )*
                while let Some((tag, _wire_type)) = $crate::wire::next_key(&mut buf)? {
                    match tag {
                        $( $tag => <$type as $crate::wire::Occurs>::take(&mut $field, _wire_type, &mut buf)?, )*
                        tag => return Err($crate::wire::WireError::UnknownField { message: stringify!($name), tag }),
                    }
                }
                Ok(Self { $( $field: <$type as $crate::wire::Occurs>::finish($field, concat!(stringify!($name), ".", stringify!($field)))?, )* })
            }
        }

        impl $crate::wire::Wire for $name {
            const WIRE_TYPE: $crate::wire::WireType = $crate::wire::WireType::LengthDelimited;
            fn type_name() -> String { stringify!($name).into() }
            fn write(&self, out: &mut Vec<u8>) {
                $crate::wire::write_delimited(&$crate::wire::Message::encode(self), out);
            }
            fn read(buf: &mut &[u8]) -> Result<Self, $crate::wire::WireError> {
                <Self as $crate::wire::Message>::decode($crate::wire::read_delimited(buf)?)
            }
            fn register(schema: &mut $crate::wire::Schema) {
                schema.define(stringify!($name), |_schema| {
                    #[allow(unused_mut)]
                    let mut text = String::from(concat!("message ", stringify!($name), " {\n"));
                    $(
                        <$type as $crate::wire::Occurs>::register_type(_schema);
                        text.push_str(&format!("  {}{} {} = {};\n", <$type as $crate::wire::Occurs>::LABEL,
                            <$type as $crate::wire::Occurs>::field_type(), stringify!($field), $tag));
                    )*
                    text.push_str("}\n");
                    text
                });
            }
        }
    )* };
}

/// Declares a closed set of names: a Protobuf enum whose zero is `UNSPECIFIED` and never valid, and a snake_case string in JSON.
#[macro_export]
macro_rules! wire_enum {
    ($( $(#[$meta:meta])* pub enum $name:ident { $( $(#[$variant_meta:meta])* $tag:literal $variant:ident, )* } )*) => { $(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $( $(#[$variant_meta])* $variant = $tag, )* }

        impl $crate::wire::Wire for $name {
            const WIRE_TYPE: $crate::wire::WireType = $crate::wire::WireType::Varint;
            fn type_name() -> String { stringify!($name).into() }
            fn write(&self, out: &mut Vec<u8>) { $crate::wire::write_varint(*self as u64, out); }
            fn read(buf: &mut &[u8]) -> Result<Self, $crate::wire::WireError> {
                match $crate::wire::read_varint(buf)? {
                    $( $tag => Ok(Self::$variant), )*
                    other => Err($crate::wire::WireError::Invalid { what: stringify!($name), reason: other.to_string() }),
                }
            }
            fn register(schema: &mut $crate::wire::Schema) {
                schema.define(stringify!($name), |_| {
                    let mut text = String::from(concat!("enum ", stringify!($name), " {\n  ", stringify!($name), "_UNSPECIFIED = 0;\n"));
                    $( text.push_str(concat!("  ", stringify!($name), "_", stringify!($variant), " = ", stringify!($tag), ";\n")); )*
                    text.push_str("}\n");
                    text
                });
            }
        }
    )* };
}

/// Declares the events of one topic: an enum whose variants carry the message of the same name, a `oneof` in Protobuf.
#[macro_export]
macro_rules! events {
    ($(#[$meta:meta])* pub enum $name:ident { $( $tag:literal $variant:ident, )* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $(
            #[doc = concat!("See [`", stringify!($variant), "`].")]
            $variant($variant),
        )* }

        impl $name {
            /// The event's name as subscribers see it.
            pub fn name(&self) -> &'static str {
                match self { $( Self::$variant(_) => stringify!($variant), )* }
            }
            /// The event's number within its topic; the `kind` of derived event ids.
            pub fn kind(&self) -> u16 {
                match self { $( Self::$variant(_) => $tag, )* }
            }
        }

        $( impl From<$variant> for $name { fn from(event: $variant) -> Self { Self::$variant(event) } } )*

        impl $crate::wire::Message for $name {
            fn encode(&self) -> Vec<u8> {
                let mut out = Vec::new();
                match self { $( Self::$variant(event) => $crate::wire::Occurs::put(event, $tag, &mut out), )* }
                out
            }
            fn decode(bytes: &[u8]) -> Result<Self, $crate::wire::WireError> {
                let mut buf = bytes;
                let Some((tag, wire_type)) = $crate::wire::next_key(&mut buf)? else {
                    return Err($crate::wire::WireError::Missing(stringify!($name)));
                };
                if wire_type != $crate::wire::WireType::LengthDelimited {
                    return Err($crate::wire::WireError::Malformed(format!("{} has wire type {wire_type:?}", stringify!($name))));
                }
                let event = match tag {
                    $( $tag => Self::$variant($crate::wire::Wire::read(&mut buf)?), )*
                    tag => return Err($crate::wire::WireError::UnknownField { message: stringify!($name), tag }),
                };
                if buf.is_empty() { Ok(event) } else { Err($crate::wire::WireError::Malformed("two events in one".into())) }
            }
        }

        impl $crate::wire::Wire for $name {
            const WIRE_TYPE: $crate::wire::WireType = $crate::wire::WireType::LengthDelimited;
            fn type_name() -> String { stringify!($name).into() }
            fn write(&self, out: &mut Vec<u8>) {
                $crate::wire::write_delimited(&$crate::wire::Message::encode(self), out);
            }
            fn read(buf: &mut &[u8]) -> Result<Self, $crate::wire::WireError> {
                <Self as $crate::wire::Message>::decode($crate::wire::read_delimited(buf)?)
            }
            fn register(schema: &mut $crate::wire::Schema) {
                schema.define(stringify!($name), |schema| {
                    let mut text = String::from(concat!("message ", stringify!($name), " {\n  oneof event {\n"));
                    $(
                        <$variant as $crate::wire::Wire>::register(schema);
                        text.push_str(concat!("    ", stringify!($variant), " e", stringify!($tag), " = ", stringify!($tag), ";\n"));
                    )*
                    text.push_str("  }\n}\n");
                    text
                });
            }
        }
    };
}
