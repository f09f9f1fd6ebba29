//! Certificates for tests, made with openssl.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// An authority and what it has signed, in a directory of files.
#[derive(Debug)]
pub struct Authority {
    dir: PathBuf,
}

impl Authority {
    /// A new one with its files in `dir`.
    pub fn new(dir: &Path) -> Self {
        let authority = Self {
            dir: dir.to_owned(),
        };
        authority.request(
            "ca",
            "authority",
            &["-x509", "-days", "2", "-out", "ca.pem"],
        );
        authority
    }

    /// Its own certificate.
    pub fn path(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// Signs a certificate for `host`, a domain name, that is good for so many days, or expires
    /// at once; its file and that of its key, which begin with `file`.
    pub fn sign(&self, file: &str, host: &str, days: u32) -> [String; 2] {
        let names = format!("subjectAltName=DNS:{host},IP:127.0.0.1");
        let [certificate, key, request] =
            ["pem", "key", "csr"].map(|suffix| format!("{file}.{suffix}"));
        let end = "basicConstraints=critical,CA:FALSE";
        let wanted = ["-addext", &names, "-addext", end, "-out", &request];
        self.request(file, host, &wanted);
        self.openssl(&[
            "x509",
            "-req",
            "-copy_extensions",
            "copy",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-in",
            &request,
            "-days",
            &days.to_string(),
            "-out",
            &certificate,
        ]);
        [certificate, key].map(|name| self.dir.join(name).display().to_string())
    }

    fn request(&self, file: &str, host: &str, more: &[&str]) {
        let (subject, key) = (format!("/CN={host}"), format!("{file}.key"));
        let curve = "ec_paramgen_curve:prime256v1";
        let common = [
            "req", "-new", "-nodes", "-newkey", "ec", "-pkeyopt", curve, "-subj", &subject,
            "-keyout", &key,
        ];
        self.openssl(&[&common, more].concat());
    }

    #[track_caller]
    fn openssl(&self, args: &[&str]) {
        let output = Command::new("openssl")
            .current_dir(&self.dir)
            .args(args)
            .stdin(Stdio::null())
            .output()
            .expect("openssl is there");
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {args:?}: {words}");
    }
}
