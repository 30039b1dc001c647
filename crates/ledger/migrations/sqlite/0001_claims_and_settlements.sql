-- Amounts, hashes and keys are blobs, big endian. Times are unix milliseconds of this database's
-- clock, except valid_before, which is the authorization's own unix second.

create table deployment (
    one    integer primary key check (one = 1),
    id     text not null,
    made_at_ms integer not null
) strict;

-- GATE ------------------------------------------------------------------------------------------

create table claims (
    payment_key       blob primary key check (length(payment_key) = 32),   -- U1
    settle_id         text not null unique,
    facilitator       text not null,
    request_fp        blob not null check (length(request_fp) = 32),
    requirements_hash blob not null check (length(requirements_hash) = 32),
    payload_hash      blob not null check (length(payload_hash) = 32),
    route             text not null,
    network           text not null,
    payer             text not null,
    pay_to            text not null,
    asset             text not null,
    amount            blob not null check (length(amount) = 32),
    valid_before      integer not null,
    state             integer not null,
    grant_id          text unique,                                          -- U2
    granted_at_ms     integer,
    epoch             integer not null default 0,
    lease_token       integer not null default 1,
    lease_until_ms    integer not null,
    transaction_hash  text not null default '',
    created_at_ms     integer not null,
    updated_at_ms     integer not null
) strict, without rowid;

create index claims_by_state on claims (state, updated_at_ms);

-- Sealed. Apart from the claims, so that a claim stays a small row.
create table kept (
    payment_key blob primary key references claims (payment_key),
    request     blob not null,
    answer      blob not null,
    kept_at_ms  integer not null
) strict;

-- ENGINE ----------------------------------------------------------------------------------------

create table settlements (
    payment_key       blob primary key check (length(payment_key) = 32),   -- U3
    settle_id         text not null unique,
    caller_has_key    integer not null,
    requirements_hash blob not null check (length(requirements_hash) = 32),
    payload_hash      blob not null check (length(payload_hash) = 32),
    request           blob not null,
    network           text not null,
    payer             text not null,
    pay_to            text not null,
    asset             text not null,
    amount            blob not null check (length(amount) = 32),
    valid_before      integer not null,
    head_at_claim     integer not null,
    state             integer not null,
    version           integer not null default 0,
    success_reported_to text,                                               -- U4
    tries             integer not null default 0,
    wanted_until_ms   integer not null,
    next_look_ms      integer not null,
    looks             integer not null default 0,
    created_at_ms     integer not null,
    updated_at_ms     integer not null
) strict, without rowid;

create index settlements_due on settlements (network, next_look_ms) where state not in (4, 6);
create index settlements_unresolved on settlements (network) where state not in (3, 4, 6);
create index settlements_wanted on settlements (network, wanted_until_ms) where state = 0;

create table leases (
    name     text primary key,
    owner    text not null,
    token    integer not null,                                              -- U5
    until_ms integer not null
) strict, without rowid;

create table nonce_slots (
    network text not null,
    signer  text not null,
    nonce   integer not null,
    kind    integer not null,
    state   integer not null,
    primary key (network, signer, nonce)                                    -- U6
) strict, without rowid;

create index nonce_slots_open on nonce_slots (network, signer, nonce) where state <> 2;

create table slot_items (
    network     text not null,
    signer      text not null,
    nonce       integer not null,
    payment_key blob not null references settlements (payment_key),
    live        integer not null default 1,
    primary key (network, signer, nonce, payment_key),
    foreign key (network, signer, nonce) references nonce_slots (network, signer, nonce)
) strict, without rowid;

create unique index one_live_slot on slot_items (payment_key) where live = 1;  -- U7
create index slot_items_by_payment on slot_items (payment_key);

create table attempts (
    made_order integer primary key autoincrement,
    transaction_hash text not null unique,
    network    text not null,
    signer     text not null,
    nonce      integer not null,
    raw        blob not null,
    max_fee_wei text not null,
    tip_wei    text not null,
    created_at_ms integer not null,
    foreign key (network, signer, nonce) references nonce_slots (network, signer, nonce)
) strict;

create index attempts_by_slot on attempts (network, signer, nonce, made_order);

create table evidence (
    network          text not null,
    transaction_hash text not null,
    log_index        integer not null,
    block_number     integer not null,
    block_hash       text not null,
    gas_used         integer not null,
    payment_key      blob not null unique references settlements (payment_key),  -- U8
    primary key (network, transaction_hash, log_index)                      -- U9
) strict, without rowid;

-- BOTH ------------------------------------------------------------------------------------------

create table journal (
    id          integer primary key autoincrement,
    at_ms       integer not null,
    actor       text not null,
    subject     text not null,
    payment_key blob not null,
    from_state  text not null,
    to_state    text not null,
    evidence    text not null
) strict;

create index journal_by_payment on journal (payment_key, id);

-- Append-only means it.
create trigger journal_is_not_changed before update on journal
begin select raise(abort, 'the journal is append-only'); end;
create trigger journal_is_not_shortened before delete on journal
begin select raise(abort, 'the journal is append-only'); end;
