//! Arrow lists into the wire form of arrays: dimensions, then the elements in row-major order.
//!
//! Lists of lists become dimensions and must be rectangular. What an array of the server cannot say (a NULL where a
//! dimension should be, dimensions of no element) is refused rather than changed.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray as _, ListArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;

use super::cells::{Cells, Encoded, variable};
use super::check::Check;
use super::{Layout, Refusal, column};

/// Most dimensions that the server has.
const MOST_DIMENSIONS: usize = 6;

/// The levels of lists above the elements, outermost first.
struct Levels {
    lists: Vec<Level>,
    elements: ArrayRef,
}

/// One level: where each list begins and ends among those of the next level.
struct Level {
    nulls: Option<NullBuffer>,
    offsets: Vec<usize>,
}

/// A list and the part of its values that it really uses: a slice of a large array keeps all values.
fn compact(list: &ListArray) -> (Level, ArrayRef) {
    let offsets = list.value_offsets();
    let (start, end) = (offsets[0] as usize, offsets[offsets.len() - 1] as usize);
    let level = Level {
        nulls: list.nulls().cloned(),
        offsets: offsets.iter().map(|&offset| offset as usize - start).collect(),
    };
    (level, list.values().slice(start, end - start))
}

impl Levels {
    fn of(outer: &ListArray) -> Self {
        let (outer, mut elements) = compact(outer);
        let mut lists = vec![outer];
        while let DataType::List(_) = elements.data_type() {
            let (list, inner) = compact(elements.as_list());
            lists.push(list);
            elements = inner;
        }
        Self { lists, elements }
    }

    /// The dimensions of `row`, how many they are, and the range of its elements.
    fn shape(&self, row: usize) -> Result<([usize; MOST_DIMENSIONS], usize, Range<usize>), &'static str> {
        let mut dimensions = [0; MOST_DIMENSIONS];
        let mut count = 0;
        let mut range = row..row + 1;
        for list in &self.lists {
            if list.nulls.as_ref().is_some_and(|nulls| range.clone().any(|at| nulls.is_null(at))) {
                return Err("a NULL stands where the array needs a further dimension");
            }
            let offsets = &list.offsets;
            let length = |at: usize| offsets[at + 1] - offsets[at];
            let first = length(range.start);
            if range.clone().any(|at| length(at) != first) {
                return Err("the inner lists differ in length: an array of the server is rectangular");
            }
            dimensions[count] = first;
            count += 1;
            range = offsets[range.start]..offsets[range.end];
            if first == 0 {
                break;
            }
        }
        match dimensions[..count] {
            [0] => Ok((dimensions, 0, range.start..range.start)),
            [.., 0] => Err("a list of empty lists has no form as an array of the server"),
            _ => Ok((dimensions, count, range)),
        }
    }
}

/// Binary cells of an array column whose elements have type `oid` and `layout`.
pub(super) fn prepare(oid: u32, layout: &Layout, check: Check, array: &ListArray) -> Result<Box<dyn Cells>, Refusal> {
    let levels = Levels::of(array);
    if levels.lists.len() > MOST_DIMENSIONS {
        return Err(Refusal::new(0, "lists are nested deeper than the six dimensions of the server"));
    }
    // A refused element is reported at the row that holds it.
    let elements = column::value(layout, check, &levels.elements)
        .map_err(|refusal| Refusal::new(owner(&levels, refusal.row), refusal.message))?;
    let mut sizes = vec![0; levels.elements.len()];
    elements.measure(0..sizes.len(), &mut sizes);
    let mut out = Encoded::with_capacity(array.len(), 32);
    let mut cursors = Vec::new();
    for row in 0..array.len() {
        if array.is_valid(row) {
            let (dimensions, count, range) = levels.shape(row).map_err(|why| Refusal::new(row, why))?;
            let nulls = levels.elements.nulls().filter(|nulls| range.clone().any(|at| nulls.is_null(at)));
            let mut word = |value: i32| out.bytes.extend_from_slice(&value.to_be_bytes());
            word(count as i32);
            word(i32::from(nulls.is_some()));
            word(oid as i32);
            for length in &dimensions[..count] {
                word(*length as i32);
                word(1);
            }
            let start = out.bytes.len();
            cursors.clear();
            let mut at = start;
            for size in &sizes[range.clone()] {
                cursors.push(at);
                at += size;
            }
            out.bytes.resize(at, 0);
            elements.write(range, &mut out.bytes, &mut cursors);
        }
        out.end();
    }
    Ok(variable(array.nulls(), &[], out))
}

/// The outermost row that holds `element`.
fn owner(levels: &Levels, element: usize) -> usize {
    levels
        .lists
        .iter()
        .rev()
        .fold(element, |at, list| list.offsets.partition_point(|&offset| offset <= at).saturating_sub(1))
}
