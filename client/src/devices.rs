//! The user's own devices and their sessions.

use wire::DeviceId;
use wire::device::{Device, DeviceQuery};

use crate::client::Client;
use crate::engine::{DeviceAnswer, Request};
use crate::error::Error;

impl Client {
    /// The devices of the user, at most 40, in the order in which they came: who they say they are, where they are, and when
    /// somebody used them last. The one with `own` is this one.
    ///
    /// # Errors
    /// [`Error::NotConnected`], [`Error::ConnectionLost`].
    pub async fn devices(&self) -> Result<Vec<Device>, Error> {
        match self.ask_devices(DeviceQuery::List).await? {
            DeviceAnswer::List(devices) => Ok(devices),
            DeviceAnswer::Ended(_) => Err(Error::NodeMisbehaved("another answer".into())),
        }
    }

    /// Ends the session of another device of the user, whatever its class, and its ticket: it needs the password to come
    /// back. Gives how many sessions that ended: 0 when it had none, and then only its ticket is void.
    ///
    /// # Errors
    /// [`Error::Refused`]: `unknown_device`, or `bad_field` for this device, which [`Client::logout`] ends.
    pub async fn end_session(&self, device: DeviceId) -> Result<u32, Error> {
        self.end(DeviceQuery::End(device)).await
    }

    /// The same for all devices of the user but this one.
    ///
    /// # Errors
    /// [`Error::NotConnected`], [`Error::ConnectionLost`]; perhaps it was done all the same.
    pub async fn end_other_sessions(&self) -> Result<u32, Error> {
        self.end(DeviceQuery::EndOthers).await
    }

    async fn end(&self, query: DeviceQuery) -> Result<u32, Error> {
        match self.ask_devices(query).await? {
            DeviceAnswer::Ended(count) => Ok(count),
            DeviceAnswer::List(_) => Err(Error::NodeMisbehaved("another answer".into())),
        }
    }

    async fn ask_devices(&self, query: DeviceQuery) -> Result<DeviceAnswer, Error> {
        self.ask(|reply| Request::Device { query, reply }).await
    }
}
