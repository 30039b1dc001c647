//! The filter of `eth_getLogs`.

use alloy_primitives::{Address, B256, Bloom, BloomInput, Log};
use serde_json::Value;

use super::{
    RpcError,
    params::{self, array, member, object, read, wrong},
};
use crate::chain::lookup::BlockId;

/// Which logs are wanted.
#[derive(Debug)]
pub(super) struct LogFilter {
    pub(super) blocks: Blocks,
    /// Empty: any.
    addresses: Vec<Address>,
    /// Position by position; empty: any.
    topics: Vec<Vec<B256>>,
}

/// In which blocks.
#[derive(Debug)]
pub(super) enum Blocks {
    One(B256),
    Range(BlockId, BlockId),
}

const MAX_TOPICS: usize = 4;
const MAX_ALTERNATIVES: usize = 1_000;

impl LogFilter {
    /// Reads the filter object.
    pub(super) fn read(value: &Value) -> Result<Self, RpcError> {
        let fields = object("a filter object", value)?;
        let hash = read(fields, "blockHash", params::hash)?;
        let from = read(fields, "fromBlock", params::block_tag)?;
        let to = read(fields, "toBlock", params::block_tag)?;
        let blocks = match (hash, from, to) {
            (Some(hash), None, None) => Blocks::One(hash),
            (Some(_), ..) => {
                let text =
                    "cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other";
                return Err(RpcError::params(text));
            }
            (None, from, to) => {
                Blocks::Range(from.unwrap_or(BlockId::Latest), to.unwrap_or(BlockId::Latest))
            }
        };
        let addresses = member(fields, "address")
            .map_or(Ok(Vec::new()), |given| one_or_many(given, params::address))?;
        let topics = member(fields, "topics").map_or(Ok(Vec::new()), read_topics)?;
        Ok(Self { blocks, addresses, topics })
    }

    /// False when a block with this bloom certainly has nothing wanted.
    pub(super) fn may_match(&self, bloom: &Bloom) -> bool {
        let has = |raw: &[u8]| bloom.contains_input(BloomInput::Raw(raw));
        let any = |mut raws: Box<dyn Iterator<Item = &[u8]> + '_>| raws.any(has);
        let addresses: Box<dyn Iterator<Item = &[u8]>> =
            Box::new(self.addresses.iter().map(|address| address.as_slice()));
        (self.addresses.is_empty() || any(addresses))
            && self.topics.iter().all(|wanted| {
                wanted.is_empty() || any(Box::new(wanted.iter().map(|topic| topic.as_slice())))
            })
    }

    /// True when the log is wanted.
    pub(super) fn matches(&self, log: &Log) -> bool {
        let address = self.addresses.is_empty() || self.addresses.contains(&log.address);
        let topics = log.topics();
        address
            && self.topics.len() <= topics.len()
            && self
                .topics
                .iter()
                .zip(topics)
                .all(|(wanted, topic)| wanted.is_empty() || wanted.contains(topic))
    }
}

fn read_topics(value: &Value) -> Result<Vec<Vec<B256>>, RpcError> {
    let positions = array("an array of topics", value)?;
    if positions.len() > MAX_TOPICS {
        return Err(RpcError::params("exceed max topics"));
    }
    positions
        .iter()
        .map(|position| match position {
            Value::Null => Ok(Vec::new()),
            given => one_or_many(given, params::hash),
        })
        .collect()
}

fn one_or_many<T>(
    value: &Value,
    reader: impl Fn(&Value) -> Result<T, RpcError>,
) -> Result<Vec<T>, RpcError> {
    match value {
        Value::Array(values) if values.len() > MAX_ALTERNATIVES => {
            Err(wrong("fewer alternatives", &Value::from(values.len())))
        }
        // A null among alternatives accepts anything, hence so does the whole list.
        Value::Array(values) if values.iter().any(Value::is_null) => Ok(Vec::new()),
        Value::Array(values) => values.iter().map(reader).collect(),
        one => Ok(vec![reader(one)?]),
    }
}
