// Vector operations that Swift's SIMD types lack or compile to scalar code: min, max, fused multiply-add, rounding,
// conversion, horizontal sums, half-precision loads; and the tiles of the matrix product. All functions except the
// AVX-512 tile are inlined into the calling Swift loop. The vector types are clang's `ext_vector_type`, which Swift
// imports as `SIMD8<Float>`.
//
// `cv_round` rounds half to even, like `nearbyintf` in the default mode and ggml's `nearest_int`.
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
CV cv_f32x8 cv_from_i8(cv_i8x8 a) { return __builtin_convertvector(a, cv_f32x8); }

// Adds in a fixed tree: (0+4, 1+5, 2+6, 3+7), then halves. All reproducible sums depend on this order.
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

// Eight IEEE halves (little-endian) to floats, exactly; signalling NaNs become quiet.
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
// Eight 8-bit floats to floats, exactly, through halves. E5M2 is a half without its low byte. E4M3 has an exponent bias
// that is 8 lower, and a single NaN (0x7F), which becomes that of a half.
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

// Rounds half to even; values beyond the largest bfloat16 become infinite. Not for NaN.
CV void cv_store_bf16(void *p, cv_f32x8 v) {
  cv_u32x8 w;
  memcpy(&w, &v, sizeof w);
  cv_u16x8 h = __builtin_convertvector((w + 0x7FFFu + ((w >> 16) & 1u)) >> 16, cv_u16x8);
  memcpy(p, &h, sizeof h);
}

// e^x within 2 units in the last place for x in [-87.3, 88.3]; 0 below that range and infinity above it; NaN stays NaN.
// e^x = 2^n e^r with n = round(x / ln 2), r in [-ln2/2, ln2/2]; ln 2 is subtracted in two parts (Cody and Waite), e^r
// is its Taylor polynomial of degree 7, whose remainder there is below 2^-29.
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

// Matrix product: a tile of 6 by 16 (or 6 by 32) sums over k. Each sum is a chain of fused multiply-adds in the order
// of k, so an element's bits depend neither on its tile nor on the width of the machine's vectors.

// out[k][6] = rows[6][k]; rows are `stride` elements apart, and rows from `count` on are zero. `out` needs 2 more
// elements.
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

// Transposes eight rows of eight values.
CV void cv_transpose8(cv_f32x8 r[8]) {
  cv_f32x8 a0 = CV_LOW(r[0], r[1]), a1 = CV_HIGH(r[0], r[1]), a2 = CV_LOW(r[2], r[3]), a3 = CV_HIGH(r[2], r[3]);
  cv_f32x8 a4 = CV_LOW(r[4], r[5]), a5 = CV_HIGH(r[4], r[5]), a6 = CV_LOW(r[6], r[7]), a7 = CV_HIGH(r[6], r[7]);
  cv_f32x8 b0 = CV_EVEN(a0, a2), b1 = CV_ODD(a0, a2), b2 = CV_EVEN(a1, a3), b3 = CV_ODD(a1, a3);
  cv_f32x8 b4 = CV_EVEN(a4, a6), b5 = CV_ODD(a4, a6), b6 = CV_EVEN(a5, a7), b7 = CV_ODD(a5, a7);
  r[0] = CV_FRONT(b0, b4), r[1] = CV_FRONT(b1, b5), r[2] = CV_FRONT(b2, b6), r[3] = CV_FRONT(b3, b7);
  r[4] = CV_BACK(b0, b4), r[5] = CV_BACK(b1, b5), r[6] = CV_BACK(b2, b6), r[7] = CV_BACK(b3, b7);
}

// cv_pack6 of six rows, eight columns at a time; writes up to 2 elements after the end of `out`.
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

// c[6][16] (+)= a[k][6] times b[k][16]; rows of c are `stride` elements apart. The eight values of `guard`, if not
// null, become NaN when a result is not finite; rarely also for finite results, whose sum overflows.
CV void cv_tile16(long k, const float *a, const float *b, float *c, long stride, int accumulate, float *guard) {
  cv_f32x8 s[6][2];
  // Rows of c are pages apart: they are prefetched while the sums are computed.
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

// Two adjacent tiles, for machines with AVX-512: b is two panels [k][16], `gap` elements apart.
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

// Products in double precision, of which factorisations are made.

// out[k][width] = x[width][k] with `row` and `column` elements between neighbours.
CV void cv_pack_doubles(const double *x, long row, long column, long width, long k, double *out) {
  for (long i = 0; i < k; i++) {
    for (long j = 0; j < width; j++) out[i * width + j] = x[j * row + i * column];
  }
}

// c[8][16] = (c where `accumulate`) + sign * a b, of a[2][k][4] and b[2][k][8] whose halves are `gap_a` and `gap_b`
// elements apart. Each sum is a chain of fused multiply-adds in the order of k, whatever the width of the vectors.
#define CV_DOUBLE_TILE(WIDTH)                                                                                         \
  typedef double vector __attribute__((ext_vector_type(WIDTH)));                                                      \
  for (int half = 0; half < 2; half++) {                                                                              \
    for (int side = 0; side < 2; side++) {                                                                            \
      const double *x = a + half * gap_a, *y = b + side * gap_b;                                                      \
      vector s[4][8 / WIDTH];                                                                                         \
      for (int r = 0; r < 4; r++) {                                                                                   \
        for (int v = 0; v < 8 / WIDTH; v++) s[r][v] = (vector)0.0;                                                    \
      }                                                                                                               \
      for (long i = 0; i < k; i++, x += 4, y += 8) {                                                                  \
        vector w[8 / WIDTH];                                                                                          \
        __builtin_memcpy(w, y, sizeof w);                                                                             \
        for (int r = 0; r < 4; r++) {                                                                                 \
          for (int v = 0; v < 8 / WIDTH; v++) s[r][v] = __builtin_elementwise_fma((vector)x[r], w[v], s[r][v]);       \
        }                                                                                                             \
      }                                                                                                               \
      for (int r = 0; r < 4; r++) {                                                                                   \
        double *to = c + (4 * half + r) * stride + 8 * side;                                                          \
        vector w[8 / WIDTH];                                                                                          \
        __builtin_memcpy(w, to, sizeof w);                                                                            \
        for (int v = 0; v < 8 / WIDTH; v++) w[v] = (accumulate ? w[v] : (vector)0.0) + sign * s[r][v];                \
        __builtin_memcpy(to, w, sizeof w);                                                                            \
      }                                                                                                               \
    }                                                                                                                 \
  }
CV void cv_double_tile(long k, const double *a, long gap_a, const double *b, long gap_b, double *c, long stride,
                       int accumulate, double sign) {
  CV_DOUBLE_TILE(4)
}
#if defined(__x86_64__)
// The same for machines with AVX-512, which holds all sums at once.
__attribute__((target("avx512f"), noinline, unused)) static void cv_wide_double_tile(
    long k, const double *a, long gap_a, const double *b, long gap_b, double *c, long stride, int accumulate,
    double sign) {
  typedef double vector __attribute__((ext_vector_type(8)));
  vector s[8][2];
  for (int r = 0; r < 8; r++) s[r][0] = s[r][1] = (vector)0.0;
  for (long i = 0; i < k; i++, a += 4, b += 8) {
    vector low, high;
    __builtin_memcpy(&low, b, sizeof low);
    __builtin_memcpy(&high, b + gap_b, sizeof high);
#pragma clang loop unroll(full)
    for (int r = 0; r < 8; r++) {
      vector x = (vector)(r < 4 ? a[r] : a[gap_a + r - 4]);
      s[r][0] = __builtin_elementwise_fma(x, low, s[r][0]);
      s[r][1] = __builtin_elementwise_fma(x, high, s[r][1]);
    }
  }
#pragma clang loop unroll(full)
  for (int r = 0; r < 8; r++, c += stride) {
    vector low, high;
    __builtin_memcpy(&low, c, sizeof low);
    __builtin_memcpy(&high, c + 8, sizeof high);
    low = (accumulate ? low : (vector)0.0) + sign * s[r][0];
    high = (accumulate ? high : (vector)0.0) + sign * s[r][1];
    __builtin_memcpy(c, &low, sizeof low);
    __builtin_memcpy(c + 8, &high, sizeof high);
  }
}
#else
static inline void cv_wide_double_tile(long k, const double *a, long gap_a, const double *b, long gap_b, double *c,
                                       long stride, int accumulate, double sign) {
  cv_double_tile(k, a, gap_a, b, gap_b, c, stride, accumulate, sign);
}
#endif
#undef CV_DOUBLE_TILE

#undef CV
#endif
