//! Listener and connections of the scripted node.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;
use wire::ConnectionPhase;
use wire::frame::Splitter;

use super::answers::{Answer, Talk};
use super::world::World;
use crate::transport::{Address, Fingerprint, Stream};

/// A certificate for 127.0.0.1 and its key.
pub(crate) struct Certificate {
    config: Arc<ServerConfig>,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) pem: String,
    binding: Vec<u8>,
}

impl Certificate {
    pub(crate) fn new() -> Self {
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("an address");
        let made = params.self_signed(&key).expect("a certificate");
        let der = made.der().clone();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![der.clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
            .expect("a fitting key");
        let binding = crate::transport::server_end_point(&der).expect("ECDSA with SHA-256");
        Self { config: Arc::new(config), fingerprint: Fingerprint::of(&der), pem: made.pem(), binding }
    }
}

/// A listening node. Dropping it closes the listener and every connection.
pub(crate) struct Node {
    world: Arc<Mutex<World>>,
    address: Address,
    stop: watch::Sender<()>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Node {
    pub(crate) async fn plain() -> Self {
        Self::start(Arc::default(), "127.0.0.1:0".parse().expect("an address"), None).await
    }

    pub(crate) async fn tls(certificate: &Certificate) -> Self {
        Self::start(Arc::default(), "127.0.0.1:0".parse().expect("an address"), Some(certificate)).await
    }

    /// Ends this one; what it knows goes on at the same address.
    pub(crate) async fn restart(self, certificate: Option<&Certificate>) -> Self {
        let Node { world, address, stop, accepting } = self;
        drop(stop);
        accepting.await.expect("accepting does not panic");
        let address = address.to_string();
        Self::start(world, address.parse().expect("an address"), certificate).await
    }

    /// Another listener of the same node.
    pub(crate) async fn second(&self) -> Self {
        Self::start(self.world.clone(), "127.0.0.1:0".parse().expect("an address"), None).await
    }

    async fn start(world: Arc<Mutex<World>>, at: SocketAddr, certificate: Option<&Certificate>) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("an option of Linux");
        socket.bind(at).expect("a free port");
        let listener = socket.listen(64).expect("a listener");
        let address = listener.local_addr().expect("bound").to_string().parse().expect("an address");
        let (stop, stopped) = watch::channel(());
        let tls = certificate
            .map(|certificate| (TlsAcceptor::from(certificate.config.clone()), certificate.binding.clone()));
        let accepting = tokio::spawn(accept(listener, world.clone(), tls, stopped));
        Self { world, address, stop, accepting }
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no test panics under it")
    }
}

type Tls = Option<(TlsAcceptor, Vec<u8>)>;

async fn accept(listener: TcpListener, world: Arc<Mutex<World>>, tls: Tls, stopped: watch::Receiver<()>) {
    let mut stop = stopped.clone();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted.expect("a connection");
                stream.set_nodelay(true).expect("an option of TCP");
                tokio::spawn(connection(stream, world.clone(), tls.clone(), stopped.clone()));
            }
            _ = stop.changed() => return,
        }
    }
}

async fn connection(stream: TcpStream, world: Arc<Mutex<World>>, tls: Tls, mut stopped: watch::Receiver<()>) {
    let (stream, binding): (Box<dyn Stream>, Vec<u8>) = match tls {
        None => (Box::new(stream), Vec::new()),
        Some((acceptor, binding)) => match acceptor.accept(stream).await {
            Ok(stream) => (Box::new(stream), binding),
            Err(_) => return, // the client did not like the certificate
        },
    };
    let (pushes, mut pushed) = mpsc::unbounded_channel();
    let id = {
        let mut world = world.lock().expect("no test panics under it");
        world.last_connection += 1;
        world.last_connection
    };
    let mut talk = Talk::new(id, binding, pushes);
    tokio::select! {
        () = serve(stream, &world, &mut talk, &mut pushed) => {}
        _ = stopped.changed() => {}
    }
    world.lock().expect("no test panics under it").connected.remove(&id);
}

async fn serve(
    mut stream: Box<dyn Stream>,
    world: &Mutex<World>,
    talk: &mut Talk,
    pushed: &mut mpsc::UnboundedReceiver<Option<bytes::Bytes>>,
) {
    let mut splitter = Splitter::default();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        tokio::select! {
            read = stream.read(&mut buffer) => {
                let Ok(1..) = read else { return };
                splitter.push(&buffer[..read.expect("just read")]);
                while let Ok(Some(frame)) = splitter.next_frame(ConnectionPhase::LoggedIn.frame_len_max()) {
                    let answer = {
                        let mut world = world.lock().expect("no test panics under it");
                        talk.handle(&mut world, &frame)
                    };
                    let written = match answer {
                        Answer::Send(bytes) => stream.write_all(&bytes).await,
                        Answer::Close => return,
                    };
                    if written.is_err() || stream.flush().await.is_err() {
                        return;
                    }
                }
            }
            push = pushed.recv() => match push.flatten() {
                Some(bytes) => {
                    if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
                        return;
                    }
                }
                None => return,
            },
        }
    }
}
