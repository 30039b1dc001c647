//! What a verification costs, counted and measured at the running facilitator.

use std::process::Command;

use crate::dev_chain::DevChain;
use crate::draft::Draft;
use crate::roles::{self, Extra};
use crate::scripted_server::ScriptedServer;
use crate::service;

const COUNTED: usize = 20;
const MEASURED: u64 = 500;
const MICROSECONDS: u64 = 1_000_000;

#[test]
fn f8_one_verification_is_one_request_to_the_endpoint() {
    let chain = DevChain::start();
    let endpoint = ScriptedServer::before(chain.rpc());
    let role = roles::facilitator_at(&endpoint.url, &Extra::default());
    let verify = |draft: Draft| role.ask("verify", &draft.body()).json()["isValid"].clone();
    // The first one also asks, once, whether there is code at the signers' addresses.
    assert_eq!(verify(Draft::new()), true);
    let before = endpoint.asked();
    for _ in 0..COUNTED {
        assert_eq!(verify(Draft::new()), true);
    }
    println!("{} requests for {COUNTED} verifications", endpoint.asked() - before);
    assert_eq!(endpoint.asked() - before, COUNTED);

    // What is refused without the chain costs no request at all.
    let before = endpoint.asked();
    let mut other_payee = Draft::new();
    other_payee.signed.to = other_payee.signed.from;
    assert_eq!(verify(other_payee), false);
    assert_eq!(endpoint.asked(), before);
}

#[test]
fn the_processor_time_of_a_verification_is_told() {
    let chain = DevChain::start();
    let role = roles::facilitator_at(chain.rpc(), &Extra::default());
    let per_second = service::run(Command::new("getconf").arg("CLK_TCK")).succeeded();
    let per_second: u64 = per_second.stdout.trim().parse().unwrap();
    let bodies: Vec<_> = (0..MEASURED).map(|_| Draft::new().body()).collect();
    assert_eq!(role.ask("verify", &bodies[0]).json()["isValid"], true);
    let before = role.service.ticks();
    for body in &bodies {
        assert_eq!(role.ask("verify", body).json()["isValid"], true);
    }
    let used = (role.service.ticks() - before) * MICROSECONDS / per_second;
    let build = if cfg!(debug_assertions) { "not optimised" } else { "optimised" };
    println!("{} us of processor time for each of {MEASURED} ({build})", used / MEASURED);
}
