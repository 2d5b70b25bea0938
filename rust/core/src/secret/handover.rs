//! A page that two processes share for a moment: how secrets go from one to the other (SPEC section 3, Erasure).
//!
//! A pipe would leave them in memory of the operating system that nobody wipes. This page is locked and left out of
//! core dumps in both processes, a forked child does not get it, and whoever takes the secrets wipes it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::{NonNull, null_mut};

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};

use super::traces::{LINE, clean};
use super::value::{Secret, check_usable, not_locked};
use crate::Error;

/// Bytes of the page.
const PAGE: usize = 4096;

/// What it holds: secrets, and a text with its length.
#[repr(C)]
struct Content {
    secrets: [[u8; 32]; 2],
    length: u8,
    text: [u8; 255],
}

/// A page shared with another process.
pub struct Handover {
    memory: NonNull<u8>,
    fd: OwnedFd,
}

impl Handover {
    /// A new page, of zeros.
    ///
    /// # Errors
    /// [`Error::Seal`] if the operating system gives none, or does not lock it.
    pub fn new() -> Result<Self, Error> {
        Self::map(make().map_err(refused)?)
    }

    /// The page of a descriptor that the process which made it handed on.
    ///
    /// # Errors
    /// [`Error::Seal`] as for [`new`](Self::new), or if the descriptor is that of something else.
    pub fn at(fd: OwnedFd) -> Result<Self, Error> {
        let size = rustix::fs::fstat(&fd).map_err(refused)?.st_size;
        if usize::try_from(size) != Ok(PAGE) {
            return Err(Error::Seal(
                "the descriptor for handing secrets over is that of something else".into(),
            ));
        }
        Self::map(fd)
    }

    #[allow(unsafe_code)]
    fn map(fd: OwnedFd) -> Result<Self, Error> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the mapping is new, at no address of anybody's, and not longer than what is behind the descriptor,
        // which nobody can shorten.
        let mapped = unsafe { rustix::mm::mmap(null_mut(), PAGE, access, MapFlags::SHARED, &fd, 0) };
        let at = mapped.map_err(refused)?;
        let memory = NonNull::new(at.cast::<u8>()).ok_or_else(|| refused(Errno::NOMEM))?;
        let page = Self { memory, fd };
        // SAFETY: the page is mapped as long as `page` lives; none of this changes what it holds.
        unsafe { rustix::mm::mlock(at, PAGE) }.map_err(|_| not_locked())?;
        #[cfg(target_os = "linux")]
        for advice in [rustix::mm::Advice::LinuxDontDump, rustix::mm::Advice::LinuxDontFork] {
            // SAFETY: as above.
            unsafe { rustix::mm::madvise(at, PAGE, advice) }.map_err(|_| not_locked())?;
        }
        Ok(page)
    }

    /// Puts one secret or two into the page.
    ///
    /// # Errors
    /// [`Error::Seal`] if a secret must not be used, see [`check_usable`].
    pub(crate) fn put(&mut self, secrets: &[&Secret]) -> Result<(), Error> {
        check_usable(secrets)?;
        clean::<LINE, _>(|| {
            for (half, secret) in self.content().secrets.iter_mut().zip(secrets) {
                *half = *secret.expose();
            }
        });
        Ok(())
    }

    /// Takes the secrets out of the page, and wipes it.
    ///
    /// # Errors
    /// [`Error::Seal`] if fewer were put there.
    pub(crate) fn take<const N: usize>(&mut self) -> Result<[Secret; N], Error> {
        let secrets: Vec<Secret> =
            clean::<LINE, _>(|| self.content().secrets.iter_mut().take(N).map(Secret::take).collect());
        if secrets.iter().any(Secret::is_wiped) {
            return Err(Error::Seal("no secret was handed over".into()));
        }
        secrets.try_into().map_err(|_| Error::Seal("no secret was handed over".into()))
    }

    /// Puts a short text into the page, such as a head, and wipes where it came from.
    ///
    /// # Errors
    /// [`Error::Format`] if it has more than 255 bytes.
    pub fn put_text(&mut self, text: &mut [u8]) -> Result<(), Error> {
        let content = self.content();
        let length =
            u8::try_from(text.len()).map_err(|_| Error::Format("it is too long to be a head".into()))?;
        content.text[..text.len()].copy_from_slice(text);
        content.length = length;
        crate::hash::wipe(text);
        Ok(())
    }

    /// Takes a text out of the page; its holder wipes it.
    pub fn take_text(&mut self) -> Vec<u8> {
        let content = self.content();
        let text = content.text[..usize::from(content.length)].to_vec();
        content.length = 0;
        crate::hash::wipe(&mut content.text);
        text
    }

    /// Wipes the page, for both processes.
    pub fn wipe(&mut self) {
        if cfg!(not(feature = "keep-traces")) {
            crate::hash::wipe(self.content().secrets.as_flattened_mut());
            crate::hash::wipe(&mut self.content().text);
        }
    }

    #[allow(unsafe_code)]
    fn content(&mut self) -> &mut Content {
        // SAFETY: the page is mapped for reading and writing as long as `self` lives, is longer than this and aligned
        // for more, and holds bytes of any value. The other process writes to it only while this one waits for its
        // message.
        unsafe { self.memory.cast::<Content>().as_mut() }
    }
}

impl AsFd for Handover {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Handover {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        self.wipe();
        // SAFETY: the page was mapped by `map`, and nothing points into it any more.
        let _ = unsafe { rustix::mm::munmap(self.memory.as_ptr().cast(), PAGE) };
    }
}

// SAFETY: a mapping is owned memory, and all access to it goes through `&mut self`.
#[allow(unsafe_code)]
unsafe impl Send for Handover {}
// SAFETY: as above; shared, only its descriptor can be looked at.
#[allow(unsafe_code)]
unsafe impl Sync for Handover {}

fn refused(error: Errno) -> Error {
    Error::Seal(format!("no memory can be shared with the process that opens sealing states: {error}"))
}

/// Memory that no directory names, of the length of the page.
#[cfg(target_os = "linux")]
fn make() -> Result<OwnedFd, Errno> {
    use rustix::fs::{MemfdFlags, SealFlags};

    let fd = rustix::fs::memfd_create("tallystick", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    rustix::fs::ftruncate(&fd, PAGE as u64)?;
    rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(fd)
}

/// Memory whose name is taken away at once, of the length of the page.
#[cfg(not(target_os = "linux"))]
fn make() -> Result<OwnedFd, Errno> {
    use rustix::shm::{Mode, OFlags, open, unlink};
    use std::sync::atomic::{AtomicU32, Ordering};

    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("/tallystick.{}.{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let fd = open(&name, OFlags::CREATE | OFlags::EXCL | OFlags::RDWR, Mode::RUSR | Mode::WUSR)?;
    unlink(&name)?;
    rustix::fs::ftruncate(&fd, PAGE as u64)?;
    Ok(fd)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn pair() -> (Handover, Handover) {
        let one = Handover::new().unwrap();
        let other = Handover::at(one.as_fd().try_clone_to_owned().unwrap()).unwrap();
        (one, other)
    }

    #[test]
    fn secrets_arrive_and_leave_zeros_behind() {
        let (mut one, mut other) = pair();
        one.put(&[&Secret::take(&mut [1; 32]), &Secret::take(&mut [2; 32])]).unwrap();
        let [a, b] = other.take().unwrap();
        assert_eq!((a.expose(), b.expose()), (&[1; 32], &[2; 32]));
        assert_eq!(one.content().secrets, [[0; 32]; 2]);
        assert!(other.take::<1>().is_err());
    }

    #[test]
    fn what_is_not_taken_goes_with_the_first_of_both() {
        let (mut one, mut other) = pair();
        one.put(&[&Secret::take(&mut [1; 32])]).unwrap();
        drop(one);
        assert!(other.take::<1>().is_err());
    }

    #[test]
    fn a_text_arrives_and_its_source_is_wiped() {
        let (mut one, mut other) = pair();
        let mut head = *b"tallyhead";
        one.put_text(&mut head).unwrap();
        assert_eq!(head, [0; 9]);
        assert_eq!(other.take_text(), b"tallyhead");
        assert_eq!(one.content().text, [0; 255]);
        assert!(one.put_text(&mut [1; 256]).is_err());
    }

    #[test]
    fn nothing_else_passes_for_such_a_page() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(Handover::at(file.into()).is_err());
    }
}
