// Vector operations that Swift's SIMD types lack or compile to scalar code: min, max, fused multiply-add, rounding,
// conversion, horizontal sums, half-precision loads. Everything is `static inline`, so it disappears into the Swift
// loop that calls it. The vector types are clang's `ext_vector_type`, which Swift imports as `SIMD8<Float>` and so on.
//
// Rounding: `cv_round` rounds half to even, as `nearbyintf` does in the default mode and as ggml's `nearest_int` does.
#ifndef CVECTORS_H
#define CVECTORS_H

#include <stdint.h>
#include <string.h>

typedef float cv_f32x8 __attribute__((ext_vector_type(8)));
typedef float cv_f32x4 __attribute__((ext_vector_type(4)));
typedef int32_t cv_i32x8 __attribute__((ext_vector_type(8)));
typedef uint32_t cv_u32x8 __attribute__((ext_vector_type(8)));
typedef uint8_t cv_u8x8 __attribute__((ext_vector_type(8)));
typedef int8_t cv_i8x8 __attribute__((ext_vector_type(8)));
typedef _Float16 cv_f16x8 __attribute__((ext_vector_type(8)));
typedef uint16_t cv_u16x8 __attribute__((ext_vector_type(8)));
typedef double cv_f64x4 __attribute__((ext_vector_type(4)));

#define CV static inline __attribute__((always_inline))

CV cv_f32x8 cv_splat(float x) { return (cv_f32x8)x; }
CV cv_f32x8 cv_min(cv_f32x8 a, cv_f32x8 b) { return __builtin_elementwise_min(a, b); }
CV cv_f32x8 cv_max(cv_f32x8 a, cv_f32x8 b) { return __builtin_elementwise_max(a, b); }
CV cv_f32x8 cv_abs(cv_f32x8 a) { return __builtin_elementwise_abs(a); }
// a * b + c, rounded once
CV cv_f32x8 cv_fma(cv_f32x8 a, cv_f32x8 b, cv_f32x8 c) { return __builtin_elementwise_fma(a, b, c); }
CV cv_f32x8 cv_round(cv_f32x8 a) { return __builtin_elementwise_roundeven(a); }
CV cv_f32x8 cv_clamp(cv_f32x8 a, cv_f32x8 low, cv_f32x8 high) { return cv_min(cv_max(a, low), high); }

CV cv_i32x8 cv_to_i32(cv_f32x8 a) { return __builtin_convertvector(a, cv_i32x8); }
CV cv_f32x8 cv_from_i32(cv_i32x8 a) { return __builtin_convertvector(a, cv_f32x8); }
CV cv_f32x8 cv_from_u8(cv_u8x8 a) { return __builtin_convertvector(a, cv_f32x8); }
CV cv_f32x8 cv_from_i8(cv_i8x8 a) { return __builtin_convertvector(a, cv_f32x8); }

// Always adds in the same tree: (0+4, 1+5, 2+6, 3+7), then halves. Part of the format of every reproducible sum.
CV float cv_sum(cv_f32x8 a) {
  cv_f32x4 h = a.lo + a.hi;
  float x = h.x + h.z, y = h.y + h.w;
  return x + y;
}
// The first and the last four values in double precision, exactly.
CV cv_f64x4 cv_low_f64(cv_f32x8 a) { return __builtin_convertvector(a.lo, cv_f64x4); }
CV cv_f64x4 cv_high_f64(cv_f32x8 a) { return __builtin_convertvector(a.hi, cv_f64x4); }
CV double cv_sum_f64(cv_f64x4 a) { return (a.x + a.z) + (a.y + a.w); }
CV float cv_largest(cv_f32x8 a) { return __builtin_reduce_max(a); }
CV float cv_smallest(cv_f32x8 a) { return __builtin_reduce_min(a); }

CV cv_f32x8 cv_load(const void *p) { cv_f32x8 v; memcpy(&v, p, sizeof v); return v; }
CV void cv_store(void *p, cv_f32x8 v) { memcpy(p, &v, sizeof v); }
CV cv_u8x8 cv_load_u8(const void *p) { cv_u8x8 v; memcpy(&v, p, sizeof v); return v; }
CV cv_i8x8 cv_load_i8(const void *p) { cv_i8x8 v; memcpy(&v, p, sizeof v); return v; }

// Eight IEEE halves (little-endian) to floats, exactly; signalling NaNs come back quiet.
CV cv_f32x8 cv_load_f16(const void *p) {
  cv_f16x8 v;
  memcpy(&v, p, sizeof v);
  return __builtin_convertvector(v, cv_f32x8);
}
// Eight bfloat16 values to floats, exactly.
CV cv_f32x8 cv_load_bf16(const void *p) {
  cv_u16x8 v;
  memcpy(&v, p, sizeof v);
  cv_u32x8 w = __builtin_convertvector(v, cv_u32x8) << 16;
  cv_f32x8 f;
  memcpy(&f, &w, sizeof f);
  return f;
}
// Rounds half to even.
CV void cv_store_f16(void *p, cv_f32x8 v) {
  cv_f16x8 h = __builtin_convertvector(v, cv_f16x8);
  memcpy(p, &h, sizeof h);
}

// e^x within 2 units in the last place for x in [-87.3, 88.3]; 0 below that range and infinity above it; NaN stays NaN.
// e^x = 2^n e^r with n = round(x / ln 2), r in [-ln2/2, ln2/2]; ln 2 is subtracted in two parts (Cody and Waite), e^r is
// its Taylor polynomial of degree 7, whose remainder there is below 2^-29.
CV cv_f32x8 cv_exp(cv_f32x8 x) {
  cv_f32x8 n = cv_round(x * 1.44269504088896341f);
  cv_f32x8 r = cv_fma(n, cv_splat(-0.693145751953125f), x);
  r = cv_fma(n, cv_splat(-1.42860682030941723e-6f), r);
  cv_f32x8 p = cv_splat(1.0f / 5040);
  p = cv_fma(p, r, cv_splat(1.0f / 720));
  p = cv_fma(p, r, cv_splat(1.0f / 120));
  p = cv_fma(p, r, cv_splat(1.0f / 24));
  p = cv_fma(p, r, cv_splat(1.0f / 6));
  p = cv_fma(p, r, cv_splat(0.5f));
  p = cv_fma(p, r, cv_splat(1.0f));
  p = cv_fma(p, r, cv_splat(1.0f));
  cv_f32x8 bounded = cv_clamp(n, cv_splat(-126.0f), cv_splat(127.0f));
  cv_i32x8 bits = (cv_to_i32(bounded) + 127) << 23;
  cv_f32x8 power;
  memcpy(&power, &bits, sizeof power);
  cv_f32x8 y = p * power;
  cv_i32x8 low = x < -87.33654f, high = x > 88.37626f, bad = x != x;
  y = low ? cv_splat(0.0f) : y;
  y = high ? cv_splat(__builtin_inff()) : y;
  return bad ? x : y;
}

#undef CV
#endif
