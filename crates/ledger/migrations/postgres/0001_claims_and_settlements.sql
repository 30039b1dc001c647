-- Amounts, hashes and keys are bytea, big endian. Times are unix milliseconds of this database's
-- clock, except valid_before, which is the authorization's own unix second.

create table deployment (
    one        bigint primary key check (one = 1),
    id         text not null,
    made_at_ms bigint not null
);

-- GATE ------------------------------------------------------------------------------------------

create table claims (
    payment_key       bytea primary key check (length(payment_key) = 32),   -- U1
    settle_id         text not null unique,
    facilitator       text not null,
    request_fp        bytea not null check (length(request_fp) = 32),
    requirements_hash bytea not null check (length(requirements_hash) = 32),
    payload_hash      bytea not null check (length(payload_hash) = 32),
    route             text not null,
    network           text not null,
    payer             text not null,
    pay_to            text not null,
    asset             text not null,
    amount            bytea not null check (length(amount) = 32),
    valid_before      bigint not null,
    state             bigint not null,
    grant_id          text unique,                                          -- U2
    granted_at_ms     bigint,
    epoch             bigint not null default 0,
    lease_token       bigint not null default 1,
    lease_until_ms    bigint not null,
    transaction_hash  text not null default '',
    created_at_ms     bigint not null,
    updated_at_ms     bigint not null
);

create index claims_by_state on claims (state, updated_at_ms);

-- Sealed. Apart from the claims, so that a claim stays a small row.
create table kept (
    payment_key bytea primary key references claims (payment_key),
    request     bytea not null,
    answer      bytea not null,
    kept_at_ms  bigint not null
);

-- ENGINE ----------------------------------------------------------------------------------------

create table settlements (
    payment_key       bytea primary key check (length(payment_key) = 32),   -- U3
    settle_id         text not null unique,
    caller_has_key    boolean not null,
    requirements_hash bytea not null check (length(requirements_hash) = 32),
    payload_hash      bytea not null check (length(payload_hash) = 32),
    request           bytea not null,
    network           text not null,
    payer             text not null,
    pay_to            text not null,
    asset             text not null,
    amount            bytea not null check (length(amount) = 32),
    valid_before      bigint not null,
    head_at_claim     bigint not null,
    state             bigint not null,
    version           bigint not null default 0,
    success_reported_to text,                                               -- U4
    tries             bigint not null default 0,
    wanted_until_ms   bigint not null,
    next_look_ms      bigint not null,
    looks             bigint not null default 0,
    created_at_ms     bigint not null,
    updated_at_ms     bigint not null
);

create index settlements_due on settlements (network, next_look_ms) where state not in (4, 6);
create index settlements_unresolved on settlements (network) where state not in (3, 4, 6);
create index settlements_wanted on settlements (network, wanted_until_ms) where state = 0;

create table leases (
    name     text primary key,
    owner    text not null,
    token    bigint not null,                                               -- U5
    until_ms bigint not null
);

create table nonce_slots (
    network text not null,
    signer  text not null,
    nonce   bigint not null,
    kind    bigint not null,
    state   bigint not null,
    primary key (network, signer, nonce)                                    -- U6
);

create index nonce_slots_open on nonce_slots (network, signer, nonce) where state <> 2;

create table slot_items (
    network     text not null,
    signer      text not null,
    nonce       bigint not null,
    payment_key bytea not null references settlements (payment_key),
    live        boolean not null default true,
    primary key (network, signer, nonce, payment_key),
    foreign key (network, signer, nonce) references nonce_slots (network, signer, nonce)
);

create unique index one_live_slot on slot_items (payment_key) where live;   -- U7
create index slot_items_by_payment on slot_items (payment_key);

create table attempts (
    made_order       bigint generated always as identity primary key,
    transaction_hash text not null unique,
    network          text not null,
    signer           text not null,
    nonce            bigint not null,
    raw              bytea not null,
    max_fee_wei      text not null,
    tip_wei          text not null,
    created_at_ms    bigint not null,
    foreign key (network, signer, nonce) references nonce_slots (network, signer, nonce)
);

create index attempts_by_slot on attempts (network, signer, nonce, made_order);

create table evidence (
    network          text not null,
    transaction_hash text not null,
    log_index        bigint not null,
    block_number     bigint not null,
    block_hash       text not null,
    gas_used         bigint not null,
    payment_key      bytea not null unique references settlements (payment_key),  -- U8
    primary key (network, transaction_hash, log_index)                      -- U9
);

-- BOTH ------------------------------------------------------------------------------------------

create table journal (
    id          bigint generated always as identity primary key,
    at_ms       bigint not null,
    actor       text not null,
    subject     text not null,
    payment_key bytea not null,
    from_state  text not null,
    to_state    text not null,
    evidence    text not null
);

create index journal_by_payment on journal (payment_key, id);

-- Append-only means it.
create function journal_is_append_only() returns trigger language plpgsql as $$
begin
    raise exception 'the journal is append-only';
end
$$;

create trigger journal_is_not_changed before update or delete on journal
    for each row execute function journal_is_append_only();
create trigger journal_is_not_emptied before truncate on journal
    for each statement execute function journal_is_append_only();
