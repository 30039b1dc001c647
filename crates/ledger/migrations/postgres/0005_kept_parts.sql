-- The bodies of answers that are too large to be held in memory until they are paid, in parts,
-- sealed. A payment has those of one run.
create table kept_parts (
    payment_key bytea not null references claims (payment_key),
    number      bigint not null check (number >= 0),
    epoch       bigint not null,
    part        bytea not null,
    primary key (payment_key, number)
);

-- What is sealed gets no smaller.
alter table kept_parts alter column part set storage external;

-- One for each payment with parts, for the sweep.
create index kept_parts_first on kept_parts (payment_key) where number = 0;
