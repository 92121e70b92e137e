#!/usr/bin/env python3
"""Holds this client against the examples and tables printed in wire/PROTOCOL.md. Exits 0 only if all agree."""

import argparse
import pathlib
import re
import sys

sys.dont_write_bytecode = True

import schema

PAGE = schema.ROOT / "wire" / "PROTOCOL.md"


def section(page: str, name: str) -> str:
    found = re.search(rf"<!-- begin {name} -->(.*?)<!-- end {name} -->", page, re.DOTALL)
    if found is None:
        raise SystemExit(f"PROTOCOL.md has no section {name}")
    return found[1]


def frames(page: str) -> list[bytes]:
    """The dumps of the example frames."""
    blocks = re.findall(r"```text\n(.*?)```", section(page, "frames"), re.DOTALL)
    return [bytes.fromhex("".join(line[4:] for line in block.splitlines())) for block in blocks]


def check_tables(page: str) -> None:
    import client

    commands = re.findall(r"^\| (\d+) \| `(\w+)` \|.*?\|.*?\|.*?\| `(\w+)` \|", section(page, "commands"), re.MULTILINE)
    assert {name: (int(number), answer) for number, name, answer in commands} == client.COMMANDS, commands
    events = re.findall(r"^\| (\d+) \| `(\w+)` \|", section(page, "events"), re.MULTILINE)
    assert {int(number): name for number, name in events} == client.EVENTS, events
    limits = dict(re.findall(r"^\| (.*?) \| (\d+) \|$", section(page, "limits"), re.MULTILINE))
    assert int(limits["frame after login, bytes behind the length field"]) == client.FRAME_BYTES_MAX
    assert int(limits["protocol version, highest"]) >= client.VERSION >= int(limits["protocol version, lowest"])


def check_frames(page: str, modules) -> None:
    import client

    hello, send, sent = frames(page)
    for frame in (hello, send, sent):
        assert int.from_bytes(frame[:4], "little") == len(frame) - 4, frame
    # Builders may lay tables out differently, so commands are compared by heads and what is read from bodies.
    ours = client.encode_frame(modules, "Hello", 1, (), {"versionMin": 1, "versionMax": 1, "software": "example"})
    assert ours[4:12] == hello[4:12]
    body = client.decode_body(modules, "Hello", hello[12:])
    assert (body.versionMin, body.versionMax, body.features, body.software) == (1, 1, 0, "example")
    assert vars(client.decode_body(modules, "Hello", ours[12:])) == vars(body)
    fields = {"counter": 7, "previous": 6, "body": b"hello"}
    ours = client.encode_frame(modules, "Send", 9, (1029, 2057), fields)
    assert ours[4:28] == send[4:28]
    body = client.decode_body(modules, "Send", send[28:])
    assert (body.counter, body.previous, body.bodyKind, bytes(body.body)) == (7, 6, modules.BodyKind.Text, b"hello")
    assert vars(client.decode_body(modules, "Send", ours[28:])) == vars(body)
    request, name, body = client.decode_event(modules, sent[4:])
    assert (request, name) == (9, "Sent")
    assert (body.conversation.low, body.conversation.high, body.counter) == (1029, 2057, 7)
    assert (body.seq, body.ord, body.timeMs, body.epoch) == (40, 38, 1_800_000_000_123, 1)
    for cut in range(len(sent) - 4):
        try:
            client.decode_event(modules, sent[4 : 4 + cut])
        except client.ProtocolError:
            continue
        raise AssertionError(f"a frame cut to {cut} bytes was read")


def check_login(page: str) -> None:
    import base64

    import scram

    text = section(page, "login")
    password, salt, iterations = re.search(r"Password `(.*?)`, salt `(.*?)`, (\d+) iterations", text).groups()
    keys = scram.Keys.stretch(password, base64.b64decode(salt), int(iterations))
    for name, value in (("Client", keys.client_key), ("Stored", keys.stored_key), ("Server", keys.server_key)):
        assert f"{name}Key = {value.hex()}\n" in text, name
    for plus, block in zip((False, True), re.findall(r"```text\n(client_first.*?)```", text, re.DOTALL), strict=True):
        lines = dict(line.split(" = ", 1) for line in block.splitlines())
        lines = {name.strip(): value for name, value in lines.items()}
        mechanism, binding = (scram.PLUS, b"\xc4" * 32) if plus else (scram.PLAIN, None)
        nonce = lines["client_first"].rpartition(",r=")[2]
        exchange = scram.Exchange("user", [mechanism], binding, nonce)
        assert exchange.client_first == lines["client_first"]
        assert exchange.prove(lines["server_first"], password) == lines["client_final"]
        exchange.check(lines["server_final"])
        assert exchange.session_key.hex() == lines["session key"]
        try:
            exchange.check(lines["server_final"].replace("=", "=A", 1))
        except scram.ScramError:
            continue
        raise AssertionError("a wrong server_final was taken")


def check_saslprep() -> None:
    import scram

    # RFC 4013, section 3.
    for text, prepared in (
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("\u0007", None),
        ("\u0627\u0031", None),
    ):
        assert scram.saslprep(text) == prepared, text


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--modules",
        type=pathlib.Path,
        default=schema.MODULES,
        metavar="DIR",
        help="where flatc's output is kept, default target/python/modules",
    )
    modules = schema.load(parser.parse_args(arguments).modules)
    page = PAGE.read_text(encoding="utf-8")
    check_tables(page)
    check_frames(page, modules)
    check_login(page)
    check_saslprep()
    print("the examples and tables of PROTOCOL.md agree")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
