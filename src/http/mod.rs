//! HTTP: probes for orchestrators, the loops' state as JSON, metrics for Prometheus.
//!
//! Deliberately absent: anything that changes something.

mod metrics;
mod metrics_nodes;
mod metrics_pgbouncer;
mod metrics_process;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::admin::snapshot::{NoAnswer, Snapshot};
use crate::cancel::CancelRegistry;
use crate::login::{Hall, Loop};
use crate::metrics::Reloads;
use crate::net::listen::Listener;
use crate::worker::mail::PoolInspection;

/// Connections served at a time; more wait in the system's queue.
const OPEN_CONNECTIONS: usize = 32;
/// How long a connection may stay, requests and all.
const CONNECTION_LIMIT: Duration = Duration::from_secs(60);
/// How long the head of a request may take.
const HEAD_LIMIT: Duration = Duration::from_secs(5);
/// How long nothing is accepted after an error.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What requests are answered from.
struct Sources {
    hall: Arc<Hall>,
    loops: Vec<Arc<dyn Loop>>,
    registry: Arc<CancelRegistry>,
    reloads: Arc<Reloads>,
}

/// Serves requests for as long as the process lives.
pub async fn serve(
    listener: Listener,
    hall: Arc<Hall>,
    loops: Vec<Arc<dyn Loop>>,
    registry: Arc<CancelRegistry>,
    reloads: Arc<Reloads>,
) {
    let sources = Arc::new(Sources { hall, loops, registry, reloads });
    let open = Arc::new(Semaphore::new(OPEN_CONNECTIONS));
    loop {
        let Ok(place) = open.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!("cannot accept an HTTP connection: {error}");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let sources = sources.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let sources = sources.clone();
                async move { Ok::<_, Infallible>(answer(&sources, &request).await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_LIMIT)
                .serve_connection(TokioIo::new(stream), service);
            // Whoever breaks off has got what they wanted.
            let _ = timeout(CONNECTION_LIMIT, connection).await;
            drop(place);
        });
    }
}

type Answer = Response<Full<Bytes>>;

async fn answer(sources: &Sources, request: &Request<Incoming>) -> Answer {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
    }
    match request.uri().path() {
        "/livez" => text(StatusCode::OK, "ok\n"),
        "/readyz" if sources.hall.is_closing() => {
            text(StatusCode::SERVICE_UNAVAILABLE, "shutting down\n")
        }
        "/readyz" => text(StatusCode::OK, "ok\n"),
        "/api/state" => state(sources).await,
        "/metrics" => metrics(sources).await,
        _ => text(StatusCode::NOT_FOUND, "not found\n"),
    }
}

fn text(status: StatusCode, body: &'static str) -> Answer {
    respond(status, "text/plain; charset=utf-8", Bytes::from_static(body.as_bytes()))
}

fn respond(status: StatusCode, kind: &'static str, body: Bytes) -> Answer {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Prometheus' text format, version 0.0.4.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

async fn metrics(sources: &Sources) -> Answer {
    match Snapshot::take(&sources.loops).await {
        Ok(snapshot) => {
            let page = metrics::page(&snapshot, &sources.hall, &sources.reloads);
            respond(StatusCode::OK, METRICS, Bytes::from(page))
        }
        Err(NoAnswer) => text(StatusCode::SERVICE_UNAVAILABLE, "an event loop does not answer\n"),
    }
}

async fn state(sources: &Sources) -> Answer {
    match Snapshot::take(&sources.loops).await {
        Ok(snapshot) => {
            let body = state_json(&snapshot, sources.registry.len());
            respond(StatusCode::OK, "application/json", Bytes::from(body))
        }
        Err(NoAnswer) => text(StatusCode::SERVICE_UNAVAILABLE, "an event loop does not answer\n"),
    }
}

fn state_json(snapshot: &Snapshot, cancel_keys: usize) -> String {
    let pool = |pool: &PoolInspection| {
        json!({
            "database": pool.database,
            "role": pool.role,
            "server": pool.server,
            "idle": pool.idle,
            "leased": pool.leased,
            "login": pool.login,
            "cancel": pool.cancel,
            "zombie": pool.zombie,
            "moving": pool.moving,
            "open": pool.open,
            "waiting": pool.waiting,
            "clients": pool.clients,
            "pinned": pool.pinned,
            "listeners": pool.listeners,
        })
    };
    let pools: Vec<_> = snapshot.pools.iter().map(pool).collect();
    json!({
        "clients": snapshot.clients,
        "pools": pools,
        "cancel_keys": cancel_keys,
        "statements": snapshot.statements,
    })
    .to_string()
}

#[cfg(test)]
mod tests;
