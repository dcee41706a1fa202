//! Certificates for the tests, made by OpenSSL.

use std::path::Path;
use std::process::Command;

/// Makes them in `folder`: `ca.crt` has signed `server.crt`, which is for `localhost`, and `client.crt`; `other.crt` has signed neither.
/// The key of each is in a file that ends in `.key`.
pub(crate) fn make(folder: &Path) {
    let openssl = |arguments: &str| {
        let done = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output();
        let done = done.unwrap_or_else(|error| panic!("openssl does not start ({error}): apt-get install openssl"));
        assert!(done.status.success(), "{arguments}: {}", String::from_utf8_lossy(&done.stderr));
    };
    for name in ["ca", "other"] {
        openssl(&format!(
            "req -x509 -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.crt -subj /CN={name} -days 2"
        ));
    }
    for (name, of) in [("server", "localhost"), ("client", "clerk")] {
        std::fs::write(folder.join("names"), format!("subjectAltName=DNS:{of}\n")).unwrap();
        openssl(&format!("req -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj /CN={of}"));
        openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out {name}.crt -days 2 -extfile names"
        ));
    }
}
