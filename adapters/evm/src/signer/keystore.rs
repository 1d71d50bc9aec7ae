//! An encrypted key file: Web3 Secret Storage version 3, as geth, web3.js, ethers and foundry write it.
//!
//! The password comes by reference. The file belongs to the operator, and still nothing in it is believed: lengths and costs
//! are bounded before any work is done, so that a damaged file is an error and neither a panic nor gigabytes of memory.
//! Derivation takes about a second and the memory that the file asks for: it runs beside the asynchronous tasks.

use super::{LocalKey, SecretReference, SignerError};
use acurast_events::bytes::EvmAddress;
use acurast_events::ids::keccak;
use aes::Aes128;
use aes::cipher::{KeyIvInit, StreamCipher};
use serde::Deserialize;
use sha2::Sha256;
use std::io::Read;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// A keystore usually has half a kilobyte.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// What derivation may take: 1 GiB; geth's strongest setting takes 256 MiB.
const SCRYPT_BYTES_MAX: u64 = 1 << 30;
/// n · r · p; geth's strongest setting has 2^21.
const SCRYPT_WORK_MAX: u64 = 1 << 25;
/// Usual are 262,144 rounds.
const PBKDF2_ROUNDS_MAX: u32 = 10_000_000;
/// The first half decrypts, the second authenticates.
const DERIVED_BYTES: usize = 32;
const VERSION: u32 = 3;

/// An encrypted key and where its password is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keystore {
    /// The file.
    pub path: PathBuf,
    /// Its password.
    pub password: SecretReference,
}

#[derive(Deserialize)]
struct File {
    version: u32,
    address: Option<String>,
    // Some writers capitalise it.
    #[serde(alias = "Crypto")]
    crypto: Crypto,
}

#[derive(Deserialize)]
struct Crypto {
    cipher: String,
    cipherparams: CipherParams,
    ciphertext: String,
    #[serde(flatten)]
    kdf: Kdf,
    mac: String,
}

#[derive(Deserialize)]
struct CipherParams {
    iv: String,
}

#[derive(Deserialize)]
#[serde(tag = "kdf", content = "kdfparams", rename_all = "lowercase")]
enum Kdf {
    Scrypt { n: u64, r: u32, p: u32, dklen: u32, salt: String },
    Pbkdf2 { c: u32, prf: String, dklen: u32, salt: String },
}

impl Keystore {
    /// Reads and decrypts the key, on a thread for blocking work.
    ///
    /// # Errors
    /// When file or password can't be read, the file is none or asks for too much, or the password is another one.
    pub async fn unlock(self) -> Result<LocalKey, SignerError> {
        let path = self.path.clone();
        let gone = move |_| SignerError::Keystore { path, reason: "decrypting was cut off".into() };
        tokio::task::spawn_blocking(move || self.decrypt()).await.map_err(gone)?
    }

    fn decrypt(&self) -> Result<LocalKey, SignerError> {
        let wrong = |reason: String| SignerError::Keystore { path: self.path.clone(), reason };
        let mut text = String::new();
        let file = std::fs::File::open(&self.path).map_err(|error| wrong(error.to_string()))?;
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(|error| wrong(error.to_string()))?;
        // The position tells enough: serde's words could repeat what stands there.
        let parsed: File = serde_json::from_str(&text)
            .map_err(|error| wrong(format!("no version 3 keystore (line {}, column {})", error.line(), error.column())))?;
        let password = self.password.read()?;
        decrypt(&parsed, password.as_bytes()).map_err(wrong)
    }
}

fn decrypt(file: &File, password: &[u8]) -> Result<LocalKey, String> {
    let crypto = &file.crypto;
    if file.version != VERSION || crypto.cipher != "aes-128-ctr" {
        return Err(format!("version {} with {:?}; only version {VERSION} with aes-128-ctr is read", file.version, crypto.cipher));
    }
    let (iv, sealed, mac): ([u8; 16], [u8; 32], [u8; 32]) =
        (fixed("iv", &crypto.cipherparams.iv)?, fixed("ciphertext", &crypto.ciphertext)?, fixed("mac", &crypto.mac)?);
    let derived = derive(&crypto.kdf, password)?;
    let (key, authentication) = derived.split_at(16);
    if keccak(&[authentication, &sealed]) != mac {
        return Err("the password is another one, or the file is damaged".into());
    }
    let mut secret = Zeroizing::new(sealed);
    let mut cipher = ctr::Ctr128BE::<Aes128>::new_from_slices(key, &iv).map_err(|error| error.to_string())?;
    cipher.apply_keystream(secret.as_mut());
    let key = LocalKey::from_bytes(&secret).ok_or("it holds no secp256k1 key")?;
    let said = file.address.as_deref().map(|address| fixed("address", address).map(EvmAddress)).transpose()?;
    match said {
        Some(said) if said != key.address() => Err(format!("it says that it is of {said}, its key is of {}", key.address())),
        _ => Ok(key),
    }
}

fn fixed<const N: usize>(name: &str, digits: &str) -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    hex::decode_to_slice(digits.strip_prefix("0x").unwrap_or(digits), &mut bytes)
        .map_err(|_| format!("{name} has to be {N} bytes in hexadecimal digits"))?;
    Ok(bytes)
}

fn derive(kdf: &Kdf, password: &[u8]) -> Result<Zeroizing<[u8; DERIVED_BYTES]>, String> {
    let (Kdf::Scrypt { dklen, salt, .. } | Kdf::Pbkdf2 { dklen, salt, .. }) = kdf;
    // Both functions end in PBKDF2, so that a longer key begins with a shorter one; only the first 32 bytes are used.
    if !(32..=64).contains(dklen) {
        return Err(format!("a derived key of {dklen} bytes; 32 are usual"));
    }
    let salt = hex::decode(salt).map_err(|_| "salt has to be hexadecimal digits".to_owned())?;
    let mut derived = Zeroizing::new([0; DERIVED_BYTES]);
    match kdf {
        Kdf::Scrypt { n, r, p, .. } => {
            let params = scrypt_params(*n, *r, *p)?;
            scrypt::scrypt(password, &salt, &params, derived.as_mut()).map_err(|error| error.to_string())?;
        }
        Kdf::Pbkdf2 { c, prf, .. } => {
            if prf != "hmac-sha256" || !(1..=PBKDF2_ROUNDS_MAX).contains(c) {
                return Err(format!("pbkdf2 with {prf:?} and {c} rounds; only hmac-sha256 with up to {PBKDF2_ROUNDS_MAX} is read"));
            }
            pbkdf2::pbkdf2_hmac::<Sha256>(password, &salt, *c, derived.as_mut());
        }
    }
    Ok(derived)
}

fn scrypt_params(n: u64, r: u32, p: u32) -> Result<scrypt::Params, String> {
    let refused = || format!("scrypt with n = {n}, r = {r}, p = {p} is beyond its bounds or asks for more than 1 GiB");
    let blocks = n.checked_mul(u64::from(r)).ok_or_else(refused)?;
    let bytes = blocks.checked_mul(128).ok_or_else(refused)?;
    let work = blocks.checked_mul(u64::from(p)).ok_or_else(refused)?;
    if !n.is_power_of_two() || n < 2 || bytes > SCRYPT_BYTES_MAX || work > SCRYPT_WORK_MAX {
        return Err(refused());
    }
    let log_n = u8::try_from(n.trailing_zeros()).map_err(|_| refused())?;
    scrypt::Params::new(log_n, r, p).map_err(|_| refused())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::io::Write;

    /// The test vectors of the format's definition: one key under one password.
    const PASSWORD: &str = "testpassword";
    const KEY: &str = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d";

    fn pbkdf2_vector() -> Value {
        json!({
            "crypto": {
                "cipher": "aes-128-ctr", "cipherparams": { "iv": "6087dab2f9fdbbfaddc31a909735c1e6" },
                "ciphertext": "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46",
                "kdf": "pbkdf2",
                "kdfparams": { "c": 262_144, "dklen": 32, "prf": "hmac-sha256", "salt": "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd" },
                "mac": "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2",
            },
            "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6", "version": 3,
        })
    }

    fn scrypt_vector() -> Value {
        json!({
            "crypto": {
                "cipher": "aes-128-ctr", "cipherparams": { "iv": "83dbcc02d8ccb40e466191a123791e0e" },
                "ciphertext": "d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c",
                "kdf": "scrypt",
                "kdfparams": { "dklen": 32, "n": 262_144, "r": 1, "p": 8, "salt": "ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19" },
                "mac": "2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097",
            },
            "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6", "version": 3,
        })
    }

    async fn unlock(content: &str, password: &str) -> Result<LocalKey, SignerError> {
        let (mut file, mut secret) = (tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
        write!(file, "{content}").unwrap();
        writeln!(secret, "{password}").unwrap();
        Keystore { path: file.path().into(), password: SecretReference::File(secret.path().into()) }.unlock().await
    }

    #[tokio::test]
    async fn both_kinds_of_keystore_open_with_their_password_and_with_no_other() {
        let address = LocalKey::from_hex(KEY).unwrap().address();
        for vector in [pbkdf2_vector(), scrypt_vector()] {
            assert_eq!(unlock(&vector.to_string(), PASSWORD).await.unwrap().address(), address);
            let error = unlock(&vector.to_string(), "hunter2").await.unwrap_err().to_string();
            assert!(error.contains("the password is another one") && !error.contains("hunter2"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_keystore_that_names_another_address_is_refused() {
        let mut named = pbkdf2_vector();
        named["address"] = json!(hex::encode(LocalKey::from_hex(KEY).unwrap().address().0));
        assert!(unlock(&named.to_string(), PASSWORD).await.is_ok());
        named["address"] = json!("00000000000000000000000000000000000000ff");
        let error = unlock(&named.to_string(), PASSWORD).await.unwrap_err().to_string();
        assert!(error.contains("it says that it is of 0x00000000000000000000000000000000000000ff"), "{error}");
    }

    #[tokio::test]
    async fn damaged_and_greedy_keystores_are_refused_before_any_work() {
        let changed = |vector: Value, path: &str, to: Value| {
            let mut vector = vector;
            *vector.pointer_mut(path).unwrap() = to;
            vector.to_string()
        };
        let cases = [
            (changed(scrypt_vector(), "/crypto/kdfparams/n", json!(1_u64 << 40)), "more than 1 GiB"),
            (changed(scrypt_vector(), "/crypto/kdfparams/n", json!(262_143)), "beyond its bounds"),
            (changed(scrypt_vector(), "/crypto/kdfparams/n", json!(u64::MAX)), "beyond its bounds"),
            (changed(scrypt_vector(), "/crypto/kdfparams/r", json!(0)), "beyond its bounds"),
            (changed(scrypt_vector(), "/crypto/kdfparams/p", json!(u32::MAX)), "beyond its bounds"),
            (changed(scrypt_vector(), "/crypto/kdfparams/dklen", json!(16)), "derived key of 16 bytes"),
            (changed(pbkdf2_vector(), "/crypto/kdfparams/c", json!(u32::MAX)), "rounds"),
            (changed(pbkdf2_vector(), "/crypto/kdfparams/c", json!(0)), "rounds"),
            (changed(pbkdf2_vector(), "/crypto/kdfparams/prf", json!("hmac-md5")), "hmac-md5"),
            (changed(pbkdf2_vector(), "/crypto/cipherparams/iv", json!("60")), "iv has to be 16 bytes"),
            (changed(pbkdf2_vector(), "/crypto/ciphertext", json!("60")), "ciphertext has to be 32 bytes"),
            (changed(pbkdf2_vector(), "/crypto/cipher", json!("aes-128-cbc")), "only version 3 with aes-128-ctr"),
            (changed(pbkdf2_vector(), "/version", json!(1)), "version 1"),
            (format!("0x{KEY}"), "no version 3 keystore"),
            (String::new(), "no version 3 keystore"),
        ];
        for (content, reason) in cases {
            let error = unlock(&content, PASSWORD).await.unwrap_err().to_string();
            assert!(error.contains(reason) && !error.contains(KEY) && !error.contains(PASSWORD), "{reason}: {error}");
        }
    }
}
