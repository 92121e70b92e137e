//! Stretched keys, made once per password and salt.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use wire::scram::ClientKeys;

type Stretched = BTreeMap<(String, Vec<u8>, u32), ClientKeys>;

/// Most keys that are remembered.
const REMEMBERED_MAX: usize = 4_096;

static STRETCHED: Mutex<Stretched> = Mutex::new(BTreeMap::new());

/// As [`wire::scram::stretch`], but remembered: several devices of one user stretch the same.
pub fn stretch(password: &str, salt: &[u8], iterations: u32) -> ClientKeys {
    let key = (password.to_owned(), salt.to_owned(), iterations);
    let lock = || STRETCHED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(keys) = lock().get(&key) {
        return keys.clone();
    }
    let keys = wire::scram::stretch(password, salt, iterations).expect("the node's terms are allowed");
    let mut remembered = lock();
    if remembered.len() == REMEMBERED_MAX {
        remembered.clear();
    }
    remembered.insert(key, keys.clone());
    keys
}
