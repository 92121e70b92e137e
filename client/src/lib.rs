//! The client side of Ringtalk: the SDK ([`Client`]), and the terminal client on it ([`chat`]).
//!
//! A [`Client`] is one account on one device: a local folder that holds its messages, and a connection to a node that
//! comes back by itself. A message is on this device's disk before it is sent, and what is received is on disk before it
//! is told, so that every message is sent and seen exactly once and in order, whatever crashes.
//!
//! ```no_run
//! use client::transport::{FirstUse, Security, Trust};
//! use client::{Body, Client, ClientOptions, Event, To};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let security = Security::Tls(Trust::Remembered { first_use: FirstUse::LoopbackOnly });
//! let client = Client::open(ClientOptions::new("folder-of-ann", "127.0.0.1:7470".parse()?, security)).await?;
//! let mut events = client.events();
//! client.register(&wire::UserName::parse("ann")?, "correct horse").await?;
//! let ben = client.find_user(&wire::UserName::parse("ben")?).await?;
//! let mut sent = client.send(To::User(ben.id), Body::Text("hello".into())).await?;
//! println!("{:?}", sent.decided().await?);
//! while let Some(event) = events.next().await {
//!     if let Event::Message { entry, .. } = event {
//!         println!("{}: {:?}", entry.place.seq, entry.body);
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod account;
mod board;
pub mod chat;
mod client;
mod devices;
mod engine;
pub mod error;
pub mod event;
mod operator;
pub mod options;
mod org;
mod presence;
mod send;
pub mod store;
#[cfg(test)]
mod testing;
pub mod transport;

pub use board::Me;
pub use client::{Adverts, Body, Client, ConversationInfo, History, To, User};
pub use error::{Error, RefusedByNode};
pub use event::{Connection, Event, Events, StopCause};
pub use operator::{Operator, UserChanged};
pub use options::{ClientOptions, DeliveredMarks, Remember};
pub use org::OrgCopy;
pub use presence::Online;
pub use send::{Ack, SendHandle, SendState};
pub use store::HistoryItem;
pub use wire::client::Draft;
