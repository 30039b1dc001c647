//! Every limit of this crate, together: what an endpoint, a payer or a token can cost us.

use std::time::Duration;

/// Time to open a connection to an endpoint.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a connection that is not used is kept for the next call.
pub const CONNECTION_KEPT_FOR: Duration = Duration::from_secs(90);
/// Most unused connections that are kept to one endpoint.
pub const MAX_KEPT_CONNECTIONS: usize = 256;
/// A silent connection is probed after this time, and again after as long.
pub const TCP_KEEPALIVE: Duration = Duration::from_secs(15);
/// Unanswered probes that end a connection.
pub const TCP_KEEPALIVE_PROBES: u32 = 3;
/// A connection ends when sent bytes stay unacknowledged for this long.
pub const TCP_UNACKNOWLEDGED: Duration = Duration::from_secs(30);
/// Default time for one call to one endpoint, connection and body included.
pub const DEFAULT_CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for a signer to answer.
pub const SIGN_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer of an endpoint that is read, in bytes.
pub const MAX_ANSWER_BYTES: usize = 2 * 1024 * 1024;
/// Most endpoints of one chain.
pub const MAX_ENDPOINTS: usize = 16;
/// Most calls of one JSON-RPC batch.
pub const MAX_BATCH_CALLS: usize = 100;
/// Longest parameters of a call that waits for others, in characters.
pub const MAX_COLLECTED_CHARS: usize = 4096;
/// How long a question waits for others while its endpoint is busy.
pub const COLLECT_FOR: Duration = Duration::from_millis(50);
/// Calls under way at once to an endpoint that takes no batches.
pub const MAX_SINGLES_AT_ONCE: usize = 8;
/// After this time an endpoint that refused a batch is given one again.
pub const BATCHES_TRIED_AGAIN: Duration = Duration::from_secs(600);

/// Failures in a row after which an endpoint is not asked.
pub const BREAKER_FAILURES: u32 = 5;
/// For how long, at first; doubled with each try that fails.
pub const BREAKER_OPEN_FIRST: Duration = Duration::from_secs(1);
/// Longest time for which an endpoint is not asked.
pub const BREAKER_OPEN_MAX: Duration = Duration::from_secs(30);
/// A try whose outcome is not known by then is no reason to wait any longer.
pub const BREAKER_PROBE_GIVEN_UP: Duration = Duration::from_secs(10);
/// An endpoint that answers a smaller share of questions comes after the others, per mille.
pub const GOOD_SCORE_PER_MILLE: u32 = 500;
/// Answers from which an endpoint's usual latency is known.
pub const LATENCY_SAMPLES: usize = 64;
/// How long an endpoint comes after the others when it says that it is asked too much and names
/// no time; doubled each time in a row.
pub const LIMITED_PAUSE_FIRST: Duration = Duration::from_millis(250);
/// Longest such time.
pub const LIMITED_PAUSE_MAX: Duration = Duration::from_secs(8);
/// Longest time that an endpoint can name in `Retry-After`.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);
/// Default time after which another endpoint is asked the same.
pub const DEFAULT_HEDGE_AFTER: Duration = Duration::from_millis(500);
/// Second questions for each hundred first ones.
pub const HEDGES_PER_HUNDRED: u32 = 10;
/// Second questions that may come in a row.
pub const HEDGES_AT_ONCE: u32 = 10;
/// Further tries of a read that no endpoint answered, as long as there is time.
pub const READ_RETRIES: u32 = 2;
/// Wait before the first of them; doubled for the second.
pub const RETRY_BACKOFF: Duration = Duration::from_millis(50);
/// Default number of blocks that an endpoint may be behind the others.
pub const DEFAULT_MAX_LAG_BLOCKS: u64 = 4;
/// How often all endpoints are asked for their newest block.
pub const SURVEY_EVERY: Duration = Duration::from_secs(10);
/// The same while one of them is behind or shut out.
pub const SURVEY_IN_DOUBT_EVERY: Duration = Duration::from_secs(1);
/// Longest error text of an endpoint that is looked at, in bytes. It is classified, never passed on.
pub const MAX_FAULT_TEXT: usize = 512;

/// An authorization must live at least this long from now, in seconds.
pub const MIN_VALIDITY_SECS: u64 = 6;
/// And at most this long, in seconds.
pub const MAX_VALIDITY_SECS: u64 = 24 * 60 * 60;

/// Gas for asking a contract wallet about a signature.
pub const WALLET_CALL_GAS: u64 = 400_000;
/// Gas for one question to a token (name, balance, state).
pub const TOKEN_CALL_GAS: u64 = 200_000;
/// Gas for the diagnosis of a failed simulation.
pub const DIAGNOSIS_GAS: u64 = 1_000_000;
/// Longest return value of a contract wallet that is looked at, in bytes.
pub const MAX_WALLET_RETURN: usize = 4 * 1024;
/// Default gas cap of one transfer.
pub const DEFAULT_TRANSFER_GAS: u64 = 150_000;
/// Largest gas cap of one transfer that may be configured.
pub const MAX_TRANSFER_GAS: u64 = 2_000_000;
/// Gas that a transaction costs before its first step, without its data.
pub const TRANSACTION_GAS: u64 = 21_000;
/// Gas of a plain transfer of nothing, which fills a slot whose payment is dead.
pub const NO_OP_GAS: u64 = TRANSACTION_GAS;

/// Reads for verifications gather while others are under way, for this part of what a read usually
/// takes: to wait for company is worth a quarter more.
pub const GATHERING_PART: u32 = 4;
/// At least and at most for so long.
pub const GATHERING_WINDOW_MIN: Duration = Duration::from_millis(1);
/// See there.
pub const GATHERING_WINDOW_MAX: Duration = Duration::from_millis(4);
/// With so many reads under way they go on gathering until one of them ends.
pub const MAX_READS_UNDER_WAY: usize = 4;
/// Or until this time is over: an endpoint that says nothing holds up nobody else.
pub const GATHERING_PATIENCE: Duration = Duration::from_millis(20);
/// Most payments that are asked for in one call.
pub const MAX_GATHERED: usize = 32;
/// Gas for a payment in such a call beyond its transfer: two questions to an honest token, and the
/// way there.
pub const SHARED_MEMBER_GAS: u64 = 100_000;
/// Most gas for such a call. Below what nodes allow one call, and one transaction (EIP-7825).
pub const SHARED_CALL_GAS: u64 = 16_000_000;
/// How long payments are asked for one by one after an endpoint did not answer such a call.
pub const SHARING_PAUSED_FOR: Duration = Duration::from_secs(30);

/// Most payments in one transaction.
pub const BATCH_MEMBERS: usize = 100;
/// A transaction for several payments may use this part of a block: one tenth.
pub const BATCH_SHARE_OF_BLOCK: u64 = 10;
/// Most gas of one transaction on any chain (EIP-7825).
pub const MAX_TRANSACTION_GAS: u64 = 1 << 24;
/// Gas that a transaction for several payments uses apart from them: the transaction itself and
/// the loop of Multicall3.
pub const BATCH_BASE_GAS: u64 = 40_000;
/// What a payment costs in a batch beyond its call: its bytes in the transaction, the call, its
/// result.
pub const BATCH_MEMBER_GAS: u64 = 15_000;

/// How long a contract that was seen is taken to be still there.
pub const CODE_SEEN_FOR: Duration = Duration::from_secs(15 * 60);
/// Most contracts that are remembered.
pub const CODE_SEEN_ENTRIES: usize = 4096;

/// Processes' clocks may be so far apart; what another process read later than that is not believed.
pub const CLOCKS_APART: Duration = Duration::from_secs(5);
/// Longest words of a token that are shared with other processes, in bytes.
pub const MAX_SHARED_WORDS: usize = 2048;
/// How long a payment that is refused for good is remembered.
pub const REFUSED_FOR: Duration = Duration::from_secs(5 * 60);
/// Most such payments that are remembered.
pub const REFUSALS_ENTRIES: usize = 8192;
/// How often it is asked whether the use of an authorization is final, at most.
pub const FINALITY_ASKED_EVERY: Duration = Duration::from_secs(60);
/// Most such questions at once.
pub const FINALITY_ASKED_AT_ONCE: usize = 4;

/// Default ceiling of the fee for one unit of gas, in wei (200 gwei).
pub const DEFAULT_MAX_FEE_PER_GAS_WEI: u128 = 200_000_000_000;
/// Default floor of the tip for one unit of gas, in wei (0.001 gwei).
pub const DEFAULT_MIN_TIP_WEI: u128 = 1_000_000;
/// Blocks of fee history that are looked at.
pub const FEE_HISTORY_BLOCKS: u64 = 5;
/// Percentile of the tips in those blocks.
pub const FEE_HISTORY_PERCENTILE: u8 = 50;
/// Seconds before the end of an authorization at which a payment is sent, however dear gas is: time
/// for replacements with higher fees and for blocks that come late.
pub const QUIET_MARGIN_SECS: u64 = 15 * 60;
/// Seconds after which a base fee that was too high is looked at again.
pub const QUIET_RECHECK_SECS: u64 = 60;
/// How long a fee is used again.
pub const FEE_CACHED_FOR: Duration = Duration::from_secs(1);

/// Most own transactions of one payment that are looked at, the newest ones.
pub const MAX_WATCHED: usize = 32;
/// Most new blocks that are read at once, the newest ones.
pub const MAX_BLOCKS_AT_ONCE: u64 = 8;
/// Transactions of ours in one block from which all its receipts are asked for together.
pub const BLOCK_RECEIPTS_FROM: usize = 8;
/// Signatures that are remembered as good, twice: 4096 take half a megabyte.
pub const SIGNATURES_SEEN: usize = 4096;
/// How long nobody asks for all receipts of a block after an endpoint that has no such call, or
/// whose answer was larger than [`MAX_ANSWER_BYTES`].
pub const WHOLE_BLOCKS_PAUSED_FOR: Duration = Duration::from_secs(60);
/// Blocks that one search for logs spans: tried in this order, because endpoints have limits of
/// their own.
pub const LOG_PAGE_BLOCKS: [u64; 2] = [10_000, 1_000];
/// Most such searches for one observation.
pub const MAX_LOG_PAGES: u64 = 64;
/// Most logs that one authorization can leave; the token allows one.
pub const MAX_AUTHORIZATION_LOGS: usize = 8;
