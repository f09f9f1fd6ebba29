//! Headers of proxies, as a relay reads them.

use tailwater::limits::PROXY_V2_BYTES_MAX;
use tailwater::net::proxy::parse;

/// Fuzz entry: takes any bytes and panics where a header is read in more than one way: a beginning
/// of what is one is told to wait and never refused, what follows a header changes nothing, and a
/// refusal stands.
pub fn exercise(data: &[u8]) {
    let told = parse(data);
    let bytes = match told {
        Ok(Some(header)) => {
            assert!(header.bytes <= data.len().min(PROXY_V2_BYTES_MAX));
            assert!(
                header
                    .client
                    .is_none_or(|client| !client.ip().to_canonical().is_unspecified())
            );
            header.bytes
        }
        Ok(None) => {
            assert!(data.len() < PROXY_V2_BYTES_MAX, "it would wait for ever");
            data.len()
        }
        Err(_) => data.len().min(PROXY_V2_BYTES_MAX),
    };
    let mut is_refused = false;
    for end in 0..bytes {
        let before = parse(&data[..end]);
        match told {
            Ok(_) => assert_eq!(before, Ok(None), "{end} bytes of {bytes}"),
            Err(_) => assert!(matches!(before, Ok(None) | Err(_)), "{end} bytes are one"),
        }
        assert!(!is_refused || before.is_err(), "refused, then not");
        is_refused = before.is_err();
    }
    let more = [data, b"\r\n\x03 PROXY"].concat();
    match told {
        Ok(Some(_)) | Err(_) => assert_eq!(parse(&more), told),
        Ok(None) => {}
    }
}
