//! The allow-list of tokens. A token is served after the chain has confirmed its profile: there is
//! code at its address, and its EIP-712 domain is the one that signatures are checked against.

use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{Eip712Domain, SolCall, SolValue};
use faregate_chain::ChainError;
use faregate_protocol::assets::{KnownAsset, TransferMethod};
use faregate_protocol::{Reason, address};

use crate::code_seen::CodeSeen;
use crate::contracts::{Token, word};
use crate::limits::{CODE_SEEN_FOR, DEFAULT_TRANSFER_GAS, TOKEN_CALL_GAS};
use crate::mechanisms::eip3009;
use crate::rpc::{Block, Call, Revert, Rpc, call, decode};
use crate::shared_tokens::SharedTokens;

/// How long a verdict against a token stands before the chain is asked again.
const RECHECK_AFTER: Duration = Duration::from_secs(10);

/// A token as the operator knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssetProfile {
    /// Token contract.
    pub address: Address,
    /// EIP-712 domain name.
    pub name: String,
    /// EIP-712 domain version.
    pub version: String,
    /// Decimals of one token.
    pub decimals: u8,
    /// Most gas that one transfer may use; default 150 000.
    pub gas_limit: u64,
}

impl AssetProfile {
    /// The profile of a known asset, if it is moved by EIP-3009.
    #[must_use]
    pub fn of_known(known: &KnownAsset) -> Option<Self> {
        if known.method != TransferMethod::Eip3009 {
            return None;
        }
        Some(Self {
            address: address::parse_checked_address(known.address).ok()?,
            name: known.eip712_name.to_owned(),
            version: known.eip712_version.to_owned(),
            decimals: known.decimals,
            gas_limit: DEFAULT_TRANSFER_GAS,
        })
    }

    /// The fault of a token that calls itself by another name or version. One that does not say
    /// is not blamed for it.
    pub(crate) fn misnamed(
        &self,
        name: &Result<Bytes, Revert>,
        version: &Result<Bytes, Revert>,
    ) -> Option<Reason> {
        let differs = |view, want: &str| text(view).is_some_and(|found| found != want);
        if differs(name, &self.name) {
            return Some(Reason::EvmTokenNameMismatch);
        }
        differs(version, &self.version).then_some(Reason::EvmTokenVersionMismatch)
    }
}

/// What the chain says about a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Not asked yet.
    Unchecked,
    /// It is as its profile says.
    Ready,
    /// There is no code at its address.
    NoCode,
    /// It differs from its profile.
    Mismatch(String),
}

/// One token of the list.
#[derive(Debug)]
pub(crate) struct Asset {
    pub(crate) profile: AssetProfile,
    /// The domain that signatures are checked against; never the buyer's.
    pub(crate) domain: Eip712Domain,
    /// Hash of the domain.
    pub(crate) separator: B256,
    standing: RwLock<(Standing, Instant)>,
    /// What a failed payment is blamed on first, as found at the last check.
    misnamed: RwLock<Option<Reason>>,
    /// Locked while the chain is being asked; when and why the last question failed.
    checking: tokio::sync::Mutex<Option<(Instant, ChainError)>>,
}

impl Asset {
    /// What was found at the last check.
    pub(crate) fn standing(&self) -> Standing {
        self.standing.read().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Notes what was found now.
    pub(crate) fn stand(&self, standing: Standing) {
        self.stand_since(standing, Instant::now());
    }

    /// Notes what somebody found at `at`.
    fn stand_since(&self, standing: Standing, at: Instant) {
        *self.standing.write().unwrap_or_else(PoisonError::into_inner) = (standing, at);
    }

    fn blame_first(&self, misnamed: Option<Reason>) {
        *self.misnamed.write().unwrap_or_else(PoisonError::into_inner) = misnamed;
    }

    /// The fault of a token that called itself otherwise than its profile at the last check.
    pub(crate) fn misnamed(&self) -> Option<Reason> {
        *self.misnamed.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_due(&self) -> bool {
        let standing = self.standing.read().unwrap_or_else(PoisonError::into_inner);
        match standing.0 {
            Standing::Unchecked => true,
            Standing::Ready => false,
            Standing::NoCode | Standing::Mismatch(_) => standing.1.elapsed() >= RECHECK_AFTER,
        }
    }

    /// Whether a good standing is old enough to be looked at again: tokens can be upgraded.
    fn is_stale(&self) -> bool {
        let standing = self.standing.read().unwrap_or_else(PoisonError::into_inner);
        standing.0 == Standing::Ready && standing.1.elapsed() >= CODE_SEEN_FOR
    }

    /// The error that a standing other than ready is.
    pub(crate) fn error(&self, standing: &Standing) -> ChainError {
        let detail = match standing {
            Standing::Unchecked | Standing::Ready => "was not checked on the chain yet".to_owned(),
            Standing::NoCode => "there is no contract at this address".to_owned(),
            Standing::Mismatch(detail) => detail.clone(),
        };
        ChainError::Asset { asset: self.profile.address.to_checksum(None), detail }
    }
}

/// The allow-list.
#[derive(Debug)]
pub(crate) struct Assets {
    list: Vec<Asset>,
    /// Tokens whose code was seen lately.
    pub(crate) code: CodeSeen,
    /// What other processes heard from them.
    shared: Option<SharedTokens>,
}

impl Assets {
    /// The list, nothing checked.
    pub(crate) fn new(
        profiles: Vec<AssetProfile>,
        chain_id: u64,
        shared: Option<SharedTokens>,
    ) -> Self {
        let asset = |profile: AssetProfile| {
            let domain =
                eip3009::domain(&profile.name, &profile.version, chain_id, profile.address);
            Asset {
                separator: domain.separator(),
                domain,
                profile,
                standing: RwLock::new((Standing::Unchecked, Instant::now())),
                misnamed: RwLock::default(),
                checking: tokio::sync::Mutex::default(),
            }
        };
        let list = profiles.into_iter().map(asset).collect();
        Self { list, code: CodeSeen::default(), shared }
    }

    /// The token at `address`, if it is listed.
    pub(crate) fn get(&self, address: Address) -> Option<&Asset> {
        self.list.iter().find(|asset| asset.profile.address == address)
    }

    /// Whether any token is served now.
    pub(crate) fn any_ready(&self) -> bool {
        self.list.iter().any(|asset| asset.standing() == Standing::Ready)
    }

    /// Checks all tokens that are not ready, and those that were checked long ago.
    ///
    /// # Errors
    /// What is wrong with the first token, when none is ready.
    pub(crate) async fn check_all(&self, rpc: &Rpc) -> Result<(), ChainError> {
        let mut outcome = Ok(());
        for asset in &self.list {
            if asset.is_stale() {
                self.check(rpc, asset).await?;
            }
            let found = match self.standing_now(rpc, asset).await {
                Ok(Standing::Ready) => continue,
                Ok(standing) => asset.error(&standing),
                Err(error) => error,
            };
            tracing::warn!(asset = %asset.profile.address, error = %found, "asset not served");
            outcome = outcome.and(Err(found));
        }
        if self.any_ready() { Ok(()) } else { outcome }
    }

    /// The standing of a token; the chain is asked when it is not known or was bad a while ago.
    ///
    /// # Errors
    /// [`ChainError`] when the chain gave no answer.
    pub(crate) async fn standing_now(
        &self,
        rpc: &Rpc,
        asset: &Asset,
    ) -> Result<Standing, ChainError> {
        if asset.is_due() {
            self.check_once(rpc, asset).await?;
        }
        Ok(asset.standing())
    }

    /// Of all who need it at the same time one asks, and all get what came of it.
    async fn check_once(&self, rpc: &Rpc, asset: &Asset) -> Result<(), ChainError> {
        let began = Instant::now();
        let mut failed = asset.checking.lock().await;
        match &*failed {
            _ if !asset.is_due() => return Ok(()),
            Some((at, error)) if *at >= began => return Err(error.clone()),
            _ => {}
        }
        let outcome = self.check(rpc, asset).await;
        *failed = outcome.as_ref().err().map(|error| (Instant::now(), error.clone()));
        outcome
    }

    async fn check(&self, rpc: &Rpc, asset: &Asset) -> Result<(), ChainError> {
        if let Some(shared) = &self.shared
            && self.take_over(shared, asset).await
        {
            return Ok(());
        }
        let views = ask(rpc, asset).await?;
        self.code.note(asset.profile.address, views.is_some());
        let Some(views) = views else {
            asset.blame_first(None);
            asset.stand(Standing::NoCode);
            return Ok(());
        };
        let found = judge(asset, &views);
        if let Some(shared) = self.shared.as_ref().filter(|_| found == Standing::Ready) {
            shared.keep(asset.profile.address, &views);
        }
        asset.blame_first(asset.profile.misnamed(&views.name, &views.version));
        asset.stand(found);
        Ok(())
    }

    /// Whether another process heard lately that the token is as its profile says. Nothing else is
    /// taken over, and nothing grows younger by it.
    async fn take_over(&self, shared: &SharedTokens, asset: &Asset) -> bool {
        let token = asset.profile.address;
        let is_good = |views: &Views| judge(asset, views) == Standing::Ready;
        let Some((views, age)) = shared.read(token, is_good).await else { return false };
        let Some(at) = Instant::now().checked_sub(age) else { return false };
        self.code.note_seen(token, at);
        asset.blame_first(asset.profile.misnamed(&views.name, &views.version));
        asset.stand_since(Standing::Ready, at);
        true
    }
}

/// What a token says of itself; `None` when there is no code at its address.
async fn ask(rpc: &Rpc, asset: &Asset) -> Result<Option<Views>, ChainError> {
    let token = asset.profile.address;
    let view = |data: Vec<u8>| Call::eth_call(None, token, &data, TOKEN_CALL_GAS, Block::Latest);
    let [code, separator, name, version, decimals] = rpc
        .batch_of([
            Call::code(token),
            view(Token::DOMAIN_SEPARATORCall {}.abi_encode()),
            view(Token::nameCall {}.abi_encode()),
            view(Token::versionCall {}.abi_encode()),
            view(Token::decimalsCall {}.abi_encode()),
        ])
        .await?;
    let code = decode::bytes(&rpc.value(code, call::GET_CODE)?);
    if code.ok_or_else(|| rpc.nonsense(call::GET_CODE))?.is_empty() {
        return Ok(None);
    }
    Ok(Some(Views {
        separator: rpc.returned(separator)?,
        name: rpc.returned(name)?,
        version: rpc.returned(version)?,
        decimals: rpc.returned(decimals)?,
    }))
}

/// What a token says of itself.
pub(crate) struct Views {
    pub(crate) separator: Result<Bytes, Revert>,
    pub(crate) name: Result<Bytes, Revert>,
    pub(crate) version: Result<Bytes, Revert>,
    pub(crate) decimals: Result<Bytes, Revert>,
}

fn judge(asset: &Asset, views: &Views) -> Standing {
    let profile = &asset.profile;
    let decimals = views.decimals.as_ref().ok().and_then(|data| word(data));
    if let Some(found) = decimals.filter(|found| *found != U256::from(profile.decimals)) {
        let want = profile.decimals;
        return Standing::Mismatch(format!("the token has {found} decimals, not {want}"));
    }
    let separator = views.separator.as_ref().ok();
    if let Some(found) = separator.and_then(|data| word(data)).map(B256::from) {
        return if found == asset.separator {
            Standing::Ready
        } else {
            Standing::Mismatch(
                "the token's DOMAIN_SEPARATOR() is not that of the configured name, version, \
                 chain and address"
                    .to_owned(),
            )
        };
    }
    let same = |view: &Result<Bytes, Revert>, want: &str| text(view).as_deref() == Some(want);
    if !same(&views.name, &profile.name) {
        return Standing::Mismatch("the token's name() is not the configured one".to_owned());
    }
    if !same(&views.version, &profile.version) {
        return Standing::Mismatch("the token's version() is not the configured one".to_owned());
    }
    Standing::Ready
}

/// The text a view returned.
pub(crate) fn text(view: &Result<Bytes, Revert>) -> Option<String> {
    String::abi_decode(view.as_ref().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use faregate_protocol::{Network, assets};

    fn asset() -> Asset {
        let known = assets::default_asset(&Network::eip155(84532)).unwrap();
        let profile = AssetProfile::of_known(known).unwrap();
        Assets::new(vec![profile], 84532, None).list.remove(0)
    }

    fn reverted() -> Result<Bytes, Revert> {
        Err(Revert { data: Bytes::new(), message: String::new() })
    }

    fn views(separator: Option<B256>, name: &str, version: &str, decimals: u64) -> Views {
        Views {
            separator: separator.map_or_else(reverted, |s| Ok(s.abi_encode().into())),
            name: Ok(name.to_owned().abi_encode().into()),
            version: Ok(version.to_owned().abi_encode().into()),
            decimals: Ok(U256::from(decimals).abi_encode().into()),
        }
    }

    #[test]
    fn e11_the_domain_must_be_that_of_the_profile() {
        let asset = asset();
        let right = asset.separator;
        assert_eq!(judge(&asset, &views(Some(right), "any", "any", 6)), Standing::Ready);
        let wrong = views(Some(B256::ZERO), "USDC", "2", 6);
        assert!(matches!(judge(&asset, &wrong), Standing::Mismatch(_)));
        let decimals = views(Some(right), "USDC", "2", 18);
        assert!(matches!(judge(&asset, &decimals), Standing::Mismatch(_)));
    }

    #[test]
    fn without_a_separator_name_and_version_decide() {
        let asset = asset();
        assert_eq!(judge(&asset, &views(None, "USDC", "2", 6)), Standing::Ready);
        for (name, version) in [("USD Coin", "2"), ("USDC", "1"), ("", "2")] {
            assert!(matches!(judge(&asset, &views(None, name, version, 6)), Standing::Mismatch(_)));
        }
        let mut silent = views(None, "USDC", "2", 6);
        silent.version = Ok(Bytes::new());
        assert!(matches!(judge(&asset, &silent), Standing::Mismatch(_)));
    }

    #[test]
    fn assets_moved_by_permit2_have_no_profile_here() {
        let megaeth = assets::default_asset(&Network::eip155(4326)).unwrap();
        assert_eq!(AssetProfile::of_known(megaeth), None);
    }
}
