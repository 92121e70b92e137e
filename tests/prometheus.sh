#!/usr/bin/env bash
# A real Prometheus scrapes a real node while the bench sends; at the end all three must tell the same number of messages.
#
# Needs the programs `prometheus` (Debian: apt-get install -y --no-install-recommends prometheus) and `python3`, and the
# release binaries of the node and the bench; RINGTALK_BINARY and BENCH_BINARY name others. Everything runs on loopback and
# is stopped at the end. PAIRS, SECONDS_EACH and ROUNDS set the load.
set -euo pipefail
cd "$(dirname "$0")/.."

need() {
  command -v "$1" >/dev/null || { echo "tests/prometheus.sh: $1 is missing: apt-get install -y --no-install-recommends $2" >&2; exit 2; }
}
need prometheus prometheus
need python3 python3

target="${CARGO_TARGET_DIR:-target}/release"
node="${RINGTALK_BINARY:-$target/ringtalk}"
bench="${BENCH_BINARY:-$target/bench}"
for program in "$node" "$bench"; do
  [ -x "$program" ] || { echo "tests/prometheus.sh: $program is not built: cargo build --release -p node -p bench" >&2; exit 2; }
done

folder="$(mktemp -d)"
processes=()
finish() {
  for process in "${processes[@]}"; do kill "$process" 2>/dev/null || true; done
  for process in "${processes[@]}"; do wait "$process" 2>/dev/null || true; done
  rm -rf "$folder"
}
trap finish EXIT

# A port that is free now, for Prometheus, which does not tell which one it took.
port="$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"

"$node" --data "$folder/data" --listen-plain 127.0.0.1:0 --admin-http 127.0.0.1:0 --register open --iterations 4096 \
  --rate-logins 0 --rate-messages 0 --rate-queries 0 --rate-light 0 --shards 2 --log warn >"$folder/node.txt" &
processes+=($!)
node_process=$!
for _ in $(seq 600); do
  grep -qx ready "$folder/node.txt" && break
  kill -0 "$node_process" 2>/dev/null || { echo "tests/prometheus.sh: the node did not start" >&2; exit 1; }
  sleep 0.1
done
listen="$(sed -n 's/^listening plain //p' "$folder/node.txt")"
metrics="$(sed -n 's/^metrics http:\/\/\(.*\)\/metrics$/\1/p' "$folder/node.txt")"

cat >"$folder/prometheus.yml" <<YAML
global:
  scrape_interval: 1s
  scrape_timeout: 1s
scrape_configs:
  - job_name: ringtalk
    static_configs:
      - targets: ["$metrics"]
YAML
prometheus --config.file="$folder/prometheus.yml" --storage.tsdb.path="$folder/tsdb" \
  --web.listen-address="127.0.0.1:$port" --log.level=warn &
processes+=($!)

python3 - "$port" "$bench" "$listen" "$node_process" "$metrics" <<'PYTHON'
import json, os, subprocess, sys, time, urllib.parse, urllib.request

port, bench, listen, process, target = sys.argv[1:]
WAIT_S_MAX = 60


def ask(expression):
    """The vector that Prometheus gives for an expression: a list of (labels, time, value)."""
    query = urllib.parse.urlencode({"query": expression})
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?{query}", timeout=10) as answer:
        told = json.load(answer)
    assert told["status"] == "success", told
    return [(sample["metric"], sample["value"][0], float(sample["value"][1])) for sample in told["data"]["result"]]


def one(expression):
    found = ask(expression)
    return found[0][2] if found else None


def wait_for(what, look):
    begin = time.time()
    while True:
        try:
            found = look()
        except OSError:
            found = None
        if found:
            return found
        if time.time() - begin > WAIT_S_MAX:
            sys.exit(f"tests/prometheus.sh: {what} for {WAIT_S_MAX} s")
        time.sleep(0.2)


def scraped_since(moment):
    """Whether a whole scrape began after this moment."""
    return one(f"min(timestamp(up) > {moment})") and one("min(up)") == 1


MESSAGES = "sum(ringtalk_messages_accepted_total)"
wait_for("Prometheus has not scraped the node", lambda: scraped_since(time.time() - 2))
before = one(MESSAGES)

begin = time.time()
load = ["--pairs", os.environ.get("PAIRS", "50"), "--rounds", os.environ.get("ROUNDS", "3")]
load += ["--seconds", os.environ.get("SECONDS_EACH", "3")]
ran = subprocess.run(
    [bench, "direct", "--json", "--connect", listen, "--pid", process, *load], stdout=subprocess.PIPE, check=True
)
end = time.time()
report = json.loads(ran.stdout)
benched = report["runs"][0]["rounds"][-1]["values"]["acked_total"]

wait_for("Prometheus has not scraped the node after the bench", lambda: scraped_since(end))
after = one(MESSAGES)
counted = after - before
seconds = int(end - begin) + 1
scrapes = one(f"sum(count_over_time(up[{seconds}s]))")
failed = one(f"sum(count_over_time(up[{seconds}s])) - sum(sum_over_time(up[{seconds}s]))")
with urllib.request.urlopen(f"http://{target}/metrics", timeout=10) as answer:
    lines = answer.read().decode().splitlines()
direct = sum(float(line.split()[-1]) for line in lines if line.startswith("ringtalk_messages_accepted_total{"))

print(f"messages acknowledged to the bench, warm-up included:        {benched:.0f}")
print(f"ringtalk_messages_accepted_total, by Prometheus' query API:  {counted:.0f} ({before:.0f} to {after:.0f})")
print(f"the same at the node itself:                                 {direct:.0f}")
print(f"scrapes while the bench ran: {scrapes:.0f} in {seconds} s, {failed:.0f} of them failed")
for name, expression in [
    ("highest rate that Prometheus saw", f"max_over_time(sum(rate(ringtalk_messages_accepted_total[5s]))[{seconds}s:1s])"),
    ("commit latency, 99 %, in seconds",
     f"histogram_quantile(0.99, sum by (le) (rate(ringtalk_commit_latency_seconds_bucket[{seconds}s])))"),
    ("sessions at most", f"max_over_time(sum(ringtalk_sessions)[{seconds}s:1s])"),
]:
    value = one(expression)
    assert value is not None and value > 0, f"Prometheus has no {name}"
    print(f"{name}: {value:.6g}")

wrong = []
if not (benched == counted == direct) or benched <= 0:
    wrong.append("the numbers of messages differ")
if failed != 0 or scrapes < 3:
    wrong.append("the node was not scraped all the time")
if wrong:
    sys.exit("tests/prometheus.sh: " + "; ".join(wrong))
print("the bench, Prometheus and the node agree")
PYTHON
