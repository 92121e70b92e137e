//! From options to a client that is logged in.

use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;
use wire::Refusal;
use wire::limits::LABEL_LEN_MAX;
use wire::token::Token;

use super::options::{ChatOptions, Exit, Plan, Stop};
use super::password;
use crate::client::Client;
use crate::error::Error;
use crate::event::{Connection, StopCause};
use crate::options::{ClientOptions, Remember};
use crate::store::StoreError;
use crate::transport::ConnectError;

/// Whether a node that cannot be reached now is a reason to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offline {
    /// It is tried again while what is here is shown.
    Goes,
    Ends,
}

/// How long a folder may be in use by a program that is just ending.
const IN_USE_MAX: Duration = Duration::from_secs(2);
const IN_USE_RETRY: Duration = Duration::from_millis(50);

/// Opens the account's folder.
pub async fn open(options: &ChatOptions, plan: &Plan) -> Result<Client, Stop> {
    let deadline = Instant::now() + IN_USE_MAX;
    loop {
        match Client::open(client_options(options, plan)).await {
            Err(Error::Store(StoreError::InUse { .. })) if Instant::now() < deadline => {
                tokio::time::sleep(IN_USE_RETRY).await;
            }
            opened => return opened.map_err(|error| stop(error, Exit::Folder)),
        }
    }
}

fn client_options(options: &ChatOptions, plan: &Plan) -> ClientOptions {
    let mut client = ClientOptions::new(plan.folder.clone(), plan.address.clone(), plan.security.clone());
    client.device_name = device_name();
    client.remember = if options.remember { Remember::Keys } else { Remember::TicketOnly };
    client
}

/// The name of this machine, as far as it is one.
fn device_name() -> String {
    let name = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let mut name: String = name.trim().chars().filter(|c| !c.is_control()).collect();
    while name.len() > LABEL_LEN_MAX {
        name.pop();
    }
    if name.is_empty() { "terminal".into() } else { name }
}

/// Logs in: by registration, with what the folder keeps, or with a password.
pub async fn log_in(
    client: &Client,
    options: &ChatOptions,
    plan: &Plan,
    offline: Offline,
) -> Result<(), Stop> {
    if let Some(file) = &options.token_file {
        return log_in_with_token(client, file).await;
    }
    if let Some(code) = &options.code {
        return redeem(client, options, plan, code).await;
    }
    if options.register && client.me().is_none() {
        return register(client, options, plan).await;
    }
    if client.me().is_some() {
        client.resume().await.map_err(|error| stop(error, Exit::Connect))?;
        match outcome(client).await? {
            Connection::LoginNeeded { .. } => {}
            Connection::Waiting { reason, .. } if offline == Offline::Ends => {
                return Err(Stop::new(Exit::Connect, reason));
            }
            Connection::Stopped { cause, reason } => return Err(Stop::new(exit_of(cause), reason)),
            _ => return Ok(()),
        }
    }
    let password = match given_password(options) {
        Some(password) => password,
        None => ask(format!("Password for {}", plan.user), password::ask_password).await?,
    };
    let was_known = client.me().is_some();
    match client.login(&plan.user, &password).await {
        Ok(_) => Ok(()),
        Err(error) => {
            let mut stop = stop(error, Exit::Login);
            if was_known && options.register && stop.exit == Exit::Login {
                stop.reason.push_str(
                    "; the folder knows this account, so it was not created again: for a new node ",
                );
                stop.reason.push_str("choose another --data DIR");
            }
            Err(stop)
        }
    }
}

/// As a service account. The token stays in its file.
async fn log_in_with_token(client: &Client, file: &Path) -> Result<(), Stop> {
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|error| Stop::usage(format!("{}: {error}", file.display())))?;
    let token = Token::parse(text.trim());
    let token = token.map_err(|error| Stop::usage(format!("{}: {error}", file.display())))?;
    client.login_with_token(&token).await.map(|_| ()).map_err(|error| stop(error, Exit::Login))
}

/// Sets a new password with a one-time code.
async fn redeem(client: &Client, options: &ChatOptions, plan: &Plan, code: &str) -> Result<(), Stop> {
    let password = match given_password(options) {
        Some(password) => password,
        None => ask(format!("New password for {}", plan.user), password::ask_new_password).await?,
    };
    let redeemed = client.redeem_code(&plan.user, code, &password).await;
    redeemed.map(|_| ()).map_err(|error| stop(error, Exit::Login))
}

/// Creates the account, or logs in to it if it is there and the password fits.
async fn register(client: &Client, options: &ChatOptions, plan: &Plan) -> Result<(), Stop> {
    let password = match given_password(options) {
        Some(password) => password,
        None => ask(format!("New password for {}", plan.user), password::ask_new_password).await?,
    };
    match client.register(&plan.user, &password).await {
        Ok(_) => Ok(()),
        Err(Error::Refused(refused)) if refused.refusal() == Some(Refusal::NameTaken) => {
            match client.login(&plan.user, &password).await {
                Ok(_) => Ok(()),
                Err(Error::Refused(_)) => {
                    let reason =
                        format!("the name {} is taken, and the password is not its password", plan.user);
                    Err(Stop::new(Exit::Register, reason))
                }
                Err(error) => Err(stop(error, Exit::Login)),
            }
        }
        Err(error) => Err(stop(error, Exit::Register)),
    }
}

fn given_password(options: &ChatOptions) -> Option<String> {
    let from_variable = || std::env::var("RINGTALK_PASSWORD").ok().filter(|password| !password.is_empty());
    options.password.clone().or_else(from_variable)
}

/// Asks the person, if there is one; the connection goes on meanwhile.
async fn ask(question: String, by: fn(&str) -> Result<String, Stop>) -> Result<String, Stop> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Stop::usage("no password: set RINGTALK_PASSWORD or give --password"));
    }
    tokio::task::spawn_blocking(move || by(&question)).await.expect("asking does not panic")
}

/// The first state that says how it went.
async fn outcome(client: &Client) -> Result<Connection, Stop> {
    let mut connection = client.connection();
    let is_outcome = |state: &Connection| !matches!(state, Connection::Idle | Connection::Connecting);
    let state = connection.wait_for(is_outcome).await;
    state.map(|state| state.clone()).map_err(|_| Stop::new(Exit::Folder, "the client ended"))
}

/// The end that an error means; `refused` is that of a refusal.
pub fn stop(error: Error, refused: Exit) -> Stop {
    let exit = match &error {
        Error::Refused(refusal) => match refusal.refusal() {
            Some(Refusal::Stopping | Refusal::Busy | Refusal::TooManyFromAddress) => Exit::Connect,
            Some(Refusal::UnsupportedVersion) => Exit::Protocol,
            _ => refused,
        },
        Error::Connect(ConnectError::WrongCertificate { .. } | ConnectError::UnknownCertificate { .. }) => {
            Exit::Certificate
        }
        Error::Connect(ConnectError::Roots { .. }) | Error::Misuse(_) => Exit::Usage,
        Error::Password(_) => Exit::Login,
        Error::Connect(_) | Error::NotConnected | Error::ConnectionLost => Exit::Connect,
        Error::Store(_) | Error::Closed | Error::QueueFull => Exit::Folder,
        Error::Untrusted => Exit::Certificate,
        Error::Version | Error::NodeMisbehaved(_) => Exit::Protocol,
    };
    Stop::new(exit, reason(&error))
}

/// What a person needs to know, with what to do about it.
fn reason(error: &Error) -> String {
    match error {
        Error::Refused(refused) if refused.refusal() == Some(Refusal::LoginFailed) => {
            "login refused: user or password is wrong (--register creates an account)".into()
        }
        Error::Connect(ConnectError::Handshake { .. }) => {
            format!("{error}; if it listens there without encryption, give --plain")
        }
        Error::Connect(ConnectError::WrongCertificate { .. } | ConnectError::UnknownCertificate { .. }) => {
            format!("{error} with --pin FINGERPRINT; for another node choose another --data DIR")
        }
        Error::ConnectionLost => format!("{error}; if the node listens there with TLS, leave --plain out"),
        error => error.to_string(),
    }
}

pub fn exit_of(cause: StopCause) -> Exit {
    match cause {
        StopCause::Untrusted => Exit::Certificate,
        StopCause::Version => Exit::Protocol,
        StopCause::SessionEnded => Exit::Login,
        StopCause::OtherAccount | StopCause::Folder | StopCause::Closed => Exit::Folder,
    }
}
