"""A small blocking client, written from wire/PROTOCOL.md and wire/schema/ringtalk.fbs alone.

`Connection` frames, encrypts and matches answers; `Client` adds the commands.
"""

import collections
import hashlib
import socket
import ssl
import struct
import time
import types
from typing import Any

import flatbuffers

import scram

# id of each command, event that answers it
COMMANDS = {
    "Hello": (1, "Welcome"),
    "RegisterStart": (2, "RegisterTerms"),
    "Register": (3, "Registered"),
    "LoginStart": (4, "Challenge"),
    "LoginProof": (5, "LoggedIn"),
    "Resume": (6, "Resumed"),
    "WhereToConnect": (7, "Connect"),
    "Ping": (8, "Pong"),
    "Logout": (9, "LoggedOut"),
    "ListDevices": (10, "Devices"),
    "EndSession": (11, "SessionsEnded"),
    "EndOtherSessions": (12, "SessionsEnded"),
    "FindUser": (16, "UserFound"),
    "NameUser": (17, "UserFound"),
    "SetProfile": (18, "ProfileChanged"),
    "GetProfile": (19, "ProfileFound"),
    "ProofStart": (20, "ProofTerms"),
    "ChangePassword": (21, "PasswordChanged"),
    "DeleteAccount": (22, "AccountDeleted"),
    "CodeStart": (23, "RegisterTerms"),
    "RedeemCode": (24, "CodeRedeemed"),
    "Send": (32, "Sent"),
    "Pull": (33, "Pulled"),
    "Mark": (34, "Marked"),
    "Sync": (35, "Synced"),
    "ContactRequest": (51, "Related"),
    "ContactAccept": (52, "Related"),
    "ContactRefuse": (53, "Related"),
    "ContactRemove": (54, "Related"),
    "Block": (55, "Related"),
    "Unblock": (56, "Related"),
    "SetContact": (57, "ContactChanged"),
    "SyncContacts": (58, "ContactsSynced"),
    "SetPresence": (64, "PresenceSet"),
    "SyncPresence": (65, "PresenceSynced"),
    "GetPresence": (66, "PresenceFound"),
    "SetAdverts": (72, "AdvertsSet"),
    "SyncOrg": (80, "OrgSynced"),
    "AddUser": (96, "UserAdded"),
    "SetUserState": (97, "UserChanged"),
    "IssueCode": (98, "UserChanged"),
    "RemoveUser": (99, "UserChanged"),
    "ReadAudit": (100, "AuditRead"),
    "ListUsers": (101, "UsersListed"),
    "ShowUser": (102, "UsersListed"),
    "RelatePairs": (104, "PairsRelated"),
    "TokenLogin": (108, "LoggedIn"),
    "CreateToken": (109, "TokenCreated"),
    "ListTokens": (110, "TokensListed"),
    "RevokeToken": (111, "TokenRevoked"),
    "ListUserDevices": (112, "Devices"),
    "EndUserSessions": (113, "SessionsEnded"),
    "Notify": (116, "Notified"),
    "EditOrg": (120, "OrgEdited"),
}
EVENTS = {
    256: "Welcome",
    257: "Refused",
    258: "Closing",
    259: "RegisterTerms",
    260: "Registered",
    261: "Challenge",
    262: "LoggedIn",
    263: "Resumed",
    264: "Connect",
    265: "Pong",
    266: "LoggedOut",
    267: "Move",
    268: "Devices",
    269: "SessionsEnded",
    272: "UserFound",
    274: "ProfileChanged",
    275: "ProfileFound",
    276: "ProofTerms",
    277: "PasswordChanged",
    278: "AccountDeleted",
    280: "CodeRedeemed",
    288: "Sent",
    289: "Pulled",
    290: "Marked",
    291: "Synced",
    304: "Message",
    305: "HeadMoved",
    306: "SyncNeeded",
    307: "Related",
    308: "ContactChanged",
    314: "ContactsSynced",
    320: "PresenceSet",
    321: "PresenceSynced",
    322: "PresenceFound",
    323: "PresenceChanged",
    328: "AdvertsSet",
    329: "Announced",
    336: "OrgSynced",
    337: "OrgChanged",
    352: "UserAdded",
    353: "UserChanged",
    356: "AuditRead",
    357: "UsersListed",
    360: "PairsRelated",
    365: "TokenCreated",
    366: "TokensListed",
    367: "TokenRevoked",
    372: "Notified",
    376: "OrgEdited",
}
VERSION = 1
FRAME_BYTES_MAX = 1 << 20
PUSHES_MAX = 4096

_LENGTH = struct.Struct("<I")
_HEAD = struct.Struct("<HHI")


class ProtocolError(Exception):
    """The other side breaks the protocol, or is not the node we wanted."""


class Closed(Exception):
    """The connection ended; `closing` is what the node said about it, if it did."""

    def __init__(self, closing: Any = None):
        self.closing = closing
        super().__init__(f"{closing.name}: {closing.reason}" if closing else "the connection was closed")


class Refused(Exception):
    """The node's "no" to one command."""

    def __init__(self, body: Any):
        self.code, self.name, self.reason = body.code, body.name, body.reason
        self.detail, self.retry_ms = body.detail, body.retryMs
        super().__init__(f"{self.name} ({self.code}): {self.reason}; detail {self.detail}, retry_ms {self.retry_ms}")


def encode_frame(modules: types.ModuleType, name: str, request: int, owner: tuple[int, ...], fields: dict) -> bytes:
    builder = flatbuffers.Builder(256)
    builder.FinishSizePrefixed(getattr(modules, name + "T")(**fields).Pack(builder))
    body = bytes(builder.Output())
    key = struct.pack(f"<{len(owner)}Q", *owner)
    rest = _HEAD.pack(COMMANDS[name][0], 0, request) + key + body
    return _LENGTH.pack(len(rest)) + rest


def decode_event(modules: types.ModuleType, rest: bytes) -> tuple[int, str | None, Any]:
    """Request, name and body of the event behind a length field. A name of None is to be skipped."""
    if len(rest) < _HEAD.size:
        raise ProtocolError(f"a frame of {len(rest)} bytes")
    event, flags, request = _HEAD.unpack_from(rest)
    if flags != 0:
        raise ProtocolError(f"a frame with flags {flags:#x}")
    name = EVENTS.get(event)
    return request, name, decode_body(modules, name, rest[_HEAD.size :]) if name else None


def decode_body(modules: types.ModuleType, name: str, body: bytes) -> Any:
    """The object of a size-prefixed FlatBuffer. Python's runtime does not verify; a wild offset raises."""
    try:
        (size,) = _LENGTH.unpack_from(body)
        if size != len(body) - _LENGTH.size:
            raise ProtocolError(f"{name}: {size} bytes are announced, {len(body) - _LENGTH.size} are there")
        return getattr(modules, name + "T").InitFromPackedBuf(body, _LENGTH.size)
    except (struct.error, IndexError, TypeError, UnicodeDecodeError) as error:
        raise ProtocolError(f"{name}: {error}") from error


class Connection:
    """One TCP or TLS connection. Waits at most `timeout_s` for anything."""

    def __init__(
        self,
        modules: types.ModuleType,
        address: tuple[str, int],
        *,
        plain: bool = False,
        fingerprint: str | None = None,
        roots: str | None = None,
        timeout_s: float = 30,
    ):
        self.modules = modules
        self.timeout_s = timeout_s
        self.pushes: collections.deque[tuple[str, Any]] = collections.deque()
        self.closing: Any = None
        self.binding: bytes | None = None
        self._answers: dict[int, tuple[str, Any]] = {}
        self._expected: dict[int, str] = {}
        self._next_request = 1
        self._received = bytearray()
        self._socket = socket.create_connection(address, timeout_s)
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if not plain:
                self._encrypt(address[0], fingerprint, roots)
        except BaseException:
            self._socket.close()
            raise

    def _encrypt(self, host: str, fingerprint: str | None, roots: str | None) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        if fingerprint is not None:
            # The pin says more than a chain would.
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif roots is not None:
            context.load_verify_locations(roots)
        else:
            context.load_default_certs()
        self._socket = context.wrap_socket(self._socket, server_hostname=host)
        certificate = self._socket.getpeercert(binary_form=True)
        if certificate is None:
            raise ProtocolError("the node has shown no certificate")
        if fingerprint is not None:
            found = hashlib.sha256(certificate).hexdigest()
            if found != fingerprint.replace(":", "").replace(" ", "").lower():
                raise ProtocolError(f"the node's certificate has the fingerprint {found}, not {fingerprint}")
        self.binding = scram.tls_server_end_point(certificate)

    def close(self) -> None:
        self._socket.close()

    def begin(self, command: str, owner: tuple[int, ...] = (), /, **fields: Any) -> int:
        """Sends a command and returns its request, for `answer`."""
        request = self._next_request
        self._next_request += 1
        self._expected[request] = COMMANDS[command][1]
        try:
            self._socket.settimeout(self.timeout_s)
            self._socket.sendall(encode_frame(self.modules, command, request, owner, fields))
        except (BrokenPipeError, ConnectionResetError):
            pass  # What the node said before it closed may still be there to read.
        return request

    def answer(self, request: int) -> Any:
        """The body of the event that answers a command; raises `Refused` for a no."""
        deadline = time.monotonic() + self.timeout_s
        while request not in self._answers:
            self._step(deadline, f"no answer to request {request}")
        name, body = self._answers.pop(request)
        expected = self._expected.pop(request)
        if name == "Refused":
            raise Refused(body)
        if name != expected:
            raise ProtocolError(f"{name} answers request {request}, not {expected}")
        return body

    def call(self, command: str, owner: tuple[int, ...] = (), /, **fields: Any) -> Any:
        return self.answer(self.begin(command, owner, **fields))

    def next_push(self, *wanted: str) -> Any:
        """The body of the next push with one of these names; others stay in `pushes`."""
        deadline = time.monotonic() + self.timeout_s
        while True:
            for index, (name, body) in enumerate(self.pushes):
                if name in wanted:
                    del self.pushes[index]
                    return body
            self._step(deadline, f"no {' or '.join(wanted)} was pushed")

    def wait_closed(self) -> Any:
        """Reads until the node closes; returns its `Closing`, None if it sent none."""
        deadline = time.monotonic() + self.timeout_s
        try:
            while True:
                self._step(deadline, "the node does not close")
        except Closed:
            return self.closing

    def _step(self, deadline: float, complaint: str) -> None:
        """Takes one frame in."""
        request, name, body = decode_event(self.modules, self._read_frame(deadline, complaint))
        if name is None:
            return  # An event of a later version.
        if name == "Closing":
            self.closing = body
        elif request == 0:
            if len(self.pushes) == PUSHES_MAX:
                raise ProtocolError("nobody takes the pushes")
            self.pushes.append((name, body))
        elif request in self._expected:
            self._answers[request] = (name, body)
        else:
            raise ProtocolError(f"{name} answers request {request}, which was not made")

    def _read_frame(self, deadline: float, complaint: str) -> bytes:
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size, deadline, complaint))
        if length > FRAME_BYTES_MAX:
            raise ProtocolError(f"a frame of {length} bytes")
        return self._read(length, deadline, complaint)

    def _read(self, size: int, deadline: float, complaint: str) -> bytes:
        while len(self._received) < size:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise TimeoutError(f"{complaint} within {self.timeout_s} s")
            self._socket.settimeout(left_s)
            try:
                got = self._socket.recv(65536)
            except TimeoutError:
                continue
            except (ConnectionResetError, ssl.SSLEOFError):
                got = b""
            if not got:
                raise Closed(self.closing)
            self._received += got
        taken = bytes(self._received[:size])
        del self._received[:size]
        return taken


class Client(Connection):
    """A connection that has said `Hello`, with the commands as methods."""

    def __init__(self, modules: types.ModuleType, address: tuple[str, int], **options: Any):
        super().__init__(modules, address, **options)
        self.welcome = self.call("Hello", versionMin=VERSION, versionMax=VERSION, software="ringtalk-python")
        if self.welcome.version != VERSION:
            raise ProtocolError(f"version {self.welcome.version} was not offered")
        # Vectors of texts come undecoded.
        self.mechanisms = [text.decode("utf-8") for text in self.welcome.mechanisms or []]
        self.user = self.device = self.session = 0
        self.name = ""
        self.ticket = b""
        self.session_key = b""

    def register(self, name: str, password: str) -> int:
        terms = self.call("RegisterStart", name=name)
        keys = scram.Keys.stretch(password, bytes(terms.salt or []), terms.iterations)
        return self.call("Register", name=name, storedKey=keys.stored_key, serverKey=keys.server_key).user

    def login(self, name: str, password: str, device: int = 0, device_name: str = "python") -> Any:
        exchange = scram.Exchange(name, self.mechanisms, self.binding)
        challenge = self.call("LoginStart", mechanism=exchange.mechanism, clientFirst=exchange.client_first)
        client_final = exchange.prove(challenge.serverFirst, password)
        logged_in = self.call(
            "LoginProof",
            clientFinal=client_final,
            device=device,
            deviceName=device_name,
            deviceClass=self.modules.DeviceClass.Bot,
        )
        exchange.check(logged_in.serverFinal)
        self.session_key = exchange.session_key
        self._enter(logged_in)
        return logged_in

    def resume(self, ticket: bytes, uver: int) -> Any:
        resumed = self.call("Resume", ticket=ticket, uver=uver)
        self._enter(resumed)
        return resumed

    def _enter(self, session: Any) -> None:
        self.user, self.name = session.user, session.name
        self.device, self.session = session.device, session.session
        self.ticket = bytes(session.ticket)

    def find_user(self, name: str) -> Any:
        return self.call("FindUser", name=name)

    def name_user(self, user: int) -> Any:
        return self.call("NameUser", (user,), user=user)

    def begin_send(self, conversation: tuple[int, int], counter: int, previous: int, text: str) -> int:
        body = text.encode("utf-8")
        kind = self.modules.BodyKind.Text
        return self.begin("Send", conversation, counter=counter, previous=previous, bodyKind=kind, body=body)

    def send(self, conversation: tuple[int, int], counter: int, previous: int, text: str) -> Any:
        return self.answer(self.begin_send(conversation, counter, previous, text))

    def pull(self, conversation: tuple[int, int], first: int, last: int, epoch: int = 0) -> Any:
        return self.call("Pull", conversation, from_=first, to=last, epoch=epoch)

    def receive(self, conversation: tuple[int, int], applied: int, head: int) -> list[Any]:
        """The entries behind `applied` up to `head`, which is yet to be announced. What pushes lack is pulled."""
        held: dict[int, Any] = {}
        announced = applied
        while announced < head:
            push = self.next_push("Message", "HeadMoved")
            if (push.conversation.low, push.conversation.high) != conversation:
                continue
            if isinstance(push, self.modules.MessageT):
                held[push.entry.seq] = push.entry
                announced = max(announced, push.entry.seq)
            else:
                announced = max(announced, push.head.seq)
        missing = [seq for seq in range(applied + 1, head + 1) if seq not in held]
        if missing:
            held |= {entry.seq: entry for entry in self.pull(conversation, missing[0], missing[-1]).entries or []}
        return [held[seq] for seq in range(applied + 1, head + 1)]

    def mark_read(self, conversation: tuple[int, int], seq: int) -> Any:
        return self.call("Mark", conversation, kind=self.modules.MarkKind.Read, seq=seq)

    def sync(self, uver: int) -> tuple[int, list[Any]]:
        """The new `uver` and what changed since the given one."""
        changes: list[Any] = []
        while True:
            answer = self.call("Sync", uver=uver)
            changes += answer.changes or []
            uver = answer.to
            if not answer.more:
                return uver, changes

    def ping(self) -> None:
        now_ms = time.time_ns() // 1_000_000
        if self.call("Ping", timeMs=now_ms).timeMs != now_ms:
            raise ProtocolError("a Pong of another Ping")

    def logout(self, forget_ticket: bool = True) -> None:
        self.call("Logout", forgetTicket=forget_ticket)
