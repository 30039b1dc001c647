//! Prints the description of the HTTP API, as it is kept in `docs/openapi-facilitator.json`:
//! `cargo run -p faregate-facilitator --example openapi > docs/openapi-facilitator.json`

fn main() {
    print!("{}", faregate_facilitator::openapi::text());
}
