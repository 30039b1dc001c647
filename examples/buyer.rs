//! A program that pays for what it asks for, at most ten cents a request. With `faregate dev` or
//! the example `seller_axum` running, run it with
//!
//! ```sh
//! cargo run -p faregate-examples --example buyer -- http://127.0.0.1:4020/weather
//! ```

use std::sync::Arc;

use anyhow::Context as _;
use faregate_buyer::{Buyer, BuyerConfig, BuyerError, BuyerRequest, Quoted};
use faregate_devnet::accounts;
use faregate_evm::Wallet;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = std::env::args().nth(1).context("which URL?")?;
    // A dev account. A real program reads its key from where it keeps its secrets.
    let wallet = Wallet::from_hex(&accounts::BUYER.private_key.to_string())?;
    // Signed payments stay here until their end is known: it has to outlive the process.
    let state = std::env::temp_dir().join("faregate-example-buyer");
    let buyer = Buyer::new(BuyerConfig::new(Arc::new(wallet), state, "$0.10".parse()?))?;
    let request = BuyerRequest::get(&url)?;

    match buyer.quote(&request).await? {
        Quoted::Free(answer) => println!("it answers {} without payment", answer.status),
        Quoted::Priced(quote) => println!("it costs {}, to {}", quote.price, quote.pay_to),
    }
    match buyer.pay(&request).await {
        Ok(outcome) => {
            println!("{} {}", outcome.status, String::from_utf8_lossy(&outcome.body));
            if let Some(payment) = outcome.payment {
                println!("{} on {}", payment.price, payment.network);
                println!("transaction {}", payment.transaction.unwrap_or_default());
            }
        }
        // The money may have moved. The same request, asked again, presents the same payment.
        Err(error @ BuyerError::Unresolved { .. }) => println!("not known yet: {error}"),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
