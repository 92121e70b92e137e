//! Opening a connection: addresses one after the other, certificates remembered before anything is sent.

use std::sync::Arc;

use super::io::Opening;
use crate::board::Board;
use crate::error::Error;
use crate::event::Event;
use crate::store::{Store, StoreError};
use crate::transport::{self, Address, Connected, Fingerprint, Security, Trust};

/// `home` is the address the application named: what is pinned for it holds for addresses the node sends us to.
pub(super) fn open(
    addresses: Vec<Address>,
    home: Address,
    security: Security,
    store: Store,
    board: Arc<Board>,
) -> Opening {
    Box::pin(async move {
        let mut failure = None;
        for address in addresses {
            match open_one(&address, &home, &security, &store, &board).await {
                Ok(connected) => return Ok((address, connected)),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.expect("at least one address"))
    })
}

async fn open_one(
    address: &Address,
    home: &Address,
    security: &Security,
    store: &Store,
    board: &Board,
) -> Result<Connected, Error> {
    let remembered = match security {
        Security::Tls(Trust::Remembered { .. }) => pins(address.clone(), home.clone(), store.clone()).await?,
        _ => Vec::new(),
    };
    let connected = transport::connect(address, security, &remembered).await?;
    if let Some(fingerprint) = connected.to_remember {
        let (kept_address, store) = (address.clone(), store.clone());
        let is_new = blocking(move || {
            let is_new = store.pinned(&kept_address)? != Some(fingerprint);
            if is_new {
                store.pin(&kept_address, fingerprint)?;
            }
            Ok(is_new)
        });
        if is_new.await? {
            board.tell(Event::CertificateRemembered { address: address.clone(), fingerprint });
        }
    }
    Ok(connected)
}

async fn pins(address: Address, home: Address, store: Store) -> Result<Vec<Fingerprint>, StoreError> {
    let pinned = blocking(move || match store.pinned(&address)? {
        Some(pin) => Ok(Some(pin)),
        None => store.pinned(&home),
    });
    Ok(pinned.await?.into_iter().collect())
}

/// Runs a read or write of the store where it may wait for the disk.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.expect("the store does not panic")
}
