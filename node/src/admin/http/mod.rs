//! Figures, health and readiness over HTTP, for monitors such as Prometheus.
//!
//! One thread of its own serves it, outside the cores: a scrape costs each core one answer. Nobody is asked who he is and
//! nothing is encrypted, so it listens on this machine only unless the operator names another address. Nothing can be
//! changed through it.

mod monitor;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::runtime::{self, Runtime};
use tokio::sync::{Semaphore, oneshot};

pub use monitor::{Monitor, Phase};
use monitor::{Page, Told};

/// Connections at a time; one more is closed at once and counted. Each serves one request.
pub const CONNECTIONS_MAX: usize = 16;
/// Longest head of a request in bytes. A longer one is answered 431, and its connection closed.
pub const REQUEST_BYTES_MAX: usize = 8 * 1024;
/// A connection whose request is not there by then is closed.
pub const REQUEST_MAX: Duration = Duration::from_secs(5);
/// A connection that is not done by then, its answer taken by the peer, is closed.
pub const CONNECTION_MAX: Duration = Duration::from_secs(20);
/// Pause after an accept that failed for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound address that does not answer yet.
#[derive(Debug)]
pub struct HttpListener {
    listener: TcpListener,
    pub address: SocketAddr,
}

impl HttpListener {
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Self { address: listener.local_addr()?, listener })
    }
}

/// The thread that answers.
#[derive(Debug)]
pub struct HttpServer {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl HttpServer {
    pub fn start(listener: HttpListener, monitor: Arc<Monitor>) -> io::Result<Self> {
        // A second thread waits for the shards, one request at a time, while the first one goes on answering.
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(1)
            .thread_name("admin-http-wait")
            .build()?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener.listener)?
        };
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("admin-http".into())
            .spawn(move || run(runtime, listener, monitor, stopped))?;
        Ok(Self { stop, thread })
    }

    /// Closes the port and all connections. Answers that are being made are not waited for.
    pub fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.thread.join();
    }
}

fn run(
    runtime: Runtime,
    listener: tokio::net::TcpListener,
    monitor: Arc<Monitor>,
    stopped: oneshot::Receiver<()>,
) {
    runtime.block_on(async {
        tokio::select! {
            () = accept(listener, monitor) => {}
            _ = stopped => {}
        }
    });
    runtime.shutdown_background();
}

async fn accept(listener: tokio::net::TcpListener, monitor: Arc<Monitor>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "admin HTTP: accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            monitor.on_refused();
            continue;
        };
        let monitor = monitor.clone();
        tokio::spawn(async move {
            serve(stream, monitor).await;
            drop(place);
        });
    }
}

/// One connection, one request.
async fn serve(stream: TcpStream, monitor: Arc<Monitor>) {
    let service = service_fn(move |request| {
        let monitor = monitor.clone();
        async move { Ok::<_, Infallible>(respond(&monitor, &request).await) }
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_MAX)
        .max_buf_size(REQUEST_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(CONNECTION_MAX, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "admin HTTP: connection ended"),
        Err(_) => tracing::debug!("admin HTTP: connection took too long"),
    }
}

async fn respond(monitor: &Arc<Monitor>, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = response(Told::text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n"));
        response.headers_mut().insert(ALLOW, "GET, HEAD".parse().expect("a constant"));
        return response;
    }
    let Some(page) = Page::at(request.uri().path()) else {
        return response(Told::text(StatusCode::NOT_FOUND, "there are /metrics, /health and /ready\n"));
    };
    if page == Page::Health {
        return response(monitor.health());
    }
    let monitor = monitor.clone();
    let told = tokio::task::spawn_blocking(move || monitor.tell(page)).await;
    response(told.unwrap_or_else(|_| Told::text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n")))
}

fn response(told: Told) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(told.body)));
    *response.status_mut() = told.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, told.content_type.parse().expect("a constant"));
    headers.insert(CACHE_CONTROL, "no-store".parse().expect("a constant"));
    response
}
