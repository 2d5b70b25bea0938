//! Descriptors of files that Python holds, and errors as Python makes them.

use std::fs::File;
use std::os::fd::BorrowedFd;

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use rustix::io::Errno;

/// The caller's file, through a duplicate of its descriptor.
#[allow(unsafe_code)]
pub fn file(fd: i32) -> std::io::Result<File> {
    if fd < 0 {
        return Err(std::io::Error::from_raw_os_error(9)); // EBADF
    }
    // SAFETY: the descriptor is open for as long as the Python caller holds its file, which is for the
    // whole call; a stale one makes the duplication fail and nothing else.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    // The standard library duplicates no descriptor on WebAssembly; there are no children that could inherit one.
    #[cfg(target_os = "emscripten")]
    let duplicate = rustix::io::dup(borrowed)?;
    #[cfg(not(target_os = "emscripten"))]
    let duplicate = borrowed.try_clone_to_owned()?;
    Ok(File::from(duplicate))
}

/// The caller's descriptor, for one call.
#[allow(unsafe_code)]
pub fn borrowed<'fd>(fd: i32) -> Result<BorrowedFd<'fd>, Errno> {
    if fd < 0 {
        return Err(Errno::BADF);
    }
    // SAFETY: the descriptor is open for as long as the Python caller holds its file, which is for the
    // whole call; with a stale one the system call fails and nothing else.
    Ok(unsafe { BorrowedFd::borrow_raw(fd) })
}

/// An error of the operating system as Python makes it, with its number.
#[allow(clippy::needless_pass_by_value)] // for map_err
pub fn os_error(error: std::io::Error) -> PyErr {
    match error.raw_os_error() {
        Some(number) => {
            // The library puts the number after the words, Python before them.
            let text = error.to_string();
            let words = text.split(" (os error").next().unwrap_or(&text).to_string();
            PyOSError::new_err((number, words))
        }
        None => PyOSError::new_err(error.to_string()),
    }
}
