//! Addresses with a port. Host names are not resolved: PID 1 is static, and the system's resolver loads libraries.

use std::net::{Ipv4Addr, SocketAddr};

/// Reads `ADDRESS:PORT`, `[ADDRESS]:PORT` or `localhost:PORT`; port 0 is none.
pub(super) fn parse(text: &str) -> Option<SocketAddr> {
    let address = match text.strip_prefix("localhost:") {
        // A sign or a space is no part of a port.
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().ok()?))
        }
        _ => text.parse().ok()?,
    };
    (address.port() != 0).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, wanted) in [
            ("127.0.0.1:5432", Some("127.0.0.1:5432")),
            ("localhost:1", Some("127.0.0.1:1")),
            ("[::1]:65535", Some("[::1]:65535")),
            ("0.0.0.0:9188", Some("0.0.0.0:9188")),
            ("localhost:0", None),
            ("127.0.0.1:0", None),
            ("127.0.0.1:65536", None),
            ("127.0.0.1", None),
            ("::1:5432", None),
            ("localhost:+1", None),
            ("localhost", None),
            ("db:5432", None),
            (":9188", None),
            ("9188", None),
            ("", None),
        ] {
            assert_eq!(parse(text).map(|address| address.to_string()).as_deref(), wanted, "{text}");
        }
    }
}
