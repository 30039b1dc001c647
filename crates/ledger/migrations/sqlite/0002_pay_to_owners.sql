-- One uniqueness domain for each payee: the ledger of the gates that may have payments to it
-- settled here.
create table pay_to_owners (
    network     text not null,
    pay_to      text not null,
    deployment  text not null,
    since_ms    integer not null,
    primary key (network, pay_to)
) strict;
