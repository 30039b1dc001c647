-- The bodies of answers that are too large to be held in memory until they are paid, in parts,
-- sealed. A payment has those of one run.
create table kept_parts (
    payment_key blob not null references claims (payment_key),
    number      integer not null check (number >= 0),
    epoch       integer not null,
    part        blob not null,
    primary key (payment_key, number)
) strict;

-- One for each payment with parts, for the sweep.
create index kept_parts_first on kept_parts (payment_key) where number = 0;
