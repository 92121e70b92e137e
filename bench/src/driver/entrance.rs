//! How a client gets in: an account is made, logged in to, resumed; or, at the raw relay, only named.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use wire::decode::EventBody;
use wire::message::{DeviceClass, Hello, LoginProof};
use wire::scram::{self, ClientKeys, ClientProved, ClientStart};
use wire::token::Token;
use wire::{DeviceId, Encoder, UserId};

/// Keys of all accounts of a run. They are random and not stretched from a password, which a client may choose: a bench
/// measures the node, and stretching is work of the client alone.
const KEYS: ClientKeys =
    ClientKeys { client_key: [0x5a; scram::KEY_LEN], server_key: [0xa5; scram::KEY_LEN] };

/// What a client knows of itself and keeps from connection to connection.
#[derive(Debug, Clone)]
pub struct Account {
    pub name: String,
    pub user: UserId,
    device: DeviceId,
    ticket: Vec<u8>,
    /// Of a service account.
    token: Option<Token>,
}

impl Account {
    pub fn new(name: String) -> Self {
        let device = wire::encode::NEW_DEVICE;
        Self { name, user: UserId::NOBODY, device, ticket: Vec::new(), token: None }
    }

    /// A service account with a token, as `ringtalk token create` prints it.
    pub fn service(name: String, token: &str) -> Result<Self> {
        let token = Token::parse(token.trim()).ok().context("a token")?;
        Ok(Self { user: token.user, token: Some(token), ..Self::new(name) })
    }
}

/// What a new connection is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entrance {
    /// Make the account; the connection is not logged in.
    Register,
    /// Make the account and log in.
    RegisterAndLogIn,
    /// The whole login: challenge and proof.
    LogIn,
    /// The ticket of the last login.
    Resume,
    /// A service account's token.
    Token,
    /// At the raw relay: the number of this client, whose partner is the one with the last bit turned.
    Introduce(u64),
}

/// Where a connection stands on its way in.
#[derive(Debug)]
pub(super) enum Step {
    Hello(Entrance),
    Terms(Entrance),
    Registered(Entrance),
    Challenge(Box<ClientStart>),
    Proof(Box<ClientProved>),
    Resuming,
    Token,
    Introduced,
    Inside,
}

/// What an event on the way in leads to.
pub(super) enum Progress {
    Say(Bytes),
    Entered,
}

/// What a step may look at.
pub(super) struct Surroundings<'a> {
    pub(super) account: &'a mut Account,
    pub(super) encoder: &'a mut Encoder,
    pub(super) encrypted: bool,
    /// Hash of the certificate; asked for once.
    pub(super) binding: &'a dyn Fn() -> Result<Vec<u8>>,
}

impl Step {
    /// The first step and its frame.
    pub(super) fn first(entrance: Entrance, account: &mut Account, encoder: &mut Encoder) -> (Self, Bytes) {
        if let Entrance::Introduce(number) = entrance {
            account.user = crate::limit::relay::user(number);
            return (Step::Introduced, encoder.ping(1, number));
        }
        let hello = Hello { version_min: 1, version_max: 1, features: 0, software: "bench" };
        (Step::Hello(entrance), encoder.hello(1, &hello))
    }

    /// Takes the node's answer.
    ///
    /// # Errors
    /// If the node refused, or said what does not belong here.
    pub(super) fn on_event(&mut self, event: EventBody, around: Surroundings<'_>) -> Result<Progress> {
        let Surroundings { account, encoder, encrypted, binding } = around;
        let (step, progress) = match (std::mem::replace(self, Step::Inside), event) {
            (_, EventBody::Refused(refused)) => bail!("refused on the way in: {}", refused.reason),
            (Step::Hello(entrance), EventBody::Welcome(welcome)) => match entrance {
                Entrance::Register | Entrance::RegisterAndLogIn => {
                    (Step::Terms(entrance), Progress::Say(encoder.register_start(2, &account.name)))
                }
                Entrance::LogIn => start(&welcome.mechanisms, encrypted, account, encoder)?,
                Entrance::Resume => (Step::Resuming, Progress::Say(encoder.resume(2, &account.ticket, 0))),
                Entrance::Token => {
                    let token = account.token.as_ref().context("an account with a token")?;
                    (Step::Token, Progress::Say(encoder.token_login(2, token, account.device, "bench")))
                }
                Entrance::Introduce(_) => bail!("a relay does not say welcome"),
            },
            (Step::Terms(entrance), EventBody::RegisterTerms(_)) => {
                let credentials = KEYS.credentials();
                let frame =
                    encoder.register(3, &account.name, &credentials.stored_key, &credentials.server_key);
                (Step::Registered(entrance), Progress::Say(frame))
            }
            (Step::Registered(entrance), EventBody::Registered { user }) => {
                account.user = user;
                match entrance {
                    Entrance::Register => (Step::Inside, Progress::Entered),
                    _ => start(&mechanisms(), encrypted, account, encoder)?,
                }
            }
            (Step::Challenge(start), EventBody::Challenge(challenge)) => {
                let proved = start.handle_server_first(&challenge.server_first)?.prove(&KEYS, &binding()?);
                let frame = proof(&proved, account, encoder);
                (Step::Proof(Box::new(proved)), Progress::Say(frame))
            }
            (Step::Proof(proved), EventBody::LoggedIn(logged_in)) => {
                proved.handle_server_final(&logged_in.server_final)?;
                (account.device, account.ticket) = (logged_in.device, logged_in.ticket);
                account.user = logged_in.user;
                (Step::Inside, Progress::Entered)
            }
            (Step::Token, EventBody::LoggedIn(_)) => (Step::Inside, Progress::Entered),
            (Step::Resuming, EventBody::Resumed(resumed)) => {
                account.ticket = resumed.ticket;
                (Step::Inside, Progress::Entered)
            }
            (Step::Introduced, EventBody::Pong { .. }) => (Step::Inside, Progress::Entered),
            (step, event) => bail!("{event:?} came while {step:?}"),
        };
        *self = step;
        Ok(progress)
    }
}

/// What every node offers; asked for where its welcome is not at hand.
fn mechanisms() -> [String; 2] {
    [scram::Mechanism::Sha256Plus, scram::Mechanism::Sha256].map(|mechanism| mechanism.name().to_owned())
}

fn start(
    mechanisms: &[String],
    encrypted: bool,
    account: &Account,
    encoder: &mut Encoder,
) -> Result<(Step, Progress)> {
    let nonce = scram::nonce_text(&rand::random::<[u8; scram::NONCE_LEN]>());
    let (mechanism, start) =
        ClientStart::new(mechanisms, encrypted, &account.name, nonce).context("choosing how to log in")?;
    let frame = encoder.login_start(4, mechanism.name(), start.message());
    Ok((Step::Challenge(Box::new(start)), Progress::Say(frame)))
}

fn proof(proved: &ClientProved, account: &Account, encoder: &mut Encoder) -> Bytes {
    let proof = LoginProof {
        client_final: proved.message(),
        device: account.device,
        device_name: "bench",
        device_class: DeviceClass::Desktop,
    };
    encoder.login_proof(5, &proof)
}
