//! The second cache layer, in Redis: what processes tell each other about a chain.
//!
//! ```text
//!  layer.rs     answers from the connection there is; never opens one
//!     |
//!  keeper.rs    one task: opens the connection, writes, asks what others have told, and leaves a
//!     |         server alone that does not answer
//!  wire.rs      the commands, and what their answers may look like
//!     |
//!  line.rs      the bytes, as many as an honest answer needs
//!
//!  seal.rs      the mark by which the operator's own words are known
//! ```
//!
//! Redis is never needed. A silence longer than [`limits::LOOKUP_BUDGET`] costs the connection, and
//! without one every question is answered "no answer" at once. Nothing of what it says travels
//! further than its size allows, nothing without the operator's mark is passed on, and nothing is logged.

pub mod limits;

mod keeper;
mod layer;
mod line;
mod seal;
mod wire;

pub use layer::{ProbeError, RedisLayer, UrlError, check_url, probe};
pub use seal::{CacheKey, KeyError};
