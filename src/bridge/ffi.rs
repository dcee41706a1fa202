//! Calls into C: the one place with `unsafe`.
#![allow(unsafe_code, reason = "this file exists so that no other needs it")]

use std::ffi::{CStr, c_char, c_long, c_void};
use std::fs::File;
use std::ops::Range;
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd as _;
use std::time::Duration;

#[cfg(feature = "connectorx")]
use arrow::array::{RecordBatch, StructArray};
#[cfg(feature = "connectorx")]
use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema};
use libmimalloc_sys::{mi_option_set_default, mi_option_t, mi_stats_print_out};

/// `mi_option_purge_delay` in `mimalloc.h`, the same in its versions 2 and 3; the bindings leave it out.
const PURGE_DELAY: mi_option_t = 15;

/// Makes this process hold little more than what it uses: what is freed goes back soon ([`give_back_after`]); and no page is a huge
/// one, which would be kept, and zeroed anew, for the sake of a part of it.
pub fn give_memory_back(delay: Duration) {
    give_back_after(delay);
    #[cfg(target_os = "linux")]
    // SAFETY: this request takes integers only. Where a kernel does not know it, pages stay as they are.
    unsafe {
        libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0);
    }
}

/// From now on freed memory goes back to the system after `delay`, not after mimalloc's own second, within which a fast copy frees as
/// much again as it may hold. The environment variable `MIMALLOC_PURGE_DELAY` (milliseconds) goes before `delay`.
pub fn give_back_after(delay: Duration) {
    let milliseconds = c_long::try_from(delay.as_millis()).unwrap_or(c_long::MAX);
    // SAFETY: the call stores a number in a table that mimalloc reads at any time; an index beyond it is ignored.
    unsafe { mi_option_set_default(PURGE_DELAY, milliseconds) }
}

/// Lets the system read `range` of `file` ahead into its own cache. Where it does not, who reads the range waits for the disk.
pub fn read_ahead(file: &File, range: &Range<u64>) {
    #[cfg(target_os = "linux")]
    if let (Ok(start), Ok(length)) =
        (libc::off_t::try_from(range.start), libc::off_t::try_from(range.end.saturating_sub(range.start)))
    {
        // SAFETY: the call takes integers only, and the descriptor is open as long as `file` is borrowed.
        unsafe {
            libc::posix_fadvise(file.as_raw_fd(), start, length, libc::POSIX_FADV_WILLNEED);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (file, range);
}

/// Bytes of what mimalloc tells, at most.
const REPORT_BYTES: usize = 64 << 10;

/// What mimalloc tells of the memory that it has given out: some dozen lines, all zero where it is not the allocator.
pub fn allocator_report() -> String {
    let mut report: Vec<u8> = Vec::with_capacity(REPORT_BYTES);
    // SAFETY: `add` gets the vector, which nobody else has during the call, and texts that end in a zero byte.
    unsafe { mi_stats_print_out(Some(add), (&raw mut report).cast()) }
    String::from_utf8_lossy(&report).into_owned()
}

/// Adds `text` to `report` as far as there is room: the allocator that is at work is not asked for more.
unsafe extern "C" fn add(text: *const c_char, report: *mut c_void) {
    // SAFETY: as the only caller says.
    let (text, report) = unsafe { (CStr::from_ptr(text).to_bytes(), &mut *report.cast::<Vec<u8>>()) };
    let room = report.capacity() - report.len();
    report.extend_from_slice(&text[..text.len().min(room)]);
}

#[cfg(feature = "connectorx")]
const _: () = {
    use arrow56::ffi::{FFI_ArrowArray as OtherArray, FFI_ArrowSchema as OtherSchema};
    assert!(size_of::<OtherArray>() == size_of::<FFI_ArrowArray>(), "both are the ArrowArray of the C Data Interface");
    assert!(size_of::<OtherSchema>() == size_of::<FFI_ArrowSchema>(), "both are its ArrowSchema");
};

/// `batch` of Arrow 56 as one of ours. The buffers stay where they are, and are freed by who made them.
///
/// # Errors
/// Where a type of it is none of ours.
#[cfg(feature = "connectorx")]
pub fn of_arrow56(batch: arrow56::array::RecordBatch) -> crate::error::Result<RecordBatch> {
    use arrow56::array::Array as _;

    let rows = arrow56::array::StructArray::from(batch).to_data();
    let (array, schema) = arrow56::ffi::to_ffi(&rows).map_err(|source| {
        crate::error::Error::new(crate::error::ErrorKind::Unsupported, "a column has a type that is not handed over")
            .with_source(source)
    })?;
    // SAFETY: on both sides these are the structures that the C Data Interface fixes, of which the sizes are compared above.
    // They are moved, so that each is released once.
    let (array, schema) = unsafe {
        (
            std::mem::transmute::<arrow56::ffi::FFI_ArrowArray, FFI_ArrowArray>(array),
            std::mem::transmute::<arrow56::ffi::FFI_ArrowSchema, FFI_ArrowSchema>(schema),
        )
    };
    // SAFETY: `array` was made for `schema` just now, by Arrow itself.
    let rows = unsafe { arrow::ffi::from_ffi(array, &schema) }?;
    Ok(RecordBatch::from(StructArray::from(rows)))
}

#[cfg(all(test, feature = "connectorx"))]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Array as _, AsArray as _};
    use arrow::datatypes::Int64Type;
    use arrow56::array::{Array as _, ArrayRef, Int64Array, RecordBatch, StringArray};

    /// Where the buffers of an array lie, its validity last.
    macro_rules! addresses {
        ($array:expr) => {{
            let data = $array.to_data();
            let mut all: Vec<usize> = data.buffers().iter().map(|buffer| buffer.as_ptr() as usize).collect();
            all.extend(data.nulls().map(|nulls| nulls.buffer().as_ptr() as usize));
            all
        }};
    }

    #[test]
    fn buffers_stay_where_they_are() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(i64::MIN)]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("ü"), Some(""), None]));
        let before = [addresses!(numbers), addresses!(texts)].concat();
        let batch = RecordBatch::try_from_iter([("n", numbers), ("t", texts)]).unwrap();
        let batch = super::of_arrow56(batch).unwrap();
        let after = [addresses!(batch.column(0)), addresses!(batch.column(1))].concat();
        assert_eq!((before.len(), &after), (5, &before));
        let numbers: Vec<Option<i64>> = batch.column(0).as_primitive::<Int64Type>().iter().collect();
        assert_eq!(numbers, [Some(1), None, Some(i64::MIN)]);
        let texts: Vec<Option<&str>> = batch.column(1).as_string::<i32>().iter().collect();
        assert_eq!(texts, [Some("ü"), Some(""), None]);
        assert_eq!(batch.schema().field(1).name(), "t");
    }
}
