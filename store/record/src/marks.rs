//! Marks as they are stored. Those of an invisible user may be ahead of what the other one may see.

use rkyv::rancor::Error as RkyvError;
use rkyv::{Archive, Deserialize, Serialize};

use crate::records::{Marks, Record, RecordError};

/// The marks of one user in one conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct StoredMarks {
    pub marks: Marks,
    /// What the other user may see, where that is less.
    pub shown: Option<Marks>,
}

/// Version 2 of the record, for marks of which a part is hidden. All others are version 1: `Marks` alone.
#[derive(Archive, Serialize, Deserialize)]
struct PartlyHidden {
    marks: Marks,
    shown: Marks,
}

const PARTLY_HIDDEN: u8 = 2;

impl Record for StoredMarks {
    const KIND: u8 = Marks::KIND;

    fn write(&self, out: &mut Vec<u8>) {
        let Some(shown) = self.shown else { return self.marks.write(out) };
        out.extend([Self::KIND, PARTLY_HIDDEN]);
        let record = PartlyHidden { marks: self.marks, shown };
        *out = rkyv::api::high::to_bytes_in::<_, RkyvError>(&record, std::mem::take(out))
            .expect("an in-memory archive cannot fail");
    }

    fn decode(value: &[u8]) -> Result<Self, RecordError> {
        match value {
            [kind, PARTLY_HIDDEN, body @ ..] if *kind == Self::KIND => {
                let PartlyHidden { marks, shown } = rkyv::from_bytes::<PartlyHidden, RkyvError>(body)
                    .map_err(|_| RecordError::Damaged { kind: Self::KIND })?;
                Ok(Self { marks, shown: Some(shown) })
            }
            value => Marks::decode(value).map(|marks| Self { marks, shown: None }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::Place;

    fn marks(delivered: u64, read: u64) -> Marks {
        let place = |seq| Place { seq, ord: seq };
        Marks { delivered: place(delivered), read: place(read) }
    }

    #[test]
    fn both_versions_are_read_and_the_first_is_written_where_nothing_is_hidden() {
        let plain = StoredMarks { marks: marks(9, 7), shown: None };
        assert_eq!(plain.encode(), marks(9, 7).encode());
        assert_eq!(StoredMarks::decode(&plain.encode()), Ok(plain));
        let hidden = StoredMarks { shown: Some(marks(3, 2)), ..plain };
        let value = hidden.encode();
        assert_eq!(StoredMarks::decode(&value), Ok(hidden));
        assert_eq!(StoredMarks::decode(&value[..9]), Err(RecordError::Damaged { kind: Marks::KIND }));
        let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, GOLDEN);
    }

    const GOLDEN: &str = concat!(
        "0702",
        "09000000000000000900000000000000",
        "07000000000000000700000000000000",
        "03000000000000000300000000000000",
        "02000000000000000200000000000000"
    );
}
