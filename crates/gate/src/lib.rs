//! What stands before a priced resource: the tower layer and the reverse proxy.
//!
//! ```text
//!  client ---> serve.rs ---> service.rs ---> route_table.rs (known_paths.rs, path.rs, pattern.rs,
//!                               |                                |              origin.rs)
//!                               |  free: stream through          |  ambiguous, denied, preflight:
//!                               |                                |  answers.rs, cors.rs
//!                               v  priced                       |  no payment: challenge_page.rs
//!                            flow.rs
//!   flow/present.rs    size, decode (version.rs: v1 becomes v2), own options, time window, body,
//!        |                  fingerprint.rs
//!   flow/known.rs      presented before? its outcome, or go on where its holder stopped
//!        |
//!   flow/verify.rs     the facilitator: would it settle?            (nothing claimed before)
//!   flow/claim.rs      CLAIM: one winner for each payment key       VERIFIED   (lease.rs renews)
//!   flow/run.rs        the resource; its whole answer is kept       EXECUTED   (kept_answer.rs)
//!        |                  (flow/held_back.rs: a large body goes into the ledger as it arrives)
//!        |                  failed: its own answer passes, unpaid   RELEASED
//!   flow/settle.rs     asked to settle, on disk before the call     SETTLING
//!        |                  refused 402 | unknown 503               SETTLED, UNRESOLVED, NOT_CHARGED
//!   flow.rs            GRANT while the client is there              GRANTED
//!        |
//!        v  first byte of the answer (answer_headers.rs, receipt.rs, kept_body.rs)
//! ```
//!
//! What a paid request costs the ledger: one read (`known.rs`) and five writes, each a transaction
//! of one claim row and one journal row: VERIFIED, EXECUTED, SETTLING, SETTLED, GRANTED. That of
//! EXECUTED also holds the sealed answer and payment. An answer that is too large for memory costs
//! one more write and one more read for each of its parts. A lease is renewed by one more write for each
//! third of it that the request lasts. A repeat of a granted payment costs two reads and no write.
//! A request without payment touches no ledger, and one that is refused before its claim only
//! reads.
//!
//! Every request has an id (`service.rs`), every payment leaves one line and one count
//! (`flow/outcome.rs`), and version 1 of the protocol ends at `version.rs`.
//!
//! Behind the layer stands an application in this process, or `proxy.rs`. `sweep.rs` looks after
//! claims whose holder is gone (`backoff.rs`: how often) and forgets old answers; `remote.rs` is the
//! port to a facilitator over HTTP.
//!
//! Architecture invariant: compiles without any chain library and without the engine.

mod answer_headers;
mod answers;
mod backoff;
mod body;
mod books;
mod challenge;
mod challenge_page;
mod config;
mod cors;
mod dispatch;
mod error;
mod facilitator_calls;
mod fingerprint;
mod flow;
mod forecast;
mod future;
mod gate;
mod hop_by_hop;
mod http_client;
mod kept_answer;
mod kept_body;
mod known_paths;
mod layer;
mod lease;
pub mod limits;
mod origin;
mod path;
mod pattern;
mod proxy;
mod receipt;
mod remote;
mod request_headers;
mod route;
mod route_table;
mod serve;
mod service;
mod sweep;
mod version;
mod writes_last;

pub use body::{BoxError, GateBody};
pub use books::{AssetLimits, DeferredConfig};
pub use challenge::{FIRST_ERROR, challenge};
pub use config::{GateConfig, GateLimits};
pub use error::{GateError, RouteFault};
pub use fingerprint::fingerprint;
pub use future::GateFuture;
pub use gate::Gate;
pub use http_client::ClientError;
pub use layer::GateLayer;
pub use origin::Origin;
pub use proxy::{PeerAddr, ProxyConfig, ProxyFuture, ReverseProxy};
pub use remote::{RemoteConfig, RemoteFacilitator};
pub use request_headers::{PAYER, PAYMENT};
pub use route::{Access, Route, SettleMode};
pub use route_table::{Decision, RouteTable, Unmatched};
pub use serve::{ServeConfig, serve};
pub use service::GateService;
