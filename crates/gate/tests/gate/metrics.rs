//! What is counted: every question to the facilitator, in words of a closed set.

use faregate_protocol::{FacilitatorError, Reason};

use crate::payment::fresh;
use crate::scripted_facilitator::{Outcome, TRANSACTION, Verdict};
use crate::world::{World, memory};

#[track_caller]
fn expect_counted(world: &World, operation: &str, status: &str, count: usize) {
    world.expect_metric(
        &format!(r#"x402_facilitator_requests_total{{operation="{operation}",status="{status}"}}"#),
        count,
    );
}

#[tokio::test]
async fn one_paid_request_is_one_question_of_each_kind() {
    let world = World::new(memory());
    assert_eq!(world.pay("/weather", &fresh()).await.status, 200);
    expect_counted(&world, "verify", "valid", 1);
    expect_counted(&world, "settle", "paid", 1);
}

#[tokio::test]
async fn every_kind_of_answer_is_counted() {
    let world = World::new(memory());
    for (verdict, status) in [
        (Verdict::Invalid(Reason::EvmSignature.code().to_owned()), "invalid"),
        (Verdict::Fail(FacilitatorError::Unavailable("x")), "unavailable"),
        (Verdict::Fail(FacilitatorError::Nonsense("x")), "error"),
    ] {
        world.facilitator.will_say(verdict);
        world.pay("/weather", &fresh()).await;
        expect_counted(&world, "verify", status, 1);
    }
    for verdict in [Verdict::Hang, Verdict::Panic] {
        world.facilitator.will_say(verdict);
        world.pay("/weather", &fresh()).await;
    }
    expect_counted(&world, "verify", "error", 3);
    for (outcome, status) in [
        (Outcome::Refused(Reason::EvmInsufficientBalance.code().to_owned()), "refused"),
        (Outcome::RefusedWith(Reason::EvmNonceAlreadyUsed, ""), "pending"),
        (Outcome::Fail(FacilitatorError::Unavailable("x")), "unavailable"),
        (Outcome::Fail(FacilitatorError::TimedOut), "error"),
    ] {
        world.facilitator.will_settle(outcome);
        world.pay("/weather", &fresh()).await;
        expect_counted(&world, "settle", status, 1);
    }
    // Asked once more, and both questions count.
    world.facilitator.will_settle(Outcome::RefusedWith(Reason::SettlementPending, TRANSACTION));
    world.facilitator.will_settle(Outcome::Hang);
    world.pay("/weather", &fresh()).await;
    expect_counted(&world, "settle", "pending", 2);
    expect_counted(&world, "settle", "error", 2);
}
