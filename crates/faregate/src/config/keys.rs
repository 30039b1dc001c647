//! Every configuration key once: path, default, meaning. The reader refuses what is not here, and
//! the reference in `docs/configuration.md` is checked against it.

/// One key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    /// Section as it is written in TOML, such as `[gate]` or `[[gate.route]]`; empty for the top.
    pub(crate) section: &'static str,
    /// Name within the section.
    pub(crate) name: &'static str,
    /// Default, or what is required.
    pub(crate) default: &'static str,
    /// What it means.
    pub(crate) help: &'static str,
}

const fn key(
    section: &'static str,
    name: &'static str,
    default: &'static str,
    help: &'static str,
) -> Key {
    Key { section, name, default, help }
}

/// The keys, in the order in which the reference shows them.
pub(crate) const KEYS: &[Key] = &[
    key(
        "",
        "profile",
        "development",
        "development, staging or production: they differ only in defaults",
    ),
    key(
        "",
        "mainnets",
        "[]",
        "Networks with real money that may be used; every other main net is refused",
    ),
    key("[log]", "format", "json (text in development)", "json or text"),
    key("[log]", "filter", "info", "Level, or directives such as faregate_engine=debug,info"),
    key(
        "[ledger]",
        "url",
        "sqlite://faregate.db",
        "Where payments are remembered: sqlite://PATH for one process, or \
         postgres://USER:PASSWORD@HOST/DATABASE?sslmode=verify-full for several; a URL with a \
         password stands here by reference, env:NAME or file:PATH",
    ),
    key(
        "[ledger]",
        "pool_size",
        "20",
        "Most connections of this process to PostgreSQL; two more carry hints between processes",
    ),
    key(
        "[ledger]",
        "sealing_key",
        "a file beside the SQLite file; required in production and with PostgreSQL",
        "Key that seals signed payments at rest, by reference; 64 hex digits",
    ),
    key(
        "[ledger]",
        "old_sealing_keys",
        "[]",
        "Keys that opened rows were sealed with before, by reference",
    ),
    key(
        "[cache]",
        "redis_url",
        "none",
        "Redis server through which processes tell each other what tokens say of themselves and \
         which payments are used for good: redis://HOST:PORT/DATABASE, or rediss:// for TLS; a URL \
         with a password stands here by reference, env:NAME or file:PATH. Its loss costs questions \
         and nothing else",
    ),
    key(
        "[cache]",
        "key",
        "the ledger's sealing key",
        "Key that marks what is kept there, by reference; 64 hex digits. Needed where the processes \
         that share the server have not the same sealing key",
    ),
    key("[[asset]]", "network", "required", "CAIP-2 id of the network the token lives on"),
    key("[[asset]]", "address", "required", "Token contract"),
    key("[[asset]]", "symbol", "required", "Ticker that prices name it by"),
    key("[[asset]]", "name", "required", "EIP-712 domain name of the token"),
    key("[[asset]]", "version", "required", "EIP-712 domain version of the token"),
    key("[[asset]]", "decimals", "required", "Decimals of one token"),
    key("[[chain]]", "network", "required", "CAIP-2 id, such as eip155:84532"),
    key(
        "[[chain]]",
        "rpc",
        "required",
        "JSON-RPC URLs, the preferred one first; env: and file: references are read",
    ),
    key(
        "[[chain]]",
        "signers",
        "required",
        "Keys that pay for gas, by reference: env:NAME or file:PATH",
    ),
    key("[[chain]]", "assets", "the network's default asset", "Tokens that are settled"),
    key("[[chain]]", "max_fee_gwei", "200", "Most that one unit of gas may cost, in gwei"),
    key(
        "[[chain]]",
        "max_gas",
        "150000",
        "Most gas that one transaction may use; a payment is given up after three that revert",
    ),
    key(
        "[[chain]]",
        "min_balance_gwei",
        "1000000",
        "A signer with less than this, in gwei, gets no new work and is not ready",
    ),
    key(
        "[[chain]]",
        "transactions",
        "eip1559",
        "How gas is offered: eip1559, or legacy for a chain without base fees",
    ),
    key(
        "[[chain]]",
        "batch",
        "auto",
        "Whether payments that wait at the same time share a transaction (Multicall3): auto where \
         the chain has it, on (an error where it does not), off; ENABLE_BATCH_SETTLEMENT means \
         this key of the first chain",
    ),
    key("[[chain]]", "rpc_timeout_ms", "5000", "Time for one RPC call, in milliseconds"),
    key(
        "[[chain]]",
        "rpc_hedge_ms",
        "500",
        "A second endpoint is asked the same when the first has not answered a read after this \
         time, in milliseconds, and takes longer than usual; 0: never",
    ),
    key(
        "[[chain]]",
        "rpc_calls_per_second",
        "0",
        "Most JSON-RPC calls to each endpoint in a second; 0: no limit",
    ),
    key(
        "[[chain]]",
        "rpc_max_lag_blocks",
        "4",
        "An endpoint that is further behind the others is not asked for state",
    ),
    key(
        "[[chain]]",
        "quiet_hours",
        "none",
        "Hours of the day in UTC, such as 22:00-06:00, for which payments that nobody waits for \
         are kept, as far as their time allows",
    ),
    key(
        "[[chain]]",
        "quiet_base_fee_gwei",
        "0",
        "Such payments also go when the next base fee is at most this, in gwei; 0: not for that",
    ),
    key(
        "[[chain]]",
        "shared_reads",
        "true",
        "Whether payments that are verified at the same time are asked for in one call",
    ),
    key("[facilitator]", "listen", "127.0.0.1:4021", "Address of the facilitator's HTTP door"),
    key(
        "[facilitator]",
        "settle_wait_ms",
        "30000",
        "How long a settle call waits for proof, in milliseconds",
    ),
    key(
        "[facilitator]",
        "exclusive_pay_to",
        "false",
        "No other deployment is paid at these payees: money that a stranger's transaction moved buys too",
    ),
    key("[[facilitator.caller]]", "name", "required", "Name of a caller, for logs"),
    key(
        "[[facilitator.caller]]",
        "token_sha256",
        "required",
        "sha256 of its bearer token, hex; `faregate token` makes both",
    ),
    key("[gate]", "listen", "127.0.0.1:4020", "Address of the gate"),
    key(
        "[gate]",
        "origin",
        "required",
        "What challenges advertise, such as https://api.example.com",
    ),
    key(
        "[gate]",
        "upstream",
        "required",
        "The application behind the gate, such as http://127.0.0.1:3000",
    ),
    key(
        "[gate]",
        "unmatched",
        "required",
        "deny or free: what happens to a path that no route matches",
    ),
    key("[gate]", "facilitator", "local", "local, or the URL of a facilitator"),
    key(
        "[gate]",
        "facilitator_token",
        "none",
        "Bearer token for that facilitator, by reference: env:NAME or file:PATH",
    ),
    key("[gate]", "max_request_body_bytes", "1048576", "Largest body of a paid request"),
    key("[gate]", "max_answer_bytes", "8388608", "Largest answer held back until it is paid"),
    key(
        "[gate]",
        "max_answer_in_memory_bytes",
        "262144",
        "Largest such answer held in memory; a larger one waits in the ledger, sealed, in parts",
    ),
    key(
        "[gate]",
        "answer_retention_hours",
        "24",
        "How long a bought answer is kept for repeats after its authorization has ended",
    ),
    key(
        "[gate.deferred]",
        "max_per_payer",
        "required if a route is deferred",
        "Most that is served to one payer before it is settled, in each token: \"$1.00\"",
    ),
    key(
        "[gate.deferred]",
        "max_total",
        "required if a route is deferred",
        "The same for all payers, over all gates of the ledger: the most that can be lost",
    ),
    key(
        "[gate.deferred]",
        "min_seconds_left",
        "60",
        "An authorization with less time left is settled before its answer",
    ),
    key("[gate.deferred]", "settle_at_once", "64", "Deferred settlements asked for at once"),
    key(
        "[gate.deferred]",
        "drain_ms",
        "10000",
        "Time to settle what is due when the process is told to stop, in milliseconds",
    ),
    key(
        "[[gate.route]]",
        "name",
        "required",
        "Stable name: it is part of what a payment is tied to",
    ),
    key(
        "[[gate.route]]",
        "match",
        "required",
        "METHOD /path; :name is one segment, a last * any rest",
    ),
    key("[[gate.route]]", "free", "false", "true: goes through without payment"),
    key("[[gate.route]]", "price", "required if priced", "\"$0.01\", \"0.01\" or \"1.50 USDT\""),
    key("[[gate.route]]", "amount", "none", "Price in atomic units, instead of price; needs asset"),
    key("[[gate.route]]", "asset", "by the price's ticker", "Token contract that is paid with"),
    key("[[gate.route]]", "network", "the only chain", "CAIP-2 id"),
    key("[[gate.route]]", "pay_to", "required if priced", "Who is paid"),
    key(
        "[[gate.route]]",
        "accepts",
        "none",
        "Further ways to pay: tables of price or amount, asset, network, pay_to",
    ),
    key(
        "[[gate.route]]",
        "settle",
        "before-response",
        "When the money moves: before-response; before-run, for handlers that are dear or cannot \
         be taken back; or deferred, after the answer, within [gate.deferred]",
    ),
    key(
        "[[gate.route]]",
        "rerun",
        "true",
        "The application may run again for a payment that was not charged, such as after a crash",
    ),
    key("[[gate.route]]", "description", "none", "For people, in the challenge"),
    key("[[gate.route]]", "mime_type", "none", "Media type of the answer, in the challenge"),
    key(
        "[[gate.route]]",
        "max_timeout_seconds",
        "300",
        "How long a buyer's authorization may live",
    ),
    key(
        "[[gate.route]]",
        "upstream_timeout_ms",
        "30000",
        "Time the application has for its answer, in milliseconds",
    ),
    key("[ops]", "listen", "127.0.0.1:4022", "Address of metrics and health"),
    key(
        "[lease]",
        "ttl_ms",
        "5000",
        "How long claims, lanes and chains stay held after their holder is gone, in milliseconds",
    ),
];

/// Names of the keys of a section.
pub(crate) fn of_section(section: &str) -> impl Iterator<Item = &'static str> {
    let section = section.to_owned();
    KEYS.iter().filter(move |key| key.section == section).map(|key| key.name)
}

/// Names that may stand at the top: keys without a section, and the sections themselves.
pub(crate) fn of_top() -> impl Iterator<Item = &'static str> {
    let sections = KEYS.iter().map(|key| key.section.trim_matches(['[', ']']));
    of_section("").chain(sections.filter(|name| !name.is_empty() && !name.contains('.')))
}
