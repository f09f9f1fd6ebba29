//! AMF0: the values inside commands and metadata, read in place and written to a buffer.
//!
//! Decoding borrows from the message body and allocates nothing. `Decoder::next` walks one value to
//! its last byte under two budgets, nesting depth and number of values, before it hands the value
//! out; after that the iterators over it cannot fail. A nested value is walked again when an
//! iterator passes over it, so a full walk costs at most depth times the length of the body.
//!
//! ```text
//!   body  02 00 07 connect | 00 <f64> | 03 (key value)* 00 00 09 | …
//!         String             Number     Object                     rest()
//! ```
//!
//! Not here: AMF3, a table of references, conversion to owned values, judgement about what a
//! command means. Counts on the wire are never used to allocate. Bytes stay bytes: only `as_str`
//! checks that a string is UTF-8.
//!
//! Tolerances: objects and ECMA arrays that are still open where the body ends need no end marker
//! (Envivio encoders leave it out); the count of an ECMA array is ignored; an empty key that no end
//! marker follows is an ordinary property; a reference (AMF0 §2.9) is skipped and reads as
//! `Unsupported`. Refused: the reserved markers, an end marker out of place, the switch to AMF3.
//!
//! Covers AMF0 §2 and §3.1.

use alloc::vec::Vec;
use core::fmt;

use crate::limits;

const NUMBER: u8 = 0x00;
const BOOLEAN: u8 = 0x01;
const STRING: u8 = 0x02;
const OBJECT: u8 = 0x03;
const NULL: u8 = 0x05;
const UNDEFINED: u8 = 0x06;
const REFERENCE: u8 = 0x07;
const ECMA_ARRAY: u8 = 0x08;
const STRICT_ARRAY: u8 = 0x0A;
const DATE: u8 = 0x0B;
const LONG_STRING: u8 = 0x0C;
const UNSUPPORTED: u8 = 0x0D;
const XML_DOCUMENT: u8 = 0x0F;
const TYPED_OBJECT: u8 = 0x10;
/// An empty key and the object end marker. AMF0 §2.11.
const OBJECT_END: [u8; 3] = [0x00, 0x00, 0x09];

/// Why a value could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AmfError {
    /// The body ends inside a value.
    Truncated,
    /// Objects and arrays are nested deeper than the limit.
    Depth {
        /// The limit, see [`Limits::depth`].
        limit: u8,
    },
    /// The body has more values than the limit.
    Nodes {
        /// The limit, see [`Limits::nodes`].
        limit: u32,
    },
    /// A type marker that is reserved, out of place or not AMF0 (0x11 switches to AMF3).
    Marker {
        /// The marker.
        got: u8,
    },
}

impl fmt::Display for AmfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => write!(f, "amf0 value is cut short"),
            Self::Depth { limit } => write!(f, "amf0 nested over {limit} deep"),
            Self::Nodes { limit } => write!(f, "over {limit} amf0 values in one message"),
            Self::Marker { got } => write!(f, "amf0 marker 0x{got:02x}"),
        }
    }
}

impl core::error::Error for AmfError {}

/// What one message body may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Objects and arrays open at one time; 1 allows an object of plain values.
    pub depth: u8,
    /// Values in the whole body, nested ones and arrays included.
    pub nodes: u32,
}

impl Limits {
    /// For data messages: far above the largest `onMetaData` of real encoders.
    pub const DEFAULT: Self = Self {
        depth: limits::AMF_DEPTH_MAX,
        nodes: limits::AMF_NODES_MAX,
    };

    /// For commands, which come from anybody: far above the largest `connect`.
    pub const COMMAND: Self = Self {
        depth: limits::AMF_DEPTH_MAX,
        nodes: limits::COMMAND_AMF_NODES_MAX,
    };
}

/// One AMF0 value, borrowed from the message body.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// AMF0 §2.2; may be NaN or infinite.
    Number(f64),
    /// AMF0 §2.3.
    Boolean(bool),
    /// A string, a long string or an XML document; not necessarily UTF-8.
    String(&'a [u8]),
    /// An object, a typed object (its class name is dropped) or an ECMA array.
    Object(Object<'a>),
    /// AMF0 §2.12.
    StrictArray(Array<'a>),
    /// Milliseconds since 1970 in UTC; the time zone is dropped. AMF0 §2.13.
    Date(f64),
    /// AMF0 §2.7.
    Null,
    /// AMF0 §2.8.
    Undefined,
    /// AMF0 §2.15, or a reference, which is not followed.
    Unsupported,
}

impl<'a> Value<'a> {
    /// The number as it is on the wire: NaN and infinities included.
    pub fn as_number(&self) -> Option<f64> {
        match *self {
            Self::Number(number) => Some(number),
            _ => None,
        }
    }

    /// The number if it is whole and fits; the range check that ids, times and sizes need.
    pub fn as_u32(&self) -> Option<u32> {
        let number = self.as_number()?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "what the cast changes is not equal any more"
        )]
        let whole = number as u32;
        (f64::from(whole) == number).then_some(whole)
    }

    /// A boolean, or a number that is neither zero nor NaN (flags sent as numbers).
    pub fn as_bool(&self) -> Option<bool> {
        match *self {
            Self::Boolean(flag) => Some(flag),
            Self::Number(number) => Some(number != 0.0 && !number.is_nan()),
            _ => None,
        }
    }

    /// The bytes of a string.
    pub fn as_bytes(&self) -> Option<&'a [u8]> {
        match *self {
            Self::String(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The string, if it is valid UTF-8. Linear in its length.
    pub fn as_str(&self) -> Option<&'a str> {
        core::str::from_utf8(self.as_bytes()?).ok()
    }

    /// The object or ECMA array.
    pub fn as_object(&self) -> Option<Object<'a>> {
        match *self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }
}

/// The properties of an object or ECMA array. Equal when the bytes on the wire are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object<'a> {
    /// Walked once: `(key value)*` without the end marker.
    properties: &'a [u8],
}

impl<'a> Object<'a> {
    /// Every property in wire order, repeated keys included.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], Value<'a>)> + use<'a> {
        let mut decoder = Decoder::walked(self.properties);
        core::iter::from_fn(move || Some((decoder.short_bytes().ok()?, decoder.value().ok()?)))
    }

    /// Every property in wire order: its bytes on the wire, name included, and its value.
    pub fn encoded(&self) -> impl Iterator<Item = (&'a [u8], Value<'a>)> + use<'a> {
        let mut decoder = Decoder::walked(self.properties);
        core::iter::from_fn(move || {
            let start = decoder.rest;
            decoder.short_bytes().ok()?;
            let value = decoder.value().ok()?;
            Some((decoder.since(start), value))
        })
    }

    /// The first property of this name. Linear.
    pub fn get(&self, key: &str) -> Option<Value<'a>> {
        self.find(|name| name == key.as_bytes())
    }

    /// The first property of this name whatever its ASCII case: some cameras send `tcurl`. Linear.
    pub fn get_ignore_case(&self, key: &str) -> Option<Value<'a>> {
        self.find(|name| name.eq_ignore_ascii_case(key.as_bytes()))
    }

    fn find(&self, is_wanted: impl Fn(&[u8]) -> bool) -> Option<Value<'a>> {
        let (_, value) = self.iter().find(|(name, _)| is_wanted(name))?;
        Some(value)
    }
}

/// The elements of a strict array. Equal when the bytes on the wire are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Array<'a> {
    /// Walked once: exactly the elements.
    elements: &'a [u8],
}

impl<'a> Array<'a> {
    /// Every element in order.
    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let mut decoder = Decoder::walked(self.elements);
        core::iter::from_fn(move || decoder.value().ok())
    }
}

/// Reads the values of one message body, one after the other.
#[derive(Clone, Debug)]
pub struct Decoder<'a> {
    rest: &'a [u8],
    limits: Limits,
    /// What the values so far have left of `limits`; the depth is whole between values.
    left: Limits,
}

impl<'a> Decoder<'a> {
    /// Starts at the front of `input`; the limits hold for all of it.
    pub fn new(input: &'a [u8], limits: Limits) -> Self {
        Self {
            rest: input,
            limits,
            left: limits,
        }
    }

    /// The next value, or `None` at the end of the body. After an error the decoder stays where it
    /// is and gives the same error again.
    #[expect(
        clippy::should_implement_trait,
        reason = "callers use `?` on the error and match on the end; an iterator mixes the two"
    )]
    pub fn next(&mut self) -> Result<Option<Value<'a>>, AmfError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let mut ahead = self.clone();
        let value = ahead.value()?;
        *self = ahead;
        Ok(Some(value))
    }

    /// The bytes not read yet: what follows the handler name of a data message, for one.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Over bytes that have been decoded within limits before.
    fn walked(bytes: &'a [u8]) -> Self {
        Self::new(
            bytes,
            Limits {
                depth: u8::MAX,
                nodes: u32::MAX,
            },
        )
    }

    /// One value with all that is nested in it. Calls itself, at most `limits.depth` deep.
    fn value(&mut self) -> Result<Value<'a>, AmfError> {
        let error = AmfError::Nodes {
            limit: self.limits.nodes,
        };
        self.left.nodes = self.left.nodes.checked_sub(1).ok_or(error)?;
        let [marker] = self.array()?;
        Ok(match marker {
            NUMBER => Value::Number(self.double()?),
            BOOLEAN => Value::Boolean(self.array()? != [0x00]),
            STRING => Value::String(self.short_bytes()?),
            OBJECT => Value::Object(self.nested(Self::properties)?),
            NULL => Value::Null,
            UNDEFINED => Value::Undefined,
            REFERENCE => {
                self.take(2)?;
                Value::Unsupported
            }
            ECMA_ARRAY => {
                self.take(4)?;
                Value::Object(self.nested(Self::properties)?)
            }
            STRICT_ARRAY => Value::StrictArray(self.nested(Self::elements)?),
            DATE => {
                let date = self.double()?;
                self.take(2)?;
                Value::Date(date)
            }
            LONG_STRING | XML_DOCUMENT => {
                let length = u32::from_be_bytes(self.array()?);
                let length = usize::try_from(length).map_err(|_| AmfError::Truncated)?;
                Value::String(self.take(length)?)
            }
            UNSUPPORTED => Value::Unsupported,
            TYPED_OBJECT => {
                self.short_bytes()?;
                Value::Object(self.nested(Self::properties)?)
            }
            got => return Err(AmfError::Marker { got }),
        })
    }

    /// Reads an object or array one level deeper.
    fn nested<T>(&mut self, read: fn(&mut Self) -> Result<T, AmfError>) -> Result<T, AmfError> {
        let error = AmfError::Depth {
            limit: self.limits.depth,
        };
        self.left.depth = self.left.depth.checked_sub(1).ok_or(error)?;
        let inside = read(self)?;
        self.left.depth += 1;
        Ok(inside)
    }

    /// Properties and their end marker, which may be missing where the body ends.
    fn properties(&mut self) -> Result<Object<'a>, AmfError> {
        let start = self.rest;
        while !self.rest.is_empty() && !self.rest.starts_with(&OBJECT_END) {
            self.short_bytes()?;
            self.value()?;
        }
        let properties = self.since(start);
        self.rest = self.rest.strip_prefix(&OBJECT_END).unwrap_or_default();
        Ok(Object { properties })
    }

    /// As many values as announced. An element has one byte at least, so the work is bounded by
    /// the body whatever the count.
    fn elements(&mut self) -> Result<Array<'a>, AmfError> {
        let count = u32::from_be_bytes(self.array()?);
        let start = self.rest;
        for _ in 0..count {
            self.value()?;
        }
        let elements = self.since(start);
        Ok(Array { elements })
    }

    /// What was read since the rest was `start`.
    fn since(&self, start: &'a [u8]) -> &'a [u8] {
        &start[..start.len() - self.rest.len()]
    }

    fn double(&mut self) -> Result<f64, AmfError> {
        self.array().map(f64::from_be_bytes)
    }

    fn short_bytes(&mut self) -> Result<&'a [u8], AmfError> {
        let length = u16::from_be_bytes(self.array()?);
        self.take(usize::from(length))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], AmfError> {
        let split = self.rest.split_at_checked(length);
        let (taken, rest) = split.ok_or(AmfError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], AmfError> {
        let split = self.rest.split_first_chunk::<N>();
        let (taken, rest) = split.ok_or(AmfError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }
}

/// The AMF0 values inside a message of type 17 or 15, which are labelled AMF3.
///
/// Flash and Wowza put a format byte 0x00 in front, other clients leave it out. 0x00 is the marker
/// of a number as well, but the first value of a command and of a data message is its name: so a
/// 0x00 is the format byte when a string follows it, and is left alone otherwise.
pub fn strip_amf3_prefix(body: &[u8]) -> &[u8] {
    match body {
        [0x00, values @ ..] if matches!(values.first(), Some(&(STRING | LONG_STRING))) => values,
        _ => body,
    }
}

/// Writes values to the end of a buffer. Pairing `begin_*` with `end_object`, and strict array
/// counts with elements, is up to the caller.
#[derive(Debug)]
pub struct Encoder<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Encoder<'a> {
    /// Appends to `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    /// A number, 9 bytes.
    pub fn number(&mut self, number: f64) -> &mut Self {
        self.put(NUMBER, &number.to_be_bytes())
    }

    /// A boolean, 2 bytes.
    pub fn boolean(&mut self, flag: bool) -> &mut Self {
        self.put(BOOLEAN, &[u8::from(flag)])
    }

    /// A string; the long form when it has more than 65,535 bytes. Cut at 4 GiB.
    pub fn string(&mut self, text: &str) -> &mut Self {
        if u16::try_from(text.len()).is_ok() {
            return self.put(STRING, &[]).key(text);
        }
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        self.put(LONG_STRING, &length.to_be_bytes());
        self.out
            .extend_from_slice(&text.as_bytes()[..length as usize]);
        self
    }

    /// Null, 1 byte.
    pub fn null(&mut self) -> &mut Self {
        self.put(NULL, &[])
    }

    /// Undefined, 1 byte.
    pub fn undefined(&mut self) -> &mut Self {
        self.put(UNDEFINED, &[])
    }

    /// Opens an object; properties follow, then `end_object`.
    pub fn begin_object(&mut self) -> &mut Self {
        self.put(OBJECT, &[])
    }

    /// Opens an ECMA array of `count` properties; they follow, then `end_object`.
    pub fn begin_ecma_array(&mut self, count: u32) -> &mut Self {
        self.put(ECMA_ARRAY, &count.to_be_bytes())
    }

    /// Closes the object or ECMA array opened last.
    pub fn end_object(&mut self) -> &mut Self {
        self.out.extend_from_slice(&OBJECT_END);
        self
    }

    /// Opens a strict array; exactly `count` values follow and nothing closes it.
    pub fn strict_array_header(&mut self, count: u32) -> &mut Self {
        self.put(STRICT_ARRAY, &count.to_be_bytes())
    }

    /// The name of a property; its value follows. Cut to the 65,535 bytes that the format allows.
    pub fn key(&mut self, key: &str) -> &mut Self {
        let length = u16::try_from(key.len()).unwrap_or(u16::MAX);
        self.out.extend_from_slice(&length.to_be_bytes());
        self.out
            .extend_from_slice(&key.as_bytes()[..usize::from(length)]);
        self
    }

    /// A property that is a number.
    pub fn number_property(&mut self, key: &str, number: f64) -> &mut Self {
        self.key(key).number(number)
    }

    /// A property that is a boolean.
    pub fn boolean_property(&mut self, key: &str, flag: bool) -> &mut Self {
        self.key(key).boolean(flag)
    }

    /// A property that is a string.
    pub fn string_property(&mut self, key: &str, text: &str) -> &mut Self {
        self.key(key).string(text)
    }

    fn put(&mut self, marker: u8, bytes: &[u8]) -> &mut Self {
        self.out.push(marker);
        self.out.extend_from_slice(bytes);
        self
    }
}
