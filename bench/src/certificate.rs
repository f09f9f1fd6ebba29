//! A certificate for a relay on 127.0.0.1 that is trusted by who is told to, made by openssl, good
//! for two days. For measuring, not for serving.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Not an authority: clients refuse those as servers.
const REQUEST: &str = "\
[req]
prompt = no
distinguished_name = name
x509_extensions = extensions
[name]
CN = 127.0.0.1
[extensions]
basicConstraints = critical,CA:FALSE
subjectAltName = IP:127.0.0.1,DNS:localhost
";

/// Makes the certificate and its key in `dir`, which is there; their files.
///
/// # Errors
/// There is no openssl, or it has failed.
pub fn make(dir: &Path) -> io::Result<[PathBuf; 2]> {
    let [request, certificate, key] = ["tls.cnf", "tls.pem", "tls.key"].map(|name| dir.join(name));
    fs::write(&request, REQUEST)?;
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-nodes", "-days", "2", "-newkey", "ec"]);
    openssl.args(["-pkeyopt", "ec_paramgen_curve:prime256v1"]);
    openssl.arg("-config").arg(&request);
    openssl
        .arg("-out")
        .arg(&certificate)
        .arg("-keyout")
        .arg(&key);
    let named = |error: io::Error| io::Error::new(error.kind(), format!("openssl: {error}"));
    let output = openssl.stdin(Stdio::null()).output().map_err(named)?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        let last = words.lines().last().unwrap_or_default();
        return Err(io::Error::other(format!(
            "openssl: {}, {last}",
            output.status
        )));
    }
    Ok([certificate, key])
}
