"""SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, the client's side (PROTOCOL.md, section 6)."""

import base64
import hashlib
import hmac
import os
import stringprep
import unicodedata

PLAIN = "SCRAM-SHA-256"
PLUS = "SCRAM-SHA-256-PLUS"
ITERATIONS_MIN = 4_096
ITERATIONS_MAX = 10_000_000
SALT_BYTES_MAX = 64
NONCE_BYTES = 18


class ScramError(Exception):
    """The node's part of the login is wrong: it does not know the account, or somebody is in between."""


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def saslprep(text: str) -> str | None:
    """RFC 4013 for stored strings; None when it refuses the text."""
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char for char in text if not stringprep.in_table_b1(char)
    )
    # The profile is bound to Unicode 3.2.
    text = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    prohibited = (
        stringprep.in_table_a1,
        stringprep.in_table_c12,
        stringprep.in_table_c21_c22,
        stringprep.in_table_c3,
        stringprep.in_table_c4,
        stringprep.in_table_c5,
        stringprep.in_table_c6,
        stringprep.in_table_c7,
        stringprep.in_table_c8,
        stringprep.in_table_c9,
    )
    if any(table(char) for char in text for table in prohibited):
        return None
    if any(stringprep.in_table_d1(char) for char in text):
        ends_right_to_left = stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
        if not ends_right_to_left or any(stringprep.in_table_d2(char) for char in text):
            return None
    return text


class Keys:
    """What a client may keep in place of the password."""

    def __init__(self, client_key: bytes, server_key: bytes):
        self.client_key = client_key
        self.server_key = server_key
        self.stored_key = hashlib.sha256(client_key).digest()

    @classmethod
    def stretch(cls, password: str, salt: bytes, iterations: int) -> "Keys":
        if not ITERATIONS_MIN <= iterations <= ITERATIONS_MAX:
            raise ScramError(f"the node asks for {iterations} iterations")
        if not 1 <= len(salt) <= SALT_BYTES_MAX:
            raise ScramError(f"the node sent a salt of {len(salt)} bytes")
        prepared = saslprep(password)
        secret = (password if prepared is None else prepared).encode("utf-8")
        salted = hashlib.pbkdf2_hmac("sha256", secret, salt, iterations, 32)
        return cls(_hmac(salted, b"Client Key"), _hmac(salted, b"Server Key"))


class Exchange:
    """One login. `binding` is the certificate's hash on TLS, None where nothing can be bound."""

    def __init__(self, name: str, mechanisms: list[str], binding: bytes | None, nonce: str | None = None):
        if binding is not None and PLUS in mechanisms:
            self.mechanism, self.gs2_header, self.binding = PLUS, "p=tls-server-end-point,,", binding
        elif PLAIN in mechanisms:
            flag = "n" if binding is None else "y"
            self.mechanism, self.gs2_header, self.binding = PLAIN, f"{flag},,", b""
        else:
            raise ScramError(f"none of the mechanisms {mechanisms} can be used here")
        self.nonce = nonce or _base64(os.urandom(NONCE_BYTES))
        escaped = name.replace("=", "=3D").replace(",", "=2C")
        self._bare = f"n={escaped},r={self.nonce}"
        self.client_first = self.gs2_header + self._bare
        self.session_key = b""
        self._server_signature = b""

    def prove(self, server_first: str, password: str) -> str:
        """The client-final-message."""
        try:
            # Values may hold `=`, but no `,`.
            nonce_field, salt_field, iterations_field = server_first.split(",")[:3]
            if (nonce_field[:2], salt_field[:2], iterations_field[:2]) != ("r=", "s=", "i="):
                raise ValueError("other fields than r, s, i")
            nonce, iterations = nonce_field[2:], int(iterations_field[2:])
            salt = base64.b64decode(salt_field[2:], validate=True)
        except ValueError as error:
            raise ScramError(f"server-first-message {server_first!r}: {error}") from None
        if not nonce.startswith(self.nonce) or nonce == self.nonce:
            raise ScramError("the node's nonce does not continue ours")
        keys = Keys.stretch(password, salt, iterations)
        channel = _base64(self.gs2_header.encode("ascii") + self.binding)
        without_proof = f"c={channel},r={nonce}"
        auth_message = f"{self._bare},{server_first},{without_proof}".encode("utf-8")
        signature = _hmac(keys.stored_key, auth_message)
        proof = bytes(a ^ b for a, b in zip(keys.client_key, signature, strict=True))
        self._server_signature = _hmac(keys.server_key, auth_message)
        self.session_key = _hkdf(b"ringtalk session key", keys.client_key + keys.server_key, auth_message)
        return f"{without_proof},p={_base64(proof)}"

    def check(self, server_final: str) -> None:
        expected = "v=" + _base64(self._server_signature)
        if not hmac.compare_digest(expected.encode("utf-8"), server_final.encode("utf-8")):
            raise ScramError("the node does not know this account")


def _hkdf(salt: bytes, material: bytes, info: bytes) -> bytes:
    """HKDF-SHA-256 (RFC 5869) of one block."""
    return _hmac(_hmac(salt, material), info + b"\x01")


# The hash of each signature algorithm, by its object identifier in DER. MD5 and SHA-1 are replaced (RFC 5929).
_SIGNATURE_HASHES = {
    bytes.fromhex("2a864886f70d010104"): "sha256",  # md5WithRSAEncryption
    bytes.fromhex("2a864886f70d010105"): "sha256",  # sha1WithRSAEncryption
    bytes.fromhex("2a864886f70d01010b"): "sha256",  # sha256WithRSAEncryption
    bytes.fromhex("2a864886f70d01010c"): "sha384",
    bytes.fromhex("2a864886f70d01010d"): "sha512",
    bytes.fromhex("2a8648ce3d0401"): "sha256",  # ecdsa-with-SHA1
    bytes.fromhex("2a8648ce3d040302"): "sha256",  # ecdsa-with-SHA256
    bytes.fromhex("2a8648ce3d040303"): "sha384",
    bytes.fromhex("2a8648ce3d040304"): "sha512",
}


def tls_server_end_point(certificate: bytes) -> bytes | None:
    """RFC 5929, of a certificate in DER. None where the signature algorithm names no hash of its own."""
    _, certificate_body, _ = _der(certificate)
    _, _, behind_tbs = _der(certificate_body)
    _, algorithm, _ = _der(behind_tbs)
    tag, identifier, _ = _der(algorithm)
    name = _SIGNATURE_HASHES.get(identifier) if tag == 0x06 else None
    return hashlib.new(name, certificate).digest() if name else None


def _der(data: bytes) -> tuple[int, bytes, bytes]:
    """Tag and contents of the first element, and what is behind it."""
    tag, length, at = data[0], data[1], 2
    if length & 0x80:
        at += length & 0x7F
        length = int.from_bytes(data[2:at], "big")
    return tag, data[at : at + length], data[at + length :]
