//! The dev token answers as USDC on Base Sepolia does.

use alloy_primitives::{Address, B256, Bytes, U256, b256, hex, keccak256};
use alloy_sol_types::{SolCall as _, SolStruct as _};
use faregate_devnet::{
    DevnetConfig,
    accounts::{ACCOUNTS, BUYER, FACILITATOR, PAYEE, TOKEN, TOKEN_OWNER},
    contracts::{Contract, wallet_storage},
};
use serde_json::{Value, json};

use crate::world::{
    CancelAuthorization, Permit, ReceiveWithAuthorization, STRANGER, World, authorization, domain,
    pay_packed, pay_split, quantity, sign_for, simulate, token_abi as abi, v,
};

const TRANSFER_TOPIC: B256 =
    b256!("0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");
const USED: &str = "FiatTokenV2: authorization is used or canceled";
const INVALID: &str = "FiatTokenV2: invalid signature";

#[tokio::test]
async fn it_has_the_name_and_domain_of_usdc() {
    let world = World::start().await;
    assert_eq!(world.ask(TOKEN, abi::nameCall {}).await, "USDC");
    assert_eq!(world.ask(TOKEN, abi::symbolCall {}).await, "USDC");
    assert_eq!(world.ask(TOKEN, abi::versionCall {}).await, "2");
    assert_eq!(world.ask(TOKEN, abi::decimalsCall {}).await, 6);
    let separator = world.ask(TOKEN, abi::DOMAIN_SEPARATORCall {}).await;
    assert_eq!(
        separator,
        b256!("0x71f17a3b2ff373b803d70a5a07c046c1a2bc8e89c09ef722fcb047abe94c9818")
    );
    assert_eq!(separator, domain(TOKEN).separator());
    let typehash = world.ask(TOKEN, abi::TRANSFER_WITH_AUTHORIZATION_TYPEHASHCall {}).await;
    assert_eq!(
        typehash,
        b256!("0x7c7c6cdb67a18743f49ec6fa9b35f50d52ed05cbed4cc592e13b44501c1a2267")
    );
    let typehash = world.ask(TOKEN, abi::RECEIVE_WITH_AUTHORIZATION_TYPEHASHCall {}).await;
    assert_eq!(
        typehash,
        b256!("0xd099cc98ef71107a616c4f0f941f04c322d8e254fe26b3c6668db87aae413de8")
    );
    let typehash = world.ask(TOKEN, abi::PERMIT_TYPEHASHCall {}).await;
    assert_eq!(
        typehash,
        b256!("0x6e71edae12b1b97f4d1f60370fef10105fa2faae0126114a169c64845d6126c9")
    );
    let typehash = world.ask(TOKEN, abi::CANCEL_AUTHORIZATION_TYPEHASHCall {}).await;
    assert_eq!(typehash, keccak256("CancelAuthorization(address authorizer,bytes32 nonce)"));
    assert_eq!(world.dollars(BUYER.address).await, U256::from(1_000_000_000_000_u64));
    assert_eq!(world.dollars(PAYEE.address).await, U256::ZERO);
    let mut held = U256::ZERO;
    for account in ACCOUNTS {
        held += world.dollars(account.address).await;
    }
    assert_eq!(world.ask(TOKEN, abi::totalSupplyCall {}).await, held);
}

#[tokio::test]
async fn the_domain_follows_the_chain_id() {
    let world = World::with(DevnetConfig { chain_id: 31_337, ..DevnetConfig::default() }).await;
    let mut expected = domain(TOKEN);
    expected.chain_id = Some(U256::from(31_337));
    assert_eq!(world.ask(TOKEN, abi::DOMAIN_SEPARATORCall {}).await, expected.separator());
}

#[tokio::test]
async fn both_overloads_move_money_and_log_it_once() {
    let world = World::start().await;
    let (one, two) = (authorization(1), authorization(2));
    let split = pay_split(&one, &sign_for(BUYER, TOKEN, &one));
    let packed = pay_packed(&two, &sign_for(BUYER, TOKEN, &two).as_bytes());
    for (index, (paid, data)) in [(&one, split), (&two, packed)].into_iter().enumerate() {
        let state = abi::authorizationStateCall { authorizer: paid.from, nonce: paid.nonce };
        assert!(!world.ask(TOKEN, state.clone()).await);
        let receipt = world.send(FACILITATOR, TOKEN, data.clone()).await;
        assert_eq!(receipt["status"], "0x1");
        assert_payment_logs(&receipt, paid.nonce);
        assert!(world.ask(TOKEN, state).await);
        let moved = U256::from(10_000 * (index + 1));
        assert_eq!(world.dollars(PAYEE.address).await, moved);
        assert_eq!(simulate(&world, TOKEN, &data).await.unwrap_err(), USED);
        let replay = world.send(FACILITATOR, TOKEN, data).await;
        assert_eq!((&replay["status"], &replay["logs"]), (&json!("0x0"), &json!([])));
        assert_eq!(world.dollars(PAYEE.address).await, moved);
    }
}

fn assert_payment_logs(receipt: &Value, nonce: B256) {
    let logs = receipt["logs"].as_array().unwrap();
    let word = |address: Address| json!(address.into_word());
    assert_eq!(logs.len(), 2);
    for log in logs {
        assert_eq!(log["address"], json!(TOKEN));
        assert_eq!(log["transactionHash"], receipt["transactionHash"]);
    }
    let used = keccak256("AuthorizationUsed(address,bytes32)");
    assert_eq!(logs[0]["topics"], json!([used, word(BUYER.address), nonce]));
    assert_eq!(
        logs[1]["topics"],
        json!([TRANSFER_TOPIC, word(BUYER.address), word(PAYEE.address)])
    );
    assert_eq!(logs[1]["data"], json!(B256::from(U256::from(10_000))));
}

#[tokio::test]
async fn bad_authorizations_revert_with_circles_words() {
    let world = World::start().await;
    let now = U256::from(quantity(
        &world.rpc("eth_getBlockByNumber", json!(["latest", false])).await["timestamp"],
    ));
    let mut expired = authorization(1);
    expired.validBefore = now;
    let mut early = authorization(2);
    early.validAfter = now + U256::from(3_600);
    let mut rich = authorization(3);
    rich.value = U256::from(10).pow(U256::from(20));
    let mut zero = authorization(4);
    zero.to = Address::ZERO;
    for (authorization, text) in [
        (expired, "FiatTokenV2: authorization is expired"),
        (early, "FiatTokenV2: authorization is not yet valid"),
        (rich, "ERC20: transfer amount exceeds balance"),
        (zero, "ERC20: transfer to the zero address"),
    ] {
        let signature = sign_for(BUYER, TOKEN, &authorization);
        let split = pay_split(&authorization, &signature);
        let packed = pay_packed(&authorization, &signature.as_bytes());
        assert_eq!(simulate(&world, TOKEN, &split).await.unwrap_err(), text);
        assert_eq!(simulate(&world, TOKEN, &packed).await.unwrap_err(), text);
    }
}

#[tokio::test]
async fn bad_signatures_revert_with_circles_words() {
    let world = World::start().await;
    let payment = authorization(1);
    let good = sign_for(BUYER, TOKEN, &payment).as_bytes();
    let stranger = sign_for(FACILITATOR, TOKEN, &payment).as_bytes();
    let other_token = sign_for(BUYER, STRANGER, &payment).as_bytes();
    let order = U256::from_be_bytes(hex!(
        "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"
    ));
    let mut high_s = good;
    let s = U256::from_be_slice(&good[32..64]);
    high_s[32..64].copy_from_slice(&(order - s).to_be_bytes::<32>());
    high_s[64] = 55 - good[64];
    let mut low_v = good;
    low_v[64] -= 27;
    let mut zero_r = good;
    zero_r[..32].fill(0);
    for (signature, text) in [
        (stranger.as_slice(), INVALID),
        (other_token.as_slice(), INVALID),
        (high_s.as_slice(), "ECRecover: invalid signature 's' value"),
        (low_v.as_slice(), "ECRecover: invalid signature 'v' value"),
        (zero_r.as_slice(), "ECRecover: invalid signature"),
        (&good[..64], "ECRecover: invalid signature length"),
        (&[], "ECRecover: invalid signature length"),
    ] {
        let data = pay_packed(&payment, signature);
        assert_eq!(simulate(&world, TOKEN, &data).await.unwrap_err(), text);
    }
    assert_eq!(simulate(&world, TOKEN, &pay_packed(&payment, &good)).await, Ok(()));
}

#[tokio::test]
async fn a_payer_with_code_answers_for_itself_only() {
    let world = World::start().await;
    let wallet = Address::repeat_byte(0x77);
    world.chain.set_code(wallet, Contract::ContractWallet.runtime_code()).unwrap();
    for (slot, value) in wallet_storage(BUYER.address) {
        world.chain.set_storage(wallet, slot, value);
    }
    let mint = abi::mintCall { to: wallet, amount: U256::from(50_000) };
    assert_eq!(world.send(TOKEN_OWNER, TOKEN, mint.abi_encode()).await["status"], "0x1");

    let mut payment = authorization(1);
    payment.from = wallet;
    let by_owner = sign_for(BUYER, TOKEN, &payment);
    let by_other = sign_for(FACILITATOR, TOKEN, &payment);
    let wrong = pay_packed(&payment, &by_other.as_bytes());
    assert_eq!(simulate(&world, TOKEN, &wrong).await.unwrap_err(), INVALID);
    let short = pay_packed(&payment, &by_owner.as_bytes()[..64]);
    assert_eq!(simulate(&world, TOKEN, &short).await.unwrap_err(), INVALID);
    let receipt = world.send(FACILITATOR, TOKEN, pay_packed(&payment, &by_owner.as_bytes())).await;
    assert_eq!(receipt["status"], "0x1");
    assert_eq!(world.dollars(PAYEE.address).await, U256::from(10_000));

    // An ordinary account that got code (as by EIP-7702) is no longer recovered.
    let payment = authorization(2);
    let own = pay_split(&payment, &sign_for(BUYER, TOKEN, &payment));
    assert_eq!(simulate(&world, TOKEN, &own).await, Ok(()));
    world.chain.set_code(BUYER.address, Bytes::from_static(&hex!("5f5ffd"))).unwrap();
    assert_eq!(simulate(&world, TOKEN, &own).await.unwrap_err(), INVALID);
}

#[tokio::test]
async fn receive_and_cancel() {
    let world = World::start().await;
    let received = ReceiveWithAuthorization {
        from: BUYER.address,
        to: PAYEE.address,
        value: U256::from(5),
        validAfter: U256::ZERO,
        validBefore: U256::MAX,
        nonce: B256::repeat_byte(9),
    };
    let signature = sign_for(BUYER, TOKEN, &received);
    let receive = abi::split::receiveWithAuthorizationCall {
        from: received.from,
        to: received.to,
        value: received.value,
        validAfter: received.validAfter,
        validBefore: received.validBefore,
        nonce: received.nonce,
        v: v(&signature),
        r: signature.r().into(),
        s: signature.s().into(),
    }
    .abi_encode();
    let text = "FiatTokenV2: caller must be the payee";
    assert_eq!(simulate(&world, TOKEN, &receive).await.unwrap_err(), text);
    assert_eq!(world.send(PAYEE, TOKEN, receive).await["status"], "0x1");
    assert_eq!(world.dollars(PAYEE.address).await, U256::from(5));

    let payment = authorization(1);
    let canceled = CancelAuthorization { authorizer: BUYER.address, nonce: payment.nonce };
    let cancel = abi::packed::cancelAuthorizationCall {
        authorizer: canceled.authorizer,
        nonce: canceled.nonce,
        signature: sign_for(BUYER, TOKEN, &canceled).as_bytes().into(),
    };
    let receipt = world.send(FACILITATOR, TOKEN, cancel.abi_encode()).await;
    let topic = keccak256("AuthorizationCanceled(address,bytes32)");
    assert_eq!(receipt["logs"][0]["topics"][0], json!(topic));
    let pay = pay_split(&payment, &sign_for(BUYER, TOKEN, &payment));
    assert_eq!(simulate(&world, TOKEN, &pay).await.unwrap_err(), USED);
    assert_eq!(simulate(&world, TOKEN, &cancel.abi_encode()).await.unwrap_err(), USED);
}

#[tokio::test]
async fn permit_in_both_forms() {
    let world = World::start().await;
    let mut permit = Permit {
        owner: BUYER.address,
        spender: FACILITATOR.address,
        value: U256::from(77),
        nonce: U256::ZERO,
        deadline: U256::MAX,
    };
    let signature = sign_for(BUYER, TOKEN, &permit);
    let split = abi::split::permitCall {
        holder: permit.owner,
        spender: permit.spender,
        value: permit.value,
        deadline: permit.deadline,
        v: v(&signature),
        r: signature.r().into(),
        s: signature.s().into(),
    }
    .abi_encode();
    assert_eq!(world.send(STRANGER_PAYER, TOKEN, split.clone()).await["status"], "0x1");
    let text = "EIP2612: invalid signature";
    assert_eq!(simulate(&world, TOKEN, &split).await.unwrap_err(), text);
    assert_eq!(world.ask(TOKEN, abi::noncesCall { holder: BUYER.address }).await, U256::from(1));
    let allowed = abi::allowanceCall { holder: permit.owner, spender: permit.spender };
    assert_eq!(world.ask(TOKEN, allowed).await, U256::from(77));
    let take = |value: u64| abi::transferFromCall {
        from: BUYER.address,
        to: PAYEE.address,
        value: U256::from(value),
    };
    let text = "ERC20: transfer amount exceeds allowance";
    assert_eq!(simulate(&world, TOKEN, &take(78).abi_encode()).await.unwrap_err(), text);
    assert_eq!(world.send(FACILITATOR, TOKEN, take(77).abi_encode()).await["status"], "0x1");

    permit.nonce = U256::from(1);
    permit.deadline = U256::from(1);
    let packed = abi::packed::permitCall {
        holder: permit.owner,
        spender: permit.spender,
        value: permit.value,
        deadline: permit.deadline,
        signature: sign_for(BUYER, TOKEN, &permit).as_bytes().into(),
    };
    let text = "FiatTokenV2: permit is expired";
    assert_eq!(simulate(&world, TOKEN, &packed.abi_encode()).await.unwrap_err(), text);
    assert_eq!(permit.eip712_type_hash(), world.ask(TOKEN, abi::PERMIT_TYPEHASHCall {}).await);
}

const STRANGER_PAYER: faregate_devnet::accounts::DevAccount = ACCOUNTS[5];

#[tokio::test]
async fn the_owner_pauses_and_blacklists() {
    let world = World::start().await;
    let payment = authorization(1);
    let pay = pay_split(&payment, &sign_for(BUYER, TOKEN, &payment));
    let blacklist = abi::blacklistCall { account: PAYEE.address }.abi_encode();
    let text = "Blacklistable: caller is not the blacklister";
    assert_eq!(simulate(&world, TOKEN, &blacklist).await.unwrap_err(), text);
    world.send(TOKEN_OWNER, TOKEN, blacklist).await;
    assert!(world.ask(TOKEN, abi::isBlacklistedCall { account: PAYEE.address }).await);
    let text = "Blacklistable: account is blacklisted";
    assert_eq!(simulate(&world, TOKEN, &pay).await.unwrap_err(), text);
    let forgive = abi::unBlacklistCall { account: PAYEE.address };
    world.send(TOKEN_OWNER, TOKEN, forgive.abi_encode()).await;
    assert_eq!(simulate(&world, TOKEN, &pay).await, Ok(()));

    world.send(TOKEN_OWNER, TOKEN, abi::pauseCall {}.abi_encode()).await;
    assert!(world.ask(TOKEN, abi::pausedCall {}).await);
    assert_eq!(simulate(&world, TOKEN, &pay).await.unwrap_err(), "Pausable: paused");
    world.send(TOKEN_OWNER, TOKEN, abi::unpauseCall {}.abi_encode()).await;
    assert_eq!(simulate(&world, TOKEN, &pay).await, Ok(()));

    let mint = abi::mintCall { to: PAYEE.address, amount: U256::from(1) };
    let text = "FiatToken: caller is not a minter";
    assert_eq!(simulate(&world, TOKEN, &mint.abi_encode()).await.unwrap_err(), text);
}

#[tokio::test]
async fn plain_erc20() {
    let world = World::start().await;
    let transfer = abi::transferCall { to: PAYEE.address, value: U256::from(3) };
    assert_eq!(world.send(BUYER, TOKEN, transfer.abi_encode()).await["status"], "0x1");
    assert_eq!(world.dollars(PAYEE.address).await, U256::from(3));
    let to_self = abi::transferCall { to: BUYER.address, value: U256::from(3) };
    let before = world.dollars(BUYER.address).await;
    world.send(BUYER, TOKEN, to_self.abi_encode()).await;
    assert_eq!(world.dollars(BUYER.address).await, before);
    let approve = abi::approveCall { spender: PAYEE.address, value: U256::from(9) };
    assert_eq!(
        world.send(BUYER, TOKEN, approve.abi_encode()).await["logs"][0]["data"],
        json!(B256::from(U256::from(9)))
    );
}
