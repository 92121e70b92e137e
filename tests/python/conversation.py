#!/usr/bin/env python3
"""Two users talk over a running node; every step says what it saw. Exits 0 only if all of them went well."""

import argparse
import pathlib
import secrets
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

sys.dont_write_bytecode = True

import schema
import scram

EPILOG = """\
Start a node (`cargo run --release`) and give its address and the fingerprint that it prints:

  python3 -m venv target/python/venv
  target/python/venv/bin/pip install -r tests/python/requirements.txt
  target/python/venv/bin/python tests/python/conversation.py --node 127.0.0.1:7470 --fingerprint HEX

The node must let anybody register. Two accounts with names of their own stay behind.
"""
MISSING_FIRST = 100  # a seq that no log of this script reaches


class Failure(Exception):
    """The node answered something else than PROTOCOL.md says."""


def same(what: str, found: Any, expected: Any) -> None:
    if found != expected:
        raise Failure(f"{what}: {found!r}, expected {expected!r}")


def refused(what: str, name: str, act: Callable[..., Any], *arguments: Any) -> Any:
    """The refusal that `act` must get."""
    from client import Refused

    try:
        answer = act(*arguments)
    except Refused as refusal:
        same(what, refusal.name, name)
        return refusal
    raise Failure(f"{what}: answered {vars(answer) if answer else answer}, expected the refusal {name}")


class Talk:
    """The steps share what is said here."""

    def __init__(self, connect: Callable[[], Any]):
        self.connect = connect
        mark = secrets.token_hex(4)
        self.ann_name, self.bob_name = f"ann-{mark}", f"bob-{mark}"
        self.ann_password, self.bob_password = "päss wörd\u00a0of ann", "correct horse \U0001f40e"
        self.said: list[str] = []
        self.sent: list[Any] = []

    def steps(self) -> list[Callable[[], str]]:
        return [
            self.greet,
            self.register,
            self.refuse_login,
            self.login,
            self.find,
            self.send,
            self.receive,
            self.repeat,
            self.keep_order,
            self.pipeline,
            self.pull,
            self.mark,
            self.answer,
            self.sync,
            self.resume,
            self.repeat_after_resume,
            self.end_older_session,
            self.logout,
        ]

    def greet(self) -> str:
        """says hello"""
        self.ann, self.bob = self.connect(), self.connect()
        welcome = self.ann.welcome
        same("may register", welcome.registrationOpen, True)
        same("mechanisms", self.ann.mechanisms, [scram.PLAIN if self.ann.binding is None else scram.PLUS])
        self.ann.ping()
        return f"{welcome.software}, version {welcome.version}, {', '.join(self.ann.mechanisms)}"

    def register(self) -> str:
        """registers both"""
        users = [
            self.ann.register(self.ann_name, self.ann_password),
            self.bob.register(self.bob_name, self.bob_password),
        ]
        if 0 in users or users[0] == users[1]:
            raise Failure(f"users {users}")
        refused("the name again", "name_taken", self.bob.register, self.ann_name.upper(), "other")
        refused("a bad name", "bad_name", self.bob.register, "-ann", "other")
        self.ann_user, self.bob_user = users
        return f"{self.ann_name} is user {users[0]}, {self.bob_name} is user {users[1]}"

    def refuse_login(self) -> str:
        """refuses a wrong password and an unknown name alike"""
        refused("a wrong password", "login_failed", self.ann.login, self.ann_name, self.ann_password + "?")
        refused("an unknown name", "login_failed", self.ann.login, "no" + self.ann_name, "any")
        refused("before login", "wrong_phase", self.ann.find_user, self.bob_name)
        return "login_failed, twice"

    def login(self) -> str:
        """logs both in"""
        # Another spelling of the same name.
        self.ann.login(self.ann_name.upper(), self.ann_password)
        self.bob.login(self.bob_name, self.bob_password)
        same("ann", (self.ann.user, self.ann.name), (self.ann_user, self.ann_name))
        same("bob", (self.bob.user, self.bob.name), (self.bob_user, self.bob_name))
        if 0 in (self.ann.device, self.bob.device) or not self.ann.ticket:
            raise Failure("a login without a device or a ticket")
        _, changes = self.ann.sync(0)
        same("ann's list", changes, [])
        return f"devices {self.ann.device} and {self.bob.device}"

    def find(self) -> str:
        """finds the other by name"""
        found = self.ann.find_user(self.bob_name.title())
        same("bob found", (found.user, found.name), (self.bob_user, self.bob_name))
        named = self.bob.name_user(self.ann_user)
        same("ann named", (named.user, named.name), (self.ann_user, self.ann_name))
        refused("nobody", "unknown_user", self.ann.find_user, "no" + self.bob_name)
        low, high = self.conversation = min(self.ann_user, self.bob_user), max(self.ann_user, self.bob_user)
        refused("a wrong order", "bad_field", self.ann.send, (high, low), 1, 0, "hello")
        refused("a talk with herself", "bad_field", self.ann.send, (self.ann_user, self.ann_user), 1, 0, "hello")
        return f"conversation {self.conversation}"

    def send(self) -> str:
        """sends a message, gets its place in the log"""
        self.said.append("hello bob 👋")
        sent = self.ann.send(self.conversation, 1, 0, self.said[0])
        self.sent.append(sent)
        same("conversation", (sent.conversation.low, sent.conversation.high), self.conversation)
        same("the place", (sent.counter, sent.seq, sent.ord), (1, 1, 1))
        if sent.epoch < 1 or sent.timeMs < 1:
            raise Failure(f"epoch {sent.epoch}, time {sent.timeMs}")
        return f"seq {sent.seq}, epoch {sent.epoch}"

    def check_entry(self, entry: Any, sender: Any, text: str, sent: Any) -> None:
        """`entry` is what `sender` sent with the answer `sent`."""
        found = (entry.seq, entry.ord, entry.timeMs, entry.sender, entry.device, entry.counter)
        same("the entry", found, (sent.seq, sent.ord, sent.timeMs, sender.user, sender.device, sent.counter))
        modules = sender.modules
        same("its kinds", (entry.kind, entry.bodyKind), (modules.EntryKind.Message, modules.BodyKind.Text))
        same("its text", bytes(entry.body).decode("utf-8"), text)

    def receive(self) -> str:
        """the other is pushed the message"""
        message = self.bob.next_push("Message")
        same("conversation", (message.conversation.low, message.conversation.high), self.conversation)
        same("epoch", message.epoch, self.sent[0].epoch)
        self.check_entry(message.entry, self.ann, self.said[0], self.sent[0])
        return f"{self.said[0]!r} from user {message.entry.sender}"

    def same_answer(self, again: Any, first: Any) -> None:
        fields = ("counter", "seq", "ord", "timeMs", "epoch")
        same("the answer", [getattr(again, field) for field in fields], [getattr(first, field) for field in fields])

    def repeat(self) -> str:
        """a repeated send gets the original answer"""
        self.same_answer(self.ann.send(self.conversation, 1, 0, self.said[0]), self.sent[0])
        refused("another body", "counter_reused", self.ann.send, self.conversation, 1, 0, "hello eve")
        return "seq, ord and time are those of the first; another body is refused"

    def keep_order(self) -> str:
        """a send that names the wrong one before it is refused"""
        refusal = refused("a gap", "out_of_order", self.ann.send, self.conversation, 3, 2, "too early")
        same("the last one taken", refusal.detail, 1)
        return "out_of_order tells the last counter taken, 1"

    def pipeline(self) -> str:
        """sends without waiting for answers"""
        texts = [f"message {counter}" for counter in range(4, 12)]
        requests = [self.ann.begin_send(self.conversation, 4, 1, texts[0])]
        requests += [
            self.ann.begin_send(self.conversation, counter, counter - 1, text)
            for counter, text in enumerate(texts[1:], 5)
        ]
        for request in requests:
            self.sent.append(self.ann.answer(request))
        self.said += texts
        same("the places", [sent.seq for sent in self.sent], list(range(1, 10)))
        entries = self.bob.receive(self.conversation, 1, len(self.said))
        for entry, text, sent in zip(entries, self.said[1:], self.sent[1:], strict=True):
            self.check_entry(entry, self.ann, text, sent)
        return f"{len(texts)} at once, received in order"

    def pull(self) -> str:
        """pulls the whole log"""
        head = len(self.said)
        pulled = self.bob.pull(self.conversation, 1, MISSING_FIRST)
        same("the range", (pulled.from_, pulled.to, pulled.head.seq), (1, head, head))
        same("ranges", pulled.ranges or [], [])
        same("the number of entries", len(pulled.entries), head)
        for entry, text, sent in zip(pulled.entries, self.said, self.sent, strict=True):
            self.check_entry(entry, self.ann, text, sent)
        part = self.ann.pull(self.conversation, 2, 3, pulled.epoch)
        same("a part", [entry.seq for entry in part.entries], [2, 3])
        other = self.ann.pull(self.conversation, 1, head, pulled.epoch + 1)
        kinds = [(lack.from_, lack.to, lack.kind) for lack in other.ranges or []]
        same(
            "another epoch",
            (len(other.entries or []), kinds),
            (0, [(1, head, self.ann.modules.RangeKind.EpochChanged)]),
        )
        return f"{head} entries in epoch {pulled.epoch}"

    def mark(self) -> str:
        """marks read, the other sees the mark"""
        head, kinds = len(self.said), self.bob.modules.MarkKind
        mine = self.bob.mark_read(self.conversation, head)
        theirs = self.ann.next_push("Marked")
        for marked in (mine, theirs):
            found = (marked.user, marked.kind, marked.place.seq, marked.place.ord)
            same("the mark", found, (self.bob_user, kinds.Read, head, head))
        lower = self.bob.mark_read(self.conversation, 2)
        same("a lower mark", lower.place.seq, head)
        refused("a mark of nothing", "bad_field", self.bob.mark_read, self.conversation, head + 1)
        return f"user {theirs.user} has read up to {theirs.place.seq}"

    def answer(self) -> str:
        """the other answers"""
        text = "hello ann"
        sent = self.bob.send(self.conversation, 1, 0, text)
        same("the place", sent.seq, len(self.said) + 1)
        (entry,) = self.ann.receive(self.conversation, len(self.said), sent.seq)
        self.check_entry(entry, self.bob, text, sent)
        self.said.append(text)
        self.sent.append(sent)
        return f"seq {sent.seq}"

    def sync_until(self, user: Any, uver: int, is_current: Callable[[Any], bool]) -> tuple[int, list[Any]]:
        """Syncs from `uver` until this conversation's summary is as wanted: the list follows with a small delay."""
        deadline = time.monotonic() + user.timeout_s
        while True:
            new_uver, changes = user.sync(uver)
            if len(changes) == 1 and is_current(changes[0]):
                return new_uver, changes
            if len(changes) > 1 or time.monotonic() > deadline:
                raise Failure(f"after uver {uver} the list holds {[vars(summary) for summary in changes]}")
            time.sleep(0.01)

    def sync(self) -> str:
        """both sync and count what is unread"""
        head = len(self.said)

        def is_current(summary: Any) -> bool:
            return summary.head.seq == head == max(summary.read.seq, summary.peerRead.seq)

        self.ann_uver, anns = self.sync_until(self.ann, 0, is_current)
        self.bob_uver, bobs = self.sync_until(self.bob, 0, is_current)
        for summaries, uver in ((anns, self.ann_uver), (bobs, self.bob_uver)):
            summary = summaries[0]
            same("conversation", (summary.conversation.low, summary.conversation.high), self.conversation)
            same("the head", (summary.head.seq, summary.timeMs), (head, self.sent[-1].timeMs))
            same("uver", summary.uver, uver)
        # The last message is bob's: it moved his marks, not hers.
        same("ann's unread", anns[0].head.ord - anns[0].read.ord, 1)
        same("what bob read", (anns[0].peerRead.seq, bobs[0].read.seq), (head, head))
        same("what ann read", (anns[0].read.seq, bobs[0].peerRead.seq), (head - 1, head - 1))
        same("nothing new", self.ann.sync(self.ann_uver), (self.ann_uver, []))
        return f"uver {self.ann_uver} and {self.bob_uver}; ann has 1 unread"

    def resume(self) -> str:
        """comes back with the ticket and catches up"""
        device, session, ticket = self.bob.device, self.bob.session, self.bob.ticket
        self.bob.close()
        self.said.append("where are you?")
        self.sent.append(self.ann.send(self.conversation, 12, 11, self.said[-1]))
        self.bob = self.connect()
        resumed = self.bob.resume(ticket, self.bob_uver)
        found = (resumed.user, resumed.name, resumed.device, resumed.session)
        same("the session", found, (self.bob_user, self.bob_name, device, session))
        same("where to sync from", (resumed.afresh, resumed.from_), (False, self.bob_uver))
        head = len(self.said)
        self.bob_uver, _ = self.sync_until(self.bob, resumed.from_, lambda summary: summary.head.seq == head)
        pulled = self.bob.pull(self.conversation, len(self.said), len(self.said))
        self.check_entry(pulled.entries[0], self.ann, self.said[-1], self.sent[-1])
        return f"device {resumed.device} got seq {pulled.to}, sent meanwhile"

    def repeat_after_resume(self) -> str:
        """over a new connection, a repeated send still gets the original answer"""
        ticket = self.ann.ticket
        self.ann.close()
        self.ann = self.connect()
        self.ann.resume(ticket, self.ann_uver)
        self.same_answer(self.ann.send(self.conversation, 1, 0, self.said[0]), self.sent[0])
        return f"seq {self.sent[0].seq}"

    def end_older_session(self) -> str:
        """a second login of a device ends the first"""
        older, device = self.ann, self.ann.device
        self.ann = self.connect()
        self.ann.login(self.ann_name, self.ann_password, device=device)
        same("the device", self.ann.device, device)
        closing = older.wait_closed()
        same("the older one", closing and closing.name, "session_ended")
        older.close()
        return "the older connection was closed with session_ended"

    def logout(self) -> str:
        """logs both out"""

        def leave(user: Any, forget_ticket: bool) -> None:
            user.logout(forget_ticket)
            same("the end", user.wait_closed(), None)
            user.close()

        leave(self.ann, False)
        kept = self.ann.ticket
        self.ann = self.connect()
        self.ann.resume(kept, self.ann_uver)
        leave(self.ann, True)
        leave(self.bob, True)
        again = self.connect()
        refused("the ticket", "ticket_refused", again.resume, self.ann.ticket, self.ann_uver)
        refused("the ticket", "ticket_refused", again.resume, self.bob.ticket, self.bob_uver)
        again.close()
        return "their tickets serve no more"


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--node", default="127.0.0.1:7470", metavar="HOST:PORT", help="default %(default)s")
    trust = parser.add_mutually_exclusive_group()
    trust.add_argument("--fingerprint", metavar="HEX", help="SHA-256 of the node's certificate, as the node prints it")
    trust.add_argument("--roots", metavar="PEM", help="check the certificate against these roots instead")
    trust.add_argument("--plain", action="store_true", help="the listener is one without TLS")
    parser.add_argument("--timeout", type=float, default=30, metavar="SECONDS", help="for each answer, default 30")
    parser.add_argument(
        "--modules",
        type=pathlib.Path,
        default=schema.MODULES,
        metavar="DIR",
        help="where flatc's output is kept, default target/python/modules",
    )
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    modules = schema.load(options.modules)
    from client import Client

    host, _, port = options.node.rpartition(":")
    address = (host.strip("[]"), int(port))

    def connect() -> Client:
        return Client(
            modules,
            address,
            plain=options.plain,
            fingerprint=options.fingerprint,
            roots=options.roots,
            timeout_s=options.timeout,
        )

    talk = Talk(connect)
    steps = talk.steps()
    for number, step in enumerate(steps, 1):
        try:
            print(f"ok {number:2}/{len(steps)} {step.__doc__}: {step()}", flush=True)
        except Exception as error:
            traceback.print_exc()
            print(f"FAILED {number}/{len(steps)} {step.__doc__}: {type(error).__name__}: {error}", flush=True)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
