//! The part of an entry that acceptance reads: kind, term, writer, sequence, previous hash.
//!
//! These fields are frozen for the life of a `v1` topic. They are read leniently (other fields are passed over), because
//! every version of a reader must reach the same verdict about the same bytes: only a record that is next in the chain is
//! decoded strictly, and a reader that doesn't know one of its fields halts instead of folding another state.

use crate::frontier::Owner;
use acurast_events::bytes::{RecordHash, WriterId};
use acurast_events::units::{Sequence, Term};
use acurast_events::wire::{Wire, WireError, WireType, next_key, read_delimited, read_varint};

const CLAIM: u32 = 1;
const RECORD: u32 = 2;

/// What acceptance decides on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Header {
    /// A claim.
    Claim(Owner),
    /// A record.
    Record { owner: Owner, sequence: Sequence, previous: RecordHash },
    /// An entry of a kind that no `v1` reader gives a meaning.
    Unknown,
}

impl Header {
    /// Reads the header of a stored value.
    pub(super) fn read(value: &[u8]) -> Result<Self, WireError> {
        let mut buf = value;
        let Some((kind, wire_type)) = next_key(&mut buf)? else { return Err(WireError::Missing("entry")) };
        expect(wire_type, WireType::LengthDelimited)?;
        let body = read_delimited(&mut buf)?;
        if !buf.is_empty() {
            return Err(WireError::Malformed("bytes after the entry".into()));
        }
        match kind {
            CLAIM => Fields::read(body, 2)?.owner().map(Self::Claim),
            RECORD => {
                let fields = Fields::read(body, 4)?;
                let previous = fields.previous.ok_or(WireError::Missing("Record.previous"))?;
                Ok(Self::Record { owner: fields.owner()?, sequence: fields.sequence, previous })
            }
            _ => Ok(Self::Unknown),
        }
    }
}

#[derive(Default)]
struct Fields {
    term: Term,
    writer: Option<WriterId>,
    sequence: Sequence,
    previous: Option<RecordHash>,
}

impl Fields {
    /// Reads fields 1 to `frozen` and passes over the others. Claim and Record share 1 and 2; a record has 3 and 4 besides.
    fn read(mut body: &[u8], frozen: u32) -> Result<Self, WireError> {
        let buf = &mut body;
        let mut fields = Self::default();
        let mut seen = [false; 5];
        while let Some((tag, wire_type)) = next_key(buf)? {
            if tag > frozen {
                skip(wire_type, buf)?;
                continue;
            }
            // As everywhere in these messages: libraries differ in what a second occurrence means, so there is none.
            let again = usize::try_from(tag).ok().and_then(|tag| seen.get_mut(tag)).is_none_or(|seen| std::mem::replace(seen, true));
            if again {
                return Err(WireError::Malformed(format!("field {tag} comes twice")));
            }
            match (tag, wire_type) {
                (1, WireType::Varint) => fields.term = Term::read(buf)?,
                (2, WireType::LengthDelimited) => fields.writer = Some(WriterId::read(buf)?),
                (3, WireType::Varint) => fields.sequence = Sequence::read(buf)?,
                (4, WireType::LengthDelimited) => fields.previous = Some(RecordHash::read(buf)?),
                _ => return Err(WireError::Malformed(format!("field {tag} has wire type {wire_type:?}"))),
            }
        }
        Ok(fields)
    }

    fn owner(&self) -> Result<Owner, WireError> {
        Ok(Owner { term: self.term, writer: self.writer.ok_or(WireError::Missing("writer"))? })
    }
}

fn expect(found: WireType, wanted: WireType) -> Result<(), WireError> {
    if found == wanted { Ok(()) } else { Err(WireError::Malformed(format!("wire type {found:?}"))) }
}

fn skip(wire_type: WireType, buf: &mut &[u8]) -> Result<(), WireError> {
    let fixed = match wire_type {
        WireType::Varint => return read_varint(buf).map(|_| ()),
        WireType::LengthDelimited => return read_delimited(buf).map(|_| ()),
        WireType::SixtyFourBit => 8,
        WireType::ThirtyTwoBit => 4,
        WireType::StartGroup | WireType::EndGroup => return Err(WireError::Malformed("groups are not used".into())),
    };
    *buf = buf.get(fixed..).ok_or_else(|| WireError::Malformed("truncated value".into()))?;
    Ok(())
}
