//! ERC-6492: a signature that carries the means to deploy its wallet. The means are never used;
//! a deployed wallet's signature is taken out of its wrapper.

use alloy_sol_types::SolValue;

use crate::contracts::WrappedSignature;

const MAGIC: [u8; 32] = [
    0x64, 0x92, 0x64, 0x92, 0x64, 0x92, 0x64, 0x92, 0x64, 0x92, 0x64, 0x92, 0x64, 0x92, 0x64, 0x92,
    0x64, 0x92, 0x64, 0x92, 0x64, 0x92, 0x64, 0x92, 0x64, 0x92, 0x64, 0x92, 0x64, 0x92, 0x64, 0x92,
];

/// A signature as it was presented.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Presented {
    /// Not wrapped.
    Plain(Vec<u8>),
    /// The inner signature of a wrapper.
    Wrapped(Vec<u8>),
    /// The magic suffix without a readable wrapper, or a wrapper in a wrapper.
    Malformed,
}

impl Presented {
    /// Looks for the magic suffix.
    pub(crate) fn read(signature: &[u8]) -> Self {
        let Some(body) = signature.strip_suffix(&MAGIC) else {
            return Self::Plain(signature.to_vec());
        };
        match WrappedSignature::abi_decode_params(body) {
            Ok(wrapped) if !wrapped.signature.ends_with(&MAGIC) => {
                Self::Wrapped(wrapped.signature.to_vec())
            }
            _ => Self::Malformed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{Address, Bytes};
    use proptest::prelude::*;

    fn wrap(inner: &[u8]) -> Vec<u8> {
        let wrapped = WrappedSignature {
            factory: Address::repeat_byte(1),
            factoryCalldata: Bytes::from_static(&[2; 36]),
            signature: Bytes::copy_from_slice(inner),
        };
        [wrapped.abi_encode_params(), MAGIC.to_vec()].concat()
    }

    #[test]
    fn the_inner_signature_is_taken_out_once() {
        assert!(Presented::read(&[1, 2, 3]) == Presented::Plain(vec![1, 2, 3]));
        assert!(Presented::read(&wrap(&[9; 65])) == Presented::Wrapped(vec![9; 65]));
        assert!(Presented::read(&wrap(&wrap(&[9; 65]))) == Presented::Malformed);
        assert!(Presented::read(&MAGIC) == Presented::Malformed);
    }

    proptest! {
        #[test]
        fn any_wrapper_is_read_without_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            bytes.extend(MAGIC);
            let _ = Presented::read(&bytes);
        }
    }
}
