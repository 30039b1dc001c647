//! HTTP around the JSON-RPC: one endpoint, open to every web page because only play money is here.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::post,
};
use tokio::{net::TcpListener, sync::Semaphore, sync::watch, task::spawn_blocking};

use crate::{
    limits::{MAX_BODY_BYTES, MAX_CONCURRENT_REQUESTS},
    node::Node,
    rpc,
};

#[derive(Clone)]
struct Shared {
    node: Arc<Node>,
    permits: Arc<Semaphore>,
}

/// Serves until told to stop.
pub(crate) async fn serve(
    listener: TcpListener,
    node: Arc<Node>,
    mut stopped: watch::Receiver<bool>,
) {
    let permits = Arc::new(Semaphore::new(MAX_CONCURRENT_REQUESTS));
    let app = Router::new()
        .route("/", post(answer))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn(allow_every_origin))
        .with_state(Shared { node, permits });
    let until_stopped = async move {
        // An error means the handle is gone, which is a stop as well.
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    if let Err(error) = axum::serve(listener, app).with_graceful_shutdown(until_stopped).await {
        tracing::error!(%error, "dev chain server ended");
    }
}

async fn answer(State(shared): State<Shared>, body: Bytes) -> Response {
    let Ok(_permit) = shared.permits.acquire().await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    // Executing a contract may take milliseconds: not on a thread that serves sockets.
    let answered = spawn_blocking(move || rpc::answer(&shared.node, &body)).await;
    match answered {
        Ok(Some(text)) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Ok(None) => StatusCode::OK.into_response(),
        Err(error) => {
            tracing::error!(%error, "a request failed");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn allow_every_origin(request: Request, next: Next) -> Response {
    let mut response = if request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    let any = HeaderValue::from_static("*");
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any.clone());
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, any);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, OPTIONS"));
    response
}
