#!/usr/bin/env bash
# Shows that the durability test can fail: a node that acknowledges before it commits is caught by the kills, one that does not
# sync by the power cuts. Needs root.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --quiet -p node --features fault-injection
cp target/release/ringtalk target/ringtalk-with-faults
cargo build --release --quiet -p node -p tests --bin ringtalk --bin durability
durability() {
  RINGTALK_BINARY=target/ringtalk-with-faults RINGTALK_STORE_FAULT=$1 \
    target/release/durability --kills "$2" --cuts "$3" --acked-each 1000
}
durability "" 1 1 || { echo "prove-durability: a node without a fault fails" >&2; exit 1; }
caught() {
  if durability "$@"; then
    echo "prove-durability: $1 was not caught" >&2
    exit 1
  fi
  echo "prove-durability: $1 was caught"
}
caught ack-before-commit 5 0
caught no-fsync 0 3
