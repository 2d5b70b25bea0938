//! What computing with secrets leaves behind it, on the stack and in registers, and how that is wiped.
//!
//! The compiler keeps copies where it likes: in frames of functions that have returned, and in the wide registers,
//! which the dynamic linker, signal handlers and core dumps write to memory. So what touches secrets runs in a frame of
//! its own, and afterwards zeros are written over where that frame and those below it stood.

use std::hint::black_box;

/// Bytes of stack that a few hashes take at most. More would cost each line more.
pub(crate) const LINE: usize = 2 << 10;
/// Bytes of stack that the keys and tags of sixteen lines take at most.
pub(crate) const LINES: usize = 16 << 10;
/// Bytes of stack that anything takes at most: signatures, ciphers, key stretching, and the frame of a signal that came
/// in the midst of a line, which the next statement's signature so wipes.
pub(crate) const ALL: usize = 64 << 10;

/// Does something with secrets, and wipes `DEPTH` bytes of the stack that it used, and the registers.
#[inline]
pub(crate) fn clean<const DEPTH: usize, R>(work: impl FnOnce() -> R) -> R {
    let result = apart(work);
    if cfg!(not(feature = "keep-traces")) {
        overwrite::<DEPTH>();
        clear_registers();
    }
    result
}

#[inline(never)]
fn apart<R>(work: impl FnOnce() -> R) -> R {
    work()
}

/// Takes the place on the stack that `apart` had.
#[inline(never)]
fn overwrite<const DEPTH: usize>() {
    black_box(&mut [0u8; DEPTH]);
}

/// Zeroes the registers that hold what is hashed and copied.
#[cfg(target_arch = "x86_64")]
#[inline]
#[allow(unsafe_code)]
fn clear_registers() {
    use std::arch::asm;

    if !is_x86_feature_detected!("avx") {
        // SAFETY: every x86-64 has these registers, and they are declared as overwritten.
        unsafe {
            asm!(
                "xorps xmm0, xmm0", "xorps xmm1, xmm1", "xorps xmm2, xmm2", "xorps xmm3, xmm3",
                "xorps xmm4, xmm4", "xorps xmm5, xmm5", "xorps xmm6, xmm6", "xorps xmm7, xmm7",
                "xorps xmm8, xmm8", "xorps xmm9, xmm9", "xorps xmm10, xmm10", "xorps xmm11, xmm11",
                "xorps xmm12, xmm12", "xorps xmm13, xmm13", "xorps xmm14, xmm14", "xorps xmm15, xmm15",
                out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
                out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
                out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                options(nomem, nostack, preserves_flags),
            );
        }
        return;
    }
    // SAFETY: the processor has AVX, as was just asked; the registers are declared as overwritten.
    unsafe {
        asm!(
            "vzeroall",
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
            out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
            out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
            out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
            options(nomem, nostack, preserves_flags),
        );
    }
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has AVX-512, as was just asked; the registers are declared as overwritten.
        unsafe {
            asm!(
                "vpxorq zmm16, zmm16, zmm16", "vpxorq zmm17, zmm17, zmm17",
                "vpxorq zmm18, zmm18, zmm18", "vpxorq zmm19, zmm19, zmm19",
                "vpxorq zmm20, zmm20, zmm20", "vpxorq zmm21, zmm21, zmm21",
                "vpxorq zmm22, zmm22, zmm22", "vpxorq zmm23, zmm23, zmm23",
                "vpxorq zmm24, zmm24, zmm24", "vpxorq zmm25, zmm25, zmm25",
                "vpxorq zmm26, zmm26, zmm26", "vpxorq zmm27, zmm27, zmm27",
                "vpxorq zmm28, zmm28, zmm28", "vpxorq zmm29, zmm29, zmm29",
                "vpxorq zmm30, zmm30, zmm30", "vpxorq zmm31, zmm31, zmm31",
                out("xmm16") _, out("xmm17") _, out("xmm18") _, out("xmm19") _,
                out("xmm20") _, out("xmm21") _, out("xmm22") _, out("xmm23") _,
                out("xmm24") _, out("xmm25") _, out("xmm26") _, out("xmm27") _,
                out("xmm28") _, out("xmm29") _, out("xmm30") _, out("xmm31") _,
                options(nomem, nostack, preserves_flags),
            );
        }
    }
}

/// Zeroes the registers that hold what is hashed and copied.
#[cfg(target_arch = "aarch64")]
#[inline]
#[allow(unsafe_code)]
fn clear_registers() {
    // SAFETY: every aarch64 of this target has these registers, and they are declared as overwritten; of v8 to v15,
    // whose lower halves belong to callers, the compiler saves what is needed.
    unsafe {
        std::arch::asm!(
            "movi v0.2d, #0", "movi v1.2d, #0", "movi v2.2d, #0", "movi v3.2d, #0",
            "movi v4.2d, #0", "movi v5.2d, #0", "movi v6.2d, #0", "movi v7.2d, #0",
            "movi v16.2d, #0", "movi v17.2d, #0", "movi v18.2d, #0", "movi v19.2d, #0",
            "movi v20.2d, #0", "movi v21.2d, #0", "movi v22.2d, #0", "movi v23.2d, #0",
            "movi v24.2d, #0", "movi v25.2d, #0", "movi v26.2d, #0", "movi v27.2d, #0",
            "movi v28.2d, #0", "movi v29.2d, #0", "movi v30.2d, #0", "movi v31.2d, #0",
            out("v0") _, out("v1") _, out("v2") _, out("v3") _,
            out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            out("v16") _, out("v17") _, out("v18") _, out("v19") _,
            out("v20") _, out("v21") _, out("v22") _, out("v23") _,
            out("v24") _, out("v25") _, out("v26") _, out("v27") _,
            out("v28") _, out("v29") _, out("v30") _, out("v31") _,
            options(nomem, nostack, preserves_flags),
        );
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn clear_registers() {}
