//! Programs: a login with a token, and what an operator's token may do.

use wire::account::code_hash;
use wire::device::Device;
use wire::message::BodyKind;
use wire::operator::{
    AccountState, AuditRead, Notified, OperatorAnswer, OperatorQuery, Reach, Recipients, UserLine,
    UsersListed,
};
use wire::org::OrgItem;
use wire::service::{PairsRelated, TokenLine};
use wire::token::{SECRET_LEN, Scopes, Secret, Token};
use wire::{ConversationId, DeviceId, UserId, UserName};

use crate::board::Me;
use crate::client::Client;
use crate::engine::{Request, secret};
use crate::error::Error;

/// What an operator's token may do, besides chatting: [`Client::operator`]. Each call needs a scope of the token, and is
/// [`Error::Refused`] with `not_allowed` without it. Without a connection it is [`Error::NotConnected`], and
/// [`Error::ConnectionLost`] when the connection went before the answer came: then it may be done or not.
#[derive(Clone, Copy, Debug)]
pub struct Operator<'a>(&'a Client);

/// What a change of an account did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserChanged {
    pub user: UserId,
    /// Sessions that it ended.
    pub sessions_ended: u32,
}

impl Client {
    /// Logs in as a service account with one of its tokens, and again by itself after each loss of the connection. The token is not
    /// kept in the folder: give it again at the next start. Where the token lacks the scope `send`, there is no chat, and only
    /// [`Client::operator`] works, with [`Client::find_user`].
    ///
    /// ```no_run
    /// # use client::{Body, Client, ClientOptions, Event, To};
    /// # use client::transport::{FirstUse, Security, Trust};
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let security = Security::Tls(Trust::Remembered { first_use: FirstUse::LoopbackOnly });
    /// let bot = Client::open(ClientOptions::new("folder-of-bot", "127.0.0.1:7470".parse()?, security)).await?;
    /// let mut events = bot.events();
    /// let me = bot.login_with_token(&wire::token::Token::parse(&std::env::var("BOT_TOKEN")?)?).await?;
    /// while let Some(event) = events.next().await {
    ///     if let Event::Message { conversation, entry } = event && entry.sender != me.user {
    ///         bot.send(To::Conversation(conversation), Body::Text("I am a bot.".into())).await?;
    ///         bot.mark_read(conversation, entry.place.seq).await?;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Refused`]: `login_failed` whatever is wrong with the token, `login_delayed`, `not_on_plain`; [`Error::Connect`].
    pub async fn login_with_token(&self, token: &Token) -> Result<Me, Error> {
        let token = token.clone();
        self.ask(|reply| Request::TokenLogin { token, reply }).await
    }

    /// What a token with scopes for it may do.
    ///
    /// ```no_run
    /// # async fn example(client: client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let user = client.operator().add_user(&wire::UserName::parse("carol")?, "kzm4p-2xw7q").await?;
    /// for line in client.operator().audit((0, 0)).await?.lines {
    ///     println!("{} {} {}", line.time_ms, line.act, line.name);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn operator(&self) -> Operator<'_> {
        Operator(self)
    }
}

/// Scope `accounts`. Of a name that nobody has: `unknown_user`.
impl Operator<'_> {
    /// Makes an account whose password is set with this one-time code ([`Client::redeem_code`]), which should be drawn at
    /// random.
    ///
    /// # Errors
    /// [`Error::Refused`]: `name_taken`.
    pub async fn add_user(self, name: &UserName, code: &str) -> Result<UserId, Error> {
        let (name, code_hash) = (text(name), code_hash(code));
        match self.ask(OperatorQuery::AddUser { name, code_hash }).await? {
            OperatorAnswer::UserAdded { user } => Ok(user),
            _ => Err(other_answer()),
        }
    }

    /// Nobody logs in to the account any more; its sessions end, and its tickets are void.
    pub async fn disable_user(self, name: &UserName) -> Result<UserChanged, Error> {
        self.change(OperatorQuery::SetUserState { name: text(name), state: AccountState::Disabled }).await
    }

    pub async fn enable_user(self, name: &UserName) -> Result<UserChanged, Error> {
        self.change(OperatorQuery::SetUserState { name: text(name), state: AccountState::Active }).await
    }

    /// The password, all sessions and tickets are void; the next password is set with this one-time code.
    ///
    /// # Errors
    /// [`Error::Refused`]: `other_kind_of_account` for a service account.
    pub async fn reset_user(self, name: &UserName, code: &str) -> Result<UserChanged, Error> {
        self.change(OperatorQuery::IssueCode { name: text(name), code_hash: code_hash(code) }).await
    }

    /// Deletes the account for good.
    pub async fn remove_user(self, name: &UserName) -> Result<UserChanged, Error> {
        self.change(OperatorQuery::RemoveUser { name: text(name) }).await
    }

    /// Users by rising name behind this one (`""`: from the first), at most 256.
    pub async fn users(self, after: &str) -> Result<UsersListed, Error> {
        let query = OperatorQuery::ListUsers { after: after.to_owned(), users_max: 0 };
        match self.ask(query).await? {
            OperatorAnswer::UsersListed(listed) => Ok(listed),
            _ => Err(other_answer()),
        }
    }

    pub async fn user(self, name: &UserName) -> Result<UserLine, Error> {
        match self.ask(OperatorQuery::ShowUser { name: text(name) }).await? {
            OperatorAnswer::UsersListed(listed) => listed.users.into_iter().next().ok_or_else(other_answer),
            _ => Err(other_answer()),
        }
    }

    /// The devices of a user and their sessions.
    pub async fn devices_of(self, name: &UserName) -> Result<Vec<Device>, Error> {
        match self.ask(OperatorQuery::ListUserDevices { name: text(name) }).await? {
            OperatorAnswer::Devices(devices) => Ok(devices),
            _ => Err(other_answer()),
        }
    }

    /// Ends the session and the ticket of one device of a user, or of all; gives how many sessions that ended.
    ///
    /// # Errors
    /// [`Error::Refused`]: `unknown_device`.
    pub async fn end_sessions_of(self, name: &UserName, device: Option<DeviceId>) -> Result<u32, Error> {
        let query =
            OperatorQuery::EndUserSessions { name: text(name), device: device.unwrap_or(DeviceId(0)) };
        match self.ask(query).await? {
            OperatorAnswer::SessionsEnded { count } => Ok(count),
            _ => Err(other_answer()),
        }
    }

    async fn change(self, query: OperatorQuery) -> Result<UserChanged, Error> {
        match self.ask(query).await? {
            OperatorAnswer::UserChanged { user, sessions_ended } => Ok(UserChanged { user, sessions_ended }),
            _ => Err(other_answer()),
        }
    }
}

/// Scopes `notices` and `org`.
impl Operator<'_> {
    /// Says something in the name of the system. `id` is drawn at random and not 0: the same again under the same id is carried out once,
    /// so ask again after [`Error::ConnectionLost`], or when some were refused for want of room.
    ///
    /// # Errors
    /// [`Error::Refused`]: `bad_field` for more than 1,000 users; `counter_reused` for another text under the same id.
    pub async fn notify(self, id: u64, to: Recipients, reach: Reach, text: &str) -> Result<Notified, Error> {
        let body = text.to_owned().into();
        let query = OperatorQuery::Notify { id, to, reach, body_kind: BodyKind::Text, body };
        match self.ask(query).await? {
            OperatorAnswer::Notified(notified) => Ok(notified),
            _ => Err(other_answer()),
        }
    }

    /// Edits the directory of the organisation, at most 256 edits: all are done, or none. Gives its version. `expected` is the version
    /// that they were made for, 0 for any.
    ///
    /// # Errors
    /// [`Error::Refused`]: `org_moved`; `org_unfit`, with the place of the edit that does not fit.
    pub async fn edit_org(self, expected: u64, edits: Vec<OrgItem>) -> Result<u64, Error> {
        match self.ask(OperatorQuery::EditOrg { expected, edits }).await? {
            OperatorAnswer::OrgEdited { version } => Ok(version),
            _ => Err(other_answer()),
        }
    }
}

/// Scopes `audit`, `relations` and `tokens`.
impl Operator<'_> {
    /// At most 256 acts behind this time (Unix milliseconds) and number, the oldest first; begin with (0, 0), and go on from `to` of
    /// the answer.
    pub async fn audit(self, after: (u64, u64)) -> Result<AuditRead, Error> {
        match self.ask(OperatorQuery::ReadAudit { after, rows_max: 0 }).await? {
            OperatorAnswer::AuditRead(read) => Ok(read),
            _ => Err(other_answer()),
        }
    }

    /// Makes contacts of the users of each pair, at most 1,024 at once, without a request.
    ///
    /// # Errors
    /// [`Error::Misuse`]: somebody with himself, or too many.
    pub async fn relate(self, pairs: &[(UserId, UserId)]) -> Result<PairsRelated, Error> {
        let pair = |(one, other): &(UserId, UserId)| ConversationId::private(*one, *other);
        let pairs = pairs.iter().map(pair).collect::<Option<Vec<_>>>();
        let pairs = pairs.ok_or(Error::Misuse("nobody is his own contact"))?;
        if pairs.len() > wire::limits::PAIRS_MAX {
            return Err(Error::Misuse("more than 1,024 pairs at once"));
        }
        match self.ask(OperatorQuery::RelatePairs { pairs }).await? {
            OperatorAnswer::PairsRelated(related) => Ok(related),
            _ => Err(other_answer()),
        }
    }

    /// Makes a token of a service account, and the account when the name is free. The secret is drawn here, and the node gets its
    /// hash. `expires_ms`: Unix milliseconds, 0 for never; `label`: what it is for, at most 64 bytes.
    ///
    /// # Errors
    /// [`Error::Refused`]: `not_allowed` for scopes that the own token lacks, `other_kind_of_account`, `too_many_tokens`.
    pub async fn create_token(
        self,
        name: &UserName,
        scopes: Scopes,
        expires_ms: u64,
        label: &str,
    ) -> Result<Token, Error> {
        let secret = Secret(secret::<SECRET_LEN>());
        let (hash, label) = (secret.hash(), label.to_owned());
        let query = OperatorQuery::CreateToken { name: text(name), hash, scopes, expires_ms, label };
        match self.ask(query).await? {
            OperatorAnswer::TokenCreated(created) => {
                Ok(Token { user: created.user, number: created.number, secret })
            }
            _ => Err(other_answer()),
        }
    }

    pub async fn tokens(self, name: &UserName) -> Result<Vec<TokenLine>, Error> {
        match self.ask(OperatorQuery::ListTokens { name: text(name) }).await? {
            OperatorAnswer::TokensListed(listed) => Ok(listed.tokens),
            _ => Err(other_answer()),
        }
    }

    /// Ends a token and its sessions; gives how many.
    ///
    /// # Errors
    /// [`Error::Refused`]: `unknown_token`.
    pub async fn revoke_token(self, name: &UserName, number: u32) -> Result<u32, Error> {
        match self.ask(OperatorQuery::RevokeToken { name: text(name), number }).await? {
            OperatorAnswer::TokenRevoked(revoked) => Ok(revoked.sessions_ended),
            _ => Err(other_answer()),
        }
    }

    async fn ask(self, query: OperatorQuery) -> Result<OperatorAnswer, Error> {
        let query = Box::new(query);
        self.0.ask(|reply| Request::Operator { query, reply }).await
    }
}

fn text(name: &UserName) -> String {
    name.as_str().to_owned()
}

fn other_answer() -> Error {
    Error::NodeMisbehaved("another answer".into())
}
