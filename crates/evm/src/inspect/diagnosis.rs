//! Why a simulation failed: four questions to the token in one call, in a fixed order of blame.

use alloy_primitives::Bytes;
use alloy_sol_types::SolCall;
use faregate_chain::ChainError;
use faregate_protocol::{Amount, Reason};

use crate::assets::AssetProfile;
use crate::claim::Claim;
use crate::contracts::{MULTICALL3, Multicall3, Token, flag, word};
use crate::limits::{DIAGNOSIS_GAS, TOKEN_CALL_GAS};
use crate::rpc::{Block, Call, Revert, Rpc};

type View = Result<Bytes, Revert>;

struct Views {
    state: View,
    name: View,
    version: View,
    balance: View,
}

/// Explains a failed simulation.
///
/// # Errors
/// [`ChainError`] when the chain gave no answer.
pub(super) async fn explain(rpc: &Rpc, claim: &Claim<'_>) -> Result<Reason, ChainError> {
    let questions = questions(claim);
    let views = match by_multicall(rpc, claim, &questions).await? {
        Some(views) => views,
        None => one_by_one(rpc, claim, &questions).await?,
    };
    let value = claim.payment.authorization.value;
    Ok(blame(&claim.asset.profile, value, &views))
}

fn questions(claim: &Claim<'_>) -> [Bytes; 4] {
    let signed = &claim.payment.authorization;
    [
        Token::authorizationStateCall { authorizer: signed.from, nonce: signed.nonce }
            .abi_encode()
            .into(),
        Token::nameCall {}.abi_encode().into(),
        Token::versionCall {}.abi_encode().into(),
        Token::balanceOfCall { account: signed.from }.abi_encode().into(),
    ]
}

/// All questions in one call; `None` where Multicall3 is missing or does not answer as it should.
async fn by_multicall(
    rpc: &Rpc,
    claim: &Claim<'_>,
    questions: &[Bytes; 4],
) -> Result<Option<Views>, ChainError> {
    let calls = questions.iter().map(|data| Multicall3::Call3 {
        target: claim.asset.profile.address,
        allowFailure: true,
        callData: data.clone(),
    });
    let data = Multicall3::aggregate3Call { calls: calls.collect() }.abi_encode();
    let call = Call::eth_call(None, MULTICALL3, &data, DIAGNOSIS_GAS, Block::Latest);
    let [answer] = rpc.batch_of([call]).await?;
    let Ok(returned) = rpc.returned(answer)? else { return Ok(None) };
    let Ok(results) = Multicall3::aggregate3Call::abi_decode_returns(&returned) else {
        return Ok(None);
    };
    let views = results.into_iter().map(|result| match result.success {
        true => Ok(result.returnData),
        false => Err(Revert { data: result.returnData, message: String::new() }),
    });
    let views: Option<[View; 4]> = views.collect::<Vec<_>>().try_into().ok();
    Ok(views.map(|[state, name, version, balance]| Views { state, name, version, balance }))
}

async fn one_by_one(
    rpc: &Rpc,
    claim: &Claim<'_>,
    questions: &[Bytes; 4],
) -> Result<Views, ChainError> {
    let token = claim.asset.profile.address;
    let calls = questions
        .each_ref()
        .map(|data| Call::eth_call(None, token, data, TOKEN_CALL_GAS, Block::Latest));
    let [state, name, version, balance] = rpc.batch_of(calls).await?;
    Ok(Views {
        state: rpc.returned(state)?,
        name: rpc.returned(name)?,
        version: rpc.returned(version)?,
        balance: rpc.returned(balance)?,
    })
}

fn blame(profile: &AssetProfile, value: Amount, views: &Views) -> Reason {
    let used = views.state.as_ref().ok().and_then(|data| flag(data));
    let balance = views.balance.as_ref().ok().and_then(|data| word(data));
    let short = balance.is_some_and(|balance| balance < value.0);
    blame_facts(used, profile.misnamed(&views.name, &views.version), short)
        .unwrap_or(Reason::EvmSimulationFailed)
}

/// The order of blame; `None` when none of these facts explains the failure.
pub(super) fn blame_facts(
    used: Option<bool>,
    misnamed: Option<Reason>,
    short_of_money: bool,
) -> Option<Reason> {
    match used {
        None => Some(Reason::EvmEip3009NotSupported),
        Some(true) => Some(Reason::EvmNonceAlreadyUsed),
        Some(false) => misnamed.or(short_of_money.then_some(Reason::EvmInsufficientBalance)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{Address, U256};
    use alloy_sol_types::SolValue;

    fn good() -> Views {
        Views {
            state: Ok(false.abi_encode().into()),
            name: Ok("USDC".to_owned().abi_encode().into()),
            version: Ok("2".to_owned().abi_encode().into()),
            balance: Ok(U256::from(10).abi_encode().into()),
        }
    }

    type Break = fn(&mut Views);

    #[test]
    fn blame_falls_in_the_order_of_the_official_facilitator() {
        let profile = AssetProfile {
            address: Address::ZERO,
            name: "USDC".into(),
            version: "2".into(),
            decimals: 6,
            gas_limit: 150_000,
        };
        let judge = |views: &Views| blame(&profile, Amount::from(10), views);
        assert_eq!(judge(&good()), Reason::EvmSimulationFailed);
        let faults: [(Reason, Break); 5] = [
            (Reason::EvmEip3009NotSupported, |v| v.state = Ok(Bytes::new())),
            (Reason::EvmNonceAlreadyUsed, |v| v.state = Ok(true.abi_encode().into())),
            (Reason::EvmTokenNameMismatch, |v| v.name = Ok("X".to_owned().abi_encode().into())),
            (Reason::EvmTokenVersionMismatch, |v| {
                v.version = Ok("1".to_owned().abi_encode().into());
            }),
            (Reason::EvmInsufficientBalance, |v| {
                v.balance = Ok(U256::from(9).abi_encode().into());
            }),
        ];
        for (first, (reason, break_first)) in faults.iter().enumerate() {
            for (_, break_second) in &faults[first..] {
                let mut views = good();
                break_second(&mut views);
                break_first(&mut views);
                assert_eq!(judge(&views), *reason);
            }
        }
        // A token without a version is not blamed for it.
        let mut silent = good();
        silent.version = Err(Revert { data: Bytes::new(), message: String::new() });
        assert_eq!(judge(&silent), Reason::EvmSimulationFailed);
    }
}
