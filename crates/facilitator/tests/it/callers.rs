//! F6, F10: who may have gas spent for them.

use std::sync::atomic::Ordering;

use faregate_facilitator::{Caller, Callers};
use sha2::{Digest, Sha256};

use crate::harness::{Act, Door, door_to};

const TOKEN: &str = "a-token-with-256-bits-of-chance";

async fn door() -> Door {
    let caller = |name: &str, token: &str| Caller {
        name: name.to_owned(),
        token_sha256: Sha256::digest(token).into(),
    };
    let callers = Callers(vec![caller("old", "another"), caller("shop", TOKEN)]);
    door_to(Act::Accept, callers).await
}

#[tokio::test]
async fn a_call_without_a_known_token_reaches_nobody() {
    let door = door().await;
    for path in ["/verify", "/settle"] {
        for value in [None, Some("Bearer nobody's"), Some("Basic eDp5"), Some(TOKEN)] {
            let headers: Vec<_> = value.iter().map(|value| ("Authorization", *value)).collect();
            let answer = door.post_with(path, &headers).await;
            assert_eq!(answer.status, 401, "{path} {value:?}");
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
        let huge = "x".repeat(100_000);
        assert_eq!(door.post_body(path, huge, &[]).await.status, 401, "before the body is read");
    }
    assert_eq!(door.seen.verified.load(Ordering::SeqCst), 0);
    assert_eq!(door.seen.settle_begun.load(Ordering::SeqCst), 0);
    assert!(door.metrics.render().contains("status=\"unauthorized\""));
}

#[tokio::test]
async fn several_tokens_work_at_once_and_what_is_public_stays_so() {
    let door = door().await;
    for token in [TOKEN, "another"] {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str())];
        assert_eq!(door.post_with("/verify", &headers).await.status, 200);
        assert_eq!(door.post_with("/settle", &headers).await.status, 200);
    }
    for path in ["/supported", "/healthz", "/readyz", "/openapi.json"] {
        assert_eq!(door.send("GET", path).await.status, 200, "{path}");
    }
}
