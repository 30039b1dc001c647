//! Payers with code, through the binary: their contract decides, and never a key. E15 to E17.

use alloy_primitives::{Address, Bytes, U256, address};
use faregate_devnet::accounts;
use faregate_devnet::contracts::{Contract, wallet_storage};
use faregate_protocol::header::PAYMENT_SIGNATURE;
use serde_json::{Value, json};

use crate::application::Application;
use crate::dev_chain::DevChain;
use crate::draft::{Draft, PRICE};
use crate::http::{self, Answer};
use crate::real_chain::{BUYER, RealChain, SIGNER};
use crate::roles::{self, Extra, Role};

const WALLET: Address = address!("0x00000000000000000000000000000000000a11e7");
const OTHER_OWNER: accounts::DevAccount = accounts::ACCOUNTS[5];
const NOT_SIGNED: &str = "invalid_exact_evm_signature";

struct World {
    chain: DevChain,
    application: Application,
    role: Role,
}

impl World {
    fn start() -> Self {
        let chain = DevChain::start();
        let application = Application::start();
        let role = roles::serve_at(chain.rpc(), &application.url, &Extra::default());
        Self { chain, application, role }
    }

    /// A wallet with money, whose contract agrees to what `owner` signed.
    fn place_wallet(&self, at: Address, owner: Address) {
        self.chain.node.set_code(at, Contract::ContractWallet.runtime_code()).unwrap();
        for (slot, value) in wallet_storage(owner) {
            self.chain.node.set_storage(at, slot, value);
        }
        self.chain.fund(at);
    }

    fn pay(&self, draft: &Draft) -> Answer {
        let header = draft.header();
        http::get_with(&self.role.priced_url(), &[(PAYMENT_SIGNATURE, &header)])
    }

    fn assert_paid(&self, draft: &Draft) {
        let before = self.chain.paid();
        let verdict = self.role.ask("verify", &draft.body()).json();
        assert_eq!(verdict["isValid"], true, "{verdict}");
        let answer = self.pay(draft);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(self.chain.paid(), before + u128::from(PRICE));
        let again = self.pay(draft);
        assert!(again.repeats(&answer), "{again:?}");
        assert_eq!(self.chain.paid(), before + u128::from(PRICE));
    }

    /// At every door, at no cost.
    fn assert_refused(&self, draft: &Draft, code: &str) {
        let (paid, sent, ran) = (self.chain.paid(), self.chain.sent(), self.application.ran());
        let verdict = self.role.ask("verify", &draft.body()).json();
        assert_eq!(verdict["isValid"], false, "{verdict}");
        assert_eq!(verdict["invalidReason"], code, "{verdict}");
        let outcome = self.role.ask("settle", &draft.body()).json();
        assert_eq!(outcome["success"], false, "{outcome}");
        assert_eq!(outcome["errorReason"], code, "{outcome}");
        let answer = self.pay(draft);
        assert_eq!(answer.status, 402, "{answer:?}");
        assert!(answer.text().contains(code), "{answer:?}");
        let now = (self.chain.paid(), self.chain.sent(), self.application.ran());
        assert_eq!(now, (paid, sent, ran));
    }
}

/// An ERC-6492 signature: factory, its calldata and the inner signature, with the magic word.
fn wrapped(inner: &[u8]) -> Vec<u8> {
    let word = |number: usize| U256::from(number).to_be_bytes::<32>().to_vec();
    let bytes = |data: &[u8]| {
        let mut padded = data.to_vec();
        padded.resize(data.len().next_multiple_of(32), 0);
        [word(data.len()), padded].concat()
    };
    let calldata = bytes(&[2; 4]);
    let head = [word(1), word(96), word(96 + calldata.len())].concat();
    [head, calldata, bytes(inner), [0x64, 0x92].repeat(16)].concat()
}

#[test]
fn e13_a_contract_wallet_pays_with_what_its_contract_agrees_to() {
    let world = World::start();
    world.place_wallet(WALLET, accounts::BUYER.address);
    let mut draft = Draft::new();
    draft.signed.from = WALLET;
    world.assert_paid(&draft);
}

#[test]
fn e17_the_key_of_an_account_with_code_is_not_believed() {
    let world = World::start();
    // A wallet of somebody else: the buyer's signature is a good one, and not the wallet's.
    world.place_wallet(WALLET, OTHER_OWNER.address);
    let mut draft = Draft::new();
    draft.signed.from = WALLET;
    world.assert_refused(&draft, NOT_SIGNED);
    // The buyer's own account has code that never agrees.
    let silent = Bytes::from_static(&[0x60, 0x00, 0x60, 0x00, 0xf3]);
    world.chain.node.set_code(accounts::BUYER.address, silent).unwrap();
    world.assert_refused(&Draft::new(), NOT_SIGNED);
}

#[test]
fn e17_a_delegated_account_is_an_account_with_code() {
    let world = World::start();
    world.place_wallet(WALLET, accounts::BUYER.address);
    let designator = [&[0xef, 0x01, 0x00], WALLET.as_slice()].concat();
    world.chain.node.set_code(accounts::BUYER.address, designator.into()).unwrap();
    // The delegate reads the storage of the account: it agrees to another key than the account's.
    let owner = OTHER_OWNER.address.into_word().into();
    world.chain.node.set_storage(accounts::BUYER.address, U256::ZERO, owner);
    world.assert_refused(&Draft::new(), NOT_SIGNED);
    let mut draft = Draft::new();
    draft.signer = OTHER_OWNER.private_key;
    world.assert_paid(&draft);
    // Without the delegation the key is the payer again.
    world.chain.node.set_code(accounts::BUYER.address, Bytes::new()).unwrap();
    world.assert_paid(&Draft::new());
}

#[test]
fn e15_nobody_is_deployed_for_a_payment() {
    let world = World::start();
    let mut undeployed = Draft::new();
    undeployed.signed.from = Address::repeat_byte(0x33);
    undeployed.signature = Some(wrapped(&undeployed.own_signature()));
    world.assert_refused(&undeployed, "eip6492_factory_not_allowed");
    let mut needless = Draft::new();
    needless.signature = Some(wrapped(&needless.own_signature()));
    world.assert_refused(&needless, "eip6492_factory_not_allowed");
    // Deployed: the wrapper means nothing.
    world.place_wallet(WALLET, accounts::BUYER.address);
    let mut deployed = Draft::new();
    deployed.signed.from = WALLET;
    deployed.signature = Some(wrapped(&deployed.own_signature()));
    world.assert_paid(&deployed);
}

/// The same on a real node, with the real token.
#[test]
fn e17_the_real_token_asks_the_contract_of_a_delegated_account() {
    let chain = RealChain::start();
    let facilitator = roles::facilitator(&chain);
    let write = |method: &str, params: Value| chain.reader.call(method, &params);
    let code = Contract::ContractWallet.runtime_code();
    write("anvil_setCode", json!([WALLET, code]));
    let designator = Bytes::from([&[0xef, 0x01, 0x00], WALLET.as_slice()].concat());
    write("anvil_setCode", json!([BUYER, designator]));
    let owner = OTHER_OWNER.address.into_word();
    write("anvil_setStorageAt", json!([BUYER, "0x0", owner]));

    let by_key = facilitator.ask("settle", &Draft::new().body()).json();
    assert_eq!(by_key["errorReason"], NOT_SIGNED, "{by_key}");
    assert_eq!(chain.reader.transactions_of(SIGNER, "pending"), 0);
    let mut draft = Draft::new();
    draft.signer = OTHER_OWNER.private_key;
    let by_contract = facilitator.ask("settle", &draft.body()).json();
    assert_eq!(by_contract["success"], true, "{by_contract}");
    chain.assert_paid_once();
    let again = facilitator.ask("settle", &draft.body()).json();
    assert_eq!(again["success"], false, "{again}");
    chain.assert_paid_once();
}
