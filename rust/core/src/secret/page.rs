//! One page of memory, as the operating system gives and guards it.
//!
//! Where there is no `mmap` and no `mlock`, such as on Windows and in WebAssembly, pages come from the allocator and
//! nothing guards them: secrets there are wiped as everywhere, but nothing is sealed with them.

use std::ptr::NonNull;

pub(super) use system::{free, guard, here, new};

/// Bytes of a page, and no more than the least that an operating system has.
pub(super) const PAGE: usize = 4096;

#[cfg(unix)]
mod system {
    use std::alloc::{Layout, handle_alloc_error};
    use std::ptr::null_mut;

    use rustix::mm::{MapFlags, ProtFlags};

    use super::{NonNull, PAGE};

    /// A page of zeros. Without memory there is no going on, as for any allocation.
    #[allow(unsafe_code)]
    pub(crate) fn new() -> NonNull<u8> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the mapping is new and at no address of anybody's.
        let mapped = unsafe { rustix::mm::mmap_anonymous(null_mut(), PAGE, access, MapFlags::PRIVATE) };
        let memory = mapped.ok().and_then(|at| NonNull::new(at.cast::<u8>()));
        memory.unwrap_or_else(|| handle_alloc_error(Layout::new::<[u8; PAGE]>()))
    }

    /// Gives a page back.
    ///
    /// # Safety
    /// It is of [`new`], and nothing points into it any more.
    #[allow(unsafe_code)]
    pub(crate) unsafe fn free(memory: NonNull<u8>) {
        // SAFETY: as promised.
        let _ = unsafe { rustix::mm::munmap(memory.as_ptr().cast(), PAGE) };
    }

    /// The process for which pages are guarded now; a forked child is another one.
    pub(crate) fn here() -> u32 {
        std::process::id()
    }

    /// Locks a page, leaves it out of core dumps, and has it wiped in forked children; did all that work?
    #[allow(unsafe_code)]
    pub(crate) fn guard(memory: NonNull<u8>) -> bool {
        let at = memory.as_ptr().cast();
        // SAFETY: the page is ours and mapped for ever; none of this changes what it holds for this process.
        let locked = unsafe { rustix::mm::mlock(at, PAGE) }.is_ok();
        #[cfg(target_os = "linux")]
        {
            // SAFETY: as above.
            let advised = [rustix::mm::Advice::LinuxDontDump, rustix::mm::Advice::LinuxWipeOnFork]
                .map(|advice| unsafe { rustix::mm::madvise(at, PAGE, advice) }.is_ok());
            locked && advised == [true; 2]
        }
        #[cfg(not(target_os = "linux"))]
        locked
    }
}

#[cfg(not(unix))]
mod system {
    use super::{NonNull, PAGE};

    /// A page of zeros.
    pub(crate) fn new() -> NonNull<u8> {
        NonNull::from(Box::leak(Box::new([0u8; PAGE]))).cast()
    }

    /// Gives a page back.
    ///
    /// # Safety
    /// It is of [`new`], and nothing points into it any more.
    #[allow(unsafe_code)]
    pub(crate) unsafe fn free(memory: NonNull<u8>) {
        // SAFETY: as promised, it is a leaked box that nobody has.
        drop(unsafe { Box::from_raw(memory.cast::<[u8; PAGE]>().as_ptr()) });
    }

    /// A number that no page is guarded for.
    pub(crate) fn here() -> u32 {
        u32::MAX
    }

    /// Never.
    pub(crate) fn guard(_: NonNull<u8>) -> bool {
        false
    }
}
