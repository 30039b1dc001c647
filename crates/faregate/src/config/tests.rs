//! Configurations, good and bad.

use super::*;

const GOOD: &str = r#"
[ledger]
url = "sqlite://test.db"

[[chain]]
network = "eip155:84532"
rpc = ["http://127.0.0.1:8545"]
signers = ["env:EVM_PRIVATE_KEY"]

[gate]
origin = "https://api.example.com"
upstream = "http://127.0.0.1:3000"
unmatched = "deny"

[[gate.route]]
name = "weather"
match = "GET /weather"
price = "$0.01"
pay_to = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
"#;

fn problems(text: &str) -> Vec<Problem> {
    read(text, []).expect_err("this configuration is wrong")
}

fn keys_of(list: &[Problem]) -> Vec<&str> {
    list.iter().map(|problem| problem.key.as_str()).collect()
}

#[test]
fn a_short_file_is_complete() {
    let settings = read(GOOD, []).unwrap();
    let gate = settings.gate.unwrap();
    let options = gate.routes[0].options();
    assert_eq!(options[0].amount, 10_000.into());
    assert_eq!(options[0].asset, "0x036CbD53842c5426634e7929541eC2318f3dCF7e");
    assert_eq!(options[0].extra_text("name"), Some("USDC"));
    assert_eq!(gate.listen.port(), GATE_PORT);
    assert_eq!(settings.chains[0].assets[0].decimals, 6);
    let LedgerPlace::Sqlite(file) = settings.ledger.place else { panic!("not SQLite") };
    assert_eq!(file, PathBuf::from("test.db"));
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let text = r#"
profil = "production"
[[chain]]
network = "eip155:8453"
rpc = ["ftp://x"]
signers = ["0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"]
[gate]
orgin = "https://api.example.com"
upstream = "http://127.0.0.1:3000"
unmatched = "maybe"
[[gate.route]]
name = "a"
match = "GET /a"
price = "free"
pay_to = "0x742d35Cc6634C0532925a3b844Bc9e7595f0bEb"
[[gate.route]]
name = "a"
match = "GET /a"
price = "$0.0000001"
pay_to = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
"#;
    let found = problems(text);
    let keys = keys_of(&found);
    for key in [
        "profil",
        "chain[0].network",
        "chain[0].rpc",
        "chain[0].signers",
        "gate.orgin",
        "gate.origin",
        "gate.unmatched",
        "gate.route[0].pay_to",
        "gate.route[0].price",
        "gate.route[1].name",
        "gate.route[1].match",
        "gate.route[1].price",
    ] {
        assert!(keys.contains(&key), "{key} is not in {keys:?}");
    }
    let report = Problems { file: "faregate.toml".into(), list: found }.to_string();
    assert!(report.contains("faregate.toml:2: profil"), "{report}");
    assert!(report.contains("did you mean profile?"), "{report}");
    assert!(report.contains("did you mean origin?"), "{report}");
    assert!(report.contains("39 of 40"), "{report}");
    assert!(report.contains("mainnets = [\"eip155:8453\"]"), "{report}");
    assert!(!report.contains("ac0974bec3"), "a key must not be shown: {report}");
}

#[test]
fn main_nets_are_off_until_they_are_named() {
    let main = GOOD.replace("84532", "8453");
    assert_eq!(keys_of(&problems(&main)), ["chain[0].network"]);
    let named = format!("mainnets = [\"eip155:8453\"]\n{main}");
    assert!(read(&named, []).is_ok());
}

#[test]
fn prices_come_in_three_forms_and_several_ways_to_pay() {
    let text = GOOD.replace("price = \"$0.01\"", "amount = \"7\"");
    let options = read(&text, []).unwrap().gate.unwrap().routes[0].options().to_vec();
    assert_eq!(options[0].amount, 7.into());
    let celo = GOOD
        .replace("eip155:84532", "eip155:42220")
        .replace("price = \"$0.01\"", "price = \"1.50 usdt\"")
        .replace("[ledger]", "mainnets = ['eip155:42220']\n[ledger]");
    let options = read(&celo, []).unwrap().gate.unwrap().routes[0].options().to_vec();
    assert_eq!(options[0].extra_text("name"), Some("Tether USD"));
    assert_eq!(options[0].amount, 1_500_000.into());
    let two = format!(
        "{celo}accepts = [{{ price = '2', pay_to = '0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC' }}]\n"
    );
    assert_eq!(read(&two, []).unwrap().gate.unwrap().routes[0].options().len(), 2);
    let unknown = celo.replace("usdt", "DAI");
    assert!(problems(&unknown)[0].fix.contains("USDC, USDT, USAT"));
}

#[test]
fn tokens_can_be_added() {
    let own = format!(
        "{}\n[[asset]]\nnetwork = 'eip155:31337'\naddress = '0x5FbDB2315678afecb367f032d93F642f64180aa3'\n\
         symbol = 'OWN'\nname = 'Own'\nversion = '1'\ndecimals = 2\n",
        GOOD.replace("eip155:84532", "eip155:31337")
    );
    let options = read(&own, []).unwrap().gate.unwrap().routes[0].options().to_vec();
    assert_eq!((options[0].amount, options[0].extra_text("name")), (1.into(), Some("Own")));
    assert_eq!(
        keys_of(&problems(&GOOD.replace("eip155:84532", "eip155:31337"))),
        ["chain[0].assets", "gate.route[0].price"]
    );
}

#[test]
fn a_facilitator_that_others_can_reach_names_its_callers() {
    let open = format!("{GOOD}[facilitator]\nlisten = '0.0.0.0:4021'\n");
    assert_eq!(keys_of(&problems(&open)), ["facilitator.listen"]);
    let caller = |hash: &str| {
        format!("{open}[[facilitator.caller]]\nname = 'shop'\ntoken_sha256 = '{hash}'\n")
    };
    let settings = read(&caller(&"ab".repeat(32)), []).unwrap();
    assert_eq!(settings.facilitator.callers.0[0].token_sha256, [0xab; 32]);
    for bad in ["", "ab", &"zz".repeat(32), &format!("0x{}", "ab".repeat(32))] {
        assert_eq!(keys_of(&problems(&caller(bad))), ["facilitator.caller[0].token_sha256"]);
    }
}

#[test]
fn what_a_gate_would_refuse_is_said_by_the_check() {
    for (bad, key) in [
        (GOOD.replace("GET /weather", "GET /a/*/b"), "gate.route[0].match"),
        (GOOD.replace("http://127.0.0.1:3000", "http://127.0.0.1:3000/app"), "gate.upstream"),
        (format!("{GOOD}max_timeout_seconds = 30\n"), "gate.route[0].upstream_timeout_ms"),
        (
            format!("{GOOD}[[gate.route]]\nname = 'b'\nmatch = 'GET /Weather'\nfree = true\n"),
            "gate.route[1].match",
        ),
    ] {
        let found = problems(&bad);
        assert!(keys_of(&found).contains(&key), "{key} is not in {found:?}");
    }
}

#[test]
fn how_answers_are_held_and_kept_can_be_said() {
    let gate = |text: &str| read(text, []).unwrap().gate.unwrap();
    let with = |lines: &str| GOOD.replace("[[gate.route]]", &format!("{lines}\n[[gate.route]]"));
    let default = gate(GOOD);
    assert_eq!(default.max_answer_bytes, 8 * 1024 * 1024);
    assert_eq!(default.max_answer_in_memory_bytes, 256 * 1024);
    assert_eq!(default.answer_retention.as_secs(), 24 * 3600);
    let said = gate(&with(
        "max_answer_bytes = 70000\nmax_answer_in_memory_bytes = 4096\nanswer_retention_hours = 0",
    ));
    assert_eq!((said.max_answer_bytes, said.max_answer_in_memory_bytes), (70_000, 4096));
    assert_eq!(said.answer_retention.as_secs(), 0);
    for (line, key) in [
        ("max_answer_in_memory_bytes = 4095", "gate.max_answer_in_memory_bytes"),
        ("max_answer_in_memory_bytes = 1073741825", "gate.max_answer_in_memory_bytes"),
        ("max_answer_in_memory_bytes = '1 MiB'", "gate.max_answer_in_memory_bytes"),
        ("max_answer_bytes = 0", "gate.max_answer_bytes"),
        ("answer_retention_hours = 8785", "gate.answer_retention_hours"),
    ] {
        let found = problems(&with(line));
        assert_eq!(keys_of(&found), [key], "{line}");
        assert!(found[0].reason.contains("a whole number from"), "{found:?}");
    }
}

#[test]
fn what_is_not_built_is_refused_and_not_ignored() {
    for (bad, key) in [
        (GOOD.replace("sqlite://test.db", "mysql://x"), "ledger.url"),
        (format!("{GOOD}settle = 'never'\n"), "gate.route[0].settle"),
        (format!("{GOOD}[facilitator]\nlisten = '0.0.0.0:1'\n"), "facilitator.listen"),
        (GOOD.replace("eip155:84532", "solana:mainnet"), "chain[0].network"),
    ] {
        assert!(keys_of(&problems(&bad)).contains(&key), "{key}");
    }
}

#[test]
fn wrong_types_are_said_with_the_right_one() {
    for (bad, key) in [
        (GOOD.replace("\"deny\"", "true"), "gate.unmatched"),
        (format!("{GOOD}max_timeout_seconds = 'x'\n"), "gate.route[0].max_timeout_seconds"),
        (format!("{GOOD}max_timeout_seconds = -1\n"), "gate.route[0].max_timeout_seconds"),
        (format!("{GOOD}[ops]\nlisten = 4022\n"), "ops.listen"),
        (format!("{GOOD}[lease]\nttl_ms = 1.5\n"), "lease.ttl_ms"),
        (format!("chain = 1\n{}", GOOD.replace("[[chain]]", "[x]")), "chain"),
        (format!("log = 'json'\n{GOOD}"), "log"),
    ] {
        let found = problems(&bad);
        assert!(keys_of(&found).contains(&key), "{key} is not in {found:?}");
    }
}

#[test]
fn production_names_its_sealing_key_and_never_holds_it() {
    let production = format!("profile = 'production'\n{GOOD}");
    assert_eq!(keys_of(&problems(&production)), ["ledger.sealing_key"]);
    let named = production.replace("[ledger]", "[ledger]\nsealing_key = 'file:/run/secrets/seal'");
    assert!(read(&named, []).is_ok());
    let literal =
        GOOD.replace("[ledger]", &format!("[ledger]\nsealing_key = '{}'", "ab".repeat(32)));
    let found = problems(&literal);
    assert_eq!(keys_of(&found), ["ledger.sealing_key"]);
    assert_eq!(found[0].value, "\"(masked)\"");
}

#[test]
fn a_ledger_in_postgresql_is_named_without_its_password() {
    let sealed = GOOD.replace("[ledger]", "[ledger]\nsealing_key = 'env:SEALING_KEY'");
    let with = |url: &str| sealed.replace("sqlite://test.db", url);
    let settings = read(&with("postgres://faregate@db/faregate?sslmode=require"), []).unwrap();
    let LedgerPlace::Postgres { url, max_connections } = settings.ledger.place else {
        panic!("not PostgreSQL")
    };
    assert_eq!(url.expose(), "postgres://faregate@db/faregate?sslmode=require");
    assert_eq!(max_connections, 20);
    for literal in ["postgres://u:hunter2@db/f", "postgresql://u@db/f?password=hunter2"] {
        let found = problems(&with(literal));
        assert_eq!(keys_of(&found), ["ledger.url"]);
        assert!(!format!("{found:?}").contains("hunter2"), "{found:?}");
        // The environment is where secrets are.
        let variable = ("DATABASE_URL".to_owned(), literal.to_owned());
        let settings = read(&sealed, [variable]).unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"), "{settings:?}");
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "postgres://u:hunter2@db/f\n").unwrap();
    let reference = with(&format!("file:{}", file.path().display()));
    let pooled = reference.replace("[ledger]", "[ledger]\npool_size = 7");
    let place = read(&pooled, []).unwrap().ledger.place;
    assert!(matches!(&place, LedgerPlace::Postgres { url, max_connections: 7 }
        if url.expose() == "postgres://u:hunter2@db/f"));
}

#[test]
fn what_is_wrong_with_a_ledger_is_said() {
    let sealed = GOOD.replace("[ledger]", "[ledger]\nsealing_key = 'env:SEALING_KEY'");
    let postgres = |text: &str| text.replace("sqlite://test.db", "postgres://u@db/f");
    for (bad, keys) in [
        (postgres(GOOD), ["ledger.sealing_key"].as_slice()),
        (postgres(&format!("profile = 'production'\n{GOOD}")), &["ledger.sealing_key"]),
        (sealed.replace("sqlite://test.db", "postgres://u@db/f?pasword=x"), &["ledger.url"]),
        (sealed.replace("sqlite://test.db", "env:FAREGATE_TEST_NO_SUCH_VARIABLE"), &["ledger.url"]),
        (sealed.replace("[ledger]", "[ledger]\npool_size = 7"), &["ledger.pool_size"]),
        (postgres(&sealed.replace("[ledger]", "[ledger]\npool_size = 0")), &["ledger.pool_size"]),
    ] {
        assert_eq!(keys_of(&problems(&bad)), keys, "{bad}");
    }
}

#[test]
fn the_environment_can_say_everything() {
    let environment = [
        ("FAREGATE__GATE__LISTEN", "127.0.0.1:9000"),
        ("FAREGATE__LEASE__TTL_MS", "700"),
        ("EVM_RPC_URL", "http://one:1,http://two:2"),
        ("FAREGATE__GATE__ROUTE__0__PRICE", "$0.02"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let settings = read(GOOD, environment).unwrap();
    assert_eq!(settings.lease_ms, 700);
    assert_eq!(settings.chains[0].rpc.len(), 2);
    let gate = settings.gate.unwrap();
    assert_eq!(gate.listen.port(), 9000);
    assert_eq!(gate.routes[0].options()[0].amount, 20_000.into());
}

#[test]
fn how_endpoints_are_asked_and_when_it_is_quiet_is_read_and_checked() {
    let chain = |lines: &str| {
        let rpc = "rpc = [\"http://127.0.0.1:8545\"]\n";
        let text = GOOD.replace(rpc, &format!("{rpc}{lines}\n"));
        assert_ne!(text, GOOD);
        text
    };
    let lines = "rpc_hedge_ms = 0\nrpc_calls_per_second = 25\nrpc_max_lag_blocks = 9\n\
                 quiet_hours = \"22:00-06:00\"\nquiet_base_fee_gwei = 5";
    let settings = read(&chain(lines), []).unwrap();
    let chain_settings = &settings.chains[0];
    let endpoints = chain_settings.endpoints;
    assert_eq!(endpoints.hedge_after, None);
    assert_eq!((endpoints.calls_per_second, endpoints.max_lag_blocks), (Some(25), 9));
    assert_eq!(chain_settings.quiet.hours.unwrap().to_string(), "22:00-06:00");
    assert_eq!(chain_settings.quiet.base_fee_wei, Some(5_000_000_000));
    for (lines, key) in [
        ("rpc_hedge_ms = 5000", "chain[0].rpc_hedge_ms"),
        ("rpc_max_lag_blocks = 0", "chain[0].rpc_max_lag_blocks"),
        ("quiet_hours = \"22-6\"", "chain[0].quiet_hours"),
        ("quiet_hours = \"06:00-06:00\"", "chain[0].quiet_hours"),
        ("quiet_base_fee_gwei = 201", "chain[0].quiet_base_fee_gwei"),
        ("transactions = \"legacy\"\nquiet_base_fee_gwei = 1", "chain[0].quiet_base_fee_gwei"),
    ] {
        assert_eq!(keys_of(&problems(&chain(lines))), [key], "{lines}");
    }
}

#[test]
fn money_moves_when_the_route_says() {
    use faregate_gate::SettleMode;
    for mode in [SettleMode::BeforeResponse, SettleMode::BeforeRun] {
        let settings = read(&format!("{GOOD}settle = '{}'\n", mode.name()), []).unwrap();
        assert_eq!(settings.gate.unwrap().routes[0].settle, mode);
    }
}

#[test]
fn what_is_deferred_is_limited() {
    let deferred = format!("{GOOD}settle = 'deferred'\n[gate.deferred]\n");
    let limits = "max_per_payer = '$0.05'\nmax_total = '$2'\n";
    let good = read(&format!("{deferred}{limits}min_seconds_left = 30\n"), []).unwrap();
    let config = good.gate.unwrap().deferred.unwrap();
    assert_eq!(config.min_left, Duration::from_secs(30));
    let [limits] = config.assets.as_slice() else { panic!("{config:?}") };
    assert_eq!((limits.payer, limits.total), (50_000.into(), 2_000_000.into()));
    assert_eq!(limits.asset, "0x036CbD53842c5426634e7929541eC2318f3dCF7e");
    for (bad, key) in [
        (format!("{GOOD}settle = 'deferred'\n"), "gate.deferred"),
        (deferred.clone(), "gate.deferred.max_per_payer"),
        (deferred.clone(), "gate.deferred.max_total"),
        (
            format!("{deferred}max_per_payer = 'much'\nmax_total = '$2'\n"),
            "gate.deferred.max_per_payer",
        ),
        (
            format!("{deferred}max_per_payer = '5 EURC'\nmax_total = '$2'\n"),
            "gate.deferred.max_per_payer",
        ),
        // It costs $0.01.
        (
            format!("{deferred}max_per_payer = '$0.009'\nmax_total = '$2'\n"),
            "gate.deferred.max_per_payer",
        ),
        (format!("{deferred}max_per_payer = '$3'\nmax_total = '$2'\n"), "gate.deferred.max_total"),
        (
            format!("{deferred}max_per_payer = '$1'\nmax_total = '$2'\nsettle_at_once = 0\n"),
            "gate.deferred.settle_at_once",
        ),
        (
            format!("{deferred}max_per_payer = '$1'\nmax_total = '$2'\nmax_al = 1\n"),
            "gate.deferred.max_al",
        ),
    ] {
        let found = problems(&bad);
        assert!(keys_of(&found).contains(&key), "{key} is not in {found:?}");
    }
}
