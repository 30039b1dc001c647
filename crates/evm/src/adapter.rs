//! The adapter: one EVM chain behind the port.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use alloy_primitives::Address;
use async_trait::async_trait;
use faregate_chain::{
    Authorization, BatchRoom, BlockSeen, Broadcast, Chain, ChainError, Fees, Heights, InBlock,
    Inspection, Intent, LaneState, Observation, Prepared, SendTime, Slot, Watch,
};
use faregate_protocol::{Network, PaymentRequest, Reason, SupportedKind, X402_VERSION};
use tokio::task::JoinHandle;

use crate::assets::Assets;
use crate::batch::{self, Batching};
use crate::claim::Claim;
use crate::code_seen::CodeSeen;
use crate::config::{EvmConfig, TransactionType};
use crate::fees::FeeSource;
use crate::fees::quiet::{self, QuietPolicy};
use crate::gathering::Gathering;
use crate::inspect::{SharedReads, Trust};
use crate::mechanisms::eip3009::Overload;
use crate::observe::whole_blocks::WholeBlocks;
use crate::refusals::Refusals;
use crate::rpc::{Call, Rpc, call, decode};
use crate::schemes::exact;
use crate::shared_tokens::SharedTokens;
use crate::signatures_seen::SignaturesSeen;
use crate::signer::TransactionSigner;
use crate::{broadcast, inspect, lane, observe, prepare};

/// One EVM chain. It keeps no payment state: only what it learned about tokens, contract wallets
/// and fees.
pub struct EvmChain {
    pub(crate) network: Network,
    pub(crate) chain_id: u64,
    pub(crate) rpc: Rpc,
    pub(crate) assets: Assets,
    pub(crate) fees: FeeSource,
    quiet: QuietPolicy,
    pub(crate) transaction_type: TransactionType,
    pub(crate) signers: Vec<Arc<dyn TransactionSigner>>,
    /// Payers that were seen to have code.
    pub(crate) contract_payers: CodeSeen,
    /// Signatures that were found good.
    pub(crate) signatures_seen: SignaturesSeen,
    pub(crate) batching: Batching,
    /// Where payments that are verified at the same time meet, if they may.
    pub(crate) gathering: Option<Arc<Gathering<SharedReads>>>,
    /// Payments that are refused for good, where processes share that.
    pub(crate) refusals: Option<Arc<Refusals>>,
    /// Whether a block's receipts may be asked for all at once.
    pub(crate) whole_blocks: WholeBlocks,
    signers_checked: AtomicBool,
    /// Looks after the endpoints as long as the chain is used.
    survey: Option<JoinHandle<()>>,
}

impl Drop for EvmChain {
    fn drop(&mut self) {
        if let Some(survey) = &self.survey {
            survey.abort();
        }
    }
}

impl std::fmt::Debug for EvmChain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EvmChain")
            .field("network", &self.network)
            .field("signers", &self.signer_addresses())
            .finish_non_exhaustive()
    }
}

impl EvmChain {
    /// Checks the configuration, then the chain as far as it answers: chain id, signers, tokens.
    /// An endpoint that is down is no error; what could not be checked is checked before use.
    ///
    /// # Errors
    /// [`ChainError::WrongChain`]; [`ChainError::Signer`] for a signer whose account has code;
    /// [`ChainError::Unsupported`] for a configuration that cannot be right.
    pub async fn connect(config: EvmConfig) -> Result<Self, ChainError> {
        config.check()?;
        let chain_id = config.chain_id()?;
        let rpc = Rpc::new(
            &config.network,
            chain_id,
            &config.urls()?,
            &config.endpoints,
            &config.metrics,
        )?;
        let survey = (config.rpc_urls.len() > 1)
            .then(|| tokio::spawn(rpc.clone().keep_surveying(config.endpoints.survey_every)));
        let sender = config.signers.first().map(|signer| signer.address());
        let together = |sender| Gathering::new(SharedReads::new(rpc.clone(), sender));
        let cache = config.second_layer.clone().map(|layer| (layer, config.metrics.cache()));
        let refusals =
            cache.clone().map(|(layer, metrics)| Refusals::new(chain_id, layer, metrics));
        let shared_tokens =
            cache.map(|(layer, metrics)| SharedTokens::new(layer, metrics, chain_id));
        let chain = Self {
            gathering: sender.filter(|_| config.shared_reads).map(together),
            assets: Assets::new(config.profiles()?, chain_id, shared_tokens),
            refusals,
            fees: FeeSource::new(
                config.network.clone(),
                config.max_fee_per_gas_wei,
                config.min_tip_wei,
                config.transaction_type,
            ),
            quiet: config.quiet,
            transaction_type: config.transaction_type,
            network: config.network,
            chain_id,
            rpc,
            signers: config.signers,
            contract_payers: CodeSeen::default(),
            batching: Batching::new(config.batch),
            signatures_seen: SignaturesSeen::default(),
            whole_blocks: WholeBlocks::default(),
            signers_checked: AtomicBool::new(false),
            survey,
        };
        chain.check_endpoints().await?;
        Ok(chain)
    }

    async fn check_endpoints(&self) -> Result<(), ChainError> {
        let endpoints: Vec<Rpc> = self.rpc.each().collect();
        let checks = endpoints.iter().map(|rpc| async move {
            let [answer] = rpc.batch_of([call::CHAIN_ID.clone()]).await?;
            rpc.value(answer, call::CHAIN_ID.method)
        });
        let outcomes = futures::future::join_all(checks).await;
        if endpoints.len() > 1 {
            self.rpc.survey().await;
        }
        for error in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
            if matches!(error, ChainError::WrongChain { .. }) {
                return Err(error.clone());
            }
            tracing::warn!(network = %self.network, %error, "endpoint not checked at start");
        }
        if outcomes.iter().all(Result::is_err) {
            return Ok(());
        }
        match self.check_signers().await {
            Err(error @ (ChainError::Signer { .. } | ChainError::WrongChain { .. })) => {
                return Err(error);
            }
            Err(error) => tracing::warn!(network = %self.network, %error, "signers not checked"),
            Ok(()) => {}
        }
        if let Err(error) = self.assets.check_all(&self.rpc).await {
            tracing::warn!(network = %self.network, %error, "no asset is served yet");
        }
        match self.batching.check(&self.rpc).await {
            Err(error @ ChainError::Unsupported { .. }) => return Err(error),
            Err(error) => {
                tracing::warn!(network = %self.network, %error, "Multicall3 not looked for");
            }
            Ok(()) => {}
        }
        Ok(())
    }

    /// A signer with code (EIP-7702) can lose its money to its own code, and pools hold its
    /// transactions back: it must not be used.
    async fn check_signers(&self) -> Result<(), ChainError> {
        let calls: Vec<Call> =
            self.signers.iter().map(|signer| Call::code(signer.address())).collect();
        for answer in self.rpc.batch(&calls).await? {
            let code = decode::bytes(&self.rpc.value(answer, call::GET_CODE)?);
            if !code.ok_or_else(|| self.rpc.nonsense(call::GET_CODE))?.is_empty() {
                self.signers_checked.store(false, Ordering::Release);
                return Err(ChainError::Signer { detail: "the signer's account has code" });
            }
        }
        self.signers_checked.store(true, Ordering::Release);
        Ok(())
    }

    /// As far as it was not done at the start.
    pub(crate) async fn check_signers_once(&self) -> Result<(), ChainError> {
        if self.signers_checked.load(Ordering::Acquire) {
            return Ok(());
        }
        self.check_signers().await
    }

    /// The accounts that send transactions.
    pub(crate) fn signer_addresses(&self) -> Vec<Address> {
        self.signers.iter().map(|signer| signer.address()).collect()
    }

    /// The account that simulations are made from.
    pub(crate) fn sender(&self) -> Option<Address> {
        self.signers.first().map(|signer| signer.address())
    }
}

#[async_trait]
impl Chain for EvmChain {
    fn network(&self) -> &Network {
        &self.network
    }

    fn supported(&self) -> Vec<SupportedKind> {
        if !self.assets.any_ready() {
            return Vec::new();
        }
        vec![SupportedKind {
            x402_version: X402_VERSION,
            scheme: exact::NAME.to_owned(),
            network: self.network.to_string(),
            extra: None,
        }]
    }

    fn signers(&self) -> Vec<String> {
        self.signer_addresses().iter().map(|address| address.to_checksum(None)).collect()
    }

    fn read(&self, request: &PaymentRequest) -> Result<Authorization, Reason> {
        match Claim::read(self, request) {
            Ok(claim) => Ok(claim.authorization()),
            Err(refusal) => Err(refusal.reason),
        }
    }

    fn batch_room(&self) -> Option<BatchRoom> {
        self.batching.room()
    }

    fn share(&self, request: &PaymentRequest) -> Option<u64> {
        let claim = Claim::read(self, request).ok()?;
        let by_key = !self.contract_payers.contains(claim.payment.authorization.from)
            && matches!(claim.overload(false), Some(Overload::Parts(_)));
        (by_key && claim.pays_as_required()).then(|| batch::share(claim.asset.profile.gas_limit))
    }

    async fn inspect(
        &self,
        request: &PaymentRequest,
        now_unix: u64,
    ) -> Result<Inspection, ChainError> {
        inspect::inspect(self, request, now_unix, Trust::Remembered).await
    }

    async fn inspect_afresh(
        &self,
        request: &PaymentRequest,
        now_unix: u64,
    ) -> Result<Inspection, ChainError> {
        inspect::inspect(self, request, now_unix, Trust::ChainOnly).await
    }

    async fn prepare(
        &self,
        intent: Intent<'_>,
        slot: &Slot,
        replaces: Option<Fees>,
    ) -> Result<Prepared, ChainError> {
        prepare::prepare(self, intent, slot, replaces).await
    }

    async fn broadcast(&self, raw: &[u8]) -> Broadcast {
        broadcast::send(&self.rpc, raw).await
    }

    async fn observe(&self, watch: Watch<'_>) -> Result<Observation, ChainError> {
        observe::observe(self, &watch).await
    }

    async fn blocks(&self, after: Option<u64>) -> Result<Vec<BlockSeen>, ChainError> {
        observe::blocks::after(&self.rpc, after).await
    }

    async fn heights(&self, numbers: &[u64]) -> Result<Option<Heights>, ChainError> {
        observe::blocks::heights(&self.rpc, numbers).await.map(Some)
    }

    async fn observe_in(
        &self,
        block: InBlock<'_>,
        watches: &[Watch<'_>],
    ) -> Result<Vec<Option<Observation>>, ChainError> {
        observe::blocks::observe_in(self, block, watches).await
    }

    async fn send_time(&self, now_unix: u64, valid_before: u64) -> SendTime {
        let base_fees_wei = match self.quiet.base_fee_wei {
            Some(_) => self.fees.base_fees_wei(&self.rpc).await,
            None => Vec::new(),
        };
        quiet::send_time(now_unix, valid_before, &base_fees_wei, &self.quiet)
    }

    async fn lane_state(&self, signer: &str) -> Result<LaneState, ChainError> {
        let signer = self.signer(signer)?.address();
        lane::state(&self.rpc, signer).await
    }

    async fn ready(&self) -> Result<(), ChainError> {
        self.check_signers().await?;
        self.batching.check_once(&self.rpc).await?;
        self.assets.check_all(&self.rpc).await
    }
}
