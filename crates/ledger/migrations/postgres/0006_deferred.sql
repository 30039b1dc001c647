-- Money that moves before the handler runs, or after the answer has left.

-- Sealed: payments that are settled before there is an answer to keep beside them.
create table kept_requests (
    payment_key bytea primary key references claims (payment_key),
    request     bytea not null,
    kept_at_ms  bigint not null
);

-- The outbox: one row a payment whose answer may leave before its money. Payer and asset are in
-- lower case.
create table deferrals (
    payment_key    bytea primary key references claims (payment_key),
    state          bigint not null,
    facilitator    text not null,
    network        text not null,
    payer          text not null,
    asset          text not null,
    amount         bytea not null check (length(amount) = 32),
    settle_by_ms   bigint not null,
    due_ms         bigint not null,
    tries          bigint not null default 0,
    deaths         bigint not null default 0,
    refusals       bigint not null default 0,
    lease_token    bigint not null default 0,
    lease_until_ms bigint not null default 0,
    created_at_ms  bigint not null,
    updated_at_ms  bigint not null
);

create index deferrals_due on deferrals (settle_by_ms) where state in (1, 2);
create index deferrals_aside on deferrals (settle_by_ms) where state = 6;
create index deferrals_watched on deferrals (due_ms) where state = 4;

-- Sums of the deferrals that are on the books; without a payer, of all of them.
create table exposures (
    network   text not null,
    asset     text not null,
    payer     text not null,
    unsettled numeric(78, 0) not null check (unsettled >= 0),
    primary key (network, asset, payer)
);

-- Debtor 0: the payee, who was paid and did not serve. 1: the payer, who was served and has not
-- paid.
create table debts (
    payment_key  bytea primary key references claims (payment_key),
    debtor       bigint not null,
    reason       text not null,
    payer        text not null,
    opened_at_ms bigint not null,
    closed_at_ms bigint
);

create index debts_open on debts (payer) where closed_at_ms is null;

insert into debts (payment_key, debtor, reason, payer, opened_at_ms)
    select payment_key, 0, 'CREDIT', lower(payer), updated_at_ms from claims where state = 8;
