//! A dev chain to play with: `cargo run -p faregate-devnet --example serve -- 127.0.0.1:8545 2000`
//! (address, then optionally the milliseconds between blocks). Ends with Ctrl-C.

use std::{env, error::Error, time::Duration};

use faregate_devnet::{
    Devnet, DevnetConfig,
    accounts::{BUYER, FACILITATOR, PAYEE, TOKEN},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let mut config = DevnetConfig::default();
    if let Some(listen) = arguments.next() {
        config.listen = listen.parse()?;
    }
    if let Some(milliseconds) = arguments.next() {
        config.block_time = Some(Duration::from_millis(milliseconds.parse()?));
    }
    let chain = Devnet::start(config).await?;
    println!("JSON-RPC     {}", chain.url());
    println!("token        {TOKEN}");
    for (role, account) in [("facilitator", FACILITATOR), ("buyer", BUYER), ("payee", PAYEE)] {
        println!("{role:<12} {} {}", account.address, account.private_key);
    }
    tokio::signal::ctrl_c().await?;
    chain.shutdown().await;
    Ok(())
}
