//! P4: two deployments, each with a ledger of its own, are paid at one address.

use std::time::{Duration, Instant};

use faregate_protocol::header::PAYMENT_SIGNATURE;
use serde_json::json;

use crate::application::Application;
use crate::draft::Draft;
use crate::http::{self, Answer};
use crate::real_chain::RealChain;
use crate::roles::{self, Extra, OTHER_SIGNER, Role};

const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);
const QUICK: &str = "settle_wait_ms = 1000\n";

fn pay(url: &str, header: &str) -> Answer {
    http::get_with(url, &[(PAYMENT_SIGNATURE, header)])
}

/// The same payment at both gates while no block is mined, then again and again until both have
/// made up their minds.
fn answers(facilitator: &str) -> Vec<u16> {
    let chain = RealChain::start();
    let application = Application::start();
    let serve = |signer: &'static str| {
        let extra =
            Extra { signer, facilitator: format!("{QUICK}{facilitator}"), ..Extra::default() };
        roles::serve_at(chain.rpc(), &application.url, &extra)
    };
    let roles = [serve(""), serve(OTHER_SIGNER)];
    let urls = roles.each_ref().map(Role::priced_url);
    let header = Draft::new().header();
    chain.hold_blocks();
    std::thread::scope(|scope| {
        let first = urls.each_ref().map(|url| scope.spawn(|| pay(url, &header).status));
        for status in first {
            assert_eq!(status.join().unwrap(), 503, "nothing is proven without a block");
        }
    });
    chain.release_blocks();
    let started = Instant::now();
    let last = urls.each_ref().map(|url| {
        loop {
            let answer = pay(url, &header);
            let busy = answer.status == 409 && answer.text().contains("payment_in_progress");
            if answer.status != 503 && !busy {
                return answer;
            }
            assert!(started.elapsed() < PATIENCE, "{answer:?}");
            // What somebody else's transaction moved is told when its block is final.
            chain.reader.call("evm_mine", &json!([]));
            std::thread::sleep(PAUSE);
        }
    });
    chain.assert_paid_once();
    for (role, answer) in roles.iter().zip(&last) {
        let open = role.command(&["settlements", "ls", "--state", "credit", "--json"]).succeeded();
        let owed = !open.stdout.is_empty();
        assert_eq!(owed, answer.status == 409, "what is not given is owed: {answer:?} {open:?}");
    }
    last.iter().map(|answer| answer.status).collect()
}

#[test]
fn one_payment_at_two_deployments_buys_once_and_the_other_owes() {
    let mut statuses = answers("");
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
}

/// The rule above is needed: who claims to be the payee's only deployment and is not, sells twice.
#[test]
fn two_deployments_that_both_say_they_are_the_only_one_sell_one_payment_twice() {
    assert_eq!(answers("exclusive_pay_to = true\n"), [200, 200]);
}

#[test]
fn a_second_ledger_behind_one_facilitator_is_refused_until_the_payee_is_released() {
    let chain = RealChain::start();
    let application = Application::start();
    let facilitator = roles::facilitator(&chain);
    let first = roles::gate(&application.url, &facilitator.url);
    let second = roles::gate(&application.url, &facilitator.url);
    assert_eq!(pay(&first.priced_url(), &Draft::new().header()).status, 200);
    let refused = pay(&second.priced_url(), &Draft::new().header());
    assert_eq!(refused.status, 402, "{refused:?}");
    assert!(refused.text().contains("payee_enrolled_elsewhere"), "{refused:?}");
    chain.assert_paid_once();
    let listed = facilitator.command(&["payees", "ls", "--json"]).succeeded().json();
    let address = listed["payTo"].as_str().unwrap();
    let planned = facilitator.command(&["payees", "release", address]).succeeded();
    assert!(planned.stdout.contains("nothing was changed"), "{planned:?}");
    let busy = facilitator.command(&["payees", "release", address, "--apply"]);
    assert!(!busy.status.success() && busy.stderr.contains("in use"), "{busy:?}");

    let mut facilitator = facilitator;
    facilitator.service.kill();
    facilitator.command(&["payees", "release", address, "--apply"]).succeeded();
    facilitator.start_again();
    assert_eq!(pay(&second.priced_url(), &Draft::new().header()).status, 200);
    assert_eq!(pay(&first.priced_url(), &Draft::new().header()).status, 402);
}
