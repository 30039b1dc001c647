//! Processes that share a Redis server: what they save by it, what becomes of them when it is lost,
//! and what it can make them believe.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, U256, hex};
use faregate_cache::{CacheKey, RedisLayer};
use faregate_chain::{Chain, ChainError, Inspection, SecondLayer};
use faregate_devnet::accounts;
use faregate_evm::limits::CODE_SEEN_FOR;
use faregate_evm::{AssetProfile, EvmChain, Wallet};
use faregate_protocol::{PaymentRequest, Reason, canonical};
use faregate_telemetry::{Metrics, Redacted};
use serde_json::{Value, json};

use crate::endpoint::{Endpoint, Reaction};
use crate::redis_server::RedisServer;
use crate::world::{Draft, GHOST, World, config_for, now, profile};

const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);
const TRIES: usize = 50;
/// A process hears of it within a second.
const HEARD_AFTER: Duration = Duration::from_millis(1500);
/// Blocks after which everything before them is final on the dev chain.
const FINAL: u64 = 3;
/// What the processes have in common.
const KEY: &str = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00";
const CHAIN: &str = "84532";

async fn layer(redis: &str, metrics: &Metrics) -> RedisLayer {
    let key = CacheKey::from_hex(&Redacted::new(KEY.to_owned())).unwrap();
    RedisLayer::start(&Redacted::new(redis.to_owned()), key, metrics).await.unwrap()
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < PATIENCE, "not in time: {what}");
        tokio::time::sleep(POLL).await;
    }
}

/// One process: an adapter with an endpoint and a connection of its own.
struct Process {
    endpoint: Endpoint,
    chain: EvmChain,
    metrics: Metrics,
}

impl Process {
    async fn start(world: &World, redis: &str, assets: Vec<AssetProfile>) -> Self {
        let metrics = Metrics::new([]);
        let layer = layer(redis, &metrics).await;
        Self::with(world, Some(Arc::new(layer)), metrics, assets).await
    }

    async fn alone(world: &World, assets: Vec<AssetProfile>) -> Self {
        Self::with(world, None, Metrics::new([]), assets).await
    }

    async fn with(
        world: &World,
        layer: Option<Arc<dyn SecondLayer>>,
        metrics: Metrics,
        assets: Vec<AssetProfile>,
    ) -> Self {
        let endpoint = Endpoint::start(Some(world.devnet.url())).await;
        let mut config = config_for(vec![endpoint.url.clone()]);
        (config.assets, config.second_layer) = (assets, layer);
        config.metrics = metrics.clone();
        let chain = EvmChain::connect(config).await.unwrap();
        Self { endpoint, chain, metrics }
    }

    async fn verdict(&self, request: &PaymentRequest) -> Result<Inspection, ChainError> {
        self.chain.inspect(request, now()).await
    }

    async fn reason(&self, request: &PaymentRequest) -> Option<Reason> {
        match self.verdict(request).await.unwrap() {
            Inspection::Valid { .. } => None,
            Inspection::Invalid { reason, .. } => Some(reason),
        }
    }

    /// Verdict and number of JSON-RPC calls.
    async fn asked(&self, request: &PaymentRequest) -> (Option<Reason>, usize) {
        self.endpoint.take_calls();
        let reason = self.reason(request).await;
        (reason, self.endpoint.take_calls().len())
    }

    /// Waits until a used payment is refused without a question.
    async fn until_remembered(&self, request: &PaymentRequest) {
        until("the refusal is remembered", async || {
            self.asked(request).await == (Some(Reason::EvmNonceAlreadyUsed), 0)
        })
        .await;
    }

    fn shows(&self, line: &str) -> bool {
        self.metrics.render().lines().any(|found| found == line)
    }
}

fn token() -> Vec<AssetProfile> {
    vec![profile(accounts::TOKEN)]
}

fn refusals(server: &RedisServer) -> String {
    server.command(&["KEYS", "faregate:1:*:refused:*"])
}

/// Somebody who knows what the processes have in common, and lies.
struct Liar(RedisLayer);

impl Liar {
    async fn start(server: &RedisServer) -> Self {
        Self(layer(&server.url(), &Metrics::new([])).await)
    }

    async fn says(&self, token: Address, words: &[u8]) {
        let name = format!("token:84532:{token:#x}");
        until("the lie stands there", async || {
            self.0.keep_fact(&name, words.to_vec(), CODE_SEEN_FOR);
            self.0.fact(&name).await == Ok(Some(words.to_vec()))
        })
        .await;
    }

    fn tells(&self, entry: Vec<u8>) {
        self.0.tell_refusal(CHAIN, entry);
    }
}

/// Pays and makes it final.
async fn used(world: &World) -> Draft {
    let draft = Draft::new();
    world.settle(&draft.request()).await;
    world.devnet.mine(FINAL);
    draft
}

fn forged(of: &Draft) -> Draft {
    Draft { signer: accounts::ACCOUNTS[5].private_key, ..of.clone() }
}

fn broke() -> Draft {
    let mut draft = Draft::new();
    draft.signer = B256::repeat_byte(0x66);
    draft.signed.from = Wallet::from_hex(&"66".repeat(32)).unwrap().address();
    draft
}

fn expired() -> Draft {
    let mut draft = Draft::new();
    draft.signed.valid_before = U256::from(now() - 1);
    draft
}

/// An entry as a process writes it: that a payment, in this wording, is used for good.
fn entry(draft: &Draft, at: u64) -> Vec<u8> {
    let whole = canonical::hash(&draft.request()).unwrap();
    [&draft.digest()[..], &whole, &at.to_be_bytes(), &[1]].concat()
}

#[tokio::test]
async fn what_one_process_heard_from_a_token_another_does_not_ask() {
    let (world, server) = (World::start().await, RedisServer::start(&[]));
    // Signers, Multicall3 and the chain's id are asked by each: they decide what is signed.
    let alone = Process::alone(&world, token()).await;
    let without = alone.endpoint.take_calls().len();
    let mut asked = Vec::new();
    for _ in 0..TRIES {
        // On a busy machine an answer may come too late.
        let process = Process::start(&world, &server.url(), token()).await;
        asked.push(process.endpoint.take_calls().len());
        if asked.last() == Some(&(without - 5)) {
            // Code and domain are known; a lone payment is what it is without a second layer.
            assert_eq!(process.asked(&Draft::new().request()).await, (None, 4));
            let line =
                r#"faregate_cache_lookups_total{layer="redis",kind="token",outcome="hit"} 1"#;
            assert!(process.shows(line), "{}", process.metrics.render());
            println!("calls at the start: {without} alone, {asked:?} with the layer");
            return;
        }
        tokio::time::sleep(POLL).await;
    }
    panic!("{without} calls alone, {asked:?} with the layer");
}

#[tokio::test]
async fn b49_a_refusal_for_good_is_asked_for_once_by_all_and_nothing_else_is_kept() {
    let (world, server) = (World::start().await, RedisServer::start(&[]));
    let one = Process::start(&world, &server.url(), token()).await;
    let other = Process::start(&world, &server.url(), token()).await;
    let mut tries = 0;
    let draft = loop {
        let draft = used(&world).await;
        assert_eq!(one.reason(&draft.request()).await, Some(Reason::EvmNonceAlreadyUsed));
        one.until_remembered(&draft.request()).await;
        tokio::time::sleep(HEARD_AFTER).await;
        // A question of its own would tell it as well, so it is asked once for each payment.
        let (reason, calls) = other.asked(&draft.request()).await;
        assert_eq!(reason, Some(Reason::EvmNonceAlreadyUsed));
        tries += 1;
        if calls == 0 {
            break draft;
        }
        assert!(tries < TRIES, "the other hears nothing");
    };
    let hits = r#"faregate_cache_lookups_total{layer="redis",kind="refusal",outcome="hit"} 1"#;
    assert!(other.shows(hits), "{}", other.metrics.render());
    // What moves money asks the chain.
    other.endpoint.take_calls();
    let afresh = other.chain.inspect_afresh(&draft.request(), now()).await.unwrap();
    assert!(matches!(afresh, Inspection::Invalid { reason: Reason::EvmNonceAlreadyUsed, .. }));
    assert!(other.endpoint.take_calls().len() >= 4);

    // Neither a good verdict nor any other refusal is known to anybody afterwards.
    for draft in [Draft::new(), broke(), forged(&Draft::new())] {
        let (first, calls) = one.asked(&draft.request()).await;
        assert_eq!(one.asked(&draft.request()).await, (first, calls));
        let (reason, calls) = other.asked(&draft.request()).await;
        assert!(reason == first && calls > 0, "{first:?}");
    }
    let told: usize = server.command(&["XLEN", &refusals(&server)]).parse().unwrap();
    assert!(told <= 2 * tries, "{told}");
    assert_eq!(server.command(&["DBSIZE"]), "2", "the stream and the token");
}

#[tokio::test]
async fn a_use_that_is_not_final_is_asked_for_each_time() {
    let (world, server) = (World::start().await, RedisServer::start(&[]));
    let process = Process::start(&world, &server.url(), token()).await;
    let draft = Draft::new();
    world.settle(&draft.request()).await;
    for _ in 0..10 {
        let (reason, calls) = process.asked(&draft.request()).await;
        assert_eq!(reason, Some(Reason::EvmNonceAlreadyUsed));
        assert!(calls >= 4, "{calls}");
        tokio::time::sleep(POLL).await;
    }
    assert_eq!(refusals(&server), "");
}

#[tokio::test]
async fn b49_what_was_said_of_one_wording_is_not_said_of_another() {
    let (world, server) = (World::start().await, RedisServer::start(&[]));
    let one = Process::start(&world, &server.url(), token()).await;
    let other = Process::start(&world, &server.url(), token()).await;
    // A stranger's signature over a genuine authorization does not stand in its way.
    let genuine = Draft::new();
    for _ in 0..3 {
        for process in [&one, &other] {
            let reason = process.reason(&forged(&genuine).request()).await;
            assert_eq!(reason, Some(Reason::EvmSignature));
            assert_eq!(process.reason(&genuine.request()).await, None);
        }
    }
    // Nor does an entry about the forgery, whoever wrote it.
    Liar::start(&server).await.tells(entry(&forged(&genuine), now()));
    let draft = used(&world).await;
    one.reason(&draft.request()).await;
    other.until_remembered(&draft.request()).await;
    for process in [&one, &other] {
        assert_eq!(process.reason(&genuine.request()).await, None);
        // The remembered payment under other requirements, and forged, is judged for itself.
        let mut dearer = draft.clone();
        dearer.required.max_timeout_seconds = 61.into();
        dearer.accepted = dearer.required.clone();
        let (reason, calls) = process.asked(&dearer.request()).await;
        assert_eq!(reason, Some(Reason::EvmNonceAlreadyUsed));
        assert!(calls >= 4, "{calls}");
        assert_eq!(process.reason(&forged(&draft).request()).await, Some(Reason::EvmSignature));
    }
}

/// The words of a token that is what its profile says.
fn good_words(token: Address) -> Value {
    let domain = faregate_evm::mechanisms::eip3009::domain("USDC", "2", 84_532, token);
    let word = |number: u8| format!("0x{}", hex::encode(U256::from(number).to_be_bytes::<32>()));
    json!({
        "chain_id": 84_532, "token": token, "read_at": now(), "separator": domain.separator(),
        "name": null, "version": null, "decimals": word(6),
    })
}

/// Says yes to whatever it is asked, and moves nothing.
const YES: Address = Address::repeat_byte(0x77);
/// Says no: to the question whether an authorization was used, for one.
const NO: Address = Address::repeat_byte(0x78);

fn listed() -> Vec<AssetProfile> {
    [accounts::TOKEN, GHOST, YES, NO].map(profile).to_vec()
}

async fn world_of_impostors() -> World {
    let world = World::start().await;
    world.devnet.set_code(YES, hex!("600160005260206000f3").to_vec().into()).unwrap();
    world.devnet.set_code(NO, hex!("60206000f3").to_vec().into()).unwrap();
    world
}

/// What is refused without Redis is refused, to whoever only asks and to whoever moves money.
async fn assert_refused(process: &Process, requests: &[PaymentRequest]) {
    for request in requests {
        let afresh = process.chain.inspect_afresh(request, now()).await;
        for verdict in [process.verdict(request).await, afresh] {
            assert!(!matches!(verdict, Ok(Inspection::Valid { .. })), "{verdict:?}");
        }
    }
}

#[tokio::test]
async fn b49_who_can_write_in_redis_and_has_not_the_key_changes_no_verdict() {
    let (world, server) = (world_of_impostors().await, RedisServer::start(&[]));
    let spent = used(&world).await;
    let first = Process::start(&world, &server.url(), listed()).await;
    first.reason(&spent.request()).await;
    first.until_remembered(&spent.request()).await;
    // He finds out what the keys are called, and writes what stands there for another.
    let place = server.command(&["KEYS", "faregate:1:*:token:*"]);
    let theirs = place.split(':').nth(2).unwrap();
    let stream = refusals(&server);
    for asset in listed() {
        let token = format!("faregate:1:{theirs}:token:84532:{:#x}", asset.address);
        if asset.address == NO {
            server.command(&["COPY", &place, &token]);
        } else {
            let mut words = vec![7; 32];
            words.extend(good_words(asset.address).to_string().bytes());
            server.command_with(&["SET", &token], &words);
        }
    }
    let good = Draft::new();
    server.command_with(&["XADD", &stream, "*", "e"], &[vec![7; 32], entry(&good, now())].concat());
    server.command_with(&["XADD", &stream, "*", "e"], &entry(&good, now()));
    let process = Process::start(&world, &server.url(), listed()).await;
    tokio::time::sleep(HEARD_AFTER).await;
    let mut refused = refused(&spent);
    refused.push(in_token(NO));
    assert_refused(&process, &refused).await;
    assert_refused(&first, &refused).await;
    for process in [&first, &process] {
        assert_eq!(process.reason(&good.request()).await, None);
        assert_eq!(process.reason(&in_token(GHOST)).await, Some(Reason::EvmAssetNotDeployed));
    }
}

fn refused(spent: &Draft) -> Vec<PaymentRequest> {
    let forged = forged(&Draft::new());
    let drafts = [spent, &broke(), &expired(), &forged].map(Draft::request);
    drafts.into_iter().chain([in_token(GHOST), in_token(YES)]).collect()
}

#[tokio::test]
async fn b49_who_has_the_key_too_makes_nothing_valid_and_stops_no_settlement() {
    let (world, server) = (world_of_impostors().await, RedisServer::start(&[]));
    let (spent, liar) = (used(&world).await, Liar::start(&server).await);
    for token in [accounts::TOKEN, GHOST, YES] {
        liar.says(token, good_words(token).to_string().as_bytes()).await;
    }
    let assets: Vec<AssetProfile> = [accounts::TOKEN, GHOST, YES].map(profile).to_vec();
    let mut tries = 0;
    let fooled = loop {
        let process = Process::start(&world, &server.url(), assets.clone()).await;
        // It believes that there is a contract, until it asks it.
        if process.reason(&in_token(GHOST)).await == Some(Reason::EvmEip3009NotSupported) {
            break process;
        }
        tries += 1;
        assert!(tries < TRIES, "nobody is fooled");
    };
    assert_refused(&fooled, &refused(&spent)).await;
    // The worst: a good payment is refused at verify while he says so. What moves money asks the
    // chain.
    let good = Draft::new();
    assert_eq!(fooled.reason(&good.request()).await, None);
    liar.tells(entry(&good, now()));
    fooled.until_remembered(&good.request()).await;
    let afresh = fooled.chain.inspect_afresh(&good.request(), now()).await.unwrap();
    assert!(matches!(afresh, Inspection::Valid { .. }), "{afresh:?}");
    world.settle(&good.request()).await;
}

fn in_token(token: Address) -> PaymentRequest {
    let mut draft = Draft::new();
    draft.required.asset = token.to_checksum(None);
    draft.accepted = draft.required.clone();
    draft.request()
}

#[tokio::test]
async fn o1_garbage_and_bad_news_in_redis_are_no_news() {
    let (world, server) = (World::start().await, RedisServer::start(&[]));
    let mut bad_news = good_words(accounts::TOKEN);
    bad_news["separator"] = json!(B256::ZERO);
    let mut old = good_words(accounts::TOKEN);
    old["read_at"] = json!(now() - CODE_SEEN_FOR.as_secs());
    let mut of_the_future = good_words(accounts::TOKEN);
    of_the_future["read_at"] = json!(now() + 3600);
    let garbage = ["", "null", "{}", "[1]", "yes"].map(str::to_owned);
    let told = [bad_news, old, of_the_future].map(|value| value.to_string());
    let liar = Liar::start(&server).await;
    for value in garbage.into_iter().chain(told) {
        liar.says(accounts::TOKEN, value.as_bytes()).await;
        let process = Process::start(&world, &server.url(), token()).await;
        assert_eq!(process.reason(&Draft::new().request()).await, None, "{value}");
        let hit = r#"faregate_cache_lookups_total{layer="redis",kind="token",outcome="hit"} 0"#;
        assert!(process.shows(hit), "{value}");
    }
    for bytes in [vec![0; 73], b"garbage".to_vec(), vec![0xff; 200]] {
        liar.tells(bytes);
    }
    let mut ancient = Draft::new();
    ancient.signed.valid_before = U256::from(now() + 300);
    for at in [0, now() - 301, now() + 60, u64::MAX] {
        liar.tells(entry(&ancient, at));
    }
    let process = Process::start(&world, &server.url(), token()).await;
    let mark = used(&world).await;
    process.reason(&mark.request()).await;
    process.until_remembered(&mark.request()).await;
    tokio::time::sleep(HEARD_AFTER).await;
    assert_eq!(process.reason(&ancient.request()).await, None);
}

#[tokio::test]
async fn o1_whatever_becomes_of_redis_the_verdicts_are_those_without_it() {
    let (world, mut server) = (World::start().await, RedisServer::start(&[]));
    let honest = Process::alone(&world, token()).await;
    let shared = Process::start(&world, &server.url(), token()).await;
    let spent = used(&world).await;
    let mut reasons = HashSet::new();
    for round in 0..16 {
        match round % 8 {
            0 => drop(server.command(&["FLUSHALL"])),
            1 | 3 => server.signal("STOP"),
            2 | 4 => server.signal("CONT"),
            5 => server.kill(),
            6 => server.start_again(),
            _ => drop(server.command(&["CONFIG", "SET", "maxmemory", "1"])),
        }
        let drafts =
            [Draft::new(), spent.clone(), broke(), expired(), forged(&spent), Draft::new()];
        let requests: Vec<PaymentRequest> = drafts.iter().map(Draft::request).collect();
        let began = Instant::now();
        let inspections = requests.iter().map(|request| shared.verdict(request));
        let told = futures::future::join_all(inspections).await;
        println!("round {round}: {:?}", began.elapsed());
        for (request, told) in requests.iter().zip(told) {
            let wanted = honest.verdict(request).await;
            assert_eq!(told, wanted, "round {round}");
            reasons.insert(match wanted.unwrap() {
                Inspection::Valid { .. } => None,
                Inspection::Invalid { reason, .. } => Some(reason),
            });
        }
        // A process that comes now is none the worse for it.
        let late = Process::start(&world, &server.url(), token()).await;
        assert_eq!(late.reason(&Draft::new().request()).await, None, "round {round}");
    }
    assert_eq!(reasons.len(), 5, "{reasons:?}");
}

#[tokio::test]
async fn a_good_payment_asks_redis_nothing() {
    let (world, server) = (World::start().await, RedisServer::start(&[]));
    let process = Process::start(&world, &server.url(), token()).await;
    process.reason(&Draft::new().request()).await;
    let commands = |name: &str| {
        let stats = server.command(&["INFO", "commandstats"]);
        let prefix = format!("cmdstat_{name}:calls=");
        let line = stats.lines().find_map(|line| line.strip_prefix(&prefix).map(str::to_owned));
        line.map_or(0, |line| line.split(',').next().unwrap().parse::<u64>().unwrap())
    };
    let before = ["getrange", "set", "xadd"].map(commands);
    let (began, polls) = (Instant::now(), commands("xrange"));
    for _ in 0..100 {
        assert_eq!(process.asked(&Draft::new().request()).await, (None, 4));
    }
    assert_eq!(["getrange", "set", "xadd"].map(commands), before);
    let polls = commands("xrange") - polls;
    assert!(polls <= began.elapsed().as_secs() + 2, "{polls} in {:?}", began.elapsed());
}

#[tokio::test]
async fn a_chain_that_does_not_say_what_is_final_makes_no_refusal_last() {
    let (world, server) = (World::start().await, RedisServer::start(&[]));
    let process = Process::start(&world, &server.url(), token()).await;
    process.endpoint.react(|request| {
        if request.to_string().contains("\"finalized\"") {
            return Reaction::Answer(
                200,
                r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no such tag"}}"#
                    .into(),
            );
        }
        Reaction::Pass
    });
    let draft = used(&world).await;
    for _ in 0..5 {
        let (reason, calls) = process.asked(&draft.request()).await;
        assert_eq!(reason, Some(Reason::EvmNonceAlreadyUsed));
        assert!(calls >= 4);
        tokio::time::sleep(POLL).await;
    }
    assert_eq!(refusals(&server), "");
}
