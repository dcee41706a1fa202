//! Where the library of a driver is, and what is said when it is not there or is another one.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use adbc_core::LOAD_FLAG_DEFAULT;
use adbc_core::options::AdbcVersion;
use adbc_driver_manager::ManagedDriver;
use parking_lot::Mutex;

use super::{Driver, Failure};
use crate::error::{Error, ErrorKind, Result};

/// The folders in which drivers lie, by ADBC's own rule.
const FOLDERS: &str = "ADBC_DRIVER_PATH";
/// The function that every driver has, whatever its name.
const ANY_DRIVER: &str = "AdbcDriverInit";

/// A driver's library, and what is said when it is not there.
#[derive(Clone, Debug)]
pub struct Library {
    /// The product, for messages.
    pub product: Cow<'static, str>,
    /// The name of the library without prefix and extension: `duckdb` for `libduckdb.so`.
    pub name: Cow<'static, str>,
    /// The function by which a driver is told from any other library; none where its file or manifest tells.
    pub entry_point: Option<Cow<'static, str>>,
    /// Where it is looked for.
    pub search: Search,
    /// How to get it.
    pub advice: Cow<'static, str>,
}

/// Where a library is looked for.
#[derive(Clone, Debug)]
pub enum Search {
    /// At this path alone.
    Path(PathBuf),
    /// Where this environment variable says, which names the library or its folder; next to the program; wherever the
    /// system looks for libraries.
    Variable(&'static str),
    /// In the folders of `ADBC_DRIVER_PATH`, next to the program, wherever the system looks for libraries, and as ADBC's
    /// manifest of this name.
    Manifest(String),
}

impl Library {
    /// That of DuckDB, which is its own driver.
    pub const DUCKDB: Self = Self {
        product: Cow::Borrowed("DuckDB"),
        name: Cow::Borrowed("duckdb"),
        entry_point: Some(Cow::Borrowed("duckdb_adbc_init")),
        search: Search::Variable("DUCKDB_LIB"),
        advice: Cow::Borrowed(
            "get libduckdb (DuckDB for C and C++) from https://duckdb.org/install and put the library next to etl, into a \
             folder of LD_LIBRARY_PATH, or name it in DUCKDB_LIB",
        ),
    };

    fn file_name(&self) -> OsString {
        library_name(&self.name)
    }

    /// The driver of this library.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) when there is no such library, [`Unsupported`](ErrorKind::Unsupported) when it is
    /// another one or does not load.
    pub fn driver(&self) -> Result<Driver> {
        static LOADED: LazyLock<Mutex<HashMap<PathBuf, ManagedDriver>>> = LazyLock::new(Mutex::default);
        let path = self.place()?;
        let mut loaded = LOADED.lock();
        if let Some(driver) = loaded.get(&path) {
            return Ok(Driver(driver.clone()));
        }
        let driver = self.load(&path)?;
        loaded.insert(path, driver.clone());
        Ok(Driver(driver))
    }

    fn load(&self, path: &Path) -> Result<ManagedDriver> {
        let entry_point = self.entry_point.as_ref().map(|name| name.as_bytes());
        let loaded = ManagedDriver::load_dynamic_from_filename(path, entry_point, AdbcVersion::V110);
        let failed = |error: adbc_core::error::Error| self.failed(path, &Failure::from(error));
        match (loaded.map_err(failed), &self.search) {
            (Err(error), Search::Manifest(name)) if error.kind() == ErrorKind::NotFound => {
                let told = ManagedDriver::load_from_name(name, entry_point, AdbcVersion::V110, LOAD_FLAG_DEFAULT, None);
                // What is said of manifests says nothing of the library that is missing.
                told.map_err(|_| error)
            }
            (loaded, _) => loaded,
        }
    }

    fn place(&self) -> Result<PathBuf> {
        let file = self.file_name();
        match &self.search {
            Search::Path(path) if path.is_file() => return Ok(std::path::absolute(path)?),
            Search::Path(path) => {
                let error = Error::new(ErrorKind::NotFound, format!("there is no library of {} here", self.product));
                return Err(error.with_hint(self.advice.clone()).at("file", path.display()));
            }
            Search::Variable(variable) => {
                if let Some(told) = std::env::var_os(variable).filter(|told| !told.is_empty()) {
                    return self.told(variable, PathBuf::from(told), &file);
                }
            }
            Search::Manifest(_) => {
                let folders = std::env::var_os(FOLDERS).unwrap_or_default();
                let found =
                    std::env::split_paths(&folders).map(|folder| folder.join(&file)).find(|path| path.is_file());
                if let Some(path) = found {
                    return Ok(std::path::absolute(path)?);
                }
            }
        }
        let program = std::env::current_exe().ok();
        let folder = program.as_deref().and_then(Path::parent);
        let beside = folder.map(|folder| folder.join(&file)).filter(|path| path.is_file());
        Ok(beside.unwrap_or_else(|| PathBuf::from(file)))
    }

    /// Where `variable` says, which is not passed over.
    fn told(&self, variable: &str, told: PathBuf, file: &OsStr) -> Result<PathBuf> {
        let path = if told.is_dir() { told.join(file) } else { told };
        if path.is_file() {
            return Ok(std::path::absolute(path)?);
        }
        let message = format!("{variable} says that the library of {} is here, and it is not", self.product);
        Err(Error::new(ErrorKind::NotFound, message).with_hint(self.advice.clone()).at("file", path.display()))
    }

    fn failed(&self, path: &Path, failure: &Failure) -> Error {
        let message = &failure.message;
        let product = &self.product;
        // A library that is there may want another one that is not.
        if !path.is_file() && (message.contains("No such file") || message.contains("image not found")) {
            let message = format!("the library of {product}, {}, is not on this machine", self.file_name().display());
            return Error::new(ErrorKind::NotFound, message)
                .with_hint(self.advice.clone())
                .with_source(failure.clone());
        }
        let entry_point = self.entry_point.as_deref().unwrap_or(ANY_DRIVER);
        let sentence = if message.contains(entry_point) || message.contains("undefined symbol") {
            format!("this is no library of {product} that speaks ADBC: it has no function {entry_point}")
        } else {
            format!("the library of {product} does not load")
        };
        let error = Error::new(ErrorKind::Unsupported, sentence).with_hint(self.advice.clone());
        error.with_source(failure.clone()).at("file", path.display())
    }
}

/// The name that the system gives a library: `libduckdb.so`.
fn library_name(name: &str) -> OsString {
    OsString::from(format!("{}{name}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX))
}
