//! The promise, tried on the real binary: clients send while the node is killed, or its machine loses power, again and again.
//!
//! The rule of the ledger: every message says which device sent it and as which of its messages in that conversation. An
//! acknowledgement is written to the ledger, and synced, after it came. In the end every conversation is read from the node and
//! from every device's own store: what was acknowledged is stored, nothing is stored twice, each sender's order is kept, and
//! every device has what the node has.

mod disk;
mod ledger;
mod verdict;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::transport::{Security, Trust};
use client::{Body, Client, ClientOptions, DeliveredMarks, HistoryItem, To};
use tokio::sync::{Semaphore, watch};
use wire::name::UserName;
use wire::{ConversationId, UserId};

use crate::harness::{Node, NodeBuilder, Protection, RawClient};
use disk::LoopDisk;
use ledger::Ledger;
pub use verdict::Verdict;

const USERS: usize = 4;
const DEVICES_EACH: usize = 2;
/// Messages of one device without an answer.
const OUTSTANDING_MAX: usize = 16;
/// Size of the file system that loses power.
const DISK_MIB: u64 = 1_024;
/// How long nothing may be acknowledged, and how long devices may take to have everything, before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(90);
const PASSWORD: &str = "password";

#[derive(Clone, Debug)]
pub struct Options {
    /// SIGKILLs, on the same file system.
    pub kills: u32,
    /// SIGKILLs after which only what had reached the disk is left.
    pub cuts: u32,
    /// Acknowledgements before each of them, at least.
    pub acked_each: u64,
}

/// One device of one user.
struct Device {
    number: usize,
    client: Client,
    user: UserId,
}

/// What is killed, and where its data is.
struct Stage {
    node: Node,
    disk: Option<LoopDisk>,
}

/// Runs it all; the verdict counts over both parts.
pub fn run(options: &Options) -> Result<Verdict, String> {
    let mut verdict = Verdict { kills: options.kills, cuts: options.cuts, ..Verdict::default() };
    if options.kills > 0 {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        verdict.add(run_part(folder.path(), None, options.kills, options.acked_each)?);
    }
    if options.cuts > 0 {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let disk = LoopDisk::new(folder.path(), DISK_MIB)?;
        verdict.add(run_part(folder.path(), Some(disk), options.cuts, options.acked_each)?);
    }
    Ok(verdict)
}

fn run_part(folder: &Path, disk: Option<LoopDisk>, kills: u32, acked_each: u64) -> Result<Verdict, String> {
    let data = disk.as_ref().map_or_else(|| folder.join("data"), |disk| disk.mounted().join("data"));
    let mut builder =
        NodeBuilder::new(&data).with(&["--cores", "0,1", "--free-floor", "64", "--write-buffer", "32"]);
    builder.plain = None;
    let node = builder.start();
    let mut stage = Stage { node, disk };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let ledger = Arc::new(Ledger::create(&folder.join("ledger"))?);
    let devices = runtime.block_on(open_devices(folder, &stage.node))?;
    let (stop, stopped) = watch::channel(false);
    let people: Arc<Vec<UserId>> =
        Arc::new(devices.iter().step_by(DEVICES_EACH).map(|device| device.user).collect());
    let mut senders = Vec::new();
    for device in &devices {
        let work = send_all_the_time(
            device.number,
            device.client.clone(),
            device.user,
            people.clone(),
            ledger.clone(),
            stopped.clone(),
        );
        senders.push(runtime.spawn(work));
    }
    for kill in 0..kills {
        wait_for_acks(&ledger, acked_each + rand::random::<u64>() % acked_each)?;
        stage.kill(kill)?;
    }
    wait_for_acks(&ledger, acked_each)?;
    stop.send(true).map_err(|_| "every sender has ended")?;
    let sent = runtime.block_on(async {
        let mut sent = 0;
        for sender in senders {
            match tokio::time::timeout(PATIENCE, sender).await {
                Ok(Ok(Ok(count))) => sent += count,
                Ok(Ok(Err(error))) => return Err(error),
                Ok(Err(error)) => return Err(error.to_string()),
                Err(_) => return Err("sends stay undecided".to_owned()),
            }
        }
        Ok::<u64, String>(sent)
    })?;
    let verdict = judge(&runtime, &mut stage, &devices, &ledger, sent)?;
    runtime.block_on(async {
        for device in devices {
            let _ = device.client.close().await;
        }
    });
    if stage.node.stop().code() != Some(0) {
        return Err(format!("the node did not stop well: {}", stage.node.errors()));
    }
    crate::harness::check(&data).map_err(|text| format!("`ringtalk check` is not clean: {text}"))?;
    Ok(verdict)
}

fn name_of(user: usize) -> String {
    format!("user{user}")
}

async fn open_devices(folder: &Path, node: &Node) -> Result<Vec<Device>, String> {
    let address = node.tls.expect("a TLS listener").to_string();
    let mut devices = Vec::new();
    for number in 0..USERS * DEVICES_EACH {
        let user = number / DEVICES_EACH;
        let fingerprint = node.fingerprint.parse().map_err(|_| "not a fingerprint".to_owned())?;
        let mut options = ClientOptions::new(
            folder.join(format!("device{number}")),
            address.parse().map_err(|_| "not an address".to_owned())?,
            Security::Tls(Trust::Pinned(vec![fingerprint])),
        );
        options.delivered_marks = DeliveredMarks::Send;
        options.catch_up_max = u64::MAX;
        let client = Client::open(options).await.map_err(|error| error.to_string())?;
        let name = UserName::parse(&name_of(user)).map_err(|error| error.to_string())?;
        let me = if number.is_multiple_of(DEVICES_EACH) {
            client.register(&name, PASSWORD).await
        } else {
            client.login(&name, PASSWORD).await
        };
        let user = me.map_err(|error| error.to_string())?.user;
        devices.push(Device { number, client, user });
    }
    Ok(devices)
}

/// Sends to everyone in turn until it is told to stop, then waits until all is decided. Returns how many were sent.
async fn send_all_the_time(
    number: usize,
    client: Client,
    user: UserId,
    people: Arc<Vec<UserId>>,
    ledger: Arc<Ledger>,
    mut stopped: watch::Receiver<bool>,
) -> Result<u64, String> {
    let room = Arc::new(Semaphore::new(OUTSTANDING_MAX));
    let mut said: HashMap<ConversationId, u64> = HashMap::new();
    let mut sent = 0;
    for peer in people.iter().copied().filter(|peer| *peer != user).cycle() {
        let permit = tokio::select! {
            permit = room.clone().acquire_owned() => permit.map_err(|error| error.to_string())?,
            _ = stopped.wait_for(|stopped| *stopped) => break,
        };
        let conversation = ConversationId::private(user, peer).expect("two users");
        let n = said.entry(conversation).or_default();
        *n += 1;
        let text = verdict::text_of(number, *n);
        let sending = client.send(To::User(peer), Body::Text(text)).await;
        let mut handle = sending.map_err(|error| format!("device {number} cannot send: {error}"))?;
        sent += 1;
        let (ledger, n) = (ledger.clone(), *n);
        tokio::spawn(async move {
            let decided = handle.decided().await;
            if let Ok(Ok(ack)) = decided {
                ledger.acked(conversation, number, n, ack.seq);
            } else {
                ledger.failed(format!("device {number}, message {n}: {decided:?}"));
            }
            drop(permit);
        });
    }
    let all = room.acquire_many(OUTSTANDING_MAX as u32).await;
    all.map(|_| sent).map_err(|error| error.to_string())
}

/// Waits for so many more acknowledgements. Then the next thing may happen at any moment of the traffic.
fn wait_for_acks(ledger: &Ledger, count: u64) -> Result<(), String> {
    let wanted = ledger.count() + count;
    let mut last = (ledger.count(), Instant::now());
    while ledger.count() < wanted {
        if ledger.count() > last.0 {
            last = (ledger.count(), Instant::now());
        }
        if last.1.elapsed() > PATIENCE {
            return Err(format!("nothing is acknowledged any more; {} in all", last.0));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

impl Stage {
    fn kill(&mut self, number: u32) -> Result<(), String> {
        self.node.kill();
        if let Some(disk) = &mut self.disk {
            disk.cut_power(number)?;
        }
        self.node.restart();
        Ok(())
    }
}

/// Reads every conversation from the node and from every device, and compares.
fn judge(
    runtime: &tokio::runtime::Runtime,
    stage: &mut Stage,
    devices: &[Device],
    ledger: &Ledger,
    sent: u64,
) -> Result<Verdict, String> {
    let mut logs = HashMap::new();
    for user in 0..USERS {
        let mut reader = RawClient::greet(stage.node.tls.expect("a TLS listener"), Protection::Tls);
        reader.log_in(&name_of(user), PASSWORD);
        for other in user + 1..USERS {
            let conversation = reader.chat_with(devices[other * DEVICES_EACH].user);
            logs.insert(conversation, reader.pull_all(conversation));
        }
    }
    let mut shown = Vec::new();
    for device in devices {
        for (conversation, log) in logs.iter().filter(|(conversation, _)| conversation.has(device.user)) {
            let list = runtime.block_on(wait_for_list(&device.client, *conversation, log.len()))?;
            shown.push((device.number, *conversation, list));
        }
    }
    let verdict = verdict::compare(&logs, &shown, &ledger.all(), sent);
    for line in verdict.findings.iter().chain(&ledger.failures()).take(20) {
        eprintln!("{line}");
    }
    Ok(verdict)
}

/// What a device has of a conversation, once it has as much as the node, or patience ends.
async fn wait_for_list(
    client: &Client,
    conversation: ConversationId,
    length: usize,
) -> Result<Vec<(u64, Vec<u8>)>, String> {
    let begin = Instant::now();
    loop {
        let conversations = client.conversations().await.map_err(|error| error.to_string())?;
        let state = conversations.iter().find(|info| info.state.conversation == conversation);
        let applied = state.map_or(0, |info| info.state.applied.seq);
        if applied >= length as u64 || begin.elapsed() > PATIENCE {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let history = client.history(conversation, None, usize::MAX).await.map_err(|error| error.to_string())?;
    Ok(history
        .items
        .into_iter()
        .filter_map(|item| match item {
            HistoryItem::Entry(entry) => Some((entry.place.seq, entry.body.to_vec())),
            HistoryItem::Gap(_) => None,
        })
        .collect())
}
