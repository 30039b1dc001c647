//! Our own headers, and the request id.

use crate::harness::{Act, door};

const ID: &str = "018f3a2b-0000-7000-8000-000000000001";

#[tokio::test]
async fn the_headers_become_settle_terms() {
    let door = self::door(Act::Accept).await;
    let headers = [
        ("Idempotency-Key", ID),
        ("Faregate-Deadline", "1770000000000"),
        ("Faregate-Deployment", ID),
    ];
    assert_eq!(door.post_with("/settle", &headers).await.status, 200);
    assert_eq!(door.post_with("/settle", &[]).await.status, 200);
    let terms = door.seen.terms.lock().unwrap().clone();
    assert_eq!(terms[0].settle_id, ID.parse().ok());
    assert_eq!(terms[0].deadline_unix_ms, Some(1_770_000_000_000));
    assert_eq!(terms[0].deployment, ID.parse().ok());
    assert_eq!(terms[1], faregate_protocol::SettleTerms::default());
}

#[tokio::test]
async fn a_malformed_header_is_400_and_settles_nothing() {
    let door = self::door(Act::Accept).await;
    for header in
        [("Idempotency-Key", "1"), ("Faregate-Deadline", "soon"), ("Faregate-Deployment", "x")]
    {
        assert_eq!(door.post_with("/settle", &[header]).await.status, 400);
    }
    assert!(door.seen.terms.lock().unwrap().is_empty());
}

#[tokio::test]
async fn every_answer_has_a_request_id() {
    let door = self::door(Act::Panic).await;
    let sent = [("X-Request-Id", "mine_1-A")];
    assert_eq!(door.post_with("/verify", &sent).await.header("x-request-id"), "mine_1-A");
    let made = door.post_with("/verify", &[("X-Request-Id", "no good id")]).await;
    assert_eq!(made.header("x-request-id").len(), 36);
    assert_eq!(door.send("GET", "/nothing").await.header("x-request-id").len(), 36);
}
