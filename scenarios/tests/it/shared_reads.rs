//! Verifications that come together share a call, on a real node with the real token as well.

use alloy_primitives::{Address, B256, U256};
use faregate_chain::{Chain as _, ChainError, Inspection};
use faregate_evm::{AssetProfile, EvmChain, EvmConfig, Wallet};
use faregate_protocol::{Network, PaymentPayload, PaymentRequest, Reason};
use std::sync::Arc;

use crate::draft::{Draft, now};
use crate::real_chain::{BUYER, BUYER_KEY, NETWORK, PAYEE, RealChain, SIGNER_KEY};
use crate::scripted_server::ScriptedServer;

const AT_ONCE: usize = 128;
/// An account of anvil without the token.
const POOR_KEY: &str = "0x47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a";

type Verdict = Result<Inspection, ChainError>;

async fn chain_before(endpoint: &ScriptedServer, token: Address, shared_reads: bool) -> EvmChain {
    let signer = Arc::new(Wallet::from_hex(SIGNER_KEY).unwrap());
    let network: Network = NETWORK.parse().unwrap();
    let mut config = EvmConfig::new(network, vec![endpoint.url.clone()], vec![signer]);
    config.assets = vec![AssetProfile {
        address: token,
        name: "USDC".into(),
        version: "2".into(),
        decimals: 6,
        gas_limit: 150_000,
    }];
    config.shared_reads = shared_reads;
    EvmChain::connect(config).await.unwrap()
}

fn payment(token: Address, key: &str) -> Draft {
    let mut draft = Draft::in_token(token);
    draft.signer = key.parse::<B256>().unwrap();
    draft.signed.from = Wallet::from_hex(key).unwrap().address();
    draft.signed.to = PAYEE.parse().unwrap();
    draft.required.pay_to = PAYEE.to_owned();
    draft.accepted = draft.required.clone();
    draft
}

fn request(draft: &Draft) -> PaymentRequest {
    let payload: PaymentPayload = serde_json::from_value(draft.payment()).unwrap();
    PaymentRequest::new(payload, draft.required.clone())
}

/// Good payments, and among them one without money, one for more than there is, a forged one.
fn payments(token: Address) -> Vec<PaymentRequest> {
    let good = || payment(token, BUYER_KEY);
    let mut forged = good();
    forged.signer = POOR_KEY.parse().unwrap();
    let mut too_much = good();
    too_much.signed.value.0 = U256::MAX;
    too_much.required.amount = too_much.signed.value;
    too_much.accepted = too_much.required.clone();
    let mut drafts: Vec<Draft> = (0..AT_ONCE).map(|_| good()).collect();
    drafts[9] = payment(token, POOR_KEY);
    drafts[70] = too_much;
    drafts[100] = forged;
    drafts.iter().map(request).collect()
}

async fn verdicts(chain: &EvmChain, requests: &[PaymentRequest]) -> Vec<Verdict> {
    let inspections = requests.iter().map(|request| chain.inspect(request, now()));
    futures::future::join_all(inspections).await
}

#[tokio::test]
async fn f8_128_verifications_at_once_are_six_requests_to_a_real_node() {
    let real = RealChain::start();
    let token: Address = real.reader.token.parse().unwrap();
    let endpoint = ScriptedServer::before(real.rpc());
    let together = chain_before(&endpoint, token, true).await;
    let requests = payments(token);
    let before = endpoint.asked();
    let told = verdicts(&together, &requests).await;
    // One alone, three times 32 and 31 together; the forged one asks whether its payer has code.
    assert_eq!(endpoint.asked() - before, 6);

    let one_by_one = chain_before(&endpoint, token, false).await;
    for (at, (request, told)) in requests.iter().zip(&told).enumerate() {
        assert_eq!(told, &one_by_one.inspect(request, now()).await, "payment {at}");
    }
    let reason = |at: usize| match told[at].as_ref().unwrap() {
        Inspection::Invalid { reason, .. } => Some(*reason),
        Inspection::Valid { payer, .. } => {
            assert_eq!(payer, BUYER);
            None
        }
    };
    assert_eq!(reason(9), Some(Reason::EvmInsufficientBalance));
    assert_eq!(reason(70), Some(Reason::EvmInsufficientBalance));
    assert_eq!(reason(100), Some(Reason::EvmSignature));
    assert_eq!((0..AT_ONCE).filter(|at| reason(*at).is_none()).count(), AT_ONCE - 3);
}
