//! Handshakes of any bytes.

use proptest::prelude::*;
use tailwater_rtmp_exercise::leaves;

proptest! {
    #[test]
    fn arbitrary_bytes_are_read_alike_however_cut(
        mut data in prop::collection::vec(any::<u8>(), 0..4000),
        is_rtmp in any::<bool>(),
    ) {
        if let (true, Some(version)) = (is_rtmp, data.get_mut(1)) {
            *version = 3;
        }
        leaves::handshake(&data);
    }
}
