//! Calls into C: the one place with `unsafe`.
#![allow(unsafe_code, reason = "this file exists so that no other needs it")]

use std::ffi::c_long;
use std::time::Duration;

use libmimalloc_sys::{mi_option_set_default, mi_option_t};

/// `mi_option_purge_delay` in `mimalloc.h`, the same in its versions 2 and 3; the bindings leave it out.
const PURGE_DELAY: mi_option_t = 15;

/// Makes this process hold little more than what it uses: freed memory goes back to the system after `delay`, not after
/// mimalloc's own second, within which a fast copy frees as much again as it may hold; and no page is a huge one, which
/// would be kept, and zeroed anew, for the sake of a part of it. The environment variable `MIMALLOC_PURGE_DELAY`
/// (milliseconds) goes before `delay`.
pub fn give_memory_back(delay: Duration) {
    let milliseconds = c_long::try_from(delay.as_millis()).unwrap_or(c_long::MAX);
    // SAFETY: the call stores a number in a table that mimalloc reads at any time; an index beyond it is ignored.
    unsafe { mi_option_set_default(PURGE_DELAY, milliseconds) }
    #[cfg(target_os = "linux")]
    // SAFETY: this request takes integers only. Where a kernel does not know it, pages stay as they are.
    unsafe {
        libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0);
    }
}
