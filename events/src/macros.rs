//! The macros that declare what stands on the wire: one definition gives the Rust type, its bytes, its JSON view and its schema.
//!
//! Doc comments become the comments of the schema. In JSON a message is an object of its fields, an event an object with
//! its name in snake_case, an enum value its name in snake_case.

/// The name and meaning of a type that Protobuf has a type for, within its `impl Wire`.
#[doc(hidden)]
#[macro_export]
macro_rules! scalar {
    ($name:ident, $($doc:literal)+) => {
        fn name() -> String {
            stringify!($name).into()
        }
        fn register(schema: &mut $crate::schema::Schema) {
            schema.define(stringify!($name), &[$($doc),+], |_| $crate::schema::Body::Scalar(Self::type_name()));
        }
    };
}

/// Implements [`Wire`] for a type that is a string on the wire, through `Display` and `FromStr`; with words on what it is.
#[macro_export]
macro_rules! wire_as_string {
    ($name:ident, $($doc:literal)+) => {
        impl $crate::wire::Wire for $name {
            const WIRE_TYPE: $crate::wire::WireType = $crate::wire::WireType::LengthDelimited;
            fn type_name() -> String {
                "string".into()
            }
            $crate::scalar!($name, $($doc)+);
            fn write(&self, out: &mut Vec<u8>) {
                $crate::wire::write_text(self, out);
            }
            fn read(buf: &mut &[u8]) -> Result<Self, $crate::wire::WireError> {
                let invalid = |reason: String| $crate::wire::WireError::Invalid { what: stringify!($name), reason };
                let text = $crate::wire::read_text(buf)?;
                let value: Self = text.parse().map_err(|error| invalid(format!("{error}")))?;
                // One value has one form on the wire, so that equal values have equal bytes.
                if $crate::wire::is_written_as(&value, text) {
                    Ok(value)
                } else {
                    Err(invalid(format!("not in its shortest form: {text:?}")))
                }
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
    ($( $(#[doc = $doc:literal])* pub struct $name:ident { $( $(#[doc = $field_doc:literal])* $tag:literal $field:ident: $type:ty, )* } )*) => { $(
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $( $(#[doc = $field_doc])* pub $field: $type, )* }

        $crate::sample_message!($name { $($field),* });

        impl $crate::wire::Message for $name {
            #[allow(unused_variables)]
            fn encode_to(&self, out: &mut Vec<u8>) {
                $( $crate::wire::Occurs::put(&self.$field, $tag, out); )*
            }
            // A message without fields refuses the first that comes.
            #[allow(clippy::never_loop)]
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
                $crate::wire::write_measured(out, |out| $crate::wire::Message::encode_to(self, out));
            }
            fn read(buf: &mut &[u8]) -> Result<Self, $crate::wire::WireError> {
                <Self as $crate::wire::Message>::decode($crate::wire::read_delimited(buf)?)
            }
            fn register(schema: &mut $crate::schema::Schema) {
                schema.define(stringify!($name), &[$($doc),*], |_schema| {
                    $( <$type as $crate::wire::Occurs>::register_type(_schema); )*
                    $crate::schema::Body::Message(vec![ $(
                        $crate::schema::Field {
                            docs: &[$($field_doc),*],
                            name: stringify!($field),
                            tag: $tag,
                            label: <$type as $crate::wire::Occurs>::LABEL,
                            wire: <$type as $crate::wire::Occurs>::field_type(),
                            of: <$type as $crate::wire::Occurs>::field_name(),
                        },
                    )* ])
                });
            }
        }
    )* };
}

/// Declares a closed set of names: a Protobuf enum whose zero is `UNSPECIFIED` and never valid, and a snake_case string in JSON.
#[macro_export]
macro_rules! wire_enum {
    ($( $(#[doc = $doc:literal])* pub enum $name:ident { $( $(#[doc = $variant_doc:literal])* $tag:literal $variant:ident, )* } )*) => { $(
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $( $(#[doc = $variant_doc])* $variant = $tag, )* }

        $crate::sample_enum!($name { $($variant),* });

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
            fn register(schema: &mut $crate::schema::Schema) {
                schema.define(stringify!($name), &[$($doc),*], |_| {
                    $crate::schema::Body::Enumeration(vec![ $(
                        $crate::schema::Value { docs: &[$($variant_doc),*], name: stringify!($variant), tag: $tag },
                    )* ])
                });
            }
        }
    )* };
}

/// Declares the events of one topic: an enum whose variants carry the message of the same name, a `oneof` in Protobuf.
#[macro_export]
macro_rules! events {
    ($(#[doc = $doc:literal])* pub enum $name:ident { $( $tag:literal $variant:ident, )* }) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        // Events are encoded right after they are made; a box per event would cost more than the moves that it saves.
        #[allow(clippy::large_enum_variant)]
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

        $crate::sample_events!($name { $($tag $variant),* });

        $( impl From<$variant> for $name { fn from(event: $variant) -> Self { Self::$variant(event) } } )*

        impl $crate::wire::Message for $name {
            fn encode_to(&self, out: &mut Vec<u8>) {
                match self { $( Self::$variant(event) => $crate::wire::Occurs::put(event, $tag, out), )* }
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
                $crate::wire::write_measured(out, |out| $crate::wire::Message::encode_to(self, out));
            }
            fn read(buf: &mut &[u8]) -> Result<Self, $crate::wire::WireError> {
                <Self as $crate::wire::Message>::decode($crate::wire::read_delimited(buf)?)
            }
            fn register(schema: &mut $crate::schema::Schema) {
                schema.define(stringify!($name), &[$($doc),*], |schema| {
                    $( <$variant as $crate::wire::Wire>::register(schema); )*
                    $crate::schema::Body::OneOf(vec![ $( (stringify!($variant), $tag), )* ])
                });
            }
        }
    };
}

// Tests need a value of every type with every field filled, and one with nothing in it (`tests/sample.rs`). The helpers
// below are empty outside of this crate's own tests, so that nothing of it is in a build.

/// Gives a message sample values, in this crate's tests only.
#[doc(hidden)]
#[cfg(test)]
#[macro_export]
macro_rules! sample_message {
    ($name:ident { $($field:ident),* }) => {
        impl $crate::tests::sample::Sample for $name {
            fn sample(_seed: &mut $crate::tests::sample::Seed) -> Self {
                Self { $( $field: $crate::tests::sample::Sample::sample(_seed), )* }
            }
        }
    };
}
/// Gives an enum sample values, in this crate's tests only.
#[doc(hidden)]
#[cfg(test)]
#[macro_export]
macro_rules! sample_enum {
    ($name:ident { $($variant:ident),* }) => {
        impl $crate::tests::sample::Sample for $name {
            fn sample(seed: &mut $crate::tests::sample::Seed) -> Self {
                *seed.choose(&[$(Self::$variant),*])
            }
        }
    };
}
/// Lists a sample of every event, in this crate's tests only.
#[doc(hidden)]
#[cfg(test)]
#[macro_export]
macro_rules! sample_events {
    ($name:ident { $($tag:literal $variant:ident),* }) => {
        impl $crate::tests::sample::SampleEvents for $name {
            fn samples(seed: fn(u64) -> $crate::tests::sample::Seed) -> Vec<Self> {
                vec![ $( Self::$variant($crate::tests::sample::Sample::sample(&mut seed($tag))), )* ]
            }
        }
    };
}
/// Nothing: samples are for this crate's tests.
#[doc(hidden)]
#[cfg(not(test))]
#[macro_export]
macro_rules! sample_message {
    ($($ignored:tt)*) => {};
}
/// Nothing: samples are for this crate's tests.
#[doc(hidden)]
#[cfg(not(test))]
#[macro_export]
macro_rules! sample_enum {
    ($($ignored:tt)*) => {};
}
/// Nothing: samples are for this crate's tests.
#[doc(hidden)]
#[cfg(not(test))]
#[macro_export]
macro_rules! sample_events {
    ($($ignored:tt)*) => {};
}
