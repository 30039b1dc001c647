//! The account at the end: what the chain's logs, the tables on disk and the buyers say, held
//! against each other, payment by payment.

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde_json::{Value, json};

use crate::database::Database;
use crate::history::{self, Got, Outage, Seen};
use crate::payments::Payment;
use crate::real_chain::{BUYER, PAYEE, PRICE, RealChain};

/// keccak256 of `Transfer(address,address,uint256)`.
const TRANSFER: &str = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";
/// keccak256 of `AuthorizationUsed(address,bytes32)`.
const AUTHORIZATION_USED: &str =
    "0x98de503528ee59b575ef0c0a2576a82497bfc029a5685b209e9ec333479b10a5";
// States as the tables number them.
const MINED: i64 = 3;
const FINAL: i64 = 4;
const DEAD: i64 = 6;
const GRANTED: i64 = 4;
const NOT_CHARGED: i64 = 7;
const CREDIT: i64 = 8;
const SETTLED_LATER: i64 = 3;

/// The rows of both sides of the ledger.
#[derive(Clone, Debug, Default)]
pub(crate) struct Books {
    /// State and epoch of each claim, by payment key.
    claims: HashMap<String, (i64, u64)>,
    /// State of each settlement, by payment key.
    settlements: HashMap<String, i64>,
    /// Grants in the journal, by payment key.
    grants: HashMap<String, u64>,
    /// State of what was deferred, by payment key.
    deferrals: HashMap<String, i64>,
}

impl Books {
    pub(crate) fn read(database: &Database) -> Result<Self, String> {
        let key = database.hex("payment_key");
        let claims = database.rows(&format!("select {key}, state, epoch from claims"))?;
        let settlements = database.rows(&format!("select {key}, state from settlements"))?;
        let grants = database.rows(&format!(
            "select {key}, count(*) from journal where subject = 'claim' \
             and to_state = 'GRANTED' group by 1"
        ))?;
        let deferrals = database.rows(&format!("select {key}, state from deferrals"))?;
        let number = |text: &str| text.parse::<i64>().map_err(|e| format!("{text}: {e}"));
        let mut books = Self::default();
        for row in claims {
            let epoch = number(&row[2])?.unsigned_abs();
            books.claims.insert(row[0].clone(), (number(&row[1])?, epoch));
        }
        for row in settlements {
            books.settlements.insert(row[0].clone(), number(&row[1])?);
        }
        for row in deferrals {
            books.deferrals.insert(row[0].clone(), number(&row[1])?);
        }
        for row in grants {
            books.grants.insert(row[0].clone(), number(&row[1])?.unsigned_abs());
        }
        Ok(books)
    }

    /// Payments of which nothing is on its way any more.
    pub(crate) fn resolved(&self, payments: &[Payment]) -> usize {
        payments.iter().filter(|payment| self.is_resolved(&payment.key)).count()
    }

    fn is_resolved(&self, key: &str) -> bool {
        let settled = matches!(self.settlements.get(key), Some(&FINAL | &DEAD));
        let claim = self.claims.get(key).map(|(state, _)| *state);
        let followed = matches!(self.deferrals.get(key), None | Some(&SETTLED_LATER));
        settled && followed && matches!(claim, Some(GRANTED | NOT_CHARGED | CREDIT))
    }
}

/// Transfers that the token's logs show.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transfers {
    /// How many, by nonce of the authorization.
    by_nonce: HashMap<String, usize>,
    /// Transfers of the price from the buyer to the payee, whatever caused them.
    paid: usize,
    /// The payee's balance in atomic units.
    balance: u128,
}

impl Transfers {
    pub(crate) fn read(chain: &RealChain) -> Self {
        let topic = |account: &str| {
            json!(format!("0x{:0>64}", account.trim_start_matches("0x").to_lowercase()))
        };
        let paid = logs(chain, &json!([TRANSFER, topic(BUYER), topic(PAYEE)]));
        let used = logs(chain, &json!([AUTHORIZATION_USED, topic(BUYER)]));
        // A transaction uses as many authorizations as it makes transfers.
        let mut left: HashMap<String, usize> = HashMap::new();
        for log in &paid {
            *left.entry(text(&log["transactionHash"])).or_default() += 1;
        }
        let mut by_nonce: HashMap<String, usize> = HashMap::new();
        for log in &used {
            let in_transaction = left.entry(text(&log["transactionHash"])).or_default();
            if *in_transaction > 0 {
                *in_transaction -= 1;
                *by_nonce.entry(text(&log["topics"][2])).or_default() += 1;
            }
        }
        Self { by_nonce, paid: paid.len(), balance: chain.reader.balance(PAYEE) }
    }

    fn of(&self, payment: &Payment) -> usize {
        self.by_nonce.get(&payment.nonce).copied().unwrap_or(0)
    }

    fn total(&self) -> usize {
        self.by_nonce.values().sum()
    }
}

fn logs(chain: &RealChain, topics: &Value) -> Vec<Value> {
    let token = &chain.reader.token;
    let filter = json!([{"address": token, "fromBlock": "0x0", "topics": topics}]);
    chain.reader.call("eth_getLogs", &filter).as_array().unwrap().clone()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_lowercase()
}

/// The account.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    payments: usize,
    transfers: usize,
    settled: usize,
    keys: usize,
    lost: usize,
    doubled: usize,
    unresolved: usize,
    /// Those of the lost ones that were granted: their buyers were told so and got no answer.
    pub(crate) granted_unseen: usize,
    /// Everything that must not be, for people.
    pub(crate) faults: Vec<String>,
    /// Keys of the payments that the faults are about.
    pub(crate) suspects: Vec<usize>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { payments, transfers, settled, keys, lost, doubled, unresolved, .. } = self;
        write!(
            f,
            "payments={payments} transfers={transfers} settled={settled} keys={keys} \
             lost={lost} doubled={doubled} unresolved={unresolved}"
        )
    }
}

impl Verdict {
    /// Whether the run shows what it is to show.
    pub(crate) fn is_good(&self) -> bool {
        let nothing_wrong = self.lost + self.doubled + self.unresolved == 0;
        let balanced = self.transfers == self.settled && self.settled > 0;
        nothing_wrong && balanced && self.faults.is_empty()
    }

    fn suspect(&mut self, index: usize, key: &str, what: &str) {
        self.faults.push(format!("payment {index} ({}): {what}", key.get(..8).unwrap_or(key)));
        if self.suspects.last() != Some(&index) {
            self.suspects.push(index);
        }
    }
}

/// Everything that is held against each other.
pub(crate) struct Evidence<'a> {
    pub(crate) payments: &'a [Payment],
    /// What the buyers of each payment saw.
    pub(crate) histories: &'a [Vec<Seen>],
    pub(crate) books: Books,
    pub(crate) transfers: Transfers,
    /// Runs of the application, by payment key.
    pub(crate) runs: HashMap<String, u64>,
    pub(crate) outages: &'a [Outage],
}

/// Does the account.
pub(crate) fn judge(evidence: &Evidence<'_>) -> Verdict {
    let Evidence { payments, histories, books, transfers, .. } = evidence;
    let settled = |state: &&i64| matches!(**state, MINED | FINAL);
    let mut verdict = Verdict {
        transfers: transfers.total(),
        settled: books.settlements.values().filter(settled).count(),
        keys: transfers.by_nonce.len(),
        ..Verdict::default()
    };
    for index in 0..payments.len().min(histories.len()) {
        judge_one(&mut verdict, index, evidence);
    }
    let known = payments.iter().map(|payment| transfers.of(payment)).sum::<usize>();
    if known != transfers.total() || transfers.paid != transfers.total() {
        verdict.faults.push(format!("{} transfers, {known} of them for payments", transfers.paid));
    }
    if transfers.balance != PRICE * transfers.paid as u128 {
        verdict.faults.push(format!("the payee has {} units", transfers.balance));
    }
    let ours: HashSet<&str> = payments.iter().map(|payment| payment.key.as_str()).collect();
    let strangers = |key: &&String| !ours.contains(key.as_str());
    let rows = books.claims.keys().chain(books.settlements.keys()).filter(strangers).count();
    if rows > 0 {
        verdict.faults.push(format!("{rows} rows for payments that nobody made"));
    }
    verdict
}

fn judge_one(verdict: &mut Verdict, index: usize, evidence: &Evidence<'_>) {
    let (payment, history) = (&evidence.payments[index], evidence.histories[index].as_slice());
    let (books, transfers) = (&evidence.books, evidence.transfers.of(payment));
    let ran = evidence.runs.get(&payment.key).copied().unwrap_or(0);
    let key = payment.key.as_str();
    let claim = books.claims.get(key);
    let grants = books.grants.get(key).copied().unwrap_or(0);
    let bodies = history::bodies(history);
    let told_used = history.iter().any(|seen| seen.got == Got::Used);
    let unseen = grants > 0 && told_used && bodies == 0;
    let has_credit = claim.is_some_and(|(state, _)| *state == CREDIT);
    verdict.payments += usize::from(bodies > 0 || unseen || transfers > 0);
    verdict.granted_unseen += usize::from(unseen);
    if transfers > 0 && bodies == 0 && !has_credit {
        verdict.lost += 1;
        verdict.suspect(index, key, "lost: paid and neither served nor credited");
    }
    if grants > 1 || transfers > 1 || bodies > 1 {
        verdict.doubled += 1;
        let what = format!("doubled: {grants} grants, {transfers} transfers, {bodies} answers");
        verdict.suspect(index, key, &what);
    }
    if !books.is_resolved(key) {
        verdict.unresolved += 1;
        let settlement = books.settlements.get(key);
        verdict.suspect(index, key, &format!("unresolved: {claim:?}, settlement {settlement:?}"));
    }
    if transfers > 0 && history.iter().any(|seen| seen.got == Got::NotCharged) {
        verdict.suspect(index, key, "charged, though its buyer was told that it was not");
    }
    if (bodies > 0 || grants > 0) && transfers == 0 {
        verdict.suspect(index, key, "served and not paid");
    }
    let epochs = claim.map_or(0, |(_, epoch)| epoch + 1);
    if ran > epochs {
        verdict.suspect(index, key, &format!("{ran} runs in {epochs} epochs"));
    }
    for fault in history::faults(history, evidence.outages) {
        verdict.suspect(index, key, &fault);
    }
}

/// The rules see what they are for; rules that can no longer fail would pass every run.
pub(crate) fn check_the_rules() {
    let (key, nonce) = ("a1".repeat(32), "0x01".to_owned());
    let payment = Payment { key, nonce, path: "/", header: String::new() };
    let served = |body| Seen { gate: 0, began_us: 0, ended_us: 1, got: Got::Served(body) };
    let used = || Seen { gate: 0, began_us: 0, ended_us: 1, got: Got::Used };
    let judged_with =
        |history: &[Seen], claim: (i64, u64), settlement, (grants, deferral), moved: usize, ran| {
            let key = payment.key.clone();
            let books = Books {
                claims: HashMap::from([(key.clone(), claim)]),
                settlements: HashMap::from([(key.clone(), settlement)]),
                grants: HashMap::from([(key.clone(), grants)]),
                deferrals: HashMap::from([(key.clone(), deferral)]),
            };
            let by_nonce = HashMap::from([(payment.nonce.clone(), moved)]);
            let balance = PRICE * moved as u128;
            let transfers = Transfers { by_nonce, paid: moved, balance };
            let (payments, histories) = (std::slice::from_ref(&payment), &[history.to_vec()]);
            let runs = HashMap::from([(key, ran)]);
            judge(&Evidence { payments, histories, books, transfers, runs, outages: &[] })
        };
    let judged = |history: &[Seen], claim, settlement, grants, moved, ran| {
        judged_with(history, claim, settlement, (grants, SETTLED_LATER), moved, ran)
    };
    let due = judged_with(&[served(1)], (GRANTED, 0), FINAL, (1, 1), 1, 1);
    assert!(due.unresolved == 1 && !due.is_good(), "{due}");
    let good = judged(&[served(1)], (GRANTED, 0), FINAL, 1, 1, 1);
    assert!(good.is_good() && good.payments == 1, "{good} {:?}", good.faults);
    let told = [Seen { got: Got::NotCharged, ..served(1) }];
    let charged = judged(&told, (CREDIT, 0), FINAL, 0, 1, 1);
    assert!(charged.faults.iter().any(|fault| fault.contains("told that it was not")));
    let unseen = judged(&[used()], (GRANTED, 0), FINAL, 1, 1, 1);
    assert!(unseen.lost == 1 && unseen.granted_unseen == 1, "{unseen}");
    let bad = [
        ("lost=1", judged(&[], (GRANTED, 0), FINAL, 1, 1, 1)),
        ("doubled=1", judged(&[served(1)], (GRANTED, 0), FINAL, 1, 2, 1)),
        ("doubled=1", judged(&[served(1)], (GRANTED, 0), FINAL, 2, 1, 1)),
        ("doubled=1", judged(&[served(1), served(2)], (GRANTED, 1), FINAL, 1, 1, 2)),
        ("unresolved=1", judged(&[served(1)], (GRANTED, 0), MINED, 1, 1, 1)),
        ("unresolved=1", judged(&[], (0, 0), FINAL, 0, 1, 1)),
        ("transfers=0 settled=1", judged(&[served(1)], (GRANTED, 0), FINAL, 1, 0, 1)),
        ("lost=0 doubled=0", judged(&[served(1)], (GRANTED, 0), DEAD, 1, 0, 1)),
        ("lost=0 doubled=0", judged(&[served(1)], (GRANTED, 0), FINAL, 1, 1, 2)),
    ];
    for (what, verdict) in bad {
        let line = verdict.to_string();
        assert!(line.contains(what) && !verdict.is_good(), "{what}: {line}");
    }
}
