-- Set once, before the handler of a route that must not run twice for one payment is run.
alter table claims add column handler_started integer not null default 0;
