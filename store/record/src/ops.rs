//! The changes of a batch in one buffer, so that a change costs no allocation and a log can take the buffer as it is:
//!
//! ```text
//! op      key length:u8  value length:u16 (0xffff deletes the key)  key  value
//! ```
//! little-endian, ops in order without anything between them.

use crate::keys::Key;
use crate::kv::{KEY_LEN_MAX, VALUE_LEN_MAX};
use crate::records::Record;

/// Key length and value length.
const HEADER_LEN: usize = 3;
/// In place of a value's length.
const DELETE: u16 = u16::MAX;

const _: () = assert!(KEY_LEN_MAX <= u8::MAX as usize && VALUE_LEN_MAX < DELETE as usize);

/// One change. No value deletes the key; deleting an absent key is allowed and does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Op<'a> {
    pub key: &'a [u8],
    pub value: Option<&'a [u8]>,
}

/// Changes in order; a later one on the same key wins.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Ops {
    bytes: Vec<u8>,
    len: usize,
}

impl Ops {
    /// With room for so many bytes of [`Ops::as_bytes`].
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), len: 0 }
    }

    /// # Panics
    /// When the key or the value is longer than it may be.
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        let at = self.begin(|bytes| bytes.extend_from_slice(key));
        self.bytes.extend_from_slice(value);
        self.end_put(at, key.len());
    }

    /// # Panics
    /// When the record is longer than a value may be.
    pub fn put_record(&mut self, key: &Key, record: &impl Record) {
        let at = self.begin(|bytes| key.write(bytes));
        let key_len = self.bytes.len() - at - HEADER_LEN;
        record.write(&mut self.bytes);
        self.end_put(at, key_len);
    }

    /// # Panics
    /// When the key is longer than it may be.
    pub fn delete(&mut self, key: &[u8]) {
        let at = self.begin(|bytes| bytes.extend_from_slice(key));
        self.end(at, key.len(), DELETE);
    }

    pub fn delete_record(&mut self, key: &Key) {
        let at = self.begin(|bytes| key.write(bytes));
        self.end(at, self.bytes.len() - at - HEADER_LEN, DELETE);
    }

    /// The number of changes.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn iter(&self) -> Iter<'_> {
        Iter { rest: &self.bytes }
    }

    /// The buffer. Its layout is part of the disk format.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The changes in such a buffer; `None` when it is not one.
    pub fn parse(bytes: Vec<u8>) -> Option<Self> {
        let mut iter = Iter { rest: &bytes };
        let mut len = 0;
        while !iter.rest.is_empty() {
            let op = iter.split()?;
            let value_len = op.value.map_or(0, <[u8]>::len);
            if op.key.is_empty() || op.key.len() > KEY_LEN_MAX || value_len > VALUE_LEN_MAX {
                return None;
            }
            len += 1;
        }
        Some(Self { bytes, len })
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.len = 0;
    }

    fn begin(&mut self, key: impl FnOnce(&mut Vec<u8>)) -> usize {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; HEADER_LEN]);
        key(&mut self.bytes);
        at
    }

    fn end_put(&mut self, at: usize, key_len: usize) {
        let value_len = self.bytes.len() - at - HEADER_LEN - key_len;
        assert!(value_len <= VALUE_LEN_MAX, "a value of {value_len} bytes");
        self.end(at, key_len, value_len as u16);
    }

    fn end(&mut self, at: usize, key_len: usize, value_len: u16) {
        assert!((1..=KEY_LEN_MAX).contains(&key_len), "a key of {key_len} bytes");
        let [low, high] = value_len.to_le_bytes();
        self.bytes[at..at + HEADER_LEN].copy_from_slice(&[key_len as u8, low, high]);
        self.len += 1;
    }
}

impl std::fmt::Debug for Ops {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> IntoIterator for &'a Ops {
    type Item = Op<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl<'a> FromIterator<Op<'a>> for Ops {
    fn from_iter<I: IntoIterator<Item = Op<'a>>>(iter: I) -> Self {
        let mut ops = Self::default();
        ops.extend(iter);
        ops
    }
}

/// Keys with their values.
impl<K: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(K, Option<V>)> for Ops {
    fn from_iter<I: IntoIterator<Item = (K, Option<V>)>>(iter: I) -> Self {
        let mut ops = Self::default();
        for (key, value) in iter {
            ops.extend([Op { key: key.as_ref(), value: value.as_ref().map(V::as_ref) }]);
        }
        ops
    }
}

impl<'a> Extend<Op<'a>> for Ops {
    fn extend<I: IntoIterator<Item = Op<'a>>>(&mut self, iter: I) {
        for Op { key, value } in iter {
            match value {
                Some(value) => self.put(key, value),
                None => self.delete(key),
            }
        }
    }
}

/// The changes in order.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    rest: &'a [u8],
}

impl<'a> Iter<'a> {
    fn split(&mut self) -> Option<Op<'a>> {
        let ([key_len, low, high], rest) = self.rest.split_first_chunk::<HEADER_LEN>()?;
        let (key, rest) = rest.split_at_checked(usize::from(*key_len))?;
        let value_len = u16::from_le_bytes([*low, *high]);
        let (value, rest) = match value_len {
            DELETE => (None, rest),
            len => rest.split_at_checked(usize::from(len)).map(|(value, rest)| (Some(value), rest))?,
        };
        self.rest = rest;
        Some(Op { key, value })
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Op<'a>;

    fn next(&mut self) -> Option<Op<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        Some(self.split().expect("changes were put together here or parsed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Marks, NameEntry};
    use wire::UserId;

    fn three() -> Ops {
        let mut ops = Ops::default();
        ops.put(b"key", b"value");
        ops.delete(b"gone");
        ops.put(b"k", b"");
        ops
    }

    #[test]
    fn the_buffer_is_part_of_the_disk_format() {
        let expected = b"\x03\x05\x00keyvalue\x04\xff\xffgone\x01\x00\x00k";
        assert_eq!(three().as_bytes(), expected);
        assert_eq!(Ops::parse(expected.to_vec()), Some(three()));
    }

    #[test]
    fn changes_come_out_as_they_went_in() {
        let ops = three();
        let list: Vec<_> = ops.iter().map(|op| (op.key, op.value)).collect();
        assert_eq!(list, [(&b"key"[..], Some(&b"value"[..])), (b"gone", None), (b"k", Some(b""))]);
        assert_eq!((ops.len(), ops.iter().collect::<Ops>()), (3, ops));
        let (mut records, user) = (Ops::default(), UserId(3 << 10 | 4));
        records.put_record(&Key::Account(user), &NameEntry { user: 9 });
        records.delete_record(&Key::Account(user));
        let value = NameEntry { user: 9 }.encode();
        let expected = [
            Op { key: &Key::Account(user).bytes(), value: Some(&value) },
            Op { key: &Key::Account(user).bytes(), value: None },
        ];
        assert_eq!(records.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_buffer_that_is_cut_short_or_against_the_bounds_is_not_taken() {
        let ops = three();
        for len in 0..ops.as_bytes().len() {
            let whole = [0, 11, 18].contains(&len);
            assert_eq!(Ops::parse(ops.as_bytes()[..len].to_vec()).is_some(), whole, "{len} bytes");
        }
        assert_eq!(Ops::parse(vec![0, 1, 0, 9]), None, "an empty key");
        let long = |key_len: u8, value_len: u16| {
            let [low, high] = value_len.to_le_bytes();
            let mut bytes = vec![key_len, low, high];
            bytes.resize(3 + usize::from(key_len) + usize::from(value_len), 1);
            Ops::parse(bytes).is_some()
        };
        let (key_max, value_max) = (KEY_LEN_MAX as u8, VALUE_LEN_MAX as u16);
        assert!(long(key_max, value_max) && !long(key_max + 1, 1) && !long(1, value_max + 1));
    }

    #[test]
    #[should_panic(expected = "a value of 4001 bytes")]
    fn a_value_over_the_bound_is_not_put() {
        Ops::default().put(b"k", &[0; VALUE_LEN_MAX + 1]);
    }

    #[test]
    #[should_panic(expected = "a key of 81 bytes")]
    fn a_key_over_the_bound_is_not_put() {
        let name = "n".repeat(KEY_LEN_MAX + 1 - crate::keys::PREFIX_LEN);
        Ops::default().put_record(&Key::Name(name), &Marks::default());
    }
}
