//! WebSocket upgrades on free routes: after the application has agreed, bytes flow both ways. No
//! other protocol is passed on; an h2c tunnel would carry requests past the gate.

use faregate_protocol::Reason;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use crate::answers::Refusal;
use crate::body::GateBody;
use crate::hop_by_hop;

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const UPGRADE: HeaderValue = HeaderValue::from_static("upgrade");

/// A client's wish to speak WebSocket.
pub(super) struct Tunnel(OnUpgrade);

/// What the client wishes, if it is a WebSocket and its connection can be taken over.
pub(super) fn wanted(request: &mut Request<GateBody>) -> Option<Tunnel> {
    let mut protocols = request.headers().get_all(header::UPGRADE).iter();
    let only = protocols.next().filter(|_| protocols.next().is_none())?;
    let is_websocket = only.as_bytes().eq_ignore_ascii_case(WEBSOCKET.as_bytes());
    if !is_websocket || request.method() != http::Method::GET {
        return None;
    }
    request.extensions_mut().remove::<OnUpgrade>().map(Tunnel)
}

impl Tunnel {
    /// Asks the application for the same.
    pub(super) fn ask(&self, headers: &mut HeaderMap) {
        headers.insert(header::CONNECTION, UPGRADE);
        headers.insert(header::UPGRADE, WEBSOCKET);
    }

    /// The application agreed: joins both connections.
    pub(super) fn open(self, mut answer: Response<Incoming>) -> Response<GateBody> {
        let is_websocket = answer
            .headers()
            .get(header::UPGRADE)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(WEBSOCKET.as_bytes()));
        if !is_websocket {
            return Refusal::of(Reason::UpgradeUnsupported).into_response();
        }
        let application = hyper::upgrade::on(&mut answer);
        tokio::spawn(async move {
            let (Ok(client), Ok(application)) = (self.0.await, application.await) else { return };
            let (mut client, mut application) = (TokioIo::new(client), TokioIo::new(application));
            // Either side may end it at any time; there is nobody left to tell.
            let _ = tokio::io::copy_bidirectional(&mut client, &mut application).await;
        });
        let (mut parts, _) = answer.into_parts();
        hop_by_hop::remove(&mut parts.headers);
        parts.headers.insert(header::CONNECTION, UPGRADE);
        parts.headers.insert(header::UPGRADE, WEBSOCKET);
        Response::from_parts(parts, GateBody::empty())
    }
}
