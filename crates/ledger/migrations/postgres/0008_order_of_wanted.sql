-- In the order in which they are taken up, so that the first hundred cost a hundred, and not a look
-- at all that wait.
drop index settlements_wanted;
create index settlements_wanted
    on settlements (network, valid_before, created_at_ms, payment_key, wanted_until_ms)
    where state = 0;
