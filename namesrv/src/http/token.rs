//! The admin token: who holds the data directory may operate the cluster.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use axum::http::{HeaderMap, header};
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// Its file in the data directory.
pub const ADMIN_TOKEN_FILE: &str = "admin-token";

/// A token file is read only up to here.
const TOKEN_BYTES_MAX: u64 = 4096;
const TOKEN_BYTES_MIN: usize = 16;

/// The secret that membership, transfer, snapshot and the alarms' release ask for. It never shows
/// itself in logs.
#[derive(Clone)]
pub struct AdminToken(String);

impl std::fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AdminToken(..)")
    }
}

impl AdminToken {
    /// A token that is already known, of 16 bytes or more of visible ASCII.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(secret: &str) -> Result<Self, String> {
        if secret.len() < TOKEN_BYTES_MIN || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!(
                "an admin token must be at least {TOKEN_BYTES_MIN} visible ASCII characters"
            ));
        }
        Ok(Self(secret.to_owned()))
    }

    /// The secret itself, for the programs that are to be handed it.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// Does the request carry it (`Authorization: Bearer …`)? Takes as long for a nearly right
    /// token as for a wrong one.
    pub(super) fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(value) = headers.get(header::AUTHORIZATION) else { return false };
        let Some((scheme, given)) =
            value.to_str().ok().and_then(|value| value.trim().split_once(' '))
        else {
            return false;
        };
        scheme.eq_ignore_ascii_case("bearer")
            && bool::from(given.trim().as_bytes().ct_eq(self.0.as_bytes()))
    }
}

/// Reads the admin token of this data directory, minting it (mode 0600, synced) at the first start.
///
/// # Errors
/// When the file cannot be read or written, or holds no token.
pub fn admin_token(data_dir: &Path) -> io::Result<AdminToken> {
    let path = data_dir.join(ADMIN_TOKEN_FILE);
    match read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            mint(data_dir, &path)?;
            read(&path)
        }
        other => other,
    }
}

fn read(path: &Path) -> io::Result<AdminToken> {
    let mut text = String::new();
    File::open(path)?.take(TOKEN_BYTES_MAX).read_to_string(&mut text)?;
    AdminToken::new(text.trim()).map_err(|reason| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{}: {reason}; remove the file to have a new one minted", path.display()),
        )
    })
}

/// Writes beside and renames, so that a crash leaves either no token or a whole one.
fn mint(data_dir: &Path, path: &Path) -> io::Result<()> {
    let secret = format!("{}{}\n", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    let draft: PathBuf = path.with_extension("new");
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&draft)?;
    file.write_all(secret.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    File::open(data_dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearing(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().expect("a header value"));
        headers
    }

    #[test]
    fn it_is_minted_once_and_only_for_its_owner() {
        let dir = tempfile::tempdir().expect("temp dir");
        let first = admin_token(dir.path()).expect("minted");
        let again = admin_token(dir.path()).expect("read");
        assert_eq!(first.secret(), again.secret());
        assert_eq!(first.secret().len(), 64);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(dir.path().join(ADMIN_TOKEN_FILE)).expect("file");
            assert_eq!(mode.permissions().mode() & 0o777, 0o600);
        }
        let other = tempfile::tempdir().expect("temp dir");
        assert_ne!(first.secret(), admin_token(other.path()).expect("minted").secret());
    }

    #[test]
    fn an_empty_file_is_refused_not_taken_for_an_empty_token() {
        let dir = tempfile::tempdir().expect("temp dir");
        fs::write(dir.path().join(ADMIN_TOKEN_FILE), "\n").expect("written");
        let error = admin_token(dir.path()).expect_err("no token in it");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn only_the_whole_token_is_admitted() {
        let token = AdminToken::new("0123456789abcdef").expect("long enough");
        assert!(token.admits(&bearing("Bearer 0123456789abcdef")));
        assert!(token.admits(&bearing("bearer  0123456789abcdef ")));
        for wrong in [
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdeF",
            "Bearer 0123456789abcdef0",
            "Bearer ",
            "Bearer",
            "Basic 0123456789abcdef",
            "0123456789abcdef",
        ] {
            assert!(!token.admits(&bearing(wrong)), "{wrong}");
        }
        assert!(!token.admits(&HeaderMap::new()));
        assert!(!format!("{token:?}").contains("0123"));
    }
}
