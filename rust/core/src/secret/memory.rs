//! Cells for secrets: locked memory that no core dump holds and no forked child gets (SPEC section 3, Erasure).
//!
//! A page of the operating system has 64 cells of 64 bytes. Its pages are never given back; a cell is wiped before
//! another secret gets it. There is no lock in here, which a fork could leave held for ever in the child.
//!
//! With its pages, `handover.rs` and `traces.rs`, the only modules with `unsafe` code that is not about instructions of
//! a processor.

use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

use super::page;

/// What a cell holds: one secret, or two.
pub(crate) type Halves = [[u8; 32]; 2];

/// A page, and which of its cells are taken.
struct Page {
    memory: NonNull<u8>,
    taken: AtomicU64,
    /// The process in which it is locked, left out of core dumps, and wiped in children; 0 for none.
    guarded_in: AtomicU32,
    next: AtomicPtr<Page>,
}

/// The first of all pages.
static FIRST: AtomicPtr<Page> = AtomicPtr::new(null_mut());

/// 64 bytes for a secret; zeros at first, wiped on drop.
pub(crate) struct Cell {
    page: &'static Page,
    number: u32,
}

impl Page {
    fn new() -> Self {
        let next = AtomicPtr::new(null_mut());
        Self { memory: page::new(), taken: AtomicU64::new(0), guarded_in: AtomicU32::new(0), next }
    }

    /// The page behind `place`, which is made if there is none.
    #[allow(unsafe_code)]
    fn at(place: &AtomicPtr<Self>) -> &'static Self {
        let mut here = place.load(Ordering::Acquire);
        if here.is_null() {
            let new = Box::into_raw(Box::new(Self::new()));
            here = match place.compare_exchange(null_mut(), new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => new,
                Err(first) => {
                    // SAFETY: nobody else has seen the page that came too late, and nothing points into it.
                    unsafe {
                        page::free(Box::from_raw(new).memory);
                    }
                    first
                }
            };
        }
        // SAFETY: what stands in a place is a leaked box, which is never freed and has no exclusive borrows.
        unsafe { &*here }
    }

    /// Guards the page, if that is still to be done: in a child it is not locked any more.
    fn guard(&self) {
        let here = page::here();
        if self.guarded_in.load(Ordering::Relaxed) != here && page::guard(self.memory) {
            self.guarded_in.store(here, Ordering::Relaxed);
        }
    }

    /// Takes a cell that is free.
    fn take(&self) -> Option<u32> {
        let mut taken = self.taken.load(Ordering::Relaxed);
        while taken != u64::MAX {
            let number = taken.trailing_ones();
            match self.taken.compare_exchange_weak(
                taken,
                taken | 1 << number,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some(number),
                Err(now) => taken = now,
            }
        }
        None
    }
}

impl Cell {
    /// A cell of zeros.
    pub(crate) fn new() -> Self {
        let mut page = Page::at(&FIRST);
        loop {
            if let Some(number) = page.take() {
                page.guard();
                return Self { page, number };
            }
            page = Page::at(&page.next);
        }
    }

    /// Is it in memory that is locked, left out of core dumps, and wiped where a child is forked?
    pub(crate) fn is_guarded(&self) -> bool {
        self.page.guarded_in.load(Ordering::Relaxed) == page::here()
    }

    fn at(&self) -> *mut Halves {
        self.page.memory.as_ptr().cast::<Halves>().wrapping_add(self.number as usize)
    }

    /// What it holds.
    #[inline]
    #[allow(unsafe_code)]
    pub(crate) fn halves(&self) -> &Halves {
        // SAFETY: `number` is below 64, so the cell lies within its page, which is mapped for ever and holds bytes
        // of any value; the cell is this owner's until it is dropped, and `self` is borrowed for as long.
        unsafe { &*self.at() }
    }

    /// The same, to be written.
    #[inline]
    #[allow(unsafe_code)]
    pub(crate) fn halves_mut(&mut self) -> &mut Halves {
        // SAFETY: as in `halves`, and `self` is borrowed exclusively.
        unsafe { &mut *self.at() }
    }
}

// SAFETY: a cell is owned memory; the page behind it is only changed by atomic operations.
#[allow(unsafe_code)]
unsafe impl Send for Cell {}
// SAFETY: as above; shared, a cell is only read.
#[allow(unsafe_code)]
unsafe impl Sync for Cell {}

impl Drop for Cell {
    fn drop(&mut self) {
        if cfg!(feature = "keep-traces") {
            return; // nobody gets this cell again
        }
        crate::hash::wipe(self.halves_mut().as_flattened_mut());
        self.page.taken.fetch_and(!(1 << self.number), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_zeros_apart_from_each_other_and_are_used_again() {
        let mut cells: Vec<Cell> = (0..200).map(|_| Cell::new()).collect();
        for (n, cell) in cells.iter_mut().enumerate() {
            assert_eq!(cell.halves(), &[[0; 32]; 2]);
            *cell.halves_mut() = [[u8::try_from(n).unwrap_or(0); 32]; 2];
        }
        assert!(
            cells.iter().enumerate().all(|(n, cell)| cell
                .halves()
                .as_flattened()
                .iter()
                .all(|b| usize::from(*b) == n))
        );
        let places: Vec<_> = cells.iter().map(Cell::at).collect();
        drop(cells);
        // Other tests take cells meanwhile, but not so many.
        let again: Vec<Cell> = (0..200).map(|_| Cell::new()).collect();
        assert!(again.iter().filter(|cell| places.contains(&cell.at())).count() > 100);
        assert!(again.iter().all(|cell| cell.halves() == &[[0; 32]; 2]));
    }

    #[test]
    fn threads_do_not_get_the_same_cell() {
        let all: Vec<Cell> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| (0..500).map(|_| Cell::new()).collect::<Vec<_>>())).collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()).flatten().collect()
        });
        let mut places: Vec<_> = all.iter().map(|cell| cell.at() as usize).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), 4000);
    }

    /// Does the system do what it is advised? An emulator of another processor says so even of memory that is not there.
    #[cfg(target_os = "linux")]
    #[allow(unsafe_code)]
    fn heeds_advice() -> bool {
        let nowhere = std::ptr::without_provenance_mut(page::PAGE); // below all that a process may map
        // SAFETY: the advice changes nothing that a process can read, and nothing is there.
        unsafe { rustix::mm::madvise(nowhere, page::PAGE, rustix::mm::Advice::LinuxDontDump) }.is_err()
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_operating_system_keeps_cells_locked_out_of_dumps_and_from_children() {
        let cell = Cell::new();
        assert!(cell.is_guarded());
        if !heeds_advice() {
            eprintln!("skipped: what runs this takes any advice on memory, and heeds none, as qemu does");
            return;
        }
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap_or_default();
        let place = cell.at() as usize;
        let mut within = false;
        let flags = maps.lines().find_map(|line| {
            if let Some((from, to)) = line.split_once(' ').and_then(|(range, _)| range.split_once('-')) {
                let at = |text| usize::from_str_radix(text, 16).unwrap_or(0);
                within = (at(from)..at(to)).contains(&place);
            }
            line.strip_prefix("VmFlags:").filter(|_| within)
        });
        let flags: Vec<_> = flags.unwrap_or_default().split(' ').collect();
        assert!(["lo", "dd", "wf"].iter().all(|flag| flags.contains(flag)), "{flags:?}");
    }
}
