//! Zero without its sign: DuckDB's compression takes the two zeros for one and gives either for both, so it gets one only.

use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, AsArray as _, FixedSizeListArray, ListArray, MapArray, PrimitiveArray, StructArray,
};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float32Type, Float64Type};
use num_traits::{Float, Zero as _};

/// `array` without negative zeros, also within its values.
pub(super) fn unsigned(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Float32 => floats::<Float32Type>(array),
        DataType::Float64 => floats::<Float64Type>(array),
        DataType::List(item) => {
            let lists = array.as_list::<i32>();
            let (offsets, nulls) = (lists.offsets().clone(), lists.nulls().cloned());
            rebuilt(ListArray::try_new(Arc::clone(item), offsets, unsigned(lists.values()), nulls), array)
        }
        DataType::FixedSizeList(item, count) => {
            let lists = array.as_fixed_size_list();
            let values = unsigned(lists.values());
            rebuilt(FixedSizeListArray::try_new(Arc::clone(item), *count, values, lists.nulls().cloned()), array)
        }
        DataType::Struct(fields) if !fields.is_empty() => {
            let structs = array.as_struct();
            let columns = structs.columns().iter().map(unsigned).collect();
            rebuilt(StructArray::try_new(fields.clone(), columns, structs.nulls().cloned()), array)
        }
        DataType::Map(entries, sorted) => {
            let maps = array.as_map();
            let whole: ArrayRef = Arc::new(maps.entries().clone());
            let plain = unsigned(&whole).as_struct().clone();
            let (offsets, nulls) = (maps.offsets().clone(), maps.nulls().cloned());
            rebuilt(MapArray::try_new(Arc::clone(entries), offsets, plain, nulls, *sorted), array)
        }
        _ => Arc::clone(array),
    }
}

fn floats<T: ArrowPrimitiveType<Native: Float>>(array: &ArrayRef) -> ArrayRef {
    let values: &PrimitiveArray<T> = array.as_primitive();
    if values.values().iter().all(|value| !value.is_zero() || value.is_sign_positive()) {
        return Arc::clone(array);
    }
    Arc::new(values.unary::<_, T>(|value| value + T::Native::zero()))
}

/// What was taken apart can be put together.
fn rebuilt<A: arrow::array::Array + 'static>(made: Result<A, arrow::error::ArrowError>, array: &ArrayRef) -> ArrayRef {
    made.map_or_else(|_| Arc::clone(array), |made| Arc::new(made))
}

#[cfg(test)]
mod tests {
    use arrow::array::Float64Array;
    use arrow::datatypes::Field;

    use super::*;

    #[test]
    fn zeros_lose_their_sign_wherever_they_stand() {
        let plain: ArrayRef = Arc::new(Float64Array::from(vec![Some(-0.0), None, Some(f64::NAN), Some(-1.5)]));
        let item = Arc::new(Field::new_list_field(DataType::Float64, true));
        let offsets = arrow::buffer::OffsetBuffer::from_lengths([4]);
        let list: ArrayRef = Arc::new(ListArray::new(item, offsets, Arc::clone(&plain), None));
        for array in [unsigned(&plain), Arc::clone(unsigned(&list).as_list::<i32>().values())] {
            let values = array.as_primitive::<Float64Type>();
            assert_eq!((values.value(0).to_bits(), values.is_null(1)), (0, true));
            assert!(values.value(2).is_nan() && values.value(3) < -1.0);
        }
    }
}
