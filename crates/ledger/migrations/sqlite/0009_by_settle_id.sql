-- Keys of payments are random, so each index of them costs a payment a page that none of its time
-- shares. Settle ids ascend with time: what is only ever found by way of a claim is found by that of
-- the claim.
--
-- Rows are copied in the order in which they lie: whatever is sorted takes room.
--
-- Foreign keys are off while this is done, and checked at the end.

create table new_kept (
    settle_id  text primary key references claims (settle_id),
    request    blob not null,
    answer     blob not null,
    kept_at_ms integer not null
) strict;

insert into new_kept (settle_id, request, answer, kept_at_ms)
    select c.settle_id, k.request, k.answer, k.kept_at_ms
    from kept k cross join claims c using (payment_key) order by k.rowid;

drop table kept;
alter table new_kept rename to kept;

create table new_kept_requests (
    settle_id  text primary key references claims (settle_id),
    request    blob not null,
    kept_at_ms integer not null
) strict;

insert into new_kept_requests (settle_id, request, kept_at_ms)
    select c.settle_id, k.request, k.kept_at_ms
    from kept_requests k cross join claims c using (payment_key) order by k.rowid;

drop table kept_requests;
alter table new_kept_requests rename to kept_requests;

create table new_deferrals (
    settle_id      text primary key references claims (settle_id),
    payment_key    blob not null check (length(payment_key) = 32),
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
    settle_id, payment_key, state, facilitator, network, payer, asset, amount, settle_by_ms,
    due_ms, tries, deaths, refusals, lease_token, lease_until_ms, created_at_ms, updated_at_ms
) select
    c.settle_id, d.payment_key, d.state, d.facilitator, d.network, d.payer, d.asset, d.amount,
    d.settle_by_ms, d.due_ms, d.tries, d.deaths, d.refusals, d.lease_token, d.lease_until_ms,
    d.created_at_ms, d.updated_at_ms
from deferrals d cross join claims c using (payment_key) order by d.rowid;

drop table deferrals;
alter table new_deferrals rename to deferrals;

create index deferrals_due on deferrals (settle_by_ms) where state in (1, 2);
create index deferrals_aside on deferrals (settle_by_ms) where state = 6;
create index deferrals_watched on deferrals (due_ms) where state = 4;

-- Of a claim; what the engine writes, and what was written before, is found by the payment's key.
alter table journal add column settle_id text;

drop index journal_by_payment;
create index journal_by_payment on journal (payment_key, id) where settle_id is null;
create index journal_by_claim on journal (settle_id, id) where settle_id is not null;
