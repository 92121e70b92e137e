//! Devices of a user and their sessions: what their bodies say, and their frames.

use bytes::Bytes;

use crate::body;
use crate::encode::Encoder;
use crate::generated as fb;
use crate::ids::DeviceId;
use crate::message::DeviceClass;

/// A device, as another device of its user may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    pub device: DeviceId,
    /// As it calls itself; may be empty.
    pub name: String,
    pub class: DeviceClass,
    /// IP address of its session, else of its last one; of IPv6 the network of 64 bits. Empty: not known.
    pub address: String,
    /// Last login with a password, Unix milliseconds.
    pub since_ms: u64,
    /// Last command that a person wanted, Unix milliseconds, about a minute exact.
    pub active_ms: u64,
    /// It has a session.
    pub online: bool,
    /// It is the one that asks.
    pub own: bool,
}

/// What a client asks about the devices of its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceQuery {
    List,
    End(DeviceId),
    EndOthers,
}

impl DeviceQuery {
    /// The command's frame.
    pub fn encode(self, encoder: &mut Encoder, request: u32) -> Bytes {
        match self {
            DeviceQuery::List => encoder.list_devices(request),
            DeviceQuery::End(device) => encoder.end_session(request, device),
            DeviceQuery::EndOthers => encoder.end_other_sessions(request),
        }
    }
}

/// Events.
impl Encoder {
    pub fn devices(&mut self, request: u32, devices: &[Device]) -> Bytes {
        self.event::<body::Devices>(request, |b| {
            let rows: Vec<_> = devices
                .iter()
                .map(|device| {
                    let (name, address) = (b.create_string(&device.name), b.create_string(&device.address));
                    let args = fb::DeviceArgs {
                        device: device.device.0,
                        name: Some(name),
                        device_class: device.class,
                        address: Some(address),
                        since_ms: device.since_ms,
                        active_ms: device.active_ms,
                        online: device.online,
                        own: device.own,
                    };
                    fb::Device::create(b, &args)
                })
                .collect();
            let devices = Some(b.create_vector(&rows));
            fb::Devices::create(b, &fb::DevicesArgs { devices })
        })
    }

    pub fn sessions_ended(&mut self, request: u32, count: u32) -> Bytes {
        self.event::<body::SessionsEnded>(request, |b| {
            fb::SessionsEnded::create(b, &fb::SessionsEndedArgs { count })
        })
    }
}

/// Commands.
impl Encoder {
    pub fn list_devices(&mut self, request: u32) -> Bytes {
        self.command::<body::ListDevices>(request, &[], |b| {
            fb::ListDevices::create(b, &fb::ListDevicesArgs::default())
        })
    }

    pub fn end_session(&mut self, request: u32, device: DeviceId) -> Bytes {
        self.command::<body::EndSession>(request, &[], |b| {
            fb::EndSession::create(b, &fb::EndSessionArgs { device: device.0 })
        })
    }

    pub fn end_other_sessions(&mut self, request: u32) -> Bytes {
        self.command::<body::EndOtherSessions>(request, &[], |b| {
            fb::EndOtherSessions::create(b, &fb::EndOtherSessionsArgs::default())
        })
    }
}

pub(crate) fn devices(view: fb::Devices<'_>) -> Vec<Device> {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let device = |view: fb::Device<'_>| Device {
        device: DeviceId(view.device()),
        name: text(view.name()),
        class: view.device_class(),
        address: text(view.address()),
        since_ms: view.since_ms(),
        active_ms: view.active_ms(),
        online: view.online(),
        own: view.own(),
    };
    view.devices().map(|rows| rows.iter().map(device).collect()).unwrap_or_default()
}
