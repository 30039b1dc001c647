-- Rows of these tables are long. Without a rowid the inner pages of a tree hold whole rows, so that
-- there is place for eight keys in a page and a million payments lie seven pages deep; and every
-- change of a row changes a page of its own, because keys are random. With a rowid the index of keys
-- is dense and payments of the same time lie together.
--
-- Foreign keys are off while this is done, and checked at the end.

create table new_claims (
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
    grant_id          text,
    granted_at_ms     integer,
    epoch             integer not null default 0,
    lease_token       integer not null default 1,
    lease_until_ms    integer not null,
    transaction_hash  text not null default '',
    created_at_ms     integer not null,
    updated_at_ms     integer not null,
    handler_started   integer not null default 0
) strict;

insert into new_claims (
    payment_key, settle_id, facilitator, request_fp, requirements_hash, payload_hash, route,
    network, payer, pay_to, asset, amount, valid_before, state, grant_id, granted_at_ms, epoch,
    lease_token, lease_until_ms, transaction_hash, created_at_ms, updated_at_ms, handler_started
) select
    payment_key, settle_id, facilitator, request_fp, requirements_hash, payload_hash, route,
    network, payer, pay_to, asset, amount, valid_before, state, grant_id, granted_at_ms, epoch,
    lease_token, lease_until_ms, transaction_hash, created_at_ms, updated_at_ms, handler_started
from claims order by created_at_ms;

drop table claims;
alter table new_claims rename to claims;

create index claims_by_state on claims (state, updated_at_ms);
create unique index claims_granted on claims (grant_id) where grant_id is not null;  -- U2

create table new_settlements (
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
) strict;

insert into new_settlements (
    payment_key, settle_id, caller_has_key, requirements_hash, payload_hash, request, network,
    payer, pay_to, asset, amount, valid_before, head_at_claim, state, version,
    success_reported_to, tries, wanted_until_ms, next_look_ms, looks, created_at_ms,
    updated_at_ms
) select
    payment_key, settle_id, caller_has_key, requirements_hash, payload_hash, request, network,
    payer, pay_to, asset, amount, valid_before, head_at_claim, state, version,
    success_reported_to, tries, wanted_until_ms, next_look_ms, looks, created_at_ms,
    updated_at_ms
from settlements order by created_at_ms;

drop table settlements;
alter table new_settlements rename to settlements;

create index settlements_due on settlements (network, next_look_ms) where state not in (4, 6);
create index settlements_unresolved on settlements (network) where state not in (3, 4, 6);
create index settlements_wanted on settlements (network, wanted_until_ms) where state = 0;

create table new_deferrals (
    payment_key    blob primary key references claims (payment_key),
    state          integer not null,
    facilitator    text not null,
    network        text not null,
    payer          text not null,
    asset          text not null,
    amount         blob not null check (length(amount) = 32),
    settle_by_ms   integer not null,
    due_ms         integer not null,
    tries          integer not null default 0,
    deaths         integer not null default 0,
    refusals       integer not null default 0,
    lease_token    integer not null default 0,
    lease_until_ms integer not null default 0,
    created_at_ms  integer not null,
    updated_at_ms  integer not null
) strict;

insert into new_deferrals (
    payment_key, state, facilitator, network, payer, asset, amount, settle_by_ms, due_ms,
    tries, deaths, refusals, lease_token, lease_until_ms, created_at_ms, updated_at_ms
) select
    payment_key, state, facilitator, network, payer, asset, amount, settle_by_ms, due_ms,
    tries, deaths, refusals, lease_token, lease_until_ms, created_at_ms, updated_at_ms
from deferrals order by created_at_ms;

drop table deferrals;
alter table new_deferrals rename to deferrals;

create index deferrals_due on deferrals (settle_by_ms) where state in (1, 2);
create index deferrals_aside on deferrals (settle_by_ms) where state = 6;
create index deferrals_watched on deferrals (due_ms) where state = 4;
