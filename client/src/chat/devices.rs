//! What the interactive client does and tells about the user's own devices.

use wire::DeviceId;
use wire::device::Device;

use super::{moment, text};
use crate::client::Client;
use crate::error::Error;

/// Which sessions are to be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Of the device with this number.
    One(u32),
    Others,
}

/// One line per device, the one used last in front.
///
/// # Errors
/// In a sentence.
pub async fn list(client: &Client) -> Result<Vec<String>, String> {
    let mut devices = client.devices().await.map_err(|error| format!("Devices: {error}."))?;
    devices.sort_by_key(|device| std::cmp::Reverse((device.own, device.online, device.active_ms)));
    Ok(devices.iter().map(line).collect())
}

/// Ends sessions and says what came of it.
///
/// # Errors
/// In a sentence.
pub async fn end(client: &Client, which: Which) -> Result<Vec<String>, String> {
    let ended = match which {
        Which::One(device) => client.end_session(DeviceId(device)).await,
        Which::Others => client.end_other_sessions().await,
    };
    match ended {
        Ok(0) => Ok(vec!["No session was open there; a password is needed to come back.".into()]),
        Ok(1) => Ok(vec!["1 session ended.".into()]),
        Ok(count) => Ok(vec![format!("{count} sessions ended.")]),
        Err(Error::Refused(refused)) => Err(format!("{refused}. /devices shows them; /quit ends this one.")),
        Err(error) => Err(format!("Not ended: {error}.")),
    }
}

fn line(device: &Device) -> String {
    let name = match text::for_screen(&device.name) {
        name if name.is_empty() => "without a name".to_owned(),
        name => name,
    };
    let class = device.class.variant_name().unwrap_or("device").to_lowercase();
    let state = match (device.own, device.online) {
        (true, _) => "this one",
        (false, true) => "online",
        (false, false) => "offline",
    };
    let (since, active) = (moment::local(device.since_ms), moment::local(device.active_ms));
    let mut line = format!(
        "{}  {name}, {class}, {state}, active {} {}, logged in {}",
        device.device.0, active.day_text, active.clock_text, since.day_text
    );
    if !device.address.is_empty() {
        line.push_str(&format!(", from {}", text::for_screen(&device.address)));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::message::DeviceClass;

    #[test]
    fn a_line_tells_which_device_it_is() {
        let device = Device {
            device: DeviceId(3),
            name: "phone".into(),
            class: DeviceClass::Mobile,
            address: "10.1.2.3".into(),
            since_ms: 1_795_000_000_000,
            active_ms: 1_795_532_580_000,
            online: true,
            own: false,
        };
        let text = line(&device);
        assert!(text.starts_with("3  phone, mobile, online, active "), "{text}");
        assert!(text.contains(", logged in ") && text.contains(" November 2026, from"), "{text}");
        assert!(text.ends_with(", from 10.1.2.3"), "{text}");
        let own = Device { own: true, address: String::new(), name: String::new(), ..device };
        assert!(line(&own).starts_with("3  without a name, mobile, this one, active "));
    }
}
