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
// Eight 8-bit floats to floats, exactly, by way of halves. E5M2 is a half without its low byte; E4M3 has its exponent's
// bias 8 lower, and its one NaN (0x7F) becomes a half's.
CV cv_f32x8 cv_load_f8_e5m2(const void *p) {
  cv_u16x8 v = __builtin_convertvector(cv_load_u8(p), cv_u16x8) << 8;
  return cv_load_f16(&v);
}
CV cv_f32x8 cv_load_f8_e4m3(const void *p) {
  cv_u16x8 v = __builtin_convertvector(cv_load_u8(p), cv_u16x8), magnitude = v & 0x7F;
  cv_u16x8 nan = ((magnitude + 1) >> 7) * 0x7E00;
  v = (v & 0x80) << 8 | magnitude << 7 | nan;
  return cv_load_f16(&v) * 256.0f;
}
// Rounds half to even.
CV void cv_store_f16(void *p, cv_f32x8 v) {
  cv_f16x8 h = __builtin_convertvector(v, cv_f16x8);
  memcpy(p, &h, sizeof h);
}

// Rounds half to even; what lies beyond the largest bfloat16 becomes infinite. Not for NaN.
CV void cv_store_bf16(void *p, cv_f32x8 v) {
  cv_u32x8 w;
  memcpy(&w, &v, sizeof w);
  cv_u16x8 h = __builtin_convertvector((w + 0x7FFFu + ((w >> 16) & 1u)) >> 16, cv_u16x8);
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

// Matrix product: a tile of 6 by 16 (or 6 by 32) sums over k, each a chain of fused multiply-adds in the order of k, so
// that an element's bits do not depend on the tile it lies in, nor on the width of the machine's vectors.

// out[k][6] = rows[6][k], rows `stride` elements apart, those from `count` on zero. `out` has room for 2 more elements.
CV void cv_pack6(const float *x, long stride, long count, long k, float *out) {
  for (long i = 0; i < k; i++) {
    for (long j = 0; j < 6; j++) out[i * 6 + j] = j < count ? x[j * stride + i] : 0;
  }
}

#define CV_LOW(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 4, 12, 5, 13)
#define CV_HIGH(a, b) __builtin_shufflevector(a, b, 2, 10, 3, 11, 6, 14, 7, 15)
#define CV_EVEN(a, b) __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13)
#define CV_ODD(a, b) __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15)
#define CV_FRONT(a, b) __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11)
#define CV_BACK(a, b) __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15)

// Rows become columns.
CV void cv_transpose8(cv_f32x8 r[8]) {
  cv_f32x8 a0 = CV_LOW(r[0], r[1]), a1 = CV_HIGH(r[0], r[1]), a2 = CV_LOW(r[2], r[3]), a3 = CV_HIGH(r[2], r[3]);
  cv_f32x8 a4 = CV_LOW(r[4], r[5]), a5 = CV_HIGH(r[4], r[5]), a6 = CV_LOW(r[6], r[7]), a7 = CV_HIGH(r[6], r[7]);
  cv_f32x8 b0 = CV_EVEN(a0, a2), b1 = CV_ODD(a0, a2), b2 = CV_EVEN(a1, a3), b3 = CV_ODD(a1, a3);
  cv_f32x8 b4 = CV_EVEN(a4, a6), b5 = CV_ODD(a4, a6), b6 = CV_EVEN(a5, a7), b7 = CV_ODD(a5, a7);
  r[0] = CV_FRONT(b0, b4), r[1] = CV_FRONT(b1, b5), r[2] = CV_FRONT(b2, b6), r[3] = CV_FRONT(b3, b7);
  r[4] = CV_BACK(b0, b4), r[5] = CV_BACK(b1, b5), r[6] = CV_BACK(b2, b6), r[7] = CV_BACK(b3, b7);
}

// The same as cv_pack6 with six whole rows, eight columns at a time; writes up to 2 elements behind its end.
CV void cv_pack6_whole(const float *x, long stride, long k, float *out) {
  long i = 0;
  for (; i + 8 <= k; i += 8) {
    cv_f32x8 r[8];
    for (long j = 0; j < 6; j++) r[j] = cv_load(x + j * stride + i);
    r[6] = r[7] = cv_splat(0);
    cv_transpose8(r);
    for (long j = 0; j < 8; j++) cv_store(out + (i + j) * 6, r[j]);
  }
  cv_pack6(x + i, stride, 6, k - i, out + i * 6);
}

// out[k][16] = rows[16][k]; rows from `count` on are zero.
CV void cv_pack16(const float *w, long stride, long count, long k, float *out) {
  for (long half = 0; half < 16; half += 8) {
    long i = 0;
    if (half + 8 <= count) {
      for (; i + 8 <= k; i += 8) {
        cv_f32x8 r[8];
        for (long j = 0; j < 8; j++) r[j] = cv_load(w + (half + j) * stride + i);
        cv_transpose8(r);
        for (long j = 0; j < 8; j++) cv_store(out + (i + j) * 16 + half, r[j]);
      }
    }
    for (; i < k; i++) {
      for (long j = half; j < half + 8; j++) out[i * 16 + j] = j < count ? w[j * stride + i] : 0;
    }
  }
}

// c[6][16] (+)= a[k][6] times b[k][16]; rows of c lie `stride` elements apart. Where `guard` is not null, its numbers stay
// 0 as long as everything that is written is a number (or become NaN, in rare cases though it is).
CV void cv_tile16(long k, const float *a, const float *b, float *c, long stride, int accumulate, float *guard) {
  cv_f32x8 s[6][2];
  // Rows of c lie pages apart: asked for now, they are there when the sums are.
  for (int t = 0; t < 6; t++) {
    s[t][0] = s[t][1] = cv_splat(0);
    __builtin_prefetch(c + t * stride, 1);
  }
#pragma clang loop unroll_count(4)
  for (long i = 0; i < k; i++, a += 6, b += 16) {
    cv_f32x8 low = cv_load(b), high = cv_load(b + 8);
#pragma clang loop unroll(full)
    for (int t = 0; t < 6; t++) {
      cv_f32x8 x = cv_splat(a[t]);
      s[t][0] = cv_fma(x, low, s[t][0]);
      s[t][1] = cv_fma(x, high, s[t][1]);
    }
  }
  cv_f32x8 sum = cv_splat(0);
  for (int t = 0; t < 6; t++, c += stride) {
    cv_f32x8 low = accumulate ? cv_load(c) + s[t][0] : s[t][0];
    cv_f32x8 high = accumulate ? cv_load(c + 8) + s[t][1] : s[t][1];
    cv_store(c, low);
    cv_store(c + 8, high);
    sum += low + high;
  }
  if (guard) cv_store(guard, cv_load(guard) + sum * 0);
}

#if defined(__x86_64__)
typedef float cv_f32x16 __attribute__((ext_vector_type(16)));

static inline int cv_has_wide_tiles(void) { return __builtin_cpu_supports("avx512f"); }

// Two tiles side by side, for machines with AVX-512: b is two panels [k][16], `gap` elements apart.
__attribute__((target("avx512f"), noinline, unused)) static void cv_tile32(
    long k, const float *a, const float *b, long gap, float *c, long stride, int accumulate, float *guard) {
  cv_f32x16 s[6][2];
  for (int t = 0; t < 6; t++) s[t][0] = s[t][1] = (cv_f32x16)0.0f;
  for (long i = 0; i < k; i++, a += 6, b += 16) {
    cv_f32x16 low, high;
    __builtin_memcpy(&low, b, sizeof low);
    __builtin_memcpy(&high, b + gap, sizeof high);
#pragma clang loop unroll(full)
    for (int t = 0; t < 6; t++) {
      cv_f32x16 x = (cv_f32x16)a[t];
      s[t][0] = __builtin_elementwise_fma(x, low, s[t][0]);
      s[t][1] = __builtin_elementwise_fma(x, high, s[t][1]);
    }
  }
  cv_f32x16 sum = (cv_f32x16)0.0f;
  for (int t = 0; t < 6; t++, c += stride) {
    cv_f32x16 low, high;
    __builtin_memcpy(&low, c, sizeof low);
    __builtin_memcpy(&high, c + 16, sizeof high);
    low = accumulate ? low + s[t][0] : s[t][0];
    high = accumulate ? high + s[t][1] : s[t][1];
    __builtin_memcpy(c, &low, sizeof low);
    __builtin_memcpy(c + 16, &high, sizeof high);
    sum += low + high;
  }
  if (guard) cv_store(guard, cv_load(guard) + (sum.lo + sum.hi) * 0);
}
#else
static inline int cv_has_wide_tiles(void) { return 0; }
static inline void cv_tile32(
    long k, const float *a, const float *b, long gap, float *c, long stride, int accumulate, float *guard) {
  cv_tile16(k, a, b, c, stride, accumulate, guard);
  cv_tile16(k, a, b + gap, c + 16, stride, accumulate, guard);
}
#endif

// Block search: eight sub-blocks lie in the eight lanes, element after element.

// Eight rows of eight numbers, `stride` apart, as columns: vector i of `out` holds number i of every row.
CV void cv_load_columns(const float *rows, long stride, void *out) {
  cv_f32x8 r[8];
#pragma clang loop unroll(full)
  for (int j = 0; j < 8; j++) r[j] = cv_load(rows + j * stride);
  cv_transpose8(r);
#pragma clang loop unroll(full)
  for (int j = 0; j < 8; j++) cv_store((char *)out + 32 * j, r[j]);
}
// Lane by lane: a < b ? yes : no. A NaN on either side says no.
CV cv_f32x8 cv_where_less(cv_f32x8 a, cv_f32x8 b, cv_f32x8 yes, cv_f32x8 no) { return a < b ? yes : no; }
// Whole numbers from -128 to 255 as bytes.
CV void cv_store_bytes(void *p, cv_f32x8 v) {
  cv_u8x8 b = __builtin_convertvector(cv_to_i32(v), cv_u8x8);
  memcpy(p, &b, sizeof b);
}

// The level of IQ4 that lies nearest (the lower one on a tie), and its index.
#define CV_IQ4_STEPS(STEP)                                                                                           \
  STEP(-115.5f, -104) STEP(-93.5f, -83) STEP(-74.0f, -65) STEP(-57.0f, -49) STEP(-42.0f, -35) STEP(-28.5f, -22)     \
  STEP(-16.0f, -10) STEP(-4.5f, 1) STEP(7.0f, 13) STEP(19.0f, 25) STEP(31.5f, 38) STEP(45.5f, 53) STEP(61.0f, 69)   \
  STEP(79.0f, 89) STEP(101.0f, 113)
CV cv_f32x8 cv_iq4_level(cv_f32x8 v) {
  cv_f32x8 y = cv_splat(-127);
#define CV_STEP(middle, level) y = v > cv_splat(middle) ? cv_splat(level) : y;
  CV_IQ4_STEPS(CV_STEP)
#undef CV_STEP
  return y;
}
CV cv_f32x8 cv_iq4_index(cv_f32x8 v) {
  cv_i32x8 n = (cv_i32x8)0;
#define CV_STEP(middle, level) n -= v > cv_splat(middle);
  CV_IQ4_STEPS(CV_STEP)
#undef CV_STEP
  return cv_from_i32(n);
}
#undef CV_IQ4_STEPS

// The level of MXFP4 that lies nearest, in twice E2M1's values (0, 1, 2, 3, 4, 6, 8, 12 and their negatives), and its code.
CV cv_f32x8 cv_mxfp4_level(cv_f32x8 v) {
  cv_f32x8 a = cv_abs(v), one = cv_splat(1), two = cv_splat(2), four = cv_splat(4);
  cv_f32x8 gap = a < four ? one : a < cv_splat(8) ? two : four;
  cv_f32x8 inverse = a < four ? one : a < cv_splat(8) ? cv_splat(0.5f) : cv_splat(0.25f);
  cv_f32x8 level = cv_min(cv_round(a * inverse) * gap, cv_splat(12));
  return v < cv_splat(0) ? -level : level;
}
CV cv_f32x8 cv_mxfp4_code(cv_f32x8 v) {
  cv_f32x8 level = cv_mxfp4_level(v), a = cv_abs(level);
  cv_f32x8 code = a <= cv_splat(4) ? a : a <= cv_splat(8) ? a * 0.5f + 2.0f : cv_splat(7);
  return level < cv_splat(0) ? code + 8.0f : code;
}
// 2^floor(log2(a)) of positive normal numbers; 0 of zero and subnormals.
CV cv_f32x8 cv_power_below(cv_f32x8 a) {
  cv_i32x8 bits;
  memcpy(&bits, &a, sizeof bits);
  bits &= 0x7F800000;
  memcpy(&a, &bits, sizeof a);
  return a;
}

// Ternary search over `count` vectors of magnitudes a, weights w and products w a: for four thresholds, Σw and Σwa of
// what lies above.
CV void cv_above4(const float *a, const float *w, const float *wa, long count, const float *threshold, float *weight,
                  float *sum) {
  cv_f32x8 n[4], s[4], zero = cv_splat(0);
  for (int k = 0; k < 4; k++) n[k] = s[k] = zero;
  for (long i = 0; i < count; i++) {
    cv_f32x8 va = cv_load(a + 8 * i), vw = cv_load(w + 8 * i), vs = cv_load(wa + 8 * i);
#pragma clang loop unroll(full)
    for (int k = 0; k < 4; k++) {
      cv_i32x8 taken = va > cv_splat(threshold[k]);
      n[k] += taken ? vw : zero;
      s[k] += taken ? vs : zero;
    }
  }
  for (int k = 0; k < 4; k++) {
    weight[k] = cv_sum(n[k]);
    sum[k] = cv_sum(s[k]);
  }
}
// 0, 1 or 2 for what lies below -t, between, above t, as bytes.
CV void cv_store_ternary(void *p, cv_f32x8 v, float t) {
  cv_i32x8 q = 1 - (v > cv_splat(t)) + (v < cv_splat(-t));
  cv_u8x8 b = __builtin_convertvector(q, cv_u8x8);
  memcpy(p, &b, sizeof b);
}

// Codebook search.

// Two codewords of four bytes each.
CV cv_i8x8 cv_pair_i8(const void *p, const void *q) {
  cv_i8x8 v;
  memcpy(&v, p, 4);
  memcpy((char *)&v + 4, q, 4);
  return v;
}
// Turns the sign of the lanes whose bit is set.
CV cv_f32x8 cv_flip(cv_f32x8 v, uint8_t signs) {
  cv_i32x8 bits = {1, 2, 4, 8, 16, 32, 64, 128};
  cv_i32x8 set = ((cv_i32x8)(int32_t)signs & bits) == bits;
  return set ? -v : v;
}
// The lesser of two values neither of which is NaN: one instruction, where cv_min needs three for its NaNs.
CV cv_f32x8 cv_lesser(cv_f32x8 a, cv_f32x8 b) { return a < b ? a : b; }
// Bit i is set where value i is above (below) t.
typedef _Bool cv_b8 __attribute__((ext_vector_type(8)));
CV uint8_t cv_bits(cv_i32x8 set) {
  cv_b8 b = __builtin_convertvector(set, cv_b8);
  uint8_t bits;
  memcpy(&bits, &b, 1);
  return bits;
}
CV uint8_t cv_bits_above(cv_f32x8 v, float t) { return cv_bits(v > cv_splat(t)); }
CV uint8_t cv_bits_below(cv_f32x8 v, float t) { return cv_bits(v < cv_splat(t)); }
// Lane by lane: a < b ? yes : no.
CV cv_i32x8 cv_where_less_i32(cv_f32x8 a, cv_f32x8 b, cv_i32x8 yes, cv_i32x8 no) { return a < b ? yes : no; }

// table[index & 3] of a table whose two halves are equal; table[index & 7].
#if defined(__AVX2__)
typedef float cv_floats __attribute__((vector_size(32)));
typedef int cv_ints __attribute__((vector_size(32)));
CV cv_f32x8 cv_lookup4(cv_f32x8 table, cv_i32x8 index) {
  return (cv_f32x8)__builtin_ia32_vpermilvarps256((cv_floats)table, (cv_ints)index);
}
CV cv_f32x8 cv_lookup8(cv_f32x8 table, cv_i32x8 index) {
  return (cv_f32x8)__builtin_ia32_permvarsf256((cv_floats)table, (cv_ints)index);
}
#else
CV cv_f32x8 cv_lookup8(cv_f32x8 table, cv_i32x8 index) {
  float t[8];
  memcpy(t, &table, sizeof t);
  cv_i32x8 i = index & 7;
  return (cv_f32x8){t[i[0]], t[i[1]], t[i[2]], t[i[3]], t[i[4]], t[i[5]], t[i[6]], t[i[7]]};
}
CV cv_f32x8 cv_lookup4(cv_f32x8 table, cv_i32x8 index) { return cv_lookup8(table, index & 3); }
#endif
CV cv_i32x8 cv_load_levels(const uint16_t *words) {
  cv_u16x8 v;
  memcpy(&v, words, sizeof v);
  return __builtin_convertvector(v, cv_i32x8);
}

// Codewords are packed levels: eight of two bits or four of three bits. What each level of each coordinate adds to a
// codeword's sums is looked up, eight codewords side by side.

// For every codeword g of eight values: a = Σ wx g and b = Σ w g^2; where `odd` is set, the sign of the one coordinate
// that costs least is turned in a. `count` is 16 or a multiple of 32; `levels` are four, twice.
CV void cv_level_block8(const uint16_t *words, const float *wx, const float *w, cv_f32x8 levels, int vectors, int odd,
                        float *a, float *b) {
  cv_i32x8 l[4];
  cv_f32x8 sa[4], sb[4], least[4], squares = levels * levels;
  for (int v = 0; v < vectors; v++) {
    l[v] = cv_load_levels(words + 8 * v);
    sa[v] = sb[v] = cv_splat(0);
    least[v] = cv_splat(__builtin_inff());
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < 8; i++) {
    cv_f32x8 p = levels * cv_splat(wx[i]), q = squares * cv_splat(w[i]);
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) {
      cv_f32x8 x = cv_lookup4(p, l[v]);
      sa[v] += x;
      sb[v] += cv_lookup4(q, l[v]);
      if (odd) least[v] = cv_lesser(x, least[v]);
      l[v] >>= 2;
    }
  }
  for (int v = 0; v < vectors; v++) {
    cv_store(a + 8 * v, odd ? sa[v] - (least[v] + least[v]) : sa[v]);
    cv_store(b + 8 * v, sb[v]);
  }
}
CV void cv_level_sums8(const uint16_t *words, long count, const float *wx, const float *w, cv_f32x8 levels, int odd,
                       float *a, float *b) {
  if (odd) {
    for (long c = 0; c < count; c += 16) cv_level_block8(words + c, wx, w, levels, 2, 1, a + c, b + c);
  } else if (count == 16) {
    cv_level_block8(words, wx, w, levels, 2, 0, a, b);
  } else {
    for (long c = 0; c < count; c += 32) cv_level_block8(words + c, wx, w, levels, 4, 0, a + c, b + c);
  }
}
// The same of codewords of four values with eight levels; `turned` is a with one sign turned.
CV void cv_level_sums4(const uint16_t *words, long count, const float *wx, const float *w, cv_f32x8 levels, float *a,
                       float *b, float *turned) {
  cv_f32x8 p[4], q[4];
  for (int i = 0; i < 4; i++) {
    p[i] = levels * cv_splat(wx[i]);
    q[i] = levels * levels * cv_splat(w[i]);
  }
  for (long c = 0; c < count; c += 8) {
    cv_i32x8 l = cv_load_levels(words + c);
    cv_f32x8 s = cv_splat(0), t = s, m = cv_splat(__builtin_inff());
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; i++) {
      cv_f32x8 v = cv_lookup8(p[i], l);
      s += v;
      m = cv_lesser(v, m);
      t += cv_lookup8(q[i], l);
      l >>= 3;
    }
    cv_store(a + c, s);
    cv_store(b + c, t);
    cv_store(turned + c, s - (m + m));
  }
}
// For eight values of t: a codeword with the least b - 2 t a, where the lowest bits of that, `mask`, are not looked at:
// they carry the codeword's index, so that one minimum finds both. `count` is at most mask + 1.
CV cv_i32x8 cv_least_at(const float *a, const float *b, long count, cv_f32x8 t, int32_t mask) {
  cv_f32x8 best = cv_splat(__builtin_inff()), m = t * -2.0f;
  cv_i32x8 here = (cv_i32x8)0, high = (cv_i32x8)~mask, at;
#pragma clang loop unroll_count(4)
  for (long c = 0; c < count; c++) {
    cv_f32x8 score = cv_fma(cv_splat(a[c]), m, cv_splat(b[c]));
    cv_i32x8 bits;
    memcpy(&bits, &score, sizeof bits);
    bits = (bits & high) | here;
    memcpy(&score, &bits, sizeof bits);
    best = cv_lesser(score, best);
    here += 1;
  }
  memcpy(&at, &best, sizeof at);
  return at & ~high;
}
CV cv_f32x8 cv_pick(const float *from, cv_i32x8 index) {
  return (cv_f32x8){from[index[0]], from[index[1]], from[index[2]], from[index[3]],
                    from[index[4]], from[index[5]], from[index[6]], from[index[7]]};
}
// From a list in two parts: `count` numbers in the first, the rest in the second.
CV cv_i32x8 cv_pick_u16(const uint16_t *first, const uint16_t *second, int32_t count, cv_i32x8 index) {
  cv_i32x8 r;
#pragma clang loop unroll(full)
  for (int k = 0; k < 8; k++) r[k] = (index[k] < count ? first : second - count)[index[k]];
  return r;
}
CV void cv_prefetch(const void *p) { __builtin_prefetch(p); }

// Every value rounded to the nearest level, at eight scales 1 / t side by side: a = Σ wx g and b = Σ w g^2. Three
// levels; eight levels that begin at `first` and lie `step` apart.
CV void cv_rounded_sums3(const float *x, const float *wx, const float *w, long count, cv_f32x8 t, float level0,
                         float level1, float level2, float *a, float *b) {
  cv_f32x8 l0 = cv_splat(level0), l1 = cv_splat(level1), l2 = cv_splat(level2);
  cv_f32x8 low = (l0 + l1) * 0.5f, high = (l1 + l2) * 0.5f, sa = cv_splat(0), sb = cv_splat(0);
  for (long i = 0; i < count; i++) {
    cv_f32x8 v = cv_splat(x[i]) * t, g = v > high ? l2 : v > low ? l1 : l0;
    sa = cv_fma(g, cv_splat(wx[i]), sa);
    sb = cv_fma(g * g, cv_splat(w[i]), sb);
  }
  cv_store(a, sa);
  cv_store(b, sb);
}
CV void cv_rounded_sums8(const float *x, const float *wx, const float *w, long count, cv_f32x8 t, float first,
                         float step, float *a, float *b) {
  cv_f32x8 sa = cv_splat(0), sb = cv_splat(0), s = t * cv_splat(1 / step), zero = cv_splat(0), top = cv_splat(7);
  cv_f32x8 offset = cv_splat(-first / step);
  for (long i = 0; i < count; i++) {
    cv_f32x8 level = cv_clamp(cv_round(cv_fma(cv_splat(x[i]), s, offset)), zero, top);
    cv_f32x8 g = cv_fma(level, cv_splat(step), cv_splat(first));
    sa = cv_fma(g, cv_splat(wx[i]), sa);
    sb = cv_fma(g * g, cv_splat(w[i]), sb);
  }
  cv_store(a, sa);
  cv_store(b, sb);
}
// The nearest of eight levels for eight values: two times four of three bits, the second four from bit 16 on.
CV uint32_t cv_octal(cv_f32x8 v, float first, float step) {
  cv_f32x8 level = cv_clamp(cv_round((v - first) * cv_splat(1 / step)), cv_splat(0), cv_splat(7));
  cv_f32x8 powers = {1, 8, 64, 512, 1, 8, 64, 512}, p = level * powers;
  float low = (p[0] + p[1]) + (p[2] + p[3]), high = (p[4] + p[5]) + (p[6] + p[7]);
  return (uint32_t)low | (uint32_t)high << 16;
}

#undef CV
#endif
