//! The command line. Results go to stdout, logs and errors to stderr.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use faregate_bench::BenchCommand;
use faregate_telemetry::{LogConfig, LogFormat, logs};

use crate::roles::Roles;
use crate::{bench, config, debts, dev, init, pay, payees, roles, server, settlements, token};

/// Charge for HTTP requests with signed stablecoin payments (x402).
#[derive(Parser)]
#[command(name = "faregate", version, about, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
    /// How log lines on stderr are written; the configuration decides if it is not given.
    #[arg(long, global = true, value_enum)]
    log_format: Option<Format>,
    /// What is logged: a level, or directives such as info,faregate_engine=debug.
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Json,
    Text,
}

#[derive(Subcommand)]
enum Command {
    /// Start a whole world on this machine, offline: chain, facilitator, gate, demo API, buyer.
    Dev(dev::DevArgs),
    /// Run gate and facilitator in one process.
    Serve(ConfigArgs),
    /// Run the gate alone, with a facilitator over HTTP.
    Gate(ConfigArgs),
    /// Run the facilitator alone.
    Facilitator(ConfigArgs),
    /// Request a URL and pay for it.
    Pay(pay::PayArgs),
    /// Write a small configuration that works.
    Init(init::InitArgs),
    /// Look at payments: list them, follow one, compare with the chain.
    #[command(subcommand)]
    Settlements(settlements::SettlementsCommand),
    /// Look at payees: which ledger of claims each belongs to.
    #[command(subcommand)]
    Payees(payees::PayeesCommand),
    /// Look at debts: of payees who did not serve, and of payers who have not paid.
    #[command(subcommand)]
    Debts(debts::DebtsCommand),
    /// Measure a facilitator or a gate under load, this one or another, on a chain of its own.
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Make a bearer token for a caller of the facilitator.
    Token,
    /// Look at a configuration.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Report everything that is wrong with a configuration, at once.
    Check {
        #[command(flatten)]
        config: ConfigArgs,
        /// Look at the file only: ask no chain and read no secret.
        #[arg(long)]
        offline: bool,
    },
    /// List every key with its default and meaning.
    Keys,
}

#[derive(Args)]
struct ConfigArgs {
    /// The configuration file.
    #[arg(long, default_value = "faregate.toml", value_name = "FILE")]
    config: PathBuf,
}

impl Cli {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let logging = Logging { format: self.log_format, filter: self.log };
        match self.command {
            Command::Dev(args) => {
                logging.start(LogConfig { format: LogFormat::Text, filter: "warn".to_owned() })?;
                server::block_on(dev::run(args))
            }
            Command::Serve(args) => serve(&args, &logging, Roles::Both),
            Command::Gate(args) => serve(&args, &logging, Roles::Gate),
            Command::Facilitator(args) => serve(&args, &logging, Roles::Facilitator),
            Command::Pay(args) => {
                logging.start(LogConfig { format: LogFormat::Text, filter: "error".to_owned() })?;
                server::block_on(pay::run(args))
            }
            Command::Init(args) => init::run(&args),
            Command::Settlements(command) => {
                logging.start(LogConfig { format: LogFormat::Text, filter: "error".to_owned() })?;
                server::block_on(settlements::run(command))
            }
            Command::Payees(command) => {
                logging.start(LogConfig { format: LogFormat::Text, filter: "error".to_owned() })?;
                server::block_on(payees::run(command))
            }
            Command::Bench(command) => {
                logging.start(LogConfig { format: LogFormat::Text, filter: "error".to_owned() })?;
                server::block_on(bench::run(command))
            }
            Command::Debts(command) => {
                logging.start(LogConfig { format: LogFormat::Text, filter: "error".to_owned() })?;
                server::block_on(debts::run(command))
            }
            Command::Token => token::run(),
            Command::Config { command: ConfigCommand::Keys } => {
                print!("{}", config::reference());
                Ok(ExitCode::SUCCESS)
            }
            Command::Config { command: ConfigCommand::Check { config, offline } } => {
                logging.start(LogConfig { format: LogFormat::Text, filter: "error".to_owned() })?;
                check(&config, offline)
            }
        }
    }
}

struct Logging {
    format: Option<Format>,
    filter: Option<String>,
}

impl Logging {
    fn start(&self, configured: LogConfig) -> anyhow::Result<()> {
        let format = match self.format {
            Some(Format::Json) => LogFormat::Json,
            Some(Format::Text) => LogFormat::Text,
            None => configured.format,
        };
        let filter = self.filter.clone().unwrap_or(configured.filter);
        logs::init(&LogConfig { format, filter })?;
        Ok(())
    }
}

fn serve(args: &ConfigArgs, logging: &Logging, wanted: Roles) -> anyhow::Result<ExitCode> {
    let settings = config::load(&args.config, std::env::vars())?;
    logging.start(settings.log.clone())?;
    server::block_on(async move {
        let running = roles::start(settings, wanted).await?;
        let told_to_stop = server::until_told_to_stop();
        running.announce();
        let ended = told_to_stop.await;
        tracing::info!(signal = ended, "stopping");
        running.stop(server::DRAIN).await;
        Ok(ExitCode::SUCCESS)
    })
}

fn check(args: &ConfigArgs, offline: bool) -> anyhow::Result<ExitCode> {
    let settings = match config::load(&args.config, std::env::vars()) {
        Ok(settings) => settings,
        Err(problems) => {
            println!("{problems}");
            return Ok(ExitCode::FAILURE);
        }
    };
    let found = if offline { Vec::new() } else { server::block_on(roles::probe(&settings))? };
    for problem in &found {
        println!("{}: {problem}", args.config.display());
    }
    if !found.is_empty() {
        return Ok(ExitCode::FAILURE);
    }
    let routes = settings.gate.as_ref().map_or(0, |gate| gate.routes.len());
    println!(
        "{}: good; {} chain(s), {routes} route(s){}",
        args.config.display(),
        settings.chains.len(),
        if offline { "; no chain was asked and no secret was read" } else { "" }
    );
    Ok(ExitCode::SUCCESS)
}
