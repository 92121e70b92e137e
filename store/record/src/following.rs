//! What a user wants of notices.

use rkyv::{Archive, Deserialize, Serialize};

use crate::records::{Record, RecordError, record};

/// Which notices a user follows beside those that everybody does. No record: all that he may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Archive, Serialize, Deserialize)]
pub struct Following {
    pub adverts_off: bool,
}
record!(Following, Following, 1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_version_1_stay_as_they_are() {
        for (adverts_off, byte) in [(false, 0), (true, 1)] {
            let value = Following { adverts_off }.encode();
            assert_eq!(value[..], [18, 1, byte]);
            assert_eq!(Following::decode(&value), Ok(Following { adverts_off }));
        }
    }
}
