//! The socket and its threads.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::desk::Desk;
use super::protocol::{Reply, Request};
use super::{CONNECTIONS_MAX, IDLE_SECONDS_MAX, REQUEST_BYTES_MAX};

/// Why there is no admin socket: one line each.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("admin socket {}: a running node answers on it; stop that node or give another --admin-socket", path.display())]
    InUse { path: PathBuf },
    #[error("admin socket {}: something that is not a socket is in its place; move it or give another --admin-socket", path.display())]
    NotASocket { path: PathBuf },
    #[error("admin socket {}: {source}; give a shorter path in a folder that this user may write, with --admin-socket", path.display())]
    Unusable { path: PathBuf, source: io::Error },
}

/// A bound socket that does not answer yet.
#[derive(Debug)]
pub struct AdminListener {
    listener: UnixListener,
    path: PathBuf,
}

impl AdminListener {
    /// Binds the socket, readable and writable by its owner only. A socket file that nobody listens on is replaced.
    pub fn bind(path: &Path) -> Result<Self, ListenError> {
        let unusable = |source| ListenError::Unusable { path: path.to_owned(), source };
        match fs::symlink_metadata(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(unusable(e)),
            Ok(found) if !found.file_type().is_socket() => {
                return Err(ListenError::NotASocket { path: path.to_owned() });
            }
            Ok(_) if UnixStream::connect(path).is_ok() => {
                return Err(ListenError::InUse { path: path.to_owned() });
            }
            Ok(_) => {}
        }
        // Made beside its place and moved there, so that it can never be opened with the wrong permissions.
        let mut part = path.as_os_str().to_owned();
        part.push(".new");
        let part = PathBuf::from(part);
        match fs::remove_file(&part) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(unusable(e)),
            _ => {}
        }
        let listener = UnixListener::bind(&part).map_err(unusable)?;
        fs::set_permissions(&part, fs::Permissions::from_mode(0o600)).map_err(unusable)?;
        fs::rename(&part, path).map_err(unusable)?;
        Ok(Self { listener, path: path.to_owned() })
    }
}

/// The running socket: one thread that accepts, and one per connection.
#[derive(Debug)]
pub struct AdminServer {
    path: PathBuf,
    stopping: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl AdminServer {
    pub fn start(listener: AdminListener, desk: Desk) -> io::Result<Self> {
        let stopping = Arc::new(AtomicBool::new(false));
        let (flag, desk) = (stopping.clone(), Arc::new(desk));
        let AdminListener { listener, path } = listener;
        let acceptor =
            thread::Builder::new().name("admin".into()).spawn(move || accept(&listener, &desk, &flag))?;
        Ok(Self { path, stopping, acceptor: Some(acceptor) })
    }

    /// Takes no more connections and removes the socket. Requests that are being answered are not waited for.
    pub fn stop(mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        // The acceptor waits in the kernel: a connection wakes it.
        let woken = UnixStream::connect(&self.path).is_ok();
        let _ = fs::remove_file(&self.path);
        if let Some(acceptor) = self.acceptor.take().filter(|_| woken) {
            let _ = acceptor.join();
        }
    }
}

fn accept(listener: &UnixListener, desk: &Arc<Desk>, stopping: &AtomicBool) {
    let open = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        if stopping.load(Ordering::SeqCst) {
            return;
        }
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "admin socket: accept failed");
                // Out of descriptors: asking again at once would only burn the processor.
                thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        if open.load(Ordering::SeqCst) >= CONNECTIONS_MAX {
            tracing::warn!(connections = CONNECTIONS_MAX, "admin socket: too many connections, one closed");
            continue;
        }
        let slot = Taken::new(&open);
        let desk = desk.clone();
        let spawned = thread::Builder::new().name("admin-peer".into()).spawn(move || {
            let _slot = slot;
            if let Err(error) = serve(stream, &desk) {
                tracing::debug!(%error, "admin socket: connection ended");
            }
        });
        if let Err(error) = spawned {
            tracing::warn!(%error, "admin socket: no thread for a connection");
        }
    }
}

/// One of the [`CONNECTIONS_MAX`] places.
struct Taken(Arc<AtomicUsize>);

impl Taken {
    fn new(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::SeqCst);
        Self(open.clone())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn serve(mut stream: UnixStream, desk: &Desk) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(IDLE_SECONDS_MAX)))?;
    stream.set_write_timeout(Some(Duration::from_secs(IDLE_SECONDS_MAX)))?;
    let peer = rustix::net::sockopt::socket_peercred(&stream)?;
    if peer.uid != rustix::process::geteuid() && !peer.uid.is_root() {
        tracing::warn!(user = peer.uid.as_raw(), "admin socket: refused another user");
        let reason = "only the node's own user and root may use the admin socket".into();
        return write_line(&mut stream, &Reply::Refused { reason });
    }
    let mut input = BufReader::new(stream.try_clone()?);
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = (&mut input).take(REQUEST_BYTES_MAX as u64).read_until(b'\n', &mut line)?;
        if length == 0 {
            return Ok(());
        }
        if line.last() != Some(&b'\n') {
            let reason = format!("a request is one line of at most {REQUEST_BYTES_MAX} bytes");
            return write_line(&mut stream, &Reply::Failed { reason });
        }
        let reply = match serde_json::from_slice::<Request>(&line) {
            Ok(request) => desk.handle(request),
            Err(error) => Reply::Failed { reason: format!("not a request: {error}") },
        };
        write_line(&mut stream, &reply)?;
    }
}

fn write_line(stream: &mut UnixStream, reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    stream.write_all(&line)
}

#[cfg(test)]
mod tests;
