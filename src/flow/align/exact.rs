//! Exact rescaling of integers: the base of decimals, dates and times.

use std::cmp::Ordering;

use arrow::array::ArrowPrimitiveType;
use arrow::datatypes::{DataType, i256};
use num_traits::AsPrimitive;

use super::Reason;
use super::kernel::{Kernel, primitive};

/// What values are multiplied with or divided by.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ratio<W> {
    Same,
    Times(W),
    Over(W),
    /// Beyond the range of `W`: zero alone can stand it.
    Zero,
}

/// Integers in which a cast computes.
pub(super) trait Wide: Copy + Ord {
    const NOTHING: Self;
    const TWO: Self;
    fn ten_to(power: u32) -> Option<Self>;
    fn times(self, other: Self) -> Self;
    fn quotient(self, other: Self) -> Self;
    /// The sum, if it is within the range.
    fn plus(self, other: Self) -> Option<Self>;
    fn negated(self) -> Self;
}

impl Wide for i128 {
    const NOTHING: Self = 0;
    const TWO: Self = 2;
    fn ten_to(power: u32) -> Option<Self> {
        10i128.checked_pow(power)
    }
    #[inline]
    fn times(self, other: Self) -> Self {
        self.wrapping_mul(other)
    }
    #[inline]
    fn quotient(self, other: Self) -> Self {
        // A division of 128 bits costs ten times one of 64.
        match (i64::try_from(self), i64::try_from(other)) {
            (Ok(one), Ok(other)) => i128::from(one.wrapping_div(other)),
            _ => self.wrapping_div(other),
        }
    }

    fn plus(self, other: Self) -> Option<Self> {
        self.checked_add(other)
    }

    fn negated(self) -> Self {
        self.wrapping_neg()
    }
}

impl Wide for i256 {
    const NOTHING: Self = i256::ZERO;
    const TWO: Self = i256::from_i128(2);
    fn ten_to(power: u32) -> Option<Self> {
        i256::from_i128(10).checked_pow(power)
    }
    fn times(self, other: Self) -> Self {
        self.wrapping_mul(other)
    }
    fn quotient(self, other: Self) -> Self {
        self.wrapping_div(other)
    }

    fn plus(self, other: Self) -> Option<Self> {
        self.checked_add(other)
    }

    fn negated(self) -> Self {
        self.wrapping_neg()
    }
}

impl<W: Wide> Ratio<W> {
    /// `10^power`.
    pub(super) fn ten(power: i32) -> Self {
        match (power.cmp(&0), W::ten_to(power.unsigned_abs())) {
            (Ordering::Equal, _) => Self::Same,
            (_, None) => Self::Zero,
            (Ordering::Greater, Some(factor)) => Self::Times(factor),
            (Ordering::Less, Some(factor)) => Self::Over(factor),
        }
    }

    /// The value in the new scale, and whether it is the same one and within the bounds.
    #[inline]
    pub(super) fn apply(self, value: W, low: W, high: W) -> (W, bool) {
        match self {
            Self::Same => (value, low <= value && value <= high),
            // Nothing overflows where the value is within the bounds divided by the factor.
            Self::Times(factor) => {
                let fits = low.quotient(factor) <= value && value <= high.quotient(factor);
                (value.times(factor), fits)
            }
            Self::Over(factor) => {
                let scaled = value.quotient(factor);
                (scaled, scaled.times(factor) == value && low <= scaled && scaled <= high)
            }
            Self::Zero => (W::NOTHING, value == W::NOTHING),
        }
    }
}

/// The multiple of `10^power`, of which `power` is not 0, that is nearest to `value`, halves away from zero. Where that is beyond the
/// range of `W` it is `value` itself, which then is no multiple.
pub(super) fn nearest_multiple<W: Wide>(value: W, power: u32) -> W {
    // All decimals of a type are nearer to zero than half of a power that it does not hold.
    let Some(unit) = W::ten_to(power) else { return W::NOTHING };
    let half = unit.quotient(W::TWO);
    let below = value.quotient(unit).times(unit);
    let rest = value.plus(below.negated()).unwrap_or(W::NOTHING);
    let step = match rest {
        rest if rest >= half => unit,
        rest if rest <= half.negated() => unit.negated(),
        _ => W::NOTHING,
    };
    below.plus(step).unwrap_or(value)
}

/// Integers by way of 128 bits, each shape of ratio with its own loop.
pub(super) fn ranged<I, O>(to: &DataType, ratio: Ratio<i128>, (low, high): (i128, i128), reason: Reason) -> Kernel
where
    I: ArrowPrimitiveType,
    O: ArrowPrimitiveType,
    I::Native: AsPrimitive<i128>,
    i128: AsPrimitive<O::Native>,
{
    match ratio {
        Ratio::Same => primitive::<I, O>(to, reason, move |value| {
            let value: i128 = value.as_();
            (value.as_(), low <= value && value <= high)
        }),
        Ratio::Times(factor) => {
            let (low, high) = (low / factor, high / factor);
            primitive::<I, O>(to, reason, move |value| {
                let value: i128 = value.as_();
                (value.wrapping_mul(factor).as_(), low <= value && value <= high)
            })
        }
        ratio => primitive::<I, O>(to, reason, move |value| {
            let (value, fits) = ratio.apply(value.as_(), low, high);
            (value.as_(), fits)
        }),
    }
}

pub(super) fn exact256<I, O>(
    scale: i8,
    (to, precision, target): (&DataType, u8, i8),
    widen: impl Fn(I::Native) -> i256 + Send + Sync + 'static,
    narrow: impl Fn(i256) -> O::Native + Send + Sync + 'static,
) -> Kernel
where
    I: ArrowPrimitiveType,
    O: ArrowPrimitiveType,
{
    let high = i256::ten_to(u32::from(precision)).unwrap_or(i256::MAX).wrapping_sub(i256::ONE);
    let low = high.wrapping_neg();
    let ratio = Ratio::<i256>::ten(i32::from(target) - i32::from(scale));
    primitive::<I, O>(to, Reason::Digits, move |value| {
        let (value, fits) = ratio.apply(widen(value), low, high);
        (narrow(value), fits)
    })
}
